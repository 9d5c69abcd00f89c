"""The forms and notices about channels, messages and files, as Slack's blocks. Pure, and within Block Kit's limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from app.slack import escape
from app.slack.blocks_parts import TEXT_CHARS, Block, context, packed, plain, section
from app.slack.records import Message
from app.slack.wording_channel import channel_words, files_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from app.slack.records import Policy
    from app.slack.wording_channel import ChannelWording

View: TypeAlias = dict[str, Any]

OPTION_CHARS = 75
LABEL_CHARS = 150
TITLE_CHARS = 24
INPUT_CHARS = 3000
NAME_CHARS = 150
#: Entries of a menu.
MOST_OPTIONS = 100
#: Stands for the specialist that was chosen before, where its name is not for who looks.
KEPT = "\N{MIDDLE DOT}"


@dataclass(frozen=True, slots=True)
class Choices:
    """What one person may choose from. A source or specialist that they may not know of is not in it."""

    specialists: Sequence[str]  # but the built-in one
    sources: Sequence[str]
    hidden_specialist: bool  # the one of now is not theirs to ask
    more_sources: bool  # than a menu holds


# --- forms ------------------------------------------------------------------------------------------------------


def modal(title: str, blocks: Iterable[Block], close: str, **more: Any) -> View:
    """Return a modal view."""
    return {
        "type": "modal",
        "title": plain(title, TITLE_CHARS),
        "close": plain(close, TITLE_CHARS),
        "blocks": list(blocks),
        **more,
    }


def waiting_view() -> View:
    """Return what is shown until it is known what to show, and to whom; in no language."""
    return modal("Métier", [section(escape.ELLIPSIS)], "OK")


def refusal_view(text: str, language: str) -> View:
    """Return a modal that says why there is nothing to fill in."""
    w = channel_words(language)
    return modal(w.title, [section(escape.mrkdwn(text))], w.close)


def settings_view(channel_id: str, now: Policy, choices: Choices, language: str) -> View:
    """Return the form with the channel's policy of now, for who may choose from *choices*."""
    w = channel_words(language)
    chosen = now.specialist
    listed = {"": w.specialist_default, **({KEPT: w.specialist_kept} if choices.hidden_specialist else {})}
    initial = KEPT if choices.hidden_specialist else (chosen or "")
    specialists = _menu(
        "specialist", w.specialist_label, listed | {name: name for name in choices.specialists}, initial
    )
    blocks = [
        section(escape.mrkdwn(w.intro)),
        _menu("answers", w.answers_label, w.answers, now.answers),
        _menu("unknown", w.unknown_label, w.unknown, now.unknown),
        specialists,
        *([_sources(choices, now, w)] if choices.sources else ()),
        *([context(escape.mrkdwn(w.sources_more))] if choices.more_sources else ()),
        _recall(w, on=now.recall),
        _menu("editors", w.editors_label, w.editors, now.editors),
        context(escape.mrkdwn(w.rights)),
    ]
    submit = plain(w.save, TITLE_CHARS)
    return modal(w.title, blocks, w.cancel, submit=submit, callback_id="policy", private_metadata=channel_id)


def ask_about_view(quoted: str, question: str, metadata: str, language: str) -> View:
    """Return the form that asks for a question about the message *quoted*."""
    w = channel_words(language)
    element = {"type": "plain_text_input", "action_id": "question", "multiline": True, "max_length": INPUT_CHARS}
    if question:
        element["initial_value"] = question[:INPUT_CHARS]
    field = {
        "type": "input",
        "block_id": "question",
        "label": plain(w.about_question, LABEL_CHARS),
        "element": element,
    }
    blocks = [context(escape.mrkdwn(w.about_message)), section(escape.mrkdwn(quoted) or escape.ELLIPSIS), field]
    blocks.append(context(escape.mrkdwn(w.about_private)))
    submit = plain(w.about_ask, TITLE_CHARS)
    return modal(w.about_title, blocks, w.cancel, submit=submit, callback_id="ask_about", private_metadata=metadata)


