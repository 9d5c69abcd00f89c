"""What every generator is handed, and the one method it has. The reader, a local model and a server all fit it."""

from __future__ import annotations

import time
from collections.abc import Generator as PythonGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from app.errors import GeneratorTimeout

if TYPE_CHECKING:
    from app.evidence import Sentence
    from indexing.documents import Passage

#: Pieces of the answer's text, in order; the value returned at the end is the finish reason, "stop" or
#: "length". Closing it cancels the work behind it.
Pieces: TypeAlias = PythonGenerator[str, None, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of a conversation."""

    role: str  # user | assistant
    text: str


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Moments on the monotonic clock (``time.monotonic()``) after which nobody waits any more."""

    first_token: float
    answer: float

    @classmethod
    def starting_now(cls, *, first_token_s: float, answer_s: float) -> Deadlines:
        """Return the deadlines of an answer that starts now."""
        now = time.monotonic()
        return cls(first_token=now + min(first_token_s, answer_s), answer=now + answer_s)

    def left_s(self, *, started: bool) -> float:
        """Return the seconds until the next piece must be there; *started* once a first one was.

        Raises GeneratorTimeout when there is no time left.
        """
        left = (self.answer if started else self.first_token) - time.monotonic()
        if left <= 0:
            raise GeneratorTimeout(
                "The generator ran out of time." if started else "The generator did not begin to answer in time.",
                remedy=None if started else "Raise METIER_FIRST_TOKEN_TIMEOUT_S, or use a smaller model.",
            )
        return left


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A question, and everything an answer may be made of. Passage number n in the text is ``passages[n - 1]``."""

    question: str
    language: str  # ISO 639-1 of the question: the answer is in this language
    passages: tuple[Passage, ...]  # best first; permitted by construction
    sentences: tuple[Sentence, ...] = ()  # of these passages, best supported first (app.evidence)
    instructions: str = ""  # of the specialist
    history: tuple[Turn, ...] = ()  # oldest first
    max_tokens: int = 400
    deadlines: Deadlines = field(default_factory=lambda: Deadlines.starting_now(first_token_s=60, answer_s=180))
    task: Literal["answer", "rewrite"] = "answer"  # rewrite: only word the question completely (app.conversation)


class Generator(Protocol):
    """Writes an answer from passages, with markers like ``[1]`` after what a passage supports."""

    @property
    def name(self) -> str:
        """The generator's name, as recorded with each answer."""

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield the answer piece by piece; the pieces may split anywhere.

        Nothing happens before the first ``next()``. Closing frees what the generation holds within two
        seconds. With no passages it may yield nothing. Raises GeneratorError (Timeout, Overloaded,
        Unusable) and nothing of a vendor's.
        """
