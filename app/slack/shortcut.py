"""The message shortcut "Ask Métier about this": a form with the message, and a private answer beside it.

The question goes into the same queue as every other one. The message that it is about goes with it as something that
was said before, by somebody: never as an instruction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.slack import blocks_channel, modals, store_inbox
from app.slack.policy import is_question
from app.slack.records import Incoming, Place
from app.slack.who import sender
from app.slack.wording_channel import channel_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.slack.blocks_channel import View
    from app.slack.bot import Bot
    from app.slack.records import Job, Person

#: Characters of the message that go with the question; Slack keeps 3000 of them for a form, in JSON.
QUOTED_CHARS = 1200
_METADATA_CHARS = 3000


def ask_about(bot: Bot, job: Job) -> None:
    """Open the form for the message that was chosen."""
    incoming = job.incoming
    message = incoming.payload.get("message") or {}
    said = str(message.get("text") or "").strip()

    def made(who: Person) -> View:
        question = said if is_question(said) else ""
        return blocks_channel.ask_about_view(said[:QUOTED_CHARS], question, _metadata(incoming, said), who.language)

    modals.show(bot, incoming, made)


def _metadata(incoming: Incoming, said: str) -> str:
    """Return what the form carries until it comes back: where to answer, and as much of the message as fits."""
    kept = {
        "channel": incoming.channel_id,
        "type": incoming.channel_type,
        "thread": incoming.thread_ts or incoming.ts,
        "url": incoming.response_url,
    }
    for most in (QUOTED_CHARS, QUOTED_CHARS // 4, 0):
        text = json.dumps(kept | {"said": said[:most]}, ensure_ascii=False)
        if len(text) <= _METADATA_CHARS:
            break
    return text


def asked(bot: Bot, job: Job) -> None:
    """Hand the question on as a job of its own, once however often this one is done."""
    incoming = job.incoming
    about: dict[str, Any] = json.loads(str(incoming.payload.get("private_metadata") or "{}"))
    question = blocks_channel.typed_in(incoming.payload.get("values") or {}, "question")
    channel_id, thread_ts = str(about.get("channel") or ""), str(about.get("thread") or "")
    url = str(about.get("url") or "")
    if not question:
        who = sender(bot, incoming)
        place = Place(channel_id, incoming.user_id, incoming.user_team_id, thread_ts, url)
        modals.whisper(bot, place, blocks_channel.told(channel_words(who.language).about_empty))
        return
    asking = Incoming(
        team_id=incoming.team_id,
        kind="command",
        meaning=f"{incoming.meaning}:asked",
        channel_id=channel_id,
        channel_type=str(about.get("type") or ""),
        user_id=incoming.user_id,
        user_team_id=incoming.user_team_id,
        thread_ts=thread_ts,
        text=question,
        payload={"word": "", "trigger_id": "", "response_url": url, "quoted": str(about.get("said") or "")},
    )
    with bot.parts.catalog.transaction() as session:
        store_inbox.accept(session, asking)


SHORTCUTS: dict[str, Callable[[Bot, Job], None]] = {"ask_about": ask_about}
VIEWS: dict[str, Callable[[Bot, Job], None]] = {"ask_about": asked}