def _menu(name: str, label: str, texts: Mapping[str, str], initial: str) -> Block:
    options = [_option(value, text) for value, text in texts.items()][:MOST_OPTIONS]
    element: Block = {"type": "static_select", "action_id": name, "options": options}
    element["initial_option"] = next((each for each in options if each["value"] == _value(initial)), options[0])
    return {"type": "input", "block_id": name, "label": plain(label, LABEL_CHARS), "element": element}


def _sources(choices: Choices, now: Policy, w: ChannelWording) -> Block:
    options = [_option(name, name) for name in choices.sources]
    element: Block = {"type": "multi_static_select", "action_id": "sources", "options": options}
    element["placeholder"] = plain(w.sources_all, LABEL_CHARS)
    if chosen := [each for each in options if each["value"] in now.sources]:
        element["initial_options"] = chosen
    return {
        "type": "input",
        "block_id": "sources",
        "optional": True,
        "label": plain(w.sources_label, LABEL_CHARS),
        "hint": plain(w.sources_hint, LABEL_CHARS),
        "element": element,
    }


def _recall(w: ChannelWording, *, on: bool) -> Block:
    option = _option("on", w.recall)
    element: Block = {"type": "checkboxes", "action_id": "recall", "options": [option]}
    if on:
        element["initial_options"] = [option]
    label = plain(w.recall_label, LABEL_CHARS)
    return {"type": "input", "block_id": "recall", "optional": True, "label": label, "element": element}


def _option(value: str, text: str) -> Block:
    return {"text": plain(text, OPTION_CHARS), "value": _value(value)}


def _value(value: str) -> str:
    """Return *value* as an option has it, which may not be empty."""
    return value or "-"


def chosen_of(values: Mapping[str, Any], name: str) -> list[str]:
    """Return what was chosen in the field called *name*, as it was offered; [] for nothing."""
    state = (values.get(name) or {}).get(name) or {}
    options = state.get("selected_options") or [state.get("selected_option")]
    return ["" if each["value"] == _value("") else str(each["value"]) for each in options if each]


def typed_in(values: Mapping[str, Any], name: str) -> str:
    """Return what was typed into the field called *name*."""
    return str(((values.get(name) or {}).get(name) or {}).get("value") or "").strip()


# --- notices ----------------------------------------------------------------------------------------------------


def told(text: str) -> Message:
    """Return a short message of ours, which may quote: it is escaped here."""
    escaped = escape.mrkdwn(text)
    return Message(escape.cut(escaped, TEXT_CHARS), [section(escaped)])


def changed_message(user_id: str, now: Policy, language: str) -> Message:
    """Return the note that somebody changed the policy: what it is now, without the names of anything."""
    w = channel_words(language)
    lines = [f"{w.answers_label}: {w.answers[now.answers]}", f"{w.unknown_label}: {w.unknown[now.unknown]}"]
    lines += [w.changed_specialist] * (now.specialist is not None) + [w.changed_sources] * bool(now.sources)
    lines += [w.changed_recall] * now.recall
    lines.append(f"{w.editors_label}: {w.editors[now.editors]}")
    first = escape.mrkdwn(w.changed).format(who=f"<@{user_id}>")
    escaped = [first, *(f"• {escape.mrkdwn(each)}" for each in lines)]
    return Message(escape.cut("\n".join(escaped), TEXT_CHARS), packed(escaped))


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file. ``why`` names a string of FilesWording; "" when it was read."""

    name: str
    why: str = ""


def files_message(
    taken: Sequence[Taken], expires_at: datetime, language: str, *, most_mb: int, total_mb: int, left_out: int = 0
) -> Message:
    """Return what became of the files of a message, and until when they are kept."""
    w = files_words(language)
    lines = []
    for each in taken:
        name = f"“{escape.line(each.name, NAME_CHARS)}”"
        if not each.why:
            lines.append(escape.mrkdwn(w.read).format(name=name))
            continue
        most = total_mb if each.why == "too_much" else most_mb
        why = escape.mrkdwn(getattr(w, each.why).format(most=most))
        lines.append(escape.mrkdwn(w.unread).format(name=name, why=why))
    if left_out:
        lines.append(escape.mrkdwn(w.too_many.format(most=len(taken))))
    if any(not each.why for each in taken):
        lines.append(escape.mrkdwn(w.private.format(date=expires_at.strftime(w.date))))
    return Message(escape.cut("\n".join(lines), TEXT_CHARS), packed(lines))
