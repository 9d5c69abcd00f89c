"""What happens without a word: somebody opens the agent's tab, comes into a channel, or leaves one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog

from app.errors import SlackError
from app.slack.records import Visibility
from app.slack.rights import forget_channel, scope_for
from app.slack.who import sender
from app.slack.wording import words
from indexing import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.slack.bot import Bot
    from app.slack.records import Job
    from indexing.documents import Scope

log = structlog.get_logger(__name__)

#: Slack shows four.
MOST_PROMPTS = 4
TITLES = 2
DOCUMENTS_READ = 50
#: A title becomes words that somebody sends: nothing in it may be read as anything else.
_PLAIN_TITLE = re.compile(r"[^\W_](?:[\w '’,()-]|\.(?=\s)){2,58}[\w)]")


def opened(bot: Bot, job: Job) -> None:
    """Suggest what to ask, when somebody opens the tab in which they write to the bot. A tab without is as good."""
    incoming = job.incoming
    if incoming.payload.get("tab") != "messages" or not incoming.channel_id:
        return
    asker = sender(bot, incoming)
    scope = scope_for(bot, asker, incoming.place, Visibility.DIRECT, incoming.channel_type)
    w = words(asker.language)
    about = [] if scope is None else [w.prompt_about.format(title=title) for title in titles(bot, scope)]
    asking = [*about, w.prompt_first, w.prompt_second, w.prompt_third, w.prompt_fourth][:MOST_PROMPTS]
    prompts = [{"title": each, "message": each} for each in asking]
    try:
        bot.slack.call(
            "assistant.threads.setSuggestedPrompts",
            channel_id=incoming.channel_id,
            title=w.prompts_title,
            prompts=prompts,
        )
    except SlackError as exc:
        log.info("No prompts are suggested.", action="slack_no_prompts", code=exc.code)


def titles(bot: Bot, scope: Scope) -> list[str]:
    """Return titles of documents that the person may read, plain ones only; [] when there are none."""
    with bot.parts.catalog.reading() as session:
        found = store.document_list(session, scope, limit=DOCUMENTS_READ)
    plain = dict.fromkeys(each.title.strip() for each in found if _PLAIN_TITLE.fullmatch(each.title.strip()))
    return list(plain)[:TITLES]


def members_changed(bot: Bot, job: Job) -> None:
    """Look up anew who sees what is posted in a channel, before the next answer in it."""
    forget_channel(bot, job.incoming.channel_id)


KINDS: dict[str, Callable[[Bot, Job], None]] = {"home": opened, "member": members_changed}
