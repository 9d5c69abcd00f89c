"""The Web API: what each method needs, what it answers, and the methods that only read.

Follows https://docs.slack.dev/apis/web-api and, for each method, https://docs.slack.dev/reference/methods.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from app.testing.slack_manifest import OF_KIND
from app.testing.slack_shapes import channel_json, message_json, user_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.testing.slack_manifest import Manifest
    from app.testing.slack_world import Channel, Post, User, World

T = TypeVar("T")
#: Arguments that are JSON, also where the body is a form.
_JSON = {"blocks", "attachments", "metadata", "chunks", "view", "prompts", "loading_messages"}


class Refused(Exception):
    """What Slack answers with ``"ok": false``."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


@dataclass(frozen=True)
class Call:
    """One call of a method: its arguments, decoded, and where it happens."""

    world: World
    manifest: Manifest
    args: dict[str, Any]
    page_size: int
    base_url: str

    def need(self, *names: str) -> str:
        """Return the first argument of *names*. Raises Refused where one of them is missing."""
        for name in names:
            if self.args.get(name) in (None, ""):
                messages = [f"[ERROR] missing required field: {name}"]
                raise Refused("invalid_arguments", response_metadata={"messages": messages})
        return str(self.args[names[0]])

    def channel(self, name: str = "channel") -> Channel:
        """Return the conversation that the argument names, one that the app can see."""
        channel = self.world.channels.get(self.need(name))
        hidden = channel is None or (channel.kind in ("group", "mpim") and self.world.bot.id not in channel.members)
        if channel is None or hidden:
            raise Refused("channel_not_found")
        return channel

    def needs_scope(self, *either: str) -> None:
        """Raise Refused where the app has none of these scopes."""
        scopes = self.manifest.scopes
        if scopes is not None and not set(either) & set(scopes):
            raise Refused("missing_scope", needed=either[0], provided=",".join(scopes))

    def needs_scope_for(self, channel: Channel, what: str) -> None:
        """Raise Refused where the app lacks ``channels:<what>``, or as it is called for the kind."""
        self.needs_scope(f"{OF_KIND[channel.kind]}:{what}")

    def page(self, items: Sequence[T], key: str, shape: Callable[[T], Any] = lambda item: item) -> dict[str, Any]:
        """Return one page of *items*, each in its *shape*, and the cursor of the next: https://docs.slack.dev/apis/web-api/pagination.

        Never more than the fake's page size, whatever the ``limit``: Slack may give fewer than asked for, too.
        """
        try:
            start = int(base64.b64decode(str(self.args.get("cursor") or "")).decode().removeprefix("next:") or 0)
        except ValueError:
            raise Refused("invalid_cursor") from None
        limit = int(self.args.get("limit") or self.page_size)
        end = start + max(1, min(limit, self.page_size))
        cursor = base64.b64encode(f"next:{end}".encode()).decode() if end < len(items) else ""
        return {key: [shape(each) for each in items[start:end]], "response_metadata": {"next_cursor": cursor}}


def decoded(args: dict[str, Any]) -> dict[str, Any]:
    """Return *args* with what is JSON in them read. Raises Refused for what is not."""
    found = dict(args)
    for name in _JSON & set(args):
        if isinstance(found[name], str):
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                raise Refused("invalid_blocks_format" if name == "blocks" else "invalid_arguments") from None
    return found


def truth(value: Any) -> bool:
    """Return what a flag of a form or of JSON says."""
    return value in (True, 1, "1", "true", "True")


def auth_test(call: Call) -> dict[str, Any]:
    """Return who the token is: auth.test."""
    world = call.world
    return {
        "url": f"https://{world.domain}.slack.com/", "team": "Example", "user": world.bot.name,
        "team_id": world.team_id, "user_id": world.bot.id, "bot_id": world.bot_id, "is_enterprise_install": False,
    }  # fmt: skip


def _user(call: Call) -> User:
    found = call.world.users.get(call.need("user"))
    if found is None:
        raise Refused("user_not_found")
    return found


def _sees_email(call: Call) -> bool:
    return call.manifest.scopes is None or "users:read.email" in call.manifest.scopes


def users_info(call: Call) -> dict[str, Any]:
    """users.info."""
    shown = {"email": _sees_email(call), "locale": truth(call.args.get("include_locale"))}
    return {"user": user_json(call.world, _user(call), **shown)}


def users_by_email(call: Call) -> dict[str, Any]:
    """users.lookupByEmail: people of the own workspace who are still there."""
    email = call.need("email").lower()
    for user in call.world.users.values():
        if user.team_id == call.world.team_id and not user.deleted and (user.email or "").lower() == email:
            return {"user": user_json(call.world, user, email=True)}
    raise Refused("users_not_found")


def users_list(call: Call) -> dict[str, Any]:
    """users.list."""
    users = [user_json(call.world, user, email=_sees_email(call)) for user in call.world.users.values()]
    return call.page(users, "members") | {"cache_ts": 1_700_000_000}


