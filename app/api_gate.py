"""Routes of gates: golden sets of specialists, what the gate said of a run, and publishing what it holds."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Path

from app import audit, specialists_golden
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.api_sources import Id, visible_run
from app.auth import MayOperate, PartsHere, asker_of, reading_as
from app.errors import NotFound
from app.gate import parse_floors
from app.gated import publish_held
from app.golden import parse_golden
from app.wire_gate import GateOut, GoldenIn, GoldenOut, PublishedOut
from indexing import runs

router = APIRouter(prefix="/v1", route_class=JsonRoute)

SpecialistName = Annotated[str, Path(max_length=100, description="Name of the specialist.")]


@router.get(
    "/specialists/{name}/golden", operation_id="get_golden_set", tags=["specialists"], summary="Read the golden set"
)
def get_golden_set(name: SpecialistName, parts: PartsHere, _who: MayOperate) -> GoldenOut:
    """Return the golden set that is kept with a specialist."""
    with parts.catalog.reading() as session:
        return GoldenOut.of(specialists_golden.kept(session, name))


@router.put(
    "/specialists/{name}/golden", operation_id="keep_golden_set", tags=["specialists"], summary="Keep a golden set"
)
def keep_golden_set(name: SpecialistName, body: GoldenIn, parts: PartsHere, who: MayOperate) -> GoldenOut:
    """Keep a golden set with a specialist, in place of an older one: it guards all sources that this answers from."""
    golden = parse_golden(PurePath("golden.jsonl"), body.content())
    floors = parse_floors([f"{figure}={limit!r}" for figure, limit in body.floors.items()])
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        kept = specialists_golden.keep(session, asker, name, golden, tolerance=body.tolerance, floors=floors)
        audit.record(session, who.id, "specialist.golden", name)
    return GoldenOut.of(kept)


@router.delete(
    "/specialists/{name}/golden",
    operation_id="forget_golden_set",
    tags=["specialists"],
    status_code=204,
    summary="Forget the golden set",
)
def forget_golden_set(name: SpecialistName, parts: PartsHere, who: MayOperate) -> None:
    """Forget the golden set of a specialist: it guards nothing from the next run on."""
    with parts.catalog.transaction() as session:
        if not specialists_golden.forget(session, name):
            raise NotFound(f"No golden set is kept with {name}.")
        audit.record(session, who.id, "specialist.golden", name)


@router.get("/runs/{run_id}/gate", operation_id="get_gate", tags=["runs"], summary="Read what the gate said")
def get_gate(run_id: Id, parts: PartsHere, who: MayOperate) -> GateOut:
    """Return how the golden questions came out for what a run has read, compared with what was served, worst first."""
    with reading_as(parts, who) as (session, scope):
        visible_run(session, scope, run_id)
        found = runs.verdict(session, run_id)
    if found is None:
        raise NotFound(f"No gate was asked about run {run_id}.", remedy="GET /v1/runs shows which runs are held.")
    return GateOut.of(run_id, found)


@router.post(
    "/runs/{run_id}/publish",
    operation_id="publish_run",
    tags=["runs"],
    summary="Publish what is held",
    responses=may_fail(409),
)
def publish_run(run_id: Id, parts: PartsHere, who: MayOperate) -> PublishedOut:
    """Serve what a run holds in spite of the gate; 409 unless it is the newest run of its source, and held."""
    with reading_as(parts, who) as (session, scope):
        run = visible_run(session, scope, run_id)
    with parts.catalog.transaction() as session:
        return PublishedOut(run_id=run_id, documents=publish_held(session, run, who.id))
