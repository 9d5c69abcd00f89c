r"""parsing.py DATA_DIR [--only EXT,EXT] [--list FILE] [--workers N]: how much text each format gives.

Runs all files of the ``parse_*`` sets through ParserPool and compares the words found with the reference count of
``norm/manifest.tsv`` (words = runs of ``\\w``, as there). Target: of the files whose manifest status is ok, 95 % give
80 % of the reference words, every other file ends as an explicit status, and none hangs. The second column uses
``parsing_reference.py``, which counts anew where the manifest counted the encoding of a file and not its text.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import csv
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.parsing_reference import recount
from indexing.errors import ParseError
from indexing.parse import ParserPool
from indexing.settings import IndexingSettings

ENOUGH = 0.8
TARGET = 0.95


@dataclass(frozen=True)
class Outcome:
    """What one file gave."""

    file: str
    extension: str
    expected: str  # the manifest's status
    reference_words: int
    status: str  # "text" or the class of the error
    words: int
    milliseconds: float
    detail: str
    recounted: int | None  # where the manifest counted the encoding and not the text

    @property
    def enough(self) -> bool:
        """Whether at least 80 % of the manifest's words came out."""
        return self.status == "text" and self.words >= ENOUGH * self.reference_words

    @property
    def enough_recounted(self) -> bool:
        """Whether at least 80 % of the words that a reader sees came out."""
        words = self.reference_words if self.recounted is None else min(self.recounted, self.reference_words)
        return words == 0 or (self.status == "text" and self.words >= ENOUGH * words)


def main() -> int:
    """Print the table; return 0 when the target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("METIER_DATA"))
    parser.add_argument("--only", default="", help="extensions, comma separated")
    parser.add_argument("--list", type=Path, help="write one line per file here")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        print("No data: give the folder of the parse_* sets as an argument or in METIER_DATA.", file=sys.stderr)
        return 2
    rows = [
        (folder, row)
        for folder in sorted(options.data.glob("parse_*"))
        for row in manifest(folder)
        if not options.only or row["ext"] in options.only.split(",")
    ]
    started = time.monotonic()
    settings = IndexingSettings(parse_workers=options.workers)
    with ParserPool(settings) as pool, concurrent.futures.ThreadPoolExecutor(options.workers) as threads:
        outcomes = list(threads.map(lambda pair: _read(pool, *pair), rows))
    _report(outcomes)
    print(f"\n{len(outcomes)} files in {time.monotonic() - started:.0f} s, {options.workers} workers")
    if options.list:
        with options.list.open("w", encoding="utf-8") as file:
            for o in outcomes:
                line = (
                    o.file,
                    o.extension,
                    o.expected,
                    o.reference_words,
                    o.recounted,
                    o.status,
                    o.words,
                    round(o.milliseconds),
                )
                print(*line, o.detail, sep="\t", file=file)
    _, good, expected = _score(outcomes)
    return 0 if good >= TARGET * expected else 1


def manifest(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the manifest in *folder*: one for each file."""
    with (folder / "norm" / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read(pool: ParserPool, folder: Path, row: dict[str, str]) -> Outcome:
    path = folder / "raw" / row["path"]
    started = time.monotonic()
    words, detail = 0, ""
    with tempfile.TemporaryDirectory() as workdir:
        try:
            parsed = pool.parse(path, path.name, None, Path(workdir))
            status = "text"
            texts = [block.text for block in parsed.blocks]
            if parsed.title is not None and parsed.title not in texts:
                texts.append(parsed.title)  # it is found by search too: each chunk carries it
            words = sum(len(re.findall(r"\w+", text)) for text in texts)
            detail = "; ".join(parsed.notes)
        except ParseError as exc:
            status, detail = type(exc).__name__, str(exc)
    took = (time.monotonic() - started) * 1000
    reference = int(row["ref_words"] or 0)
    name = f"{folder.name}/{row['path']}"
    recounted = recount(path, row["ext"]) if row["ref_status"] == "ok" else None
    return Outcome(name, row["ext"] or "none", row["ref_status"], reference, status, words, took, detail, recounted)


def _score(outcomes: list[Outcome]) -> tuple[int, int, int]:
    """Return how many files that the manifest calls ok gave enough text: by its count, recounted, and of how many."""
    expected = [outcome for outcome in outcomes if outcome.expected == "ok"]
    by_manifest = sum(outcome.enough for outcome in expected)
    return by_manifest, sum(outcome.enough or outcome.enough_recounted for outcome in expected), len(expected)


def _report(outcomes: list[Outcome]) -> None:
    print("| format | files | text | ref ok | enough (manifest) | enough (recounted) | median ms | other statuses |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    groups: dict[str, list[Outcome]] = collections.defaultdict(list)
    for outcome in outcomes:
        groups[outcome.extension].append(outcome)
    for extension, group in [*sorted(groups.items()), ("all", outcomes)]:
        good, recounted, expected = _score(group)
        text = sum(outcome.status == "text" for outcome in group)
        shares = [f"{n} ({100 * n / expected:.0f} %)" if expected else "-" for n in (good, recounted)]
        times = sorted(outcome.milliseconds for outcome in group)
        others = collections.Counter(outcome.status for outcome in group if outcome.status != "text")
        listed = ", ".join(f"{name} {count}" for name, count in sorted(others.items()))
        cells = (extension, len(group), text, expected, *shares, round(times[len(times) // 2]), listed)
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    sys.exit(main())
