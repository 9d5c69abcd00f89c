"""Candidates: what a run of a guarded source has read is served whole, or not at all, and until then by nobody seen."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from sqlalchemy import event

from indexing import changelog, db, grants, principals, runs, store, store_candidate
from indexing.access import authorise
from indexing.documents import Attachment, Block, Parsed
from indexing.errors import RunLost
from indexing.search import SearchIndex
from indexing.tables import LOCAL_PRINCIPAL_ID, Table
from indexing.testing import ScriptedGate
from indexing.trial import Verdict
from tests.worlds import World

OLD = {
    "a.txt": "Alpha old words.",
    "b.txt": "Beta old words.",
    "c.txt": "Gamma old words.",
    "d.txt": "Delta stays here.",
}


@pytest.fixture
def world(catalog, settings):
    """A world with four documents that are served, and a gate that is closed from now on."""
    made = World(catalog, settings())
    for uri, text in OLD.items():
        made.files.write(uri, text)
    assert made.sync().state == "succeeded"
    made.gate = ScriptedGate()
    return made


def change(world):
    """Change a document, add one, and make one unreadable."""
    world.files.write("a.txt", "Alpha new words, and more of them.")
    world.files.write("e.txt", "Epsilon is new.")
    world.files.write("c.txt", b"\xff")


def served(world):
    """Return (id, uri, text, own list) of each document that is served, and what of it the indexes hold."""
    rows = [(each.id, uri, world.text(uri), each.own_acl_id) for uri, each in sorted(world.known().items())]
    uris = set(world.known())
    return rows, sorted((uri, text) for uri, text in world.indexed() if uri in uris)


def texts(world):
    return {uri: world.text(uri) for uri in world.known()}


def scope(world, who=LOCAL_PRINCIPAL_ID):
    with world.catalog.reading() as session:
        return authorise(session, who)


def hits(world, index, text, **options):
    """Return the uris and scores that the local user finds, by both halves of the index."""
    index.refresh()
    found = index.snapshot().candidates(
        text, "en", world.embedder.embed_questions([text])[0], options.get("scope") or scope(world), None, 50
    )
    with world.catalog.reading() as session:
        passages = store.passages(session, options.get("scope") or scope(world), found.keys(), None)
    return sorted((passages[chunk].uri, passages[chunk].text, scores) for chunk, scores in found.items())


def index_of(world, name):
    return SearchIndex(
        world.catalog, world.embedder, world.settings.model_copy(update={"data_dir": world.settings.data_dir / name})
    )


def empty(world, index):
    """Have the index open with nothing in it, so that all there is lies in its tail."""
    for uri in OLD:
        world.files.remove(uri)
    world.sync(confirm_deletions=True)
    index.refresh()
    for uri, text in OLD.items():
        world.files.write(uri, text)
    world.sync()
    index.refresh()


# --- held -----------------------------------------------------------------------------------------------------


def test_a_held_candidate_leaves_what_is_served_as_it_was(world):
    before = texts(world)
    change(world)
    report = world.sync()

    assert (report.state, report.added, report.changed, report.deleted) == ("held", 1, 1, 1)
    assert texts(world) == before == OLD
    assert "metier gate" in world.runs()[0].error
    with world.catalog.reading() as session:
        assert runs.verdict(session, report.run_id) == Verdict(closes=True, report={"said": "so"})
        changelog.verify(session)


def test_nobody_can_be_given_a_list_count_or_text_of_a_held_candidate(world):
    index = index_of(world, "cache")
    before = (hits(world, index, "Epsilon alpha new words"), scope(world))
    with world.catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann", role="admin").id
        grants.set_readers(session, world.source.id, {LOCAL_PRINCIPAL_ID, ann})
    change(world)
    world.sync()

    assert hits(world, index, "Epsilon alpha new words") == before[0]
    assert hits(world, index_of(world, "fresh"), "Epsilon alpha new words") == before[0]
    with world.catalog.reading() as session:
        twin = store_candidate.twin_of(session, world.source.id)
        assert twin is not None
        waiting = store.known_documents(session, twin)
        assert set(waiting) == {"a.txt", "c.txt", "e.txt"}
        assert [source.name for source in store.sources(session)] == ["docs"]
        for who in (LOCAL_PRINCIPAL_ID, ann):
            own = authorise(session, who)
            assert [source.name for source in store.visible_sources(session, own)] == ["docs"]
            assert store.counts(session, own).documents == 4
            assert store.counts(session, own, twin).documents == 0
            assert {each.uri for each in store.document_list(session, own)} == set(OLD)
            for each in waiting.values():
                assert store.document(session, own, each.id) is None
                assert store.document_text(session, own, each.id) is None
        assert store.source_named(session, f"\x1f{world.source.id}") is None
        assert all(store.access_list_of(session, each.id) is None for each in waiting.values())


def test_the_gate_is_given_both_states_and_nobody_else_is(world):
    change(world)
    world.sync()
    plain, tried = world.gate.asked[0]
    with world.catalog.reading() as session:
        as_served = authorise(session, LOCAL_PRINCIPAL_ID, trial=plain)
        as_candidate = authorise(session, LOCAL_PRINCIPAL_ID, trial=tried)

        assert {each.uri for each in store.document_list(session, as_served)} == set(OLD)
        shown = store.document_list(session, as_candidate)
    with_text = sorted((each.uri, each.source) for each in shown if each.chunks)
    assert with_text == [("a.txt", "docs"), ("b.txt", "docs"), ("d.txt", "docs"), ("e.txt", "docs")]


@pytest.mark.parametrize("built", [True, False], ids=["generation", "tail"])
def test_what_the_gate_finds_is_what_is_found_once_it_is_published(world, built):
    """The trial's ranking is that of the published state: same passages, same scores; wherever the old rows lie."""
    index = index_of(world, "cache")
    if built:
        index.publish()
    else:
        world.gate, gate = None, world.gate
        empty(world, index)
        world.gate = gate
    world.gate.closes = False
    seen = []
    judge = world.gate.judge

    class Asking(ScriptedGate):
        def judge(self, served, candidate, progress):
            with world.catalog.reading() as session:
                own = authorise(session, LOCAL_PRINCIPAL_ID, trial=candidate)
            index.refresh()
            found = index.snapshot().without(candidate.replaced)
            question = "alpha new words epsilon gamma old"
            scores = found.candidates(question, "en", world.embedder.embed_questions([question])[0], own, None, 50)
            with world.catalog.reading() as session:
                passages = store.passages(session, own, scores.keys(), None)
            seen.extend(sorted((passages[c].uri, passages[c].text, s) for c, s in scores.items()))
            return judge(served, candidate, progress)

    world.gate = Asking(closes=False)
    change(world)
    assert world.sync().state == "succeeded"

    assert seen
    assert seen == hits(world, index, "alpha new words epsilon gamma old")
    assert seen == hits(world, index_of(world, "fresh"), "alpha new words epsilon gamma old")
    assert len(index.snapshot()) == len(world.indexed())  # and nothing of the candidate is left behind


