"""sync.py DATA_DIR [--set NAME …] [--count-words] [--keep DIR]: the cost of synchronising real trees, and again.

Copies handbook_18f (its first version) and the parse_* trees into one folder and synchronises it with the real parsers
and the packaged embedding model: the first run, the second over the unchanged tree (target: at most 2 % of the first),
the handbook's second version, one edited file, and a renamed folder. With --count-words, word counts take the place of
the embedding model: what is left is the cost of everything else, and the second run's target is harder to meet.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import store
from indexing.db import migrate, open_catalog
from indexing.embed import load_embedder
from indexing.parse import ParserPool
from indexing.pipeline import Indexing, sync_source
from indexing.settings import IndexingSettings
from indexing.testing import HashEmbedder

if TYPE_CHECKING:
    from indexing.documents import Progress, SyncReport

TARGET = 0.02
HANDBOOK = "handbook_18f"
COLUMNS = ("seconds", "listed", "added", "changed", "moved", "touched", "unchanged", "deleted", "failed", "parked")
CHUNK_COLUMNS = ("chunks_written", "chunks_embedded", "chunks_reused")


def main() -> int:
    """Print one line for each run; return 0 when the second run met the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("METIER_DATA"))
    parser.add_argument("--set", action="append", help="only these sets (handbook_18f, parse_pypdf …)")
    parser.add_argument("--keep", type=Path, help="work here and leave everything, instead of in a temporary folder")
    parser.add_argument("--count-words", action="store_true", help="no embedding model: HashEmbedder")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        print("No data: give the folder of the evaluation sets as an argument or in METIER_DATA.", file=sys.stderr)
        return 2
    sets = options.set or [HANDBOOK, *sorted(path.name for path in options.data.glob("parse_*"))]
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return run(options.data, sets, options.keep, count_words=options.count_words)
    with tempfile.TemporaryDirectory() as folder:
        return run(options.data, sets, Path(folder), count_words=options.count_words)


def run(data: Path, sets: list[str], folder: Path, *, count_words: bool) -> int:
    """Make the tree in *folder*, synchronise it again and again, and print what each run did."""
    tree = folder / "tree"
    for name in sets:
        raw = data / name / "raw"
        shutil.copytree(raw / "v1" if name == HANDBOOK else raw, tree / name, symlinks=True)
    files = [path for path in tree.rglob("*") if path.is_file()]
    formats = Counter(path.suffix.casefold() for path in files)
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    print(
        f"{len(files)} files of {len(formats)} suffixes, {size_mb:.0f} MB; {os.cpu_count()} CPUs, {platform.machine()}"
    )

    settings = IndexingSettings(data_dir=folder / "data")
    settings.data_dir.mkdir(exist_ok=True)
    migrate(settings.database)
    catalog = open_catalog(settings.database)
    with catalog.transaction() as session:
        source = store.add_source(session, "tree", "folder", str(tree))
    with ParserPool(settings) as parsers:
        embedder = HashEmbedder() if count_words else load_embedder(settings)
        indexing = Indexing(catalog, embedder, parsers, settings)

        def sync(title: str) -> SyncReport:
            # Confirmed, because the handbook's second version has moved three quarters of its pages.
            report = sync_source(indexing, source, on_progress=Lines(), confirm_deletions=True)
            show(title, report)
            return report

        first = sync("first run")
        second = sync("second run, nothing changed")
        share = second.seconds / first.seconds
        print(f"second / first = {100 * share:.2f} % (target: at most {100 * TARGET:g} %)")
        if HANDBOOK in sets:
            shutil.copytree(data / HANDBOOK / "raw" / "v2", folder / "v2", dirs_exist_ok=True)
            shutil.rmtree(tree / HANDBOOK)
            shutil.move(folder / "v2", tree / HANDBOOK)
            sync("the handbook's second version")
            edited = edit(tree / HANDBOOK)
            sync(f"one paragraph inserted into {edited.relative_to(tree)}")
            (tree / HANDBOOK).rename(tree / "handbook_renamed")
            sync("the handbook's folder renamed")
        show_failures(first)
    catalog.close()
    return 0 if share <= TARGET else 1


def edit(folder: Path) -> Path:
    """Insert a paragraph into the middle of the largest Markdown file, and return the file."""
    file = max(folder.rglob("*.md"), key=lambda path: path.stat().st_size)
    paragraphs = file.read_text(encoding="utf-8").split("\n\n")
    paragraphs.insert(len(paragraphs) // 2, "This paragraph was not here before; all others are as they were.")
    file.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return file


class Lines:
    """Prints a line every 15 seconds."""

    def __init__(self) -> None:
        """Start now."""
        self._next = time.monotonic() + 15

    def __call__(self, progress: Progress) -> None:
        """Print, if it is time."""
        if time.monotonic() > self._next:
            self._next = time.monotonic() + 15
            print(f"    {progress.stage} {progress.done}/{progress.total} {progress.uri}", flush=True)


def show(title: str, report: SyncReport) -> None:
    """Print the figures of a run."""
    print(f"\n{title}: {report.state}{f' ({report.error})' if report.error else ''}")
    print("    " + ", ".join(f"{name} {getattr(report, name)}" for name in COLUMNS if getattr(report, name)))
    print("    " + ", ".join(f"{name.removeprefix('chunks_')} {getattr(report, name)}" for name in CHUNK_COLUMNS))
    print(f"    seconds by stage, all threads: {report.seconds_by_stage}", flush=True)


def show_failures(report: SyncReport) -> None:
    """Print how many documents failed in which way."""
    kinds = Counter((failure.stage, failure.error) for failure in report.failures)
    print(f"\nthe first {len(report.failures)} failures of the first run: ")
    for (stage, error), count in kinds.most_common():
        print(f"    {count:4} {stage} {error}")


if __name__ == "__main__":
    sys.exit(main())
