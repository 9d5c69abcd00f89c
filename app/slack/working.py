"""The threads that do the jobs of one workspace. Any number of processes may have them: a job is done by who claims it.

A job of the lane ``answer`` is signed first, so that who asked sees at once that something happens: by the worker that
begins it, or, while all of them are busy, by a thread that does nothing else and tells how many come before it.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from app.errors import SlackError
from app.slack import store_inbox
from indexing.errors import IndexingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.slack.bot import Bot
    from app.slack.records import Incoming, Job

    Handle = Callable[[Bot, Job], None]
    Sign = Callable[[Bot, Job, int], None]

log = structlog.get_logger(__name__)

#: How many jobs of each lane a process does at once.
THREADS = {"answer": 2, "quick": 1}
#: How often a worker looks for what other processes accepted, or left behind.
LOOK_S = 1.0
#: Longest wait for a sign that is on its way.
SIGN_S = 20.0
#: Seconds before a job that failed begins again, after each attempt.
PAUSES_S = (2.0, 10.0, 30.0, 60.0)
#: What Slack says when trying again cannot help.
_HOPELESS = frozenset(
    {
        "account_inactive",
        "channel_not_found",
        "expired_trigger_id",
        "invalid_auth",
        "invalid_blocks",
        "is_archived",
        "missing_scope",
        "not_authed",
        "not_in_channel",
        "token_revoked",
        "trigger_expired",
        "trigger_exchanged",
        "user_not_found",
    }
)


class Workers:
    """Claims jobs of the bot's workspace, and does them, until it is stopped."""

    def __init__(self, bot: Bot, handle: Handle, sign: Sign, *, lease_s: float = store_inbox.LEASE_S) -> None:
        self.bot, self.handle, self.sign, self.lease_s = bot, handle, sign, lease_s
        self._stop = threading.Event()
        self._wake = {lane: threading.Semaphore(0) for lane in THREADS}
        self._lock = threading.Lock()
        self._at_work: dict[int, Job] = {}
        self._signing: dict[int, threading.Event] = {}
        self._unsigned: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended = threading.Event()
        lanes = [lane for lane, count in THREADS.items() for _ in range(count)]
        self._workers = [
            threading.Thread(target=self._work, args=(lane,), name=f"slack-{lane}", daemon=True) for lane in lanes
        ]
        self._others = [
            threading.Thread(target=self._renew, name="slack-leases", daemon=True),
            threading.Thread(target=self._sign_waiting, name="slack-signs", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in (*self._workers, *self._others):
            thread.start()

    def stop(self, patience_s: float) -> None:
        """Claim nothing more, and wait so long for the jobs at work; those that take longer are done by others."""
        deadline = time.monotonic() + patience_s
        self._stop.set()
        for lane, semaphore in self._wake.items():
            semaphore.release(THREADS[lane])
        for thread in self._workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()  # until now the leases of those at work were renewed
        for thread in self._others:
            thread.join(max(LOOK_S, deadline - time.monotonic()))

    def accepted(self, incoming: Incoming, job_id: int) -> None:
        """Begin this job at once if a worker is idle; else have it signed. To be called after the commit."""
        self._wake[incoming.lane].release()
        if incoming.lane == "answer" and self.busy:
            self._unsigned.put(job_id)

    @property
    def busy(self) -> bool:
        """Whether every worker that answers has a job."""
        with self._lock:
            return sum(job.incoming.lane == "answer" for job in self._at_work.values()) >= THREADS["answer"]

    # --- the threads ------------------------------------------------------------------------------------------

    def _work(self, lane: str) -> None:
        with structlog.contextvars.bound_contextvars(door="slack"):
            while not self._stop.is_set():
                try:
                    if not self._one(lane):
                        self._wake[lane].acquire(timeout=LOOK_S)
                except IndexingError as exc:
                    log.warning("Jobs could not be read.", action="slack_jobs_unread", why=exc.message)
                    self._stop.wait(LOOK_S)
                except Exception:  # boundary of the thread: nothing would be answered any more
                    log.exception("A worker failed unexpectedly.", action="slack_worker_crashed")
                    self._stop.wait(LOOK_S)

    def _one(self, lane: str) -> bool:
        """Do one job, and return whether there was any."""
        catalog, team_id = self.bot.parts.catalog, self.bot.workspace.team_id
        with catalog.reading() as session:  # most looks find nothing, and should not wait for the write lock
            if not store_inbox.anything(session, team_id, lane):
                return False
        with catalog.transaction() as session:
            job = store_inbox.claim(session, team_id, lane, self.lease_s)
        if job is None:
            return False
        with self._held(job):
            self._do(job)
        return True

    def _do(self, job: Job) -> None:
        kind = job.incoming.kind
        with structlog.contextvars.bound_contextvars(job=job.id, team=self.bot.workspace.team_id):
            outcome = self._outcome(job)
            self.bot.metrics.slack_jobs.labels(kind, outcome).inc()
            log.info("A job of Slack ended.", action="slack_job", kind=kind, outcome=outcome, attempt=job.attempts)

    def _outcome(self, job: Job) -> str:
        """Do the job, write how it ended, and return that: done, again, failed, lost."""
        try:
            self._sign(job)
            self.handle(self.bot, job)
        except IndexingError as exc:
            code = exc.code if isinstance(exc, SlackError) else ""
            log.warning("A job of Slack failed.", action="slack_job_failed", error=type(exc).__name__, code=code)
            return self._failed(job, code or type(exc).__name__, hopeless=code in _HOPELESS)
        except Exception as exc:  # boundary: one job must not keep others from being done
            log.exception("A job of Slack failed unexpectedly.", action="slack_job_crashed")
            return self._failed(job, type(exc).__name__, hopeless=False)
        with self.bot.parts.catalog.transaction() as session:
            return "done" if store_inbox.finish(session, job) else "lost"

    def _failed(self, job: Job, why: str, *, hopeless: bool) -> str:
        last = hopeless or job.attempts >= store_inbox.MOST_ATTEMPTS
        with self.bot.parts.catalog.transaction() as session:
            if last:
                mine = store_inbox.give_up(session, job, why)
            else:
                mine = store_inbox.again(session, job, why, PAUSES_S[min(job.attempts, len(PAUSES_S)) - 1])
        return "lost" if not mine else "failed" if last else "again"

    @contextmanager
    def _held(self, job: Job) -> Iterator[None]:
        """Renew the job's lease until the block is left."""
        with self._lock:
            self._at_work[job.id] = job
        try:
            yield
        finally:
            with self._lock:
                self._at_work.pop(job.id, None)

    def _renew(self) -> None:
        while not self._ended.wait(self.lease_s / 3):
            with self._lock:
                jobs = list(self._at_work.values())
            try:
                for job in jobs:
                    with self.bot.parts.catalog.transaction() as session:
                        mine = store_inbox.renew(session, job, self.lease_s)
                    if not mine and job.id in self._at_work:
                        log.warning("Another process has this job now.", action="slack_job_lost", job=job.id)
            except IndexingError as exc:
                log.warning("Leases could not be renewed.", action="slack_leases", why=exc.message)
            except Exception:  # boundary of the thread: every job would be done twice
                log.exception("A renewal failed unexpectedly.", action="slack_leases_crashed")

    # --- signs ------------------------------------------------------------------------------------------------

    def _sign(self, job: Job) -> None:
        """Show who asked that their question is being answered. An answer without such a sign is an answer too."""
        if job.incoming.lane != "answer":
            return
        with self._lock:
            signing = self._signing.get(job.id)
        if signing is not None:
            signing.wait(SIGN_S)  # that it waits must not be the last thing that is shown
        self._try_sign(job, 0)

    def _sign_waiting(self) -> None:
        """Sign what waits while all are busy."""
        with structlog.contextvars.bound_contextvars(door="slack"):
            while not self._stop.is_set():
                try:
                    job_id = self._unsigned.get(timeout=LOOK_S)
                except queue.Empty:
                    continue
                signed = threading.Event()
                with self._lock:
                    self._signing[job_id] = signed
                try:
                    self._sign_one(job_id)
                finally:
                    signed.set()
                    with self._lock:
                        self._signing.pop(job_id, None)

    def _sign_one(self, job_id: int) -> None:
        try:
            with self.bot.parts.catalog.reading() as session:
                job, ahead = store_inbox.waiting(session, job_id), store_inbox.ahead(session, job_id)
        except IndexingError as exc:
            log.warning("A job could not be signed.", action="slack_unsigned", job=job_id, error=type(exc).__name__)
            return
        if job is not None:  # else a worker has it meanwhile
            self._try_sign(job, ahead)

    def _try_sign(self, job: Job, ahead: int) -> None:
        try:
            self.sign(self.bot, job, ahead)
        except IndexingError as exc:
            log.info("A job could not be signed.", action="slack_unsigned", job=job.id, error=type(exc).__name__)
        except Exception:  # boundary: the answer does not depend on it
            log.exception("A sign failed unexpectedly.", action="slack_sign_crashed", job=job.id)
