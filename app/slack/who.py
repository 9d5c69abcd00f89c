"""Whose rights somebody in Slack has: what Slack says of them, believed for an hour, and the principal that they are.

Whatever is not known for certain counts against them: who Slack does not tell of is an outsider without a principal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from app.auth import ROLES
from app.errors import SlackError
from app.slack import store_people
from app.slack.records import Person, language_of
from app.slack.store_people import DOMAIN, Known, Profile
from indexing.principals import principals_with_ids
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from app.slack.bot import Bot
    from app.slack.client import Slack
    from app.slack.records import Incoming, Workspace
    from indexing.principals import PrincipalRecord

log = structlog.get_logger(__name__)

#: Slack's own bot, which is no user but is told of as one.
SLACKBOT = "USLACKBOT"
#: Codes by which Slack says that the user is not there, or not for this workspace.
_NOT_THERE = {"user_not_found", "user_not_visible"}
#: Flags of a user who is no full member of the workspace, or nobody at all.
_NO_MEMBER = ("is_restricted", "is_ultra_restricted", "is_stranger", "is_bot", "is_workflow_bot", "is_invited_user")
#: Times that a profile is asked for while events say that it changes.
_TRIES = 3
#: How long before its hour is over a profile is asked for again, and how many at a time (Slack allows 100 a minute).
_AHEAD, _REFRESHED = timedelta(minutes=10), 20


def person(bot: Bot, user_id: str, user_team_id: str = "") -> Person:
    """Return who the user is. *user_team_id* is what the event said; "" where it said nothing.

    An outsider without a principal: whoever is of another team, a guest, a bot, deleted, or suspended here; and
    everybody of whom Slack said nothing for an hour.
    """
    ours = bot.workspace.team_id
    if user_team_id not in ("", ours):
        return Person(user_team_id, user_id, None, outsider=True, admin=False, language="en")
    kept = _believed(bot, user_id)
    if kept is None:
        return Person(ours, user_id, None, outsider=True, admin=False, language="en")
    return _people(bot, [kept])[0]


def sender(bot: Bot, incoming: Incoming) -> Person:
    """Return who did what came in."""
    return person(bot, incoming.user_id, incoming.user_team_id)


def _people(bot: Bot, kept: Sequence[Known]) -> list[Person]:
    """Return the persons of kept users, as their principals are now."""
    ids = {each.linked_id for each in kept if each.linked_id is not None}
    with bot.parts.catalog.reading() as session:
        linked = principals_with_ids(session, ids)
    return [_person(each, linked.get(each.linked_id or 0), bot.workspace) for each in kept]


def _person(kept: Known, linked: PrincipalRecord | None, workspace: Workspace) -> Person:
    """Return the person of a kept user who is linked to that principal."""
    suspended = linked is not None and (linked.state != "active" or linked.kind != "user")
    if kept.how == DOMAIN and not owned(kept.email, workspace.domains):
        linked, suspended = None, False
    counts = linked is not None and not suspended
    return Person(
        team_id=kept.team_id,
        user_id=kept.user_id,
        principal_id=linked.id if linked is not None and counts else None,
        outsider=not kept.member or kept.deleted or suspended,
        admin=linked is not None and counts and "operate" in ROLES[linked.role],
        language=language_of(kept.locale),
    )


def principals_of(bot: Bot, user_ids: Collection[str]) -> frozenset[int] | None:
    """Return the principals of these users; None when one of them is no full member who is linked to an active one.

    Who is known to be none is found without a question to Slack.
    """
    with bot.parts.catalog.reading() as session:
        kept = store_people.known_of(session, bot.workspace.team_id, user_ids)
    if any(each.is_believed and each.linked_id is None for each in kept.values()):
        return None
    found = {user_id: each for user_id, each in kept.items() if each.is_believed}
    for user_id in sorted(set(user_ids) - found.keys()):
        asked = _believed(bot, user_id)
        if asked is None or asked.linked_id is None:
            return None
        found[user_id] = asked
    people = _people(bot, list(found.values()))
    known = [each.principal_id for each in people if not each.outsider and each.principal_id is not None]
    return frozenset(known) if len(known) == len(people) else None


def refresh(bot: Bot) -> None:
    """Ask Slack anew who people are of whom it will soon be believed no longer, so that no question waits for that.

    Some at a time, and only those who are linked. What Slack does not say stays believed until its hour is over.
    """
    since = utc_now() - store_people.BELIEVED
    with bot.parts.catalog.reading() as session:
        fading = store_people.checked_between(session, bot.workspace.team_id, since, since + _AHEAD, _REFRESHED)
    for each in fading:
        _asked_anew(bot, each.user_id, each.checked_at)


def _believed(bot: Bot, user_id: str) -> Known | None:
    """Return the user as Slack told of them within the hour; None when it does not."""
    for _ in range(_TRIES):
        with bot.parts.catalog.reading() as session:
            kept = store_people.known(session, bot.workspace.team_id, user_id)
        if kept is not None and kept.is_believed:
            return kept
        try:
            kept = _asked_anew(bot, user_id, None if kept is None else kept.checked_at)
        except SlackError as exc:
            log.warning(
                "Slack does not say who a user is, who is nobody until it does.",
                action="slack_user_unknown",
                team=bot.workspace.team_id,
                user=user_id,
                code=exc.code,
            )
            return None
        if kept is not None:
            return kept
    return None


def _asked_anew(bot: Bot, user_id: str, before: datetime | None) -> Known | None:
    """Return the user as Slack tells of them now; None when what is kept is no longer of the moment *before*.

    Raises SlackError when it says nothing.
    """
    asked_at = utc_now()
    told = profile(bot.slack, bot.workspace, user_id)
    with bot.parts.catalog.transaction() as session:
        return store_people.keep(session, told, asked_at, before)


def profile(slack: Slack, workspace: Workspace, user_id: str) -> Profile:
    """Return what Slack says of the user now. Raises SlackError when it says nothing."""
    try:
        answer = slack.call("users.info", user=user_id, include_locale=True)
    except SlackError as exc:
        if exc.code not in _NOT_THERE:
            raise
        return Profile(workspace.team_id, user_id, member=False, deleted=True, locale="", email=None)
    user = answer.get("user")
    if not isinstance(user, Mapping) or user.get("id") != user_id:
        raise SlackError("Slack told of another user than the one who was asked for.", code="no_user")
    shown = _mapping(user.get("profile"))
    deleted = user.get("deleted") is not False
    member = not deleted and _is_member(user, workspace.team_id)
    email = shown.get("email")
    confirmed = member and user.get("is_email_confirmed") is True and isinstance(email, str)
    return Profile(
        team_id=workspace.team_id,
        user_id=user_id,
        member=member,
        deleted=deleted,
        locale=str(user.get("locale") or "")[:16],
        email=email if confirmed and owned(email, workspace.domains) else None,
        name=str(shown.get("display_name") or shown.get("real_name") or user.get("real_name") or user_id)[:200],
    )


def _is_member(user: Mapping[str, Any], team_id: str) -> bool:
    """Return whether Slack says in so many words that this is a full member of the workspace.

    In an Enterprise Grid it names the workspaces of an organisation's user beside the one that they are at home in.
    """
    workspaces = _mapping(user.get("enterprise_user")).get("teams") or ()
    of_us = user.get("team_id") == team_id or team_id in workspaces
    said = all(user.get(name) is False for name in ("is_restricted", "is_ultra_restricted"))
    return of_us and said and user.get("id") != SLACKBOT and not any(user.get(name) for name in _NO_MEMBER)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def owned(email: str | None, domains: Collection[str]) -> bool:
    """Return whether the address is of exactly one of the domains: not of one below it, nor of one that ends like it.

    Only ASCII: letters that look like others are other letters.
    """
    name, _, domain = (email or "").rpartition("@")
    plain = bool(name and domain) and "@" not in name and (email or "").isascii()
    return plain and domain.lower() in {each.lower() for each in domains}
