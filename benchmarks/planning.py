"""planning.py [--items N] [--keep DIR]: time and memory of planning a source in which nothing has changed.

Makes a folder of N small files (100,000 by default), puts a row for each into a catalog as a run would have left it,
and plans it with the command itself, ``metier plan --json``, in a process of its own, three times: wall clock and the
most memory that the process held (``ru_maxrss``). Targets for 100,000 items on two cores: 10 s, 300 MB. In the same run
it times what any tool must do at the least, a bare walk of the folder with one stat each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from indexing import store
from indexing.compare import pipeline_of
from indexing.db import migrate, open_catalog
from indexing.embed import load_embedder
from indexing.settings import IndexingSettings
from indexing.sources.folder import FolderSource
from indexing.tables import LOCAL_ACL_ID, Table, utc_now

TARGET_S, TARGET_MB = 10.0, 300
RUNS = 3
DOCUMENT = Table.metadata.tables["document"]


def main() -> int:
    """Print the figures; return 0 when the targets for 100,000 items are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="make the folder and the catalog here, or use those that are here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(options.keep or Path(folder), options.items)


def run(folder: Path, items: int) -> int:
    """Make what is needed in *folder* and plan it."""
    tree, settings = folder / "tree", IndexingSettings(data_dir=folder / "data")
    if not tree.exists():
        make_files(tree, items)
    if not settings.data_dir.exists():
        fill_catalog(settings, tree)
    began = time.monotonic()
    walked = sum(len([os.stat(os.path.join(parent, name)) for name in names]) for parent, _, names in os.walk(tree))  # noqa: PTH116, PTH118
    walk_s = time.monotonic() - began
    print(f"{walked} files; {os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}")
    print(f"a bare walk with one stat each: {walk_s:.2f} s")
    seconds, megabytes = zip(*(planned(settings.data_dir, items) for _ in range(RUNS)), strict=True)
    middle_s, most_mb = statistics.median(seconds), max(megabytes)
    print(f"metier plan: median {middle_s:.2f} s of {[round(s, 2) for s in seconds]}, at most {most_mb:.0f} MB")
    print(f"{middle_s / walk_s:.1f} times the walk; targets for 100,000 items: {TARGET_S:g} s, {TARGET_MB} MB")
    return 0 if middle_s <= TARGET_S and most_mb <= TARGET_MB else 1


def make_files(tree: Path, items: int) -> None:
    """Write *items* files of a line each, 200 to a folder."""
    for number in range(items):
        path = tree / f"{number // 200:05}" / f"note {number:07}.md"
        if number % 200 == 0:
            path.parent.mkdir(parents=True)
        path.write_text(f"Note {number}.\n")


def fill_catalog(settings: IndexingSettings, tree: Path) -> None:
    """Store a document for each file, as a run leaves it."""
    settings.data_dir.mkdir(exist_ok=True)
    migrate(settings.database)
    catalog = open_catalog(settings.database)
    pipeline = pipeline_of(load_embedder(settings), settings).documents
    with catalog.transaction() as session:
        source = store.add_source(session, "tree", "folder", str(tree))
        for some in FolderSource(tree).pages(None):
            rows: list[dict[str, Any]] = [
                {
                    "source_id": source.id,
                    "uri": item.uri,
                    "title": item.uri,
                    "size_bytes": item.size_bytes,
                    "content_hash": f"{number:064x}",
                    "version_tag": item.version_tag,
                    "language": "en",
                    "pipeline": pipeline,
                    "notes": [],
                    "acl_id": LOCAL_ACL_ID,
                    "indexed_at": utc_now(),
                    "text": "A note.",
                }
                for number, item in enumerate(some.items)
            ]
            if rows:
                session.execute(insert(DOCUMENT), rows)
    catalog.close()


def planned(data_dir: Path, items: int) -> tuple[float, float]:
    """Return the seconds and megabytes of one ``metier plan``, which must find everything unchanged."""
    code = (
        "import resource, sys; from app.cli import main\n"
        "try: main(['plan', '--json'])\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    environment = {**os.environ, "METIER_DATA_DIR": str(data_dir)}
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    (found,) = json.loads(done.stdout)
    if found["unchanged"] != items:
        raise SystemExit(f"{found['unchanged']} of {items} unchanged: {done.stdout[:500]}")
    return seconds, int(done.stderr.split()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
