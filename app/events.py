"""What an answer is made of: a closed union of events that every face (REST, SSE, CLI, OpenAI route) renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.documents import Passage


@dataclass(frozen=True, slots=True)
class Citation:
    """Exact characters of a passage that support the answer: ``quote == document_text[start:end]``."""

    number: int  # as in the text: [1]
    chunk_id: int
    document_id: int
    source: str
    uri: str
    title: str
    page: int | None
    quote: str
    start: int  # characters in the document's text
    end: int


@dataclass(frozen=True, slots=True)
class Sources:
    """First event: the permitted passages that the answer may use, best first, and what was searched for.

    A follow-up question is searched for in full (``app.conversation``); any other as it was asked.
    """

    passages: tuple[Passage, ...]
    question: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text, in order: whole sentences that a passage supports, with markers like ``[1]``.

    An empty one says "still working".
    """

    text: str


@dataclass(frozen=True, slots=True)
class Quick:
    """A whole answer at once, the reader's, while a generator writes a fuller one.

    The tokens that follow replace it when Citations come after them; when Kept comes, it stands.
    """

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Citations:
    """After the last token: where each of its sentences is supported. The tokens before are the answer."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The quick answer stands, given once more, and the tokens that came after it are to be taken off the screen.

    They were supported, each of them, but too much was missing. ``streamed`` are their citations, for a face that
    cannot take anything back.
    """

    reason: str  # unsupported: less was supported than was not | failed: the generator did not come to an end
    text: str
    citations: tuple[Citation, ...]
    streamed: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Abstained:
    """The documents do not say. ``closest`` are the passages that came nearest.

    Comes instead of tokens. ``unsupported``: an answer was written, and no passage supports any sentence of it.
    """

    message: str
    reason: str  # nothing_found | below_threshold | unsupported
    closest: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer could not be finished, and there is no quick one to stand in for it."""

    error: str  # class name
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Done:
    """Always the last event."""

    answer_id: str
    finish_reason: str  # stop | length | abstained | failed | cancelled
    seconds: float
    language: str
    confidence: float | None = None  # 0..1: estimated probability that the answer is right
    generator: str = "reader"
    indexed_through: int = 0  # change-log position that this answer has seen
    unsupported: int = 0  # sentences that were written and left out, because no passage supports them
    short_answer: str = ""  # the reader's, word for word from a passage: "25 days"; "" when it is a whole sentence
    threshold: float | None = None  # least confidence for an answer
    expected_wrong: float | None = None  # share of wrong answers from there on, where it was fitted; None: unknown


Event: TypeAlias = Sources | Quick | Token | Citations | Kept | Abstained | Failed | Done


def settled(events: Iterable[Event]) -> tuple[str, tuple[Citation, ...]]:
    """Return the text and the citations that stand at the end of *events*; "" and () when there is no answer."""
    text = ""
    citations: tuple[Citation, ...] = ()
    for event in events:
        match event:
            case Token():
                text += event.text
            case Citations():
                citations = event.citations
            case Kept():
                text, citations = event.text, event.citations
    return text, citations
