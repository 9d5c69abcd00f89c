"""What came of a question: the events of its answer put on the screen, and the message that they end in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.events import Abstained, Citations, Done, Failed, Kept, Quick, Sources, Token
from app.slack import blocks, escape
from app.slack.blocks_parts import context, section
from app.slack.wording import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.events import Citation, Event
    from app.slack.records import Message, Visibility
    from app.slack.screen import Screen
    from indexing.documents import Passage


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a question."""

    done: Done
    text: str = ""  # of the answer that stands; "" when there is none
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    abstained: Abstained | None = None
    failed: Failed | None = None

    @property
    def is_answer(self) -> bool:
        """Whether there is one: neither "I don't know" nor a failure."""
        return self.abstained is None and self.failed is None

    @property
    def said(self) -> str:
        """What the asker was told, as far as it may be kept; "" after a failure."""
        return self.abstained.message if self.abstained else self.text


@dataclass(frozen=True, slots=True)
class Ended:
    """What the events said so far besides the text."""

    done: Done | None = None
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    abstained: Abstained | None = None
    failed: Failed | None = None

    def after(self, event: Event) -> Ended:
        """Return the same with what *event* says."""
        match event:
            case Sources():
                return replace(self, passages=event.passages)
            case Citations() | Kept():
                return replace(self, citations=event.citations)
            case Abstained():
                return replace(self, abstained=event)
            case Failed():
                return replace(self, failed=event)
            case Done():
                return replace(self, done=event)
            case _:
                return self

    def made(self, text: str) -> Made:
        """Return what came of it; neither text nor passages when there is no answer."""
        assert self.done is not None  # noqa: S101 -- it is always the last event; narrows the type
        if self.abstained is not None or self.failed is not None:
            return Made(self.done, abstained=self.abstained, failed=self.failed)
        return Made(self.done, text, self.citations, self.passages)


def shown(events: Iterable[Event], screen: Screen) -> Made:
    """Put the answer on the screen as it comes, and return what stands at its end.

    The quick answer is shown at once, and stays until there is a whole one to replace it: text that comes meanwhile
    may yet be taken back.
    """
    text, quick, end = "", False, Ended()
    for event in events:
        match event:
            case Quick():
                quick = True
                screen.add(event.text)
            case Token():
                text += event.text
                screen.add("" if quick else event.text)  # "" sends what waits
            case Kept():
                text = event.text
        end = end.after(event)
    return end.made(text)


def view_of(made: Made, *, shared: bool = False) -> blocks.AnswerView:
    """Return what is shown of an answer or an abstention."""
    return blocks.AnswerView(
        answer_id=made.done.answer_id,
        text=made.said,
        citations=made.citations,
        abstained=made.abstained,
        sources=blocks.sources_of(made.passages),
        disagree=blocks.disagrees(made.said, made.done.language),
        confidence=made.done.confidence if made.is_answer else None,
        shared=shared,
    )


def message_of(
    made: Made, *, visibility: Visibility, public_url: str | None, shared_by: str = "", question: str = ""
) -> Message:
    """Return the whole message: an answer, "I don't know" with the closest passages, or what went wrong.

    *shared_by* is the id of the user who wants others to see the answer to *question*, which nobody there has read.
    """
    language = made.done.language
    if made.failed is not None:
        return blocks.failed_message(made.failed.error, language, answer_id=made.done.answer_id)
    as_message = blocks.abstained_message if made.abstained else blocks.answer_message
    view = view_of(made, shared=bool(shared_by))
    message = as_message(view, language, visibility=visibility, public_url=public_url)
    if not shared_by:
        return message
    by = context(escape.mrkdwn(words(language).shared_by).format(user=f"<@{shared_by}>"))
    asked = section(f"*{escape.line(question)}*")
    return replace(message, blocks=[by, asked, *message.blocks])


def end_of(made: Made, *, visibility: Visibility, public_url: str | None) -> Message:
    """Return what comes under the text that is on the screen; the whole message where there is no text."""
    if not made.is_answer:
        return message_of(made, visibility=visibility, public_url=public_url)
    return blocks.answer_end(view_of(made), made.done.language, visibility=visibility, public_url=public_url)
