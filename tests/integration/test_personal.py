"""How long records are kept, and a person's data: all of it exported, and none of it left after an erasure."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, select, text, update

from app import audit, keys, personal, retention
from app.errors import BadRequest, NotFound
from app.history import AnswerRecord, record_answer, record_feedback
from app.people import grant, principal
from app.tables import AnswerRow, FeedbackRow
from indexing import access, changelog, grants, principals, store
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now
from tests.catalogs import put
from tests.commands import commands
from tests.faces import QUESTION, face, wait_until

NAME = "canary-ann"
ASKED = "canary-question"
SAID = "canary-comment"
LABEL = "canary-label"


def asked(session, principal_id, number=0, *, days=0):
    """Store an answer of so many days ago, with feedback, and return its id."""
    record = AnswerRecord(
        id=f"{principal_id}-{number}",
        principal_id=principal_id,
        question=f"{ASKED} {number} " + "long " * (number * 97 % 700),
        text=f"answer to {ASKED}",
        citations=(),
        passages=(),
        finish_reason="stop",
        confidence=0.5,
        generator="reader",
        language="en",
        seconds=0.1,
        indexed_through=0,
        asked_at=utc_now() - timedelta(days=days),
    )
    record_answer(session, record)
    record_feedback(session, principal_id, record.id, helpful=True, comment=SAID)
    return record.id


def peopled(catalog):
    """Put two people, a group, a source that both may read, and what is kept of them into the catalog."""
    with catalog.transaction() as session:
        ann = principals.add_principal(session, "user", NAME, display=f"{NAME} display")
        bob = principals.add_principal(session, "user", "bob")
        staff = principals.add_principal(session, "group", "staff")
        principals.join_group(session, staff, ann)
        principals.join_group(session, staff, bob)
        source = store.add_source(session, "hand", "push", "")
        put(session, source.id, "a.md", "Some text.")
        grant(session, source, [NAME, "bob", "staff"])
        keys.create_key(session, ann, {"ask"}, label=LABEL)
        keys.create_key(session, bob, {"ask"})
        for number in range(40):
            asked(session, (ann, bob)[number % 2].id, number)
    return ann, bob, source


def erased(catalog, who):
    with catalog.transaction() as session:
        return personal.erase_person(session, who)


def everything(catalog):
    """Return every row of every table, as text."""
    from sqlalchemy import inspect

    with catalog.reading() as session:
        tables = inspect(session.get_bind()).get_table_names()
        return "\n".join(str(session.execute(text(f"SELECT * FROM {t}")).all()) for t in tables)


def files_of(catalog):
    """Return the bytes of SQLite's files: the database and what is beside it."""
    path = Path(make_url(str(catalog.engine.url)).database or "")
    return b"".join(p.read_bytes() for p in sorted(path.parent.glob(f"{path.name}*")))


# --- erasure --------------------------------------------------------------------------------------------------


def test_after_an_erasure_nothing_of_the_person_is_left_and_everything_of_others(catalog):
    ann, bob, source = peopled(catalog)
    with catalog.reading() as session:
        before = access.authorise(session, bob.id)
        assert len(grants.readers(session, source.id)) == 4

    receipt = erased(catalog, ann)

    kept = everything(catalog)
    assert NAME not in kept
    assert LABEL not in kept
    with catalog.reading() as session:
        assert {a.principal_id for a in session.scalars(select(AnswerRow))} == {bob.id}
        assert {f.principal_id for f in session.scalars(select(FeedbackRow))} == {bob.id}
        assert [key.principal_id for key in keys.keys(session)] == [bob.id]
        assert ann.id not in grants.readers(session, source.id)
        assert access.authorise(session, ann.id).acl_ids == frozenset()
        after = access.authorise(session, bob.id)
        assert [d.uri for d in store.document_list(session, after)] == ["a.md"]
        assert after.acl_ids == before.acl_ids, "the list stays, without the person"
        changelog.verify(session)
        assert audit.verify(session) is None
        last = list(audit.lines(session))[-1]
        with pytest.raises(NotFound):
            principal(session, NAME)
        with pytest.raises(NotFound):
            principal(session, f"metier|erased-{ann.id}")
    assert (last.action, last.about, last.by) == ("principal.erase", f"erased-{ann.id}", "local")
    assert receipt.line == audit.Head(last.seq, last.hash)
    assert receipt.deleted["answer"] == 20
    assert receipt.deleted["feedback"] == 20
    assert (receipt.deleted["api_key"], receipt.deleted["membership"], receipt.lists) == (1, 1, 1)


