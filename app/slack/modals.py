"""Opening a modal in time: Slack takes one within three seconds of the click, so an empty one opens first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.errors import SlackError
from app.slack import deliver
from app.slack.aside import direct
from app.slack.blocks_channel import told, waiting_view
from app.slack.records import Visibility
from app.slack.who import sender
from app.slack.wording_channel import channel_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.slack.blocks_channel import View
    from app.slack.bot import Bot
    from app.slack.records import Incoming, Message, Person, Place

#: What Slack calls a trigger that is too old, or that an earlier attempt has used.
_TRIGGER_GONE = frozenset({"expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id", "trigger_expired"})
#: What Slack says where the bot, or whom it wants to tell something, is no member of the channel.
_NOT_THERE = frozenset({"channel_not_found", "not_in_channel", "user_not_in_channel"})


def show(bot: Bot, incoming: Incoming, made: Callable[[Person], View]) -> None:
    """Open a modal for who clicked, and put into it what *made* returns for them.

    Where it is too late for a modal, they are told to try again. Raises SlackError for whatever else Slack refuses.
    """
    try:
        trigger = incoming.payload.get("trigger_id")
        opened = bot.slack.call("views.open", trigger_id=trigger, view=waiting_view())
    except SlackError as exc:
        if exc.code not in _TRIGGER_GONE:
            raise
        place = replace(incoming.place, response_url=incoming.response_url)
        whisper(bot, place, told(channel_words(sender(bot, incoming).language).too_late))
        return
    who = sender(bot, incoming)
    bot.slack.call("views.update", view_id=opened["view"]["id"], view=made(who))


def whisper(bot: Bot, place: Place, message: Message) -> None:
    """Tell one person alone: there, or in a direct message where one of the two is no member. Raises SlackError."""
    if place.channel_id.startswith("D"):
        deliver.deliver(bot, place, message, Visibility.DIRECT)
        return
    try:
        deliver.deliver(bot, place, message, Visibility.EPHEMERAL)
    except SlackError as exc:
        if exc.code not in _NOT_THERE:
            raise
        direct(bot, place.user_id, message)
