"""Small web servers on loopback for tests: a site whose pages a test writes, and a canary that must hear nothing."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Site:
    """What a server answers: path → how. Every request is remembered as (method, path)."""

    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def page(self, path, body, *, etag=True, **headers):
        """Answer *path* with *body*; keyword names become headers, with hyphens."""
        content = body.encode() if isinstance(body, str) else body
        sent = {"Content-Type": "text/plain", "Content-Length": str(len(content))}
        if etag:
            sent["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}

        def answer(request):
            request.send_response(200)
            for name, value in sent.items():
                request.send_header(name, value)
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(content)

        self.answers[path] = answer

    def status(self, path, status, **headers):
        """Answer *path* with a status and no body."""

        def answer(request):
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            request.send_header("Content-Length", "0")
            request.end_headers()

        self.answers[path] = answer

    def redirect(self, path, to, status=302):
        self.status(path, status, Location=to)

    def sitemap(self, entries, path="/sitemap.xml"):
        """Answer *path* with a sitemap of *entries*: uri → lastmod or None."""
        rows = "".join(
            f"<url><loc>{uri}</loc>{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}</url>"
            for uri, lastmod in entries.items()
        )
        xml = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'
        self.page(path, xml, Content_Type="application/xml")


def _gave_up(server, request, client_address):
    """Say nothing: clients that give up are what is tested."""


@contextlib.contextmanager
def running(kind, requests):
    """Yield a server of this kind while it answers *requests* on a free port of loopback."""

    body = {"daemon_threads": True, "block_on_close": False, "handle_error": _gave_up}
    with type("Server", (kind,), body)(("127.0.0.1", 0), requests) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    """Yield a site that is being served on a free port of loopback; unknown paths are 404."""
    site = Site()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append((self.command, self.path))
            site.headers.append(dict(self.headers))
            answer = site.answers.get(unquote(self.path)) or site.answers.get("*")
            with contextlib.suppress(ConnectionError):
                if answer is None:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    answer(self)

        do_HEAD = do_GET  # noqa: N815 -- the library's name
        do_POST = do_GET  # noqa: N815 -- likewise

        def log_message(self, *args):
            pass

    with running(ThreadingHTTPServer, Answers) as server:
        site.port = server.server_address[1]
        try:
            yield site
        finally:
            site.stopping.set()
