"""Says something to one person: where they clicked, for them alone, or in a direct message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import SlackError
from app.slack import deliver
from app.slack.blocks_people import plain
from app.slack.records import Place, Visibility

if TYPE_CHECKING:
    from app.slack.bot import Bot
    from app.slack.records import Incoming, Message


def tell(bot: Bot, incoming: Incoming, text: str | Message) -> None:
    """Tell who clicked, for them alone, beside what they clicked on; a text is ours, and may hold mentions.

    Who filled in a form is told in a direct message: a form is nowhere. Raises SlackError.
    """
    message = plain(text) if isinstance(text, str) else text
    if not incoming.channel_id:
        direct(bot, incoming.user_id, message)
        return
    place = incoming.place
    try:
        deliver.deliver(bot, place, message, Visibility.EPHEMERAL)
    except SlackError as exc:  # who is not in a public channel can press its buttons all the same
        if exc.code != "user_not_in_channel":
            raise
        direct(bot, incoming.user_id, message)


def direct(bot: Bot, user_id: str, message: Message, thread_ts: str = "") -> None:
    """Send *message* to a member of the workspace in a direct message. Raises SlackError."""
    opened = bot.slack.call("conversations.open", users=user_id)
    place = Place(opened["channel"]["id"], user_id, bot.workspace.team_id, thread_ts)
    deliver.deliver(bot, place, message, Visibility.DIRECT)
