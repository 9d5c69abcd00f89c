"""The only asynchronous code on the way of an answer: a plain generator, stepped and closed in the thread pool.

Left to itself, ``StreamingResponse`` runs the ``finally`` of a generator whose client has left on the
event loop, where a database write blocks every other request; and a response that is not streamed never
hears that its client has left. Here both paths listen for it, and the generator is closed in the pool as
soon as the step that is going on returns.
"""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from starlette.types import Receive, Scope, Send

T = TypeVar("T")

#: A client that takes no byte for this long is taken to be gone.
SEND_TIMEOUT_S = 30.0
#: Answers stepped at the same time. Their own limit, so that they never take the threads of other routes.
ANSWER_THREADS = 16

#: How OpenAPI describes one event of a stream; its data is JSON.
EVENT_SCHEMA: dict[str, Any] = {
    "itemSchema": {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["data"],
    }
}

_END: Any = object()


def answer_threads() -> anyio.CapacityLimiter:
    """Return the limit that ``stepped`` counts against; one for each application."""
    return anyio.CapacityLimiter(ANSWER_THREADS)


async def stepped(generator: Generator[T, None, None], threads: anyio.CapacityLimiter) -> AsyncGenerator[T, None]:
    """Yield what *generator* yields, each step taken in a thread; close it in a thread, whatever happens.

    Cancelled in the middle of a step, it waits for that step first: a generator cannot be closed while it
    runs. So a generator that may wait long has to come up for air (``app/llm.py`` yields while it waits).
    """
    try:
        while (item := await anyio.to_thread.run_sync(next, generator, _END, limiter=threads)) is not _END:
            yield item
    finally:
        with anyio.CancelScope(shield=True):
            # Not counted against the limit: giving a slot back must not wait for a slot.
            await anyio.to_thread.run_sync(generator.close, limiter=anyio.CapacityLimiter(1))


async def collect(
    generator: Generator[T, None, None], request: Request, threads: anyio.CapacityLimiter
) -> tuple[T, ...]:
    """Return all that *generator* yields; raises ClientDisconnect, generator closed, once the client is gone."""
    items: list[T] = []
    finished = False
    async with _while_connected(request.receive), aclosing(stepped(generator, threads)) as steps:
        async for item in steps:
            items.append(item)  # noqa: PERF401 -- an asynchronous comprehension reads no better here
        finished = True
    if not finished:
        raise ClientDisconnect
    return tuple(items)


@asynccontextmanager
async def _while_connected(receive: Receive) -> AsyncGenerator[None, None]:
    """Run the body until the client leaves, then cancel it and go on after the ``with``."""
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
        try:
            yield
        except Exception as exc:  # noqa: BLE001 -- raised below: out of here the group would wrap it in another
            failure = exc
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def sse(event: str, data: Mapping[str, Any]) -> bytes:
    """Return one server-sent event. JSON has no raw line break, so one ``data:`` line holds it."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class EventStream(Response):
    """Sends what an asynchronous generator yields, at once; closes it when it ends or the client leaves.

    Unlike ``StreamingResponse`` it listens for the disconnect itself under every version of ASGI: a server
    that only fails the next ``send`` would leave the generator working until its first token.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None) -> None:
        self.pieces = pieces
        self.status_code = 200
        self.background = None
        # Buffering proxies (nginx) would hold tokens back.
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Send everything; raises ClientDisconnect, generator closed, once the client is gone."""
        finished = False
        async with _while_connected(receive), aclosing(self.pieces) as pieces:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in pieces:
                with anyio.move_on_after(SEND_TIMEOUT_S) as sending:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if sending.cancelled_caught:
                    raise ClientDisconnect
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            finished = True
        if not finished:
            raise ClientDisconnect
