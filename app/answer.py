"""From a question to an answer: the flow, top to bottom, as one plain generator of events.

retrieve (which authorises, through the scope) → weigh the evidence → abstain, or read and generate, each sentence
verified before it is shown → record. REST, SSE, the OpenAI-compatible route and the command line only render what
comes out of here.
"""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Generator as PythonGenerator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import structlog

from app import abstain, audit, evidence, history
from app.conversation import standalone
from app.errors import AnswerWithdrawn, BadRequest, GeneratorUnusable, NoIndexYet, QuestionTooLong
from app.events import Abstained, Citations, Done, Failed, Kept, Quick, Sources, Token
from app.generator import Deadlines, GenerationRequest
from app.messages import abstention
from app.reader import Reader, short_text
from app.relay import AIR_S
from app.retrieve import retrieve
from app.shown import shown
from app.specialists import DEFAULT
from app.verify import Verifier
from indexing import store
from indexing.access import authorised_again
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
    unsupported: int = 0
    short_answer: str = ""
    confidence: float | None = None
    threshold: float | None = None
    expected_wrong: float | None = None
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

    When a generator other than the reader writes, the reader's answer comes before its tokens, as Quick, and instead of
    Citations there may be Kept: the quick answer stands, because the generator's was not supported or failed.

    Raises BadRequest or QuestionTooLong at once, before there is any event. Afterwards every error of ours is a
    Failed event.
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
        unsupported=draft.unsupported,
        short_answer=draft.short_answer,
        threshold=draft.threshold,
        expected_wrong=draft.expected_wrong,
    )


def _answer(draft: _Draft, parts: Parts, turns: tuple[Turn, ...]) -> Events:
    """Yield everything but Done. THE flow."""
    settings, specialist = parts.settings, draft.specialist
    deadlines = Deadlines.starting_now(first_token_s=settings.first_token_timeout_s, answer_s=settings.answer_timeout_s)
    generator = _generator(specialist, parts)
    question = standalone(draft.question, turns, generator=generator, deadlines=deadlines).question

    draft.scope = _audience_scope(draft, parts)
    found = retrieve(
        question,
        scope=draft.scope,
        catalog=parts.catalog,
        index=parts.index,
        embedder=parts.embedder,
        top_k=specialist.top_k or settings.top_k,
        source_ids=_source_ids(specialist, draft.scope, parts),
    )
    draft.language, draft.indexed_through, draft.passages = found.language, found.seq, found.passages
    draft.scope = found.scope
    if not found.passages and not draft.scope.is_shared:  # else the abstention says which documents were searched
        _require_documents(draft.scope, parts)
    yield Sources(found.passages, question)

    model = abstain.fitted()
    sentences = evidence.weigh(
        question, found.passages, found.language, parts.reads, parts.embedder, model.sentence_weights
    )
    if not sentences:
        yield _abstained(draft, "nothing_found")
        return
    features = abstain.answer_features(question, found.passages, sentences, found.language)
    draft.confidence = abstain.confidence(features, model.answer_weights)
    draft.threshold, draft.expected_wrong = specialist.threshold, None
    if draft.threshold is None:
        draft.threshold, draft.expected_wrong = model.threshold, model.expected_wrong
    if draft.confidence < draft.threshold:
        yield _abstained(draft, "below_threshold")
        return

    request = GenerationRequest(
        question=question,
        language=found.language,
        passages=found.passages,
        sentences=sentences,
        instructions=specialist.instructions,
        history=turns,
        max_tokens=settings.answer_tokens,
        deadlines=deadlines,
    )
    draft.short_answer = shown(short_text(request), 0)
    quick = None if isinstance(generator, Reader) else _quick(draft, request)
    if quick is not None:
        yield quick
    yield from _write(draft, generator, request, quick, parts)


def _quick(draft: _Draft, request: GenerationRequest) -> Quick | None:
    """Return the reader's answer, which is on record from here on; None when it has none to give."""
    verifier = Verifier(draft.passages, draft.language, own=True)
    for piece in Reader().generate(request):
        verifier.feed(piece)
    verifier.finish()
    if not verifier.kept:
        return None
    draft.text, draft.citations, draft.generator = verifier.text, verifier.citations, "reader"
    return Quick(verifier.text, verifier.citations)


