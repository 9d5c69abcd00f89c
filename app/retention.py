"""What is kept, and for how long: questions, answers, feedback, the audit log, the history of runs, what was told.

Applied when the server starts, then once a day, and by ``metier retention apply``.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, select

from app import audit
from app.slack import store_help, store_inbox, store_threads
from app.tables import AnswerRow
from indexing import runs_history, targets
from indexing.compaction import compact
from indexing.errors import CatalogError
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.settings import AppSettings
    from indexing.db import Catalog

log = structlog.get_logger(__name__)

#: Answers deleted in one transaction, so that nobody waits long for it.
BATCH = 500
DAY_S = 86_400.0
#: Days that runs are kept; the last ten of each source stay. No setting: they hold no questions, and are few.
RUNS_KEPT_DAYS = 90
#: What came in from Slack is kept so long: Slack sends the same thing again for minutes only.
SLACK_KEPT = timedelta(days=1)
#: Longest wait for the thread when the server stops.
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one application of the retention came to."""

    answers: int  # each with its question and feedback
    audit_lines: int
    runs: int
    scrubbed: bool  # the bytes are gone from the database's files too
    receipts: int  # of deleted documents of which nothing is left on this host since


def forget_answers(session: Session, before: datetime) -> int:
    """Delete at most BATCH of the answers asked before then, with their feedback, and return how many."""
    old = select(AnswerRow.id).where(AnswerRow.asked_at < before).order_by(AnswerRow.asked_at).limit(BATCH)
    gone = session.execute(delete(AnswerRow).where(AnswerRow.id.in_(old)).returning(AnswerRow.id)).all()
    if gone:
        audit.record(session, None, "answer.forget", len(gone))
    return len(gone)


def apply(catalog: Catalog, settings: AppSettings, now: datetime | None = None) -> Forgotten:
    """Delete what is older than the settings say, and return what that was; with nothing old, none is."""
    now = now or utc_now()
    answers = lines = 0
    if settings.answers_kept_days != "forever":
        before = now - timedelta(days=settings.answers_kept_days)
        while _old_answer(catalog, before):
            with catalog.transaction() as session:
                answers += forget_answers(session, before)
        _forget_turns(catalog, before)
    if settings.audit_kept_days != "forever":
        before = now - timedelta(days=settings.audit_kept_days)
        with catalog.reading() as session:
            oldest = next(audit.lines(session, limit=1), None)
        if oldest is not None and oldest.at < before:
            with catalog.transaction() as session:
                lines = audit.forget(session, before)
    with catalog.transaction() as session:
        targets.forget(session, now - targets.KEPT)
        store_inbox.forget(session, now - SLACK_KEPT)
    forgotten = _forget_runs(catalog, now - timedelta(days=RUNS_KEPT_DAYS))
    compacted = compact(catalog, settings.cache_dir)
    return Forgotten(answers, lines, forgotten, compacted.scrubbed, compacted.receipts)


def _forget_turns(catalog: Catalog, before: datetime) -> None:
    """Delete what was said in Slack before then: it is kept as long as answers are."""
    with catalog.reading() as session:
        any_old = store_threads.any_old(session, before) or store_help.any_old(session, before)
    if any_old:
        with catalog.transaction() as session:
            store_threads.forget(session, before)
            store_help.forget(session, before)


def _forget_runs(catalog: Catalog, before: datetime) -> int:
    """Delete the runs that began before then, but for the last of each source, and return how many."""
    forgotten = 0
    while _old_run(catalog, before):
        with catalog.transaction() as session:
            gone = runs_history.forget_runs(session, before)
            audit.record(session, None, "run.forget", gone)
            forgotten += gone
    return forgotten


def _old_run(catalog: Catalog, before: datetime) -> bool:
    with catalog.reading() as session:
        return runs_history.any_old(session, before)


def _old_answer(catalog: Catalog, before: datetime) -> bool:
    with catalog.reading() as session:
        return session.scalar(select(AnswerRow.id).where(AnswerRow.asked_at < before).limit(1)) is not None


@contextmanager
def daily(catalog: Catalog, settings: AppSettings) -> Iterator[None]:
    """Apply the retention now and once a day, in a thread, until the block is left."""
    stop = threading.Event()
    thread = threading.Thread(target=_until, args=(stop, catalog, settings), name="retention", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def _until(stop: threading.Event, catalog: Catalog, settings: AppSettings) -> None:
    with structlog.contextvars.bound_contextvars(door="server"):
        while not stop.is_set():
            try:
                _day(catalog, settings)
            except CatalogError as exc:
                log.warning("Nothing was forgotten today.", action="retention_failed", reason=str(exc))
            stop.wait(DAY_S)


def _day(catalog: Catalog, settings: AppSettings) -> None:
    """Apply the retention, and put the head of the audit log where it can be found if the log is made anew."""
    done = apply(catalog, settings)
    if done.answers or done.audit_lines or done.runs:
        counts = {"answers": done.answers, "lines": done.audit_lines, "runs": done.runs}
        log.info("Old records were deleted.", action="retention", **counts)
    if not done.scrubbed:
        log.warning("Deleted text is still in the write-ahead log: somebody reads.", action="not_scrubbed")
    with catalog.reading() as session:
        end = audit.head(session)
    log.info("This is the end of the audit log.", action="audit_head", head=str(end))
