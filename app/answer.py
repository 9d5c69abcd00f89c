"""From a question to an answer: the flow, top to bottom, as one plain generator of events.

retrieve (which authorises, through the scope) → weigh the evidence → abstain or generate → check citations →
record. REST, SSE, the OpenAI-compatible route and the command line only render what comes out of here.
"""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Generator as PythonGenerator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import structlog

from app import abstain, evidence, history
from app.cite import check_citations
from app.errors import BadRequest, GeneratorUnusable, NoIndexYet, QuestionTooLong
from app.events import Abstained, Citations, Done, Failed, Sources, Token
from app.generator import Deadlines, GenerationRequest
from app.messages import abstention
from app.reader import Reader
from app.retrieve import retrieve
from app.shown import ShownText
from app.specialists import DEFAULT
from indexing import store
from indexing.errors import CatalogError, IndexingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.events import Citation, Event
    from app.generator import Generator, Pieces, Turn
    from app.parts import Parts
    from app.specialists import Specialist
    from indexing.documents import Passage, Scope

log = structlog.get_logger()

Events: TypeAlias = PythonGenerator["Event", None, None]
CLOSEST_SHOWN = 3  # passages named with an abstention


@dataclass
class _Draft:
    """What is known of the answer so far; what is recorded, however it ends."""

    question: str
    scope: Scope
    specialist: Specialist
    generator: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)
    text: str = ""
    language: str = "und"
    passages: tuple[Passage, ...] = ()
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None
    finish_reason: str = "cancelled"
    indexed_through: int = 0


def answer(
    question: str,
    scope: Scope,
    parts: Parts,
    *,
    specialist: Specialist | None = None,
    history: Sequence[Turn] = (),
) -> Events:
    """Return the events of the answer: Sources, Token…, then Citations, Abstained or Failed, and Done last, always.

    Raises BadRequest or QuestionTooLong at once, before there is any event. Afterwards every error of ours is a
    Failed event. An abstention may follow tokens: then what was written had no support (reason ``unsupported``).
    Closing the generator early closes the text generator behind it and records the answer as cancelled.
    """
    cleaned = clean_question(question, parts.settings.question_chars)
    chosen = specialist or DEFAULT
    draft = _Draft(cleaned, scope, chosen, generator=chosen.generator or parts.generator.name)
    return _events(draft, parts, tuple(history))


def _events(draft: _Draft, parts: Parts, turns: tuple[Turn, ...]) -> Events:
    """Yield the events, and record the answer whichever way they end."""
    try:
        yield from _answer(draft, parts, turns)
    except IndexingError as exc:
        draft.finish_reason = "failed"
        log.warning("The answer failed.", action="answer_failed", answer_id=draft.id, error=type(exc).__name__)
        yield Failed(type(exc).__name__, exc.message, exc.remedy)
    except Exception as exc:  # boundary: the stream has begun, and must end with Failed and Done
        draft.finish_reason = "failed"
        log.exception("The answer failed unexpectedly.", action="answer_failed", answer_id=draft.id)
        yield Failed(type(exc).__name__, "The answer failed unexpectedly.", "The server's log has the details.")
    finally:
        seconds = time.monotonic() - draft.started
        _record(draft, parts, seconds)
    yield Done(
        answer_id=draft.id,
        finish_reason=draft.finish_reason,
        seconds=seconds,
        language=draft.language,
        confidence=draft.confidence,
        generator=draft.generator,
        indexed_through=draft.indexed_through,
    )


def _answer(draft: _Draft, parts: Parts, turns: tuple[Turn, ...]) -> Events:
    """Yield everything but Done. THE flow."""
    settings, specialist = parts.settings, draft.specialist
    deadlines = Deadlines.starting_now(first_token_s=settings.first_token_timeout_s, answer_s=settings.answer_timeout_s)
    generator = _generator(specialist, parts)

    found = retrieve(
        draft.question,
        scope=draft.scope,
        catalog=parts.catalog,
        index=parts.index,
        embedder=parts.embedder,
        top_k=specialist.top_k or settings.top_k,
        source_ids=_source_ids(specialist, parts),
    )
    draft.language, draft.indexed_through, draft.passages = found.language, found.seq, found.passages
    if not found.passages:
        _require_documents(draft.scope, parts)
    yield Sources(found.passages)

    model = abstain.fitted()
    sentences = evidence.weigh(draft.question, found.passages, found.language, parts.embedder, model.sentence_weights)
    if not sentences:
        yield _abstained(draft, "nothing_found")
        return
    features = abstain.answer_features(draft.question, found.passages, sentences, found.language)
    draft.confidence = abstain.confidence(features, model.answer_weights)
    if draft.confidence < (model.threshold if specialist.threshold is None else specialist.threshold):
        yield _abstained(draft, "below_threshold")
        return

    request = GenerationRequest(
        question=draft.question,
        language=found.language,
        passages=found.passages,
        sentences=sentences,
        instructions=specialist.instructions,
        history=turns,
        max_tokens=settings.answer_tokens,
        deadlines=deadlines,
    )
    with closing(generator.generate(request)) as pieces:
        finish_reason = yield from _tokens(draft, pieces, deadlines)

    _, draft.citations = check_citations(draft.text, found.passages, found.language)
    if not draft.citations:
        yield _abstained(draft, "unsupported")
        return
    draft.finish_reason = finish_reason
    yield Citations(draft.citations)


