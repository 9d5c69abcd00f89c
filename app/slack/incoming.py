"""What Slack sends → what somebody did. Pure: one body in, one Incoming out, or None when there is nothing to do.

Slack says the same thing more than once (a mention comes as ``app_mention`` and as ``message``; retries; several
sockets), and says much that nobody asked: edits, deletions, joins, what bots write, what we wrote ourselves.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from app.slack.records import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Words of ``/ask`` that are no question when they stand alone, as people write them → as the code calls them.
WORDS = {word: word for word in ("status", "why", "help", "forget", "settings", "mute", "unmute")} | {
    "statut": "status",
    "pourquoi": "why",
    "aide": "help",
    "oublier": "forget",
    "oublie": "forget",
    "réglages": "settings",
    "muet": "mute",
    "": "help",
}
#: Kinds of message that a person wrote to be read as a new one. All others are edits, joins, or of bots.
_WRITTEN = frozenset({"", "file_share", "thread_broadcast"})
#: Events that change who reads in a channel.
_OF_MEMBERS = frozenset({"member_joined_channel", "member_left_channel", "channel_shared", "channel_unshared"})
#: Of a file, what is needed to fetch it; Slack's own description has previews of its text.
_OF_FILE = ("id", "name", "title", "mimetype", "filetype", "size", "url_private_download", "url_private", "file_access")
_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|<>]*)(?:\|([^<>]*))?>")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL stores neither
_MEANING_CHARS = 255
_EVENT_ID_CHARS = 128


def read(body: Mapping[str, Any], bot_user_id: str) -> Incoming | None:
    """Return what *body* (an event, a command or an interaction, as Slack sent it) says that somebody did.

    None when nobody asks the bot for anything: it then needs no job, and is acknowledged.
    """
    kind = str(body.get("type") or ("command" if "command" in body else ""))
    reads = _READ.get(kind)
    return None if reads is None else reads(body, bot_user_id)


# --- events ---------------------------------------------------------------------------------------------------


def _event(body: Mapping[str, Any], bot_user_id: str) -> Incoming | None:
    event = _mapping(body.get("event"))
    name = str(event.get("type") or "")
    if name in ("message", "app_mention"):
        return _message(body, event, bot_user_id)
    team_id = _installed_in(body)
    if not team_id:
        return None
    if name == "user_change":
        return _changed_user(team_id, event)
    event_id = _event_id(body)
    user = _id(event.get("user"))
    if name == "app_home_opened" and user:
        return Incoming(
            team_id,
            "home",
            _meaning(team_id, "home", event_id or f"{user}:{event.get('event_ts')}"),
            channel_id=_id(event.get("channel")),
            channel_type="im",
            user_id=user,
            user_team_id=team_id,
            payload={"tab": str(event.get("tab") or "")},
            event_id=event_id,
        )
    channel = _id(event.get("channel"))
    if name not in _OF_MEMBERS or not channel:
        return None
    kind_of_channel = {"C": "channel", "G": "group"}.get(str(event.get("channel_type")), "")
    return Incoming(
        team_id,
        "member",
        _meaning(team_id, "member", f"{name}:{channel}:{user}:{event.get('event_ts') or event_id}"),
        channel_id=channel,
        channel_type=kind_of_channel,
        user_id=user,
        user_team_id=_id(event.get("team")) or team_id,
        payload={"event": name, "user": user},
        event_id=event_id,
    )


def _changed_user(team_id: str, event: Mapping[str, Any]) -> Incoming | None:
    """Who it is, and nothing that the event says of them: it may be older than what was asked for meanwhile."""
    user = _id(_mapping(event.get("user")).get("id"))
    if not user:
        return None
    return Incoming(team_id, "user", _meaning(team_id, "user", user), user_id=user, user_team_id=team_id)


def _message(body: Mapping[str, Any], event: Mapping[str, Any], bot_user_id: str) -> Incoming | None:
    team_id, user = _installed_in(body), _id(event.get("user"))
    channel, ts = _id(event.get("channel")), _id(event.get("ts"))
    if not (team_id and channel and ts) or not _is_written(event, user, bot_user_id):
        return None
    said = str(event.get("text") or "")
    direct = event.get("channel_type") == "im" or (channel.startswith("D") and event.get("channel_type") is None)
    mentioned = event.get("type") == "app_mention" or re.search(rf"<@{re.escape(bot_user_id)}[|>]", said) is not None
    text = plain(said, bot_user_id)
    files = [_some(each, _OF_FILE) for each in _list(event.get("files")) if isinstance(each, dict)]
    if not text and not (direct and files):
        return None
    return Incoming(
        team_id,
        "direct" if direct else "mention" if mentioned else "message",
        _meaning(team_id, "ask", f"{channel}:{ts}"),
        channel_id=channel,
        channel_type="im" if direct else _clean(event.get("channel_type")),
        user_id=user,
        user_team_id=_team_of_user(event) or team_id,
        ts=ts,
        thread_ts=_id(event.get("thread_ts")),
        text=text,
        payload={"files": files, "subtype": _clean(event.get("subtype")), "event": str(event["type"])},
        event_id=_event_id(body),
    )


def _is_written(event: Mapping[str, Any], user: str, bot_user_id: str) -> bool:
    """Whether a person wrote this message, just now, for others to read."""
    bot = event.get("bot_id") or event.get("bot_profile") or event.get("workflow_id")
    if not user or user in (bot_user_id, "USLACKBOT") or bot or event.get("hidden"):
        return False
    return str(event.get("subtype") or "") in _WRITTEN


def plain(text: str, bot_user_id: str = "") -> str:
    """Return what a person typed, of Slack's way of writing it: without the mention of the bot, links as their text."""
    if bot_user_id:
        text = re.sub(rf"<@{re.escape(bot_user_id)}(?:\|[^<>]*)?>", " ", text)
    text = _LINK.sub(lambda link: link[2] or link[1].removeprefix("mailto:").removeprefix("tel:"), text)
    for written, meant in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(written, meant)
    return re.sub(r"[ \t]{2,}", " ", _NOT_TEXT.sub("\ufffd", text)).strip()


