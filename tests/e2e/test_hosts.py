"""Forty malformed Host headers on all routes, with a key and without, over raw sockets: none is served."""

from __future__ import annotations

import contextlib
import os
import socket
from urllib.parse import urlsplit

import pytest

from app.server import openapi_document
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import listening

pytestmark = pytest.mark.network

TOKEN = "right-token"
#: Each host is tried on every eighth route, each route with every eighth host; METIER_TEST_EXAMPLES asks for all.
STEP = 1 if os.environ.get("METIER_TEST_EXAMPLES") else 8
#: Lines of a head as they are sent. The first of RFC 9112's rules that each breaks: one Host, of a host and a port.
MALFORMED = [
    b"",
    b"Host:",
    b"Host: ",
    b"Host:\t",
    b"Host: 127.0.0.1\r\nHost: 127.0.0.1",
    b"Host: 127.0.0.1\r\nHost: evil.example",
    b"Host: evil.example\r\nhost: 127.0.0.1",
    b"Host: 127.0.0.1, evil.example",
    b"Host: 127.0.0.1 evil.example",
    b"Host: 127.0.0.1/healthz",
    b"Host: 127.0.0.1/healthz?",
    b"Host: 127.0.0.1/healthz#",
    b"Host: 127.0.0.1?/healthz",
    b"Host: 127.0.0.1#/healthz",
    b"Host: 127.0.0.1\\healthz",
    b"Host: /healthz",
    b"Host: //healthz",
    b"Host: ?",
    b"Host: #",
    b"Host: http://127.0.0.1",
    b"Host: http://127.0.0.1/healthz#",
    b"Host: user@127.0.0.1",
    b"Host: user:secret@127.0.0.1",
    b"Host: @",
    b"Host: :",
    b"Host: :8000",
    b"Host: 127.0.0.1:",
    b"Host: 127.0.0.1:x",
    b"Host: 127.0.0.1:-1",
    b"Host: 127.0.0.1:80:80",
    b"Host: 127.0.0.1:999999",
    b"Host: [::1",
    b"Host: ::1",
    b"Host: [::1]x",
    b"Host: [::1%25eth0]",
    b"Host: []",
    b"Host: 127.0.0.1%2fhealthz",
    b"Host: 127.0.0.1%00",
    b"Host: 127.0.0.1\x00",
    b"Host: 127.0.0.1\x01",
    b"Host: 127.0.0.1\x7f",
    b"Host: caf\xc3\xa9.example",
    b"Host: 127.0.0.1\xff",
    b"Host: <script>",
    b'Host: "127.0.0.1"',
    b"Host: {127.0.0.1}",
    b"Host: 127.0.0.1;x",
    b"Host: 127.0.0.1\r\n Host: evil.example",
]


def routes():
    filled = {"{source_id}": "1", "{uri}": "x.md", "{name}": "metier", "{version}": "1", "{run_id}": "1"}
    for path, operations in openapi_document()["paths"].items():
        for each, value in {**filled, "{document_id}": "1", "{public_id}": "0"}.items():
            path = path.replace(each, value)  # noqa: PLW2901
        yield from ((method.upper(), path) for method in operations)


@pytest.fixture
def address(settings, sqlite_url):
    parts = build(
        settings(port=0, api_token=TOKEN),
        embedder=HashEmbedder(),
        parsers=FakeParsers(),
        reads=WordReader(),
        generator=ScriptedGenerator(()),
    )
    try:
        with listening(parts) as url:
            yield (urlsplit(url).hostname, urlsplit(url).port)
    finally:
        close(parts)


def status_of(address, head):
    """Return the status of the first answer on a connection of its own; 0 where the server just closed it."""
    received = b""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while len(received) < 12 and (piece := connection.recv(65536)):
                received += piece
    return int(received[9:12] or b"0")


def test_no_malformed_host_is_served_on_any_route_with_a_key_or_without(address):
    key = f"Authorization: Bearer {TOKEN}\r\n".encode()
    described = list(routes())
    asked = [
        (host, given, method, path)
        for first, host in enumerate(MALFORMED)
        for method, path in described[first % STEP :: STEP]
        for given in (key, b"")
    ]
    accepted = []
    for host, given, method, path in asked:
        line = host + b"\r\n" if host else b""
        status = status_of(address, f"{method} {path} HTTP/1.1\r\n".encode() + line + given + b"\r\n")
        if status != 400:
            accepted.append((host, bool(given), method, path, status))

    assert accepted == []
    assert {(method, path) for _, _, method, path in asked} == set(described)
    assert len({host for host, *_ in asked}) >= 40


@pytest.mark.parametrize("host", [b"Host: 127.0.0.1", b"Host: LOCALHOST:80", b"Host: [::1]:8000", b"Host: a.example."])
def test_a_host_that_can_be_is_served_by_its_path_alone(address, host):
    """The same connection and key, with a Host that is well formed: so the refusals above are the Host's doing."""
    key = f"Authorization: Bearer {TOKEN}\r\n".encode()
    head = b"GET /v1/sources HTTP/1.1\r\n" + host + b"\r\n"

    assert (status_of(address, head + key + b"\r\n"), status_of(address, head + b"\r\n")) == (200, 401)