def _tokens(draft: _Draft, pieces: Pieces, deadlines: Deadlines) -> PythonGenerator[Event, None, str]:
    """Yield what of the generator's pieces may be shown, and return its finish reason."""
    text = ShownText(len(draft.passages))
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            last = text.finish()
            draft.text += last
            if last:
                yield Token(last)
            return stop.value or "stop"
        deadlines.left_s(started=True)
        shown = text.feed(piece)
        draft.text += shown
        if shown or not piece:  # an empty token says "still working", and is where a client that left is noticed
            yield Token(shown)


def clean_question(question: str, longest: int) -> str:
    """Return *question* without control characters and outer white space, in Unicode's composed form.

    Raises QuestionTooLong above *longest* characters, and BadRequest when nothing is left or when it holds half
    of a surrogate pair, which is what invalid UTF-8 becomes.
    """
    if len(question) > longest:
        raise QuestionTooLong(
            f"The question has {len(question)} characters; at most {longest} are read.",
            remedy="Ask a shorter question, or raise METIER_QUESTION_CHARS.",
        )
    if any("\ud800" <= each <= "\udfff" for each in question):
        raise BadRequest("The question is not valid text (broken UTF-8).", remedy="Send it encoded as UTF-8.")
    # Controls become blanks; invisible formatting (bidirectional overrides, zero-width) would only hide words.
    kept = "".join(
        " " if unicodedata.category(each) == "Cc" and each not in "\n\t" else each
        for each in unicodedata.normalize("NFC", question)
        if unicodedata.category(each) != "Cf"
    ).strip()
    if not kept:
        raise BadRequest("The question is empty.", remedy="Ask something.")
    return kept


def _generator(specialist: Specialist, parts: Parts) -> Generator:
    """Return the specialist's generator. Raises GeneratorUnusable when this server does not run it."""
    if specialist.generator in (None, parts.generator.name):
        return parts.generator
    if specialist.generator == "reader":
        return Reader()
    raise GeneratorUnusable(
        f"The specialist {specialist.name} wants the generator {specialist.generator}; "
        f"this server runs {parts.generator.name}.",
        remedy="Change the specialist's generator, or METIER_GENERATOR and METIER_GENERATOR_MODEL.",
    )


def _source_ids(specialist: Specialist, parts: Parts) -> frozenset[int] | None:
    """Return the ids of the specialist's sources; None when it is not limited to any.

    A source that is gone has no id: a specialist whose sources are all gone finds nothing, instead of everything.
    """
    if not specialist.sources:
        return None
    with parts.catalog.reading() as session:
        named = (store.source_named(session, name) for name in specialist.sources)
        return frozenset(source.id for source in named if source is not None)


def _require_documents(scope: Scope, parts: Parts) -> None:
    """Raise NoIndexYet when this principal has no document at all: then "I don't know" would mislead."""
    with parts.catalog.reading() as session:
        if store.counts(session, scope).documents == 0:
            raise NoIndexYet


def _abstained(draft: _Draft, reason: str) -> Abstained:
    draft.finish_reason = "abstained"
    message = abstention(draft.language, reason)
    draft.text = draft.text or message
    return Abstained(message, reason, draft.passages[:CLOSEST_SHOWN])


def _record(draft: _Draft, parts: Parts, seconds: float) -> None:
    """Store the answer. A catalog that cannot be written to does not take away an answer that was given."""
    record = history.AnswerRecord(
        id=draft.id,
        principal_id=draft.scope.principal_id,
        question=draft.question,
        text=draft.text,
        citations=draft.citations,
        passages=tuple(passage.chunk_id for passage in draft.passages),
        finish_reason=draft.finish_reason,
        confidence=draft.confidence,
        generator=draft.generator,
        language=draft.language[:8],
        seconds=seconds,
        indexed_through=draft.indexed_through,
        specialist=draft.specialist.name,
        specialist_version=draft.specialist.version,
    )
    try:
        with parts.catalog.transaction() as session:
            history.record_answer(session, record)
    except CatalogError as exc:
        log.warning(
            "The answer could not be recorded.", action="answer_not_recorded", answer_id=draft.id, reason=str(exc)
        )
