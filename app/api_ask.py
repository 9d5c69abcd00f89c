"""Routes for people who ask: ``/v1/ask``, ``/v1/search``, ``/v1/feedback``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, assert_never

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app import audit, history, specialists
from app.answer import answer, clean_question
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import AnswerPlace, MayAsk, PartsHere, Principal, asker_of, reading_as
from app.disclosure import disclosure, notice, writer
from app.errors import AnswerWithdrawn, NotFound
from app.events import Abstained, Citations, Done, Failed, Kept, Quick, Sources, Token, settled
from app.generator import Turn
from app.problems import named_problem
from app.retrieve import retrieve
from app.stream import EVENT_SCHEMA, EventStream, collect, sse, stepped
from app.wire import (
    AbstentionOut,
    AnswerOut,
    AskIn,
    CitationOut,
    FeedbackIn,
    FeedbackOut,
    PassageOut,
    SearchIn,
    SearchOut,
)
from indexing import store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from sqlalchemy.orm import Session

    from app.events import Citation, Event
    from app.metrics import Metrics
    from app.parts import Parts
    from app.specialists import Asker, Specialist
    from indexing.documents import Passage, Scope

router = APIRouter(prefix="/v1", route_class=JsonRoute)


def begin(
    metrics: Metrics, parts: Parts, who: Principal, question: str, specialist: str | None, turns: Sequence[Turn]
) -> tuple[Specialist, Generator[Event, None, None]]:
    """Return the specialist and the events of its answer, counted; nothing is retrieved before the first step.

    Raises NotFound, BadRequest or QuestionTooLong at once, while a streamed response can still have a status.
    """
    asker = asker_of(parts, who)
    chosen = specialists.DEFAULT if specialist is None else specialist_named(parts, asker, specialist)
    events = answer(question, asker.scope, parts, specialist=chosen, history=tuple(turns))
    return chosen, metrics.watched(events)


def specialist_named(parts: Parts, asker: Asker, name: str) -> Specialist:
    """Return the specialist that answers. Raises NotFound, also for one that *asker* may not ask."""
    with parts.catalog.reading() as session:
        return specialists.specialist(session, asker, name)


@router.post(
    "/ask",
    operation_id="ask",
    tags=["ask"],
    summary="Ask a question",
    response_model=AnswerOut,
    responses={
        200: {
            "description": "The answer; or, as server-sent events: `sources`, `token`…, then `citations`, `abstained` "
            "or `failed`, and `done`. Where a generator writes, `quick` comes before the tokens: the reader's answer, "
            "to be shown at once. The tokens replace it if `citations` follow; if `kept` does, it stands.",
            "content": {"text/event-stream": EVENT_SCHEMA},
        },
        **may_fail(404, 409, 502, 504),
    },
)
async def ask(
    body: AskIn, request: Request, response: Response, parts: PartsHere, who: MayAsk, _place: AnswerPlace
) -> Any:
    """Answer from the documents that the asker may read, with citations; or say that they do not say."""
    turns = [Turn(role=t.role, text=t.text) for t in body.history]
    state = request.app.state
    chosen, events = await run_in_threadpool(begin, state.metrics, parts, who, body.question, body.specialist, turns)
    threads = state.answer_threads
    if body.stream or "text/event-stream" in request.headers.get("accept", ""):
        return EventStream(encoded(stepped(events, threads)), disclosure(writer(parts, chosen)))
    made = answer_out(await collect(events, request, threads), chosen)
    if isinstance(made, AnswerOut):
        response.headers.update(disclosure(made.generator))
    return made


async def encoded(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    """Yield *events* as server-sent events, in the same words as the JSON answer."""
    try:
        async for event in events:
            match event:
                case Sources():
                    yield sse("sources", {"passages": _dump(event.passages), "searched_for": event.question})
                case Token():
                    # An empty token only says "still working": a comment keeps proxies from closing.
                    yield sse("token", {"text": event.text}) if event.text else b": working\n\n"
                case Quick():
                    yield sse("quick", {"text": event.text, "citations": _cited(event.citations)})
                case Citations():
                    yield sse("citations", {"citations": _cited(event.citations)})
                case Kept():
                    body = {"reason": event.reason, "text": event.text, "citations": _cited(event.citations)}
                    yield sse("kept", body)
                case Abstained():
                    yield sse("abstained", AbstentionOut.model_validate(event).model_dump(mode="json"))
                case Failed():
                    yield sse("failed", asdict(event))
                case Done():
                    yield sse("done", {**asdict(event), "notice": notice(event.language)})
                case _:
                    assert_never(event)
    finally:
        await events.aclose()


def _dump(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    return [PassageOut.model_validate(p).model_dump(mode="json") for p in passages]


def _cited(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    return [CitationOut.model_validate(each).model_dump(mode="json") for each in citations]


def answer_out(events: Sequence[Event], chosen: Specialist) -> AnswerOut | Response:
    """Return the whole answer; when it failed, a problem that still lists the passages that were found."""
    passages = tuple(p for e in events if isinstance(e, Sources) for p in e.passages)
    failed = next((e for e in events if isinstance(e, Failed)), None)
    if failed is not None:
        withdrawn = failed.error == AnswerWithdrawn.__name__  # then these may not be read any more either
        extra = {"sources": [] if withdrawn else _dump(passages)}
        return named_problem(failed.error, failed.message, failed.remedy, extra=extra)
    done = next(e for e in events if isinstance(e, Done))
    abstained = next((e for e in events if isinstance(e, Abstained)), None)
    text, citations = settled(events)
    return AnswerOut(
        answer_id=done.answer_id,
        text=text,
        citations=tuple(CitationOut.model_validate(each) for each in citations),
        abstained=None if abstained is None else AbstentionOut.model_validate(abstained),
        sources=tuple(PassageOut.model_validate(p) for p in passages),
        searched_for=next((e.question for e in events if isinstance(e, Sources)), ""),
        specialist=chosen.name,
        language=done.language,
        finish_reason=done.finish_reason,
        confidence=done.confidence,
        generator=done.generator,
        seconds=done.seconds,
        indexed_through=done.indexed_through,
        unsupported=done.unsupported,
        short_answer=done.short_answer,
        threshold=done.threshold,
        expected_wrong=done.expected_wrong,
        notice=notice(done.language),
    )


@router.post("/search", operation_id="search", tags=["ask"], summary="Search passages", responses=may_fail(404, 409))
def search(body: SearchIn, parts: PartsHere, who: MayAsk) -> SearchOut:
    """Return the passages that answer best, from the documents that the asker may read."""
    question = clean_question(body.question, parts.settings.question_chars)
    with reading_as(parts, who) as (session, scope):
        chosen = source_ids(session, scope, body.sources) if body.sources else None
    found = retrieve(
        question,
        scope=scope,
        catalog=parts.catalog,
        index=parts.index,
        embedder=parts.embedder,
        top_k=body.top_k or parts.settings.top_k,
        source_ids=chosen,
    )
    audit.note(parts.catalog, who.id, "document.search")
    passages = tuple(PassageOut.model_validate(p) for p in found.passages)
    return SearchOut(passages=passages, language=found.language, indexed_through=found.seq)


def source_ids(session: Session, scope: Scope, names: Sequence[str]) -> frozenset[int]:
    """Return the ids of the sources called *names*. Raises NotFound for a name of none that *scope* may read."""
    known = {s.name: s.id for s in store.visible_sources(session, scope)}
    missing = sorted(set(names) - set(known))
    if missing:
        raise NotFound(f"There is no source called {', '.join(missing)}.", remedy="GET /v1/sources lists them.")
    return frozenset(known[name] for name in names)


@router.post(
    "/feedback",
    operation_id="give_feedback",
    tags=["ask"],
    status_code=201,
    summary="Judge an answer",
    responses=may_fail(404),
)
def give_feedback(body: FeedbackIn, parts: PartsHere, who: MayAsk) -> FeedbackOut:
    """Store what the asker says of an answer that they were given."""
    with parts.catalog.transaction() as session:
        stored = history.record_feedback(
            session, who.id, body.answer_id, helpful=body.helpful, reason=body.reason, comment=body.comment
        )
        audit.record(session, who.id, "answer.judge", body.answer_id)
    return FeedbackOut(id=stored)
