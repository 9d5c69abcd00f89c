"""Access lists that come with the content: who reads what, whatever changes in which order."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import update

from app import keys, people
from app.settings import AppSettings
from indexing import db, grants, principals, runs, store
from indexing.access import authorise
from indexing.documents import Attachment, Block, Parsed
from indexing.errors import ItemUnreadable
from indexing.pipeline import push_document, sync_source
from indexing.plan import plan_source, visible_plan
from indexing.tables import LOCAL_PRINCIPAL_ID, SourceRow, utc_now
from indexing.testing import FakeSource, ScriptedGate, kinds_of
from tests.faces import face, wait_until
from tests.worlds import World

EXAMPLES = int(os.environ.get("METIER_TEST_EXAMPLES") or 6)


@pytest.fixture
def world(catalog, settings):
    """A source that ann, bob and the local user read; ann and cy are in the group staff."""
    made = World(catalog, settings())
    with catalog.transaction() as session:
        for name in ("ann", "bob", "cy"):
            principals.add_principal(session, "user", name)
        staff = principals.add_principal(session, "group", "staff")
        for name in ("ann", "cy"):
            principals.join_group(session, staff, people.principal(session, name))
        people.grant(session, made.source, ["ann", "bob"])
    made.files.write("a.md", "Alpha.")
    made.files.write("b.md", "Beta.")
    return made


def read_by(world, name):
    """Return what somebody may read, by uri."""
    with world.catalog.reading() as session:
        who = people.principal(session, name)
        return {d.uri for d in store.document_list(session, authorise(session, who.id))}


def changes(world, kind="acl"):
    with world.catalog.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT kind FROM change ORDER BY seq")
        return [row[0] for row in rows].count(kind)


def test_who_is_on_the_source_s_list_and_on_the_document_s_reads_it(world):
    world.files.readers = {"a.md": ("staff",)}

    world.sync()

    assert read_by(world, "ann") == {"a.md", "b.md"}, "on both: on the source's by name, on its own by a group"
    assert read_by(world, "bob") == {"b.md"}, "not on its own list"
    assert read_by(world, "cy") == set(), "not on the source's list, which bounds the others"


@pytest.mark.parametrize("readers", [(), ("nobody we know",), ("https://login.example|ann",)])
def test_an_empty_list_and_unknown_names_mean_nobody(world, readers):
    world.files.readers = {"a.md": readers}

    report = world.sync()

    for name in ("ann", "bob", "local"):
        assert read_by(world, name) == {"b.md"}
    assert any("not known" in note for note in report.notes) == bool(readers)
    assert report.gives_lists


def test_a_name_that_becomes_known_counts_from_the_next_run_on(world):
    world.files.readers = {"a.md": ("dee",)}
    assert "1 names of readers are not known" in world.sync().notes[0]
    with world.catalog.transaction() as session:
        principals.add_principal(session, "user", "dee")
        people.grant(session, world.source, ["dee"])
    assert read_by(world, "dee") == {"b.md"}

    assert world.sync().relisted == 1
    assert read_by(world, "dee") == {"a.md", "b.md"}


def test_a_source_speaks_for_its_own_issuer_only(world):
    with world.catalog.transaction() as session:
        principals.add_principal(session, "user", "zed", issuer="wiki")
        people.grant(session, world.source, ["wiki|zed"])
    world.files.issuer = "wiki"
    world.files.readers = {"a.md": ("zed",), "b.md": ("ann", "local|ann")}

    world.sync()

    assert read_by(world, "wiki|zed") == {"a.md"}
    assert read_by(world, "ann") == set()


def test_a_list_alone_changes_without_reading_or_embedding_anything(world):
    world.sync()
    before = list(world.files.fetched), list(world.embedder.seen), changes(world, "put")

    world.files.readers = {"a.md": ("bob",)}
    report = world.sync()

    assert (report.relisted, report.unchanged) == (1, 2)
    assert (world.files.fetched, world.embedder.seen, changes(world, "put")) == before
    assert changes(world) == 2, "a.md has another list, and b.md is hidden too when they are too old"
    assert (read_by(world, "ann"), read_by(world, "bob")) == ({"b.md"}, {"a.md", "b.md"})
    world.files.readers = {}
    assert (world.sync().relisted, world.sync().relisted) == (1, 0)
    assert read_by(world, "ann") == {"a.md", "b.md"}


def test_attachments_and_moved_documents_follow(world):
    def mail(path, workdir):
        (workdir / "plan.txt").write_text("The plan.")
        return Parsed((Block("Dear all."),), attachments=(Attachment("plan.txt", workdir / "plan.txt"),))

    world.parsers.answers["m.eml"] = world.parsers.answers["n.eml"] = mail
    world.files.write("m.eml", "mail")
    world.files.readers = {"m.eml": ("ann",)}
    world.sync()
    assert read_by(world, "bob") == {"a.md", "b.md"}
    assert read_by(world, "ann") == {"a.md", "b.md", "m.eml", "m.eml!/plan.txt"}

    world.files.rename("m.eml", "n.eml")
    world.files.readers = {"n.eml": ("bob",)}
    assert world.sync().moved == 1
    assert read_by(world, "ann") == {"a.md", "b.md"}
    assert read_by(world, "bob") == {"a.md", "b.md", "n.eml", "n.eml!/plan.txt"}

    world.files.readers = {"n.eml": ("ann",)}
    assert world.sync().relisted == 2
    assert read_by(world, "bob") == {"a.md", "b.md"}


def test_a_run_that_began_before_a_revocation_does_not_bring_the_old_list_back(world):
    world.files.readers = {"a.md": ("ann", "bob")}

    def revoked_meanwhile(progress):
        if progress.stage == "read":
            with world.catalog.transaction() as session:
                if people.principal(session, "bob").id in grants.readers(session, world.source.id):
                    people.revoke(session, world.source, ["bob"])

    world.sync(on_progress=revoked_meanwhile)

    assert (read_by(world, "ann"), read_by(world, "bob")) == ({"a.md", "b.md"}, set())


def test_a_revocation_in_the_source_holds_before_the_run_has_read_anything(world):
    world.files.readers = {"a.md": ("ann", "bob")}
    world.sync()
    world.files.readers = {"a.md": ("ann",)}
    world.files.write("a.md", "Alpha, and a secret.")
    seen = []

    world.sync(on_progress=lambda progress: seen.append((progress.stage, read_by(world, "bob"))))

    assert {stage: read for stage, read in seen if stage == "read"} == {"read": {"b.md"}}
    assert read_by(world, "bob") == {"b.md"}


@pytest.fixture
def one(world):
    """The same, with one document: the old secret, which ann may read."""
    world.files.remove("b.md")
    world.files.rename("a.md", "a")
    world.files.write("a", "The old secret.")
    world.files.readers["a"] = ("ann",)
    world.sync()
    return world


def test_who_is_new_on_the_list_of_a_changed_item_waits_for_its_new_text(one):
    one.files.write("a", "The new words.")
    one.files.readers["a"] = ("bob",)
    one.files.unreadable.add("a")

    one.sync()
    assert (read_by(one, "ann"), read_by(one, "bob")) == (set(), set())  # ann is off it at once
    one.sync()
    assert (read_by(one, "ann"), read_by(one, "bob")) == (set(), set())

    one.files.unreadable.clear()
    one.sync()
    assert (read_by(one, "ann"), read_by(one, "bob")) == (set(), {"a"})
    assert "new words" in one.indexed()[0][1]


def test_a_changed_item_that_is_open_now_was_not_open_before(one):
    one.files.write("a", "The new words.")
    del one.files.readers["a"]
    one.files.unreadable.add("a")

    one.sync()
    assert (read_by(one, "ann"), read_by(one, "bob")) == ({"a"}, set())
    one.files.unreadable.clear()
    one.sync()
    assert read_by(one, "bob") == {"a"}


def test_an_item_with_the_same_bytes_under_a_new_version_gets_its_list_in_the_same_run(one):
    one.files.touch("a")
    one.files.readers["a"] = ("ann", "bob")

    one.sync()
    assert (read_by(one, "ann"), read_by(one, "bob")) == ({"a"}, {"a"})


def test_who_is_new_on_the_list_of_a_changed_item_waits_at_the_gate_too(one):
    one.files.write("a", "The new words.")
    one.files.readers["a"] = ("bob",)
    one.gate = ScriptedGate(closes=True)
    assert one.sync().state == "held"
    assert (read_by(one, "ann"), read_by(one, "bob")) == (set(), set())

    one.gate = ScriptedGate(closes=False)
    assert one.sync().state == "succeeded"
    assert (read_by(one, "ann"), read_by(one, "bob")) == (set(), {"a"})


def test_names_of_items_with_lists_of_their_own_are_shown_to_their_readers_only(world):
    world.files.write("merger.md", "")
    world.files.readers = {"merger.md": ("ann",), "a.md": ("ann",)}
    world.files.notes = ("1 hidden skipped: .merger",)
    shown = []
    with world.catalog.reading() as session:
        ann, bob = (authorise(session, people.principal(session, name).id) for name in ("ann", "bob"))
    assert visible_plan(world.indexing, world.source, bob).new == ("b.md",)
    assert plan_source(world.indexing, world.source).new == ("a.md", "b.md", "merger.md")

    assert world.sync(on_progress=lambda progress: shown.append(progress.uri)).failed == 1

    world.files.write("a.md", "Alpha two.")
    with world.catalog.reading() as session:
        bob, ann = (authorise(session, people.principal(session, name).id) for name in ("bob", "ann"))
        assert [each.failure.uri for each in runs.visible_failures(session, ann)] == ["merger.md"]
        assert runs.visible_failures(session, bob) == []
        [run] = runs.visible_runs(session, bob)
        assert "merger" not in repr((run, runs.visible_run(session, bob, run.id), shown))
    assert (
        visible_plan(world.indexing, world.source, ann).changed,
        visible_plan(world.indexing, world.source, bob).changed,
    ) == (("a.md",), ())
    assert visible_plan(world.indexing, world.source, bob).parked == ()

    world.files.readers = {"merger.md": ("bob",)}
    world.sync()
    with world.catalog.reading() as session:
        assert [each.failure.uri for each in runs.visible_failures(session, authorise(session, bob.principal_id))] == [
            "merger.md"
        ]


def test_explain_tells_both_lists(world):
    world.files.readers = {"a.md": ("staff",)}
    world.sync()
    a = world.known()["a.md"].id
    with world.catalog.reading() as session:
        ann, bob, cy = (people.explain(session, people.principal(session, name), a) for name in ("ann", "bob", "cy"))

    assert (ann.allowed, ann.through, ann.through_own) == (True, ("ann",), ("staff",))
    assert (bob.allowed, bob.through, bob.own_list, bob.through_own) == (False, ("bob",), ("staff",), ())
    assert (cy.allowed, cy.through, cy.through_own) == (False, (), ("staff",))


# --- pushed documents -----------------------------------------------------------------------------------------


@pytest.fixture
def pushes(catalog, settings, tmp_path):
    """Return a push source that everyone reads, and a function that pushes text with readers."""
    world = World(catalog, settings(), kind="push", location="")
    with catalog.transaction() as session:
        for name in ("ann", "bob"):
            principals.add_principal(session, "user", name)
        people.grant(session, world.source, ["everyone"])

    def push(uri, text, readers=None):
        file = tmp_path / "upload"
        file.write_text(text)
        return push_document(world.indexing, world.source, uri, file, None, readers)

    return world, push


def test_a_pushed_list_holds_at_once_also_when_only_the_list_is_new(pushes):
    world, push = pushes
    push("a", "one", ["ann"])
    assert (read_by(world, "ann"), read_by(world, "bob")) == ({"a"}, set())

    push("a", "one", ["bob"])
    assert (read_by(world, "ann"), read_by(world, "bob")) == (set(), {"a"})
    assert world.parsers.parsed == ["a"]

    push("a", "two", [])
    assert (read_by(world, "ann"), read_by(world, "bob")) == (set(), set())
    push("a", "two")
    assert (read_by(world, "ann"), read_by(world, "bob")) == ({"a"}, {"a"})


def test_a_run_of_a_push_source_keeps_the_lists_and_looks_for_new_names(pushes):
    world, push = pushes
    push("a", "one", ["ann", "dee"])
    assert world.sync().relisted == 0
    assert (read_by(world, "ann"), read_by(world, "bob")) == ({"a"}, set())
    with world.catalog.transaction() as session:
        principals.add_principal(session, "user", "dee")

    assert world.sync().relisted == 1
    assert read_by(world, "dee") == {"a"}


def test_a_list_that_is_pushed_while_a_run_goes_on_is_newer_than_the_run_s_listing(pushes):
    world, push = pushes
    push("a", "one", ["ann"])
    opened = world.indexing.opened(world.source)

    class Slow:
        fetch = opened.fetch

        def pages(self, checkpoint):
            pages = list(opened.pages(checkpoint))
            push("a", "one", ["bob"])
            yield from pages

    slow = replace(world.indexing, kinds=kinds_of(push=Slow()))
    assert sync_source(slow, world.source).relisted == 0
    assert (read_by(world, "ann"), read_by(world, "bob")) == (set(), {"a"})


def test_a_folder_says_who_may_read_it_and_a_bad_file_is_told_until_it_is_good(sqlite_catalog, settings, tmp_path):
    root = tmp_path / "share"
    (root / "hr").mkdir(parents=True)
    (root / "hr" / "pay.md").write_text("Pay.")
    (root / "open.md").write_text("Open.")
    world = World(sqlite_catalog, settings(), kind="folder", location=str(root))
    with sqlite_catalog.transaction() as session:
        principals.add_principal(session, "user", "ann")
        people.grant(session, world.source, ["everyone"])
    file = root / "hr" / ".metier-access.toml"
    file.write_text('readers = ["ann"]')
    world.sync()
    assert (read_by(world, "ann"), read_by(world, "local")) == ({"hr/pay.md", "open.md"}, {"open.md"})

    file.write_text('readers = ["ann"')
    world.sync()
    assert read_by(world, "ann") == {"open.md"}
    assert set(world.failures()) == {"hr/.metier-access.toml"}

    file.unlink()
    world.sync()
    assert (read_by(world, "ann"), world.failures()) == ({"hr/pay.md", "open.md"}, {})
    aged(world, days=30)
    assert read_by(world, "ann") == {"hr/pay.md", "open.md"}, "a folder of this machine is hidden only if told so"


def test_who_pushes_need_not_be_a_reader_and_can_replace_and_delete_what_they_pushed(settings, sqlite_url):
    with face(settings(api_token="master")) as found:
        with found.parts.catalog.transaction() as session:
            ann = principals.add_principal(session, "user", "ann")
            program = principals.add_principal(session, "service", "connector", role="operator")
            mine = {
                who.name: {"Authorization": f"Bearer {keys.create_key(session, who, allowed)[1]}"}
                for who, allowed in ((ann, {"ask", "read"}), (program, {"ask", "read", "write"}))
            }
        source_id = found.add_source()
        url = f"/v1/sources/{source_id}/documents/hr/pay.md"
        with found.parts.catalog.transaction() as session:
            grants.set_readers(session, source_id, {people.principal(session, "everyone").id})

        def push(text, query):
            return found.http.put(url + query, content=text, headers=mine["connector"])

        def seen(name):
            return found.http.get(url, headers=mine[name]).status_code == 200

        made = push("Pay: 1.", "?readers=ann&readers=ghost")
        assert (made.status_code, made.json()["created"]) == (201, True)
        assert (seen("ann"), seen("connector")) == (True, False)
        assert push("Pay: 2.", "?readers=").status_code == 200
        assert (seen("ann"), seen("connector")) == (False, False)
        assert push("Pay: 2.", "").status_code == 200
        assert (seen("ann"), seen("connector")) == (True, True)
        push("Pay: 2.", "?readers=ann")
        assert found.http.delete(url, headers=mine["connector"]).status_code == 204
        assert not seen("ann")
        assert found.http.delete(url, headers=mine["connector"]).status_code == 404


def test_a_hidden_source_says_so_to_whoever_may_read_it(settings, sqlite_url):
    with face(settings()) as found:
        source_id = found.filled()
        with found.parts.catalog.transaction() as session:
            grants.set_max_age(session, source_id, 30)

        assert found.http.get(f"/v1/sources/{source_id}").json()["hidden"] is True
        assert found.http.get("/v1/documents").json()["documents"] == []
        found.http.post(f"/v1/sources/{source_id}/sync")
        wait_until(lambda: not found.http.get(f"/v1/sources/{source_id}").json()["hidden"])
        assert len(found.http.get("/v1/documents").json()["documents"]) == 1


# --- lists that are too old -----------------------------------------------------------------------------------


def aged(world, **ago):
    with world.catalog.transaction() as session:
        session.execute(
            update(SourceRow).where(SourceRow.id == world.source.id).values(acl_synced_at=utc_now() - timedelta(**ago))
        )


def test_a_polled_source_that_gives_lists_is_hidden_from_everybody_when_they_are_older_than_an_hour(world):
    world.files.readers = {"a.md": ("ann",)}
    world.sync()
    aged(world, minutes=59)
    assert read_by(world, "ann") == {"a.md", "b.md"}

    aged(world, minutes=61)

    for name in ("ann", "bob", "local"):
        assert read_by(world, name) == set(), "documents without a list of their own too"
    with world.catalog.reading() as session:
        scope = authorise(session, LOCAL_PRINCIPAL_ID)
        assert [source.name for source in store.visible_sources(session, scope)] == ["docs"], "the owner sees why"
        assert people.explain(session, people.principal(session, "ann"), world.known()["a.md"].id).hidden
    world.sync()
    assert read_by(world, "ann") == {"a.md", "b.md"}


def test_only_a_complete_listing_makes_lists_fresh(world):
    world.files.readers = {"a.md": ("ann",)}
    world.files.complete = False
    world.sync()
    assert read_by(world, "ann") == set(), "never a complete listing: unknown means nobody"
    world.files.complete = True
    world.sync()
    assert read_by(world, "ann") == {"a.md", "b.md"}
    aged(world, minutes=61)

    world.files.complete = False
    world.sync()
    assert read_by(world, "ann") == set()
    world.files.error = ItemUnreadable("the share is gone")
    world.sync()
    assert read_by(world, "ann") == set()


def test_the_limit_is_the_owner_s_choice(world):
    world.files.readers = {"a.md": ("ann",)}
    world.sync()
    with world.catalog.transaction() as session:
        assert grants.set_max_age(session, world.source.id, 0) == 2
    aged(world, days=9)
    world.sync()
    aged(world, days=9)
    assert read_by(world, "ann") == {"a.md", "b.md"}

    with world.catalog.transaction() as session:
        grants.set_max_age(session, world.source.id, 5)
    assert read_by(world, "ann") == set()


# --- a model --------------------------------------------------------------------------------------------------

PEOPLE, URIS = ("ann", "bob", "cy"), ("a", "b", "c")
names = st.lists(st.sampled_from((*PEOPLE, "staff", "everyone", "ghost")), max_size=3, unique=True)


class Lists(RuleBasedStateMachine):
    """Both lists change in any order, beside sets: a person needs to be on both."""

    catalogs: Any = None  # a function that makes a world: set by the test

    @initialize()
    def open(self):
        self.world = type(self).catalogs()
        with self.world.catalog.transaction() as session:
            for name in PEOPLE:
                principals.add_principal(session, "user", name)
            principals.add_principal(session, "group", "staff")
        self.source, self.staff, self.fresh = {"local"}, set(), True
        self.told, self.held, self.limited = {}, {}, False

    def teardown(self):
        if hasattr(self, "world"):
            self.world.catalog.close()

    @rule(listed=names)
    def set_source(self, listed):
        known = [name for name in listed if name != "ghost"]
        with self.world.catalog.transaction() as session:
            ids = {people.principal(session, name).id for name in known}
            grants.set_readers(session, self.world.source.id, ids)
        self.source = set(known)

    @rule(uri=st.sampled_from(URIS), listed=st.none() | names, edit=st.booleans())
    def tell(self, uri, listed, edit):
        if edit or uri not in self.told:
            self.world.files.write(uri, f"{uri} {len(self.world.files.fetched)}")
        self.told[uri] = None if listed is None else set(listed)
        self.world.files.readers = {u: tuple(who) for u, who in self.told.items() if who is not None}

    @rule(complete=st.booleans())
    def sync(self, complete):
        self.world.files.complete = complete
        assert self.world.sync().state == "succeeded"
        self.held = dict(self.told)
        self.limited = self.limited or any(listed is not None for listed in self.held.values())
        if complete:
            self.fresh, self.synced = True, True

    @rule()
    def grow_old(self):
        aged(self.world, minutes=61)
        self.fresh = False

    @rule(member=st.sampled_from(PEOPLE))
    def join_or_leave(self, member):
        with self.world.catalog.transaction() as session:
            who, staff = people.principal(session, member), people.principal(session, "staff")
            if member in self.staff:
                principals.leave_group(session, staff.id, who.id)
            else:
                principals.join_group(session, staff, who)
        self.staff ^= {member}

    def reads(self, name, listed):
        return bool(listed & ({name, "everyone"} | ({"staff"} if name in self.staff else set())))

    @invariant()
    def everybody_reads_what_both_lists_allow_and_nothing_else(self):
        if not hasattr(self, "world"):
            return
        synced_ever = getattr(self, "synced", False)
        hidden = self.limited and not (self.fresh and synced_ever)
        for name in PEOPLE:
            expected = {
                uri
                for uri, own in self.held.items()
                if not hidden and self.reads(name, self.source) and (own is None or self.reads(name, own))
            }
            assert read_by(self.world, name) == expected, name


def test_whatever_changes_in_whatever_order_both_lists_decide(tmp_path, migrated_file):
    numbers = itertools.count()

    def made():
        folder = tmp_path / f"{next(numbers)}"
        folder.mkdir()
        shutil.copy(migrated_file, folder / "catalog.db")
        catalog = db.open_catalog(f"sqlite:///{folder}/catalog.db")
        return World(catalog, AppSettings.load(data_dir=folder), files=FakeSource())

    Lists.catalogs = staticmethod(made)
    run_state_machine_as_test(
        Lists,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
