"""Routes about where documents come from: ``/v1/sources``, ``/v1/runs``, ``/v1/failures``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import anyio
from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from app import audit
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import MayOperate, MayRead, PartsHere, Principal, reading_as, scope_of
from app.errors import BadRequest, Conflict, NotFound
from app.ingest import Synchronizations, indexing_of
from app.places import add_source
from app.stream import EVENT_SCHEMA, EventStream, sse
from app.wire_deletions import DeletionOut, DeletionsOut
from app.wire_sources import (
    FailureOut,
    FailuresOut,
    PlanOut,
    ProgressOut,
    RunOut,
    RunsOut,
    SourceIn,
    SourceOut,
    SourcesOut,
    SyncIn,
)
from indexing import deletions, runs, store, triggers
from indexing.errors import RunInProgress
from indexing.plan import visible_plan
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy.orm import Session

    from app.parts import Parts
    from indexing.documents import Scope, SourceRecord
    from indexing.run_records import RunRecord

router = APIRouter(prefix="/v1", route_class=JsonRoute)

#: Ids are 64-bit in the catalog; a larger number is refused here instead of failing there.
Id = Annotated[int, Path(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=1000)]
SourceFilter = Annotated[int | None, Query(ge=1, lt=2**63, description="Only those of this source.")]

RUNS_GO = "GET /v1/runs lists them; a run goes with its source, and after 90 days if it is not among the last ten."
POLL_S = 0.5
#: A comment is sent this often, so that a proxy does not close a quiet stream.
KEEP_ALIVE_S = 15.0


def source_with_id(parts: Parts, who: Principal, source_id: int) -> SourceRecord:
    """Return the source with this id. Raises NotFound, also for one that *who* may not read: the two look the same."""
    with reading_as(parts, who) as (session, scope):
        found = next((s for s in store.visible_sources(session, scope) if s.id == source_id), None)
    if found is None:
        raise NotFound(f"There is no source {source_id}.", remedy="GET /v1/sources lists them.")
    return found


def synchronizations(request: Request) -> Synchronizations:
    """Return the runs of this process."""
    found = request.app.state.synchronizations
    assert isinstance(found, Synchronizations)  # noqa: S101 -- put there by create_app; narrows the type
    return found


@router.get("/sources", operation_id="list_sources", tags=["sources"], summary="List sources")
def list_sources(parts: PartsHere, who: MayRead) -> SourcesOut:
    """Return the sources that the asker may read."""
    with reading_as(parts, who) as (session, scope):
        return SourcesOut(sources=tuple(SourceOut.of(s) for s in store.visible_sources(session, scope)))


@router.post(
    "/sources",
    operation_id="add_source",
    tags=["sources"],
    status_code=201,
    summary="Add a source",
    responses=may_fail(409),
)
def create_source(body: SourceIn, parts: PartsHere, who: MayOperate) -> SourceOut:
    """Add a source, which its maker and the local user may read; nothing is read before its first run."""
    return SourceOut.of(add_source(parts.catalog, body.wanted(), who.id))


@router.get("/sources/{source_id}", operation_id="get_source", tags=["sources"], summary="Read a source")
def get_source(source_id: Id, parts: PartsHere, who: MayRead) -> SourceOut:
    """Return one source."""
    return SourceOut.of(source_with_id(parts, who, source_id))


@router.delete(
    "/sources/{source_id}",
    operation_id="remove_source",
    tags=["sources"],
    status_code=204,
    summary="Remove a source",
    responses=may_fail(409),
)
def delete_source(source_id: Id, request: Request, parts: PartsHere, who: MayOperate) -> None:
    """Remove a source and everything indexed from it; the files of a folder stay as they are."""
    source = source_with_id(parts, who, source_id)
    if synchronizations(request).is_running(source_id):
        raise Conflict(f"A run of the source {source.name} is going on.", remedy="Wait for it to finish.")
    with parts.catalog.transaction() as session:
        store.remove_source(session, source_id)
        audit.record(session, who.id, "source.remove", source_id)


@router.post(
    "/sources/{source_id}/plan",
    operation_id="plan_source",
    tags=["sources"],
    summary="Plan a run",
    responses=may_fail(409),
)
def plan(source_id: Id, parts: PartsHere, who: MayRead) -> PlanOut:
    """Return what a run would do with the documents that the asker may read, without doing it."""
    source = source_with_id(parts, who, source_id)
    return PlanOut.model_validate(visible_plan(indexing_of(parts), source, scope_of(parts, who)))


@router.post(
    "/sources/{source_id}/sync",
    operation_id="sync_source",
    tags=["sources"],
    status_code=202,
    summary="Start a run",
    responses=may_fail(400, 409),
)
def sync(source_id: Id, request: Request, parts: PartsHere, who: MayOperate, body: SyncIn | None = None) -> RunOut:
    """Start a run in the background and return it; 409 while one of this source is going on.

    With `"when": "after"` the run that is going on is returned, and one more begins when it has ended, however often
    that is asked for.
    """
    source = source_with_id(parts, who, source_id)
    wanted = body or SyncIn()
    if wanted.confirm_deletions and wanted.when == "after":
        raise BadRequest("What a run would delete cannot be confirmed before.", remedy="Leave out one of the two.")
    try:
        run_id = synchronizations(request).start(
            source, who.id, confirm_deletions=wanted.confirm_deletions, force=wanted.force
        )
    except (Conflict, RunInProgress):
        if wanted.when == "now":
            raise
        with parts.catalog.transaction() as session:
            triggers.ask(session, source.id, triggers.MANUAL)
            audit.record(session, who.id, "source.trigger", source.id)
            (going,) = runs.runs(session, source.id, limit=1)
        return run_with_id(parts, who, going.id).model_copy(update={"followed": True})
    return run_with_id(parts, who, run_id)


@router.get("/runs", operation_id="list_runs", tags=["runs"], summary="List runs")
def list_runs(parts: PartsHere, who: MayRead, source_id: SourceFilter = None, limit: Limit = 50) -> RunsOut:
    """Return the latest runs of the sources that the asker may read, newest first."""
    with reading_as(parts, who) as (session, scope):
        found = runs.visible_runs(session, scope, source_id=source_id, limit=limit)
        return RunsOut(runs=tuple(RunOut.model_validate(r) for r in found))


@router.get("/runs/{run_id}", operation_id="get_run", tags=["runs"], summary="Read a run")
def get_run(run_id: Id, parts: PartsHere, who: MayRead) -> RunOut:
    """Return one run; while it goes on, with the counts so far."""
    return run_with_id(parts, who, run_id)


@router.get(
    "/runs/{run_id}/events",
    operation_id="watch_run",
    tags=["runs"],
    summary="Watch a run",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "`progress` while it goes on, then `done` with the run; `lost` with the run when its "
            "process gave no sign of life for two minutes.",
            "content": {"text/event-stream": EVENT_SCHEMA},
        }
    },
)
async def watch_run(run_id: Id, request: Request, parts: PartsHere, who: MayRead) -> EventStream:
    """Send the run's progress as server-sent events until it ends, or may no longer be seen."""
    await run_in_threadpool(run_with_id, parts, who, run_id)
    return EventStream(_run_events(parts, who, synchronizations(request), run_id))


