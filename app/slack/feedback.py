"""Thumbs under an answer, and the form that asks for a reason: whoever sees an answer may judge it.

A click counts only for the answer that is posted where it was made: a value that names another one changes nothing.
Each person has one judgement, the last; all who are not linked share one, that of everyone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from app import audit, history
from app.errors import SlackError
from app.slack import store_posts, who
from app.slack.aside import tell
from app.slack.blocks_people import feedback_form, filled_in
from app.slack.store_owners import recorded_as
from app.slack.wording_people import people_words

if TYPE_CHECKING:
    from app.slack.bot import Bot
    from app.slack.records import Job

log = structlog.get_logger(__name__)


def judge(bot: Bot, job: Job) -> None:
    """Store a click on a thumb and thank for it; after thumbs down ask for the reason in a form."""
    incoming = job.incoming
    person = who.sender(bot, incoming)
    words = people_words(person.language)
    verdict, _, answer_id = str(incoming.payload["action"].get("value", "")).partition(":")
    place = (incoming.channel_id, str(incoming.payload.get("message_ts") or ""))
    if verdict not in {"good", "bad"} or not _stored(bot, job, place, answer_id, helpful=verdict == "good"):
        tell(bot, incoming, words.not_here)
        return
    if verdict == "bad" and job.attempts == 1:  # later its trigger_id is not good any more
        metadata = json.dumps([*place, answer_id])
        form = feedback_form(words, metadata)
        try:
            bot.slack.call("views.open", trigger_id=incoming.payload["trigger_id"], view=form)
        except SlackError as exc:
            log.warning("No reason could be asked for.", action="slack_no_form", code=exc.code)
    tell(bot, incoming, words.thanks)


def give_reason(bot: Bot, job: Job) -> None:
    """Store the reason and the comment that somebody filled in, in place of the mere click."""
    payload = job.incoming.payload
    try:
        channel_id, ts, answer_id = (str(each) for each in json.loads(payload["private_metadata"]))
    except (TypeError, ValueError):
        channel_id = ts = answer_id = ""
    person = who.sender(bot, job.incoming)
    words = people_words(person.language)
    reason = filled_in(payload["values"], "reason")
    comment = filled_in(payload["values"], "comment")[: history.COMMENT_CHARS]
    known = reason if reason in words.reasons else None
    if not _stored(bot, job, (channel_id, ts), answer_id, helpful=False, reason=known, comment=comment or None):
        tell(bot, job.incoming, words.not_here)


def _stored(
    bot: Bot,
    job: Job,
    place: tuple[str, str],
    answer_id: str,
    *,
    helpful: bool,
    reason: str | None = None,
    comment: str | None = None,
) -> bool:
    """Return whether the judgement was stored: the answer is posted in that place, where the user sees it."""
    incoming = job.incoming
    person = who.sender(bot, incoming)
    with bot.parts.catalog.transaction() as session:
        post = store_posts.seen_post(session, incoming.team_id, place, answer_id, incoming.user_id)
        if post is None:
            return False
        by = recorded_as(session, person)
        history.judge(session, by, post.answer_id, helpful=helpful, reason=reason, comment=comment)
        audit.record(session, by, "answer.judge", post.answer_id)
    return True


ACTIONS = {"feedback": judge}
VIEWS = {"feedback": give_reason}
