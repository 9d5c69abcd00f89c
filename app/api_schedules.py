"""Routes about when sources are synchronised by themselves: ``/v1/schedules``, ``/v1/sources/{id}/schedule``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from app import audit
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.api_sources import source_with_id
from app.auth import MayOperate, MayRead, PartsHere, reading_as
from app.errors import NotFound
from app.wire_sources import ScheduleIn, ScheduleOut, SchedulesOut
from indexing import schedules, store

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["sources"])

SourceId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/schedules", operation_id="list_schedules", summary="List schedules")
def list_schedules(parts: PartsHere, who: MayRead) -> SchedulesOut:
    """Return the schedules of the sources that the asker may read, the next run first."""
    with reading_as(parts, who) as (session, scope):
        known = {source.id: source for source in store.visible_sources(session, scope)}
        found = [s for s in schedules.schedules(session).values() if s.source_id in known]
    return SchedulesOut(schedules=tuple(ScheduleOut.of(s, known[s.source_id]) for s in found))


@router.put(
    "/sources/{source_id}/schedule",
    operation_id="set_schedule",
    summary="Set the schedule of a source",
    responses=may_fail(409),
)
def set_schedule(source_id: SourceId, body: ScheduleIn, parts: PartsHere, who: MayOperate) -> ScheduleOut:
    """Synchronise the source by itself from now on, at these times; takes the place of an earlier schedule."""
    source = source_with_id(parts, who, source_id)
    timing = schedules.Timing(body.cron, body.timezone, body.jitter_minutes * 60, body.quiet)
    with parts.catalog.transaction() as session:
        made = schedules.set_schedule(session, source.id, timing, paused=body.paused)
        audit.record(session, who.id, "source.schedule", source.id)
    return ScheduleOut.of(made, source)


@router.delete(
    "/sources/{source_id}/schedule", operation_id="remove_schedule", status_code=204, summary="Remove the schedule"
)
def remove_schedule(source_id: SourceId, parts: PartsHere, who: MayOperate) -> None:
    """Synchronise the source only when somebody asks for it."""
    source = source_with_id(parts, who, source_id)
    with parts.catalog.transaction() as session:
        if not schedules.remove_schedule(session, source.id):
            raise NotFound(f"The source {source.name} has no schedule.", remedy="GET /v1/schedules lists them.")
        audit.record(session, who.id, "source.schedule", source.id)
