"""OpenAI-compatible routes: every specialist is a model, and the official client works unchanged.

The last user message is the question and earlier ones are its history. System messages are not followed:
what a specialist does is written in its instructions, by who may change it.

This protocol cannot take back text. So the reader's quick answer is held back while a generator writes, and comes only
if the generator's does not stand: as the answer when nothing of that was sent, and otherwise below it, which stays,
for each sentence of it was verified.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from app import specialists
from app.api_ask import begin, specialist_named
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import (
    AnswerPlace,
    MayAsk,
    MayRead,
    PartsHere,
    asker_of,
)
from app.disclosure import disclosure, notice, writer
from app.errors import BadRequest, NotFound
from app.events import Abstained, Citations, Done, Failed, Kept, Sources, Token
from app.generator import Turn
from app.problems import named_problem, openai_error
from app.shown import plain
from app.stream import EVENT_SCHEMA, EventStream, collect, stepped
from app.wire import TURN_CHARS, CitationOut
from app.wire_openai import ChatIn, ChatOut, Choice, Model, Models, ReplyMessage, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from app.events import Citation, Event
    from app.specialists import Specialist

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute)

#: Characters to a token, roughly, in English and French.
CHARS_PER_TOKEN = 4


@router.get("/models", operation_id="list_models", summary="List models")
def list_models(parts: PartsHere, who: MayRead) -> Models:
    """Return each specialist that one may ask as a model; ``metier`` answers from every source."""
    asker = asker_of(parts, who)
    with parts.catalog.reading() as session:
        return Models(data=tuple(Model(id=s.name) for s in specialists.specialists(session, asker)))


@router.get("/models/{name}", operation_id="get_model", summary="Read a model", response_model=Model)
def get_model(name: Annotated[str, Path(max_length=255)], parts: PartsHere, who: MayRead) -> Model | Response:
    """Return one specialist as a model."""
    try:
        return Model(id=specialist_named(parts, asker_of(parts, who), name).name)
    except NotFound:
        return _no_model(name)


def _no_model(name: str) -> Response:
    message = f"The model {name!r} does not exist: there is no specialist of this name."
    return openai_error(HTTPStatus.NOT_FOUND, message, code="model_not_found", param="model")


@router.post(
    "/chat/completions",
    operation_id="create_chat_completion",
    summary="Chat with a specialist",
    response_model=ChatOut,
    responses={
        200: {
            "description": "The answer; with `stream` as server-sent events in OpenAI's form.",
            "content": {"text/event-stream": EVENT_SCHEMA},
        },
        **may_fail(404, 409, 502, 504),
    },
)
async def create_chat_completion(
    body: ChatIn, request: Request, response: Response, parts: PartsHere, who: MayAsk, _place: AnswerPlace
) -> Any:
    """Answer the last user message from the documents, with a numbered list of sources below."""
    question, turns = question_of(body)
    state = request.app.state
    try:
        chosen, events = await run_in_threadpool(begin, state.metrics, parts, who, question, body.model, turns)
    except NotFound:
        return _no_model(body.model)
    reply = Reply(chosen, prompt_chars=sum(len(m.text) for m in body.messages))
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        pieces = streamed(stepped(events, state.answer_threads), reply, include_usage=usage)
        return EventStream(pieces, disclosure(writer(parts, chosen)))
    for event in await collect(events, request, state.answer_threads):
        reply.take(event)
    if reply.failed is not None:
        return named_problem(reply.failed.error, reply.failed.message, reply.failed.remedy, openai=True)
    response.headers.update(disclosure(reply.done.generator if reply.done else writer(parts, chosen)))
    return reply.whole()


def question_of(body: ChatIn) -> tuple[str, list[Turn]]:
    """Return the question and its history. Raises BadRequest that says what of the request cannot be used."""
    if body.n not in (None, 1):
        raise BadRequest("n must be 1: there is one answer to a question.", remedy="Leave n out.")
    last = body.messages[-1]
    if last.role != "user" or not last.text.strip():
        raise BadRequest("The last message must be the user's question, as text.", remedy="Add it to messages.")
    turns = [
        Turn(role=m.role, text=m.text[:TURN_CHARS])
        for m in body.messages[:-1]
        if m.role in {"user", "assistant"} and m.text
    ]
    return last.text, turns


@dataclass
class Reply:
    """An answer on its way into OpenAI's shape."""

    specialist: Specialist
    prompt_chars: int
    created: int = field(default_factory=lambda: int(time.time()))
    text: str = ""
    citations: tuple[Citation, ...] = ()
    abstained: Abstained | None = None
    failed: Failed | None = None
    done: Done | None = None
    searched_for: str = ""
    streaming: bool = False  # what was added has been sent

    def take(self, event: Event) -> str:
        """Keep what *event* says and return the text that it adds to the message."""
        added = ""
        match event:
            case Sources():
                self.searched_for = event.question
            case Token():
                added = event.text
            case Citations():
                self.citations = event.citations
                added = source_list(event.citations)
            case Kept():
                self.citations, added = event.citations, event.text
                if self.text and self.streaming:
                    self.citations, added = (*event.streamed, *event.citations), f"\n\n{event.text}"
                else:
                    self.text = ""
                added += source_list(self.citations)
            case Abstained():
                self.abstained = event
                added = event.message
            case Failed():
                self.failed = event
            case Done():
                self.done = event
        self.text += added
        return added

    @property
    def finish_reason(self) -> Literal["stop", "length"]:
        """OpenAI knows nothing of abstaining: an abstention is a message that stops."""
        return "length" if self.done is not None and self.done.finish_reason == "length" else "stop"

    def usage(self) -> Usage:
        """Return estimated counts of tokens, rounded up."""
        prompt, completion = -(-self.prompt_chars // CHARS_PER_TOKEN), -(-len(self.text) // CHARS_PER_TOKEN)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)

    def extra(self) -> dict[str, Any]:
        """Return what programs may want to know besides the text."""
        return {
            "answer_id": self.done.answer_id if self.done else None,
            "specialist": self.specialist.name,
            "searched_for": self.searched_for,
            "confidence": self.done.confidence if self.done else None,
            "generator": self.done.generator if self.done else None,
            "unsupported": self.done.unsupported if self.done else 0,
            "short_answer": self.done.short_answer if self.done else "",
            "abstained": self.abstained.reason if self.abstained else None,
            "notice": notice(self.done.language) if self.done else "",
            "citations": [CitationOut.model_validate(c).model_dump(mode="json") for c in self.citations],
        }

    def whole(self) -> ChatOut:
        """Return the whole reply."""
        choice = Choice(message=ReplyMessage(content=self.text), finish_reason=self.finish_reason)
        return ChatOut(
            id=self.id,
            created=self.created,
            model=self.specialist.name,
            choices=(choice,),
            usage=self.usage(),
            metier=self.extra(),
        )

    @property
    def id(self) -> str:
        """The reply's id: the answer's, once that is known."""
        return f"chatcmpl-{self.done.answer_id if self.done else self.created}"

    def chunk(self, delta: Mapping[str, Any] | None, *, finish: str | None = None, **more: Any) -> bytes:
        """Return one chunk of the stream; with no delta, one without choices (usage)."""
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        body = {
            "id": f"chatcmpl-{self.created}",
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.specialist.name,
            "choices": choices,
            **more,
        }
        return data_line(body)


async def streamed(
    events: AsyncGenerator[Event, None], reply: Reply, *, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the reply as chunks. A failure is an ``error`` line, which the official client raises."""
    reply.streaming = True
    try:
        yield reply.chunk({"role": "assistant", "content": ""})
        async for event in events:
            added = reply.take(event)
            if added:
                yield reply.chunk({"content": added})
            elif isinstance(event, Token):
                yield b": working\n\n"
        if reply.failed is not None:
            message = f"{reply.failed.message} {reply.failed.remedy}".strip()
            error = {"message": message, "type": "server_error", "param": None, "code": reply.failed.error}
            yield data_line({"error": error})
        else:
            yield reply.chunk({}, finish=reply.finish_reason, metier=reply.extra())
            if include_usage:
                yield reply.chunk(None, usage=reply.usage().model_dump())
        yield b"data: [DONE]\n\n"
    finally:
        await events.aclose()


def data_line(body: Mapping[str, Any]) -> bytes:
    """Return one unnamed server-sent event, as OpenAI's streams use them."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def source_list(citations: Sequence[Citation]) -> str:
    """Return the numbered list below an answer; titles lose what Markdown could turn into a link or a picture."""
    if not citations:
        return ""
    lines = []
    for number in sorted({c.number for c in citations}):
        cited = next(c for c in citations if c.number == number)
        page = f", p. {cited.page}" if cited.page is not None else ""
        lines.append(f"[{number}] {plain(cited.title)}{page} — {plain(cited.uri)}")
    return "\n\nSources:\n" + "\n".join(lines)
