"""A Slack workspace in memory: who is there, what was posted, and who could ever have read it.

Follows the object types of https://docs.slack.dev/reference/objects. Every function holds the world's lock: the tests'
threads and the server's own use it at the same time.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from app.testing.slack_blocks import strings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Kind = Literal["channel", "group", "im", "mpim"]
FOREVER = float("inf")
RESPONSE_USES, RESPONSE_S = 5, 30 * 60.0  # https://docs.slack.dev/interactivity/handling-user-interaction
TRIGGER_S = 3.0


def new_id(prefix: str) -> str:
    """Return an id as Slack writes them: a letter that tells the kind, then capitals and digits."""
    return f"{prefix}0{secrets.token_hex(5).upper()}"


@dataclass
class User:
    """Somebody, or a bot: https://docs.slack.dev/reference/objects/user-object."""

    id: str
    name: str
    email: str | None
    team_id: str
    restricted: bool = False
    ultra_restricted: bool = False
    is_admin: bool = False
    is_bot: bool = False
    deleted: bool = False
    locale: str = "en-US"
    gone_at: float = FOREVER

    @property
    def guest(self) -> bool:
        """Whether this is a guest of the workspace, who sees the channels that they were added to only."""
        return self.restricted or self.ultra_restricted


@dataclass
class Channel:
    """A conversation: https://docs.slack.dev/reference/objects/conversation-object."""

    id: str
    name: str
    kind: Kind
    shared: bool = False
    user: str = ""  # of a direct message
    created: float = field(default_factory=time.time)
    spans: list[list[Any]] = field(default_factory=list)  # [user id, joined, left]

    @property
    def members(self) -> list[str]:
        """Who is in it now, in the order of joining."""
        return [user for user, _, left in self.spans if left == FOREVER]


@dataclass
class Version:
    """What a message said between two moments."""

    text: str
    blocks: list[dict[str, Any]]
    since: float
    until: float = FOREVER


@dataclass
class Post:
    """A message as the workspace keeps it: https://docs.slack.dev/reference/events/message."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[dict[str, Any]]
    thread_ts: str | None = None
    bot_id: str | None = None
    only_for: str | None = None  # ephemeral: who sees it
    metadata: dict[str, Any] | None = None
    subtype: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    client_msg_id: str | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None
    state: Literal["", "streaming", "streamed"] = ""
    streamed: str = ""
    edited: dict[str, str] | None = None
    deleted: bool = False
    reactions: list[tuple[str, str]] = field(default_factory=list)  # (name, user)
    versions: list[Version] = field(default_factory=list)
    shown: tuple[Any, Message] | None = None  # what tests were shown last


@dataclass(frozen=True)
class Message:
    """A message as a test sees it. ``history`` has every text that it ever had, ``streamed`` all that was streamed.

    ``unfurl_links`` and ``unfurl_media`` are what the app asked for, None where it said nothing.
    """

    ts: str
    thread_ts: str | None
    user: str
    text: str
    blocks: tuple[dict[str, Any], ...]
    metadata: dict[str, Any] | None
    streaming: bool
    streamed: str
    edited: bool
    deleted: bool
    unfurl_links: bool | None
    unfurl_media: bool | None
    history: tuple[str, ...]
    subtype: str | None
    reactions: tuple[tuple[str, str], ...]
    channel: str


@dataclass
class OpenView:
    """A modal or a home tab that somebody has before them: https://docs.slack.dev/reference/views."""

    id: str
    user: str
    body: dict[str, Any]
    root: str
    previous: str | None = None
    external_id: str = ""
    hash: str = ""
    closed: bool = False
    versions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """A status that the app has set in a thread, ``""`` where it took it away."""

    channel: str
    thread_ts: str
    status: str
    loading_messages: tuple[str, ...]
    at: float


@dataclass(frozen=True)
class Prompts:
    """Prompts that the app suggested."""

    channel: str
    thread_ts: str | None
    title: str | None
    prompts: tuple[dict[str, str], ...]


