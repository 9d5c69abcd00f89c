"""Routes whose bodies are JSON read no more than a megabyte of one: a limit counted while reading, not declared."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response
    from starlette.types import Message, Receive

#: Largest body of a request that is not a pushed document.
JSON_BYTES = 1 << 20


class JsonRoute(APIRoute):
    """A route that answers 413, as a problem like any other, once its body is larger than JSON_BYTES."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's own way of serving a request, reading through the limit."""
        serve = super().get_route_handler()

        async def limited(request: Request) -> Response:
            return await serve(Request(request.scope, _counted(request.receive)))

        return limited


def _counted(receive: Receive) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > JSON_BYTES:
            # The framework turns every other error while a body is read into "400, cannot be parsed".
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is over {JSON_BYTES} bytes.")
        return message

    return counted