def test_the_next_run_reads_what_was_held_anew_and_embeds_nothing_twice(world):
    change(world)
    world.sync()
    world.embedder.seen.clear()

    assert world.sync().state == "held"
    assert world.embedder.seen == []
    world.gate.closes = False
    assert world.sync().state == "succeeded"
    assert world.embedder.seen == []
    assert set(world.known()) == {"a.txt", "b.txt", "d.txt", "e.txt"}


def test_what_was_held_and_is_gone_from_the_source_by_the_next_run_is_never_served(world):
    change(world)
    world.sync()
    world.files.remove("e.txt")
    world.files.write("a.txt", OLD["a.txt"])
    world.gate.closes = False
    world.sync()

    assert texts(world) == {uri: OLD[uri] for uri in ("a.txt", "b.txt", "d.txt")}


def test_a_run_with_nothing_new_does_not_ask_the_gate(world):
    assert world.sync().state == "succeeded"
    assert world.gate.asked == []


def test_the_first_run_is_served_at_once_and_only_measured(catalog, settings):
    gate = ScriptedGate()
    world = World(catalog, settings(), gate=gate)
    world.files.write("a.txt", "Alpha.")

    report = world.sync()

    assert (report.state, texts(world)) == ("succeeded", {"a.txt": "Alpha."})
    assert [candidate for _, candidate in gate.asked] == [None]
    with world.catalog.reading() as session:
        assert runs.verdict(session, report.run_id) == Verdict(closes=True, report={"said": "so"})


