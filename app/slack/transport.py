"""How what Slack says comes in: Socket Mode or HTTP, and one listener behind both, which stores before it acknowledges.

Bolt acknowledges when the listener has returned (``process_before_response``). The listener stores the event and its
job in one transaction, which takes milliseconds; when that fails nothing is acknowledged, and Slack sends it again.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from app.slack import store_inbox, store_people, store_workspaces
from app.slack.incoming import read
from indexing.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.orm import Session

    from app.slack.bot import Bot
    from app.slack.records import Incoming

    #: Told of each job that this process has accepted, so that its workers need not look for it.
    Accepted = Callable[[Incoming, int], None]

log = structlog.get_logger(__name__)

#: A socket that has said nothing for so long, not even a pong, is replaced by a new one.
SILENT_S = 30.0
PING_S = 5.0
#: Longest wait for a socket that is being closed.
CLOSE_S = 5.0
#: Longest pause between two tries to open a socket.
LONGEST_PAUSE_S = 60.0
#: Bolt and the SDK log bodies, which hold what people wrote: what goes wrong is logged here instead.
_SILENCED = logging.getLogger("app.slack.bolt")
_SILENCED.setLevel(logging.CRITICAL)
_DIGEST = "metier_digest"


# --- the listener ---------------------------------------------------------------------------------------------


class Listener:
    """Stores what comes in for one workspace."""

    def __init__(self, bot: Bot, accepted: Accepted) -> None:
        self.bot, self.accepted = bot, accepted
        self._heard = -store_workspaces.HEARD_EVERY_S

    def take(self, body: Mapping[str, Any], digest: str | None = None) -> bool:
        """Store what *body* says; False when the request was already used once, and must not be again.

        Raises CatalogError when it could not be stored: then it must not be acknowledged.
        """
        workspace = self.bot.workspace
        incoming = read(body, workspace.bot_user_id)
        if incoming is not None and incoming.team_id != workspace.team_id:
            log.warning("Something came for another workspace.", action="slack_not_ours", team=incoming.team_id)
            incoming = None
        heard = time.monotonic() - self._heard >= store_workspaces.HEARD_EVERY_S
        if incoming is None and not heard:
            return True
        job_id = None
        with self.bot.parts.catalog.transaction() as session:
            if heard:
                store_workspaces.heard(session, workspace.team_id)
            if incoming is not None:
                if digest is not None and not store_inbox.first_use(session, digest):
                    return False
                job_id = _noted(session, incoming)
        if heard:
            self._heard = time.monotonic()
        if incoming is not None and job_id is not None:
            self.accepted(incoming, job_id)
        return True


def _noted(session: Session, incoming: Incoming) -> int | None:
    """Note what somebody did, and return the job that it leads to, if it is a new one.

    That somebody has changed is noted at once, and is no job: a directory can change thousands within a minute, and
    clicks would wait behind them.
    """
    if incoming.kind == "user":
        store_people.forget(session, incoming.team_id, incoming.user_id)
        return None
    return store_inbox.accept(session, incoming)


def bolt_app(bot: Bot, listener: Listener) -> App:
    """Return the Bolt application that hands everything to *listener*, and asks Slack nothing."""
    workspace = bot.workspace

    def authorize(**_: Any) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None,
            team_id=workspace.team_id,
            bot_user_id=workspace.bot_user_id,
            bot_token=bot.slack.web.token,
        )

    app = App(
        name="metier",
        logger=_SILENCED,
        client=WebClient(base_url=workspace.api_url, logger=_SILENCED),
        authorize=authorize,
        process_before_response=True,
        request_verification_enabled=False,  # done before anything is parsed, with a replay store: app.slack.signed
        ignoring_self_events_enabled=False,  # done by app.slack.incoming, for both transports alike
        attaching_function_token_enabled=False,
        attaching_conversation_kwargs_enabled=False,
        raise_error_for_unhandled_request=True,
    )

    @app.middleware
    def store(body: dict[str, Any], context: Any) -> BoltResponse:
        started = time.perf_counter()
        stored = listener.take(body, context.get(_DIGEST))
        bot.metrics.slack_stored.observe(time.perf_counter() - started)
        return BoltResponse(status=HTTPStatus.OK if stored else HTTPStatus.UNAUTHORIZED, body="")

    @app.error
    def not_stored(error: Exception) -> BoltResponse:
        if isinstance(error, CatalogError):
            log.error("An event could not be stored; Slack sends it again.", action="slack_not_stored", why=str(error))
        else:
            log.error("An event failed.", action="slack_event_crashed", error=type(error).__name__, exc_info=error)
        return BoltResponse(status=HTTPStatus.INTERNAL_SERVER_ERROR, body="")

    return app


# --- HTTP -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to a request."""

    status: int
    body: str = ""
    content_type: str = "text/plain"


