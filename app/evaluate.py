"""Asks the questions of a golden set as a user would, and says what came of it: ``metier evaluate``.

Every question goes through ``app.answer`` with the scope of who evaluates, so what is measured is the product, with its
permissions. Each answer is therefore recorded in the history like any other.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from app.answer import answer, clean_question
from app.errors import BadRequest
from app.events import Abstained, Done, Failed, Sources, Token
from app.measures import CurvePoint, Figure, Outcome, figures, is_right, percentile, retrieval_scores, risk_coverage
from app.version import version
from indexing import store
from indexing.language import detect_language

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from app.golden import GoldenQuestion, GoldenSet
    from app.parts import Parts
    from app.specialists import Specialist
    from indexing.documents import Scope

#: Written into each result; one that says something else is not read.
FORMAT = "metier-evaluation-1"
_PAGE = 1000  # documents listed at once


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of one evaluation."""

    made_at: str  # ISO 8601, UTC
    metier: str  # version
    golden: str  # file name
    golden_sha256: str
    configuration: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]  # in the order of the golden set
    figures: Mapping[str, Figure]
    by_language: Mapping[str, Mapping[str, Figure]]
    curve: tuple[CurvePoint, ...]
    aurc: float | None
    milliseconds: Mapping[str, float | None]  # p50, p95
    warnings: tuple[str, ...]


class _Said(TypedDict):
    """What the events of one answer came to: fields of Outcome."""

    text: str
    cited: tuple[str, ...]
    ranked: tuple[str, ...]
    abstained: str | None
    failed: str | None
    confidence: float | None
    short_answer: str


@dataclass
class Heard:
    """What was said so far, event by event."""

    text: str = ""
    citations: tuple[Any, ...] = ()
    passages: tuple[Any, ...] = ()
    abstained: str | None = None
    failed: str | None = None
    done: Done | None = None


