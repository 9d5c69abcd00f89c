"""Uploads over a real connection: lying lengths, endless bodies, clients that are slow, and clients that leave."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import LEAVE, QUESTION, listening, wait_until

pytestmark = pytest.mark.network

LIMIT_MB = 100
MB = b"x" * (1 << 20)
SLOW = 60  # more than there are threads for requests


@pytest.fixture
def server(settings, sqlite_url):
    """Yield the address of a server with the push source 1, and the folder that uploads are written to."""
    chosen = settings(port=0, max_file_mb=LIMIT_MB)
    parts = build(
        chosen, embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader(), generator=ScriptedGenerator(())
    )
    try:
        with listening(parts) as url:
            httpx.post(f"{url}/v1/sources", json={"name": "handbook", "kind": "push"}).raise_for_status()
            httpx.put(f"{url}/v1/sources/1/documents/leave.md", content=LEAVE.encode()).raise_for_status()
            yield url, chosen.data_dir / "incoming"
    finally:
        close(parts)


def begin(url, length, *, path="/v1/sources/1/documents/big.bin", method="PUT"):
    """Return a connection on which a body of *length* (or of chunks, for None) has been announced."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    announced = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n{announced}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def chunk(piece):
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def status_of(connection):
    """Return the status and the whole answer; 0 where the server just closed."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split()[1]) if answer else 0, answer


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def test_an_upload_past_the_limit_is_refused_at_the_limit_and_takes_no_memory(server):
    """200 MB without a length against a limit of 100 MB."""
    url, incoming = server
    before, most, sent = resident_mb(), 0, 0
    with begin(url, None) as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(2 * LIMIT_MB):
                connection.sendall(chunk(MB))
                sent += 1
                most = max(most, resident_mb())
        status, answer = status_of(connection)

    assert status == 413
    assert b"application/problem+json" in answer
    # What the kernel holds of a connection on loopback comes on top of what the server read.
    assert LIMIT_MB <= sent <= LIMIT_MB + 16
    assert most - before <= 64
    wait_until(lambda: not list(incoming.iterdir()))


def test_a_length_that_lies_stores_nothing(server):
    url, incoming = server
    lies = {"-1": {400}, "1e9": {400}, "5, 6": {400}, str(1 << 30): {413}, "9" * 23: {400, 413}}
    wrong = {}
    for length, statuses in lies.items():
        with begin(url, length) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(b"hello")
            status, _ = status_of(connection)
            if status not in statuses:
                wrong[length] = status

    assert wrong == {}
    wait_until(lambda: not list(incoming.iterdir()))
    assert len(httpx.get(f"{url}/v1/documents").json()["documents"]) == 1


def test_a_body_shorter_than_its_length_is_no_document(server):
    url, incoming = server
    with begin(url, 100) as connection:
        connection.sendall(b"hello")

    wait_until(lambda: not list(incoming.iterdir()))
    assert len(httpx.get(f"{url}/v1/documents").json()["documents"]) == 1


def test_slow_uploads_hold_no_thread_and_leave_no_file(server):
    """Sixty clients send a byte each and wait; everybody else is served meanwhile."""
    url, incoming = server
    with contextlib.ExitStack() as slow:
        for number in range(SLOW):
            connection = slow.enter_context(begin(url, 1000, path=f"/v1/sources/1/documents/{number}.md"))
            connection.sendall(b"x")
        wait_until(lambda: len(list(incoming.iterdir())) == SLOW)
        started = time.monotonic()
        for _ in range(10):
            found = httpx.post(f"{url}/v1/search", json={"question": QUESTION}, timeout=20)
            assert found.status_code == 200
        others_s = time.monotonic() - started

    assert others_s < 10
    wait_until(lambda: not list(incoming.iterdir()))
    assert len(httpx.get(f"{url}/v1/documents").json()["documents"]) == 1


def test_a_body_of_json_without_an_end_is_refused_after_a_megabyte(server):
    url, _ = server
    for path in ("/v1/ask", "/v1/chat/completions", "/v1/keys"):
        sent = 0
        with begin(url, None, path=path, method="POST") as connection:
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    connection.sendall(chunk(MB))
                    sent += 1
            status, answer = status_of(connection)

        assert (status, b"connection: close" in answer.lower()) == (413, True)
        assert sent < 32


MONSTROUS = {
    "lists": b"[" * 900_000,
    "objects": b'{"question":' * 80_000,
    "closed lists": b'{"question": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "history": b'{"question": "x", "history": ' + b'[{"role": ' * 90_000,
    "number": b'{"question": ' + b"9" * 900_000 + b"}",
    "fields": b'{"question": "x", "specialist": {' + b'"a": {' * 100_000,
    "surrogate": b'{"question": "\\ud800"}',
    "no utf-8": b"\xff\xfe",
    "turns": json.dumps({"question": "x", "history": [{"role": "user", "text": "y"}] * 20_000}).encode(),
}


def test_deep_and_monstrous_json_is_refused_at_once(server):
    url, _ = server
    wrong = {}
    for name, body in MONSTROUS.items():
        started = time.monotonic()
        status = httpx.post(
            f"{url}/v1/ask", content=body, headers={"Content-Type": "application/json"}, timeout=30
        ).status_code
        if status not in {400, 413, 422} or time.monotonic() - started > 5:
            wrong[name] = status, time.monotonic() - started

    assert wrong == {}


def test_numbers_that_json_cannot_hold_are_refused_and_break_nothing(server):
    url, _ = server
    headers = {"Content-Type": "application/json"}
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = f'{{"name": "x", "threshold": {number}}}'
        assert httpx.post(f"{url}/v1/specialists", content=body, headers=headers).status_code == 422

    assert httpx.get(f"{url}/v1/specialists").status_code == 200


def test_a_huge_legal_question_does_not_hold_up_others(server):
    """The largest conversation that the description allows in a megabyte, while others look for the server."""
    url, _ = server
    body = {"question": "leave " * 600, "history": [{"role": "user", "text": "x" * 19_000}] * 50, "stream": True}
    slowest = 0.0
    with contextlib.ExitStack() as asking:
        for _ in range(4):
            client = asking.enter_context(httpx.Client(timeout=60))
            asking.enter_context(client.stream("POST", f"{url}/v1/ask", json=body))
            started = time.monotonic()
            assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
            slowest = max(slowest, time.monotonic() - started)

    assert slowest < 3
