"""A workspace of the fake Slack beside the program, and people in it who are linked, ask, click and fill in forms.

What they do is read by the program's own reader and done at once, in the test's own thread.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.history import AnswerRecord, record_answer
from app.metrics import Metrics
from app.retrieve import retrieve
from app.slack import blocks, deliver, experts, feedback, store_people, store_workspaces
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.incoming import read
from app.slack.records import Job, Place, Post, Visibility, Workspace
from app.tables_slack import SlackPostRow
from app.testing.slack import FakeSlack
from indexing import principals
from indexing.access import authorise
from indexing.secrets import store_secret
from indexing.tables import EVERYONE
from tests.faces import face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.events import Citation
    from indexing.documents import Passage
    from tests.faces import Face

ACTIONS: dict[str, Callable[[Bot, Job], None]] = {**feedback.ACTIONS, **experts.ACTIONS}
VIEWS: dict[str, Callable[[Bot, Job], None]] = {**feedback.VIEWS, **experts.VIEWS}


@dataclass
class Desk:
    """The fake workspace, the bot in it, and the program behind it."""

    slack: FakeSlack
    bot: Bot
    face: Face

    def member(self, name: str, *, role: str = "reader", linked: bool = True, **flags: Any) -> str:
        """Return the Slack id of a new member; *linked*: to a new principal of that name."""
        user = self.slack.add_user(name, f"{name}@example.com", **flags)
        if linked:
            with self.bot.parts.catalog.transaction() as session:
                made = principals.add_principal(session, "user", name, role=role)
                store_people.link(session, self.slack.team_id, user, made.id, store_people.ADMIN)
        from app.slack import who

        who.person(self.bot, user)
        return user

    def principal(self, name: str) -> int:
        with self.bot.parts.catalog.reading() as session:
            found = principals.principal_named(session, name)
        assert found is not None
        return found.id

    def curates(self, specialist: str, *names: str) -> None:
        body = {"curators": list(names)}
        assert self.face.http.put(f"/v1/specialists/{specialist}/access", json=body).status_code == 200

    def answered(self, user: str, channel: str, visibility: Visibility, **of: Any) -> tuple[str, str]:
        """Return the id of an answer and the ts of its post. *of*: fields of the record; ``principal`` is a name."""
        name = of.pop("principal", EVERYONE)
        answer_id = str(uuid.uuid4())
        record = AnswerRecord(
            id=answer_id,
            principal_id=self.principal(name),
            question=of.pop("question", "How many days of paid leave does every employee have?"),
            text=of.pop("text", "Every employee has 25 days of paid leave [1]."),
            citations=of.pop("citations", ()),
            passages=(),
            finish_reason=of.pop("finish_reason", "stop"),
            confidence=None,
            generator="reader",
            language="en",
            seconds=0.1,
            indexed_through=0,
            specialist=of.pop("specialist", "metier"),
            **of,
        )
        view = blocks.AnswerView(answer_id, record.text, record.citations)
        message = blocks.answer_message(view, "en", visibility=visibility, public_url=None)
        place = Place(channel, user, self.slack.team_id)
        ts = deliver.deliver(self.bot, place, message, visibility)
        with self.bot.parts.catalog.transaction() as session:
            record_answer(session, record)
            post = Post(self.slack.team_id, channel, ts, "", visibility, user, answer_id)
            columns = {name: getattr(post, name) for name in Post.__slots__}
            session.add(SlackPostRow(**columns, at=record.asked_at or _now()))
        return answer_id, ts

    def click(self, user: str, channel: str, ts: str, action_id: str, value: str | None = None, **more: Any) -> None:
        """Press something. *more*: ``attempts`` of the job; ``forged``, another value than the button's."""
        self.do(self.slack.click(user, channel, ts, action_id, value).payload, **more)

    def submit(self, user: str, values: dict[str, Any], **more: Any) -> None:
        """Send the form that *user* has open. *more*: as for ``click``; ``forged`` is the hidden text."""
        [view] = [each for each in self.slack.views(user) if each.body["type"] == "modal"]
        self.do(self.slack.submit(view.id, values, within_s=0).payload, **more)
        view.closed = True

    def do(self, payload: dict[str, Any], *, attempts: int = 1, forged: str | None = None) -> None:
        incoming = read(payload, self.slack.bot_user_id)
        assert incoming is not None
        if incoming.kind == "action":
            if forged is not None:
                action = {**incoming.payload["action"], "value": forged}
                incoming = replace(incoming, payload={**incoming.payload, "action": action})
            handle = ACTIONS[incoming.payload["action"]["action_id"].partition(":")[0]]
        else:
            if forged is not None:
                incoming = replace(incoming, payload={**incoming.payload, "private_metadata": forged})
            handle = VIEWS[incoming.payload["callback_id"]]
        handle(self.bot, Job(1, incoming, "claim", attempts, None))

    def told(self, user: str) -> str:
        """Return what only *user* was shown last."""
        return self.slack.ephemerals(user)[-1].text

    def direct(self, user: str) -> list[Any]:
        """Return what the bot wrote to *user* in direct messages."""
        return self.slack.replies(self.slack.direct(user))


def _now() -> Any:
    from indexing.tables import utc_now

    return utc_now()


def rows(desk: Desk, table: Any) -> list[Any]:
    """Return all rows of a table."""
    with desk.bot.parts.catalog.reading() as session:
        found = list(session.scalars(select(table)))
        session.expunge_all()
    return found


def found_for(desk: Desk, name: str, question: str) -> tuple[Passage, ...]:
    """Return the passages that the principal called *name* finds."""
    parts = desk.bot.parts
    with parts.catalog.reading() as session:
        scope = authorise(session, desk.principal(name))
    found = retrieve(question, scope=scope, catalog=parts.catalog, index=parts.index, embedder=parts.embedder, top_k=8)
    return found.passages


def cited(desk: Desk, name: str, question: str) -> tuple[Citation, ...]:
    """Return citations of what *name* may read about the question."""
    from app.events import Citation

    passages = found_for(desk, name, question)
    return tuple(
        Citation(n, p.chunk_id, p.document_id, p.source, p.uri, p.title, None, p.text, p.start, p.end)
        for n, p in enumerate(passages[:1], 1)
    )


@contextlib.contextmanager
def desk(settings: Any, **overrides: Any) -> Iterator[Desk]:
    """Run the program and a workspace with the bot in it."""
    with FakeSlack(ack_within_s=0.01, trigger_s=60) as slack, face(settings, **overrides) as made:
        workspace = Workspace(
            team_id=slack.team_id,
            name="Example",
            app_id=slack.app_id,
            bot_user_id=slack.bot_user_id,
            api_url=slack.api_url,
            transport="socket",
            bot_secret="slack-bot",
            app_secret="slack-app",
            signing_secret=None,
            domains=(),
            outsiders="nothing",
        )
        store_secret(settings.data_dir, "slack-bot", slack.bot_token)
        with made.parts.catalog.transaction() as session:
            store_workspaces.connect(session, workspace)
        bot = Bot(made.parts, Metrics(), workspace, Slack(slack.bot_token, slack.api_url))
        yield Desk(slack, bot, made)