def evaluate(
    golden: GoldenSet,
    scope: Scope,
    parts: Parts,
    *,
    specialist: Specialist,
    ask_refused: bool = True,
    known: frozenset[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evaluation:
    """Return what *specialist* makes of the questions of *golden*, for who has *scope*.

    *ask_refused* asks each question that was refused below the threshold a second time without a threshold: without
    it the risk-coverage curve ends at today's coverage. *known* are the expected documents that count as there, by
    default those that *scope* may read. Raises BadRequest before anything is asked when a question
    cannot be; an answer that fails later is an outcome, and all of them failing raises BadRequest too.
    """
    for each in golden.questions:
        _require_askable(each, parts.settings.question_chars)
    known = known_documents(golden.questions, scope, parts) if known is None else known
    parts.embedder.embed_questions(["warm up"])  # loading the model is nobody's latency
    parts.index.refresh()
    outcomes, seen_through = [], 0
    for number, question in enumerate(golden.questions):
        progress(number, len(golden.questions))
        outcome, position = _outcome(question, known, scope, parts, specialist, ask_refused=ask_refused)
        outcomes.append(outcome)
        seen_through = max(seen_through, position)
    progress(len(golden.questions), len(golden.questions))
    if all(each.failed for each in outcomes):
        raise BadRequest(f"Every question failed; the first one: {outcomes[0].failed}", remedy="Try `metier doctor`.")
    return summary(
        _with_retrieval(outcomes),
        golden=golden,
        configuration=_configuration(specialist, parts)
        | {"refused_asked_again": ask_refused, "indexed_through": seen_through},
    )


def summary(outcomes: Sequence[Outcome], *, golden: GoldenSet, configuration: Mapping[str, Any]) -> Evaluation:
    """Return the evaluation that *outcomes* make."""
    curve, aurc = risk_coverage(outcomes)
    languages = sorted({each.language for each in outcomes})
    milliseconds = [each.milliseconds for each in outcomes]
    return Evaluation(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        metier=version(),
        golden=golden.name,
        golden_sha256=golden.sha256,
        configuration=configuration,
        outcomes=tuple(outcomes),
        figures=figures(outcomes),
        by_language={each: figures([o for o in outcomes if o.language == each]) for each in languages},
        curve=tuple(curve),
        aurc=aurc,
        milliseconds={"p50": percentile(milliseconds, 0.5), "p95": percentile(milliseconds, 0.95)},
        warnings=tuple(_warnings(outcomes)),
    )


# --- asking ---------------------------------------------------------------------------------------------------


def _require_askable(question: GoldenQuestion, longest: int) -> None:
    try:
        clean_question(question.question, longest)
    except BadRequest as exc:
        raise BadRequest(f"Question {question.id}: {exc.message}", remedy=f"{exc.remedy} Nothing was run.") from exc


def known_documents(questions: Sequence[GoldenQuestion], scope: Scope, parts: Parts) -> frozenset[str]:
    """Return those of the expected documents that are in the catalog and that *scope* may read, as expected."""
    expected = {name for each in questions for name in each.documents}
    known: set[str] = set()
    after = 0
    with parts.catalog.reading() as session:
        while page := store.document_list(session, scope, after_id=after, limit=_PAGE):
            for record in page:
                parent = record.uri.partition("!/")[0]
                known.update((record.uri, f"{record.source}:{record.uri}", parent, f"{record.source}:{parent}"))
            after = page[-1].id
    return frozenset(expected & known)


def _outcome(
    question: GoldenQuestion,
    known: Collection[str],
    scope: Scope,
    parts: Parts,
    specialist: Specialist,
    *,
    ask_refused: bool,
) -> tuple[Outcome, int]:
    """Return what *question* came to, and the change-log position that the answer had seen."""
    language = question.language if question.language != "und" else detect_language(question.question, "und")
    outcome = Outcome(
        id=question.id,
        question=question.question,
        language=language,
        answerable=question.answerable,
        made=question.made,
        documents=tuple(name for name in question.documents if name in known),
        unknown_documents=tuple(name for name in question.documents if name not in known),
        answers=question.answers,
    )
    started = time.perf_counter()
    heard = _ask(question.question, scope, parts, specialist)
    milliseconds = (time.perf_counter() - started) * 1000
    outcome = replace(outcome, milliseconds=round(milliseconds, 1), **_said(heard, question.documents))
    if ask_refused and outcome.abstained == "below_threshold":
        again = _said(_ask(question.question, scope, parts, replace(specialist, threshold=0.0)), question.documents)
        if again["abstained"] is None and again["failed"] is None:
            outcome = replace(outcome, unrefused_right=is_right(outcome, again["text"], again["cited"]))
    return outcome, heard.done.indexed_through if heard.done else 0


def _ask(question: str, scope: Scope, parts: Parts, specialist: Specialist) -> Heard:
    return hear(answer(question, scope, parts, specialist=specialist))


def hear(events: Iterable[object]) -> Heard:
    """Return what the events of one answer come to: of several texts and citations the last ones stand."""
    heard = Heard()
    streaming = False  # the event before was a token of the same text
    for event in events:
        match event:
            case Sources():
                heard.passages = event.passages
            case Token():
                heard.text = heard.text + event.text if streaming else event.text
            case Abstained():
                heard.abstained = event.reason
            case Failed():
                heard.failed = f"{event.error}: {event.message}"
            case Done():
                heard.done = event
            case _:  # a whole answer, or citations, or both
                heard.text = getattr(event, "text", heard.text)
                heard.citations = getattr(event, "citations", heard.citations)
        streaming = isinstance(event, Token)
    return heard


def _said(heard: Heard, expected: Collection[str]) -> _Said:
    ranked = (_name(each.source, each.uri, expected) for each in heard.passages)
    return {
        "text": "" if heard.abstained else heard.text,
        "cited": tuple(_name(each.source, each.uri, expected) for each in heard.citations),
        "ranked": tuple(dict.fromkeys(ranked)),
        "abstained": heard.abstained,
        "failed": heard.failed,
        "confidence": heard.done.confidence if heard.done else None,
        "short_answer": heard.done.short_answer if heard.done else "",
    }


def _name(source: str, uri: str, expected: Collection[str]) -> str:
    """Return the document as the golden set names it: an attachment counts as the mail that carries it."""
    parent = uri.partition("!/")[0]
    return next((n for n in (uri, f"{source}:{uri}", parent, f"{source}:{parent}") if n in expected), uri)


def _with_retrieval(outcomes: Sequence[Outcome]) -> list[Outcome]:
    scores = retrieval_scores({o.id: o.documents for o in outcomes}, {o.id: o.ranked for o in outcomes})
    return [replace(each, retrieval=scores.get(each.id, {})) for each in outcomes]


def _configuration(specialist: Specialist, parts: Parts) -> dict[str, Any]:
    """Return what a reader of the result needs to know to get the same figures again."""
    settings = parts.settings
    return {
        "specialist": specialist.name,
        "specialist_version": specialist.version,
        "generator": specialist.generator or parts.generator.name,
        "top_k": specialist.top_k or settings.top_k,
        "threshold": specialist.threshold,  # None: the program's own
        "embedding_model": parts.embedder.fingerprint,
        "chunk_tokens": settings.chunk_tokens,
    }


def _warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what a reader must know before believing the figures."""
    found = []
    unknown = Counter(name for each in outcomes for name in each.unknown_documents)
    if unknown:
        without = sum(bool(each.unknown_documents) and not each.documents for each in outcomes)
        names = ", ".join(list(unknown)[:10]) + (", …" if len(unknown) > 10 else "")
        found.append(
            f"{len(unknown)} expected documents are not in the index (or not yours to read): {names}. "
            f"{sum(unknown.values())} mentions were left out, and {without} questions have no retrieval figure."
        )
    if made := sum(each.made for each in outcomes):
        found.append(
            f"{made} of {len(outcomes)} questions were made by rule from the documents: these figures are good for "
            "comparing two states, and say little about what people ask."
        )
    if failed := [each for each in outcomes if each.failed]:
        found.append(f"{len(failed)} questions failed; the first one: {failed[0].failed}")
    return found


# --- results as JSON ------------------------------------------------------------------------------------------


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything, for ``--json``; :func:`from_json` reads it back."""
    whole = asdict(evaluation)
    whole["outcomes"] = [asdict(each) | {"verdict": each.verdict} for each in evaluation.outcomes]
    return {"format": FORMAT, **whole}


def from_json(stored: Any, name: str) -> Evaluation:
    """Return the evaluation that :func:`as_json` made *stored* of. Raises BadRequest naming *name* otherwise.

    Figures are computed anew from the outcomes, so that two results are compared by the same definitions.
    """
    try:
        if stored["format"] != FORMAT:
            raise _no_result(name)
        known = {each.name for each in fields(Outcome)}
        outcomes = []
        for row in stored["outcomes"]:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in row.items() if name in known
            }
            outcomes.append(Outcome(**values))
        return Evaluation(
            made_at=str(stored["made_at"]),
            metier=str(stored["metier"]),
            golden=str(stored["golden"]),
            golden_sha256=str(stored["golden_sha256"]),
            configuration=dict(stored["configuration"]),
            outcomes=tuple(outcomes),
            figures=figures(outcomes),
            by_language={},
            curve=(),
            aurc=None,
            milliseconds=dict(stored["milliseconds"]),
            warnings=(),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _no_result(name) from exc


def _no_result(name: str) -> BadRequest:
    return BadRequest(
        f"{name} is not a result of this version of `metier evaluate`.",
        remedy="Write one with `metier evaluate GOLDEN --json FILE`.",
    )
