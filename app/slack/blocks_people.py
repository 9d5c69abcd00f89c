"""Messages and forms about feedback, asking a human, and the weekly digest: pure, from records to Block Kit.

What people and documents say is escaped here; wording is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.slack.blocks_parts import SECTION_CHARS, actions, button, context, packed, section
from app.slack.blocks_parts import plain as plain_text
from app.slack.escape import line, mrkdwn, parts
from app.slack.records import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.slack.blocks_parts import Block
    from app.slack.wording_people import PeopleWording

#: The most that a field of a form takes; app.history takes comments of 4000.
INPUT_CHARS = 3000
#: A label or an option, and a hint.
LABEL_CHARS = 75
HINT_CHARS = 200
#: What one text of somebody's takes up of a message.
MOST_SECTIONS = 8
SAID_CHARS = 2500
QUESTION_CHARS = 300
DEFAULT_DAYS = 180


def plain(text: str) -> Message:
    """Return a message of one text, which is ours."""
    return Message(text, [section(text)])


def quoted(text: str) -> list[Block]:
    """Return sections of a text that is not ours; what goes past MOST_SECTIONS of them is left out."""
    return [section(each) for each in parts(mrkdwn(text), SECTION_CHARS)[:MOST_SECTIONS]]


# --- forms ----------------------------------------------------------------------------------------------------


def feedback_form(words: PeopleWording, metadata: str) -> Block:
    """Return the form that asks what is wrong with an answer."""
    options = [{"text": _label(text), "value": value} for value, text in words.reasons.items()]
    reason = {"type": "radio_buttons", "action_id": "reason", "options": options}
    comment = _input("comment", words.comment_label, _text("comment", INPUT_CHARS), optional=True)
    blocks = [section(words.why_intro), _input("reason", words.why_label, reason), comment]
    return _form("feedback", words.why_title, words, blocks, metadata)


def reply_form(words: PeopleWording, question: str, metadata: str, reply: str = "") -> Block:
    """Return the form in which an owner replies to a question."""
    options = [{"text": _label(text), "value": str(days)} for days, text in words.days.items()]
    chosen = next(each for each in options if each["value"] == str(DEFAULT_DAYS))
    days = {"type": "static_select", "action_id": "days", "options": options, "initial_option": chosen}
    text = _text("reply", INPUT_CHARS) | ({"initial_value": reply[:INPUT_CHARS]} if reply.strip() else {})
    blocks = [
        section(f"*{words.question_label}*"),
        *quoted(question)[:2],
        _input("reply", words.reply_label, text),
        _input("sources", words.sources_label, _text("sources", 1000), optional=True)
        | {"hint": plain_text(words.sources_hint, HINT_CHARS)},
        _input("days", words.valid_label, days),
    ]
    return _form("reply", words.reply_title, words, blocks, metadata)


def _form(callback_id: str, title: str, words: PeopleWording, blocks: Sequence[Block], metadata: str) -> Block:
    texts = {"title": plain_text(title, 24), "submit": _label(words.send), "close": _label(words.cancel)}
    return {"type": "modal", "callback_id": callback_id, **texts, "private_metadata": metadata, "blocks": list(blocks)}


def _label(text: str) -> Block:
    return plain_text(text, LABEL_CHARS)


def _text(action_id: str, most: int) -> Block:
    return {"type": "plain_text_input", "action_id": action_id, "multiline": True, "max_length": most}


def _input(block_id: str, label: str, element: Block, *, optional: bool = False) -> Block:
    return {"type": "input", "block_id": block_id, "label": _label(label), "element": element, "optional": optional}


def filled_in(values: Mapping[str, Any], block_id: str) -> str:
    """Return what was typed or chosen in a block of a form; "" for nothing."""
    for state in (values.get(block_id) or {}).values():
        chosen = state.get("selected_option") or {}
        return str(state.get("value") or chosen.get("value") or "").strip()
    return ""


# --- asking a human -------------------------------------------------------------------------------------------


def asked_message(words: PeopleWording, specialist: str, question: str, said: str, help_id: int) -> Message:
    """Return what an owner is sent: the question, *said* of the automatic answer (escaped), and the button."""
    intro = words.direct_ask.format(specialist=line(specialist))
    blocks = [section(intro), *quoted(question), section(said), actions([button("reply", words.reply, str(help_id))])]
    return Message(intro, blocks)


def bot_said(words: PeopleWording, answer: str) -> str:
    """Return what the automatic answer said, for an owner who may read what it quotes."""
    return f"{words.bot_said}\n{line(answer, SAID_CHARS)}"


def proposed_message(
    words: PeopleWording, intro: str, question: str, reply: str, help_id: int, *, private: bool
) -> Message:
    """Return the reply as it is shown for approval, with the buttons that decide; *private*: also who may read it."""
    choices = [button("approve:asker", words.publish_asker, f"{help_id}:asker")] if private else []
    choices += [button("approve:all", words.publish_all, f"{help_id}:all")]
    choices += [button("refuse", words.refuse, str(help_id), "danger")]
    blocks = [section(intro), section(f"*{words.question_label}*"), *quoted(question)[:2]]
    blocks += [section(f"*{words.reply_label}*"), *quoted(reply), actions(choices)]
    return Message(intro, blocks)


def approved_message(words: PeopleWording, text: str, help_id: int) -> Message:
    """Return what who approved a reply is told, with the way back."""
    return Message(text, [section(text), actions([button("withdraw", words.withdraw, str(help_id))])])


def published_message(intro: str, reply: str, ends: str, source: str) -> Message:
    """Return the reviewed answer as it is posted where the question was asked."""
    blocks = [section(intro), *quoted(reply), context(ends)]
    return Message(f"{intro} {line(reply)}", [*blocks, section(source)])


def offer_message(words: PeopleWording, value: str) -> Message:
    """Return the offer to use what an owner wrote in the thread."""
    return Message(words.offer, [section(words.offer), actions([button("capture", words.use_reply, value)])])


def expired_message(words: PeopleWording, question: str, help_id: int) -> Message:
    """Return what owners are told of a reviewed answer whose time is over."""
    return Message(
        words.expired,
        [section(words.expired), *quoted(question)[:1], actions([button("renew", words.renew, str(help_id))])],
    )


# --- weekly digest --------------------------------------------------------------------------------------------


def weekly_message(words: PeopleWording, specialist: str, questions: Sequence[tuple[str, int]], more: int) -> Message:
    """Return the digest of one specialist: questions with how often each was asked; *more* that are only counted."""
    name = line(specialist)
    title = words.weekly.format(specialist=name)
    lines = [words.weekly_line.format(question=line(text, QUESTION_CHARS), count=count) for text, count in questions]
    if more:
        lines.append(words.weekly_more.format(count=more))
    why = context(words.weekly_why.format(specialist=name))
    return Message(title.strip("*"), [*packed([title, *lines]), why])