def answer(app: App, raw_body: bytes, content_type: str, digest: str) -> Reply:
    """Return the reply to a request whose signature is good: 200 once what it says is stored."""
    try:
        request = BoltRequest(body=raw_body.decode(), headers={"content-type": content_type}, context={_DIGEST: digest})
    except (ValueError, TypeError, AttributeError, RecursionError):  # signed, and yet no object: nothing we can read
        return Reply(HTTPStatus.BAD_REQUEST)
    response = app.dispatch(request)
    kinds = response.headers.get("content-type") or ["text/plain"]
    return Reply(response.status, response.body or "", kinds[0])


# --- Socket Mode ----------------------------------------------------------------------------------------------


class Socket:
    """A Socket Mode connection that is kept open, and replaced when it is silent."""

    def __init__(
        self, bot: Bot, app: App, app_token: str, *, silent_s: float = SILENT_S, ping_s: float = PING_S
    ) -> None:
        self.bot, self.app, self.app_token = bot, app, app_token
        self.silent_s, self.ping_s = silent_s, ping_s
        #: Why there is no connection, in Slack's word; "" while there is one.
        self.trouble = "starting"
        self.opened = 0  # connections, the first one included, that the watchdog has made
        self._handler: SocketModeHandler | None = None
        self._stop = threading.Event()
        self._last = time.monotonic()
        self._pong: float | None = None
        name = f"slack-watchdog-{bot.workspace.team_id}"
        self._watchdog = threading.Thread(target=self._watch, name=name, daemon=True)

    def start(self) -> None:
        """Connect, in the background; a connection that cannot be made is tried again."""
        self._watchdog.start()

    def stop(self, patience_s: float = 10.0) -> None:
        """Close the connection."""
        self._stop.set()
        self._watchdog.join(patience_s)

    @property
    def silent_for_s(self) -> float:
        """How long Slack has said nothing over this connection, not even a pong."""
        return time.monotonic() - self._last

    def _watch(self) -> None:
        pause_s = 1.0
        while not self._stop.is_set():
            try:
                if self._handler is None:
                    self._open()
                    pause_s = 1.0
                elif self._is_dead():
                    log.warning("A silent socket is replaced.", action="slack_socket_silent", team=self._team)
                    self._close()
                    continue
            except (SlackApiError, SlackClientError, OSError) as exc:
                self._troubled(exc)
                self._close()
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:  # boundary of the thread: nothing would come in any more
                log.exception("A socket failed unexpectedly.", action="slack_socket_crashed", team=self._team)
                self._close()
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._stop.wait(min(1.0, self.silent_s / 4))
        self._close()

    @property
    def _team(self) -> str:
        return self.bot.workspace.team_id

    def _open(self) -> None:
        handler = SocketModeHandler(
            self.app,
            self.app_token,
            logger=_SILENCED,
            web_client=WebClient(base_url=self.bot.workspace.api_url, logger=_SILENCED),
            ping_interval=self.ping_s,
        )
        self._handler = handler
        handler.client.on_message_listeners.append(self._message)
        self._last, self._pong = time.monotonic(), None
        handler.client.connect()
        self.opened += 1
        log.info("Connected to Slack.", action="slack_connected", team=self._team)

    def _close(self) -> None:
        handler, self._handler = self._handler, None
        if handler is None:
            return
        # In a thread of its own: the SDK waits for its own threads, of which one may hang in a dead socket.
        closing = threading.Thread(target=self._closed, args=(handler,), name="slack-socket-closing", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _closed(self, handler: SocketModeHandler) -> None:
        handler.client.auto_reconnect_enabled = False
        sock = getattr(handler.client.current_session, "sock", None)
        try:
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # wakes up the thread that reads: the SDK waits for it
            handler.client.close()
        except Exception:  # boundary of the thread; the socket was given up already
            log.warning("A socket could not be closed.", action="slack_socket_unclosed", team=self._team, exc_info=True)

    def _message(self, message: str) -> None:
        """Note that the socket lives, and why Slack ends it. Called by the SDK for each message."""
        self._last = time.monotonic()
        self.trouble = ""
        if '"disconnect"' in message and '"link_disabled"' in message:
            self.trouble = "link_disabled"
            log.error("Socket Mode was turned off for the app.", action="slack_link_disabled", team=self._team)

    def _is_dead(self) -> bool:
        """Whether nothing has come for silent_s: no message, no pong, and no new connection made by the SDK."""
        session = self._handler.client.current_session if self._handler is not None else None
        pong = getattr(session, "last_ping_pong_time", None)
        if pong is not None and pong != self._pong:
            self._pong, self._last = pong, time.monotonic()
            if self.trouble != "link_disabled":
                self.trouble = ""
        return self.silent_for_s > self.silent_s

    def _troubled(self, exc: Exception) -> None:
        code = str(exc.response.get("error") or "") if isinstance(exc, SlackApiError) else ""
        self.trouble = code or type(exc).__name__
        log.warning("Slack cannot be connected to.", action="slack_unconnected", team=self._team, why=self.trouble)
