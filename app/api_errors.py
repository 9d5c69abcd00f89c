"""What the description of the interface says of errors: which statuses a route may answer, and in which shape.

Statuses that follow from what a route is (it asks who calls, it takes a body, it has an id in its path) are added here,
in one place; a route names only its own, with ``may_fail``. A test sends requests made from the description and
refuses every answer that it does not name.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from app.auth import OPEN_ROUTES
from app.problems import OPENAI_PATHS, PROBLEM_JSON
from app.wire import PassageOut, Wire, example

_REFERENCE = "#/components/schemas/{model}"
#: What FastAPI describes of its own accord; ours are answered in their place.
_FOREIGN = ("HTTPValidationError", "ValidationError")


class FieldProblem(Wire):
    """One field that cannot be used."""

    field: str
    message: str


class Problem(Wire):
    """What went wrong (RFC 9457), and what to do about it."""

    model_config = example(
        type="urn:metier:problem:not-found",
        title="There is nothing with this name or id",
        status=404,
        detail="There is no source 7.",
        remedy="GET /v1/sources lists them.",
    )

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    fields: tuple[FieldProblem, ...] = ()
    sources: tuple[PassageOut, ...] = ()


class OpenAIErrorBody(Wire):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Wire):
    """The shape in which the OpenAI-compatible routes answer errors."""

    error: OpenAIErrorBody


def may_fail(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return *statuses* as the ``responses`` of a route; ``documented`` adds their shape."""
    return {status: {} for status in statuses}


def documented(document: dict[str, Any]) -> dict[str, Any]:
    """Return the description with every status that a route may answer, each with its media type and schema."""
    schemas = document["components"]["schemas"]
    for name in _FOREIGN:
        schemas.pop(name, None)
    for model in (Problem, OpenAIError):
        described = model.model_json_schema(ref_template=_REFERENCE)
        for name, schema in described.pop("$defs", {}).items():
            schemas.setdefault(name, schema)
        schemas[model.__name__] = described
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(path, method, operation)
    return document


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    openai = path.startswith(OPENAI_PATHS)
    own = {int(status) for status, described in responses.items() if int(status) >= 400 and "content" not in described}
    named = own | _implied(path, method, operation)
    shape, media_type = (OpenAIError, "application/json") if openai else (Problem, PROBLEM_JSON)
    schema = {"$ref": _REFERENCE.format(model=shape.__name__)}
    for described in responses.values():
        for content in described.get("content", {}).values():
            if "itemSchema" in content:
                content.pop("schema", None)  # FastAPI's "a string", beside what each event is
    # What FastAPI adds for a request that is not valid is described as JSON of its own making.
    responses.pop("422", None)
    for status in sorted(named - {422} if openai else named):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {media_type: {"schema": schema}},
            **({"headers": {"Retry-After": _RETRY_AFTER}} if status == HTTPStatus.TOO_MANY_REQUESTS else {}),
        }
    operation["responses"] = dict(sorted(responses.items()))


_RETRY_AFTER = {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 0}}


def _implied(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    """Return the error statuses that follow from what a route is."""
    implied = {400, 500}  # a Host that cannot be; what nobody expected
    if path not in OPEN_ROUTES:
        implied |= {401, 403, 429, 503}
    if "{" in path:
        implied.add(404)
    if "requestBody" in operation:
        implied |= {408, 413}
    if "requestBody" in operation or operation.get("parameters"):
        implied.add(422)
    if method != "get":
        implied.add(507)
    return implied
