"""The fake's HTTP side: the Web API with its errors and limits, response URLs, files, and the doors of Socket Mode.

Follows https://docs.slack.dev/apis/web-api and https://docs.slack.dev/apis/web-api/rate-limits.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from app.testing.slack_api import READING, Call, Method, Refused, decoded
from app.testing.slack_chat import POSTING, respond
from app.testing.slack_views import VIEWING

if TYPE_CHECKING:
    from starlette.requests import Request

    from app.testing.slack_events import Options, Outgoing
    from app.testing.slack_world import World

METHODS: dict[str, Method] = READING | POSTING | VIEWING
OPEN = "apps.connections.open"


@dataclass(frozen=True)
class Called:
    """One call of the Web API, as it was answered: ``error`` is "" where it went well."""

    method: str
    args: dict[str, Any]
    at: float
    error: str


@dataclass
class Troubles:
    """What goes wrong on demand."""

    rate: dict[str, list[float]] = field(default_factory=dict)  # method → seconds to wait, one for each refusal
    failing: dict[str, list[str]] = field(default_factory=dict)  # method → errors
    slow: dict[str, float] = field(default_factory=dict)
    broken: int | None = None  # HTTP status of everything
    revoked: bool = False


class Web:
    """The routes."""

    def __init__(self, world: World, outgoing: Outgoing, bot_token: str, app_token: str) -> None:
        self.world, self.outgoing = world, outgoing
        self.bot_token, self.app_token = bot_token, app_token
        self.troubles = Troubles()
        self.calls: list[Called] = []
        self.unknown: list[str] = []
        self.base_url = ""  # set once the port is known

    @property
    def options(self) -> Options:
        """Where the app listens, and how patient Slack is."""
        return self.outgoing.options

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/api/{method}", self.api, methods=["GET", "POST"]),
                Route("/response/{token:path}", self.response, methods=["POST"]),
                Route("/files/{file_id}/{name:path}", self.file),
                WebSocketRoute("/link/", self.outgoing.serve),
            ]
        )

    async def api(self, request: Request) -> Response:
        """Answer a call of the Web API."""
        method, started = request.path_params["method"], time.time()
        if seconds := self.troubles.slow.get(method):
            await asyncio.sleep(seconds)
        if self.troubles.broken is not None:
            return PlainTextResponse("<html>upstream connect error</html>", self.troubles.broken)
        body = await request.body()
        args: dict[str, Any] = {}
        with self.world.lock:
            try:
                args = arguments(request, body)
                answer, error = self._answer(method, args, request), ""
            except Refused as exc:
                answer, error = {"ok": False, "error": exc.error} | exc.more, exc.error
            kept = {name: value for name, value in args.items() if name != "token"}
            self.calls.append(Called(method, kept, started, error))
        headers = {"X-Slack-Req-Id": secrets.token_hex(16)}
        if error == "ratelimited":
            wait = answer.pop("retry_after")
            return JSONResponse(answer, 429, headers | {"Retry-After": str(int(wait))})
        if (scopes := self.options.manifest.scopes) is not None:
            headers["X-OAuth-Scopes"] = ",".join(scopes)
        return JSONResponse(answer, headers=headers)

    def _answer(self, name: str, args: dict[str, Any], request: Request) -> dict[str, Any]:
        """Return the body of the answer. Raises Refused."""
        if waits := self.troubles.rate.get(name):
            raise Refused("ratelimited", retry_after=waits.pop(0))
        method = METHODS.get(name)
        if method is None and name != OPEN:
            self.unknown.append(name)
            raise Refused("unknown_method", req_method=name)
        self._authorised(name, args, request)
        if errors := self.troubles.failing.get(name):
            raise Refused(errors.pop(0))
        if method is None:
            return {"ok": True, "url": self._new_link()}
        call = Call(self.world, self.options.manifest, decoded(args), self.options.page_size, self.base_url)
        if method.scopes:
            call.needs_scope(*method.scopes)
        return {"ok": True} | method.answer(call)

    def _authorised(self, name: str, args: dict[str, Any], request: Request) -> None:
        header = request.headers.get("authorization", "")
        token = header.removeprefix("Bearer ") if header else ("" if name == OPEN else args.get("token", ""))
        if not token:
            raise Refused("not_authed")
        right, other = (self.app_token, self.bot_token) if name == OPEN else (self.bot_token, self.app_token)
        if token == other:
            raise Refused("not_allowed_token_type")
        if token != right:
            raise Refused("invalid_auth")
        if self.troubles.revoked:
            raise Refused("invalid_auth" if name == OPEN else "token_revoked")

    def _new_link(self) -> str:
        if not self.options.manifest.socket_mode or not self.options.link_enabled:
            raise Refused("access_denied")
        ticket = secrets.token_hex(16)
        self.outgoing.tickets.add(ticket)
        link = self.base_url.replace("http://", "ws://", 1)
        return f"{link}/link/?ticket={ticket}&app_id={self.world.app_id}"

    async def response(self, request: Request) -> Response:
        """Take what is sent to a ``response_url``."""
        if self.troubles.broken is not None:
            return PlainTextResponse("", self.troubles.broken)
        body = await request.body()
        with self.world.lock:
            try:
                args = decoded(arguments(request, body))
                respond(self.world, self.options.manifest, request.path_params["token"], args)
            except Refused as exc:
                return JSONResponse({"ok": False, "error": exc.error} | exc.more, 404 if "url" in exc.error else 400)
        return PlainTextResponse("ok")

    async def file(self, request: Request) -> Response:
        """Return a file's bytes, with the bot's token only; others see the page to sign in.

        https://docs.slack.dev/reference/objects/file-object#authentication
        """
        scopes = self.options.manifest.scopes
        allowed = request.headers.get("authorization") == f"Bearer {self.bot_token}" and not self.troubles.revoked
        found = self.world.files.get(request.path_params["file_id"])
        if not allowed or found is None or (scopes is not None and "files:read" not in scopes):
            return Response("<!DOCTYPE html><html><title>Sign in</title></html>", media_type="text/html")
        if (seconds := self.troubles.slow.get("files")) is not None:
            await asyncio.sleep(seconds)
        return Response(found[1], media_type=found[0]["mimetype"])


def arguments(request: Request, body: bytes) -> dict[str, Any]:
    """Return the arguments of a call: the query, and a body of JSON or of a form. Raises Refused for neither."""
    args: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0]
    try:
        if kind == "application/json":
            found = json.loads(body or b"{}")
            if not isinstance(found, dict):
                raise Refused("json_not_object")
            return args | found
        return args | dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError:
        raise Refused("invalid_json" if kind == "application/json" else "invalid_form_data") from None
