"""Posts what notifications tell of trouble into a channel of Slack: one message for all of it (``app.digest``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import digest
from app.errors import SlackError
from app.metrics import Metrics
from app.slack import deliver, store_workspaces
from app.slack.blocks_parts import context, packed
from app.slack.bot import Bot
from app.slack.client import client_of
from app.slack.escape import line
from app.slack.records import Message, Place, Visibility

if TYPE_CHECKING:
    from app.parts import Parts
    from app.slack.records import Workspace
    from indexing import targets

LINE_CHARS = 400


def post_digest(parts: Parts, told: targets.Message) -> None:
    """Post the message into the channel that its target names.

    Raises SlackError when the workspace is not connected, the bot is not in the channel, or Slack does not take it;
    SourceError when the workspace's token is not there.
    """
    wanted = told.target.wanted
    workspace = _workspace(parts, wanted.server)
    slack = client_of(parts.settings, workspace)
    try:
        channel = slack.call("conversations.info", channel=wanted.address).get("channel") or {}
    except SlackError as exc:
        if exc.code != "channel_not_found":
            raise
        channel = {}
    if not channel.get("is_member"):
        remedy = "Write /invite @… with its name there; private channels are not seen otherwise."
        raise SlackError(f"The bot is not in the channel {wanted.address}.", remedy=remedy, code="not_in_channel")
    bot = Bot(parts, Metrics(), workspace, slack)
    place = Place(wanted.address, "", workspace.team_id)
    deliver.deliver(bot, place, digest_message(told, parts.settings.public_url), Visibility.CHANNEL)


def digest_message(message: targets.Message, public_url: str | None) -> Message:
    """Return what is posted: names of sources are escaped, and links lead to this program alone."""
    told = digest.told_of(message, public_url)
    lines = [f"• {line(each, LINE_CHARS)}" + (f" <{link}|→>" if link else "") for each, link in told.lines]
    return Message(told.subject, [*packed([f"*{line(told.subject)}*", *lines]), context(line(told.why))])


def _workspace(parts: Parts, team_id: str | None) -> Workspace:
    with parts.catalog.reading() as session:
        found = store_workspaces.workspaces(session)
    chosen = [each for each in found if team_id in (None, each.team_id)]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise SlackError("The workspace of Slack is not connected.", remedy="Run `metier slack connect`.")
    remedy = "Remove the target, and add it with --server and the workspace's id (`metier slack status`)."
    raise SlackError("Several workspaces of Slack are connected.", remedy=remedy)
