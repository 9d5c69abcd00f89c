"""The route by which an outside system says that a source has changed: ``/v1/sources/{id}/hook``."""

from __future__ import annotations

import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import structlog
from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app import audit, signatures
from app.api_body import limited
from app.api_errors import may_fail
from app.auth import HOOK_ROUTE, PartsHere
from app.errors import BadRequest, NotAllowed
from app.wire_hooks import HookOut
from indexing import triggers
from indexing.errors import SourceError
from indexing.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.parts import Parts

log = structlog.get_logger(__name__)
router = APIRouter(tags=["sources"])

BODY_BYTES = 64 << 10
#: Stands in for the secret that is not there, so that an unknown source takes as long as a known one.
_NOBODYS = secrets.token_urlsafe(32)


@router.post(
    HOOK_ROUTE,
    operation_id="trigger_source",
    status_code=202,
    summary="Say that a source has changed",
    openapi_extra={
        "requestBody": {
            "description": "Signed, and not read: at most 64 KB.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    responses=may_fail(401, 503),
)
async def trigger(source_id: Annotated[int, Path(ge=1, lt=2**63)], request: Request, parts: PartsHere) -> HookOut:
    """Run the source soon, once for however many of these requests come meanwhile.

    Authenticated by a signature alone: Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`),
    `X-Hub-Signature-256`, or `X-Gitlab-Token`. A source that is not there, one without a hook and a wrong signature are
    answered alike.
    """
    too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is over {BODY_BYTES} bytes.")
    body = await Request(request.scope, limited(request.receive, BODY_BYTES, too_large)).body()
    await run_in_threadpool(_accept, parts, source_id, dict(request.headers), body)
    return HookOut(accepted=True)


def _accept(parts: Parts, source_id: int, headers: Mapping[str, str], body: bytes) -> None:
    """Ask for a run of the source. Raises NotAllowed when the message is not signed by its secret."""
    secret = _secret(parts, source_id)
    message_id = signatures.checked(secret or _NOBODYS, headers, body, time.time(), triggers.WINDOW_S)
    if secret is None or message_id is None:
        raise NotAllowed("The signature is missing or wrong.", remedy="Sign as docs/sources.md says.")
    with parts.catalog.transaction() as session:
        if message_id and not triggers.first_time(session, source_id, message_id):
            return  # sent again because our answer was lost, or by somebody who listened: it counts once
        if triggers.ask(session, source_id, triggers.BY_HOOK):
            audit.record(session, None, "source.trigger", source_id)


def _secret(parts: Parts, source_id: int) -> str | None:
    """Return the secret of the source's hook; None when it has none that can be used, which the log tells."""
    with parts.catalog.reading() as session:
        name = triggers.hook_secret(session, source_id)
    if name is None:
        return None
    try:
        secret = read_secret(parts.settings.secret_folders, name)
        signatures.check_strength(secret)
    except (SourceError, BadRequest) as exc:
        log.warning("A hook lets nobody in.", action="hook_unusable", source_id=source_id, why=exc.message)
        return None
    return secret
