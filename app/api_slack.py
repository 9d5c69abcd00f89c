"""The route that Slack sends to over HTTP: events, commands and interactions alike."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app.api_body import JSON_BYTES, limited
from app.auth import SLACK_ROUTE
from app.slack.signed import SIGNATURE, TIMESTAMP

if TYPE_CHECKING:
    from app.slack.running import Running

router = APIRouter(include_in_schema=False)  # what is said here is for Slack to describe


@router.post(SLACK_ROUTE)
async def receive(request: Request) -> Response:
    """Store what Slack says and acknowledge it, or refuse it: authenticated by its signature alone."""
    too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is over {JSON_BYTES} bytes.")
    body = await Request(request.scope, limited(request.receive, JSON_BYTES, too_large)).body()
    if _is_ssl_check(body):
        return Response()
    headers = {name: given[0] for name in (TIMESTAMP, SIGNATURE) if len(given := request.headers.getlist(name)) == 1}
    headers["content-type"] = request.headers.get("content-type", "")
    running: Running = request.app.state.slack
    reply = await run_in_threadpool(running.receive, headers, body, time.time())
    return Response(reply.body, reply.status, media_type=reply.content_type)


def _is_ssl_check(body: bytes) -> bool:
    """Whether Slack only tries our certificate, unsigned. Whoever sends this gets an empty answer, and nothing else."""
    return len(body) < 1000 and b"ssl_check=1" in body.split(b"&")