def test_lines_of_who_was_erased_stay_and_their_chain_too(catalog):
    ann, _, _ = peopled(catalog)
    with catalog.transaction() as session:
        audit.record(session, ann.id, "document.search")
        noted = audit.head(session)

    erased(catalog, ann)

    with catalog.reading() as session:
        mine = [(line.action, line.by) for line in audit.lines(session, audit.Wanted(ann.id))]
        assert ("document.search", f"erased-{ann.id}") in mine
        assert audit.verify(session, noted) is None


def test_after_an_erasure_no_file_of_sqlite_holds_the_name_or_the_questions(sqlite_catalog):
    ann, _, _ = peopled(sqlite_catalog)
    with sqlite_catalog.transaction() as session:
        session.execute(text("DELETE FROM answer WHERE principal_id <> :ann"), {"ann": ann.id})
    assert sqlite_catalog.scrub()
    before = files_of(sqlite_catalog)
    assert min(before.count(canary.encode()) for canary in (NAME, ASKED, SAID, LABEL)) >= 1

    erased(sqlite_catalog, ann)
    assert NAME.encode() in files_of(sqlite_catalog), "until the write-ahead log is emptied"
    assert sqlite_catalog.scrub()

    left = files_of(sqlite_catalog)
    assert [canary for canary in (NAME, ASKED, SAID, LABEL) if canary.encode() in left] == []


def test_bytes_are_not_said_to_be_gone_while_somebody_reads(sqlite_catalog):
    ann, _, _ = peopled(sqlite_catalog)
    with sqlite_catalog.reading() as session:
        session.execute(select(AnswerRow.id)).first()
        erased(sqlite_catalog, ann)

        assert not sqlite_catalog.scrub()
    assert sqlite_catalog.scrub()


def test_an_answer_that_is_written_while_its_asker_is_erased_is_not_kept(catalog):
    """On PostgreSQL the two transactions overlap; SQLite lets one writer in after the other."""
    ann, _, _ = peopled(catalog)
    record = threading.Thread(target=lambda: store_late(catalog, ann.id))
    with catalog.transaction() as session:
        personal.erase_person(session, ann)
        record.start()
        record.join(0.5)
        assert record.is_alive(), "it waits for the erasure"
    record.join(30)

    assert "late" not in everything(catalog)


def store_late(catalog, principal_id):
    late = AnswerRecord("late", principal_id, "late", "late", (), (), "stop", None, "reader", "en", 0.1, 0)
    with catalog.transaction() as session:
        record_answer(session, late)


def test_only_people_are_erased_or_exported_and_the_local_user_is_not_erased(catalog):
    peopled(catalog)
    with catalog.transaction() as session:
        for name in ("local", "staff", "everyone"):
            with pytest.raises(BadRequest):
                personal.erase_person(session, principal(session, name))
        for name in ("staff", "everyone"):
            with pytest.raises(BadRequest):
                personal.export_person(session, principal(session, name))


def test_every_table_that_refers_to_a_principal_is_personal():
    names = [table.name for table, _ in personal.personal_tables()]

    assert {"answer", "feedback", "api_key", "membership", "acl_entry"} <= set(names)
    assert names.index("feedback") < names.index("answer")


# --- export ---------------------------------------------------------------------------------------------------


def test_an_export_holds_all_that_is_kept_and_nothing_of_others_and_no_secret(catalog):
    ann, bob, _ = peopled(catalog)
    with catalog.transaction() as session:
        audit.record(session, bob.id, "key.create", about=ann.id)
        found = json.loads(json.dumps(personal.export_person(session, ann), default=str))
        secrets = session.execute(text("SELECT secret_sha256 FROM api_key")).scalars().all()

    assert found["principal"]["name"] == NAME
    assert found["groups"] == ["staff"]
    assert found["sources"] == ["hand"]
    assert len(found["kept"]["answer"]) == len(found["kept"]["feedback"]) == 20
    assert all(ASKED in a["question"] and a["principal_id"] == ann.id for a in found["kept"]["answer"])
    assert [key["label"] for key in found["kept"]["api_key"]] == [LABEL]
    assert [line["action"] for line in found["audit"]] == ["source.grant", "key.create", "principal.export"]
    assert "bob" not in json.dumps(found)
    assert not any(secret in json.dumps(found) for secret in secrets)


# --- retention ------------------------------------------------------------------------------------------------


