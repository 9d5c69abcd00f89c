"""A workspace of the fake Slack and people in it, whose forms, shortcuts and files are read and done at once."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.metrics import Metrics
from app.slack import settings_modal, shortcut, store_people, store_workspaces
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.incoming import read
from app.slack.records import Job
from app.slack.who import person
from app.testing.slack import FakeSlack
from app.wiring import close
from indexing import principals
from tests.slacks import fake_parts, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.parts import Parts
    from app.slack.records import Incoming

VIEWS = {**settings_modal.VIEWS, **shortcut.VIEWS}


@dataclass
class Room:
    """The fake workspace, the bot in it, and the parts behind it."""

    slack: FakeSlack
    bot: Bot
    parts: Parts
    author: str = ""  # of messages
    jobs: int = 0
    principals: dict[str, int] = field(default_factory=dict)

    def member(self, name: str, *, role: str = "reader", linked: bool = True, **flags: Any) -> str:
        """Return the Slack id of somebody new; *linked*: to a new principal of that name."""
        user = self.slack.add_user(name, f"{name}@example.com", **flags)
        person(self.bot, user)
        if linked:
            with self.parts.catalog.transaction() as session:
                self.principals[user] = principals.add_principal(session, "user", name, role=role).id
                store_people.link(session, self.slack.team_id, user, self.principals[user], store_people.ADMIN)
        return user

    def job(self, incoming: Incoming, number: int | None = None, attempts: int = 1) -> Job:
        self.jobs += 1
        return Job(number or self.jobs, incoming, "claim", attempts, None)

    def command(self, user: str, channel: str, text: str) -> Job:
        return self.job(self.read(self.slack.command(user, channel, "/ask", text).payload))

    def read(self, payload: dict[str, Any]) -> Incoming:
        found = read(payload, self.slack.bot_user_id)
        assert found is not None
        return found

    def modal(self, user: str) -> Any:
        """Return the one modal that is before *user*."""
        [view] = [each for each in self.slack.views(user) if each.body["type"] == "modal"]
        return view

    def submit(self, user: str, values: dict[str, Any]) -> Job:
        """Send the form that *user* has open, and do what it asks for."""
        view = self.modal(user)
        job = self.job(self.read(self.slack.submit(view.id, values, within_s=0).payload))
        view.closed = True
        VIEWS[view.body["callback_id"]](self.bot, job)
        return job

    def shown_to(self, user: str) -> str:
        """Return all that this person could ever have seen of the bot."""
        return "\n".join(self.slack.seen_by(user, from_app=True))


def text_of(view: Any) -> str:
    return json.dumps(view.body, ensure_ascii=False)


@contextlib.contextmanager
def room(settings: Any, **overrides: Any) -> Iterator[Room]:
    """Run a fake workspace beside the program's parts, which may reach it."""
    with FakeSlack(trigger_s=60) as slack:
        allowed = slack.api_url.split("/")[2]
        parts = fake_parts(settings(outbound_allow=(allowed,), **overrides))
        where = workspace(api_url=slack.api_url, team_id=slack.team_id, bot_user_id=slack.bot_user_id)
        try:
            with parts.catalog.transaction() as session:
                store_workspaces.connect(session, where)
            yield Room(slack, Bot(parts, Metrics(), where, Slack(slack.bot_token, slack.api_url)), parts)
        finally:
            close(parts)