# --- what never waits -----------------------------------------------------------------------------------------


def test_deletions_and_moves_go_through_a_closed_gate(world):
    change(world)
    world.sync()
    world.files.remove("b.txt")
    world.files.rename("d.txt", "moved.txt")

    report = world.sync()

    assert (report.state, report.moved) == ("held", 1)
    assert texts(world) == {"a.txt": OLD["a.txt"], "c.txt": OLD["c.txt"], "moved.txt": OLD["d.txt"]}


def test_a_revocation_goes_through_a_closed_gate_and_holds_for_what_is_published_later(world):
    with world.catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann").id
        bob = principals.add_principal(session, "user", "bob").id
        grants.set_readers(session, world.source.id, {LOCAL_PRINCIPAL_ID, ann, bob})
    change(world)
    world.files.write("f.txt", "Zeta is new, and for Ann.")
    world.files.readers["e.txt"] = ("ann", "bob")
    world.files.readers["f.txt"] = ("ann",)
    world.files.readers["a.txt"] = ("ann",)
    world.sync()
    with world.catalog.reading() as session:
        assert store.document_text(session, authorise(session, bob), world.known()["a.txt"].id) is None
    with world.catalog.transaction() as session:
        grants.set_readers(session, world.source.id, {LOCAL_PRINCIPAL_ID, bob})
    with world.catalog.reading() as session:
        assert not store.document_list(session, authorise(session, ann))
    with world.catalog.transaction() as session:
        assert runs.release(session, world.runs()[0])
        store_candidate.publish(session, world.source.id)

    with world.catalog.reading() as session:
        own = {who: {d.uri for d in store.document_list(session, authorise(session, who))} for who in (ann, bob)}
    assert own == {ann: set(), bob: {"b.txt", "d.txt", "e.txt"}}


# --- published ------------------------------------------------------------------------------------------------


def state(world):
    """Return all that is served, by uri, without ids."""
    with world.catalog.reading() as session:
        shown = store.document_list(session, authorise(session, LOCAL_PRINCIPAL_ID))
    by_id = {each.id: each.uri for each in shown}
    return {
        each.uri: (
            each.source,
            world.text(each.uri),
            each.title,
            each.content_hash,
            by_id.get(each.parent_id or 0),
            each.chunks,
        )
        for each in shown
    }, sorted(world.indexed())


def mail(world, version, *names):
    """Put a mail with these attachments into the source."""

    def parsed(path, workdir):
        made = []
        for name in names:
            place = workdir / f"{version}-{name}"
            place.write_text(f"Attached {name} of version {version}.", encoding="utf-8")
            made.append(Attachment(name, place))
        return Parsed((Block(f"Mail of version {version}."),), attachments=tuple(made))

    world.files.write("mail.eml", f"bytes {version}")
    world.parsers.answers["mail.eml"] = parsed


