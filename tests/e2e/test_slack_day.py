"""A day in a workspace: thirteen people, six kinds of channel, three replicas that are killed, a Slack that repeats.

Every question has one answer, and nobody reads a word of a document that they may not: each document has a word of its
own, and all that each person could ever read of the bot is searched for the words that a small model, dictionaries and
sets, forbids (the oracle of tests/integration/test_doors.py). ``make test EXAMPLES=1000`` asks a thousand questions.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml

from app import people, specialists, specialists_access
from app.slack import connecting, store_channels, store_people, store_workspaces
from app.slack.records import Policy, Workspace
from app.specialists import Asker, Specialist
from app.testing.slack import FakeSlack
from indexing import grants, principals, push, store
from indexing.access import authorise
from indexing.pipeline import Indexing
from indexing.tables import LOCAL_PRINCIPAL_ID
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import wait_until

QUESTIONS = max(40, int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
LEASE_S = 3.0
STAFF = ("ann", "bob", "cleo", "dan", "eve", "flo", "gus", "hal", "ida")
#: Who is of the staff in the morning, and a guest from the middle of the day on.
LEAVES = "jo"
MEMBERS = (*STAFF, LEAVES)
#: Groups of the company, and who is in them.
GROUPS = {"staff": MEMBERS, "board": ("ann", "bob"), "hr": ("bob", "cleo", "dan"), "sales": ("eve", "flo")}
#: Source → who may read it.
SOURCES = {
    "handbook": ("everyone",),
    "plans": ("board",),
    "salaries": ("hr",),
    "offers": ("sales", "ann"),
    "rota": ("staff",),
}
TOPICS = ("badge", "parking", "canteen", "laptop", "printer", "garden")


class Company:
    """Who may read which word: the model, written without a line of the program's own rules."""

    def __init__(self):
        self.readers = {}  # word → names

    def may_read(self, name, word):
        readers = self.readers[word]
        inside = name in MEMBERS
        return "everyone" in readers or (
            inside and (name in readers or any(name in GROUPS.get(g, ()) for g in readers))
        )


def fill(catalog, settings, company):
    """Store people, groups, sources and documents; return the topics that there is a document about."""
    topics = []
    with catalog.transaction() as session:
        ids = {name: principals.add_principal(session, "user", name) for name in MEMBERS}
        for group, members in GROUPS.items():
            team = principals.add_principal(session, "group", group)
            for name in members:
                principals.join_group(session, team, ids[name])
        made = {name: store.add_source(session, name, "push", "") for name in SOURCES}
        for name, source in made.items():
            grants.set_readers(session, source.id, {people.principal(session, each).id for each in SOURCES[name]})
        operator = Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)
        specialists.create_specialist(session, operator, Specialist("bold", threshold=0.0))
        specialists_access.change_access(session, operator, "bold", askers=["everyone"])
    settings.data_dir.mkdir(exist_ok=True)
    indexing = Indexing(catalog, HashEmbedder(), FakeParsers(), settings)
    for name, source in made.items():
        for topic in TOPICS:
            word = f"qv{name}{topic}zk"
            company.readers[word] = SOURCES[name]
            topics.append(f"{name} {topic}")
            file = settings.data_dir / "pushed.md"
            file.write_text(f"# {word} {topic}\n\nThe {name} code of the {topic} is {word}.\n")
            push.push_document(indexing, source, f"{name}/{topic}-{word}.md", file)
    return topics


