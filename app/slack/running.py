"""The bots of this server: one for each connected workspace, started with the server and stopped with it.

Workspaces are looked up again every few seconds, and so are their secrets: one that is connected while the server runs
is served soon, one whose secret is gone is not served any more. Any number of servers may run the bots of one catalog.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog

from app.quotas import Quotas
from app.slack import files, recall, reviewed, signed, store_workspaces, weekly, who
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.store_inbox import LEASE_S
from app.slack.transport import PING_S, SILENT_S, Listener, Reply, Socket, answer, bolt_app
from app.slack.working import Workers
from indexing.errors import IndexingError, SourceError
from indexing.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slack_bolt import App

    from app.metrics import Metrics
    from app.parts import Parts
    from app.settings import AppSettings
    from app.slack.records import Workspace
    from app.slack.working import Handle, Sign

log = structlog.get_logger(__name__)

#: What ends at its time though no workspace can be served. Each server does it once in a while: cheap when nothing is
#: due, and safe at the same time.
ENDING: tuple[Callable[[Parts], None], ...] = (reviewed.expire, files.expire)
#: What is done for each bot, in the same way.
PERIODIC: tuple[Callable[[Bot], None], ...] = (who.refresh, reviewed.tell_expired, recall.look, weekly.tell)
#: Longest wait for jobs at work when the server stops; those that take longer are done by another one.
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the bots are, in seconds. Tests are less patient."""

    lease: float = LEASE_S  # a job of a process that died is done by another one after this
    silent: float = SILENT_S  # a socket that says nothing is replaced
    ping: float = PING_S
    look: float = 5.0  # between two looks for workspaces
    periodic: float = 30.0  # between two calls of PERIODIC


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets of a workspace, as they are now."""

    bot: str
    app: str | None = None
    signing: str | None = None


def tokens_of(settings: AppSettings, workspace: Workspace) -> Tokens:
    """Return the secrets that the workspace's transport needs. Raises SourceError when one is not there."""
    folders = settings.secret_folders
    bot = read_secret(folders, workspace.bot_secret)
    if workspace.transport == "http":
        return Tokens(bot, signing=read_secret(folders, workspace.signing_secret or ""))
    return Tokens(bot, app=read_secret(folders, workspace.app_secret or ""))


class Running:
    """The bots that this process runs."""

    def __init__(
        self,
        parts: Parts,
        metrics: Metrics,
        handle: Handle,
        sign: Sign,
        periodic: Sequence[Callable[[Bot], None]] = PERIODIC,
        pace: Pace | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.quotas = quotas or Quotas(None, None)
        self.parts, self.metrics, self.handle, self.sign, self.periodic = parts, metrics, handle, sign, periodic
        self.pace = pace or Pace()
        self.bots: dict[str, RunningBot] = {}
        #: Why a connected workspace has no bot, by its id.
        self.troubles: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="slack", daemon=True)

    def start(self) -> None:
        """Run the bots of the workspaces that are connected, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop them all; what they were doing is finished, or done by another server."""
        self._stop.set()
        self._thread.join(PATIENCE_S)  # something due may wait for Slack for longer
        for team_id in list(self.bots):
            self.bots.pop(team_id).stop()

    def receive(self, headers: Mapping[str, str], raw_body: bytes, now: float) -> Reply:
        """Return the reply to a request to the HTTP transport; 401 unless a workspace's secret has signed it."""
        found = None
        for each in list(self.bots.values()):  # all of them, so that the time tells nothing
            if each.tokens.signing is None:
                continue
            digest = signed.verified(each.tokens.signing, headers, raw_body, now)
            if digest is not None:
                found = (each, digest)
        if found is None:
            return Reply(HTTPStatus.UNAUTHORIZED)
        bot, digest = found
        return answer(bot.app, raw_body, headers.get("content-type", ""), digest)

    # --- the thread -------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        next_tick = time.monotonic() + min(1.0, self.pace.periodic)
        with structlog.contextvars.bound_contextvars(door="slack"):
            while not self._stop.is_set():
                try:
                    self._look()
                except IndexingError as exc:
                    log.warning("Workspaces could not be read.", action="slack_unread", why=exc.message)
                except Exception:  # boundary of the thread: no bot would be started any more
                    log.exception("A look at the workspaces failed.", action="slack_look_failed")
                if time.monotonic() >= next_tick:
                    self._tick()
                    next_tick = time.monotonic() + self.pace.periodic
                self._stop.wait(self.pace.look)

    def _look(self) -> None:
        """Start and stop bots, so that there is one for each connected workspace whose secrets are there."""
        with self.parts.catalog.reading() as session:
            connected = {each.team_id: replace(each, heard_at=None) for each in store_workspaces.workspaces(session)}
        for team_id in [team_id for team_id in self.bots if team_id not in connected]:
            self.bots.pop(team_id).stop()
            log.info("A workspace is not served any more.", action="slack_stopped", team=team_id)
        self.troubles = {team_id: why for team_id, why in self.troubles.items() if team_id in connected}
        for team_id, workspace in connected.items():
            try:
                tokens = tokens_of(self.parts.settings, workspace)
            except SourceError as exc:
                self._cannot_serve(team_id, exc)
                continue
            self.troubles.pop(team_id, None)
            found = self.bots.get(team_id)
            if found is None or (found.bot.workspace, found.tokens) != (workspace, tokens):
                if found is not None:
                    self.bots.pop(team_id).stop()
                self.bots[team_id] = self._started(workspace, tokens)

    def _cannot_serve(self, team_id: str, exc: SourceError) -> None:
        if (found := self.bots.pop(team_id, None)) is not None:
            found.stop()
        if self.troubles.get(team_id) != exc.message:
            self.troubles[team_id] = exc.message
            log.error("A workspace cannot be served.", action="slack_no_secret", team=team_id, why=exc.message)

    def _started(self, workspace: Workspace, tokens: Tokens) -> RunningBot:
        def count(outcome: str) -> None:
            self.metrics.slack_calls.labels(outcome).inc()

        bot = Bot(self.parts, self.metrics, workspace, Slack(tokens.bot, workspace.api_url, count), self.quotas)
        workers = Workers(bot, self.handle, self.sign, lease_s=self.pace.lease)
        app = bolt_app(bot, Listener(bot, workers.accepted))
        socket = None
        if tokens.app is not None:
            socket = Socket(bot, app, tokens.app, silent_s=self.pace.silent, ping_s=self.pace.ping)
        found = RunningBot(bot, tokens, app, workers, socket)
        workers.start()
        if socket is not None:
            socket.start()
        log.info("A workspace is served.", action="slack_served", team=workspace.team_id, transport=workspace.transport)
        return found

    def _tick(self) -> None:
        for_bots = [partial(due, each.bot) for each in list(self.bots.values()) for due in self.periodic]
        for due in [*(partial(ends, self.parts) for ends in ENDING), *for_bots]:
            if self._stop.is_set():
                return
            try:
                due()
            except IndexingError as exc:
                log.warning("Something due was not done.", action="slack_due", error=type(exc).__name__)
            except Exception:  # boundary: one of them must not keep others from being done
                log.exception("Something due failed unexpectedly.", action="slack_due_crashed")


@dataclass(frozen=True)
class RunningBot:
    """A bot at work."""

    bot: Bot
    tokens: Tokens
    app: App
    workers: Workers
    socket: Socket | None

    def stop(self) -> None:
        """Take nothing in any more, then finish what is being done."""
        if self.socket is not None:
            self.socket.stop()
        self.workers.stop(PATIENCE_S)
