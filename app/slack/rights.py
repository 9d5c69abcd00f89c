"""Whose rights an answer has: those of who asked, or of everybody who gets to see it.

An answer that only the asker sees is made from what they may read. One that a channel sees is made from what each of
its members may read, when all of them are known here, and else from what everyone may. It never holds more than the
asker may read. Where a channel reaches other organisations, everybody in it is an outsider.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog

from app.errors import SlackError
from app.slack.records import Visibility
from app.slack.who import principals_of
from app.specialists import Asker
from indexing.access import authorise
from indexing.principals import principal_named
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.slack.bot import Bot
    from app.slack.client import Slack
    from app.slack.records import Person, Place
    from indexing.documents import Scope

log = structlog.get_logger(__name__)

#: Seconds for which an audience is remembered.
REMEMBERED_S = 60.0
#: Members of a private channel whose rights are looked up; of more only what everyone may read is used.
MOST_MEMBERS = 200
_REMEMBERED_MOST = 1000
#: What says that a channel reaches other organisations or workspaces, or is about to.
_SHARED = (
    "is_shared",
    "is_ext_shared",
    "is_org_shared",
    "is_pending_ext_shared",
    "pending_shared",
    "pending_connected_team_ids",
)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets to see what is posted in a channel."""

    kind: str  # public | private | direct
    shared: bool = False
    #: Users, the bot itself left out. None: everybody of the workspace, too many, or Slack does not say.
    members: frozenset[str] | None = None


