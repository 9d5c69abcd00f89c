"""A WSGI application on a free port of loopback, and faults that a test puts in front of it."""

from __future__ import annotations

import contextlib
import socketserver
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from tests.webs import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What is answered in place of the application: status, headers, body. None: the application answers.
Fault = "tuple[str, dict[str, str], bytes] | None"


class Served:
    """An application that is being served. ``asked`` holds (method, path, query) of each request."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.port = 0
        self.asked: list[tuple[str, str, str]] = []
        self.fault: Callable[[dict[str, Any]], Any] = lambda environ: None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __call__(self, environ, start_response):
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")))
        fault = self.fault(environ)
        if fault is None:
            return self.app(environ, start_response)
        status, headers, body = fault
        told = {"Content-Length": str(len(body)), **headers}
        start_response(status, [(name, value) for name, value in told.items() if value])  # "" leaves a header out
        return iter((body,))


class _Quiet(WSGIRequestHandler):
    def get_environ(self):
        return super().get_environ() | {"RAW_URI": self.path, "REQUEST_URI": self.path}  # moto reads keys from it

    def log_message(self, *args):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    request_queue_size = 50

    def server_bind(self):  # without the look-up of our own name
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


@contextlib.contextmanager
def serving_app(app) -> Iterator[Served]:
    """Yield *app* as it is being served."""
    served = Served(app)
    with running(_Server, _Quiet) as server:
        server.set_app(served)
        served.port = server.server_address[1]
        yield served
