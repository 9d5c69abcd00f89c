"""The part of the server that starts runs by their schedules. Any number of replicas may do it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app import audit
from app.errors import Conflict
from indexing import runs, schedules
from indexing.errors import IndexingError

if TYPE_CHECKING:
    import threading

    from app.ingest import Synchronizations
    from indexing.db import Catalog

log = structlog.get_logger(__name__)

#: How often it looks for what is due. A cron expression is exact to the minute.
LOOK_S = 5.0


def keep_schedules(catalog: Catalog, synchronizations: Synchronizations, stop: threading.Event) -> None:
    """Start what is due until *stop* is set; runs for as long as the server does, whatever goes wrong with one look."""
    while not stop.is_set():
        try:
            start_due(catalog, synchronizations)
        except IndexingError as exc:
            log.warning("Schedules could not be read.", action="schedules_unread", why=exc.message)
        except Exception:  # boundary of the thread: nothing would be synchronised any more
            log.exception("A look at the schedules failed.", action="schedules_failed")
        stop.wait(LOOK_S)


def start_due(catalog: Catalog, synchronizations: Synchronizations) -> list[int]:
    """Start the runs that are due, in the background, and return their ids."""
    if not _anything_to_do(catalog):
        return []
    with catalog.transaction() as session:
        claims = schedules.claim_due(session)
        for claim in claims:
            audit.record(session, None, "source.sync", claim.run_id)
    started = []
    for claim in claims:
        try:
            synchronizations.carry_out(claim)
        except Conflict:
            # The thread of the run before has stored its end and is on its way out: its source is tried again soon.
            with catalog.transaction() as session:
                if runs.fail_run(session, claim.run_id):  # else another server has taken it over meanwhile
                    schedules.settle(session, claim.source.id, succeeded=False)
        else:
            started.append(claim.run_id)
            log.info("A scheduled run begins.", action="run_due", run=claim.run_id, source_id=claim.source.id)
    return started


def _anything_to_do(catalog: Catalog) -> bool:
    """Look without the write lock: most looks find nothing, and writers should not wait for them."""
    with catalog.reading() as session:
        return schedules.anything_due(session)
