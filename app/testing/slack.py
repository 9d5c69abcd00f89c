"""A Slack workspace for tests: the Web API, Socket Mode and signed requests on loopback, and a driver for its people.

Slack's own libraries talk to it as they are: ``WebClient(token=slack.bot_token, base_url=slack.api_url)``, Bolt's
``App`` with that client, and its ``SocketModeHandler``. The shapes follow Slack's documentation, named where each is
made. It asks nothing of the network, and needs starlette and uvicorn only.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, Self

from app.testing.slack_events import Interaction, Options, Outgoing
from app.testing.slack_manifest import Manifest
from app.testing.slack_people import People
from app.testing.slack_server import Called, Troubles, Web
from app.testing.slack_world import TRIGGER_S, Message, OpenView, Prompts, Status, World, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.testing.slack_events import Delivery

__all__ = ["Called", "FakeSlack", "Interaction", "Message", "OpenView", "Prompts", "Status"]


class FakeSlack(People):
    """A workspace with one app in it. Use it as a context manager, from any thread.

    *manifest* is the app's, as in https://docs.slack.dev/reference/app-manifest: with it only the events that it names
    are sent, and a method needs its scope. With *events_url*, *commands_url* or *interactivity_url* those things are
    sent there as signed requests, and the rest over Socket Mode. An event that is not acknowledged within
    *ack_within_s* comes again, three times, after *pauses_s*; while no connection is open, events wait. Pages of lists
    have *page_size* items; a trigger id lasts *trigger_s*.

    Leaving it raises AssertionError when a method was called that it does not know (``unknown`` names them).
    """

    def __init__(
        self,
        manifest: Mapping[str, Any] | None = None,
        *,
        events_url: str | None = None,
        commands_url: str | None = None,
        interactivity_url: str | None = None,
        ack_within_s: float = 3.0,
        pauses_s: tuple[float, ...] = (0.0, 0.2, 0.5),
        page_size: int = 3,
        trigger_s: float = TRIGGER_S,
    ) -> None:
        urls = (events_url, commands_url, interactivity_url)
        self.options = Options(Manifest(manifest), *urls, ack_within_s, pauses_s, page_size)
        self.world = World(self._announce, trigger_s)
        self.signing_secret = secrets.token_hex(16)
        self.bot_token = f"xoxb-{secrets.randbelow(10**12)}-{secrets.token_hex(12)}"
        self.app_token = f"xapp-1-{self.world.app_id}-{secrets.randbelow(10**12)}-{secrets.token_hex(32)}"
        self.outgoing = Outgoing(self.world, self.options, self.signing_secret)
        self.web = Web(self.world, self.outgoing, self.bot_token, self.app_token)
        self.app_id, self.team_id = self.world.app_id, self.world.team_id
        self.bot_id, self.bot_user_id = self.world.bot_id, self.world.bot.id

    def _announce(self, event: dict[str, Any], channel: Any) -> None:
        self.outgoing.announce(event, channel)

    # --- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        import uvicorn

        self._listener = socket.create_server(("127.0.0.1", 0))
        self.web.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.web.app(),
                interface="asgi3",
                ws=_protocol(self.outgoing.silent_tickets),
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._thread = threading.Thread(target=self._run, name="fake-slack", daemon=True)
        self._thread.start()
        self.wait(lambda: self._server.started)
        return self

    def _run(self) -> None:
        async def serve() -> None:
            self.outgoing.started()
            try:
                await self._server.serve(sockets=[self._listener])
            finally:
                self.outgoing.stop()

        asyncio.run(serve())

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(15)
        self._listener.close()
        if kind is None and self.unknown:
            raise AssertionError(f"the app called methods that this Slack does not know: {self.unknown}")

    @property
    def api_url(self) -> str:
        """What ``WebClient(base_url=...)`` takes."""
        return f"{self.web.base_url}/api/"

    def deliver_to(
        self, events_url: str | None = None, commands_url: str | None = None, interactivity_url: str | None = None
    ) -> None:
        """Send events, commands and clicks to these addresses from now on; over Socket Mode where there is none."""
        self.options.events_url, self.options.commands_url = events_url, commands_url
        self.options.interactivity_url = interactivity_url

    def verify_url(self, url: str) -> bool:
        """Return whether *url* answers to Slack's challenge, as it must before events are sent there."""
        return self.outgoing.verify_url(url, secrets.token_hex(24))

    # --- trouble on demand ----------------------------------------------------------------------------------------

    @property
    def _troubles(self) -> Troubles:
        return self.web.troubles

    def duplicate(self, n: int) -> None:
        """Deliver every event *n* times from now on, over different connections where there are several."""
        self.options.copies = n

    def disconnect(
        self, reason: Literal["refresh_requested", "link_disabled", "warning"] = "refresh_requested"
    ) -> None:
        """Ask every connection to go, and end those that are still there a moment later.

        After ``link_disabled`` no new ones can be opened, until ``options.link_enabled`` is True again.
        """
        if reason == "link_disabled":
            self.options.link_enabled = False
        self.outgoing.spawn(self.outgoing.disconnect(reason))

    def cut(self) -> None:
        """End every connection at once, without a word before."""
        self.outgoing.spawn(self.outgoing.cut())

    def silence(self) -> None:
        """Let nothing come over the connections that are open now, not even a pong."""
        self.outgoing.silence()

    def rate_limit(self, method: str, retry_after_s: int, times: int = 1) -> None:
        """Refuse the next calls of *method* with 429: https://docs.slack.dev/apis/web-api/rate-limits."""
        self._troubles.rate.setdefault(method, []).extend([retry_after_s] * times)

    def fail(self, method: str, error: str, times: int = 1) -> None:
        """Answer the next calls of *method* with *error*."""
        self._troubles.failing.setdefault(method, []).extend([error] * times)

    def revoke(self) -> None:
        """Take the app's tokens away."""
        self._troubles.revoked = True

    def break_http(self, status: int | None) -> None:
        """Answer every call with this HTTP status and no JSON; None mends it."""
        self._troubles.broken = status

    def end_streams(self) -> None:
        """End every stream that is open, as Slack does with those that take longer than about five minutes."""
        with self.world.lock:
            for post in self.world.posts:
                if post.state == "streaming":
                    post.state = "streamed"

    def slow(self, method: str, seconds: float) -> None:
        """Let each call of *method* take this long ("files" for downloads)."""
        self._troubles.slow[method] = seconds

    # --- what is seen ---------------------------------------------------------------------------------------------

    def messages(self, channel: str, thread_ts: str | None = None) -> list[Message]:
        """Return what stands in a channel, or in one of its threads, oldest first; not what was deleted."""
        with self.world.lock:
            if thread_ts is not None:
                return [message_of(each) for each in self.world.thread(channel, thread_ts)]
            here = self.world.by_channel.get(channel, ())
            return [message_of(each) for each in here if not each.deleted and each.only_for is None]

    def replies(self, channel: str, thread_ts: str | None = None) -> list[Message]:
        """Return what stands there of the app."""
        return [each for each in self.messages(channel, thread_ts) if each.user == self.bot_user_id]

    def ephemerals(self, user: str) -> list[Message]:
        """Return what only *user* was ever shown, deleted or not."""
        with self.world.lock:
            return [message_of(each) for each in self.world.by_reader.get(user, ())]

    def seen_by(self, user: str, *, from_app: bool = False) -> list[str]:
        """Return every text that this person could ever have read, of the app only with *from_app*.

        What stood in a channel while they were in it, or after; public channels are open to all full members of the
        team, not to guests and people of other teams. Also what was replaced later, what was streamed, what only they
        were shown, and their views.
        """
        return self.world.seen_by(user, from_app=from_app)

    def views(self, user: str | None = None) -> list[OpenView]:
        """Return the modals and home tabs that people have open, of one *user* only if given."""
        with self.world.lock:
            return [each for each in self.world.views.values() if not each.closed and user in (None, each.user)]

    @property
    def statuses(self) -> list[Status]:
        """Every status that was set, in order."""
        return list(self.world.statuses)

    def status(self, channel: str, thread_ts: str) -> str:
        """Return the status that is shown in a thread now, "" for none."""
        return self.world.shown_status.get((channel, thread_ts), "")

    @property
    def prompts(self) -> list[Prompts]:
        """Every set of prompts that was suggested, in order."""
        return list(self.world.prompts)

    @property
    def calls(self) -> list[Called]:
        """Every call of the Web API, in order."""
        return list(self.web.calls)

    @property
    def unknown(self) -> list[str]:
        """The methods that were called and do not exist."""
        return self.web.unknown

    @property
    def deliveries(self) -> list[Delivery]:
        """Every try to bring something to the app, in order."""
        return list(self.outgoing.deliveries)

    @property
    def acks(self) -> list[float]:
        """The seconds from sending to acknowledging, of each delivery that was acknowledged."""
        return [each.acked_after for each in self.deliveries if each.acked_after is not None]

    @property
    def lost(self) -> list[dict[str, Any]]:
        """Events that were never acknowledged, after all retries."""
        return list(self.outgoing.lost)

    @property
    def connections(self) -> int:
        """How many connections of Socket Mode are open."""
        return len(self.outgoing.lines)

    def wait(self, predicate: Callable[[], Any], within_s: float = 60.0) -> Any:
        """Return what *predicate* returns, once that is true. Raises TimeoutError after *within_s*."""
        until = time.monotonic() + within_s
        while not (found := predicate()):
            if time.monotonic() > until:
                raise TimeoutError("it did not happen in time")
            time.sleep(0.01)
        return found


def _protocol(silent: set[str]) -> type[asyncio.Protocol]:
    """Return uvicorn's WebSocket protocol, without pongs on the connections whose tickets are *silent*."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class Quiet(WebSocketsSansIOProtocol):
        def handle_ping(self) -> None:
            if any(ticket.encode() in self.scope["query_string"] for ticket in silent):
                self.conn.data_to_send()  # made, and thrown away
                return
            super().handle_ping()

    return Quiet