def test_answers_are_kept_as_long_as_the_setting_says_and_go_with_their_feedback(catalog, settings):
    with catalog.transaction() as session:
        old = [asked(session, LOCAL_PRINCIPAL_ID, n, days=30 + n) for n in range(1, 4)]
        young = asked(session, LOCAL_PRINCIPAL_ID, 9, days=29)

    assert retention.apply(catalog, settings(answers_kept_days="forever")).answers == 0
    done = retention.apply(catalog, settings())

    with catalog.reading() as session:
        assert session.scalars(select(AnswerRow.id)).all() == [young]
        assert session.scalars(select(FeedbackRow.answer_id)).all() == [young]
        [line] = audit.lines(session)
    assert (done.answers, done.audit_lines, done.scrubbed) == (len(old), 0, True)
    assert (line.action, line.object, line.by) == ("answer.forget", "3", None)
    assert retention.apply(catalog, settings()).answers == 0
    with catalog.reading() as session:
        assert audit.head(session).seq == line.seq, "nothing is written where nothing is old"


def test_more_answers_than_one_transaction_deletes_all_go(catalog, settings):
    with catalog.transaction() as session:
        asked(session, LOCAL_PRINCIPAL_ID, days=31)
        [row] = session.execute(select(AnswerRow.__table__)).mappings()
        session.execute(insert(AnswerRow), [{**row, "id": str(n)} for n in range(retention.BATCH + 2)])

    assert retention.apply(catalog, settings()).answers == retention.BATCH + 3


def test_a_question_that_was_forgotten_is_in_no_file_of_sqlite(sqlite_catalog, settings):
    with sqlite_catalog.transaction() as session:
        for number in range(60):
            asked(session, LOCAL_PRINCIPAL_ID, number, days=number % 2 * 31)
        young = update(AnswerRow).where(AnswerRow.asked_at > utc_now() - timedelta(days=30))
        session.execute(young.values(question="young", text="young"))
    sqlite_catalog.scrub()
    assert ASKED.encode() in files_of(sqlite_catalog)

    retention.apply(sqlite_catalog, settings())

    assert ASKED.encode() not in files_of(sqlite_catalog)


def test_old_lines_of_the_log_go_and_it_still_verifies(catalog, settings):
    with catalog.transaction() as session:
        for number in range(3):
            audit.record(session, LOCAL_PRINCIPAL_ID, "key.create", number)
    later = utc_now() + timedelta(days=366)

    assert retention.apply(catalog, settings(audit_kept_days="forever"), later).audit_lines == 0
    assert retention.apply(catalog, settings(), later).audit_lines == 3
    with catalog.reading() as session:
        assert [line.action for line in audit.lines(session)] == ["audit.forget"]
        assert audit.verify(session) is None


def test_with_nothing_kept_an_answer_is_given_and_not_stored(settings, sqlite_url):
    with face(settings(answers_kept_days=0)) as found:
        found.filled()
        answer = found.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"}).json()
        judged = found.http.post("/v1/feedback", json={"answer_id": answer["answer_id"], "helpful": True})

        assert answer["text"]
        assert judged.status_code == 404
        with found.parts.catalog.reading() as session:
            assert session.scalars(select(AnswerRow)).all() == []
            assert [e.object for e in audit.lines(session, audit.Wanted(action="answer"))] == [answer["answer_id"]]


@pytest.mark.parametrize("value", ["-1", "never", "", "1.5"])
def test_what_is_no_time_to_keep_answers_stops_the_program(settings, value):
    from indexing.errors import SettingsError

    with pytest.raises(SettingsError):
        settings(answers_kept_days=value)


def test_a_server_forgets_when_it_starts(settings, sqlite_catalog):
    with sqlite_catalog.transaction() as session:
        asked(session, LOCAL_PRINCIPAL_ID, days=31)
    with face(settings()) as found:

        def gone():
            with found.parts.catalog.reading() as session:
                return not session.scalars(select(AnswerRow)).all()

        wait_until(gone)
        with found.parts.catalog.reading() as session:
            [line] = audit.lines(session)
    assert (line.door, line.by, line.action) == ("server", None, "answer.forget")


# --- commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def metier(tmp_path, monkeypatch, capsys, sqlite_url):
    """Run one command beside a migrated, empty catalog."""
    return commands(tmp_path, monkeypatch, capsys)


def actions(metier, *options):
    return [(e["action"], e["object"], e["about"]) for e in json.loads(metier("audit", "list", "--json", *options)[1])]


