"""How events, commands and clicks reach the app: over Socket Mode, or as signed HTTP requests; with Slack's retries.

Follows https://docs.slack.dev/apis/events-api/using-socket-mode and https://docs.slack.dev/apis/events-api#retries and
https://docs.slack.dev/authentication/verifying-requests-from-slack. Everything here runs in the server's event loop,
except ``announce`` and ``interact``, which any thread may call.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from starlette.websockets import WebSocketDisconnect

from app.testing.slack_api import Refused
from app.testing.slack_shapes import VERIFICATION_TOKEN, event_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.websockets import WebSocket

    from app.testing.slack_manifest import Manifest
    from app.testing.slack_world import Channel, World

MOST_LINES = 10  # connections of one app
RETRIES = 3
GRACE_S = 0.3  # between a disconnect message and the end of the connection; Slack gives ten seconds


@dataclass
class Options:
    """Where the app listens, and how patient Slack is. Tests make its pauses short: Slack's are 0, 60 and 300 s."""

    manifest: Manifest
    events_url: str | None = None
    commands_url: str | None = None
    interactivity_url: str | None = None
    ack_within_s: float = 3.0
    pauses_s: tuple[float, ...] = (0.0, 0.2, 0.5)
    page_size: int = 3
    copies: int = 1
    link_enabled: bool = True


@dataclass
class Delivery:
    """One try to bring something to the app. ``acked_after``: seconds until it was acknowledged, None for never."""

    event_id: str  # "" for commands and clicks
    envelope_id: str
    kind: str
    attempt: int
    line: int  # the connection's number, 0 over HTTP
    at: float
    payload: dict[str, Any]
    acked_after: float | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 0  # over HTTP

    @property
    def acked(self) -> bool:
        """Whether the app acknowledged it."""
        return self.acked_after is not None


@dataclass
class Interaction:
    """A command, a click or a submission on its way. ``answer`` is what the app acknowledged it with.

    ``then`` does what Slack does with the answer; ``refused`` is why it could not ("" for nothing).
    """

    payload: dict[str, Any]
    then: Callable[[dict[str, Any]], None] | None = None
    refused: str = ""
    acked: bool = False
    answer: dict[str, Any] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def trigger_id(self) -> str:
        """With which the app can open a view."""
        return str(self.payload["trigger_id"])

    @property
    def response_url(self) -> str:
        """Where the app can post what this one person, or the conversation, reads."""
        return str(self.payload["response_url"])

    def wait(self, within_s: float = 60.0) -> dict[str, Any]:
        """Return what the app acknowledged it with. Raises TimeoutError where it did not, as people see it."""
        if not self.ended.wait(within_s) or not self.acked:
            raise TimeoutError("the app did not acknowledge it in time: the person reads 'operation_timeout'")
        return self.answer


@dataclass(eq=False)
class Line:
    """An open connection of Socket Mode."""

    number: int
    socket: WebSocket
    ticket: str
    leaving: bool = False
    silent: bool = False


