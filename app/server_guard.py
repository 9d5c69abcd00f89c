"""What surrounds every request: a request id, a log line, security headers, the Host check, the last boundary.

Pure ASGI, because middleware that wraps responses would hide the client's disconnect from the routes.
The Host check is not authorisation (each route asks for that itself); it keeps a web page that points its
own name at 127.0.0.1 (DNS rebinding) from reading documents of a server that runs open on loopback.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from app.problems import OPENAI_PATHS, named_problem, surprise
from app.settings import LOOPBACK

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.settings import AppSettings

log = structlog.get_logger(__name__)

#: The characters that RFC 3986 allows in a host, a literal IPv6 address in brackets, and a port.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        #: With a token, or a session, a page that was not given it can do nothing, so any well-formed name may be used.
        self.loopback_only = settings.is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request inside the boundary."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        door = "openai" if scope["path"].startswith(OPENAI_PATHS) else "rest"  # by which the audit log says it came
        with structlog.contextvars.bound_contextvars(request_id=request_id, door=door):
            await self._serve(_Exchange(scope, receive, send, request_id), headers)

    async def _serve(self, exchange: _Exchange, headers: Headers) -> None:
        refusal = self._refusal(headers)
        try:
            if refusal is not None:
                await refusal(exchange.scope, exchange.receive, exchange.send)
            else:
                await self.app(exchange.scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.client_left = True
        except Exception as exc:  # the last boundary: the request fails, the server goes on
            log.exception("Request failed unexpectedly.", action="request_crashed", error=type(exc).__name__)
            if exchange.status is None:
                response = surprise(exchange.scope["path"])
                await response(exchange.scope, exchange.receive, exchange.send)
        finally:
            exchange.log()

    def _refusal(self, headers: Headers) -> Response | None:
        """Return why this request is not served, or None."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            return named_problem("BadRequest", "The Host header is missing, repeated or malformed.", "Send one.")
        if not self.loopback_only:
            return None
        if match["name"].strip("[]").lower() not in LOOPBACK:
            remedy = "Use http://127.0.0.1, or set METIER_API_TOKEN to serve other names."
            return named_problem("BadRequest", "This server runs open and answers to loopback names only.", remedy)
        origin = headers.get("origin")
        if origin is not None and not _is_loopback(origin):
            remedy = "Set METIER_API_TOKEN and send it, to call this server from other pages."
            return named_problem("Forbidden", "A web page from elsewhere may not use this server.", remedy)
        return None


def _is_loopback(origin: str) -> bool:
    _, _, rest = origin.partition("://")
    match = _HOST.fullmatch(rest)
    return match is not None and match["name"].strip("[]").lower() in LOOPBACK


def _announces_a_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class _Exchange:
    """One request and its response, watched for the log line."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._unread = _announces_a_body(Headers(scope=scope))
        self.request_id = request_id
        self.started = time.monotonic()
        self.status: int | None = None
        self.client_left = False

    async def receive(self) -> Message:
        """Return the next message of the client, and remember whether its body has been read to the end."""
        message = await self._receive()
        self._unread = self._unread and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass *message* on, with the security headers when it starts the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-ID"] = self.request_id
            if self._unread:  # refused before its end: the rest of it, which may be endless, is not waited for
                headers["Connection"] = "close"
        await self._send(message)

    def log(self) -> None:
        """Write the request's line. The route's template, not the path: a path may hold a file's name."""
        route = self.scope.get("route")
        log.info(
            "Client left before the end." if self.client_left else "Request served.",
            action="request",
            method=self.scope["method"],
            route=getattr(route, "path", None),
            status=self.status,
            seconds=round(time.monotonic() - self.started, 4),
        )
