"""What an answer is made of: a closed union of events that every face (REST, SSE, CLI, OpenAI route) renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
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
    """First event: the permitted passages that the answer may use, best first."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text, in order. Citation markers look like ``[1]``."""

    text: str


@dataclass(frozen=True, slots=True)
class Citations:
    """After the last token: the citations that were checked. A marker that failed the check is not in here."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Abstained:
    """The documents do not say. ``closest`` are the passages that came nearest.

    Comes instead of tokens, but for the reason ``unsupported``: then what was streamed before has no support in any
    passage, and is taken back.
    """

    message: str
    reason: str  # nothing_found | below_threshold | unsupported
    closest: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer could not be finished; what was streamed before stands without citations."""

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
    confidence: float | None = None  # 0..1: estimated probability that the documents support the answer
    generator: str = "reader"
    indexed_through: int = 0  # change-log position that this answer has seen


Event: TypeAlias = Sources | Token | Citations | Abstained | Failed | Done
