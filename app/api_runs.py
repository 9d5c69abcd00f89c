"""Routes about one run: why it is as it is, and asking it to stop. The others are in ``app/api_sources.py``."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app import audit
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.api_sources import Id, run_with_id, synchronizations, visible_run
from app.auth import MayOperate, MayRead, PartsHere, reading_as
from app.errors import Conflict
from app.wire_runs import ExplainedOut, LineOut
from app.wire_sources import RunOut  # noqa: TC001 -- FastAPI reads the annotation
from indexing import runs_history, runs_live
from indexing.explain import explain

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["runs"])


@router.get("/runs/{run_id}/explain", operation_id="explain_run", summary="Explain a run")
def explain_run(run_id: Id, parts: PartsHere, who: MayRead) -> ExplainedOut:
    """Return why the run is slow, stuck, waiting or failed; which machine has it is for those who may operate."""
    with reading_as(parts, who) as (session, scope):
        run = visible_run(session, scope, run_id)
        around = runs_history.around(session, run)
    lines = explain(run, around, names_holder="operate" in who.permissions)
    return ExplainedOut(
        run_id=run.id, state=run.state, lines=tuple(LineOut(about=line.about, text=line.text) for line in lines)
    )


@router.post(
    "/runs/{run_id}/cancel", operation_id="cancel_run", status_code=202, summary="Cancel a run", responses=may_fail(409)
)
def cancel_run(run_id: Id, request: Request, parts: PartsHere, who: MayOperate) -> RunOut:
    """Ask the run to stop, wherever it goes on, and return it; what it stored stays. 409 when it has ended."""
    with reading_as(parts, who) as (session, scope):
        run = visible_run(session, scope, run_id)
    with parts.catalog.transaction() as session:
        if not runs_live.ask_to_cancel(session, run_id):
            remedy = f"The next run goes on where it stopped: POST /v1/sources/{run.source_id}/sync."
            raise Conflict(f"Run {run_id} has ended.", remedy=remedy)
        audit.record(session, who.id, "run.cancel", run_id)
    synchronizations(request).cancel(run_id)
    return run_with_id(parts, who, run_id)