class Day:
    """The fake workspace, and what was asked in it."""

    def __init__(self, slack, catalog, topics, chance):
        self.slack, self.catalog, self.topics, self.chance = slack, catalog, topics, chance
        self.users = {name: slack.add_user(name, f"{name}@corp.example") for name in (*MEMBERS, "new")}
        self.users["guest"] = slack.add_user("guest", "guest@corp.example", restricted=True)
        self.users["partner"] = slack.add_user("partner", "p@other.example", stranger_team="T0OTHER")
        members = self.users
        channel = slack.add_channel
        self.channels = {
            "general": channel("general", [members[n] for n in (*STAFF, "new", "guest")]),
            "board": channel("board", [members[n] for n in ("ann", "bob")], private=True),
            "mixed": channel("mixed", [members[n] for n in ("bob", "cleo", "ann")], private=True),
            "several": slack.add_group_message(*(members[n] for n in ("ann", "bob", "cleo"))),
            "odd": channel("odd", [members[n] for n in ("bob", "new")], private=True),
            "shared": channel("shared", [members[n] for n in ("ann", "eve", "partner")], shared=True),
            "help": channel("help", [members[n] for n in STAFF]),
            "chat": channel("chat", [members[n] for n in STAFF]),
        }
        self.directs = {name: slack.direct(user) for name, user in self.users.items() if name != "partner"}
        self.threads: Counter[tuple[str, str]] = Counter()  # (channel, thread) → questions in it
        self.commands: Counter[str] = Counter()  # user → /ask
        self.joined: list[tuple[str, str]] = []  # (channel, thread)
        self.number = itertools.count()

    def connect(self):
        """Install the bot, link people, and say how it behaves where."""
        slack = self.slack
        workspace = Workspace(
            slack.team_id, "corp", slack.app_id, slack.bot_user_id, slack.api_url, "socket",
            "slack-bot", "slack-app", None, (), "nothing",
        )  # fmt: skip
        policies = dict.fromkeys([*self.channels.values(), *self.directs.values()], Policy(specialist="bold"))
        policies[self.channels["help"]] = Policy(answers="questions", specialist="bold")
        policies[self.channels["chat"]] = Policy(answers="all", specialist="bold")
        with self.catalog.transaction() as session:
            store_workspaces.connect(session, workspace)
            for name in MEMBERS:
                who = people.principal(session, name)
                store_people.link(session, slack.team_id, self.users[name], who.id, "admin")
            for channel, policy in policies.items():
                store_channels.set_policy(session, slack.team_id, channel, policy, "cli")

    def ask(self):
        """Let somebody ask something in some way, and note where the answer is expected."""
        way = self.chance.choice(("mention", "mention", "direct", "command", "follow", "help", "chat", "edit", "idle"))
        text = f"What is the {self.chance.choice(self.topics).replace(' ', ' code of the ')} (n° {next(self.number)})?"
        getattr(self, f"_{way}")(text)

    def _somebody(self, channel):
        inside = self.slack.world.channels[self.channels[channel]].members
        return self.chance.choice([name for name, user in self.users.items() if user in inside])

    def _mention(self, text):
        channel = self.chance.choice(("general", "board", "mixed", "several", "odd", "shared"))
        name = self._somebody(channel)
        said = f"<@{self.slack.bot_user_id}> {text}"
        ts = self.slack.say(self.users[name], self.channels[channel], said)
        self.threads[self.channels[channel], ts] += 1
        if name not in ("guest", "partner") and channel != "shared":
            self.joined.append((self.channels[channel], ts))
        return self.channels[channel], ts, name, said

    def _direct(self, text):
        name = self.chance.choice([*STAFF, "new"])
        ts = self.slack.say(self.users[name], self.directs[name], text)
        self.threads[self.directs[name], ts] += 1

    def _command(self, text):
        channel = self.chance.choice(("general", "mixed", "help"))
        name = self._somebody(channel)
        self.slack.command(self.users[name], self.channels[channel], "/ask", text)
        self.commands[self.users[name]] += 1

    def _follow(self, text):
        if not self.joined:
            return
        channel, ts = self.chance.choice(self.joined)
        self.settle()  # a thread is joined once it has its first answer
        name = self.chance.choice([n for n in STAFF if self.users[n] in self.slack.world.channels[channel].members])
        broadcast = self.chance.random() < 0.3
        self.slack.say(self.users[name], channel, text, ts, broadcast=broadcast)
        self.threads[channel, ts] += 1

    def _help(self, text):
        name = self._somebody("help")
        ts = self.slack.say(self.users[name], self.channels["help"], text)
        self.threads[self.channels["help"], ts] += 1

    def _chat(self, text):
        name = self._somebody("chat")
        ts = self.slack.say(self.users[name], self.channels["chat"], text.removesuffix("?"))
        self.threads[self.channels["chat"], ts] += 1

    def _edit(self, text):
        channel, ts, name, said = self._mention(text)
        self.slack.edit(self.users[name], channel, ts, f"{said} Please!")

    def _idle(self, _text):
        """Something that is no question of the bot."""
        name = self._somebody("general")
        ts = self.slack.say(self.users[name], self.channels["general"], "Lunch is ready.")
        self.threads[self.channels["general"], ts] += 0

    def leave_staff(self):
        """Let somebody become a guest between two questions; return what they read before, and after."""
        before = self._reads_of_the_staff("badge")
        self.slack.change_user(self.users[LEAVES], restricted=True)
        wait_until(lambda: not self._is_believed(self.users[LEAVES]))
        return before, self._reads_of_the_staff("parking")

    def _is_believed(self, user):
        with self.catalog.reading() as session:
            known = store_people.known(session, self.slack.team_id, user)
        return known is not None and known.is_believed

    def _reads_of_the_staff(self, topic):
        direct = self.directs[LEAVES]
        ts = self.slack.say(self.users[LEAVES], direct, f"What is the rota code of the {topic}?")
        self.threads[direct, ts] += 1
        self.settle()
        return "\n".join(self.slack.seen_by(self.users[LEAVES], from_app=True))

    def answers(self):
        """Return how many answers there are: by thread, and by user for what only they see."""
        shown: Counter[tuple[str, str]] = Counter()
        for channel, ts in self.threads:
            shown[channel, ts] = sum(not m.streaming for m in self.slack.replies(channel, ts))
        private: Counter[str] = Counter()
        for user in self.users.values():
            for message in self.slack.ephemerals(user):
                if message.deleted:
                    continue
                thread = (message.channel, message.thread_ts or "")
                if thread in self.threads:
                    shown[thread] += 1
                else:
                    private[user] += 1
        return shown, private

    def settle(self, within_s=90):
        """Wait until everything that was asked has been answered."""

        def settled():
            shown, private = self.answers()
            return all(shown[t] >= n for t, n in self.threads.items()) and all(
                private[u] >= n for u, n in self.commands.items()
            )

        try:
            wait_until(settled, within_s=within_s)
        except AssertionError:
            shown, private = self.answers()
            late = [(t, n, shown[t]) for t, n in self.threads.items() if shown[t] < n]
            pytest.fail(
                f"not answered: {late}, {[(u, n, private[u]) for u, n in self.commands.items() if private[u] < n]}"
            )