def conversations_info(call: Call) -> dict[str, Any]:
    """conversations.info."""
    channel = call.channel()
    call.needs_scope_for(channel, "read")
    return {"channel": channel_json(call.world, channel, members=truth(call.args.get("include_num_members")))}


def conversations_list(call: Call) -> dict[str, Any]:
    """conversations.list: public channels, and of the private ones those that the app is in."""
    kinds = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
    wanted = {kinds.get(each.strip()) for each in str(call.args.get("types") or "public_channel").split(",")}
    found = []
    for channel in call.world.channels.values():
        if channel.kind in wanted and (channel.kind == "channel" or call.world.bot.id in channel.members):
            call.needs_scope_for(channel, "read")
            found.append(channel_json(call.world, channel, members=True))
    return call.page(found, "channels")


def conversations_members(call: Call) -> dict[str, Any]:
    """conversations.members."""
    channel = call.channel()
    call.needs_scope_for(channel, "read")
    return call.page(channel.members, "members")


def conversations_open(call: Call) -> dict[str, Any]:
    """conversations.open, with one user."""
    users = str(call.args.get("users") or "").split(",")
    if len(users) != 1 or users[0] not in call.world.users:
        raise Refused("user_not_found")
    if call.world.users[users[0]].deleted:
        raise Refused("user_disabled")
    channel = call.world.direct(users[0])
    return {"no_op": False, "already_open": False, "channel": {"id": channel.id}}


def _between(call: Call, posts: Sequence[Post]) -> list[Post]:
    oldest, latest = float(call.args.get("oldest") or 0), float(call.args.get("latest") or "inf")
    if truth(call.args.get("inclusive")):
        return [each for each in posts if oldest <= float(each.ts) <= latest]
    return [each for each in posts if oldest < float(each.ts) < latest]


def _readable(call: Call) -> Channel:
    channel = call.channel()
    call.needs_scope_for(channel, "history")
    if call.world.bot.id not in channel.members:
        raise Refused("not_in_channel")
    return channel


def conversations_history(call: Call) -> dict[str, Any]:
    """conversations.history: what is not inside a thread, newest first."""
    channel = _readable(call)
    posts = [
        each
        for each in call.world.by_channel.get(channel.id, ())
        if not each.deleted and each.only_for is None
        if each.thread_ts in (None, each.ts) or each.subtype == "thread_broadcast"
    ]
    found = call.page(_between(call, posts)[::-1], "messages", partial(message_json, call.world))
    return found | {"has_more": bool(found["response_metadata"]["next_cursor"]), "pin_count": 0}


def conversations_replies(call: Call) -> dict[str, Any]:
    """conversations.replies: the message and its replies, oldest first."""
    channel = _readable(call)
    posts = call.world.thread(channel.id, call.need("ts"))
    if not posts:
        raise Refused("thread_not_found")
    found = call.page(_between(call, posts), "messages", partial(message_json, call.world))
    return found | {"has_more": bool(found["response_metadata"]["next_cursor"])}


def files_info(call: Call) -> dict[str, Any]:
    """files.info."""
    found = call.world.files.get(call.need("file"))
    if found is None:
        raise Refused("file_not_found")
    return {"file": found[0], "comments": [], "response_metadata": {"next_cursor": ""}}


def team_info(call: Call) -> dict[str, Any]:
    """team.info."""
    world = call.world
    team = {"id": world.team_id, "name": "Example", "domain": world.domain, "email_domain": "example.com"}
    return {"team": team | {"url": f"https://{world.domain}.slack.com/", "icon": {"image_default": True}}}


def bots_info(call: Call) -> dict[str, Any]:
    """bots.info, about the app itself."""
    world = call.world
    if call.args.get("bot") not in (None, world.bot_id):
        raise Refused("bot_not_found")
    bot = {"id": world.bot_id, "deleted": False, "name": world.bot.name, "updated": 1_700_000_000}
    return {"bot": bot | {"app_id": world.app_id, "user_id": world.bot.id, "icons": {}}}


@dataclass(frozen=True)
class Method:
    """A method, and the scopes of which it needs one; where there is none here it needs none, or asks by itself."""

    answer: Callable[[Call], dict[str, Any]]
    scopes: tuple[str, ...] = ()


READING = {
    "auth.test": Method(auth_test),
    "bots.info": Method(bots_info, ("users:read",)),
    "conversations.history": Method(conversations_history),
    "conversations.info": Method(conversations_info),
    "conversations.list": Method(conversations_list),
    "conversations.members": Method(conversations_members),
    "conversations.open": Method(conversations_open, ("im:write",)),
    "conversations.replies": Method(conversations_replies),
    "files.info": Method(files_info, ("files:read",)),
    "team.info": Method(team_info, ("team:read",)),
    "users.info": Method(users_info, ("users:read",)),
    "users.list": Method(users_list, ("users:read",)),
    "users.lookupByEmail": Method(users_by_email, ("users:read.email",)),
}
