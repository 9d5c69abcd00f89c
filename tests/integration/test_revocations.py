"""Grants and revocations beside questions: what a question that begins after a commit may find, and must.

Threads turn switches over, each switch its own thread's: who is on a list, in a group, active. Others ask meanwhile,
through two indexes, as two processes would have them. Afterwards each answer is held against what the switches can have
been while it was made: what was forbidden all that time may not be in it, and what was allowed all that time must be.
"""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from app import people
from app.answer import answer
from app.events import Citations, Failed
from app.retrieve import retrieve
from app.specialists import DEFAULT
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing import principals, store
from indexing.access import authorise
from indexing.search import SearchIndex
from indexing.testing import FakeParsers, HashEmbedder
from tests.histories import Switch, now
from tests.searching import Company

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Questions on each database: one is one interleaving with the changes beside it.
QUESTIONS = int(os.environ.get("METIER_TEST_EXAMPLES") or 1000)
WRITERS, ASKERS = 3, 5
SLOW_S = 0.2
ANSWERED, PUBLISHED = 10, 400  # every n-th question is answered to its citations; every n-th builds a generation
QUESTION = "How many days of paid leave does every employee have?"
BOLD = replace(DEFAULT, threshold=0.0)

#: Who can be on which list, and in which group; each is a switch. "all" holds groups, "everyone" is everyone.
LISTS = {
    "hr": ("ann", "staff"),
    "law": ("bob", "all"),
    "it": ("staff", "board", "everyone"),
    "pay": ("board", "eve"),
    "lab": ("all", "ann"),
}
GROUPS = {"staff": ("ann", "bob"), "board": ("bob", "eve"), "all": ("staff", "board")}
USERS = ("ann", "bob", "eve")


@dataclass(frozen=True)
class Seen:
    """One question: whose, when, and the sources of what came back; of a withdrawn answer, those that it had cited."""

    user: str
    start: int
    end: int
    sources: frozenset[str]
    kind: str  # search | cited | withdrawn


