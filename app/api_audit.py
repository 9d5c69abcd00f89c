"""The route about the audit log: ``/v1/audit``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from app import audit, people
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.api_sources import Limit  # noqa: TC001 -- FastAPI resolves annotations at run time
from app.auth import MayAdminister, PartsHere  # noqa: TC001 -- FastAPI resolves annotations at run time
from app.errors import BadRequest
from app.wire_audit import AuditLineOut, AuditOut

#: A moment as RFC 3339 writes it, with its time zone.
_MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$"

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["audit"])


@router.get("/audit", operation_id="list_audit", summary="Read the audit log", responses=may_fail(404))
def list_audit(
    parts: PartsHere,
    who: MayAdminister,
    principal: Annotated[
        str | None, Query(max_length=255, description="Name of who did it, or whom it concerns.")
    ] = None,
    action: Annotated[str | None, Query(max_length=32, description="An action, or its first word.")] = None,
    since: Annotated[str | None, Query(max_length=40, pattern=_MOMENT, description="As 2026-03-02T09:00:00Z.")] = None,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only lines with a higher number.")] = 0,
    limit: Limit = 100,
) -> AuditOut:
    """Return lines of the audit log, oldest first, a page at a time. That somebody read it is a line itself."""
    try:
        moment = None if since is None else datetime.fromisoformat(since)
    except ValueError as exc:
        raise BadRequest("There is no such moment as since.", remedy="Write it as 2026-03-02T09:00:00Z.") from exc
    with parts.catalog.reading() as session:
        chosen = None if principal is None else people.principal(session, principal).id
        wanted = audit.Wanted(chosen, action, moment)
        found = list(audit.lines(session, wanted, after=after, limit=limit))
    audit.note(parts.catalog, who.id, "audit.read")
    next_after = found[-1].seq if len(found) == limit else None
    return AuditOut(lines=tuple(AuditLineOut.model_validate(each) for each in found), next_after=next_after)
