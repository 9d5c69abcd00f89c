"""Indexing as the faces start it: synchronisations in the background, one at a time per source."""

from __future__ import annotations

import contextvars
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from app import audit
from app.errors import Conflict
from app.gated import GoldenGate
from indexing import runs
from indexing.errors import IndexingError
from indexing.pipeline import Indexing, sync_source
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.parts import Parts
    from indexing.documents import Progress, SourceRecord
    from indexing.schedules import Claim

log = structlog.get_logger(__name__)

#: Longest wait for a run to begin, or for the runs of a process that ends to stop at the next document.
PATIENCE_S = 20.0


def indexing_of(parts: Parts, by: int | None = LOCAL_PRINCIPAL_ID) -> Indexing:
    """Return the half of *parts* that the indexing flow works with, in the name of *by*; None: of nobody."""

    def recorded(session: Session, action: str, number: int) -> None:
        audit.record(session, by, action, number)

    return Indexing(
        parts.catalog, parts.embedder, parts.parsers, parts.settings, recorded=recorded, gate=GoldenGate(parts)
    )


@dataclass
class _Running:
    """A synchronisation of this process."""

    source: SourceRecord
    by: int | None  # principal id; None: its schedule
    confirm_deletions: bool = False
    force: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    error: IndexingError | None = None
    run_id: int | None = None


class Synchronizations:
    """The runs of this process: started in the background, watched, and stopped when the process ends."""

    def __init__(self, parts: Parts) -> None:
        """Remember what runs work with; nothing is started."""
        self._parts = parts
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}  # by source id
        self._threads: list[threading.Thread] = []

    def start(
        self,
        source: SourceRecord,
        by: int = LOCAL_PRINCIPAL_ID,
        *,
        confirm_deletions: bool = False,
        force: bool = False,
    ) -> int:
        """Start a run of *source* in the name of the principal *by* and return its id once it has one.

        Raises Conflict while another run of that source is going on, and the run's own error if it ended
        before it had begun.
        """
        before = self._newest(source)
        running = self._started(_Running(source, by, confirm_deletions, force))
        running.begun.wait(PATIENCE_S)
        newest = self._newest(source)
        if newest == before:
            raise running.error or IndexingError(f"The run of {source.name} did not begin.")
        running.run_id = newest
        return newest

    def carry_out(self, claim: Claim) -> None:
        """Carry out a run that was started in the catalog already, in the background. Raises Conflict as ``start``."""
        self._started(_Running(claim.source, None, run_id=claim.run_id))

    def _started(self, running: _Running) -> _Running:
        source = running.source
        run = contextvars.copy_context().run  # the request's id and door are the run's too
        thread = threading.Thread(target=run, args=(self._run, running), name=f"sync-{source.name}", daemon=True)
        with self._lock:
            if source.id in self._running:
                remedy = "Wait for it to finish; GET /v1/runs shows where it is."
                raise Conflict(f"A run of the source {source.name} is going on.", remedy=remedy)
            self._running[source.id] = running
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return running

    def _newest(self, source: SourceRecord) -> int:
        with self._parts.catalog.reading() as session:
            return max((run.id for run in runs.runs(session, source_id=source.id, limit=1)), default=0)

    def is_running(self, source_id: int) -> bool:
        """Tell whether a run of this source is going on in this process."""
        with self._lock:
            return source_id in self._running

    def count(self) -> int:
        """Return how many runs are going on in this process."""
        with self._lock:
            return len(self._running)

    def progress(self, run_id: int) -> Progress | None:
        """Return where a run of this process is; None for one that ended or is another process's."""
        with self._lock:
            return next((r.progress for r in self._running.values() if r.run_id == run_id), None)

    def cancel(self, run_id: int) -> None:
        """Let the run stop at once if it is of this process; others hear of it through the catalog."""
        with self._lock:
            for running in self._running.values():
                if running.run_id == run_id:
                    running.cancel.set()

    def stop(self) -> None:
        """Cancel all runs and wait for them, so that the catalog is not closed under them."""
        with self._lock:
            for running in self._running.values():
                running.cancel.set()
            threads = list(self._threads)
        for thread in threads:
            thread.join(PATIENCE_S)

    def _run(self, running: _Running) -> None:
        """Run in a thread: the run, then a new generation if one is due."""

        def on_progress(progress: Progress) -> None:
            running.progress = progress
            running.begun.set()

        source = running.source
        try:
            sync_source(
                indexing_of(self._parts, running.by),
                source,
                on_progress=on_progress,
                confirm_deletions=running.confirm_deletions,
                cancel=running.cancel,
                run_id=running.run_id,
                force=running.force,
            )
        except IndexingError as exc:
            running.error = exc
            log.warning("A run failed.", action="sync_failed", source_id=source.id, error=type(exc).__name__)
        except Exception:  # boundary of the thread: nobody else would hear of it
            running.error = IndexingError(f"The run of {source.name} failed unexpectedly.")
            log.exception("A run crashed.", action="sync_crashed", source_id=source.id)
        finally:
            # Before publishing: who sees that the run has ended may start the next one at once.
            with self._lock:
                del self._running[source.id]
            running.begun.set()
        if not running.cancel.is_set():
            self._publish(source)

    def _publish(self, source: SourceRecord) -> None:
        """Build a new generation if one is due. Without one everything is still found, only more slowly."""
        try:
            self._parts.index.publish()
        except IndexingError:
            log.exception("No new generation was built.", action="publish_failed", source_id=source.id)
