"""``/ask settings``: the form in which people say how the bot behaves in their channel, and what they may say there.

Operators may, linked administrators of the workspace, and where the policy lets them the channel's full members who are
linked. That is checked when the form opens and again when it comes back. What somebody may not read they neither see
nor change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from app import audit, specialists
from app.errors import BadRequest, SlackError
from app.slack import blocks_channel, deliver, modals, store_channels, store_files
from app.slack.blocks_channel import KEPT, MOST_OPTIONS, Choices, chosen_of
from app.slack.records import Place, Policy, Visibility
from app.slack.who import sender
from app.slack.wording_channel import channel_words
from app.specialists import DEFAULT_NAME, Asker
from indexing import store
from indexing.access import authorise
from indexing.principals import principal_with_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sqlalchemy.orm import Session

    from app.slack.blocks_channel import View
    from app.slack.bot import Bot
    from app.slack.records import Job, Person

log = structlog.get_logger(__name__)


class NotTheirs(BadRequest):
    """A choice that was not offered, or is not there any more."""


def settings(bot: Bot, job: Job) -> None:
    """Open the form for the channel in which it was asked for, or say why there is none."""
    channel_id = job.incoming.channel_id

    def made(who: Person) -> View:
        w = channel_words(who.language)
        if not channel_id or channel_id.startswith("D"):
            return blocks_channel.refusal_view(w.not_here, who.language)
        with bot.parts.catalog.reading() as session:
            now = store_channels.policy(session, bot.workspace.team_id, channel_id)
        if not may_change(bot, who, channel_id, now):
            return blocks_channel.refusal_view(_refusal(now, who), who.language)
        with bot.parts.catalog.reading() as session:
            choices = choices_of(session, who, now)
        return blocks_channel.settings_view(channel_id, now, choices, who.language)

    modals.show(bot, job.incoming, made)


def save(bot: Bot, job: Job) -> None:
    """Store what the form says, tell the channel, and record who did it; or tell its sender why not."""
    incoming = job.incoming
    who = sender(bot, incoming)
    w = channel_words(who.language)
    channel_id = str(incoming.payload.get("private_metadata") or "")
    place = Place(channel_id, incoming.user_id, incoming.user_team_id)
    with bot.parts.catalog.reading() as session:
        before = store_channels.policy(session, bot.workspace.team_id, channel_id)
    if not may_change(bot, who, channel_id, before):
        modals.whisper(bot, place, blocks_channel.told(_refusal(before, who)))
        return
    try:
        stored = _stored(bot, who, channel_id, incoming.payload.get("values") or {})
    except NotTheirs:
        modals.whisper(bot, place, blocks_channel.told(w.not_saved.format(why=w.choice_gone)))
        return
    if stored is None:
        modals.whisper(bot, place, blocks_channel.told(w.unchanged))
        return
    try:
        message = blocks_channel.changed_message(incoming.user_id, stored, who.language)
        deliver.deliver(bot, place, message, Visibility.CHANNEL)
    except SlackError as exc:  # the bot need not be a member of the channel; the policy holds all the same
        log.warning("A channel was not told of its policy.", action="slack_policy_untold", code=exc.code)


def _stored(bot: Bot, who: Person, channel_id: str, values: Mapping[str, Any]) -> Policy | None:
    """Store the policy and return it; None when it is as it was. Raises NotTheirs for what cannot be chosen."""
    team_id = bot.workspace.team_id
    with bot.parts.catalog.transaction() as session:
        now = store_channels.policy(session, team_id, channel_id)
        wanted = wanted_of(values, now, choices_of(session, who, now))
        if wanted == now:
            return None
        store_channels.set_policy(session, team_id, channel_id, wanted, who.user_id)
        audit.record(session, who.principal_id, "slack_channel.change", channel_id)
    return wanted


def wanted_of(values: Mapping[str, Any], now: Policy, choices: Choices) -> Policy:
    """Return the policy that the form says. Raises NotTheirs for a choice that is not among *choices*.

    What was not offered stays as it is: sources that the sender may not read, and the specialist that they may not ask.
    """
    answers, unknown, editors = (_one(values, name) for name in ("answers", "unknown", "editors"))
    specialist: str | None = _one(values, "specialist")
    if specialist == KEPT and choices.hidden_specialist:
        specialist = now.specialist
    elif specialist and specialist not in choices.specialists:
        raise NotTheirs
    chosen = chosen_of(values, "sources")
    if not set(chosen) <= set(choices.sources):
        raise NotTheirs
    kept = [name for name in now.sources if name not in choices.sources]
    wanted = Policy(
        answers=answers,
        unknown=unknown,
        specialist=specialist or None,
        sources=tuple(sorted({*chosen, *kept})),
        recall=bool(chosen_of(values, "recall")),
        editors=editors,
    )
    return replace(wanted, sources=now.sources) if set(wanted.sources) == set(now.sources) else wanted


def _one(values: Mapping[str, Any], name: str) -> str:
    found = chosen_of(values, name)
    if not found:
        raise NotTheirs
    return found[0]


def choices_of(session: Session, who: Person, now: Policy) -> Choices:
    """Return what this person may choose from: what they may ask and read, the sources of now first."""
    scope = authorise(session, who.principal_id or 0)
    asker = Asker(scope, every=who.admin)
    names = [each.name for each in specialists.specialists(session, asker) if each.name != DEFAULT_NAME]
    readable = sorted(store.visible_sources(session, scope), key=lambda s: (s.name not in now.sources, s.name))
    listed = [source.name for source in readable if source.options != store_files.OPTIONS]
    return Choices(
        specialists=names[: MOST_OPTIONS - 2],
        sources=listed[:MOST_OPTIONS],
        hidden_specialist=now.specialist is not None and now.specialist not in names[: MOST_OPTIONS - 2],
        more_sources=len(listed) > MOST_OPTIONS,
    )


# --- who may --------------------------------------------------------------------------------------------------


def may_change(bot: Bot, who: Person, channel_id: str, now: Policy) -> bool:
    """Return whether this person may change the channel's policy. Raises SlackError when Slack does not tell."""
    if who.principal_id is None or who.outsider or not _is_active(bot, who.principal_id):
        return False
    if who.admin:
        return True
    if now.editors == "members" and _is_member(bot, who.user_id, channel_id):
        return True
    return _administers(bot, who.user_id)


def _is_active(bot: Bot, principal_id: int) -> bool:
    with bot.parts.catalog.reading() as session:
        found = principal_with_id(session, principal_id)
    return found is not None and found.state == "active"


def _is_member(bot: Bot, user_id: str, channel_id: str) -> bool:
    return any(user_id == each for each in bot.slack.pages("conversations.members", "members", channel=channel_id))


def _administers(bot: Bot, user_id: str) -> bool:
    found = bot.slack.call("users.info", user=user_id).get("user") or {}
    return any(found.get(name) is True for name in ("is_admin", "is_owner", "is_primary_owner"))


def _refusal(now: Policy, who: Person) -> str:
    w = channel_words(who.language)
    return w.members_only if now.editors == "members" else w.admins_only


COMMANDS: dict[str, Callable[[Bot, Job], None]] = {"settings": settings}
VIEWS: dict[str, Callable[[Bot, Job], None]] = {"policy": save}
