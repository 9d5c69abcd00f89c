"""Routes for machines that watch: ``/healthz``, ``/readyz``, ``/metrics``, and ``/openapi.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from app.auth import MayObserve, MayRead, PartsHere, Principal, reading_as
from app.metrics import CONTENT_TYPE
from app.slack import store_inbox, store_workspaces
from app.version import version
from app.wire import Alive, Ready
from indexing import changelog, runs, store
from indexing.errors import CatalogError, PermissionLeak

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.parts import Parts
    from indexing.snapshot import Snapshot

router = APIRouter()


@router.get("/healthz", operation_id="health", tags=["health"], summary="Is it up?")
async def healthz() -> Alive:
    """Answer as long as the process serves. Needs no token, no thread, no catalog."""
    return Alive(version=version())


@router.get(
    "/readyz",
    operation_id="readiness",
    tags=["health"],
    summary="Can it answer?",
    responses={503: {"model": Ready, "description": "Not yet, or the catalog cannot be reached."}},
)
def readyz(request: Request, response: Response, parts: PartsHere) -> Ready:
    """Tell whether questions can be answered. Needs no token and tells nothing about documents."""
    warmed = bool(request.app.state.warmed.is_set())
    try:
        with parts.catalog.reading() as session:
            seq = changelog.state(session).seq
            silent_for_s = store_workspaces.silent_for_s(session)
    except CatalogError as exc:
        response.status_code = 503
        return Ready(
            status="unavailable",
            catalog=type(exc).__name__,
            generation=None,
            seq=None,
            indexed_through=None,
            model_loaded=warmed,
        )
    snapshot = _snapshot(parts) if warmed else None
    leaked = parts.index.leak is not None
    if snapshot is None or leaked:
        response.status_code = 503
    return Ready(
        status="permission_leak" if leaked else "starting" if snapshot is None else "ready",
        catalog="ok",
        generation=None if snapshot is None or snapshot.generation.path is None else snapshot.generation.path.name,
        seq=seq,
        indexed_through=None if snapshot is None else snapshot.seq,
        model_loaded=warmed,
        slack_event_age_s=None if silent_for_s is None else round(silent_for_s, 1),
    )


def _snapshot(parts: Parts) -> Snapshot | None:
    """Return what is searched; None when nothing may be."""
    try:
        return parts.index.snapshot()
    except PermissionLeak:
        return None


@router.get("/metrics", operation_id="metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
def metrics(request: Request, parts: PartsHere, who: MayObserve) -> Response:
    """Return metrics in Prometheus' text format."""
    measured: Metrics = request.app.state.metrics
    take_stock(measured, parts, who)
    measured.running.set(request.app.state.synchronizations.count())
    return Response(measured.exposition(), media_type=CONTENT_TYPE)


def take_stock(measured: Metrics, parts: Parts, who: Principal) -> None:
    """Set the gauges to what the catalog holds now."""
    with reading_as(parts, who) as (session, scope):
        counts = store.counts(session, scope)
        measured.seq.set(changelog.state(session).seq)
        measured.failures.set(len(runs.visible_failures(session, scope)))
        measured.held.set(len(runs.held_sources(session, scope)))
        waiting = store_inbox.unfinished(session)
        measured.slack_waiting.set(sum(count for (_, state), count in waiting.items() if state == "waiting"))
        measured.slack_silence.set(store_workspaces.silent_for_s(session) or 0)
    measured.documents.set(counts.documents)
    measured.chunks.set(counts.chunks)
    measured.leak.set(parts.index.leak is not None)
    measured.generating.set(getattr(parts.generator, "busy", 0))


@router.get("/openapi.json", operation_id="openapi", tags=["health"], include_in_schema=False)
def openapi(request: Request, _who: MayRead) -> dict[str, Any]:
    """Return the description of this interface."""
    described: dict[str, Any] = request.app.openapi()
    return described
