"""What goes over HTTP: one frozen model for each body, nothing accepted that is not named here.

A reply is made from a record of ``indexing.documents`` or ``app.events`` by attribute, so there is no third set of
names: a field here is called as in the record.

Requests have strict flags and numbers: {"force": 0.0} and {"top_k": "5"} are mistakes of the caller's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

from app.settings import QUESTION_CHARS_MOST

#: Longest things that a request may hold; a test refuses a field without a bound. The question has a setting too.
NAME_CHARS = 100
URI_CHARS = 1024
TURNS_MOST = 50
TURN_CHARS = 20_000


def _clean(text: str) -> str:
    """Refuse what no database and no UTF-8 can hold: NUL and lone surrogates."""
    if "\x00" in text:
        raise ValueError("a NUL character cannot be stored")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("a lone surrogate is not valid Unicode")
    return text


Text = Annotated[str, AfterValidator(_clean)]
#: Something a person wrote, with something in it.
Words = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=QUESTION_CHARS_MOST),
    AfterValidator(_clean),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=NAME_CHARS)]


class Wire(BaseModel):
    """The parent of all bodies: unknown fields are refused, so that nobody sets what they only hoped exists."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


def example(**fields: Any) -> ConfigDict:
    """Return the configuration that shows *fields* as the example in OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


_PASSAGE = {
    "chunk_id": 812,
    "document_id": 17,
    "source": "handbook",
    "uri": "hr/leave.md",
    "title": "Leave policy",
    "text": "Every employee has 25 days of paid leave a year.",
    "start": 120,
    "end": 168,
    "page": None,
    "heading_path": ["Paid leave"],
    "language": "en",
    "score": 0.031,
}
_CITATION = {
    "number": 1,
    "chunk_id": 812,
    "document_id": 17,
    "source": "handbook",
    "uri": "hr/leave.md",
    "title": "Leave policy",
    "page": None,
    "quote": "Every employee has 25 days of paid leave a year.",
    "start": 120,
    "end": 168,
}


# Questions


class TurnIn(Wire):
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    text: Annotated[Text, Field(max_length=TURN_CHARS)]


class AskIn(Wire):
    """A question."""

    model_config = example(question="How many days of paid leave do we have?", specialist="metier")

    question: Words = Field(description="At most METIER_QUESTION_CHARS characters (4,000 unless set).")
    specialist: Annotated[str, Field(max_length=NAME_CHARS)] | None = Field(
        None, description="Name of the specialist that answers; `metier`, which reads every source, when absent."
    )
    history: tuple[TurnIn, ...] = Field((), max_length=TURNS_MOST, description="Earlier messages, oldest first.")
    stream: StrictBool = Field(
        False, description="Answer with server-sent events, as does `Accept: text/event-stream`."
    )


class SearchIn(Wire):
    """A search for passages."""

    model_config = example(question="paid leave", top_k=5)

    question: Words
    top_k: StrictInt | None = Field(None, ge=1, le=50, description="Most passages; METIER_TOP_K when absent.")
    sources: tuple[Name, ...] = Field((), max_length=100, description="Names of sources to search; all when empty.")


class PassageOut(Wire):
    """Exact characters of a document that the asker may read."""

    model_config = example(**_PASSAGE)

    chunk_id: int
    document_id: int
    source: str
    uri: str
    title: str
    text: str
    start: int = Field(description="Position in the document's text, in characters.")
    end: int
    page: int | None = Field(description="1-based page, slide or sheet.")
    heading_path: tuple[str, ...]
    language: str
    score: float = Field(description="Higher is better; comparable within one reply only.")


class SearchOut(Wire):
    """Passages, best first."""

    model_config = example(passages=[_PASSAGE], language="en", indexed_through=240)

    passages: tuple[PassageOut, ...]
    language: str = Field(description="Of the question, ISO 639-1.")
    indexed_through: int = Field(description="Position of the change log that the search has seen.")


class CitationOut(Wire):
    """The characters that support what carries this number in the text."""

    model_config = example(**_CITATION)

    number: int = Field(description="As in the text: [1].")
    chunk_id: int
    document_id: int
    source: str
    uri: str
    title: str
    page: int | None
    quote: str = Field(description="Equal to the document's text from `start` to `end`.")
    start: int
    end: int


class AbstentionOut(Wire):
    """Why there is no answer, and the passages that came nearest."""

    message: str
    reason: str = Field(description="nothing_found, below_threshold or unsupported.")
    closest: tuple[PassageOut, ...]


class AnswerOut(Wire):
    """An answer, or the reason that there is none."""

    model_config = example(
        answer_id="0c8f2f0e-3f0a-4f0e-9a53-8f5f0d2f7f7b",
        text="Every employee has 25 days of paid leave a year. [1]",
        citations=[_CITATION],
        abstained=None,
        sources=[_PASSAGE],
        searched_for="How many days of paid leave do we have?",
        specialist="metier",
        language="en",
        finish_reason="stop",
        confidence=0.93,
        generator="reader",
        seconds=0.08,
        indexed_through=240,
        unsupported=0,
        short_answer="25 days",
        threshold=0.13,
        expected_wrong=0.17,
        notice="You are talking to an AI system: this answer was made automatically. Check it against its sources.",
    )

    answer_id: str
    text: str = Field(description="With markers such as [1]; empty when the documents do not say.")
    citations: tuple[CitationOut, ...]
    abstained: AbstentionOut | None
    sources: tuple[PassageOut, ...] = Field(description="The passages that the answer was made from, best first.")
    searched_for: str = Field("", description="The question; a follow-up, completed from the history.")
    specialist: str
    language: str
    finish_reason: str = Field(description="stop, length or abstained.")
    confidence: float | None = Field(description="Estimated probability, 0 to 1, that the answer is right.")
    generator: str = Field(description="Whose text this is: `reader` also where a generator's did not stand.")
    seconds: float
    indexed_through: int
    unsupported: int = Field(description="Sentences that were written and left out: no passage supports them.")
    short_answer: str = Field("", description="A few words of a passage that answer; empty when a sentence does.")
    threshold: float | None = Field(None, description="Least confidence for an answer.")
    expected_wrong: float | None = Field(
        None, description="Share of wrong answers from this threshold on, where it was fitted; null when it was set."
    )
    notice: str = Field("", description="The sentence that says a machine answered, to be shown with the answer.")


class FeedbackIn(Wire):
    """What a reader says of an answer."""

    model_config = example(answer_id="0c8f2f0e-3f0a-4f0e-9a53-8f5f0d2f7f7b", helpful=False, reason="outdated")

    answer_id: Annotated[Text, Field(max_length=64)]
    helpful: StrictBool
    reason: Annotated[Text, Field(max_length=64)] | None = None
    comment: Annotated[Text, Field(max_length=4000)] | None = None


class FeedbackOut(Wire):
    """The feedback was stored."""

    model_config = example(id=5)

    id: int


# Health


class Alive(Wire):
    """The process serves."""

    model_config = example(status="ok", version="0.1.0")

    status: Literal["ok"] = "ok"
    version: str


class Ready(Wire):
    """Whether questions can be answered, and from what state."""

    model_config = example(
        status="ready", catalog="ok", generation="000003-1f9a", seq=240, indexed_through=240, model_loaded=True
    )

    status: Literal["ready", "starting", "unavailable", "permission_leak"] = Field(
        description="permission_leak: an index gave out what it must not and was put aside; the log has more."
    )
    catalog: str = Field(description="ok, or what is wrong.")
    generation: str | None = Field(description="The index generation in use.")
    seq: int | None = Field(description="Position of the change log.")
    indexed_through: int | None = Field(description="Position that the index has seen.")
    model_loaded: bool
    slack_event_age_s: float | None = Field(
        default=None, description="Seconds since Slack sent something; null when no workspace is connected."
    )
