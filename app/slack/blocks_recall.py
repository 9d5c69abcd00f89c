"""What a correction looks like: pure functions from what is known to messages within Slack's limits.

A correction says that an answer no longer holds, which documents changed, and what the answer is now. It holds nothing
of the old answer: who reads it now may not be who could read what that was made from. A document that is gone is named
by its number in the old list of sources only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.slack import escape
from app.slack.blocks import AnswerView, abstained_message, answer_message
from app.slack.blocks_parts import TEXT_CHARS, TITLE_CHARS, context, packed
from app.slack.records import Message, Visibility
from app.slack.wording_recall import recall_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: The ``event_type`` of a correction's metadata, by which a second attempt finds that the first one posted it.
CORRECTED = "metier_correction"
#: Answers of one thread that are given anew in one message; older ones are to be asked again. Slack takes 50 blocks.
MOST_ANSWERS = 3
MOST_OLDER = 20
MOST_TITLES = 8


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """One answer that no longer holds."""

    given_at: datetime  # when it was given
    knew: bool  # False: it said that the documents do not say
    now: AnswerView
    language: str
    changed: Sequence[str] = ()  # titles of documents that changed, which all who see the correction may read
    gone: Sequence[int] = ()  # numbers of sources whose documents are gone


def correction_message(
    views: Sequence[CorrectionView], post_id: int, state: str, *, visibility: Visibility, public_url: str | None
) -> Message:
    """Return the one correction of a thread, of *views*, oldest first, at least one.

    *post_id* and *state* are what a second attempt looks for.
    """
    older, newest = views[:-MOST_ANSWERS][-MOST_OLDER:], views[-MOST_ANSWERS:]
    blocks: list[Mapping[str, Any]] = []
    for each in newest:
        blocks += _corrected(each, visibility, public_url)
    blocks += packed(_ask_again(each) for each in older)
    text = f"{_lead(newest[-1])} {newest[-1].now.text}"
    metadata = {"event_type": CORRECTED, "event_payload": {"post": post_id, "state": state}}
    return Message(escape.cut(escape.mrkdwn(text), TEXT_CHARS), blocks, metadata)


def marked(message: Message, language: str) -> Message:
    """Return an answer's *message* under a line that says that it is corrected."""
    line = escape.mrkdwn(recall_words(language).corrected)
    return Message(
        escape.cut(f"{line} {message.text}", TEXT_CHARS), [context(f"*{line}*"), *message.blocks], message.metadata
    )


def _corrected(view: CorrectionView, visibility: Visibility, public_url: str | None) -> list[Mapping[str, Any]]:
    w = recall_words(view.language)
    lines = [f"*{escape.mrkdwn(_lead(view))}*"]
    if view.changed:
        titles = ", ".join(escape.line(each, TITLE_CHARS) for each in view.changed[:MOST_TITLES])
        lines.append(escape.mrkdwn(w.changed).format(titles=titles))
    if view.gone:
        lines.append(escape.mrkdwn(w.gone.format(numbers=", ".join(f"[{each}]" for each in view.gone[:MOST_TITLES]))))
    lines.append(f"*{escape.mrkdwn(w.unknown if view.now.abstained else w.now)}*")
    given = abstained_message if view.now.abstained else answer_message
    now = given(view.now, view.language, visibility=visibility, public_url=public_url)
    return [*packed(lines), *now.blocks]


def _lead(view: CorrectionView) -> str:
    w = recall_words(view.language)
    return (w.correction if view.knew else w.again).format(date=_date(view.given_at))


def _ask_again(view: CorrectionView) -> str:
    return escape.mrkdwn(recall_words(view.language).ask_again.format(date=_date(view.given_at)))


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