# --- commands and interactions --------------------------------------------------------------------------------


def _command(body: Mapping[str, Any], _bot_user_id: str) -> Incoming | None:
    said = plain(str(body.get("text") or ""))
    word = WORDS.get(said.casefold().rstrip(" ?!."), "") if "\n" not in said else ""
    channel, name = _id(body.get("channel_id")), str(body.get("channel_name") or "")
    return _done_by(
        body,
        "command",
        user=_id(body.get("user_id")),
        user_team=_id(body.get("team_id")),
        channel_id=channel,
        channel_type="im" if name == "directmessage" or channel.startswith("D") else _of_name(name),
        text="" if word else said,
        payload={"word": word, "trigger_id": _trigger(body), "response_url": _clean(body.get("response_url"))},
    )


def _of_name(name: str) -> str:
    """Return the kind of channel, as far as a command tells: it names private ones by what they are."""
    return "group" if name == "privategroup" else "mpim" if name.startswith("mpdm-") else ""


def _action(body: Mapping[str, Any], _bot_user_id: str) -> Incoming | None:
    actions = [each for each in _list(body.get("actions")) if isinstance(each, dict)]
    if not actions:
        return None
    container, message = _mapping(body.get("container")), _mapping(body.get("message"))
    message_ts = _id(message.get("ts")) or _id(container.get("message_ts"))
    return _interaction(
        body,
        "action",
        channel_id=_id(_mapping(body.get("channel")).get("id")) or _id(container.get("channel_id")),
        ts=message_ts,
        thread_ts=_id(message.get("thread_ts")) or _id(container.get("thread_ts")),
        payload={
            "action": _cleaned(actions[0]),
            "trigger_id": _trigger(body),
            "response_url": _clean(body.get("response_url")),
            "message_ts": message_ts,
            "container": _cleaned(container),
            "is_ephemeral": bool(container.get("is_ephemeral")),
        },
    )


