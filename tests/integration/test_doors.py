"""Every door, asked by everybody, after every change: whoever may not read a document never receives a word of it.

A small model, dictionaries and sets, says who may read which source. Each document's name, title and text hold a word
of its own, and so do the names of specialists. After every step each user asks at each door, and what comes back is
searched for the words of all documents and specialists that the model forbids; whatever it allows must be in the lists.
A specialist that one may not ask must look like one that is not there, and a public one tell nobody a word that is not
public (the method of Cedar's differential tests:
Cutler et al., "Cedar", OOPSLA 2024).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from contextlib import ExitStack

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app import keys, people, specialists_access
from app.settings import AppSettings
from app.specialists import Asker
from indexing import principals, runs, store
from indexing.access import authorise
from indexing.documents import Failure
from indexing.tables import LOCAL_PRINCIPAL_ID
from tests.faces import face

USERS, GROUPS, SOURCES = ("ann", "bob", "eve"), ("staff", "board", "press"), ("hr", "law", "it")
SPECIALISTS, ABSENT = ("qvsaleszk", "qvlegalzk", "qvboardzk"), "qvabsenzk"
KEY = {"ask", "read", "curate", "observe"}  # without "operate": their owners go by the lists of specialists
QUESTION = "How many days of paid leave does every employee have?"
#: Checks in all: one is one forbidden word looked for in what one door returned to one user after one step.
CHECKS = max(100_000, 100 * int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
checked = itertools.count()
LISTS = ("sources", "runs", "failures", "documents", "specialists", "models")
#: The doors at which a specialist is named, and the lists that open each.
ASK = json.dumps({"question": QUESTION, "specialist": "NAME"})
CHAT = json.dumps({"model": "NAME", "messages": [{"role": "user", "content": QUESTION}]})
DOORS = (
    (("POST", "/v1/ask", ASK), "askers", "curators"),
    (("POST", "/v1/chat/completions", CHAT), "askers", "curators"),
    (("GET", "/v1/models/NAME", None), "askers", "curators"),
    (("GET", "/v1/specialists/NAME", None), "askers", "curators"),
    (("GET", "/v1/specialists/NAME/versions", None), "askers", "curators"),
    (("POST", "/v1/specialists/NAME/versions/1/promote", None), "curators"),
    (("GET", "/v1/specialists/NAME/access", None), "curators"),
)

user, group, source, named = (st.sampled_from(names) for names in (USERS, GROUPS, SOURCES, SPECIALISTS))
anyone, which = st.sampled_from((*USERS, *GROUPS)), st.sampled_from(("askers", "curators"))


def operator(session):
    return Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)


class Company(RuleBasedStateMachine):
    """The application, and beside it the model: who is in which group, who is on which list, what is where."""

    make_settings = staticmethod(lambda: None)  # set by the test

    @initialize()
    def open(self):
        self.stack = ExitStack()
        self.face = self.stack.enter_context(face(type(self).make_settings()))
        self.ids, self.keys = {}, {}
        self.documents = {}  # word → (source, uri)
        self.own = {}  # word → the list that came with the document, if one did
        self.words = (f"qvx{number:04d}zk" for number in itertools.count())
        with self.face.parts.catalog.transaction() as session:
            for name in USERS:
                made = principals.add_principal(session, "user", name, role="operator")
                self.keys[name] = keys.create_key(session, made, KEY)[1]
            for name in GROUPS:
                principals.add_principal(session, "group", name)
        for name in SOURCES:
            self.ids[name] = self.face.add_source(name)
        for name, audience in (("bold", "asker"), ("public", "public"), *((each, "asker") for each in SPECIALISTS)):
            askers = [] if name in SPECIALISTS else ["everyone"]
            body = {"name": name, "threshold": 0, "audience": audience, "askers": askers, "instructions": name}
            assert self.face.http.post("/v1/specialists", json=body).status_code == 201
        for name in SOURCES * 15:
            self.push(name)
        self.groups: dict[str, set[str]] = {name: set() for name in GROUPS}
        self.lists: dict[str, set[str]] = {name: set() for name in SOURCES}
        self.askers: dict[tuple[str, str], set[str]] = {
            (name, each): set() for name in SPECIALISTS for each in ("askers", "curators")
        }
        self.turns = itertools.count()
        self.suspended = set()
        for name, member in (("staff", "board"), ("board", "ann"), ("press", "bob")):
            self.join(name, member)
        for name, listed in (("hr", "staff"), ("law", "press"), ("it", "everyone")):
            self.grant(name, listed)
        for name, each, listed in (("qvsaleszk", "askers", "staff"), ("qvlegalzk", "curators", "bob")):
            self.put_on_list(name, each, listed)

    def teardown(self):
        if hasattr(self, "stack"):
            self.stack.close()

    # --- the model ---

    def counting(self, name):
        """The user and the groups that count for it, as sets do it."""
        found = {name} - self.suspended
        while more := {g for g, m in self.groups.items() if m & found and g not in self.suspended} - found:
            found |= more
        return found

    def readable(self, name):
        counting = self.counting(name)
        everyone = {"everyone"} if counting else set()
        return {s for s, listed in self.lists.items() if listed & (counting | everyone)}

    def public(self):
        return {s for s, listed in self.lists.items() if "everyone" in listed}

    def may(self, name, specialist, *lists):
        counting = self.counting(name)
        everyone = {"everyone"} if counting else set()
        return any(self.askers[specialist, each] & (counting | everyone) for each in lists)

    # --- what happens ---

    def changed(self, change):
        with self.face.parts.catalog.transaction() as session:
            change(session, lambda name: people.principal(session, name))

    @rule(name=source, listed=st.sampled_from((*USERS, *GROUPS, "everyone")))
    def let_read(self, name, listed):
        self.grant(name, listed)

    def grant(self, name, listed):
        record = self.record(name)
        self.changed(lambda session, _: people.grant(session, record, [listed]))
        self.lists[name].add(listed)

    @rule(name=source, data=st.data())
    def revoke(self, name, data):
        assume(self.lists[name])
        listed = data.draw(st.sampled_from(sorted(self.lists[name])))
        record = self.record(name)
        self.changed(lambda session, _: people.revoke(session, record, [listed]))
        self.lists[name].remove(listed)

    @rule(name=named, each=which, listed=st.sampled_from((*USERS, *GROUPS, "everyone")))
    def let_ask_or_curate(self, name, each, listed):
        self.put_on_list(name, each, listed)

    def put_on_list(self, name, each, listed):
        self.changed(lambda s, _: specialists_access.put_on_list(s, operator(s), name, each, [listed]))
        self.askers[name, each].add(listed)

    @rule(name=named, each=which, data=st.data())
    def take_off_list(self, name, each, data):
        assume(self.askers[name, each])
        listed = data.draw(st.sampled_from(sorted(self.askers[name, each])))
        self.changed(lambda s, _: specialists_access.take_off_list(s, operator(s), name, each, [listed]))
        self.askers[name, each].remove(listed)

    def record(self, name):
        with self.face.parts.catalog.reading() as session:
            return store.source_named(session, name)

    @rule(name=group, member=anyone)
    def put_into(self, name, member):
        assume(member not in {name} | {g for g in GROUPS if name in self.holds(g)})
        self.join(name, member)

    def join(self, name, member):
        self.changed(lambda session, who: principals.join_group(session, who(name), who(member)))
        self.groups[name].add(member)

    def holds(self, name):
        """All that is in a group, however deep."""
        found = set(self.groups[name])
        for member in list(found):
            found |= self.holds(member) if member in GROUPS else set()
        return found

    @rule(name=group, member=anyone)
    def leave(self, name, member):
        self.changed(lambda session, who: principals.leave_group(session, who(name).id, who(member).id))
        self.groups[name].discard(member)

    @rule(name=anyone)
    def suspend_or_activate(self, name):
        state = "active" if name in self.suspended else "suspended"
        self.changed(lambda session, who: principals.set_state(session, who(name).id, state))
        self.suspended ^= {name}

    @rule(name=source, readers=st.none() | st.sets(st.sampled_from((*USERS, *GROUPS, "everyone", "ghost")), max_size=2))
    def put(self, name, readers):
        self.push(name, readers)

    def push(self, name, readers=None):
        word = next(self.words)
        self.send(word, name, readers)
        self.documents[word] = (name, f"hr/{word}.md")

    def send(self, word, name, readers):
        text = f"# Leave {word}\n\nEvery employee of {word} has 25 days of paid leave."
        listed = "".join(f"&readers={reader}" for reader in readers or [""]) if readers is not None else ""
        pushed = self.face.push(self.ids[name], f"hr/{word}.md?{listed[1:]}", text)
        assert pushed.status_code in {200, 201}, pushed.text
        self.own[word] = readers

    @rule(data=st.data(), readers=st.none() | st.sets(st.sampled_from((*USERS, *GROUPS)), max_size=2))
    def push_with_another_list(self, data, readers):
        word = data.draw(st.sampled_from(sorted(word for word, (where, _) in self.documents.items() if where)))
        name, uri = self.documents[word]
        assume(uri.startswith("hr/"))
        self.send(word, name, readers)

    @rule(data=st.data())
    def delete(self, data):
        pushed = sorted(word for word, (where, uri) in self.documents.items() if where and uri.startswith("hr/"))
        assume(pushed)
        word = data.draw(st.sampled_from(pushed))
        name, uri = self.documents[word]
        assert self.face.http.delete(f"/v1/sources/{self.ids[name]}/documents/{uri}").status_code == 204
        self.documents[word] = ("", uri)  # from now on nobody's

    @rule(name=source)
    def fail(self, name):
        word = next(self.words)
        failure = Failure(f"{word}.pdf", "parse", f"{word} is damaged.", "Save it again.", "ParseError")
        self.changed(lambda session, _: runs.record_failure(session, self.ids[name], None, failure, None, "p"))
        self.documents[word] = (name, f"{word}.pdf")

    @rule()
    def publish(self):
        self.face.parts.index.publish()

    # --- what is checked ---

    @invariant()
    def nobody_receives_a_word_that_they_may_not_read(self):
        if not hasattr(self, "face"):
            return
        for name in USERS:
            readable, counting = self.readable(name), self.counting(name) | {"everyone"}
            open_to = {word for word in self.documents if self.own.get(word) is None or self.own[word] & counting}
            forbidden = [w for w, (where, _) in self.documents.items() if where not in readable or w not in open_to]
            hidden = [f'"{s}"' for s in SOURCES if s not in readable]
            asks = [s for s in SPECIALISTS if self.may(name, s, "askers", "curators")]
            hidden += [s for s in SPECIALISTS if s not in asks]
            mine = [w for w in open_to if self.documents[w][0] in readable and self.documents[w][1].startswith("hr/")]
            for door, text in self.asked(name):
                if door == "GET /v1/documents":
                    assert [word for word in mine if word not in text] == [], (name, "may read what is not listed")
                if door in {"GET /v1/specialists", "GET /v1/models"} and name not in self.suspended:
                    assert [s for s in asks if s not in text] == [], (name, "may ask what is not listed")
                leaked = [word for word in (*forbidden, *hidden) if word in text]
                assert leaked == [], (name, door, text[:500])
                for _ in (*forbidden, *hidden):
                    next(checked)

    @invariant()
    def a_specialist_that_one_may_not_ask_looks_like_one_that_is_not_there(self):
        if not hasattr(self, "face"):
            return
        for name in set(USERS) - self.suspended:
            turn = next(self.turns)
            specialist = SPECIALISTS[turn % len(SPECIALISTS)]
            body, *lists = DOORS[turn // len(SPECIALISTS) % len(DOORS)]
            seen = self.at_door(name, specialist, body)
            if self.may(name, specialist, *lists):
                assert seen[0] != 404, (name, specialist, body, seen)
            else:
                assert seen[0] == 404, (name, specialist, body, seen)
                assert seen == self.at_door(name, ABSENT, body)
            next(checked)

    def at_door(self, name, specialist, door):
        method, path, body = (part.replace("NAME", specialist) if part else part for part in door)
        headers = {"Authorization": f"Bearer {self.keys[name]}", "Content-Type": "application/json"}
        response = self.face.http.request(method, path, content=body, headers=headers)
        return response.status_code, response.text.replace(specialist, "NAME")

    @invariant()
    def a_public_specialist_tells_nobody_a_word_that_is_not_public(self):
        if not hasattr(self, "face"):
            return
        public = self.public()
        open_to = {word for word in self.documents if self.own.get(word) is None or "everyone" in self.own[word]}
        private = [w for w, (where, _) in self.documents.items() if where not in public or w not in open_to]
        for name in set(USERS) - self.suspended:
            mine, body = {"Authorization": f"Bearer {self.keys[name]}"}, {"question": QUESTION, "specialist": "public"}
            text = self.face.http.post("/v1/ask", json=body, headers=mine).text
            assert [word for word in private if word in text] == [], (name, text[:500])
            for _ in private:
                next(checked)

    def asked(self, name):
        """Yield each door's name, and all that it returned to this user."""
        http, mine = self.face.http, {"Authorization": f"Bearer {self.keys[name]}"}
        told = {"question": QUESTION, "specialist": "bold"}
        chat = {"model": "bold", "messages": [{"role": "user", "content": QUESTION}]}
        requests = [
            ("POST", "/v1/ask", told),
            ("POST", "/v1/ask", told | {"stream": True}),
            ("POST", "/v1/search", {"question": QUESTION, "top_k": 50}),
            ("POST", "/v1/chat/completions", chat),
            ("POST", "/v1/chat/completions", chat | {"stream": True}),
            ("POST", f"/v1/sources/{self.ids['it']}/plan", None),
            *(("GET", f"/v1/{what}", None) for what in LISTS),
            ("GET", "/metrics", None),
        ]
        for word, (where, uri) in list(self.documents.items())[-2:]:
            requests.append(("GET", f"/v1/sources/{self.ids.get(where, 1)}/documents/{uri.replace(word, 'x')}", None))
        for number in (3, 11):
            requests += [("GET", f"/v1/documents/{number}{tail}", None) for tail in ("", "/content")]
        for method, path, body in requests:
            response = http.request(method, path, json=body, headers=mine)
            assert (response.status_code == 401) == (name in self.suspended), (path, response.text)
            yield f"{method} {path}", response.text + str(response.headers)


@pytest.fixture
def settings_of_company(tmp_path, migrated_file):
    """Return a function that makes settings with a new, empty catalog each time."""
    numbers = itertools.count()

    def make():
        folder = tmp_path / f"company-{next(numbers)}"
        folder.mkdir()
        shutil.copy(migrated_file, folder / "catalog.db")
        return AppSettings.load(data_dir=folder, api_token="master")

    return make


@pytest.mark.timeout(900)  # a minute and a half, on a busy machine four times that
def test_no_door_ever_gives_anybody_a_word_of_what_they_may_not_read(settings_of_company):
    Company.make_settings = staticmethod(settings_of_company)
    before = next(checked)

    while next(checked) - before < CHECKS:
        run_state_machine_as_test(
            Company,
            settings=settings(
                max_examples=1,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate,),  # a leak is an error however long the way to it; shrinking takes minutes
            ),
        )
