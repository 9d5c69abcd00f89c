"""The words of the Slack bot: frozen records that its modules hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Visibility(StrEnum):
    """Who gets to see what is posted. Every delivery says so; there is no default."""

    CHANNEL = "channel"  # everyone in the channel, and whoever joins it later
    DIRECT = "direct"  # who asked, in a direct message
    EPHEMERAL = "ephemeral"  # who asked, in a channel; gone when they reload


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace that the bot is installed in. Secrets are told by name (``indexing.secrets``)."""

    team_id: str
    name: str
    app_id: str
    bot_user_id: str
    api_url: str
    transport: str  # socket | http
    bot_secret: str
    app_secret: str | None
    signing_secret: str | None
    domains: tuple[str, ...]
    outsiders: str  # nothing | public
    heard_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One thing that somebody did in Slack, whichever way and however often Slack tells of it."""

    team_id: str  # the workspace that the bot is installed in
    #: direct | mention | message | command | action | view | shortcut | home | member | user
    kind: str
    meaning: str  # equal for all that say the same: an app_mention and the message it is in
    channel_id: str = ""
    channel_type: str = ""  # channel | group | im | mpim; "" when Slack does not say
    user_id: str = ""
    user_team_id: str = ""  # of the user: another one than team_id in a shared channel
    ts: str = ""
    thread_ts: str = ""  # "" outside of a thread
    text: str = ""  # without the mention of the bot
    payload: Mapping[str, Any] = field(default_factory=dict)  # what else the kind needs, as Slack sent it
    event_id: str = ""  # of the delivery; "" where Slack gives none

    @property
    def lane(self) -> str:
        """Which workers do it: those that answer, or those that must be quick (a trigger_id lives for 3 s)."""
        asks = self.kind == "command" and not self.payload.get("word")
        return "answer" if asks or self.kind in {"direct", "mention", "message"} else "quick"

    @property
    def place(self) -> Place:
        """Where it was done, for who did it."""
        return Place(self.channel_id, self.user_id, self.user_team_id, self.thread_ts)

    @property
    def response_url(self) -> str:
        """Slack's address for what only they see; "" where there is none."""
        return str(self.payload.get("response_url") or "")


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted Incoming that the caller has claimed, and has to finish, give back or lose."""

    id: int
    incoming: Incoming
    claim: str  # without it nothing may be written: another process has the job now
    attempts: int  # this one included
    message_ts: str | None  # of the message that an earlier attempt began


@dataclass(frozen=True, slots=True)
class Place:
    """Where to post, and for whom."""

    channel_id: str
    user_id: str
    user_team_id: str
    thread_ts: str = ""
    response_url: str = ""  # of a command or an action: the way to an ephemeral message that may be replaced
    question_ts: str = ""  # the message that is answered: gets the mark that says so, and the answer refers to it


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: blocks, and the text that notifications show."""

    text: str
    blocks: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """An answer that was posted."""

    team_id: str
    channel_id: str
    ts: str
    thread_ts: str
    visibility: Visibility
    user_id: str
    answer_id: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How the bot behaves in a channel."""

    answers: str = "mention"  # off | mention | questions | all
    unknown: str = "say"  # say | silent: what it does when it does not know
    specialist: str | None = None
    sources: tuple[str, ...] = ()  # names; empty: all
    recall: bool = False  # post a correction when a quoted document changes
    editors: str = "admins"  # admins | members


def language_of(locale: str) -> str:
    """Return the language to speak with somebody whose Slack has this locale: fr for French ones, en for the rest."""
    return "fr" if locale.lower().startswith("fr") else "en"


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something in Slack, as Slack and we know them now."""

    team_id: str  # their own
    user_id: str
    principal_id: int | None  # None: anonymous
    outsider: bool  # a guest, or of another organisation
    admin: bool  # a principal that may operate
    language: str  # en | fr