@dataclass
class Reply:
    """A ``response_url``: five uses, thirty minutes."""

    channel: str
    user: str
    message_ts: str | None
    thread_ts: str | None = None
    expires: float = 0.0
    uses: int = 0


class World:
    """The workspace. ``announce`` is called with each event that Slack would send for what happens in it."""

    def __init__(
        self, announce: Callable[[dict[str, Any], Channel | None], None], trigger_s: float = TRIGGER_S
    ) -> None:
        self.lock = threading.RLock()
        self.announce, self.trigger_s = announce, trigger_s
        self.team_id, self.app_id, self.bot_id = new_id("T"), new_id("A"), new_id("B")
        self.domain = "example"
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.posts: list[Post] = []
        self.by_ts: dict[tuple[str, str], Post] = {}  # (channel, ts) → message
        self.by_channel: dict[str, list[Post]] = {}
        self.by_thread: dict[tuple[str, str], list[Post]] = {}  # (channel, ts of the first) → messages
        self.by_reader: dict[str, list[Post]] = {}  # user → what only they see
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.views: dict[str, OpenView] = {}
        self.triggers: dict[str, tuple[str, float]] = {}  # trigger id → (user, until)
        self.replies: dict[str, Reply] = {}
        self.statuses: list[Status] = []
        self.shown_status: dict[tuple[str, str], str] = {}
        self.prompts: list[Prompts] = []
        self.titles: dict[tuple[str, str], str] = {}
        self._last_ts = 0
        self.bot = User(new_id("U"), "metier", None, self.team_id, is_bot=True)
        self.users[self.bot.id] = self.bot

    def new_ts(self) -> str:
        """Return the time as Slack writes it, later than every one before."""
        with self.lock:
            self._last_ts = max(self._last_ts + 1, int(time.time() * 1_000_000))
            return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def user(self, user_id: str) -> User:
        """Return the user. Raises KeyError for nobody."""
        return self.users[user_id]

    def direct(self, user_id: str) -> Channel:
        """Return the direct conversation of a user with the app; it is there from the first time on."""
        with self.lock:
            for channel in self.channels.values():
                if channel.kind == "im" and channel.user == user_id:
                    return channel
            channel = Channel(new_id("D"), "directmessage", "im", user=user_id)
            channel.spans = [[user_id, 0.0, FOREVER], [self.bot.id, 0.0, FOREVER]]
            self.channels[channel.id] = channel
            return channel

    def open(self, channel: Channel, users: Iterable[str]) -> Channel:
        """Begin a conversation of these users."""
        with self.lock:
            self.channels[channel.id] = channel
            self.join(channel, users)
            return channel

    def join(self, channel: Channel, users: Iterable[str]) -> None:
        """Make them members from now on."""
        with self.lock:
            now = time.time()
            channel.spans += [[user, now, FOREVER] for user in users if user not in channel.members]

    def leave(self, channel: Channel, user_id: str) -> None:
        """Make somebody no member from now on."""
        with self.lock:
            for span in channel.spans:
                if span[0] == user_id and span[2] == FOREVER:
                    span[2] = time.time()

    def may_read(self, user_id: str, channel: Channel) -> bool:
        """Return whether this person can open the channel now."""
        user = self.users[user_id]
        if user_id in channel.members:
            return not user.deleted
        own = user.team_id == self.team_id and not user.guest and not user.deleted
        return channel.kind == "channel" and own

    def add(self, post: Post) -> Post:
        """Keep a message; one of the app takes its status in that thread away."""
        with self.lock:
            post.versions.append(Version(post.text, post.blocks, time.time()))
            self.posts.append(post)
            self.by_ts[post.channel, post.ts] = post
            self.by_channel.setdefault(post.channel, []).append(post)
            self.by_thread.setdefault((post.channel, post.thread_ts or post.ts), []).append(post)
            if post.only_for:
                self.by_reader.setdefault(post.only_for, []).append(post)
            if post.bot_id and post.thread_ts:
                self.shown_status.pop((post.channel, post.thread_ts), None)
            return post

    def change(self, post: Post, text: str, blocks: list[dict[str, Any]]) -> None:
        """Let a message say something else from now on."""
        with self.lock:
            now = time.time()
            post.versions[-1].until = now
            post.text, post.blocks = text, blocks
            post.versions.append(Version(text, blocks, now))

    def remove(self, post: Post) -> None:
        """Take a message away."""
        with self.lock:
            post.deleted = True
            post.versions[-1].until = time.time()

    def find(self, channel: str, ts: str) -> Post | None:
        """Return the message of *channel* at *ts*, if it is there; not one for one person only."""
        with self.lock:
            post = self.by_ts.get((channel, ts))
            return post if post and not post.deleted and post.only_for is None else None

    def thread(self, channel: str, ts: str) -> list[Post]:
        """Return a message and its replies, oldest first."""
        with self.lock:
            mine = self.by_thread.get((channel, ts), ())
            return [each for each in mine if not each.deleted and each.only_for is None]

    def trigger(self, user_id: str) -> str:
        """Return a new trigger id, with which the app can open a view in the next ``trigger_s``."""
        with self.lock:
            trigger = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**13)}.{secrets.token_hex(16)}"
            self.triggers[trigger] = (user_id, time.time() + self.trigger_s)
            return trigger

    def reply_token(self, channel: str, user: str, message_ts: str | None, thread_ts: str | None) -> str:
        """Return the secret end of a new ``response_url``."""
        with self.lock:
            token = f"{self.team_id}/{secrets.randbelow(10**13)}/{secrets.token_urlsafe(18)}"
            self.replies[token] = Reply(channel, user, message_ts, thread_ts, time.time() + RESPONSE_S)
            return token

    def seen_by(self, user_id: str, *, from_app: bool = False) -> list[str]:
        """Return every text that this person could ever have read; of the app only, with *from_app*."""
        with self.lock:
            user, found = self.users[user_id], []
            for post in self.posts:
                if from_app and post.user != self.bot.id:
                    continue
                for version in post.versions:
                    if self._could_read(user, post, version):
                        found += [version.text, *strings(version.blocks)]
            for view in self.views.values():
                if view.user == user_id:
                    found += [text for body in view.versions for text in strings(body)]
            for prompts in self.prompts:
                if self.may_read(user_id, self.channels[prompts.channel]):
                    found += [prompts.title or "", *(text for each in prompts.prompts for text in each.values())]
            return [text for text in found if text]

    def _could_read(self, user: User, post: Post, version: Version) -> bool:
        if post.only_for is not None:
            return post.only_for == user.id
        channel = self.channels[post.channel]
        if channel.kind == "channel" and user.team_id == self.team_id and not user.guest:
            return version.since <= user.gone_at
        return any(
            who == user.id and joined <= version.until and version.since <= min(left, user.gone_at)
            for who, joined, left in channel.spans
        )


def message_of(post: Post) -> Message:
    """Return *post* as tests see it; the same one as before where nothing has changed: tests ask over and over."""
    now = (len(post.versions), post.state, post.deleted, len(post.reactions), post.only_for, post.edited is None)
    if post.shown is None or post.shown[0] != now:
        post.shown = (now, _message_of(post))
    return post.shown[1]


def _message_of(post: Post) -> Message:
    return Message(
        ts=post.ts,
        thread_ts=post.thread_ts,
        user=post.user,
        text=post.text,
        blocks=tuple(post.blocks),
        metadata=post.metadata,
        streaming=post.state == "streaming",
        streamed=post.streamed,
        edited=post.edited is not None,
        deleted=post.deleted,
        unfurl_links=post.unfurl_links,
        unfurl_media=post.unfurl_media,
        history=tuple(dict.fromkeys(version.text for version in post.versions)),
        subtype=post.subtype,
        reactions=tuple(post.reactions),
        channel=post.channel,
    )
