"""Any OpenAI-compatible server (vLLM, llama.cpp, Ollama, Mistral's API) as a generator, through the official client."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from app.errors import GeneratorError, GeneratorOverloaded, GeneratorTimeout, GeneratorUnusable
from app.prompt import Message, fit
from app.relay import Relay, first_line

if TYPE_CHECKING:
    from app.generator import GenerationRequest, Pieces

#: The server's tokenizer is not ours to ask: French prose has about four characters per token in current
#: vocabularies, code and tables fewer, so three overestimates and the prompt fits.
CHARS_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 8  # what a chat template adds
CONNECT_TIMEOUT_S = 10.0
MOST_CHARS_PER_TOKEN = 32  # a server that ignores max_tokens is cut off here


class ServerGenerator:
    """One model of one server.

    The client runs in an event loop of its own, in one thread: cancelling a task there closes its connection at
    once, at whatever stage, which no blocking client can do. Everything outside stays plain and synchronous.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        context_tokens: int = 4096,
        queue_length: int = 8,
    ) -> None:
        """Remember where to ask; nothing is sent yet. At most 1 + *queue_length* questions are out at a time."""
        self.name = model
        self._base_url = base_url
        self._api_key = api_key
        self._context_tokens = context_tokens
        self._most = 1 + queue_length
        self._out: dict[int, Relay] = {}  # questions at the server, by id of their relay
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None  # openai.AsyncOpenAI, of the loop
        self._lock = threading.Lock()

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield the server's text, "" while waiting. Raises GeneratorError of some kind, never the client's own."""
        relay = Relay(request.deadlines)
        loop = self._running_loop()
        with self._lock:
            if self._waited_for() >= self._most:
                raise GeneratorOverloaded(f"{self._most} questions are already at the generator's server.")
            self._out[id(relay)] = relay
        call = asyncio.run_coroutine_threadsafe(self._call(self._payload(request), relay), loop)
        try:
            return (yield from relay.pieces())
        finally:
            call.cancel()

    @property
    def busy(self) -> int:
        """The number of questions at the server; those that nobody waits for any more do not count."""
        with self._lock:
            return self._waited_for()

    def close(self) -> None:
        """Break off what is going on and close the connections."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._shut(), loop).result(timeout=CONNECT_TIMEOUT_S)
            loop.call_soon_threadsafe(loop.stop)

    def _waited_for(self) -> int:
        return sum(not relay.cancelled.is_set() for relay in self._out.values())

    async def _shut(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run_loop, args=(self._loop,), name="generator-server", daemon=True).start()
            return self._loop

    async def _call(self, payload: dict[str, Any], relay: Relay) -> None:
        """Send one request and hand its pieces to the relay; cancelled, it closes the connection."""
        try:
            relay.finish(await self._read(payload, relay))
        except GeneratorError as exc:
            relay.fail(exc)
        except Exception as exc:  # noqa: BLE001 -- the seam: whatever the client raises becomes ours
            relay.fail(translate(exc))
        finally:
            with self._lock:
                del self._out[id(relay)]

    async def _read(self, payload: dict[str, Any], relay: Relay) -> str:
        reason = "stop"
        left = payload["max_tokens"] * MOST_CHARS_PER_TOKEN
        async with await self._connected().chat.completions.create(**payload) as stream:
            async for chunk in stream:
                for choice in chunk.choices[:1]:
                    piece = (choice.delta.content or "")[:left] if choice.delta else ""
                    relay.put(piece)
                    left -= len(piece)
                    reason = "length" if choice.finish_reason == "length" or left <= 0 else reason
                if left <= 0:
                    break
        return reason

    def _connected(self) -> Any:
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._api_key or "none",  # the client insists on one; local servers ignore it
                timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),  # the relay watches the deadlines
                max_retries=0,  # a second try would double the load of a server that is in trouble
            )
        return self._client

    def _payload(self, request: GenerationRequest) -> dict[str, Any]:
        messages = fit(request, max(1, self._context_tokens - request.max_tokens), _estimate_tokens)
        return {
            "model": self.name,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "stream": True,
        }


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


def _estimate_tokens(messages: tuple[Message, ...]) -> int:
    return sum(len(each.content) // CHARS_PER_TOKEN + TOKENS_PER_MESSAGE for each in messages)


def translate(error: Exception) -> GeneratorError:
    """Return the error of ours that *error* of the ``openai`` client, or of its HTTP library, means."""
    import openai

    table: tuple[tuple[type[Exception], type[GeneratorError], str, str | None], ...] = (
        (openai.APITimeoutError, GeneratorTimeout, "The generator's server did not answer in time", None),
        (openai.RateLimitError, GeneratorOverloaded, "The generator's server is overloaded", None),
        (
            openai.AuthenticationError,
            GeneratorUnusable,
            "The generator's server refused the key",
            "Set METIER_GENERATOR_API_KEY.",
        ),
        (
            openai.PermissionDeniedError,
            GeneratorUnusable,
            "The generator's server does not allow this",
            "Check METIER_GENERATOR_API_KEY and METIER_GENERATOR_MODEL.",
        ),
        (
            openai.NotFoundError,
            GeneratorUnusable,
            "The generator's server does not know the address or the model",
            "Check METIER_GENERATOR_URL (it usually ends in /v1) and METIER_GENERATOR_MODEL.",
        ),
        (
            openai.APIConnectionError,
            GeneratorUnusable,
            "The generator's server cannot be reached",
            "Start it, or correct METIER_GENERATOR_URL.",
        ),
        (
            openai.BadRequestError,
            GeneratorError,
            "The generator's server refused the request",
            "Lower METIER_CONTEXT_TOKENS to what the model accepts.",
        ),
        (openai.APIError, GeneratorError, "The generator's server failed", None),
        (openai.OpenAIError, GeneratorError, "The generator's client failed", None),
    )
    for vendor, ours, message, remedy in table:
        if isinstance(error, vendor):
            return ours(f"{message}: {first_line(error)}", remedy=remedy)
    # In the middle of a stream the client lets its HTTP library's own errors through.
    return GeneratorError(f"The connection to the generator's server broke: {first_line(error)}")
