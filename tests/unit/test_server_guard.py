"""The layer around every request: which Host and Origin it takes, what it adds, what it hides."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

from app.server_guard import Guard
from app.settings import AppSettings


async def hello(scope, receive, send):
    await PlainTextResponse("hello")(scope, receive, send)


def served(headers, app=hello, **settings):
    """Return (status, headers, body) of one request."""
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/models",
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers],
    }
    anyio.run(Guard(app, AppSettings.load(**settings)), scope, receive, send)
    if not sent:
        return None, {}, b""
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_an_open_server_answers_to_loopback_names(host):
    assert served([("Host", host)])[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "10.0.0.7", "[::2]", "localhost@evil"],
)
def test_an_open_server_answers_to_no_other_name(host):
    status, _, body = served([("Host", host)])

    assert status == 400
    assert b"METIER_API_TOKEN" in body or b"malformed" in body or b"Host" in body


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Host", "")],
        [("Host", "127.0.0.1"), ("Host", "127.0.0.1")],
        [("Host", "127.0.0.1/v1/ask?")],
        [("Host", "127.0.0.1:99999999")],
        [("Host", "a b")],
        [("Host", "127.0.0.1#")],
    ],
    ids=["none", "empty", "two", "path", "port", "blank", "fragment"],
)
@pytest.mark.parametrize("token", [None, "secret"])
def test_a_malformed_host_is_refused_with_and_without_a_token(headers, token):
    assert served(headers, api_token=token)[0] == 400


def test_with_a_token_any_well_formed_name_may_be_used():
    assert served([("Host", "metier.example.org")], api_token="secret")[0] == 200


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)]
)
def test_an_open_server_serves_no_web_page_from_elsewhere(origin, status):
    assert served([("Host", "127.0.0.1"), ("Origin", origin)])[0] == status


def test_every_response_has_security_headers_and_a_request_id():
    _, headers, _ = served([("Host", "127.0.0.1"), ("X-Request-ID", "abc-1")])

    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] == "abc-1"


def test_a_request_id_that_could_forge_a_log_line_is_replaced():
    _, headers, _ = served([("Host", "127.0.0.1"), ("X-Request-ID", 'x" action="forged')])

    assert "forged" not in headers["x-request-id"]


def test_an_unexpected_error_is_answered_without_a_trace(capsys):
    async def crashes(_scope, _receive, _send):
        raise RuntimeError("the text of a secret document")

    status, headers, body = served([("Host", "127.0.0.1")], app=crashes)

    assert status == 500
    assert headers["x-content-type-options"] == "nosniff"
    assert b"secret" not in body
    assert json.loads(body)


def test_a_client_that_left_is_no_error():
    async def left(_scope, _receive, _send):
        raise ClientDisconnect

    assert served([("Host", "127.0.0.1")], app=left)[0] is None
