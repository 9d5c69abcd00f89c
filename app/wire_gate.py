"""What goes over HTTP about golden sets that are kept, and about gates. The rules are those of `app/wire.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat

from app.specialists_golden import QUESTIONS_MOST
from app.wire import Text, Wire, example

if TYPE_CHECKING:
    from app.specialists_golden import Kept
    from indexing.trial import Verdict

_QUESTION = {
    "id": "q-1",
    "question": "How many days of leave are there?",
    "documents": ["hr/leave.md"],
    "answers": ["25 days"],
    "answerable": True,
    "language": "en",
}
_Line = Annotated[Text, Field(max_length=2000)]
_Verdict = Literal["right", "rightly refused", "refused", "wrong", "failed"]


class GoldenQuestionIn(Wire):
    """A question, and what is expected of its answer."""

    model_config = example(**_QUESTION)

    id: Annotated[Text, Field(max_length=200)] | None = Field(None, description="Made from the question when absent.")
    question: _Line
    documents: tuple[_Line, ...] = Field((), max_length=50, description="Uris, or source:uri; all of them are needed.")
    answers: tuple[_Line, ...] = Field((), max_length=50, description="Acceptable short answers.")
    answerable: StrictBool = Field(True, description="false: the right reply is that the documents do not say.")
    language: Annotated[Text, Field(max_length=8)] | None = Field(None, description="Found out when absent.")


class GoldenIn(Wire):
    """A golden set to keep with a specialist: from now on it guards the sources that this answers from."""

    model_config = example(questions=[_QUESTION], tolerance=0.02, floors={"ndcg": 0.8})

    questions: tuple[GoldenQuestionIn, ...] = Field(min_length=1, max_length=QUESTIONS_MOST)
    tolerance: StrictFloat = Field(0.02, ge=0, le=1, description="Loss of a measure that is not minded.")
    floors: dict[_Line, Annotated[StrictFloat, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=dict, max_length=50, description="What figures must reach, by name; see docs/evaluation.md."
    )

    def content(self) -> bytes:
        """Return the questions as the file that `metier evaluate` reads."""
        lines = (json.dumps(each.model_dump(exclude_none=True), ensure_ascii=False) for each in self.questions)
        return "\n".join(lines).encode("utf-8", "surrogatepass")


class GoldenOut(Wire):
    """The golden set that is kept with a specialist."""

    model_config = example(
        specialist="hr",
        name="golden.jsonl",
        sha256="9f86d081884c7d65…",
        tolerance=0.02,
        floors={"ndcg": 0.8},
        questions=[_QUESTION],
    )

    specialist: str
    name: str
    sha256: str
    tolerance: float
    floors: dict[str, float]
    questions: tuple[GoldenQuestionIn, ...]

    @classmethod
    def of(cls, kept: Kept) -> GoldenOut:
        """Return the body for *kept*."""
        names = ("id", "question", "documents", "answers", "answerable", "language")
        questions = [{name: getattr(each, name) for name in names} for each in kept.golden.questions]
        return cls.model_validate(
            {
                "specialist": kept.specialist,
                "name": kept.golden.name,
                "sha256": kept.golden.sha256,
                "tolerance": kept.tolerance,
                "floors": dict(kept.floors),
                "questions": questions,
            }
        )


class MeasureOut(Wire):
    """One measure, as it is served and as it would be; equal where nothing was compared."""

    name: str
    label: str
    before: float | None
    after: float | None
    difference: float | None
    low: float | None = Field(description="Of the 95 % interval of the difference.")
    high: float | None
    gated: bool
    closes: bool


class FloorOut(Wire):
    """What a figure must reach, or not exceed where less is better."""

    name: str
    limit: float
    value: float | None
    holds: bool


class PlaceOut(Wire):
    """The place of an expected document among those found; null: not found."""

    document: str
    before: int | None
    after: int | None


class QuestionChangeOut(Wire):
    """How one question came out, before and after."""

    id: str
    question: str
    reasons: tuple[str, ...]
    before: _Verdict
    after: _Verdict
    documents: tuple[PlaceOut, ...]


_CHANGE = {
    "id": "q-1",
    "question": "How many days of leave are there?",
    "reasons": ["right → refused"],
    "before": "right",
    "after": "refused",
    "documents": [{"document": "hr/leave.md", "before": 1, "after": None}],
}


class GoldenResultOut(Wire):
    """What came of one specialist's golden set. No text of a document or an answer is in it."""

    specialist: str
    version: int
    golden: str
    golden_sha256: str
    tolerance: float
    questions: int
    closes: bool
    error: str | None = Field(description="Why nothing could be measured; then the gate is closed.")
    measures: tuple[MeasureOut, ...]
    floors: tuple[FloorOut, ...]
    worse: tuple[QuestionChangeOut, ...] = Field(description="Worst first.")
    better: tuple[QuestionChangeOut, ...] = Field(description="Best first.")
    warnings: tuple[str, ...]


class GateOut(Wire):
    """What the gate found out about a run."""

    model_config = example(
        run_id=7,
        closes=True,
        specialists=[
            {
                "specialist": "hr",
                "version": 3,
                "golden": "hr.jsonl",
                "golden_sha256": "9f86d081884c7d65…",
                "tolerance": 0.02,
                "questions": 40,
                "closes": True,
                "error": None,
                "measures": [],
                "floors": [],
                "worse": [_CHANGE],
                "better": [],
                "warnings": [],
            }
        ],
    )

    run_id: int
    closes: bool
    specialists: tuple[GoldenResultOut, ...]

    @classmethod
    def of(cls, run_id: int, verdict: Verdict) -> GateOut:
        """Return the body for the verdict on a run."""
        return cls.model_validate({"run_id": run_id, "closes": verdict.closes, **verdict.report})


class PublishedOut(Wire):
    """What was held is served now."""

    model_config = example(run_id=7, documents=12)

    run_id: int
    documents: int = Field(description="How many documents changed by it.")
