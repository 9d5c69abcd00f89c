"""Bodies of requests are limited while they are read, not by what is declared: in bytes, and in time.

A route whose body is JSON reads no more than a megabyte of it; a pushed document has a limit of its own. A body that
arrives too slowly is refused too: it would hold its connection, and its file, for as long as its sender likes.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response
    from starlette.types import Message, Receive

#: Largest body of a request that is not a pushed document.
JSON_BYTES = 1 << 20
#: A body may take GRACE_S, and a second more for each LEAST_BYTES_PER_S that have arrived.
GRACE_S = 30.0
LEAST_BYTES_PER_S = 16 << 10


class JsonRoute(APIRoute):
    """A route that answers 413, as a problem like any other, once its body is larger than JSON_BYTES."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's own way of serving a request, reading through the limit."""
        serve = super().get_route_handler()

        async def limited_here(request: Request) -> Response:
            # The framework turns every other error while a body is read into "400, cannot be parsed".
            too_large = HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is over {JSON_BYTES} bytes."
            )
            return await serve(Request(request.scope, limited(request.receive, JSON_BYTES, too_large)))

        return limited_here


def limited(receive: Receive, most: int, too_large: Exception, grace_s: float = GRACE_S) -> Receive:
    """Return *receive*, which raises *too_large* past *most* bytes of the body, and 408 when they come too slowly.

    Once the body is complete it waits as long as it is asked to: then what comes next is the client leaving.
    """
    started = time.monotonic()
    total, complete = 0, False

    async def receive_limited() -> Message:
        nonlocal total, complete
        if complete:
            return await receive()
        message: Message | None = None
        with anyio.move_on_after(started + grace_s + total / LEAST_BYTES_PER_S - time.monotonic()):
            message = await receive()
        if message is None:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The request body arrives too slowly.")
        total += len(message.get("body", b""))
        if total > most:
            raise too_large
        complete = not message.get("more_body", False)
        return message

    return receive_limited
