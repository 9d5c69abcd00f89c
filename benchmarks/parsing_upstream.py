r"""parsing_upstream.py DATA_DIR [--only FORMAT,…]: our readers and ``unstructured``'s on the same files.

Reads each file of the ``parse_*`` sets twice, in one confined process without network: with the reader that the product
uses for its format, and with ``unstructured``'s partitioner (our tokenizer, no strategy, language detection or
attachments). "Enough" and the counts are those of ``benchmarks/parsing.py``, recounted where the manifest counted an
encoding. A document's title counts on neither side; what a table's header repeats and a mail's header count on both.
Columns: ours first. "Below the other": less than 80 % of the other's words. PDF and what it cannot read are left out.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import re
import sys
import tempfile
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.parsing import ENOUGH, manifest
from benchmarks.parsing_reference import recount
from indexing.errors import EmptyDocument, ParseError
from indexing.parsing import confine
from indexing.parsing.detect import detect
from indexing.parsing.job import Job, Limits

SECONDS = 60
LIMITS = Limits(SECONDS, 2048, 50, 200, "eng+fra", SECONDS)
FORMATS = "csv,docx,eml,epub,html,json,md,msg,ndjson,odt,org,pptx,rst,rtf,tsv,txt,xls,xlsx,xml"
RENAMED = {"txt": "text", "xls": "xlsx", "eml": "email"}  # in ``unstructured.partition``
OPTIONS = {"languages": [""], "process_attachments": False, "include_slide_notes": True}
SIDES = ("ours", "unstructured")


@dataclass(frozen=True)
class Reading:
    """What one reader made of one file; *expected*: the words of the reference, None where it could not read it."""

    expected: int | None
    status: str  # "text", "empty", or the class of the error
    words: int = 0
    milliseconds: float = SECONDS * 1000


def main() -> None:
    """Print one row for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("METIER_DATA"))
    parser.add_argument("--only", default=FORMATS, help="formats, comma separated")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error("give the folder of the parse_* sets as an argument or in METIER_DATA")
    found: dict[str, list[list[Reading]]] = {}
    start = functools.partial(ProcessPoolExecutor, 1, multiprocessing.get_context("spawn"), _confine)
    pool = start()
    for folder in sorted(options.data.glob("parse_*")):
        for row in manifest(folder):
            path = folder / "raw" / row["path"]
            if (name := _format(path)) not in options.only.split(","):
                continue
            counts = (int(row["ref_words"] or 0), recount(path, row["ext"]))
            expected = min(n for n in counts if n is not None) if row["ref_status"] == "ok" else None
            found.setdefault(name, []).append([])
            for side in SIDES:
                try:
                    reading = pool.submit(_read, path, name, side, expected).result(SECONDS)
                except (TimeoutError, BrokenExecutor) as exc:
                    reading = Reading(expected, type(exc).__name__)
                    for process in multiprocessing.active_children():
                        process.kill()
                    pool = start()
                found[name][-1].append(reading)
    _report(found)


def _confine() -> None:
    os.environ |= {"DO_NOT_TRACK": "1", "SCARF_NO_ANALYTICS": "1", "UNSTRUCTURED_DISABLE_NOTICE": "1"}
    for stream in (1, 2):  # the libraries' warnings
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    confine.limit_resources(memory_mb=LIMITS.memory_mb, file_mb=LIMITS.file_mb)
    for side in SIDES:
        _read(Path(__file__), "txt", side, None)  # loads what all formats share


def _format(path: Path) -> str:
    try:
        found = detect(path, path.suffix.lower().removeprefix("."), None)
    except ParseError:
        return ""
    return "tsv" if found == "csv" and path.suffix == ".tsv" else found


def _read(path: Path, name: str, side: str, expected: int | None) -> Reading:
    started = time.monotonic()
    try:
        words = sum(len(re.findall(r"\w+", text)) for text in (_ours if side == "ours" else _theirs)(path, name))
        status = "text" if words else "empty"
    except Exception as exc:  # noqa: BLE001 -- what a reader raises is what is measured
        words, status = 0, "empty" if isinstance(exc, EmptyDocument) else type(exc).__name__
    return Reading(expected, status, words, (time.monotonic() - started) * 1000)


def _ours(path: Path, name: str) -> list[str]:
    from indexing.parsing.formats import read_as

    with tempfile.TemporaryDirectory() as made:
        work, kind = Path(made), "csv" if name == "tsv" else name
        job = Job(path, path.name, None, work, work, LIMITS, time.monotonic() + SECONDS, kind)
        return [block.text for block in read_as(job).blocks]


def _theirs(path: Path, name: str) -> list[str]:
    from indexing.parsing.blocks import Page
    from indexing.parsing.upstream import add_elements, reader

    module = RENAMED.get(name, name)
    elements = reader(module, f"partition_{module}")(filename=str(path), **OPTIONS)
    add_elements(page := Page(LIMITS.output_mb << 20), elements)
    texts = [block.text for block in page.blocks]
    if name in ("eml", "msg") and elements:
        facts = elements[0].metadata
        texts += ["Subject From To Date", facts.subject or "", facts.last_modified or ""]
        texts += (facts.sent_from or []) + (facts.sent_to or [])
    return texts


def _report(found: dict[str, list[list[Reading]]]) -> None:
    side = " | enough | failed | empty | below the other | median ms"
    print(f"| format | files | reference ok{side}{side} |\n{'|---' * 13}|")
    for name, pairs in sorted(found.items()):
        cells: list[float | str] = [name, len(pairs), sum(pair[0].expected is not None for pair in pairs)]
        for number in (0, 1):
            mine = [pair[number] for pair in pairs]
            good = [r for r in mine if r.status == "text" and r.expected is not None and r.words >= ENOUGH * r.expected]
            empty = sum(r.status == "empty" for r in mine)
            below = sum(pair[number].words < ENOUGH * pair[1 - number].words for pair in pairs)
            cells += [len(good), sum(r.status != "text" for r in mine) - empty, empty, below]
            cells.append(round(sorted(r.milliseconds for r in mine)[len(mine) // 2], 1))
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