def test_attachments_come_stay_and_go_with_the_candidate_of_their_mail(world):
    mail(world, 1, "kept.txt", "dropped.txt")
    world.sync(force=True)
    before = {uri: each.id for uri, each in world.known().items()}
    old = texts(world)
    mail(world, 2, "kept.txt", "new.txt")
    assert world.sync().state == "held"
    assert texts(world) == old
    world.gate.closes = False
    assert world.sync().state == "succeeded"

    known = world.known()
    assert {uri: world.text(uri) for uri in known if uri.startswith("mail")} == {
        "mail.eml": "Mail of version 2.",
        "mail.eml!/kept.txt": "Attached kept.txt of version 2.",
        "mail.eml!/new.txt": "Attached new.txt of version 2.",
    }
    assert {known[uri].parent_id for uri in known if "!/" in uri} == {before["mail.eml"]} == {known["mail.eml"].id}
    assert known["mail.eml!/kept.txt"].id == before["mail.eml!/kept.txt"]
    assert len(world.indexed()) == len(known)
    world.files.remove("mail.eml")
    world.sync()
    assert not [uri for uri in world.known() if uri.startswith("mail")]


def test_what_is_published_is_what_a_run_without_a_gate_makes(world):
    change(world)
    before = {uri: each.id for uri, each in world.known().items()}
    world.sync()
    with world.catalog.transaction() as session:
        assert runs.release(session, world.runs()[0])
        assert store_candidate.publish(session, world.source.id) == 3
    published = state(world)

    after = {uri: each.id for uri, each in world.known().items()}
    assert {uri: after[uri] for uri in ("a.txt", "b.txt", "d.txt")} == {
        uri: before[uri] for uri in ("a.txt", "b.txt", "d.txt")
    }
    assert world.runs()[0].state == world.runs()[0].report["state"] == "succeeded"
    world.sync(force=True)
    assert state(world) == published
    with world.catalog.reading() as session:
        changelog.verify(session)
        assert store_candidate.trial(session, world.source.id) is None


def test_publishing_embeds_nothing(world):
    change(world)
    world.sync()
    world.embedder.seen.clear()
    with world.catalog.transaction() as session:
        store_candidate.publish(session, world.source.id)

    assert world.embedder.seen == []
    with world.catalog.reading() as session:
        assert store.count_index_rows(session, world.embedder.fingerprint) == len(world.indexed()) == 4


def test_force_serves_at_once_and_asks_no_gate(world):
    change(world)
    assert world.sync(force=True).state == "succeeded"
    assert world.gate.asked == []
    assert set(world.known()) == {"a.txt", "b.txt", "d.txt", "e.txt"}


def test_only_the_newest_run_can_be_released_and_only_while_it_is_held(world):
    change(world)
    first = world.sync().run_id
    world.sync()
    newest, older = world.runs()[:2]
    assert older.id == first
    with world.catalog.transaction() as session:
        assert not runs.release(session, older)
        assert runs.release(session, newest)
        assert not runs.release(session, newest)


def test_a_source_that_is_removed_takes_its_candidate_with_it(world):
    index = index_of(world, "cache")
    change(world)
    world.sync()
    index.refresh()
    assert len(index.snapshot()) == 6
    with world.catalog.transaction() as session:
        assert store.remove_source(session, world.source.id) == 4

    assert world.indexed() == []
    index.refresh()
    assert len(index.snapshot()) == 0
    with world.catalog.reading() as session:
        changelog.verify(session)


# --- crashes --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What stands for a kill: nobody catches it."""


def test_a_run_that_dies_at_any_statement_of_publishing_leaves_the_old_or_the_new_and_never_a_mix(world):
    change(world)
    world.gate.closes = False
    count: dict[str, int | None] = {"left": None}

    def dying(conn, cursor, statement, parameters, context, executemany):
        if (left := count["left"]) is not None:
            count["left"] = left - 1 if left else None
            if not left:
                raise Killed

    old = state(world)
    steps = 0
    judged = world.gate.judge

    class Fuse(ScriptedGate):
        def judge(self, served, candidate, progress):
            verdict = judged(served, candidate, progress)
            count["left"] = steps
            return verdict

    world.gate = Fuse(closes=False)
    event.listen(world.catalog.engine, "before_cursor_execute", dying)
    try:
        outcomes = []
        while True:
            try:
                report = world.sync()
                count["left"] = None
                outcomes.append(report.state)
            except Killed:
                count["left"] = None
                outcomes.append("killed")
            uris = set(world.known())
            if outcomes[-1] == "succeeded" or "e.txt" in uris:
                break
            assert {uri: world.text(uri) for uri in uris} == OLD
            steps += 3 if world.catalog.engine.dialect.name == "sqlite" else 7
    finally:
        event.remove(world.catalog.engine, "before_cursor_execute", dying)

    assert len(outcomes) > 3
    assert {uri: world.text(uri) for uri in world.known()} == {
        "a.txt": "Alpha new words, and more of them.",
        "b.txt": OLD["b.txt"],
        "d.txt": OLD["d.txt"],
        "e.txt": "Epsilon is new.",
    }
    assert state(world) != old
    world.sync()
    with world.catalog.reading() as session:
        changelog.verify(session)
        assert store_candidate.trial(session, world.source.id) is None