class Outgoing:
    """Brings what happens in the workspace to the app."""

    def __init__(self, world: World, options: Options, signing_secret: str) -> None:
        self.world, self.options, self.signing_secret = world, options, signing_secret
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lines: list[Line] = []
        self.tickets: set[str] = set()
        self.silent_tickets: set[str] = set()
        self.deliveries: list[Delivery] = []
        self.lost: list[dict[str, Any]] = []  # events that were never acknowledged
        self._waiting: dict[str, tuple[Delivery, asyncio.Future[dict[str, Any]]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._numbers = count(1)
        self._opened: asyncio.Event | None = None

    def started(self) -> None:
        """Take the running loop as the one to deliver from."""
        self.loop, self._opened = asyncio.get_running_loop(), asyncio.Event()

    def stop(self) -> None:
        """End what is on its way."""
        for task in self._tasks:
            task.cancel()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run *work* in the loop, from any thread. Nothing happens when the server is not running."""
        if self.loop is None or self.loop.is_closed():
            work.close()
            return
        self.loop.call_soon_threadsafe(self._run, work)

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def announce(self, event: dict[str, Any], channel: Channel | None) -> None:
        """Send *event* if the app has asked for it, and is in the conversation that it is about."""
        if channel is not None and self.world.bot.id not in channel.members:
            return
        if not self.options.manifest.sends(event, channel.kind if channel else ""):
            return
        # As it is now: what is sent must not change with the world.
        payload = json.loads(json.dumps(event_callback(self.world, event, channel)))
        tried: set[int] = set()
        for _ in range(self.options.copies):
            self.spawn(self._deliver(payload, tried))

    def interact(
        self, kind: str, payload: dict[str, Any], then: Callable[[dict[str, Any]], None] | None = None
    ) -> Interaction:
        """Send a command (``slash_commands``) or another interaction (``interactive``), once."""
        interaction = Interaction(json.loads(json.dumps(payload)), then)
        self.spawn(self._interact(kind, interaction))
        return interaction

    async def _deliver(self, payload: dict[str, Any], tried: set[int]) -> None:
        reason = ""
        for attempt in range(1 + RETRIES):
            if attempt:
                await asyncio.sleep(self.options.pauses_s[min(attempt, len(self.options.pauses_s)) - 1])
            delivery = self._record("events_api", payload, attempt)
            if self.options.events_url:
                reason, no_retry = await self._post_event(self.options.events_url, delivery, reason)
                if no_retry:
                    break
            else:
                more = {"accepts_response_payload": False, "retry_attempt": attempt, "retry_reason": reason}
                await self._send(delivery, more, tried)
                reason = "timeout"
            if delivery.acked:
                return
        self.lost.append(payload)

    async def _interact(self, kind: str, interaction: Interaction) -> None:
        url = self.options.commands_url if kind == "slash_commands" else self.options.interactivity_url
        delivery = self._record(kind, interaction.payload, 0)
        try:
            if url:
                form = interaction.payload if kind == "slash_commands" else {"payload": json.dumps(interaction.payload)}
                await self._post(url, delivery, urlencode(form).encode(), {"Content-Type": FORM})
            else:
                sending = self._send(delivery, {"accepts_response_payload": True}, set())
                await asyncio.wait_for(sending, 2 * self.options.ack_within_s)  # nobody may be connected
        except (OSError, http.client.HTTPException, TimeoutError):
            return  # the person reads that it did not work; whoever waits for it sees that
        finally:
            interaction.acked, interaction.answer = delivery.acked, delivery.answer
            self._follow(interaction)
            interaction.ended.set()

    def _follow(self, interaction: Interaction) -> None:
        if interaction.acked and interaction.then:
            try:
                interaction.then(interaction.answer)
            except Refused as exc:
                interaction.refused = f"{exc.error} {exc.more}"

    def _record(self, kind: str, payload: dict[str, Any], attempt: int) -> Delivery:
        found = Delivery(payload.get("event_id", ""), str(uuid.uuid4()), kind, attempt, 0, time.time(), payload)
        self.deliveries.append(found)
        return found

    # --- Socket Mode ----------------------------------------------------------------------------------------------

    async def _send(self, delivery: Delivery, more: dict[str, Any], tried: set[int]) -> None:
        line = await self._line(tried)
        tried.add(line.number)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[delivery.envelope_id] = (delivery, future)
        delivery.line, delivery.at = line.number, time.time()
        envelope = {"envelope_id": delivery.envelope_id, "payload": delivery.payload, "type": delivery.kind}
        try:
            await self.write(line, envelope | more)
            delivery.answer = await asyncio.wait_for(future, self.options.ack_within_s)
        except TimeoutError:
            return
        finally:
            self._waiting.pop(delivery.envelope_id, None)

    async def _line(self, tried: set[int]) -> Line:
        """Return the connection for the next event: one that was not tried before, if there is one."""
        assert self._opened is not None  # noqa: S101
        while not (open_lines := [line for line in self.lines if not line.leaving]):
            self._opened.clear()
            await self._opened.wait()
        open_lines.sort(key=lambda line: (line.number in tried, self._load(line)))
        return open_lines[0]

    def _load(self, line: Line) -> int:
        return sum(1 for delivery in self.deliveries[-100:] if delivery.line == line.number)

    async def write(self, line: Line, message: dict[str, Any]) -> None:
        """Send *message*; nothing arrives on a silent connection, nor on one that has ended."""
        if line.silent:
            return
        try:
            await line.socket.send_text(json.dumps(message))
        except (RuntimeError, WebSocketDisconnect):  # it ended meanwhile
            self.forget(line)

    def forget(self, line: Line) -> None:
        """Send nothing more there."""
        if line in self.lines:
            self.lines.remove(line)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection of Socket Mode until it ends."""
        ticket = socket.query_params.get("ticket", "")
        if ticket not in self.tickets or len(self.lines) >= MOST_LINES:
            await socket.close(1008)
            return
        self.tickets.discard(ticket)
        await socket.accept()
        line = Line(next(self._numbers), socket, ticket)
        self.lines.append(line)
        host = {"host": "applink-fake-1", "build_number": 1, "approximate_connection_time": 18060}
        hello = {"num_connections": len(self.lines), "connection_info": {"app_id": self.world.app_id}}
        await self.write(line, {"type": "hello", "debug_info": host} | hello)
        assert self._opened is not None  # noqa: S101
        self._opened.set()
        try:
            while True:
                self._acked(json.loads(await socket.receive_text()))
        except (WebSocketDisconnect, ValueError):
            return
        finally:
            self.forget(line)

    def _acked(self, message: dict[str, Any]) -> None:
        delivery, future = self._waiting.get(str(message.get("envelope_id")), (None, None))
        if delivery and future and not future.done():
            delivery.acked_after = time.time() - delivery.at
            future.set_result(message.get("payload") or {})

    async def disconnect(self, reason: str) -> None:
        """Tell every connection to go, and end it a little later."""
        leaving = list(self.lines)
        for line in leaving:
            line.leaving = True
            message = {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-fake-1"}}
            await self.write(line, message)
        await asyncio.sleep(GRACE_S)
        await self.cut(leaving)

    async def cut(self, lines: list[Line] | None = None) -> None:
        """End these connections, or all, at once."""
        for line in list(self.lines if lines is None else lines):
            if line in self.lines:
                self.forget(line)
                with suppress(RuntimeError, WebSocketDisconnect):  # the other side was quicker
                    await line.socket.close(1000)

    def silence(self) -> None:
        """Let nothing come over the connections that are open now, not even a pong. New ones are not silent."""
        for line in self.lines:
            line.silent = True
            self.silent_tickets.add(line.ticket)

    # --- HTTP -----------------------------------------------------------------------------------------------------

    async def _post_event(self, url: str, delivery: Delivery, reason: str) -> tuple[str, bool]:
        """Return why it failed ("" for not), and whether the app wants no retry."""
        headers = {"Content-Type": "application/json"}
        if delivery.attempt:
            headers |= {"X-Slack-Retry-Num": str(delivery.attempt), "X-Slack-Retry-Reason": reason}
        try:
            answered = await self._post(url, delivery, json.dumps(delivery.payload).encode(), headers)
        except TimeoutError:
            return "http_timeout", False
        except (OSError, http.client.HTTPException):
            return "connection_failed", False
        return ("" if delivery.acked else "http_error"), not delivery.acked and answered.get("x-slack-no-retry") == "1"

    async def _post(self, url: str, delivery: Delivery, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        """Send a signed request and return the headers of the answer."""
        delivery.at = time.time()
        request = (url, body, headers | self.signed(body), self.options.ack_within_s)
        status, answered, text = await asyncio.to_thread(_request, *request)
        delivery.status = status
        if 200 <= status < 300:
            delivery.acked_after = time.time() - delivery.at
            delivery.answer = _answer(text)
        return answered

    def signed(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """Return the headers that prove that *body* is Slack's, sent at this time."""
        stamp = str(int(time.time() if at is None else at))
        digest = hmac.new(self.signing_secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}

    def verify_url(self, url: str, challenge: str) -> bool:
        """Send a ``url_verification`` and return whether the app answered with the challenge.

        https://docs.slack.dev/reference/events/url_verification
        """
        body = {"token": VERIFICATION_TOKEN, "challenge": challenge, "type": "url_verification"}
        raw = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | self.signed(raw)
        status, _, text = _request(url, raw, headers, self.options.ack_within_s)
        return status == 200 and challenge in (text.strip(), _answer(text).get("challenge"))


FORM = "application/x-www-form-urlencoded"


def _request(url: str, body: bytes, headers: dict[str, str], within_s: float) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=within_s)
    agent = {"User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)", "Connection": "close"}
    path = parts.path or "/"
    try:
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, agent | headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text
    finally:
        connection.close()


def _answer(text: str) -> dict[str, Any]:
    """Return the body of an acknowledgement: JSON, or the text of a message."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {"text": text}
    return found if isinstance(found, dict) else {"text": text}
