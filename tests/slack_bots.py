"""A bot in a fake workspace, with documents that some may read and others not; what people do there is done at once.

What they write goes through the program's own reader, inbox and claims, and is handled in the test's own thread. So a
test can let a step fail, and begin the job once more as another process would.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.metrics import Metrics
from app.quotas import Quotas
from app.slack import store_channels, store_inbox, store_people, store_workspaces
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.handle import handle, sign
from app.slack.incoming import read
from app.slack.records import Policy, Workspace
from app.testing.slack import FakeSlack
from indexing import grants, principals
from indexing.tables import EVERYONE
from tests.faces import LEAVE, face

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.slack.records import Incoming, Job
    from tests.faces import Face

SECRET = "# Salaries\n\nThe salary of every director is 123456 euros a year."
QUESTION = "How many days of paid leave does every employee have?"
ABOUT_SECRET = "What is the salary of every director?"
UNKNOWN = "Which colour does the roof of the Osaka office have?"


@dataclass
class Town:
    """The workspace, the bot in it, and the program behind it. ``leave`` is public, ``pay`` is for ``ann`` alone."""

    slack: FakeSlack
    bot: Bot
    face: Face
    ann: str = ""
    bob: str = ""
    channel: str = ""
    taken: list[Incoming] = field(default_factory=list)

    # --- who and what -----------------------------------------------------------------------------------------

    def member(self, name: str, *, linked: bool = True, **flags: Any) -> str:
        """Return the Slack id of a new person; *linked*: to a new principal of that name."""
        from app.slack import who

        user = self.slack.add_user(name, f"{name}@example.com", **flags)
        who.person(self.bot, user)
        if linked:
            with self.bot.parts.catalog.transaction() as session:
                made = principals.add_principal(session, "user", name)
                store_people.link(session, self.slack.team_id, user, made.id, store_people.ADMIN)
        return user

    def principal(self, name: str) -> int:
        with self.bot.parts.catalog.reading() as session:
            found = principals.principal_named(session, name)
        assert found is not None
        return found.id

    def policy(self, channel: str | None = None, **fields: Any) -> None:
        """Set the policy of a channel; with the specialist who answers whatever the confidence is."""
        wanted = Policy(**({"specialist": "bold"} | fields))
        with self.bot.parts.catalog.transaction() as session:
            store_channels.set_policy(session, self.slack.team_id, channel or self.channel, wanted, None)

    # --- what they do -----------------------------------------------------------------------------------------

    def message(self, user: str, channel: str, text: str, thread_ts: str | None = None, **event: Any) -> Incoming:
        """Write a message, and return what the bot reads of it."""
        ts = self.slack.say(user, channel, text, thread_ts)
        said = {
            "type": "message",
            "channel": channel,
            "channel_type": "im" if channel.startswith("D") else "channel",
            "user": user,
            "team": self.slack.team_id,
            "ts": ts,
            "text": text,
        } | event
        if thread_ts:
            said["thread_ts"] = thread_ts
        return self._read({"type": "event_callback", "event": said})

    def command(self, user: str, text: str, channel: str | None = None) -> Incoming:
        """Type ``/ask`` and *text*, and return what the bot reads of it."""
        return self._read(self.slack.command(user, channel or self.channel, "/ask", text).payload)

    def click(self, user: str, message: Any, action_id: str) -> Incoming:
        return self._read(self.slack.click(user, message.channel, message.ts, action_id).payload)

    def _read(self, body: dict[str, Any]) -> Incoming:
        team = self.slack.team_id
        authorizations = [{"team_id": team, "user_id": self.slack.bot_user_id, "is_bot": True}]
        found = read({"team_id": team, "authorizations": authorizations} | body, self.slack.bot_user_id)
        assert found is not None
        return found

    # --- what the bot does ------------------------------------------------------------------------------------

    def accept(self, incoming: Incoming) -> int | None:
        with self.bot.parts.catalog.transaction() as session:
            return store_inbox.accept(session, incoming)

    def claim(self, lane: str = "answer") -> Job | None:
        with self.bot.parts.catalog.transaction() as session:
            return store_inbox.claim(session, self.slack.team_id, lane)

    def again(self, job: Job) -> Job:
        """Return the job as another worker has it, after the one who had it died."""
        with self.bot.parts.catalog.transaction() as session:
            assert store_inbox.again(session, job, "died", 0)
        found = self.claim(job.incoming.lane)
        assert found is not None
        return found

    def done(self, job: Job, *, signed: bool = True) -> None:
        if signed and job.incoming.lane == "answer":
            sign(self.bot, job, 0)
        handle(self.bot, job)
        with self.bot.parts.catalog.transaction() as session:
            store_inbox.finish(session, job)

    def do(self, incoming: Incoming) -> None:
        """Do what was read, and what follows from it."""
        self.accept(incoming)
        self.work()

    def work(self) -> None:
        while (job := self.claim("quick") or self.claim("answer")) is not None:
            self.done(job)

    def mention(self, user: str, text: str, thread_ts: str | None = None) -> str:
        """Mention the bot in the channel, and return the ts of that."""
        incoming = self.message(user, self.channel, f"<@{self.slack.bot_user_id}> {text}", thread_ts)
        self.do(incoming)
        return incoming.ts

    def say(self, user: str, text: str, thread_ts: str | None = None) -> str:
        incoming = self.message(user, self.channel, text, thread_ts)
        self.do(incoming)
        return incoming.ts

    def direct(self, user: str, text: str, thread_ts: str | None = None) -> str:
        incoming = self.message(user, self.slack.direct(user), text, thread_ts)
        self.do(incoming)
        return incoming.ts

    def ask(self, user: str, text: str) -> None:
        self.do(self.command(user, text))

    def replies(self, thread_ts: str | None = None, channel: str | None = None) -> list[Any]:
        return self.slack.replies(channel or self.channel, thread_ts)

    def limited(self, **limits: Any) -> None:
        self.bot = replace(self.bot, quotas=Quotas(limits.get("requests"), limits.get("answers")))


def said(message: Any) -> str:
    """Return all words of a message."""
    from app.testing.slack_blocks import strings

    return "\n".join([message.text, *strings(list(message.blocks))])


@contextlib.contextmanager
def town(settings: Any, *, outsiders: str = "nothing", **overrides: Any) -> Iterator[Town]:
    """Yield a workspace with Ann and Bob in a public channel, and the documents that they ask about."""
    with FakeSlack(trigger_s=60) as slack, face(settings, **overrides) as found:
        workspace = Workspace(
            slack.team_id, "Corp", slack.app_id, slack.bot_user_id, slack.api_url, "socket", "slack-bot", "slack-app",
            None, (), outsiders,
        )  # fmt: skip
        with found.parts.catalog.transaction() as session:
            store_workspaces.connect(session, workspace)
        bot = Bot(found.parts, Metrics(), workspace, Slack(slack.bot_token, slack.api_url))
        made = Town(slack, bot, found)
        made.ann, made.bob = made.member("ann"), made.member("bob")
        made.channel = slack.add_channel("general", [made.ann, made.bob])
        leave, pay = found.add_source("leave"), found.add_source("pay")
        assert found.push(leave, "hr/leave.md", LEAVE).status_code == 201
        assert found.push(pay, "hr/pay.md", SECRET).status_code == 201
        with found.parts.catalog.transaction() as session:
            everyone = principals.principal_named(session, EVERYONE)
            ann = principals.principal_named(session, "ann")
            assert everyone is not None
            assert ann is not None
            grants.set_readers(session, leave, {everyone.id})
            grants.set_readers(session, pay, {ann.id})
        body = {"name": "bold", "threshold": 0, "askers": ["everyone"]}
        assert found.http.post("/v1/specialists", json=body).status_code == 201
        for channel in (made.channel, slack.direct(made.ann), slack.direct(made.bob)):
            made.policy(channel)
        yield made