def test_a_run_that_lost_its_source_publishes_nothing(world):
    change(world)

    class Lost(ScriptedGate):
        def judge(self, served, candidate, progress):
            with world.catalog.transaction() as session:
                runs.fail_run(session, world.runs()[0].id)
            return ScriptedGate.judge(self, served, candidate, progress)

    world.gate = Lost(closes=False)

    report = world.sync()

    assert (report.state, report.error) == ("failed", str(RunLost()))
    assert texts(world) == OLD


def test_a_cancelled_trial_publishes_nothing(world):
    cancel = threading.Event()
    change(world)

    class Cancelling(ScriptedGate):
        def judge(self, served, candidate, progress):
            cancel.set()
            progress(1, 2)
            raise AssertionError

    world.gate = Cancelling()

    assert world.sync(cancel=cancel).state == "cancelled"
    assert texts(world) == OLD


KILLED = """
    import os, signal, sys
    from indexing import db
    from indexing.settings import IndexingSettings
    from indexing.testing import ScriptedGate
    from indexing import store
    from indexing.pipeline import Indexing, sync_source
    from indexing.testing import FakeParsers, FakeSource, HashEmbedder, kinds_of
    from app.settings import AppSettings

    class Deadly(ScriptedGate):
        def judge(self, served, candidate, progress):
            os.kill(os.getpid(), signal.SIGKILL)

    catalog = db.open_catalog(sys.argv[1])
    with catalog.reading() as session:
        source = store.source_named(session, "docs")
    files = FakeSource({"a.txt": "Alpha new words.", "e.txt": "Epsilon is new."})
    settings = AppSettings.load(data_dir=sys.argv[2])
    sync_source(Indexing(catalog, HashEmbedder(), FakeParsers(), settings, kinds_of(fake=files), gate=Deadly()), source)
"""


def test_a_process_that_is_killed_while_the_gate_is_asked_leaves_the_old_and_the_next_run_cleans_up(
    sqlite_catalog, sqlite_url, settings
):
    world = World(sqlite_catalog, settings(), gate=ScriptedGate(closes=False))
    world.files.write("a.txt", OLD["a.txt"])
    world.sync(force=True)
    program = [sys.executable, "-c", textwrap.dedent(KILLED), sqlite_url, str(world.settings.data_dir)]

    result = subprocess.run(program, capture_output=True, text=True, check=False)

    assert result.returncode == -signal.SIGKILL, result.stderr
    assert texts(world) == {"a.txt": OLD["a.txt"]}
    assert len(world.indexed()) == 2  # the candidate is there, and nobody sees it
    assert world.sync().state == "succeeded"
    assert len(world.indexed()) == 1


# --- any history ----------------------------------------------------------------------------------------------


HISTORIES = int(os.environ.get("METIER_TEST_EXAMPLES") or 4)