def _view(body: Mapping[str, Any], _bot_user_id: str) -> Incoming | None:
    view = _mapping(body.get("view"))
    return _interaction(
        body,
        "view",
        same=_trigger(body) or f"{view.get('id')}:{view.get('hash')}",
        payload={
            "callback_id": _clean(view.get("callback_id")),
            "private_metadata": _clean(view.get("private_metadata")),
            "values": _cleaned(_mapping(_mapping(view.get("state")).get("values"))),
            "trigger_id": _trigger(body),
        },
    )


def _shortcut(body: Mapping[str, Any], bot_user_id: str) -> Incoming | None:
    message = _mapping(body.get("message"))
    text = plain(str(message.get("text") or ""), bot_user_id)
    about = {name: _clean(message.get(name)) for name in ("ts", "thread_ts", "user")} | {"text": text}
    return _interaction(
        body,
        "shortcut",
        channel_id=_id(_mapping(body.get("channel")).get("id")),
        ts=_id(message.get("ts")),
        thread_ts=_id(message.get("thread_ts")),
        text=text,
        payload={
            "callback_id": _clean(body.get("callback_id")),
            "trigger_id": _trigger(body),
            "response_url": _clean(body.get("response_url")),
            "message": about if message else {},
        },
    )


def _interaction(body: Mapping[str, Any], kind: str, *, same: str = "", **fields: Any) -> Incoming | None:
    who = _mapping(body.get("user"))
    channel_type = "im" if str(fields.get("channel_id", "")).startswith("D") else ""
    more = {"channel_type": channel_type} | fields
    return _done_by(body, kind, user=_id(who.get("id")), user_team=_id(who.get("team_id")), same=same, **more)


def _done_by(
    body: Mapping[str, Any], kind: str, *, user: str, user_team: str, same: str = "", **fields: Any
) -> Incoming | None:
    """Return what was clicked, typed or sent in; a trigger is given out once for each such thing."""
    team_id = _id(_mapping(body.get("team")).get("id")) or _id(body.get("team_id")) or user_team
    same = same or _trigger(body)
    if not (team_id and user and same):
        return None
    return Incoming(
        team_id, kind, _meaning(team_id, kind, same), user_id=user, user_team_id=user_team or team_id, **fields
    )


_READ: dict[str, Callable[[Mapping[str, Any], str], Incoming | None]] = {
    "event_callback": _event,
    "command": _command,
    "block_actions": _action,
    "view_submission": _view,
    "message_action": _shortcut,
    "shortcut": _shortcut,
}


# --- pieces ---------------------------------------------------------------------------------------------------


def _installed_in(body: Mapping[str, Any]) -> str:
    """Return the workspace that this event is for: in a shared channel, ``team_id`` alone does not say."""
    for each in _list(body.get("authorizations")):
        if team_id := _id(_mapping(each).get("team_id")):
            return team_id
    return _id(body.get("context_team_id")) or _id(body.get("team_id"))


def _team_of_user(event: Mapping[str, Any]) -> str:
    return _id(event.get("user_team")) or _id(event.get("source_team")) or _id(event.get("team"))


def _meaning(team_id: str, kind: str, what: str) -> str:
    """Return the words that are equal for all that say the same, short enough for the catalog."""
    words = f"{team_id}:{kind}:{what}"
    if len(words) <= _MEANING_CHARS and words.isascii() and words.isprintable():
        return words
    return f"{team_id}:{kind}:{hashlib.sha256(words.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _event_id(body: Mapping[str, Any]) -> str:
    found = str(body.get("event_id") or "")
    return found if len(found) <= _EVENT_ID_CHARS and found.isascii() and found.isprintable() else ""


def _trigger(body: Mapping[str, Any]) -> str:
    return _clean(body.get("trigger_id"))


def _id(value: Any) -> str:
    """Return an id or a ``ts``; "" for what cannot be one."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _some(value: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _cleaned(value[name]) for name in names if name in value}


def _clean(value: Any) -> str:
    return _NOT_TEXT.sub("\ufffd", value) if isinstance(value, str) else ""


def _cleaned(value: Any) -> Any:
    """Return *value* with what no database stores taken out of its strings."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(name): _cleaned(each) for name, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list) else value
