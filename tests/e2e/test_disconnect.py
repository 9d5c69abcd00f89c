"""A client that leaves frees the generator, on both ways of answering, before and after the first token."""

from __future__ import annotations

import json
import socket
import struct
from urllib.parse import urlsplit

import httpx
import pytest

from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import BOLD, LEAVE, QUESTION, listening, wait_until

pytestmark = pytest.mark.network

MOST_S = 2.0


@pytest.fixture(params=[0, 1], ids=["before the first token", "after a token"])
def hanging(request):
    return ScriptedGenerator(("Every employee has 25 days [1]. ",), hangs_at=request.param)


@pytest.fixture
def server(settings, sqlite_url, hanging):
    parts = build(
        settings(port=0), embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader(), generator=hanging
    )
    try:
        with listening(parts) as url:
            with httpx.Client(base_url=url) as http:
                source_id = http.post("/v1/sources", json={"name": "handbook", "kind": "push"}).json()["id"]
                http.put(f"/v1/sources/{source_id}/documents/leave.md", content=LEAVE.encode()).raise_for_status()
                http.post("/v1/specialists", json=BOLD).raise_for_status()
            yield url
    finally:
        close(parts)


def ask(url, path, body):
    """Send a question and return the connection, without reading the answer."""
    address = urlsplit(url)
    content = json.dumps(body).encode()
    connection = socket.create_connection((address.hostname, address.port), timeout=5)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


CASES = {
    "whole": ("/v1/ask", {"question": QUESTION, "specialist": "bold"}),
    "streamed": ("/v1/ask", {"question": QUESTION, "specialist": "bold", "stream": True}),
    "openai whole": ("/v1/chat/completions", {"model": "bold", "messages": [{"role": "user", "content": QUESTION}]}),
    "openai streamed": (
        "/v1/chat/completions",
        {"model": "bold", "messages": [{"role": "user", "content": QUESTION}], "stream": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_client_that_leaves_frees_the_generator_within_two_seconds(server, hanging, case):
    connection = ask(server, *CASES[case])
    wait_until(lambda: hanging.requests)
    assert hanging.closed == 0

    connection.close()

    assert wait_until(lambda: hanging.closed == 1) < MOST_S
    metrics = httpx.get(f"{server}/metrics").text
    assert "metier_answers_in_progress 0.0" in metrics
    assert 'metier_questions_total{outcome="cancelled"} 1.0' in metrics


def test_a_connection_that_is_reset_frees_the_generator_too(server, hanging):
    connection = ask(server, *CASES["streamed"])
    wait_until(lambda: hanging.requests)

    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    assert wait_until(lambda: hanging.closed == 1) < MOST_S