def disturb(chance, world, version):
    """Do one thing to the files, the same for equal *chance*."""
    uris = sorted(world.files.uris())
    uri = chance.choice([f"{name}.txt" for name in "abcdef"])
    match chance.choice(("write", "write", "write", "broken", "remove", "rename", "touch", "mail", "readers")):
        case "write":
            world.files.write(uri, f"Text {version} of {uri}, once.\n\n# Part\n\nShared words {version % 2}.")
        case "broken":
            world.files.write(uri, b"\xff" + bytes(str(version % 3), "ascii"))
        case "remove" if uris:
            world.files.remove(chance.choice(uris))
        case "rename" if names := [each for each in uris if each != "mail.eml"]:  # which is read by its name
            world.files.rename(chance.choice(names), f"moved-{version}.txt")
        case "touch" if uris:
            world.files.touch(chance.choice(uris))
        case "mail":
            mail(world, version, *chance.sample(["one.txt", "two.txt", "three.txt"], chance.randint(0, 3)))
        case "readers":  # also of what is not there yet
            world.files.readers[chance.choice([uri, *uris])] = chance.choice([("ann",), ("bob",), ("ann", "bob"), ()])


def everything(world):
    """What each reader may read, by uri, and what the indexes hold; and that the log is whole."""
    with world.catalog.reading() as session:
        changelog.verify(session)
        shown = {}
        for who in ("ann", "bob"):
            found = principals.principal_named(session, who)
            assert found is not None
            own = authorise(session, found.id)
            listed = store.document_list(session, own)
            uris = {each.id: each.uri for each in listed}
            shown[who] = {
                each.uri: (
                    store.document_text(session, own, each.id),
                    each.title,
                    each.chunks,
                    uris.get(each.parent_id or 0),
                )
                for each in listed
            }
        known = store.known_documents(session, world.source.id)
    return shown, {uri: (each.version_tag, each.content_hash) for uri, each in known.items()}


def stored(world):
    """Return the text of each document that is served to somebody, or could be."""
    document = Table.metadata.tables["document"]
    with world.catalog.reading() as session:
        query = document.select().where(document.c.source_id == world.source.id)
        return {row.text for row in session.execute(query)}


def twins(seed, folder, migrated_file, settings):
    """Return two worlds with the same files and people; the first has a gate from now on."""
    made = []
    for name in ("gated", "plain"):
        place = folder / f"{seed}-{name}"
        place.mkdir()
        shutil.copy(migrated_file, place / "catalog.db")
        world = World(db.open_catalog(f"sqlite:///{place / 'catalog.db'}"), settings(data_dir=place))
        with world.catalog.transaction() as session:
            people = [principals.add_principal(session, "user", who).id for who in ("ann", "bob")]
            grants.set_readers(session, world.source.id, {LOCAL_PRINCIPAL_ID, *people})
        for uri, text in OLD.items():
            world.files.write(uri, text)
        world.sync()
        made.append(world)
    made[0].gate = ScriptedGate()
    return made


def step(chance, version, gated, plain):
    """Change both alike and synchronise them; return whether the gated one let everything through."""
    seed = chance.randrange(2**32)
    for world in (gated, plain):
        same = random.Random(seed)
        for _ in range(same.randint(1, 4)):
            disturb(same, world, version)
    gated.gate.closes = chance.random() < 0.5
    report = gated.sync(force=chance.random() < 0.2, confirm_deletions=True)
    assert plain.sync(confirm_deletions=True).state == "succeeded"
    if report.state == "held" and chance.random() < 0.5:
        with gated.catalog.transaction() as session:
            assert runs.release(session, gated.runs()[0])
            store_candidate.publish(session, gated.source.id)
        return True
    return report.state == "succeeded"


def test_after_any_history_what_was_let_through_is_what_a_world_without_a_gate_serves(
    tmp_path, migrated_file, settings
):
    outcomes = set()
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        gated, plain = twins(seed, tmp_path, migrated_file, settings)
        for version in range(8):
            old = stored(gated)
            through = step(chance, version, gated, plain)
            outcomes.add((through, gated.runs()[0].state))
            served = everything(gated)[0]
            if through:
                assert served == everything(plain)[0], (seed, version)
                assert sorted(gated.indexed()) == sorted(plain.indexed()), (seed, version)
            else:
                assert stored(gated) <= old, (seed, version)
        gated.catalog.close()
        plain.catalog.close()
    assert outcomes == {(True, "succeeded"), (False, "held")}