def _write(
    draft: _Draft, generator: Generator, request: GenerationRequest, quick: Quick | None, parts: Parts
) -> Events:
    """Yield what *generator* writes and passages support, then whether that is the answer or the quick one stands."""
    verifier = Verifier(draft.passages, draft.language, own=isinstance(generator, Reader))
    try:
        with closing(generator.generate(request)) as pieces:
            finish_reason = yield from _tokens(pieces, verifier, request.deadlines)
    except Exception as exc:  # boundary: a generator that fails, however it does, does not take the quick answer away
        if quick is None:
            raise
        level = log.warning if isinstance(exc, IndexingError) else log.exception
        level("The generator failed.", action="generator_failed", answer_id=draft.id, error=type(exc).__name__)
        yield _kept(draft, "failed", quick, verifier, parts)
        return
    finally:
        draft.unsupported = verifier.unsupported
        if quick is None:
            draft.text = verifier.text
    if quick is not None and (not verifier.kept or verifier.unsupported > verifier.kept):
        yield _kept(draft, "unsupported", quick, verifier, parts)
        return
    if not verifier.kept:
        yield _abstained(draft, "unsupported")
        return
    draft.text, draft.citations, draft.generator = verifier.text, verifier.citations, generator.name
    _require_still_visible(draft, parts)
    draft.finish_reason = finish_reason
    yield Citations(draft.citations)


def _kept(draft: _Draft, reason: str, quick: Quick, verifier: Verifier, parts: Parts) -> Kept:
    _require_still_visible(draft, parts)
    draft.finish_reason = "stop"
    return Kept(reason, quick.text, quick.citations, verifier.citations)


def _tokens(pieces: Pieces, verifier: Verifier, deadlines: Deadlines) -> PythonGenerator[Event, None, str]:
    """Yield what of *pieces* may be shown, and return the generator's finish reason.

    An empty token says "still working": it is where a client that left is noticed, so one comes twice a second.
    """
    aired = time.monotonic()
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            reason = stop.value or "stop"
            if last := verifier.finish(cut=reason == "length"):
                yield Token(last)
            return reason
        deadlines.left_s(started=True)
        shown = verifier.feed(piece)
        if shown or not piece or time.monotonic() - aired >= AIR_S:
            aired = time.monotonic()
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


def _source_ids(specialist: Specialist, scope: Scope, parts: Parts) -> frozenset[int] | None:
    """Return the ids of the specialist's sources; None when it is not limited to any.

    A candidate that is tried is searched where its source is.

    A source that is gone has no id: a specialist whose sources are all gone finds nothing, instead of everything.
    """
    if not specialist.sources:
        return None
    with parts.catalog.reading() as session:
        named = (store.source_named(session, name) for name in specialist.sources)
        found = frozenset(source.id for source in named if source is not None)
    tried = scope.trial
    return found if tried is None or tried.twin_id is None or tried.source_id not in found else found | {tried.twin_id}


def _audience_scope(draft: _Draft, parts: Parts) -> Scope:
    """Return what the answer may be made from: what the asker may read, or of it only what everyone may.

    The second when others get to see the answer too. It is done here so that no face can forget it.
    """
    if draft.specialist.audience != "public" or draft.scope.only_public:
        return draft.scope
    with parts.catalog.reading() as session:
        return authorised_again(session, replace(draft.scope, only_public=True))


def _require_documents(scope: Scope, parts: Parts) -> None:
    """Raise NoIndexYet when this principal has no document at all: then "I don't know" would mislead."""
    with parts.catalog.reading() as session:
        if store.counts(session, scope).documents == 0:
            raise NoIndexYet


def _require_still_visible(draft: _Draft, parts: Parts) -> None:
    """Raise AnswerWithdrawn when a cited passage is gone or may no longer be read: an answer takes its time.

    The access lists are resolved anew, so that a revocation during the answer holds for its citations.
    """
    cited = {citation.chunk_id for citation in draft.citations}
    with parts.catalog.reading() as session:
        visible = store.passages(session, authorised_again(session, draft.scope), cited, None)
    if cited - visible.keys():
        draft.text, draft.citations, draft.passages, draft.short_answer = "", (), (), ""
        raise AnswerWithdrawn


def _abstained(draft: _Draft, reason: str) -> Abstained:
    draft.finish_reason = "abstained"
    message = abstention(draft.language, reason, draft.scope)
    draft.text = message
    return Abstained(message, reason, draft.passages[:CLOSEST_SHOWN])


def _record(draft: _Draft, parts: Parts, seconds: float) -> None:
    """Store the answer, unless a gate asked: what it reads is not for anybody, and so not for the history.

    A catalog that cannot be written to does not take away an answer that was given.
    """
    if draft.scope.trial is not None:
        return
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
        unsupported=draft.unsupported,
        specialist=draft.specialist.name,
        specialist_version=draft.specialist.version,
    )
    outcome = record.finish_reason if record.finish_reason in {"failed", "cancelled"} else "ok"
    try:
        with parts.catalog.transaction() as session:
            if parts.settings.answers_kept_days != 0:
                history.record_answer(session, record)
            audit.record(session, record.principal_id, "answer.ask", record.id, outcome=outcome)
    except CatalogError as exc:
        log.warning(
            "The answer could not be recorded.", action="answer_not_recorded", answer_id=draft.id, reason=str(exc)
        )
