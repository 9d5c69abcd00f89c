"""Users, conversations, messages and events as JSON, as the pages named at each function have them."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from app.testing.slack_world import new_id

if TYPE_CHECKING:
    from app.testing.slack_world import Channel, OpenView, Post, User, World

_PARTS = re.compile(r"<@([A-Z0-9]+)>")
VERIFICATION_TOKEN = "fake-verification-token"  # noqa: S105 -- deprecated by Slack, but still in every payload


def user_json(world: World, user: User, *, email: bool, locale: bool = False) -> dict[str, Any]:
    """Return the user object. ``is_stranger`` is true as documented: of another team, and in no channel of the app.

    So it is false for people of another company who share a channel with the app: only their ``team_id`` tells.
    https://docs.slack.dev/reference/objects/user-object
    """
    foreign = user.team_id != world.team_id
    profile = {"real_name": user.name, "display_name": user.name, "team": user.team_id, "avatar_hash": "g0"}
    if email and user.email:
        profile["email"] = user.email
    found: dict[str, Any] = {
        "id": user.id, "team_id": user.team_id, "name": user.name, "deleted": user.deleted, "profile": profile,
        "is_bot": user.is_bot, "is_app_user": False, "updated": 1_700_000_000,
    }  # fmt: skip
    if not user.deleted:
        found |= {
            "real_name": user.name, "color": "9f69e7", "tz": "Europe/Paris", "tz_label": "Central European Time",
            "tz_offset": 3600, "is_admin": user.is_admin, "is_owner": False, "is_primary_owner": False,
            "is_restricted": user.restricted or user.ultra_restricted, "is_ultra_restricted": user.ultra_restricted,
            "is_email_confirmed": True, "who_can_share_contact_card": "EVERYONE",
        }  # fmt: skip
    if locale:
        found["locale"] = user.locale
    if foreign:
        shares = any({user.id, world.bot.id} <= set(channel.members) for channel in world.channels.values())
        found["is_stranger"] = not shares
    return found


def channel_json(world: World, channel: Channel, *, members: bool = False) -> dict[str, Any]:
    """Return the conversation object: https://docs.slack.dev/reference/objects/conversation-object."""
    if channel.kind == "im":
        return {
            "id": channel.id, "created": int(channel.created), "is_im": True, "is_org_shared": False,
            "user": channel.user, "is_archived": False, "context_team_id": world.team_id,
            "is_user_deleted": world.users[channel.user].deleted,
        }  # fmt: skip
    several = channel.kind == "mpim"
    found = {
        "id": channel.id, "name": channel.name, "name_normalized": channel.name, "is_channel": not several,
        "is_group": channel.kind == "group", "is_im": False, "is_mpim": several,
        "is_private": channel.kind != "channel",
        "created": int(channel.created), "is_archived": False, "is_general": False, "unlinked": 0,
        "is_shared": channel.shared, "is_org_shared": False, "is_ext_shared": channel.shared,
        "is_pending_ext_shared": False, "pending_shared": [], "context_team_id": world.team_id,
        "is_member": world.bot.id in channel.members, "creator": "U0CREATOR00", "num_members": len(channel.members),
        "topic": {"value": "", "creator": "", "last_set": 0}, "purpose": {"value": "", "creator": "", "last_set": 0},
    }  # fmt: skip
    if channel.shared:
        teams = {world.users[user].team_id for user in channel.members}
        found |= {"shared_team_ids": sorted(teams), "connected_team_ids": sorted(teams - {world.team_id})}
    if not members:
        found.pop("num_members")
    return found


