"""What people do in the fake workspace: write, edit, react, run commands, press buttons, fill in forms, drop files.

Each does what Slack would: https://docs.slack.dev/reference/events and
https://docs.slack.dev/reference/interaction-payloads.
"""

from __future__ import annotations

import mimetypes
import time
import uuid
from typing import TYPE_CHECKING, Any

from app.testing.slack_blocks import acted, elements
from app.testing.slack_chat import announce, announce_change, respond
from app.testing.slack_shapes import (
    VERIFICATION_TOKEN,
    channel_json,
    interaction,
    message_json,
    rich_text,
    user_json,
    view_json,
)
from app.testing.slack_views import answered, state_of
from app.testing.slack_world import Channel, OpenView, Post, User, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.testing.slack_events import Interaction, Outgoing
    from app.testing.slack_server import Web
    from app.testing.slack_world import World


class People:
    """The part of ``FakeSlack`` that acts for people. Methods name users and channels by their ids."""

    world: World
    outgoing: Outgoing
    web: Web

    # --- who and where --------------------------------------------------------------------------------------------

    def add_user(self, name: str, email: str | None = None, *, stranger_team: str | None = None, **flags: Any) -> str:
        """Return the id of a new person. *flags*: restricted, ultra_restricted, deleted, is_admin, is_bot, locale.

        With *stranger_team* (a team's id) they are of another company, and meet the app in shared channels only.
        """
        with self.world.lock:
            user = User(new_id("U"), name, email, stranger_team or self.world.team_id, **flags)
            if user.deleted:
                user.gone_at = 0.0
            self.world.users[user.id] = user
            return user.id

    def add_channel(
        self,
        name: str,
        members: Iterable[str] = (),
        *,
        private: bool = False,
        shared: bool = False,
        with_bot: bool = True,
    ) -> str:
        """Return the id of a new channel, which the app is a member of unless *with_bot* is False."""
        channel = Channel(new_id("C"), name, "group" if private else "channel", shared=shared)
        return self.world.open(channel, [*members, *([self.world.bot.id] if with_bot else [])]).id

    def add_group_message(self, *members: str) -> str:
        """Return the id of a new direct message of several people and the app."""
        name = "-".join(["mpdm", *(f"{self.world.users[each].name}-" for each in members), "1"])
        return self.world.open(Channel(new_id("C"), name, "mpim"), [*members, self.world.bot.id]).id

    def direct(self, user: str) -> str:
        """Return the id of the direct conversation of *user* with the app."""
        return self.world.direct(user).id

    def join(self, user: str, channel: str) -> None:
        """Somebody, or the app, joins: https://docs.slack.dev/reference/events/member_joined_channel."""
        with self.world.lock:
            self.world.join(self.world.channels[channel], [user])
            self._announce_member("member_joined_channel", user, channel)

    def leave(self, user: str, channel: str) -> None:
        """Somebody, or the app, leaves: https://docs.slack.dev/reference/events/member_left_channel."""
        with self.world.lock:
            self._announce_member("member_left_channel", user, channel)
            self.world.leave(self.world.channels[channel], user)

    def _announce_member(self, name: str, user: str, channel: str) -> None:
        place, team = self.world.channels[channel], self.world.users[user].team_id
        letter = "C" if place.kind == "channel" else "G"
        event = {"type": name, "user": user, "channel": channel, "channel_type": letter, "team": team}
        self.world.announce(event | {"event_ts": self.world.new_ts()}, place)

    def rename(self, channel: str, name: str) -> None:
        """A channel gets another name: https://docs.slack.dev/reference/events/channel_rename."""
        with self.world.lock:
            place = self.world.channels[channel]
            place.name = name
            said: dict[str, Any] = {"id": channel, "name": name, "created": int(place.created)}
            kind = "channel_rename" if place.kind == "channel" else "group_rename"
            self.world.announce({"type": kind, "channel": said, "event_ts": self.world.new_ts()}, place)

    def deactivate(self, user: str) -> None:
        """Somebody's account ends: https://docs.slack.dev/reference/events/user_change."""
        self.change_user(user, deleted=True)

    def change_user(self, user: str, **changes: Any) -> None:
        """Something about somebody changes, a field of User: https://docs.slack.dev/reference/events/user_change."""
        with self.world.lock:
            who = self.world.users[user]
            for name, value in changes.items():
                setattr(who, name, value)
            if changes.get("deleted"):
                who.gone_at = time.time()
            ts = self.world.new_ts()
            event = {"type": "user_change", "user": user_json(self.world, who, email=True), "event_ts": ts}
            self.world.announce(event | {"cache_ts": int(float(ts))}, None)

    # --- messages -------------------------------------------------------------------------------------------------

    def say(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        *,
        broadcast: bool = False,
        files: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Return the ts of a new message. One that mentions the app in a channel sends an ``app_mention`` as well.

        People join a public channel by writing there. Raises PermissionError where somebody cannot write.
        """
        with self.world.lock:
            place = self._where(user, channel)
            blocks = rich_text(text) if text else []
            post = Post(channel, self.world.new_ts(), user, text, blocks, thread_ts, files=list(files))
            post.client_msg_id = str(uuid.uuid4())
            post.subtype = "file_share" if files else ("thread_broadcast" if broadcast else None)
            self.world.add(post)
            more: dict[str, Any] = {}
            if broadcast and thread_ts and (root := self.world.find(channel, thread_ts)):
                more["root"] = message_json(self.world, root)
            if place.shared:
                team = self.world.users[user].team_id
                more |= {"user_team": team, "source_team": team}
            announce(self.world, post, **more)
            if self._mentions(text) and place.kind != "im":
                self._announce_mention(post, **more)
            return post.ts

    def _where(self, user: str, channel: str) -> Channel:
        place, who = self.world.channels[channel], self.world.users[user]
        if who.deleted:
            raise PermissionError(f"{who.name} has no account any more")
        if place.kind == "im" and not self.outgoing.options.manifest.takes_direct_messages:
            raise PermissionError("the app's messages tab is off or read-only")
        if user not in place.members:
            if not self.world.may_read(user, place):
                raise PermissionError(f"{who.name} is not in {place.name}")
            self.world.join(place, [user])
        return place

    def _mentions(self, text: str) -> bool:
        return f"<@{self.world.bot.id}>" in text

    def _announce_mention(self, post: Post, **more: Any) -> None:
        """Send the other event of such a message: https://docs.slack.dev/reference/events/app_mention."""
        event = message_json(self.world, post) | {"type": "app_mention", "channel": post.channel, "event_ts": post.ts}
        event.pop("subtype", None)
        self.world.announce(event | more, self.world.channels[post.channel])

    def edit(self, user: str, channel: str, ts: str, text: str) -> None:
        """Somebody changes their message; one that mentions the app only now is a mention, with ``edited``."""
        with self.world.lock:
            post = self._own(user, channel, ts)
            before, mentioned = message_json(self.world, post), self._mentions(post.text)
            self.world.change(post, text, rich_text(text))
            post.edited = {"user": user, "ts": self.world.new_ts()}
            announce_change(self.world, post, before)
            if self._mentions(text) and not mentioned and self.world.channels[channel].kind != "im":
                self._announce_mention(post)

    def delete(self, user: str, channel: str, ts: str) -> None:
        """Somebody deletes their message."""
        with self.world.lock:
            post = self._own(user, channel, ts)
            before = message_json(self.world, post)
            self.world.remove(post)
            announce_change(self.world, post, before, "message_deleted")

    def _own(self, user: str, channel: str, ts: str) -> Post:
        post = self.world.find(channel, ts)
        if post is None or post.user != user:
            raise PermissionError("people change their own messages only")
        return post

    def react(self, user: str, channel: str, ts: str, name: str) -> None:
        """Somebody adds an emoji: https://docs.slack.dev/reference/events/reaction_added."""
        with self.world.lock:
            post = self.world.find(channel, ts)
            if post is None:
                raise LookupError(f"no message {ts} in {channel}")
            post.reactions.append((name, user))
            item = {"type": "message", "channel": channel, "ts": ts}
            event = {"type": "reaction_added", "user": user, "reaction": name, "item": item, "item_user": post.user}
            self.world.announce(event | {"event_ts": self.world.new_ts()}, self.world.channels[channel])

    def upload(self, user: str, channel: str, name: str, content: bytes, text: str = "", **more: Any) -> str:
        """Return the ts of a message with a file: *more* are ``title`` and ``thread_ts``.

        In a shared channel the event says of the file only where to ask for it.
        https://docs.slack.dev/reference/objects/file-object
        """
        with self.world.lock:
            file_id, kind = new_id("F"), mimetypes.guess_type(name)[0] or "application/octet-stream"
            url = f"{self.web.base_url}/files/{file_id}/{name}"
            place = self._where(user, channel)
            whole = {
                "id": file_id, "created": int(time.time()), "timestamp": int(time.time()), "name": name,
                "title": more.get("title") or name, "mimetype": kind, "filetype": name.rpartition(".")[2],
                "pretty_type": name.rpartition(".")[2].upper(), "user": user, "size": len(content), "mode": "hosted",
                "user_team": self.world.users[user].team_id, "editable": False, "is_external": False,
                "external_type": "", "is_public": place.kind == "channel", "public_url_shared": False,
                "display_as_bot": False, "username": "", "url_private": url, "url_private_download": url,
                "permalink": f"https://{self.world.domain}.slack.com/files/{user}/{file_id}/{name}",
                "has_rich_preview": False, "file_access": "visible", "channels": [channel],
            }  # fmt: skip
            self.world.files[file_id] = (whole, content)
            check = {"id": file_id, "mode": "file_access", "file_access": "check_file_info"}
            shown = check | {"created": 0, "timestamp": 0, "user": ""} if place.shared else whole
            ts = self.say(user, channel, text, more.get("thread_ts"), files=[shown])
            event: dict[str, Any] = {"type": "file_shared", "file_id": file_id, "user_id": user, "channel_id": channel}
            event |= {"file": {"id": file_id}, "event_ts": self.world.new_ts()}
            self.world.announce(event, place)
            return ts

    # --- the app's own surfaces -----------------------------------------------------------------------------------

    def open_home(self, user: str, tab: str = "home") -> None:
        """Somebody opens the app, on its tab "home" or "messages": https://docs.slack.dev/reference/events/app_home_opened."""
        with self.world.lock:
            if tab == "home" and not self.outgoing.options.manifest.has_home:
                raise LookupError("the app has no home tab")
            channel = self.world.direct(user)
            event: dict[str, Any] = {"type": "app_home_opened", "user": user, "channel": channel.id, "tab": tab}
            event["event_ts"] = self.world.new_ts()
            home = next((v for v in self.world.views.values() if v.user == user and v.body["type"] == "home"), None)
            if tab == "home" and home:
                event["view"] = view_json(self.world, home)
            self.world.announce(event, channel)

    def start_thread(self, user: str, context_channel: str | None = None) -> str:
        """Return the thread of a new chat in an app with the older ``assistant_view``.

        https://docs.slack.dev/reference/events/assistant_thread_started
        """
        with self.world.lock:
            channel = self.world.direct(user)
            root = Post(channel.id, self.world.new_ts(), self.world.bot.id, "New Assistant Thread", [])
            root.bot_id, root.subtype = self.world.bot_id, "assistant_app_thread"
            self.world.add(root)
            context = {"channel_id": context_channel, "team_id": self.world.team_id, "enterprise_id": None}
            thread = {"user_id": user, "context": context, "channel_id": channel.id, "thread_ts": root.ts}
            event = {"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": self.world.new_ts()}
            self.world.announce(event, channel)
            return root.ts

    # --- commands, clicks, forms ----------------------------------------------------------------------------------

    def _response_url(self, channel: str, user: str, message_ts: str | None, thread_ts: str | None = None) -> str:
        return f"{self.web.base_url}/response/{self.world.reply_token(channel, user, message_ts, thread_ts)}"

    def command(self, user: str, channel: str, command: str, text: str = "") -> Interaction:
        """Somebody runs a slash command: https://docs.slack.dev/interactivity/implementing-slash-commands.

        What the app acknowledges it with is posted, for that person alone if it does not say otherwise.
        Raises LookupError for a command that the app does not have.
        """
        if not self.outgoing.options.manifest.has_command(command):
            raise LookupError(f"{command} is not a command of this app")
        with self.world.lock:
            place, who = self._where(user, channel), self.world.users[user]
            names = {"im": "directmessage", "group": "privategroup"}
            payload = {
                "token": VERIFICATION_TOKEN, "team_id": self.world.team_id, "team_domain": self.world.domain,
                "channel_id": channel, "channel_name": names.get(place.kind, place.name), "user_id": user,
                "user_name": who.name, "command": command, "text": text, "api_app_id": self.world.app_id,
                "is_enterprise_install": "false", "response_url": self._response_url(channel, user, None),
                "trigger_id": self.world.trigger(user),
            }  # fmt: skip
        return self.outgoing.interact("slash_commands", payload, self._posted(channel, user))

    def _posted(self, channel: str, user: str) -> Callable[[dict[str, Any]], None]:
        """Return what posts the text that a command was acknowledged with; that is no use of its ``response_url``."""

        def post(answer: dict[str, Any]) -> None:
            if answer.get("text") or answer.get("blocks"):
                with self.world.lock:
                    token = self.world.reply_token(channel, user, None, None)
                    respond(self.world, self.outgoing.options.manifest, token, answer)

        return post

    def click(self, user: str, channel: str, message_ts: str, action_id: str, value: str | None = None) -> Interaction:
        """Somebody presses or chooses something in a message, also in one that only they see.

        *value* tells buttons with the same action id apart, and options; without it the first one is taken.
        Raises LookupError when that person has nothing like it before them.
        """
        with self.world.lock:
            post = self._before(user, channel, message_ts)
            place, who = self.world.channels[channel], self.world.users[user]
            hidden = post.only_for is not None
            container = {"type": "message", "message_ts": post.ts, "channel_id": channel, "is_ephemeral": hidden}
            payload = interaction(self.world, who, "block_actions") | {
                "container": container | ({"thread_ts": post.thread_ts} if post.thread_ts else {}),
                "channel": {"id": channel, "name": "directmessage" if place.kind == "im" else place.name},
                "state": {"values": {}},
                "response_url": self._response_url(channel, user, post.ts, post.thread_ts),
                "actions": [self._action(post.blocks, action_id, value)],
            }
            if not hidden:
                payload["message"] = message_json(self.world, post)
        return self.outgoing.interact("interactive", payload)

    def _before(self, user: str, channel: str, ts: str) -> Post:
        post = self.world.by_ts.get((channel, ts))
        there = post is not None and not post.deleted and post.only_for in (None, user)
        if post and there and self.world.may_read(user, self.world.channels[channel]):
            return post
        raise LookupError(f"{self.world.users[user].name} sees no message {ts}")

    def _action(self, blocks: Sequence[dict[str, Any]], action_id: str, value: str | None) -> dict[str, Any]:
        for block, element in elements(blocks):
            if element["action_id"] == action_id and (action := acted(block, element, value)):
                return action | {"action_ts": self.world.new_ts()}
        raise LookupError(f"nothing to press called {action_id} with value {value}")

    def click_in_view(self, user: str, view_id: str, action_id: str, value: str | None = None) -> Interaction:
        """Somebody presses or chooses something in a modal or in their home tab."""
        with self.world.lock:
            view = self._view(view_id, user)
            payload = interaction(self.world, self.world.users[user], "block_actions") | {
                "container": {"type": "view", "view_id": view_id},
                "view": view_json(self.world, view),
                "actions": [self._action(view.body.get("blocks", []), action_id, value)],
            }
        return self.outgoing.interact("interactive", payload)

    def _view(self, view_id: str, user: str | None = None) -> OpenView:
        view = self.world.views.get(view_id)
        if view is None or view.closed or user not in (None, view.user):
            raise LookupError(f"no view {view_id} is open")
        return view

    def submit(self, view_id: str, values: dict[str, Any] | None = None, within_s: float = 60.0) -> Interaction:
        """The person with this view sends it, and reads the answer; a view that goes well is closed after it.

        *values*: block id or action id → what was typed or chosen. Returns once the app has answered, or did not in
        time. https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload
        """
        with self.world.lock:
            view = self._view(view_id)
            view.body["state"] = state_of(view, values or {})
            payload = interaction(self.world, self.world.users[view.user], "view_submission")
            payload |= {"view": view_json(self.world, view), "response_urls": []}
        sent = self.outgoing.interact("interactive", payload, lambda answer: answered(self.world, view, answer))
        sent.ended.wait(within_s)
        return sent

    def close_view(self, view_id: str) -> Interaction | None:
        """The person with this view closes it; the app hears of it if the view asks for that (``notify_on_close``)."""
        with self.world.lock:
            view = self._view(view_id)
            view.closed = True
            payload = interaction(self.world, self.world.users[view.user], "view_closed")
            payload.pop("trigger_id")
            payload |= {"view": view_json(self.world, view), "is_cleared": False}
        return self.outgoing.interact("interactive", payload) if view.body.get("notify_on_close") else None

    def message_shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Interaction:
        """Somebody uses a shortcut on a message: https://docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload."""
        if not self.outgoing.options.manifest.has_shortcut(callback_id):
            raise LookupError(f"{callback_id} is not a shortcut of this app")
        with self.world.lock:
            post, place = self._before(user, channel, ts), self.world.channels[channel]
            payload = interaction(self.world, self.world.users[user], "message_action") | {
                "callback_id": callback_id, "action_ts": self.world.new_ts(), "message_ts": ts,
                "channel": {"id": channel, "name": channel_json(self.world, place).get("name", "directmessage")},
                "response_url": self._response_url(channel, user, None), "message": message_json(self.world, post),
            }  # fmt: skip
        return self.outgoing.interact("interactive", payload)
