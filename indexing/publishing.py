"""The last step of a guarded run: its candidate is published when the gate opens, in one transaction, or waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from indexing import changelog, runs, store_candidate

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.db import Catalog
    from indexing.trial import Gate

_log = structlog.get_logger(__name__)


def begin_candidate(catalog: Catalog, source_id: int, run_id: int) -> int:
    """Return the id of the source's hidden twin, empty, for the run to write to. Raises RunLost."""
    with catalog.transaction() as session:
        changelog.lock(session)
        runs.hold(session, run_id)
        return store_candidate.begin(session, source_id)


def pass_gate(
    catalog: Catalog,
    gate: Gate,
    source_id: int,
    run_id: int,
    show: Callable[[int, int], None],
    *,
    measured: bool,
) -> bool:
    """Publish the candidate if it is good enough, and return whether it is held; the verdict is kept either way.

    With no candidate nothing is held, and nothing is asked unless what is served shall be *measured*. *show* is told
    how many questions were asked, of how many. Raises RunLost.
    """
    with catalog.reading() as session:
        served, candidate = store_candidate.served(session, source_id), store_candidate.trial(session, source_id)
    if not (candidate or measured):
        return False
    verdict = gate.judge(served, candidate, show)
    held = verdict.closes and candidate is not None
    with catalog.transaction() as session:
        changelog.lock(session)
        runs.hold(session, run_id)
        if candidate is not None and not held:
            store_candidate.publish(session, source_id)
        runs.put_verdict(session, run_id, verdict)
    if held:
        _log.warning("The gate is closed.", action="gate_closed", source_id=source_id, run=run_id)
    return held
