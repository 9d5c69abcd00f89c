"""The pieces that messages are made of, each within what Slack takes: sections, contexts, buttons, ages and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from app.slack import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from app.slack.wording import Wording

Block: TypeAlias = dict[str, Any]

SECTION_CHARS = 3000
BUTTON_CHARS = 75
HEADER_CHARS = 150
VALUE_CHARS = 2000
CONTEXT_ELEMENTS = 10
#: ``chat.update`` takes no longer text, although ``chat.postMessage`` does; beside blocks only notifications show it.
TEXT_CHARS = 4000
#: An answer that is posted whole gets that many sections: as much as Slack streams in one piece.
ANSWER_SECTIONS = 4
#: A document's title or quote, as it is shown.
TITLE_CHARS = 150
QUOTE_CHARS = 300
_MONTH, _YEAR = 30, 365


def section(escaped: str) -> Block:
    """Return a section with a text that ``app.slack.escape`` has made; Slack is to link nothing in it by itself."""
    return {"type": "section", "text": _mrkdwn(escape.cut(escaped, SECTION_CHARS))}


def sections(escaped: str, most: int, cut: str) -> list[Block]:
    """Return the text in at most *most* sections; when it is longer, *cut* says so in one more, a context."""
    found = escape.parts(escaped, SECTION_CHARS)
    told = [section(each) for each in found[:most]]
    return [*told, context(cut)] if len(found) > most else told


def packed(lines: Iterable[str]) -> list[Block]:
    """Return escaped lines in as few sections as hold them whole; a line that is too long for one is cut."""
    blocks: list[str] = []
    for each in lines:
        if blocks and len(blocks[-1]) + 1 + len(each) <= SECTION_CHARS:
            blocks[-1] += f"\n{each}"
        else:
            blocks.append(each)
    return [section(each) for each in blocks]


def context(*escaped: str) -> Block:
    """Return a block of small print; more than CONTEXT_ELEMENTS texts are left out."""
    elements = [_mrkdwn(escape.cut(each, SECTION_CHARS)) for each in escaped[:CONTEXT_ELEMENTS]]
    return {"type": "context", "elements": elements}


def header(text: str) -> Block:
    """Return a heading."""
    return {"type": "header", "text": plain(text, HEADER_CHARS)}


def button(action_id: str, text: str, value: str, style: str | None = None) -> Block:
    """Return a button that sends *value*. Raises ValueError for a value that Slack would refuse."""
    made = {"type": "button", "action_id": action_id, "text": plain(text, BUTTON_CHARS), "value": _value(value)}
    return made if style is None else {**made, "style": style}


def actions(buttons: Sequence[Block]) -> Block:
    """Return a row of buttons."""
    return {"type": "actions", "elements": list(buttons)}


def feedback(answer_id: str, w: Wording) -> Block:
    """Return the thumbs up and down of an answer."""
    buttons = {
        "type": "feedback_buttons",
        "action_id": "feedback",
        "positive_button": {"text": plain(w.good, BUTTON_CHARS), "value": _value(f"good:{answer_id}")},
        "negative_button": {"text": plain(w.bad, BUTTON_CHARS), "value": _value(f"bad:{answer_id}")},
    }
    return {"type": "context_actions", "elements": [buttons]}


def plain(text: str, most: int) -> Block:
    """Return a text that Slack takes literally."""
    return {"type": "plain_text", "text": escape.words(text, most) or escape.ELLIPSIS, "emoji": False}


def _mrkdwn(escaped: str) -> Block:
    return {"type": "mrkdwn", "text": escaped or escape.ELLIPSIS, "verbatim": True}  # Slack refuses an empty one


def _value(value: str) -> str:
    if len(value) > VALUE_CHARS:
        msg = f"a value of {len(value)} characters"
        raise ValueError(msg)
    return value


def link(label: str, public_url: str | None, document_id: int, start: int, end: int) -> str:
    """Return mrkdwn that leads to these characters of our copy of the document; *label* alone without a public address.

    This is the one place that makes a link. *label* is escaped already.
    """
    if public_url is None:
        return label
    return f"<{public_url.rstrip('/')}/v1/documents/{document_id}/content?start={start}&amp;end={end}|{label}>"


def age(modified_at: datetime | None, now: datetime, w: Wording) -> str:
    """Return how old that is in words; "" when it is not known. What lies in the future is from today."""
    if modified_at is None:
        return ""
    days = (now.date() - modified_at.date()).days
    if days < 1:
        return w.today
    if days == 1:
        return w.yesterday
    if days < _MONTH:
        return w.days.format(count=days)
    if days < _YEAR:
        months = days // _MONTH
        return w.one_month if months == 1 else w.months.format(count=months)
    years = days // _YEAR
    return w.one_year if years == 1 else w.years.format(count=years)


def percent(share: float, language: str) -> str:
    """Return *share* in whole percent, as the language writes it."""
    return f"{share:.0%}" if language != "fr" else f"{share * 100:.0f} %"