async def _run_events(
    parts: Parts, who: Principal, going: Synchronizations, run_id: int
) -> AsyncGenerator[bytes, None]:
    """Yield an event whenever something moved. The catalog is asked, so runs of other processes show too.

    It is asked in the name of *who* each time: what is revoked meanwhile ends the stream.
    """
    last: object = None
    spoke = time.monotonic()
    while True:
        try:
            run = await run_in_threadpool(run_with_id, parts, who, run_id)
        except NotFound:
            return
        if run.state != "running":
            yield sse("done", run.model_dump(mode="json"))
            return
        if not runs.is_alive(run.beat_at, utc_now()):
            yield sse("lost", run.model_dump(mode="json"))
            return
        here = going.progress(run_id)  # None for a run of another process: its row tells, up to two seconds later
        progress = run.progress if here is None else ProgressOut.model_validate(here)
        if last != (state := (run.report, progress)):
            last, spoke = state, time.monotonic()
            where = None if progress is None else progress.model_dump(mode="json")
            yield sse("progress", {"run_id": run_id, "progress": where, "report": run.report})
        elif time.monotonic() - spoke > KEEP_ALIVE_S:
            spoke = time.monotonic()
            yield b": running\n\n"
        await anyio.sleep(POLL_S)


@router.get("/failures", operation_id="list_failures", tags=["runs"], summary="List failures")
def list_failures(parts: PartsHere, who: MayRead, source_id: SourceFilter = None) -> FailuresOut:
    """Return the documents that could not be read, each with the reason and what to do; of sources one may read."""
    with reading_as(parts, who) as (session, scope):
        found = runs.visible_failures(session, scope, source_id=source_id)
        return FailuresOut(failures=tuple(FailureOut.of(f) for f in found))


@router.get("/deletions", operation_id="list_deletions", tags=["sources"], summary="List receipts of deletions")
def list_deletions(parts: PartsHere, who: MayOperate, limit: Limit = 50) -> DeletionsOut:
    """Return when documents were deleted from the answers, and when their bytes were gone; of sources one may read."""
    with reading_as(parts, who) as (session, scope):
        seen = {source.id for source in store.visible_sources(session, scope)}
        found = [each for each in deletions.receipts(session, limit) if each.source_id in seen]
    return DeletionsOut(deletions=tuple(DeletionOut.model_validate(each) for each in found), remains=deletions.BEYOND)


def run_with_id(parts: Parts, who: Principal, run_id: int) -> RunOut:
    """Return the run. Raises NotFound, also for one of a source that *who* may not read: the two look the same."""
    with reading_as(parts, who) as (session, scope):
        return RunOut.model_validate(visible_run(session, scope, run_id))


def visible_run(session: Session, scope: Scope, run_id: int) -> RunRecord:
    """Return the run. Raises NotFound when there is none, or its source may not be read."""
    found = runs.visible_run(session, scope, run_id)
    if found is None:
        raise NotFound(f"There is no run {run_id}.", remedy=RUNS_GO)
    return found
