"""The HTTP application: routes, errors, the guard around them, and what happens when it starts and stops."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from app import (
    api_ask,
    api_audit,
    api_documents,
    api_gate,
    api_health,
    api_hooks,
    api_keys,
    api_notifications,
    api_runs,
    api_schedules,
    api_session,
    api_slack,
    api_slack_link,
    api_sources,
    api_specialists,
    openai_api,
    problems,
    retention,
)
from app.api_errors import documented
from app.audit import Refusals
from app.identity_provider import IdentityProvider
from app.ingest import Synchronizations
from app.metrics import Metrics
from app.notifying import carrier_of, keep_notifying
from app.quotas import Quotas
from app.scheduling import keep_schedules
from app.server_guard import Guard
from app.slack.handle import handle, sign
from app.slack.running import Running
from app.stream import answer_threads
from app.version import version
from app.wiring import warm
from indexing.errors import IndexingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.parts import Parts

log = structlog.get_logger(__name__)

TITLE = "Métier"
#: Longest wait for a message that is being sent when the server stops.
PATIENCE_S = 20.0
ROUTERS = (
    api_ask,
    api_specialists,
    api_sources,
    api_runs,
    api_schedules,
    api_gate,
    api_hooks,
    api_notifications,
    api_documents,
    api_keys,
    api_session,
    api_slack_link,
    api_audit,
    api_health,
    api_slack,
    openai_api,
)
DESCRIPTION = """Ask your documents: answers with checked citations, from a program that runs on your own machines.

* `POST /v1/ask` answers a question, whole or as server-sent events; `POST /v1/search` returns passages only.
* `/v1/sources`, `/v1/runs` and `/v1/failures` keep the index equal to the documents.
* `/v1/models` and `/v1/chat/completions` serve any OpenAI client; each specialist is a model.

Errors are `application/problem+json` (RFC 9457) with a `remedy`: what to do. With `METIER_API_TOKEN` set,
every route but `/healthz` and `/readyz` needs `Authorization: Bearer <token>`. A key of
`/v1/keys` is sent the same way: then its owner is who asks.
"""


class Application(FastAPI):
    """FastAPI, whose description of the interface also names the errors."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = documented(super().openapi())
        return self.openapi_schema


def create_app(parts: Parts) -> FastAPI:
    """Return the application that serves *parts*. It starts and stops with the server's lifespan."""
    app = _routes()
    app.add_middleware(Guard, settings=parts.settings)
    app.state.parts = parts
    registered = parts.settings.registration
    public_url = parts.settings.public_url or ""
    app.state.identity_provider = None if registered is None else IdentityProvider(registered, public_url)
    app.state.metrics = Metrics()
    app.state.synchronizations = Synchronizations(parts)
    app.state.answer_threads = answer_threads()
    app.state.quotas = Quotas(parts.settings.requests_per_minute, parts.settings.answers_at_once)
    app.state.warmed = threading.Event()
    app.state.refusals = Refusals()
    app.state.slack = Running(parts, app.state.metrics, handle, sign, quotas=app.state.quotas)
    return app


def openapi_document() -> dict[str, Any]:
    """Return the description of the interface; no part of the program is opened for it."""
    return _routes().openapi()


def _routes() -> FastAPI:
    # No interactive page: it would fetch its scripts from a server that we do not run.
    app = Application(
        title=TITLE,
        description=DESCRIPTION,
        version=version(),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for module in ROUTERS:
        app.include_router(module.router)
    problems.register(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    threading.Thread(target=_warm, args=(parts, app.state.warmed), name="warm-up", daemon=True).start()
    stop = threading.Event()
    arguments = (parts.catalog, app.state.synchronizations, stop)
    scheduling = threading.Thread(target=keep_schedules, args=arguments, name="schedules", daemon=True)
    scheduling.start()
    carrying = (parts.catalog, carrier_of(parts), stop)
    notifying = threading.Thread(target=keep_notifying, args=carrying, name="notifications", daemon=True)
    notifying.start()
    app.state.slack.start()
    with retention.daily(parts.catalog, parts.settings):
        yield
        stop.set()
        await run_in_threadpool(app.state.slack.stop)
        await run_in_threadpool(scheduling.join)
        await run_in_threadpool(notifying.join, PATIENCE_S)
        await run_in_threadpool(app.state.synchronizations.stop)


def _warm(parts: Parts, warmed: threading.Event) -> None:
    """Load what the first question would otherwise wait for."""
    try:
        warm(parts)
        warmed.set()
        log.info("Ready to answer.", action="ready")
    except IndexingError as exc:
        # Not fatal: the first question tries again and shows the error to who asks; /readyz says "starting".
        log.exception("The index could not be opened.", action="warm_up_failed", error=type(exc).__name__)
