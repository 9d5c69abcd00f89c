"""Once a week, those who look after a specialist are told which questions it did not answer well.

Texts and counts, never who asked. However many servers look, each digest is sent by one of them: it is taken before it
is sent. Only when Slack takes none of its messages it is given back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from app.errors import SlackError
from app.slack import store_told, store_weekly
from app.slack.aside import direct
from app.slack.blocks_people import weekly_message
from app.slack.store_owners import owners
from app.slack.wording_people import people_words
from app.terms import content_terms
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.slack.bot import Bot
    from app.slack.store_owners import Owner

log = structlog.get_logger(__name__)

#: What the digests' keys begin with.
BEGINS = "weekly:"
#: Monday, 09:00 UTC.
WEEKDAY = 0
HOUR = 9
WEEK = timedelta(days=7)
MOST_QUESTIONS = 20
MOST_TOLD = 20


def tell(bot: Bot, now: datetime | None = None) -> None:
    """Send the digests of the last week, those that nobody has sent yet; one with nothing to tell is not sent."""
    until = last_moment(now or utc_now())
    team_id = bot.workspace.team_id
    begins = f"{BEGINS}{team_id}:{until:%G-W%V}"
    with bot.parts.catalog.reading() as session:
        if store_told.was_told(session, begins):
            return
        names = store_weekly.names(session)
    each = {name: f"{begins}:{name}" for name in names}
    for name, what in each.items():
        _tell_one(bot, name, what, until)
    with bot.parts.catalog.transaction() as session:
        if all(store_told.was_told(session, what) for what in each.values()):
            store_told.take(session, begins)  # from now on a look costs one row
            store_told.forget(session, BEGINS, until - 10 * WEEK)


def last_moment(now: datetime) -> datetime:
    """Return the last Monday, 09:00 UTC, at or before *now*."""
    monday = (now - timedelta(days=(now.weekday() - WEEKDAY) % 7)).replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return monday if monday <= now else monday - WEEK


def grouped(questions: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """Return the questions with how often each was asked, the most frequent first; given with their languages.

    Those with the same content words are one, told in the words in which it was asked first.
    """
    found: dict[frozenset[str] | str, tuple[str, int]] = {}
    for text, language in questions:
        key = frozenset(content_terms(text, language)) or " ".join(text.casefold().split())
        first, count = found.get(key, (text, 0))
        found[key] = (first, count + 1)
    return sorted(found.values(), key=lambda each: -each[1])


def _tell_one(bot: Bot, specialist: str, what: str, until: datetime) -> None:
    team_id = bot.workspace.team_id
    with bot.parts.catalog.transaction() as session:
        if not store_told.take(session, what):
            return
        questions = grouped(store_weekly.unanswered(session, specialist, until - WEEK, until))
        told = owners(session, team_id, specialist)[:MOST_TOLD] if questions else []
    failures = sum(not _sent(bot, owner, specialist, questions) for owner in told)
    if told and failures == len(told):
        with bot.parts.catalog.transaction() as session:
            store_told.give_back(session, what)


def _sent(bot: Bot, owner: Owner, specialist: str, questions: Sequence[tuple[str, int]]) -> bool:
    more = max(0, len(questions) - MOST_QUESTIONS)
    message = weekly_message(people_words(owner.language), specialist, questions[:MOST_QUESTIONS], more)
    try:
        direct(bot, owner.user_id, message)
    except SlackError as exc:
        log.warning("A digest was not sent.", action="slack_no_digest", user=owner.user_id, code=exc.code)
        return False
    return True