def message_json(world: World, post: Post) -> dict[str, Any]:
    """Return a message as history and events have it: https://docs.slack.dev/reference/events/message."""
    found: dict[str, Any] = {"type": "message", "user": post.user, "text": post.text, "ts": post.ts}
    found["team"] = world.users[post.user].team_id if post.user in world.users else world.team_id
    if post.blocks:
        found["blocks"] = post.blocks
    if post.bot_id:
        profile = {"id": post.bot_id, "app_id": world.app_id, "name": world.bot.name, "deleted": False}
        found |= {"bot_id": post.bot_id, "app_id": world.app_id, "bot_profile": profile | {"team_id": world.team_id}}
    replies = [each for each in world.thread(post.channel, post.ts) if each.ts != post.ts]
    if replies:
        found |= {
            "thread_ts": post.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts, "is_locked": False,
            "reply_users": list(dict.fromkeys(each.user for each in replies)), "subscribed": False,
        }  # fmt: skip
    if post.thread_ts:
        root = world.find(post.channel, post.thread_ts)
        found |= {"thread_ts": post.thread_ts} | ({"parent_user_id": root.user} if root else {})
    if post.reactions:
        names = dict.fromkeys(name for name, _ in post.reactions)
        by = {name: [user for each, user in post.reactions if each == name] for name in names}
        found["reactions"] = [{"name": name, "users": users, "count": len(users)} for name, users in by.items()]
    optional = {
        "subtype": post.subtype, "client_msg_id": post.client_msg_id, "metadata": post.metadata,
        "edited": post.edited, "files": post.files or None, "streaming_state": _state(post),
    }  # fmt: skip
    return found | {name: value for name, value in optional.items() if value}


def _state(post: Post) -> str | None:
    return {"": None, "streaming": "in_progress", "streamed": "completed"}[post.state]


def rich_text(text: str) -> list[dict[str, Any]]:
    """Return the block that Slack makes of what a person types."""
    inside: list[dict[str, Any]] = []
    for n, part in enumerate(_PARTS.split(text)):
        if part:
            inside.append({"type": "user", "user_id": part} if n % 2 else {"type": "text", "text": part})
    section = {"type": "rich_text_section", "elements": inside}
    return [{"type": "rich_text", "block_id": secrets.token_hex(3), "elements": [section]}]


def event_callback(world: World, event: dict[str, Any], channel: Channel | None) -> dict[str, Any]:
    """Return what surrounds an event: https://docs.slack.dev/apis/events-api#event-type-structure."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": world.team_id,
        "context_team_id": world.team_id,
        "context_enterprise_id": None,
        "api_app_id": world.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": new_id("Ev"),
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None, "team_id": world.team_id, "user_id": world.bot.id, "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": bool(channel and channel.shared),
        "event_context": "4-" + secrets.token_urlsafe(60),
    }  # fmt: skip


def person(user: User) -> dict[str, Any]:
    """Return who did something, as in interaction payloads: https://docs.slack.dev/reference/interaction-payloads."""
    return {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team_id}


def interaction(world: World, user: User, kind: str) -> dict[str, Any]:
    """Return what is in every interaction payload: https://docs.slack.dev/reference/interaction-payloads."""
    return {
        "type": kind,
        "token": VERIFICATION_TOKEN,
        "api_app_id": world.app_id,
        "team": {"id": world.team_id, "domain": world.domain},
        "enterprise": None,
        "is_enterprise_install": False,
        "user": person(user),
        "trigger_id": world.trigger(user.id),
    }


def view_json(world: World, view: OpenView) -> dict[str, Any]:
    """Return the view object: https://docs.slack.dev/reference/views."""
    body = view.body
    return {
        "id": view.id, "team_id": world.team_id, "type": body["type"], "blocks": body.get("blocks", []),
        "private_metadata": body.get("private_metadata", ""), "callback_id": body.get("callback_id", ""),
        "external_id": view.external_id, "state": body.get("state") or {"values": {}}, "hash": view.hash,
        "title": body.get("title"), "submit": body.get("submit"), "close": body.get("close"),
        "clear_on_close": bool(body.get("clear_on_close")), "notify_on_close": bool(body.get("notify_on_close")),
        "submit_disabled": False, "previous_view_id": view.previous, "root_view_id": view.root,
        "app_id": world.app_id, "bot_id": world.bot_id, "app_installed_team_id": world.team_id,
    }  # fmt: skip
