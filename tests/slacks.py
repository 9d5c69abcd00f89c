"""Bodies that Slack sends, signed requests, and the application with a connected workspace, for tests."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from starlette.testclient import TestClient

from app.metrics import Metrics
from app.server import create_app
from app.slack import store_workspaces
from app.slack.records import Incoming, Workspace
from app.slack.running import Pace, Running
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.secrets import store_secret
from indexing.tables import Table
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.parts import Parts

TEAM, BOT, ANN, CHANNEL = "T0001", "U0BOT", "U0ANN", "C0001"
SIGNING = "8f742231b10e8888abcd99yyyzzz85a5"
JOB, EVENT = Table.metadata.tables["slack_job"], Table.metadata.tables["slack_event"]
QUICK = Pace(lease=30, silent=30, ping=5, look=0.1, periodic=0.2)
_numbers = itertools.count(1)


def workspace(transport: str = "http", api_url: str = "http://127.0.0.1:9/api/", **fields: Any) -> Workspace:
    http = transport == "http"
    values: dict[str, Any] = {
        "team_id": TEAM,
        "name": "Corp",
        "app_id": "A0001",
        "bot_user_id": BOT,
        "api_url": api_url,
        "transport": transport,
        "bot_secret": "slack-bot",
        "app_secret": None if http else "slack-app",
        "signing_secret": "slack-signing" if http else None,
        "domains": (),
        "outsiders": "nothing",
    }
    return Workspace(**(values | fields))


def message(text: str = "How long is the leave?", *, event_id: str | None = None, **event: Any) -> dict[str, Any]:
    """Return the body of a message event; fields that are None are left out."""
    ts = f"17000000{next(_numbers):02d}.000100"
    values = {"type": "message", "channel": CHANNEL, "channel_type": "channel", "user": ANN, "team": TEAM, "ts": ts}
    inside = values | {"text": text} | event
    return {
        "type": "event_callback",
        "team_id": TEAM,
        "event_id": event_id or f"Ev{next(_numbers):08d}",
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        "event": {name: value for name, value in inside.items() if value is not None},
    }


def mention(text: str = f"<@{BOT}> How long is the leave?", **event: Any) -> dict[str, Any]:
    return message(text, **({"type": "app_mention", "channel_type": None} | event))


def asked(number: int = 0, **fields: Any) -> Incoming:
    """Return an Incoming of the lane ``answer``; another number, another question."""
    ts = f"1700000000.{number:06d}"
    values: dict[str, Any] = {
        "team_id": TEAM,
        "kind": "mention",
        "meaning": f"{TEAM}:ask:{CHANNEL}:{ts}",
        "channel_id": CHANNEL,
        "channel_type": "channel",
        "user_id": ANN,
        "user_team_id": TEAM,
        "ts": ts,
        "text": f"Question {number}?",
        "event_id": f"Ev{number}",
    }
    return Incoming(**(values | fields))


def signature(body: bytes, at: float, secret: str = SIGNING) -> dict[str, str]:
    stamp = str(int(at))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={digest}"}


def signed(body: dict[str, Any], at: float | None = None) -> tuple[bytes, dict[str, str]]:
    raw = json.dumps(body).encode()
    headers = signature(raw, time.time() if at is None else at)
    return raw, headers | {"content-type": "application/json"}


class Notes:
    """Jobs that were handled and signed, for tests; ``hold`` keeps them from ending."""

    def __init__(self) -> None:
        self.handled: list[Any] = []
        self.signs: list[tuple[int, int]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails: dict[int, Exception] = {}

    def handle(self, _bot: Any, job: Any) -> None:
        self.handled.append(job)
        self.go_on.wait(30)
        if job.id in self.fails:
            raise self.fails[job.id]

    def sign(self, _bot: Any, job: Any, ahead: int) -> None:
        self.signs.append((job.id, ahead))


def fake_parts(settings: Any) -> Parts:
    fakes = {
        "embedder": HashEmbedder(),
        "parsers": FakeParsers(),
        "reads": WordReader(),
        "generator": ScriptedGenerator(),
    }
    return build(settings, **fakes)


def connect(parts: Parts, where: Workspace, **secrets: str) -> None:
    """Store the workspace, and its secrets (by name, with underscores)."""
    given = {"slack_bot": "xoxb-1", "slack_app": "xapp-1-A0001-1", "slack_signing": SIGNING} | secrets
    for name, secret in given.items():
        store_secret(parts.settings.data_dir, name.replace("_", "-"), secret)
    with parts.catalog.transaction() as session:
        store_workspaces.connect(session, where)


@contextlib.contextmanager
def application(
    settings: Any, notes: Notes, *, where: Workspace | None = None, pace: Pace = QUICK, periodic: Any = ()
) -> Iterator[tuple[TestClient, Running]]:
    """Run the application with a connected workspace, whose jobs are given to *notes*."""
    parts = fake_parts(settings)
    try:
        connect(parts, where or workspace())
        app = create_app(parts)
        app.state.slack = Running(parts, app.state.metrics, notes.handle, notes.sign, periodic, pace)
        with TestClient(app, base_url="http://127.0.0.1") as http:
            yield http, app.state.slack
    finally:
        close(parts)


def running(parts: Parts, handle: Callable[..., None], sign: Callable[..., None], pace: Pace = QUICK) -> Running:
    return Running(parts, Metrics(), handle, sign, (), pace)


def jobs(catalog: Any, *columns: Any) -> list[Any]:
    with catalog.reading() as session:
        return list(session.execute(select(*(columns or JOB.c)).order_by(JOB.c.id)))


@contextlib.contextmanager
def replicas(
    settings: Any, notes: Notes, where: Workspace, count: int = 1, pace: Pace = QUICK
) -> Iterator[list[Running]]:
    """Run the bot of the workspace in this process, as so many servers of one catalog would."""
    opened = [fake_parts(settings) for _ in range(count)]
    started: list[Running] = []
    try:
        connect(opened[0], where, **secrets_of(where))
        for parts in opened:
            started.append(running(parts, notes.handle, notes.sign, pace))
            started[-1].start()
        yield started
    finally:
        notes.go_on.set()
        for each in started:
            each.stop()
        for parts in opened:
            close(parts)


#: The secrets of workspaces that tests have installed the app in, by the address of their Slack.
INSTALLED: dict[str, dict[str, str]] = {}


def installed(slack: Any, transport: str = "socket") -> Workspace:
    """Return the workspace of a fake Slack, as ``metier slack connect`` would store it."""
    INSTALLED[slack.api_url] = {
        "slack_bot": slack.bot_token,
        "slack_app": slack.app_token,
        "slack_signing": slack.signing_secret,
    }
    fields = {"team_id": slack.team_id, "bot_user_id": slack.bot_user_id, "app_id": slack.app_id}
    return workspace(transport, slack.api_url, **fields)


def secrets_of(where: Workspace) -> dict[str, str]:
    return INSTALLED.get(where.api_url, {})


@contextlib.contextmanager
def listening(settings: Any, notes: Notes, where: Workspace, pace: Pace = QUICK) -> Iterator[str]:
    """Serve the application with a real server on loopback, and yield its address."""
    import uvicorn

    from app.cli_serve import bound

    parts = fake_parts(settings)
    listener = bound(parts.settings)
    host, port = listener.getsockname()
    app = create_app(parts)
    connect(parts, where, **secrets_of(where))
    app.state.slack = Running(parts, app.state.metrics, notes.handle, notes.sign, (), pace)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started and app.state.slack.bots)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        close(parts)
