"""What the tests of the faces share: the program put together with fakes, and a client of its application."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

from app.server import create_app
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.parts import Parts

LEAVE = "# Leave policy\n\nEvery employee has 25 days of paid leave a year.\n\nAsk your manager two weeks ahead."
CONGES = "# Congés\n\nChaque salarié a droit à 25 jours de congés payés par an."
QUESTION = "How many days of paid leave does every employee have?"
#: Answers everyone, whatever the confidence is: the fakes' confidence means nothing.
BOLD = {"name": "bold", "threshold": 0, "askers": ["everyone"]}


@dataclass
class Face:
    """A running application, its client and the parts behind it."""

    http: TestClient
    parts: Parts
    generator: ScriptedGenerator
    parsers: FakeParsers

    def add_source(self, name="handbook", kind="push", location=""):
        made = self.http.post("/v1/sources", json={"name": name, "kind": kind, "location": location})
        assert made.status_code == 201, made.text
        return made.json()["id"]

    def push(self, source_id, uri, text=LEAVE):
        return self.http.put(f"/v1/sources/{source_id}/documents/{uri}", content=text.encode())

    def filled(self):
        """Push one document, create the specialist ``bold``, and return the source's id."""
        source_id = self.add_source()
        assert self.push(source_id, "hr/leave.md").status_code == 201
        assert self.http.post("/v1/specialists", json=BOLD).status_code == 201
        return source_id


@contextlib.contextmanager
def face(
    settings: Any, *, pieces=("Every employee has 25 days ", "of paid leave [1]."), **overrides: Any
) -> Iterator[Face]:
    """Run the application on *settings* with fakes for embedder, parsers and generator."""
    fakes: dict[str, Any] = {
        "embedder": HashEmbedder(),
        "parsers": FakeParsers(),
        "reads": WordReader(),
        "generator": ScriptedGenerator(pieces),
    } | overrides
    parts = build(settings, **fakes)
    headers = {}
    if settings.api_token is not None:
        headers["Authorization"] = f"Bearer {settings.api_token.get_secret_value()}"
    try:
        with TestClient(create_app(parts), base_url="http://127.0.0.1", headers=headers) as http:
            yield Face(http, parts, fakes["generator"], fakes["parsers"])
    finally:
        close(parts)


@contextlib.contextmanager
def listening(parts: Parts) -> Iterator[str]:
    """Serve *parts* with a real server on loopback, in a thread, and yield its address."""
    import uvicorn

    from app.cli_serve import bound

    listener = bound(parts.settings)
    host, port = listener.getsockname()
    server = uvicorn.Server(uvicorn.Config(create_app(parts), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def wait_until(happened, *, within_s=60.0):
    """Return the seconds that it took until *happened* returned something true; on a busy machine that may be many."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < within_s, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - started


def sse_events(text):
    """Return the (event, data) pairs of a whole stream."""
    pairs = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if lines:
            pairs.append((lines.get("event"), lines.get("data")))
    return pairs
