"""The audit log: a line for everything that was done, none for what was not, and no way to change one unnoticed."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from app import audit, keys
from app.errors import BadRequest
from app.server import openapi_document
from app.tables_audit import AuditHeadRow, AuditRow
from indexing import changelog, principals
from indexing.errors import CatalogError
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now
from tests.faces import LEAVE, QUESTION, face, sse_events, wait_until

SECRET = "canary-of-the-question"


def write(catalog, count=5):
    for number in range(count):
        with catalog.transaction() as session:
            audit.record(session, LOCAL_PRINCIPAL_ID, "key.create", number)


def broken(catalog, noted=None):
    with catalog.reading() as session:
        return audit.verify(session, noted)


def head(catalog):
    with catalog.reading() as session:
        return audit.head(session)


def told(catalog, wanted=None):
    """Return (who, door, action, object, about, outcome) of each line."""
    with catalog.reading() as session:
        found = list(audit.lines(session, wanted))
    return [(e.by, e.door, e.action, e.object, e.about, e.outcome) for e in found]


def tampered(catalog, *changes, noted=None):
    """Return what is found when somebody who may change the schema has made *changes*; they are undone afterwards."""
    with catalog.transaction() as session:
        if session.get_bind().dialect.name == "sqlite":
            triggers = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            for each in triggers:
                session.execute(text(f"DROP TRIGGER {each}"))
        else:
            session.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
            session.execute(text("ALTER TABLE audit_head DISABLE TRIGGER ALL"))
        for change in changes:
            change(session) if callable(change) else session.execute(change)
        session.expire_all()
        found = audit.verify(session, noted)
        session.rollback()
    return found


def altered(seq, **values):
    return update(AuditRow).where(AuditRow.seq == seq).values(values or {"object": "x"})


def hash_of(catalog, seq):
    with catalog.reading() as session:
        return next(line.hash for line in audit.lines(session) if line.seq == seq)


def made_anew(session, first):
    """Chain the log anew from line *first* on, as somebody would who has changed it."""
    rows = session.scalars(select(AuditRow).order_by(AuditRow.seq)).all()
    previous = next((r.hash for r in rows if r.seq == first - 1), audit.first_hash(changelog.state(session).uuid))
    for row in rows:
        if row.seq < first:
            continue
        fields = [row.seq, row.at.isoformat(timespec="microseconds"), row.principal_id, row.about_id, row.door]
        fields += [row.action, row.object, row.outcome, row.request_id]
        previous = hashlib.sha256(json.dumps([previous, *fields], ensure_ascii=False).encode()).hexdigest()
        row.hash = previous
    return previous


# --- the chain ------------------------------------------------------------------------------------------------


def test_lines_are_numbered_without_gaps_and_the_chain_verifies(catalog):
    assert broken(catalog) is None
    write(catalog)

    with catalog.reading() as session:
        assert [line.seq for line in audit.lines(session)] == [1, 2, 3, 4, 5]
    assert broken(catalog) is None


def test_what_was_rolled_back_leaves_no_line_and_no_gap(catalog):
    write(catalog, 1)

    def added_without_a_key():
        with catalog.transaction() as session:
            owner = principals.add_principal(session, "user", "ann")
            audit.record(session, LOCAL_PRINCIPAL_ID, "principal.add", about=owner.id)
            keys.create_key(session, owner, set())

    with pytest.raises(BadRequest):
        added_without_a_key()
    write(catalog, 1)

    with catalog.reading() as session:
        assert [(line.seq, line.action) for line in audit.lines(session)] == [(1, "key.create"), (2, "key.create")]
    assert broken(catalog) is None


REFUSED = (
    "UPDATE audit SET object = 'x' WHERE seq = 2",
    "DELETE FROM audit WHERE seq = 5",
    "DELETE FROM audit WHERE seq = 1",
    "DELETE FROM audit",
    """INSERT INTO audit SELECT 9, at, principal_id, about_id, door, action, object, outcome, request_id, hash
       FROM audit WHERE seq = 1""",
    "UPDATE audit_head SET seq = 2",
    "UPDATE audit_head SET start_seq = 9",
    "DELETE FROM audit_head",
)


def test_the_database_refuses_to_change_the_log(catalog):
    write(catalog)
    refused = [*REFUSED, "TRUNCATE audit"] if catalog.engine.dialect.name == "postgresql" else REFUSED
    for statement in refused:
        with pytest.raises((CatalogError, DBAPIError)), catalog.transaction() as session:
            session.execute(text(statement))

    assert broken(catalog) is None
    assert head(catalog).seq == 5


def test_a_line_that_was_changed_is_found(catalog):
    write(catalog)
    values = {"at": utc_now(), "principal_id": 7, "about_id": 7, "request_id": "x"}
    values |= dict.fromkeys(("door", "action", "object", "outcome", "hash"), "x")

    for column, value in values.items():
        assert tampered(catalog, altered(3, **{column: value})) == 3, column
    assert {c.name for c in AuditRow.__table__.columns} == {"seq", *values}


def test_a_line_that_was_removed_is_found(catalog):
    write(catalog)

    for gone in range(1, 6):
        assert tampered(catalog, delete(AuditRow).where(AuditRow.seq == gone)) == gone
        closed_up = text(f"UPDATE audit SET seq = seq - 1 WHERE seq > {gone}")
        assert tampered(catalog, delete(AuditRow).where(AuditRow.seq == gone), closed_up) == gone


def test_lines_that_were_removed_from_the_front_are_found_also_if_the_head_says_so(catalog):
    write(catalog)
    start = update(AuditHeadRow).values(start_seq=3, start_hash=hash_of(catalog, 3))

    assert tampered(catalog, start, delete(AuditRow).where(AuditRow.seq <= 3)) == 4


def test_a_line_that_was_added_is_found(catalog):
    write(catalog)

    assert tampered(catalog, text(REFUSED[4]), text("UPDATE audit SET seq = 6 WHERE seq = 9")) == 6


def test_a_chain_that_was_made_anew_from_the_middle_is_found(catalog):
    write(catalog)

    assert tampered(catalog, altered(3), lambda session: made_anew(session, 3)) is not None


def test_a_chain_and_head_that_were_made_anew_are_found_by_a_head_that_was_noted(catalog):
    write(catalog)
    noted = head(catalog)
    write(catalog, 2)

    def with_head(session):
        session.execute(update(AuditHeadRow).values(hash=made_anew(session, 3)))

    assert tampered(catalog, altered(3), with_head) is None, "then the noted head would not be needed"
    assert tampered(catalog, altered(3), with_head, noted=noted) == 5


def test_a_log_that_was_cut_at_the_end_is_found_by_a_head_that_was_noted(catalog):
    write(catalog)
    noted = head(catalog)
    shorter = update(AuditHeadRow).values(seq=3, hash=hash_of(catalog, 3))

    assert tampered(catalog, delete(AuditRow).where(AuditRow.seq > 3), shorter, noted=noted) == 4


def test_old_lines_are_forgotten_from_the_front_and_the_chain_still_verifies(catalog):
    write(catalog, 3)
    noted, moment = head(catalog), utc_now()
    write(catalog, 2)
    for _ in range(2):  # the second time finds nothing
        with catalog.transaction() as session:
            audit.forget(session, moment)

    with catalog.reading() as session:
        found = [(line.seq, line.action) for line in audit.lines(session)]
    assert found == [(4, "key.create"), (5, "key.create"), (6, "audit.forget")]
    assert broken(catalog) is None
    assert broken(catalog, noted) is None
    with catalog.transaction() as session:
        audit.forget(session, utc_now() + timedelta(days=1))
    write(catalog, 1)
    assert broken(catalog) is None
    assert head(catalog).seq == 8


def test_lines_of_writers_at_once_are_one_chain(catalog):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write(catalog, 5), range(4)))

    assert head(catalog).seq == 20
    assert broken(catalog) is None


def test_lines_are_found_by_who_action_and_moment(catalog):
    write(catalog, 2)
    with catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann").id
        audit.record(session, LOCAL_PRINCIPAL_ID, "principal.add", about=ann)
        audit.record(session, ann, "keyboard.press")
    moment = utc_now()
    write(catalog, 1)

    def seqs(**wanted):
        with catalog.reading() as session:
            return [line.seq for line in audit.lines(session, audit.Wanted(**wanted))]

    assert seqs(principal_id=ann) == [3, 4]
    assert seqs(action="key") == [1, 2, 5]
    assert seqs(action="principal.add") == [3]
    assert seqs(since=moment) == [5]


# --- what is recorded -----------------------------------------------------------------------------------------

PUSHED = "/v1/sources/{source}/documents/hr/leave.md"
ASKED = {"question": QUESTION, "answers": ["25 days"]}
#: Each operation that changes or reads contents, in an order that works: how it is done, and the lines that it leaves.
DONE = {
    "add_source": ("POST", "/v1/sources", {"name": "hand", "kind": "push"}, ["source.add"]),
    "push_document": ("PUT", PUSHED, LEAVE.encode(), ["document.push"]),
    "sync_source": ("POST", "/v1/sources/{source}/sync", {}, ["source.sync"]),
    "create_specialist": ("POST", "/v1/specialists", {"name": "bold", "threshold": 0}, ["specialist.change"]),
    "add_specialist_version": ("POST", "/v1/specialists/bold/versions", {"threshold": 0}, ["specialist.change"]),
    "promote_specialist_version": ("POST", "/v1/specialists/bold/versions/1/promote", None, ["specialist.promote"]),
    "ask": ("POST", "/v1/ask", {"question": QUESTION, "specialist": "bold"}, ["answer.ask"]),
    "give_feedback": ("POST", "/v1/feedback", {"answer_id": "{answer}", "helpful": True}, ["answer.judge"]),
    "create_chat_completion": (
        "POST",
        "/v1/chat/completions",
        {"model": "bold", "messages": [{"role": "user", "content": QUESTION}]},
        ["answer.ask"],
    ),
    "search": ("POST", "/v1/search", {"question": SECRET}, ["document.search"]),
    "get_document_content": ("GET", "/v1/documents/1/content", None, ["document.read"]),
    "create_key": ("POST", "/v1/keys", {"principal": "local"}, ["key.create"]),
    "revoke_key": ("DELETE", "/v1/keys/{key}", None, ["key.revoke"]),
    "list_audit": ("GET", "/v1/audit", None, ["audit.read"]),
    "set_specialist_access": ("PUT", "/v1/specialists/bold/access", {"askers": ["everyone"]}, ["specialist.access"]),
    "keep_golden_set": ("PUT", "/v1/specialists/bold/golden", {"questions": [ASKED]}, ["specialist.golden"]),
    "forget_golden_set": ("DELETE", "/v1/specialists/bold/golden", None, ["specialist.golden"]),
    "set_schedule": ("PUT", "/v1/sources/{source}/schedule", {"cron": "0 6 * * *"}, ["source.schedule"]),
    "remove_schedule": ("DELETE", "/v1/sources/{source}/schedule", None, ["source.schedule"]),
    "add_notification": (
        "POST",
        "/v1/notifications",
        {"kind": "webhook", "address": "https://127.0.0.1/x", "secret": "hook"},
        ["notification.add"],
    ),
    "test_notification": ("POST", "/v1/notifications/1/test", None, ["notification.test"]),
    "remove_notification": ("DELETE", "/v1/notifications/1", None, ["notification.remove"]),
    "delete_specialist": ("DELETE", "/v1/specialists/bold", None, ["specialist.delete"]),
    "delete_document": ("DELETE", PUSHED, None, ["document.delete"]),
    "remove_source": ("DELETE", "/v1/sources/{source}", None, ["source.remove"]),
}
#: Operations that are no GET and change nothing.
CHANGES_NOTHING = {"plan_source"}
#: Those that need a run which goes on: tests/integration/test_run_cancel.py looks for their lines.
OF_A_RUN = {"cancel_run"}
#: Those that need somebody who signed in: tests/integration/test_sign_in.py looks for their lines.
SIGNED_IN = {"sign_out", "become_first_admin"}
#: That needs a run which is held: tests/integration/test_gate.py looks for its line.
HELD = {"publish_run"}
#: Those that nobody of ours does: tests/integration/test_hooks.py looks for their lines.
BY_SIGNATURE = {"trigger_source"}


def test_every_operation_that_changes_something_leaves_its_line(settings, sqlite_url):
    changing = {
        operation["operationId"]
        for path in openapi_document()["paths"].values()
        for method, operation in path.items()
        if method != "get"
    }
    assert changing - CHANGES_NOTHING - OF_A_RUN - SIGNED_IN - HELD - BY_SIGNATURE <= set(DONE), (
        "add the operation to DONE, with the line that it leaves"
    )

    with face(settings()) as found:
        ids = {"source": "", "answer": "", "key": ""}
        for operation, (method, path, body, expected) in DONE.items():
            before = head(found.parts.catalog).seq
            content = {"content": body} if isinstance(body, bytes) else {"json": body and filled(body, ids)}
            response = found.http.request(method, path.format_map(ids), headers={"X-Request-ID": operation}, **content)
            assert response.status_code < 300, (operation, response.text)
            wait_until(lambda: "running" not in found.http.get("/v1/runs").text)
            ids |= ids_in(operation, response)
            with found.parts.catalog.reading() as session:
                new = list(audit.lines(session, after=before))

            assert [line.action for line in new] == expected, operation
            assert {line.by for line in new} == {"local"}
            assert {line.request_id for line in new} == {operation}, operation
            assert {line.door for line in new} == {"openai" if operation == "create_chat_completion" else "rest"}
        with found.parts.catalog.reading() as session:
            kept = str(session.execute(text("SELECT * FROM audit")).all())
    assert broken_in(sqlite_url) is None
    assert SECRET not in kept
    assert "paid leave" not in kept


def filled(body, ids):
    return json.loads(json.dumps(body).replace("{answer}", ids["answer"]))


def ids_in(operation, response):
    if operation == "add_source":
        return {"source": response.json()["id"]}
    if operation == "ask":
        return {"answer": response.json()["answer_id"]}
    return {"key": response.json()["id"]} if operation == "create_key" else {}


def broken_in(url):
    from indexing import db

    catalog = db.open_catalog(url)
    try:
        return broken(catalog)
    finally:
        catalog.close()


def test_a_refusal_is_recorded_once_an_hour_however_often_it_happens(settings, sqlite_url):
    with face(settings(api_token="master")) as found:
        catalog = found.parts.catalog
        with catalog.transaction() as session:
            owner = principals.add_principal(session, "user", "ann")
            _, text_of_key = keys.create_key(session, owner, {"ask", "read"})
        mine = {"Authorization": f"Bearer {text_of_key}"}
        for _ in range(20):
            assert found.http.get("/v1/keys", headers=mine).status_code == 403
            assert found.http.get("/v1/audit", headers=mine).status_code == 403
            assert found.http.get("/metrics", headers=mine).status_code == 403

        refused = [line for line in told(catalog) if line[-1] == "refused"]
    assert refused == [
        ("ann", "rest", "permission.use", permission, None, "refused") for permission in ("admin", "observe")
    ]


def test_a_search_is_answered_also_when_its_line_cannot_be_written(settings, sqlite_url, log_lines):
    with face(settings()) as found:
        found.filled()
        with found.parts.catalog.transaction() as session:
            session.execute(
                text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            )
        response = found.http.post("/v1/search", json={"question": "paid leave"})

    assert response.status_code == 200
    assert response.json()["passages"]
    assert [line["action"] for line in log_lines() if line["action"] == "audit_lost"] == ["audit_lost"]


def test_a_grant_whose_line_cannot_be_written_does_not_happen(settings, sqlite_url):
    with face(settings()) as found:
        with found.parts.catalog.transaction() as session:
            session.execute(
                text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            )
        assert found.http.post("/v1/keys", json={"principal": "local"}).status_code >= 500
        assert found.http.get("/v1/keys").json()["keys"] == []


def test_the_log_is_paged_and_filtered_over_rest(settings, sqlite_url):
    with face(settings()) as found:
        found.filled()
        seen = []
        after: int | None = 0
        while after is not None:
            page = found.http.get("/v1/audit", params={"limit": 2, "after": after, "action": "source"}).json()
            seen += [(line["action"], line["by"]) for line in page["lines"]]
            after = page["next_after"]
        assert seen == [("source.add", "local")]
        assert found.http.get("/v1/audit", params={"since": "2026-03-02T09:00:00"}).status_code == 422
        assert found.http.get("/v1/audit", params={"principal": "nobody"}).status_code == 404
        assert found.http.get("/v1/audit", params={"since": "2999-03-02T09:00:00Z"}).json()["lines"] == []


def test_a_stream_that_its_client_read_to_the_end_is_one_line(settings, sqlite_url):
    with face(settings()) as found:
        found.filled()
        body = {"question": QUESTION, "specialist": "bold", "stream": True}
        done = dict(sse_events(found.http.post("/v1/ask", json=body).text))["done"]

        asked = [line for line in told(found.parts.catalog) if line[2] == "answer.ask"]
    assert asked == [("local", "rest", "answer.ask", json.loads(done)["answer_id"], None, "ok")]
