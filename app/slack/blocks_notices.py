"""What the Slack bot says that is no answer: failures, help, its state, and short notices. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from app.slack import escape
from app.slack.blocks_parts import BUTTON_CHARS, TEXT_CHARS, actions, context, header, packed, plain, section
from app.slack.records import Message
from app.slack.wording import words

#: Errors (class names) that the asker can do something about, and the string that says what.
_FAILURES = {
    "AnswerWithdrawn": "withdrawn",
    "NoIndexYet": "no_index",
    "QuestionTooLong": "too_long",
    "GeneratorOverloaded": "busy",
    "TooManyRequests": "busy",
}


@dataclass(frozen=True, slots=True)
class StatusView:
    """How the bot is, for who asks."""

    known_as: str | None  # the principal's name; None: anonymous
    outsider: bool  # a guest, or of another organisation
    documents: int  # that they may read
    waiting: int  # questions
    heard_s: int | None = None  # seconds since Slack was last heard; None: never


def notice(text: str) -> Message:
    """Return a short message of ours."""
    return Message(escape.cut(escape.mrkdwn(text), TEXT_CHARS), [section(escape.mrkdwn(text))])


def failed_message(error: str, language: str, *, answer_id: str = "") -> Message:
    """Return that there is no answer, and what the asker can do. *error* is the class name, as in ``Failed``.

    What exactly failed is for the log: the reference leads there.
    """
    w = words(language)
    told = getattr(w, _FAILURES.get(error, "failed"))
    message = notice(told)
    if not answer_id:
        return message
    reference = escape.mrkdwn(w.failed_reference.format(answer_id=answer_id))
    return Message(message.text, [*message.blocks, context(reference)])


def working_text(language: str) -> str:
    """Return the status of who works on a question."""
    return words(language).working


def queued_text(ahead: int, language: str) -> str:
    """Return the status of a question that waits, with how many come before it."""
    w = words(language)
    return w.ahead.format(count=ahead) if ahead > 1 else w.next_in_line


def help_message(language: str) -> Message:
    """Return how to ask."""
    w = words(language)
    told = (w.help_ask, w.help_direct, w.help_command, w.help_words, w.help_thread)
    blocks = [header(w.help_title), *packed(f"• {escape.mrkdwn(each)}" for each in told)]
    return Message(escape.mrkdwn(w.help_title), [*blocks, context(escape.mrkdwn(w.help_rights))])


def status_message(status: StatusView, language: str) -> Message:
    """Return how the bot is, and whom it takes the asker for."""
    w = words(language)
    if status.known_as is not None:
        who = w.status_linked.format(name=status.known_as)
    else:
        who = w.status_outsider if status.outsider else w.status_unlinked
    lines = [who, w.status_documents.format(count=status.documents), w.status_waiting.format(count=status.waiting)]
    if status.heard_s is not None:
        lines.append(w.status_heard.format(seconds=status.heard_s))
    return Message(
        escape.mrkdwn(w.status_title), [header(w.status_title), *packed(escape.mrkdwn(each) for each in lines)]
    )


def link_message(url: str, minutes: int, language: str, *, public_url: str) -> Message:
    """Return the way to tell who one is: a button to our own sign-in. Raises ValueError for any other address."""
    if not url.startswith(f"{public_url.rstrip('/')}/"):
        msg = "an address that is not ours"
        raise ValueError(msg)
    w = words(language)
    message = notice(w.link.format(minutes=minutes))
    opens = {"type": "button", "action_id": "link", "text": plain(w.link_button, BUTTON_CHARS), "url": url}
    return Message(message.text, [*message.blocks, actions([opens])])
