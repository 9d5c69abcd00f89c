"""One run of a source at a time, also across processes, and a run that died blocks nobody.

A lock file in the data directory says whether a run is going on on this machine: the kernel lets go of it when the
process ends, however it ends. The run's row in the catalog says it to other machines. A row that says "running" while
we hold the lock, and that our lock file names, is of a process that died: it is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from indexing import changelog, runs
from indexing.documents import SyncReport
from indexing.errors import RunInProgress, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.db import Catalog
    from indexing.documents import SourceRecord

_SEEN_RUNS = 20


@contextlib.contextmanager
def exclusive_run(
    catalog: Catalog, source: SourceRecord, data_dir: Path, begun: Callable[[Session, int], None]
) -> Iterator[tuple[int, Path]]:
    """Yield (run id, empty private directory) of a new run of *source*; the caller finishes the run's row.

    *begun* is called with the run's id in the transaction that begins it.

    Raises RunInProgress when one is going on, StorageFull when the data directory cannot be written to.
    """
    workdir = data_dir / "work" / f"source-{source.id}"
    try:
        workdir.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unwritable(workdir.parent, exc) from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RunInProgress(f"Another run of source {source.name} is going on.") from exc
        run_id = _start(catalog, source, descriptor, begun)
        try:
            shutil.rmtree(workdir, ignore_errors=True)  # what a run that died has left
            workdir.mkdir(mode=0o700)
        except OSError as exc:
            raise _unwritable(workdir, exc) from exc
        try:
            yield run_id, workdir
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
    finally:
        os.close(descriptor)


def _start(catalog: Catalog, source: SourceRecord, descriptor: int, begun: Callable[[Session, int], None]) -> int:
    """Return the id of a new run, after closing the row of one that died here."""
    died = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    with catalog.transaction() as session:
        changelog.lock(session)  # on PostgreSQL: two machines that start at once see each other
        for run in runs.runs(session, source.id, limit=_SEEN_RUNS):
            if run.state != runs.RUNNING:
                continue
            if str(run.id) != died:
                raise RunInProgress(
                    f"Run {run.id} of source {source.name} is going on since {run.started_at:%Y-%m-%d %H:%M} UTC.",
                    remedy="Wait for it to end. If its process died, starting Métier there again closes it.",
                )
            error = "The process ended before the run did."
            runs.finish_run(session, SyncReport(run.id, source.name, "failed", error=error))
        run_id = runs.start_run(session, source.id)
        begun(session, run_id)
        os.pwrite(descriptor, f"{run_id:<31}\n".encode(), 0)
    return run_id


def _unwritable(path: Path, exc: OSError) -> StorageFull:
    return StorageFull(
        f"The folder {path} cannot be written to: {exc.strerror}.",
        remedy="Free space on its disk, or check its permissions and METIER_DATA_DIR.",
    )
