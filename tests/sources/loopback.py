"""A service of the cloud on loopback: a function from a request to an answer, and what was asked, headers included."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.webs import running


@dataclass(frozen=True)
class Asked:
    """One request. ``path`` is decoded; ``query`` has the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in small letters
    body: bytes

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Answer:
    """``body`` is JSON unless it is bytes. ``length``: what is said of it, where that is a lie."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class Loopback:
    """A served function. ``first`` are answers that come before it is asked: path → answers, used up in order."""

    answer: Any
    asked: list[Asked] = field(default_factory=list)
    first: dict[str, list[Answer]] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def paths(self):
        return [asked.path for asked in self.asked]

    def answered(self, asked):
        self.asked.append(asked)
        if waiting := self.first.get(asked.path):
            return waiting.pop(0)
        return self.answer(asked)


@contextlib.contextmanager
def serving(answer):
    """Yield the function *answer*, from ``Asked`` to ``Answer``, as it is served on a free port of loopback."""
    site = Loopback(answer)

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            found = site.answered(Asked(self.command, unquote(parts.path), query, headers, body))
            content = found.body if isinstance(found.body, bytes) else json.dumps(found.body).encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content) if found.length is None else found.length))
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 -- the library's name

        def log_message(self, *args):
            pass

    with running(ThreadingHTTPServer, Requests) as server:
        site.port = server.server_address[1]
        yield site