class Replicas:
    """Three servers on one catalog."""

    def __init__(self, database, folder, secrets):
        self.database, self.folder, self.secrets = database, folder, secrets
        self.processes = {}

    def start(self, number):
        command = [
            sys.executable,
            "-m",
            "tests.slack_server",
            self.database,
            str(self.folder / f"r{number}"),
            str(LEASE_S),
        ]
        environment = os.environ | {"METIER_SECRETS_DIR": str(self.secrets)}
        self.processes[number] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def ready(self, number):
        assert self.processes[number].stdout.readline() == "ready\n"

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number].stdout.close()

    def __enter__(self):
        for number in range(3):
            self.start(number)
        for number in range(3):
            self.ready(number)
        return self

    def __exit__(self, *_):
        for number in list(self.processes):
            self.kill(number)


@pytest.mark.network
@pytest.mark.timeout(240 + 3 * QUESTIONS)
def test_every_question_of_a_day_has_one_answer_and_nobody_reads_what_they_may_not(
    catalog, catalog_url, settings, tmp_path
):
    chance = random.Random(7)
    company = Company()
    topics = fill(catalog, settings(database_url=catalog_url), company)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with FakeSlack(yaml.safe_load(connecting.manifest())) as slack:
        (secrets / "slack-bot").write_text(slack.bot_token)
        (secrets / "slack-app").write_text(slack.app_token)
        day = Day(slack, catalog, topics, chance)
        day.connect()
        kills = 0
        with Replicas(catalog_url, tmp_path, secrets) as replicas:
            slack.wait(lambda: slack.connections == 3, 60)
            slack.duplicate(2)
            for number in range(QUESTIONS):
                day.ask()
                time.sleep(chance.random() * 0.1)
                if number % 20 == 11:
                    victim = chance.randrange(3)
                    replicas.kill(victim)
                    replicas.start(victim)
                    kills += 1
                if number % 25 == 5:
                    slack.disconnect()
                if number % 10 == 9:
                    day.settle()
                if number == QUESTIONS // 2:
                    before, after = day.leave_staff()
            day.settle()
            time.sleep(2 * LEASE_S)  # what would come twice comes now
            shown, alone = day.answers()

        acks = sorted(slack.acks)
        asked = sum(day.threads.values()) + sum(day.commands.values())
        p99 = acks[int(len(acks) * 0.99)]
        sys.stdout.write(
            f"{catalog.engine.dialect.name}: {asked} questions, {kills} kills, {len(acks)} deliveries acknowledged, "
            f"p50 {acks[len(acks) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {len(slack.deliveries)} deliveries\n"
        )
        assert {t: shown[t] for t in day.threads} == dict(day.threads)
        assert dict(alone) == {user: count for user, count in day.commands.items() if count}
        assert slack.lost == []
        texts = {name: "\n".join(slack.seen_by(user, from_app=True)) for name, user in day.users.items()}
        leaks = [
            (name, word)
            for name, text in texts.items()
            for word in company.readers
            if word in text and not company.may_read(name, word)
        ]
        assert leaks == []
        told = {word for text in texts.values() for word in company.readers if word in text}
        assert "qvrotabadgezk" in before  # of the staff, and then a guest
        assert "qvrotaparkingzk" not in after
        private = {word for word in told if "everyone" not in company.readers[word]}
        assert len(told) > len(company.readers) // 5  # the oracle saw something
        assert len(private) > 1
