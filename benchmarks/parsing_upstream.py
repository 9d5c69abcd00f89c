r"""parsing_upstream.py DATA_DIR [--only FORMAT,…] [--list FILE]: our readers and ``unstructured``'s on the same files.

Reads each file of the ``parse_*`` sets twice, in one confined process without network: with the reader that the product
uses for its format, and with ``unstructured``'s partitioner for it (its tokenizer replaced, no strategy, no language
detection, no attachments). The format is the one that ``indexing/parsing/detect.py`` finds, so that both get the same
question. "Enough" and the reference counts are those of ``benchmarks/parsing.py``, recounted where the manifest counted
an encoding; a document's title counts on neither side, and a mail's header, which ``unstructured`` keeps as metadata,
counts on both. Formats without a partitioner (mbox, images, LibreOffice's) and PDF are left out.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.parsing import ENOUGH, manifest
from benchmarks.parsing_reference import recount
from indexing.errors import EmptyDocument, ParseError
from indexing.parsing import confine
from indexing.parsing.detect import detect
from indexing.parsing.job import Job, Limits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 60
LIMITS = Limits(SECONDS, 2048, 50, 200, "eng+fra", SECONDS)
#: format → module of ``unstructured.partition``; the function is ``partition_`` and the same name.
PARTITIONERS = {name: name for name in "csv tsv html md rst org rtf odt epub docx pptx xlsx msg xml json ndjson".split()}
PARTITIONERS |= {"txt": "text", "xls": "xlsx", "eml": "email"}


@dataclass(frozen=True)
class Reading:
    """What one reader made of one file."""

    status: str  # "text", "empty", or the class of the error
    words: int
    milliseconds: float


def main() -> int:
    """Print one row for each format; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("METIER_DATA"))
    parser.add_argument("--only", default="", help="formats, comma separated")
    parser.add_argument("--list", type=Path, help="write one line per file here")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        print("No data: give the folder of the parse_* sets as an argument or in METIER_DATA.", file=sys.stderr)
        return 2
    only = options.only.split(",") if options.only else list(PARTITIONERS)
    found: dict[str, list[tuple[Path, int | None, Reading, Reading]]] = collections.defaultdict(list)
    reader = _Reader()
    for folder in sorted(options.data.glob("parse_*")):
        for row in manifest(folder):
            path = folder / "raw" / row["path"]
            name = _format(path)
            if name in only and name in PARTITIONERS:
                words = _reference(path, row) if row["ref_status"] == "ok" else None
                found[name].append((path, words, reader.read(path, name, ours=True), reader.read(path, name, ours=False)))
    reader.stop()
    _report(found)
    if options.list:
        lines = [
            "\t".join(map(str, (name, path, words, ours, theirs)))
            for name, rows in found.items()
            for path, words, ours, theirs in rows
        ]
        options.list.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _format(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    try:
        found = detect(path, suffix, None)
    except ParseError:
        return ""
    return "tsv" if found == "csv" and suffix == "tsv" else found


def _reference(path: Path, row: dict[str, str]) -> int:
    counted, recounted = int(row["ref_words"] or 0), recount(path, row["ext"])
    return counted if recounted is None else min(counted, recounted)


class _Reader:
    """A process that reads files, started anew after one that took too long or crashed."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def read(self, path: Path, name: str, *, ours: bool) -> Reading:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other,), daemon=True)
            self._process.start()
            other.close()
            self._pipe.recv()  # warm: neither side pays for loading what both need
        self._pipe.send((path, name, ours))
        try:
            if self._pipe.poll(SECONDS):
                return Reading(*self._pipe.recv())
        except EOFError:
            self.stop()
            return Reading("crash", 0, 0)
        self.stop()
        return Reading("timeout", 0, SECONDS * 1000)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    os.environ |= {"DO_NOT_TRACK": "1", "SCARF_NO_ANALYTICS": "1", "UNSTRUCTURED_DISABLE_NOTICE": "1"}
    confine.limit_resources(memory_mb=LIMITS.memory_mb, file_mb=LIMITS.file_mb)
    confine.deny_network()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    with tempfile.TemporaryDirectory() as folder:
        for ours in (True, False):  # load the libraries
            _texts(Path(__file__), "txt", Path(folder), ours=ours)
        pipe.send("ready")
        while True:
            path, name, ours = pipe.recv()
            started = time.monotonic()
            try:
                words = sum(len(re.findall(r"\w+", text)) for text in _texts(path, name, Path(folder), ours=ours))
                status = "text" if words else "empty"
            except EmptyDocument:
                words, status = 0, "empty"
            except Exception as exc:  # noqa: BLE001 -- what a reader raises is what is measured
                words, status = 0, type(exc).__name__
            pipe.send((status, words, (time.monotonic() - started) * 1000))


def _texts(path: Path, name: str, folder: Path, *, ours: bool) -> list[str]:
    from indexing.parsing.formats import read_as
    from indexing.parsing.upstream import reader

    if ours:
        kind = "csv" if name == "tsv" else name
        job = Job(path, path.name, None, folder, folder, LIMITS, time.monotonic() + SECONDS, kind)
        return [block.text for block in read_as(job).blocks]
    module = PARTITIONERS[name]
    options: dict[str, Any] = {"process_attachments": False} if name in ("eml", "msg") else {}
    elements = reader(module, f"partition_{module}")(filename=str(path), languages=[""], **options)
    texts = [element.text or "" for element in elements]
    if name in ("eml", "msg") and elements:
        facts = elements[0].metadata
        texts += ["Subject From To Cc Date", facts.subject or "", *(facts.sent_from or []), *(facts.sent_to or [])]
        texts += [*(facts.cc_recipient or []), facts.last_modified or ""]
    return texts


def _report(found: dict[str, list[tuple[Path, int | None, Reading, Reading]]]) -> None:
    print("| format | files | reference ok | ours: enough | failed | empty | ms | unstructured: enough | failed | empty | ms |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, rows in sorted(found.items()):
        ok = [row for row in rows if row[1] is not None]
        cells: list[Any] = [name, len(rows), len(ok)]
        for side in (2, 3):
            enough = sum(row[side].status == "text" and row[side].words >= ENOUGH * row[1] for row in ok)
            empty = sum(row[side].status == "empty" for row in rows)
            failed = sum(row[side].status not in ("text", "empty") for row in rows)
            times = sorted(row[side].milliseconds for row in rows)
            cells += [enough, failed, empty, round(times[len(times) // 2], 1)]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    sys.exit(main())