@dataclass
class Office:
    """The catalog, its switches, and what was seen."""

    parts: Any
    indexes: tuple[SearchIndex, ...]
    seed: int
    ids: dict[str, int] = field(default_factory=dict)
    switches: dict[tuple[str, str, str], Switch] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def fill(self, settings):
        with self.parts.catalog.transaction() as session:
            for kind, names in (("user", USERS), ("group", GROUPS)):
                for name in names:
                    self.ids[name] = principals.add_principal(session, kind, name).id
                    self.switches["active", name, ""] = Switch(value=True)
        company = Company(self.parts.catalog, settings, self.parts.embedder)
        for name, listed in LISTS.items():
            for number in range(2):
                text = f"Every employee of {name} has 25 days of paid leave a year, says rule {number}."
                source_id = self.ids.get(name) or self.add(company, name)
                company.put(f"{name}/{number}", text, source_id=source_id, acl_id=None)
            self.switches |= {("list", name, who): Switch(value=False) for who in listed}
        self.switches |= {("in", group, who): Switch(value=False) for group, inside in GROUPS.items() for who in inside}

    def add(self, company, name):
        self.ids[name] = company.source(name)
        with company.catalog.transaction() as session:
            people.revoke(session, self.source(session, name), ["local"])
        return self.ids[name]

    def source(self, session, name):
        return next(each for each in store.sources(session) if each.name == name)

    # --- changes ---

    def write(self, number):
        """Turn over one of this writer's switches after another, until it is over."""
        chance = random.Random(f"{self.seed} writer {number}")
        mine = sorted(self.switches)[number::WRITERS]
        while not self.over.is_set():
            key = chance.choice(mine)
            if key[0] == "active" and self.switches[key].value and chance.random() < 0.7:
                continue  # more often active than not
            self.switches[key].change(lambda value, key=key: self.commit(key, value))
            if chance.random() < 0.3:  # whoever has just changed something, looks
                self.ask(chance, search_only=True)
            time.sleep(chance.random() * 0.06)

    def commit(self, key, value):
        kind, name, who = key
        with self.parts.catalog.transaction() as session:
            match kind:
                case "active":
                    principals.set_state(session, self.ids[name], "active" if value else "suspended")
                case "in" if value:
                    principals.join_group(session, people.principal(session, name), people.principal(session, who))
                case "in":
                    principals.leave_group(session, self.ids[name], self.ids[who])
                case "list":
                    (people.grant if value else people.revoke)(session, self.source(session, name), [who])

    # --- questions ---

    def read(self, number):
        chance = random.Random(f"{self.seed} asker {number}")
        while len(self.seen) < QUESTIONS and not self.over.is_set():
            self.ask(chance)

    def ask(self, chance, *, search_only=False):
        user, index = chance.choice(USERS), chance.choice(self.indexes)
        if not search_only and chance.randrange(PUBLISHED) == 0:
            index.publish(force=True)
        if not search_only and chance.randrange(ANSWERED) == 0:
            self.answered(user, replace(self.parts, index=index))
            return
        start = now()
        with self.parts.catalog.reading() as session:
            scope = authorise(session, self.ids[user])
        found = retrieve(
            QUESTION,
            scope=scope,
            catalog=self.parts.catalog,
            index=index,
            embedder=self.parts.embedder,
            top_k=50,
        )
        self.seen.append(Seen(user, start, now(), frozenset(each.source for each in found.passages), "search"))

    def answered(self, user, parts):
        """Ask to the end. What is looked at is the last step: from the last word to the citations, or their refusal."""
        with parts.catalog.reading() as session:
            scope = authorise(session, self.ids[user])
        found = frozenset[str]()
        events = answer(QUESTION, scope, parts, specialist=BOLD)
        while True:
            start = now()
            event = next(events, None)
            match event:
                case None:
                    return
                case Citations():
                    cited = frozenset(each.source for each in event.citations)
                    self.seen.append(Seen(user, start, now(), cited, "cited"))
                case Failed() if event.error == "AnswerWithdrawn":
                    self.seen.append(Seen(user, start, now(), found, "withdrawn"))
                case Failed():
                    assert event.error == "NoIndexYet", event
                case _ if hasattr(event, "passages"):
                    found = frozenset(each.source for each in event.passages[:1])  # the scripted answer cites [1]
                    time.sleep(SLOW_S)  # an answer takes its time, in which much is granted and revoked

    # --- what is true ---

    def run(self):
        with ThreadPoolExecutor(WRITERS + ASKERS) as threads:
            writers = [threads.submit(self.write, number) for number in range(WRITERS)]
            askers = [threads.submit(self.read, number) for number in range(ASKERS)]
            try:
                for asker in askers:
                    asker.result()
            finally:
                self.over.set()
            for writer in writers:
                writer.result()

    def possible(self, seen):
        """Return the sources that the user certainly might read all that time, and those that they possibly might."""
        values = {key: switch.possible(seen.start, seen.end) for key, switch in self.switches.items()}
        certainly = {key for key, value in values.items() if value == {True}}
        possibly = {key for key, value in values.items() if True in value}
        return readable(certainly, seen.user), readable(possibly, seen.user)

    def wrong(self) -> Iterator[tuple[str, Seen, str]]:
        """Yield each thing that was found and could not be, or could and was not."""
        for seen in self.seen:
            must, may = self.possible(seen)
            if seen.kind == "withdrawn":
                yield from (("withdrawn without a reason", seen, source) for source in seen.sources & must)
            else:
                yield from (("found after it was revoked", seen, source) for source in seen.sources - may)
            if seen.kind == "search":
                yield from (("not found after it was granted", seen, source) for source in must - seen.sources)

    def overlapping(self):
        """Return how many questions had a change beside them."""
        return sum(
            any(len(switch.possible(seen.start, seen.end)) == 2 for switch in self.switches.values())
            for seen in self.seen
        )


def readable(on, user):
    """Return the sources that the user may read when the switches *on* are on: the rule in four lines."""
    counting = {user} if ("active", user, "") in on else set()
    while more := {g for g in GROUPS for m in counting if ("in", g, m) in on and ("active", g, "") in on} - counting:
        counting |= more
    everyone = {"everyone"} if counting else set()
    return {s for s, listed in LISTS.items() if any(("list", s, w) in on for w in {*listed} & (counting | everyone))}


@pytest.fixture
def office(catalog, catalog_url, settings):
    chosen = settings() if catalog_url.startswith("sqlite") else settings(database_url=catalog_url)
    fakes: dict[str, Any] = {
        "embedder": HashEmbedder(64),
        "parsers": FakeParsers(),
        "reads": WordReader(),
        "generator": ScriptedGenerator(("Every employee has 25 days ", "of paid leave [1].")),
    }
    parts = build(chosen, **fakes)
    second = settings(data_dir=chosen.data_dir / "second")  # another process has a cache of its own
    indexes = (parts.index, SearchIndex(parts.catalog, parts.embedder, second))
    office = Office(parts, indexes, seed=random.randrange(10**6))
    office.fill(chosen)
    yield office
    close(parts)


@pytest.mark.timeout(7200)  # the long version
def test_a_question_after_a_revocation_never_finds_and_one_after_a_grant_always_does(office, record_property):
    """So too when two change one list at once: neither takes back what the other did."""
    office.run()

    changes = sum(len(switch.history) for switch in office.switches.values())
    kinds = {kind: sum(seen.kind == kind for seen in office.seen) for kind in ("search", "cited", "withdrawn")}
    record_property("figures", f"{kinds}, {office.overlapping()} beside a change, {changes} changes")
    assert next(office.wrong(), None) is None, f"seed {office.seed}"
    assert len(office.seen) >= QUESTIONS
    assert kinds["search"] > 0
    assert kinds["cited"] > 0
    assert changes > 50
