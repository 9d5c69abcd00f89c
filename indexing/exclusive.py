"""One run of a source at a time, also across processes and machines, and a run that died blocks nobody.

The run's row in the catalog is a lease: whoever runs gives signs of life, and every write of a run checks in its own
transaction that the row still says "running" (``runs.hold``). A run without a sign of life for LEASE_S is taken
over, and cannot write any more should it wake up. A lock file in the data directory makes that quick on one machine:
the kernel lets go of it when a process ends, however it ends, so the run that our lock file names is of a process that
died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from typing import TYPE_CHECKING

import structlog

from indexing import changelog, runs
from indexing.errors import CatalogError, RunInProgress, RunLost, StorageFull
from indexing.live import LOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.db import Catalog
    from indexing.documents import SourceRecord
    from indexing.live import Live

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def exclusive_run(
    catalog: Catalog,
    source: SourceRecord,
    data_dir: Path,
    begun: Callable[[Session, int], None],
    live: Live,
    run_id: int | None = None,
) -> Iterator[tuple[int, Path]]:
    """Yield (run id, empty private directory) of a new run of *source*; the caller finishes the run's row.

    *begun* is called with the run's id in the transaction that begins it. *run_id* is that of a run which was begun
    already, with nobody working on it. Raises RunInProgress when one is going on, StorageFull when the data directory
    cannot be written to.
    """
    folder = data_dir / "work"
    name = f"source-{source.id}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unwritable(folder, exc) from exc
    try:
        locked = _locked(descriptor)
        died = os.pread(descriptor, 32, 0).decode(errors="replace").strip() if locked else ""
        if run_id is None:
            run_id = _start(catalog, source, died, begun)
        if locked:
            os.pwrite(descriptor, f"{run_id:<31}\n".encode(), 0)
        workdir = folder / f"{name}-run-{run_id}"
        try:
            for left in folder.glob(f"{name}-run-*"):  # by a run that died, or that lost its lease
                shutil.rmtree(left, ignore_errors=True)
            workdir.mkdir(mode=0o700)
        except OSError as exc:
            raise _unwritable(workdir, exc) from exc
        try:
            with _beating(catalog, run_id, live):
                yield run_id, workdir
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock the file and return True; False when another process of this machine holds it, dead or paused or not."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(catalog: Catalog, source: SourceRecord, died: str, begun: Callable[[Session, int], None]) -> int:
    """Return the id of a new run, after closing those of dead processes; *died* is the run that our lock file names."""
    with catalog.transaction() as session:
        changelog.lock(session)  # on PostgreSQL: two machines that start at once see each other
        for going in runs.going_on(session, source.id):
            if going.alive and str(going.id) != died:
                remedy = f"Wait for it to end. If its process died, it is taken over after {runs.LEASE_S:.0f} seconds."
                raise RunInProgress(f"Run {going.id} of source {source.name} is going on.", remedy=remedy)
            runs.fail_run(session, going.id)
        run_id = runs.start_run(session, source.id)
        begun(session, run_id)
        return run_id


@contextlib.contextmanager
def _beating(catalog: Catalog, run_id: int, live: Live) -> Iterator[None]:
    """Give a sign of life every BEAT_S while the body goes on, however long it works on one document.

    More often, where the run is goes into its row, and whether it shall stop is looked for.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(min(runs.BEAT_S, LOOK_S)):
            try:
                live.look(catalog, run_id)
            except RunLost:
                return  # the next write of the run says so
            except CatalogError as exc:
                _log.warning("No sign of life could be given.", action="beat_failed", run=run_id, why=exc.message)

    thread = threading.Thread(target=beat, name=f"beat-{run_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _unwritable(path: Path, exc: OSError) -> StorageFull:
    return StorageFull(
        f"The folder {path} cannot be written to: {exc.strerror}.",
        remedy="Free space on its disk, or check its permissions and METIER_DATA_DIR.",
    )