class _Audiences:
    """The audiences of one workspace's channels, each for REMEMBERED_S seconds. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Audience]] = {}
        self._forgotten = 0

    def get(self, bot: Bot, channel_id: str, now: float) -> Audience | None:
        with self._lock:
            at, known = self._known.get(channel_id, (0.0, None))
            if known is not None and now - at < REMEMBERED_S:
                return known
            forgotten = self._forgotten
        found = _asked(bot, channel_id)
        with self._lock:
            if found is None:
                self._known.pop(channel_id, None)
            elif forgotten == self._forgotten:  # else it may have changed since Slack was asked
                if len(self._known) >= _REMEMBERED_MOST:
                    self._known.clear()
                self._known[channel_id] = (now, found)
        return found

    def forget(self, channel_id: str) -> None:
        with self._lock:
            self._forgotten += 1
            self._known.pop(channel_id, None)


_audiences: WeakKeyDictionary[Slack, _Audiences] = WeakKeyDictionary()
_audiences_lock = threading.Lock()


def _of(bot: Bot) -> _Audiences:
    with _audiences_lock:
        return _audiences.setdefault(bot.slack, _Audiences())


def audience(bot: Bot, channel_id: str, now: float | None = None) -> Audience | None:
    """Return who sees what is posted in the channel, as of the last minute; None when Slack does not say."""
    return _of(bot).get(bot, channel_id, time.monotonic() if now is None else now)


def forget_channel(bot: Bot, channel_id: str) -> None:
    """Ask Slack anew before the next answer: somebody came or left, or the channel changed."""
    _of(bot).forget(channel_id)


def _asked(bot: Bot, channel_id: str) -> Audience | None:
    try:
        answer = bot.slack.call("conversations.info", channel=channel_id)
        channel = answer.get("channel") or {}
        kind, shared = _kind(channel), _is_shared(channel, bot.workspace.team_id)
    except SlackError as exc:
        _say(bot, channel_id, "slack_channel_unknown", exc)
        return None
    if kind == "direct":
        return Audience(kind, shared, frozenset({str(channel.get("user"))}))
    if kind == "public" or shared:
        return Audience(kind, shared)
    try:
        members = _members(bot, channel_id)
    except SlackError as exc:
        _say(bot, channel_id, "slack_members_unknown", exc)
        members = None
    return Audience(kind, shared, members)


def _say(bot: Bot, channel_id: str, action: str, exc: SlackError) -> None:
    team = bot.workspace.team_id
    log.warning("Slack does not say who is in a channel.", action=action, team=team, channel=channel_id, code=exc.code)


def _kind(channel: Mapping[str, Any]) -> str:
    """Return what kind of channel Slack describes. Raises SlackError when it does not say: then it is none we know."""
    if channel.get("is_im"):
        return "direct"
    if channel.get("is_mpim") or channel.get("is_group") or channel.get("is_private"):
        return "private"
    if channel.get("is_channel"):
        return "public"
    raise SlackError("Slack describes a channel of no known kind.", code="no_kind")


def _is_shared(channel: Mapping[str, Any], team_id: str) -> bool:
    connected = {*(channel.get("connected_team_ids") or ()), *(channel.get("shared_team_ids") or ())}
    return any(channel.get(name) for name in _SHARED) or bool(connected - {team_id})


def _members(bot: Bot, channel_id: str) -> frozenset[str] | None:
    """Return who is in the channel; None when they are too many. Raises SlackError."""
    found: set[str] = set()
    for user_id in bot.slack.pages("conversations.members", "members", channel=channel_id, limit=MOST_MEMBERS):
        if user_id != bot.workspace.bot_user_id:
            found.add(str(user_id))
        if len(found) > MOST_MEMBERS:
            return None
    return frozenset(found)


def scope_for(bot: Bot, person: Person, place: Place, visibility: Visibility, channel_type: str) -> Scope | None:
    """Return what an answer to the person may be made from, posted there for those to see; None: there is no answer.

    Nothing is answered where nobody knows who would see it.
    """
    if person.outsider:
        return _outsiders(bot)
    direct = place.channel_id.startswith("D") and channel_type in ("", "im")
    if direct and visibility is not Visibility.CHANNEL:
        return _own(bot, person)
    seen_by = audience(bot, place.channel_id)
    if visibility is Visibility.EPHEMERAL:  # only the asker sees it, also where the bot is not
        return _outsiders(bot) if seen_by is not None and seen_by.shared else _own(bot, person)
    return None if seen_by is None else _shared_scope(bot, person, seen_by)


def _shared_scope(bot: Bot, person: Person, seen_by: Audience) -> Scope | None:
    """Return what the asker and all who see it may read; what everyone may, unless all of them are known here."""
    if seen_by.shared:
        return _outsiders(bot)
    if seen_by.kind == "direct":  # the bot's own with the asker; in that of two others everybody is an outsider
        return _own(bot, person) if seen_by.members == frozenset((person.user_id,)) else _outsiders(bot)
    members = seen_by.members or frozenset()
    all_of_them = None
    if person.principal_id is not None and person.user_id in members:
        all_of_them = principals_of(bot, members)
    if person.principal_id is None or all_of_them is None or person.principal_id not in all_of_them:
        return _public(bot, person)
    if len(all_of_them) == 1:  # what one person alone may read is for no channel: others may join and read it later
        return _public(bot, person)
    with bot.parts.catalog.reading() as session:
        return authorise(session, person.principal_id, together=all_of_them)


def _own(bot: Bot, person: Person) -> Scope:
    """Return what the person may read; what everyone may, of who is not linked."""
    if person.principal_id is None:
        return _public(bot, person)
    with bot.parts.catalog.reading() as session:
        return authorise(session, person.principal_id)


def _public(bot: Bot, person: Person | None) -> Scope:
    """Return what everyone may read, in the name of the person, or of everyone."""
    with bot.parts.catalog.reading() as session:
        if person is not None and person.principal_id is not None:
            return authorise(session, person.principal_id, only_public=True)
        everyone = principal_named(session, EVERYONE)
        return authorise(session, 0 if everyone is None else everyone.id, only_public=True)


def _outsiders(bot: Bot) -> Scope | None:
    """Return what outsiders get: what everyone may read, if the workspace's administrator said so, and else nothing."""
    return _public(bot, None) if bot.workspace.outsiders == "public" else None


def specialist_asker(_bot: Bot, person: Person, scope: Scope) -> Asker:
    """Return the person as specialists see them: an operator asks any of them, but not where others see the answer."""
    own = scope.principal_id == person.principal_id and not scope.is_shared
    return Asker(scope, every=person.admin and own)
