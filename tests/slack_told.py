"""A Slack that says of users and channels what a test tells it to, and a bot that asks it: no socket, no wait."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import update

from app.errors import SlackError
from app.metrics import Metrics
from app.slack import store_people
from app.slack.bot import Bot
from app.tables_slack import SlackUserRow
from tests.slacks import BOT, TEAM, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.parts import Parts

OTHER_TEAM = "T0002"


@dataclass(eq=False)
class Told:
    """What Slack would say. ``refuses``: method → the code that it answers; ``asked``: the calls, in order."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    meanwhile: Any = None  # called while users.info is asked

    def user(self, user_id: str, email: str | None = None, **changed: Any) -> str:
        """Say that this is a full member, but for what is *changed*; None: Slack does not say it."""
        said = {
            "id": user_id,
            "team_id": TEAM,
            "deleted": False,
            "is_restricted": False,
            "is_ultra_restricted": False,
            "is_bot": False,
            "is_email_confirmed": True,
            "locale": "en-US",
            "profile": {"display_name": user_id.lower()} | ({} if email is None else {"email": email}),
        } | changed
        self.users[user_id] = {name: value for name, value in said.items() if value is not None}
        return user_id

    def channel(self, channel_id: str, members: list[str], **flags: Any) -> str:
        kinds = {"is_channel": True, "is_private": False, "is_im": False, "is_mpim": False, "is_shared": False}
        self.channels[channel_id] = {"id": channel_id} | kinds | flags
        self.members[channel_id] = [*members, BOT]
        return channel_id

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        name = str(arguments.get("user") or arguments.get("channel"))
        self.asked.append((method, name))
        if method in self.refuses:
            raise SlackError("Refused.", code=self.refuses[method])
        if method == "users.info":
            if name not in self.users:
                raise SlackError("Nobody.", code="user_not_found")
            said = dict(self.users[name])
            if self.meanwhile is not None:
                self.meanwhile()
            return {"user": said}
        if name not in self.channels:
            raise SlackError("No channel.", code="channel_not_found")
        return {"channel": dict(self.channels[name])}

    def pages(self, method: str, _key: str, **arguments: Any) -> Iterator[Any]:
        self.asked.append((method, arguments["channel"]))
        if method in self.refuses:
            raise SlackError("Refused.", code=self.refuses[method])
        if arguments["channel"] not in self.members:
            raise SlackError("No members.", code="fetch_members_failed")
        yield from self.members[arguments["channel"]]


def bot_of(parts: Any, told: Any, **fields: Any) -> Bot:
    """Return the bot of a workspace whose Slack says what it is told."""
    return Bot(cast("Parts", parts), Metrics(), workspace(**fields), told)


def changed(bot: Bot, **fields: Any) -> Bot:
    """Return the bot of the workspace as an administrator has changed it."""
    return replace(bot, workspace=replace(bot.workspace, **fields))


def later(bot: Bot, minutes: float) -> None:
    """Let so much time go by for what Slack said of users."""
    with bot.parts.catalog.transaction() as session:
        for each in store_people.people(session):
            of = (SlackUserRow.team_id == each.team_id) & (SlackUserRow.user_id == each.user_id)
            earlier = each.checked_at - timedelta(minutes=minutes)
            session.execute(update(SlackUserRow).where(of).values(checked_at=earlier))