def test_every_command_that_changes_something_leaves_its_line(metier, tmp_path):
    (tmp_path / "g.csv").write_text("group,member\nstaff,bob\nstaff,eve\n", encoding="utf-8")
    (tmp_path / "docs").mkdir()
    done = [
        (("people", "add", "ann"), [("principal.add", "reader", "ann")]),
        (("people", "add", "staff", "--kind", "group"), [("principal.add", "reader", "staff")]),
        (("people", "suspend", "ann"), [("principal.state", "suspended", "ann")]),
        (("people", "activate", "ann"), [("principal.state", "active", "ann")]),
        (("people", "role", "ann", "operator"), [("principal.role", "operator", "ann")]),
        (("people", "join", "staff", "ann"), [("group.join", "4", "ann")]),
        (("people", "leave", "staff", "ann"), [("group.leave", "4", "ann")]),
        (
            ("people", "import", "g.csv"),
            [
                ("group.join", "4", "eve"),
                ("group.join", "4", "bob"),
                ("principal.add", "user", "eve"),
                ("principal.add", "user", "bob"),
            ],
        ),
        (("sources", "add", "docs", "docs"), [("source.add", "1", None)]),
        (("access", "grant", "docs", "ann", "staff"), [("source.grant", "1", "staff"), ("source.grant", "1", "ann")]),
        (("access", "revoke", "docs", "ann"), [("source.revoke", "1", "ann")]),
        (("specialist", "create", "hr"), [("specialist.change", "hr@1", None)]),
        (("specialist", "delete", "hr"), [("specialist.delete", "hr", None)]),
        (("audit", "export"), [("audit.export", "", None)]),
        (("people", "export", "ann", "ann.json"), [("principal.export", "", "ann")]),
        (("people", "erase", "ann", "--yes"), [("principal.erase", "", "erased-3")]),
        (("sources", "remove", "docs"), [("source.remove", "1", None)]),
        (("retention", "apply"), []),
        (("audit", "list"), []),
    ]
    seen = 0
    for command, expected in done:
        code, _, err = metier(*command)
        assert code == 0, (command, err)
        found = actions(metier)
        assert found[: len(found) - seen] == expected, command
        seen = len(found)
    assert metier("audit", "verify")[0] == 0


def test_keys_made_on_the_command_line_leave_their_lines(metier):
    metier("people", "add", "ann")
    key = metier("key", "create", "ann")[1].strip().removeprefix("metier_")[:16]
    metier("key", "revoke", key)

    assert actions(metier, "--action", "key") == [("key.revoke", key, "ann"), ("key.create", key, "ann")]
    assert [e[0] for e in actions(metier, "--who", "ann")] == ["key.revoke", "key.create", "principal.add"]
    assert actions(metier, "--since", "2999-01-01") == []
    assert len(actions(metier, "--limit", "1")) == 1


def test_verify_tells_a_noted_head_from_another_and_a_broken_log_from_a_whole_one(metier, tmp_path):
    metier("people", "add", "ann")
    metier("people", "add", "bob")
    code, out, _ = metier("audit", "verify")
    noted = out.split()[-1]
    assert code == 0
    assert metier("audit", "verify", "--noted", noted)[0] == 0
    assert metier("audit", "verify", "--noted", f"2:{'0' * 64}")[:2] == (1, "Line 2 was altered, removed or added.\n")
    assert metier("audit", "verify", "--noted", "x")[0] == 1

    with sqlite3.connect(tmp_path / "data" / "catalog.db") as connection:
        connection.execute("DROP TRIGGER audit_is_append_only")
        connection.execute("UPDATE audit SET object = 'admin' WHERE seq = 1")
    assert metier("audit", "verify")[:2] == (1, "Line 1 was altered, removed or added.\n")


def test_an_audit_export_is_one_json_line_each(metier):
    metier("people", "add", "ann")
    lines = [json.loads(line) for line in metier("audit", "export")[1].splitlines()]

    assert [line["action"] for line in lines] == ["principal.add", "audit.export"]
    assert all(len(line["hash"]) == 64 for line in lines)


def test_a_person_is_exported_to_a_file_of_ones_own_that_was_not_there(metier, tmp_path):
    metier("people", "add", "ann")
    assert metier("people", "export", "ann", "ann.json")[0] == 0

    assert (tmp_path / "ann.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "ann.json").read_text(encoding="utf-8"))["principal"]["name"] == "ann"
    assert metier("people", "export", "ann", "ann.json")[0] == 1
    assert [e[0] for e in actions(metier, "--action", "principal.export")] == ["principal.export"]


def test_nobody_is_erased_without_a_yes(metier):
    metier("people", "add", "ann")

    assert metier("people", "erase", "ann")[0] == 1
    assert metier("people", "erase", "local", "--yes")[0] == 1
    assert metier("people", "erase", "ann", "--yes", "--json")[0] == 0
    assert metier("people", "erase", "ann", "--yes")[0] == 1, "there is nobody of this name"
