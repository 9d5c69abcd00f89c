"""Errors on the wire: one table from error class to HTTP status, rendered as RFC 9457 problem documents.

The OpenAI-compatible routes answer the same errors in OpenAI's shape, because the official client reads
nothing else. No stack trace and no text of a document ever leaves through here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app import errors as app_errors
from indexing import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
#: Seconds after which a client may try again, for the statuses that pass by themselves.
RETRY_AFTER_S = 2
#: Routes that answer errors in OpenAI's shape.
OPENAI_PATHS = ("/v1/chat/", "/v1/models")

#: The one table. A class that is not in it has the status of its nearest parent.
STATUS_OF: dict[type[Exception], HTTPStatus] = {
    errors.IndexingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.CatalogUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.SourceError: HTTPStatus.CONFLICT,
    errors.ParseError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedFormat: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.EmbedError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PermissionLeak: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.BadRequest: HTTPStatus.BAD_REQUEST,
    app_errors.QuestionTooLong: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    app_errors.NotAllowed: HTTPStatus.UNAUTHORIZED,
    app_errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    app_errors.ProviderUnavailable: HTTPStatus.BAD_GATEWAY,
    app_errors.Forbidden: HTTPStatus.FORBIDDEN,
    app_errors.NotFound: HTTPStatus.NOT_FOUND,
    app_errors.Conflict: HTTPStatus.CONFLICT,
    app_errors.NoIndexYet: HTTPStatus.CONFLICT,
    app_errors.AnswerWithdrawn: HTTPStatus.CONFLICT,
    app_errors.GeneratorError: HTTPStatus.BAD_GATEWAY,
    app_errors.GeneratorTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    app_errors.GeneratorOverloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.GeneratorUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
}

#: The same by name, for a ``Failed`` event, which carries the class name of an error.
_CLASS_NAMED: dict[str, type[Exception]] = {
    name: cls
    for module in (errors, app_errors)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and issubclass(cls, errors.IndexingError)
}


def status_of(error: type[Exception] | str) -> HTTPStatus:
    """Return the HTTP status of an error class (or of its name); 500 for a stranger."""
    cls = _CLASS_NAMED.get(error, Exception) if isinstance(error, str) else error
    return next((STATUS_OF[c] for c in cls.__mro__ if c in STATUS_OF), HTTPStatus.INTERNAL_SERVER_ERROR)


def kind_of(name: str) -> str:
    """Return the error class's name as the last part of a problem type: ``StorageFull`` → ``storage-full``."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def problem(
    status: HTTPStatus,
    *,
    kind: str,
    title: str,
    detail: str,
    remedy: str = "",
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem document: ``type`` is a stable URN, ``title`` says what kind, ``detail`` what happened."""
    body = {
        "type": f"urn:metier:problem:{kind}",
        "title": title,
        "status": int(status),
        "detail": detail,
        **({"remedy": remedy} if remedy else {}),
        **(extra or {}),
    }
    more = _headers_of(status) | dict(headers or {})
    return JSONResponse(body, status_code=int(status), media_type=PROBLEM_JSON, headers=more)


def _headers_of(status: HTTPStatus) -> dict[str, str]:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="metier"'}
    return {}


def openai_error(
    status: HTTPStatus, message: str, *, code: str | None = None, param: str | None = None
) -> JSONResponse:
    """Return an error in the shape that OpenAI clients read."""
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    headers = _headers_of(status)
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status_code=int(status), headers=headers)


def problem_of(
    error: errors.IndexingError, *, openai: bool = False, extra: Mapping[str, Any] | None = None
) -> JSONResponse:
    """Return the response for one of our own errors."""
    response = named_problem(type(error).__name__, error.message, error.remedy, openai=openai, extra=extra)
    if isinstance(error, app_errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def named_problem(
    name: str, message: str, remedy: str, *, openai: bool = False, extra: Mapping[str, Any] | None = None
) -> JSONResponse:
    """Return the response for an error known by its class name, as a ``Failed`` event carries it."""
    status = status_of(name)
    if openai:
        return openai_error(status, f"{message} {remedy}".strip(), code=kind_of(name).replace("-", "_"))
    title = (_CLASS_NAMED.get(name, Exception).__doc__ or "").partition("\n")[0].rstrip(".") or status.phrase
    return problem(status, kind=kind_of(name), title=title, detail=message, remedy=remedy, extra=extra)


def _is_openai(request: Request) -> bool:
    # Not request.url: that is made with the Host header, which anybody may write.
    return str(request.scope["path"]).startswith(OPENAI_PATHS)


async def _on_own_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, errors.IndexingError)  # noqa: S101 -- registered for this class only; narrows the type
    status = status_of(type(exc))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # A full disk or a database that is away needs its reason, not a trace; other reasons may name documents.
        reason = exc.message if isinstance(exc, errors.CatalogError) else None
        trace = exc if status == HTTPStatus.INTERNAL_SERVER_ERROR else None
        log.error("Request failed.", action="request_failed", error=type(exc).__name__, reason=reason, exc_info=trace)
    return problem_of(exc, openai=_is_openai(request))


async def _on_invalid(request: Request, exc: Exception) -> JSONResponse:
    """Name each field that is wrong, and never repeat what was sent: it may be a question or a document."""
    assert isinstance(exc, RequestValidationError)  # noqa: S101 -- registered for this class only; narrows the type
    fields = [
        {"field": ".".join(str(p) for p in e["loc"] if p != "body") or "body", "message": e["msg"]}
        for e in exc.errors()
    ]
    detail = "; ".join(f"{f['field']}: {f['message']}" for f in fields)
    if _is_openai(request):
        return openai_error(HTTPStatus.BAD_REQUEST, detail, code="invalid_request", param=fields[0]["field"])
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        kind="invalid-request",
        title="The request cannot be used",
        detail=detail,
        remedy="Correct the fields named here; /openapi.json describes each one.",
        extra={"fields": fields},
    )


async def _on_http_exception(request: Request, exc: Exception) -> JSONResponse:
    """Unknown path, wrong method, body that is no JSON or too large: what the framework itself finds."""
    assert isinstance(exc, HTTPException)  # noqa: S101 -- registered for this class only; narrows the type
    status = HTTPStatus(exc.status_code)
    detail = exc.detail if exc.detail and exc.detail != status.phrase else _DETAILS.get(status, status.phrase)
    if _is_openai(request):
        return openai_error(status, detail, code=kind_of(status.phrase.title().replace(" ", "")).replace("-", "_"))
    return problem(
        status,
        kind=status.phrase.lower().replace(" ", "-"),
        title=status.phrase,
        detail=detail,
        remedy=_REMEDIES.get(status, ""),
        headers=exc.headers,
    )


_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request body is larger than this address takes.",
}
_REMEDIES = {
    HTTPStatus.BAD_REQUEST: "Send a JSON object in UTF-8 with Content-Type: application/json.",
    HTTPStatus.NOT_FOUND: "See /openapi.json for the addresses.",
    HTTPStatus.REQUEST_TIMEOUT: "Send it at once, over a connection that is fast enough.",
    HTTPStatus.METHOD_NOT_ALLOWED: "See the Allow header.",
}


def surprise(path: str) -> JSONResponse:
    """Return the response to an error that nobody expected: no trace in it, the log has that."""
    detail, remedy = "Something went wrong in the server.", "The log of the server has the details."
    if path.startswith(OPENAI_PATHS):
        return openai_error(HTTPStatus.INTERNAL_SERVER_ERROR, f"{detail} {remedy}", code="internal_error")
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        kind="internal-error",
        title="Internal error",
        detail=detail,
        remedy=remedy,
    )


def register(app: FastAPI) -> None:
    """Make *app* answer every error with the responses of this module."""
    app.add_exception_handler(errors.IndexingError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
