"""What a request may hold at most: bounds in the description, and bodies that are cut off while they are read."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.server import openapi_document
from app.wire import Wire
from app.wire_openai import Lenient


def unbounded(schema: dict[str, Any], components: dict[str, Any], where: str):
    """Yield each place of *schema* that takes a string, list or number of any size."""
    if without_bound(schema):
        yield f"{where}: {schema['type']}"
    for name, inner in inside(schema, components):
        yield from unbounded(inner, components, f"{where}.{name}")


def without_bound(schema):
    match schema.get("type"):
        case _ if "enum" in schema or "const" in schema:
            return False
        case "string":
            return "maxLength" not in schema
        case "array":
            return "maxItems" not in schema
        case "object":
            return bool(schema.get("additionalProperties")) and not {"maxProperties", "propertyNames"} <= schema.keys()
        case "integer" | "number":
            return not any(f"{e}aximum" in schema for e in ("m", "exclusiveM")) or not any(
                f"{e}inimum" in schema for e in ("m", "exclusiveM")
            )
    return False


def inside(schema, components):
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield name, components[name]
    for kind in ("anyOf", "oneOf", "allOf"):
        yield from ((kind, each) for each in schema.get(kind, ()))
    yield from schema.get("properties", {}).items()
    for part in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(part), dict):
            yield part, schema[part]


def requests_of(document):
    """Yield (where, schema) of everything that a request may hold."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                yield f"{method} {path} {parameter['name']}", parameter["schema"]
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if media_type == "application/json":
                    yield f"{method} {path}", content["schema"]


def test_every_string_list_and_number_of_a_request_is_bounded():
    document = openapi_document()
    found = list(requests_of(document))

    assert len(found) > 30
    assert [u for where, schema in found for u in unbounded(schema, document["components"]["schemas"], where)] == []


def descendants(model):
    return [each for child in model.__subclasses__() for each in (child, *descendants(child))]


NO_FLAG, NO_NUMBER = (0.0, 1, "true", "false"), ("5", "0.5", True)


def test_nothing_but_a_flag_is_a_flag_and_nothing_but_a_number_a_number():
    openapi_document()  # so that all bodies are there
    names, accepted = set(), set()
    for model in [*descendants(Wire), *descendants(Lenient)]:
        if not model.__name__.endswith(("In", "Options")):
            continue
        for name, field in model.model_fields.items():
            adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
            schema = adapter.json_schema()
            kinds = [schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()))]
            if name == "floors":
                kinds.append(schema["additionalProperties"]["type"])
            (kind,) = {"boolean", "integer", "number"} & set(kinds) or {""}
            for value in {"": (), "boolean": NO_FLAG}.get(kind, NO_NUMBER):
                names.add(f"{model.__name__}.{name}")
                with contextlib.suppress(ValidationError):
                    adapter.validate_python({"recall@5": value} if name == "floors" else value)
                    accepted.add((f"{model.__name__}.{name}", value))

    assert len(names) > 15
    assert accepted == set()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "array", "items": {"type": "null"}},
        {"type": "integer", "maximum": 3},
        {"anyOf": [{"type": "null"}, {"type": "number"}]},
        {"type": "object", "properties": {"x": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "null"}},
        {"$ref": "#/components/schemas/X"},
    ],
)
def test_the_walk_finds_what_has_no_bound(schema):
    assert list(unbounded(schema, {"X": {"type": "string"}}, "here"))
