"""Hooks and runs that were asked for: signed messages alone get in, any number of them is one run, none is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from app import audit, signatures
from app.cli import main
from app.scheduling import start_due
from indexing import runs, runs_live, schedules, store, triggers
from indexing.db import now, open_catalog
from indexing.documents import SyncReport
from indexing.schedules import Timing
from indexing.secrets import store_secret
from indexing.tables import Table
from indexing.tables_events import HookRow, WantedRunRow
from tests.faces import face, wait_until

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"ref": "refs/heads/main"}'
#: That are mutated, stale or replayed; METIER_TEST_EXAMPLES asks for more.
MESSAGES = max(150, int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
RUN = Table.metadata.tables["run"]
WANTED, HOOK = Table.metadata.tables[WantedRunRow.__tablename__], Table.metadata.tables[HookRow.__tablename__]


@pytest.fixture
def hooked(settings, catalog_url):
    """A server with a source that has a hook, and one that has none."""
    own = settings(database_url=catalog_url)
    store_secret(own.data_dir, "hook", SECRET)
    with face(own) as found:
        found.add_source()
        found.add_source("bare")
        with found.parts.catalog.transaction() as session:
            triggers.set_hook(session, 1, "hook")
        yield found


def own_format(number, body=BODY, secret=SECRET, at=None):
    return signatures.signed(secret, f"msg_{number}", int(at or time.time()), body)


def github(body=BODY, secret=SECRET):
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def send(found, headers, body=BODY, source=1):
    return found.http.post(f"/v1/sources/{source}/hook", content=body, headers=headers)


def wanted(catalog):
    with catalog.reading() as session:
        return [tuple(row) for row in session.execute(select(WANTED.c.source_id, WANTED.c.trigger))]


def ripen(catalog):
    """As if the quiet time were over."""
    with catalog.transaction() as session:
        session.execute(update(WANTED).values(begin_at=now(session)))


def claimed(catalog):
    with catalog.transaction() as session:
        return schedules.claim_due(session)


def ended(catalog, run_id, state="succeeded"):
    with catalog.transaction() as session:
        runs.finish_run(session, SyncReport(run_id, "handbook", state))


def triggers_of(catalog):
    with catalog.reading() as session:
        return [tuple(row) for row in session.execute(select(RUN.c.trigger, RUN.c.state).order_by(RUN.c.id))]


# --- signatures -----------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_standard_webhooks():
    # Made with the project's own library, standardwebhooks 1.1.0.
    headers = signatures.signed(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_in_the_docs_checks_a_signature_and_refuses_another():
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    for body, fits in ((BODY, True), (BODY + b" ", False)):
        names = {"secret": SECRET, "headers": own_format(1), "body": body}
        try:
            exec(example, names)
        except AssertionError:
            assert not fits
        else:
            assert fits


def test_each_format_is_taken(hooked):
    for headers in (own_format(1), github(), {"X-Gitlab-Token": SECRET}):
        response = send(hooked, headers)
        assert (response.status_code, response.json()) == (202, {"accepted": True})

    assert wanted(hooked.parts.catalog) == [(1, "hook")]
    with hooked.parts.catalog.reading() as session:
        lines = [(e.by, e.action, e.object) for e in audit.lines(session) if e.action == "source.trigger"]
    assert lines == [(None, "source.trigger", "1")]


def test_what_is_not_signed_looks_the_same_whether_the_source_is_there_or_not(hooked):
    wrong = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    answers = [send(hooked, wrong, source=source) for source in (1, 2, 99)]
    answers += [send(hooked, {}), send(hooked, github(), source=2), send(hooked, {"Authorization": "Bearer x"})]

    assert {a.status_code for a in answers} == {401}
    assert len({a.text for a in answers}) == 1
    assert wanted(hooked.parts.catalog) == []


def test_no_mutated_stale_or_replayed_message_asks_for_a_run(hooked):
    chance = random.Random(20)
    for _ in range(2):
        assert send(hooked, own_format(0)).status_code == 202  # the second is a replay
    with hooked.parts.catalog.transaction() as session:
        triggers.take(session, 1)
    asked = 0
    for number in range(MESSAGES):
        headers, body = (own_format(number + 1), BODY) if number % 2 else (github(), BODY)
        match number % 5:
            case 0:
                at = chance.randrange(len(body))
                body = body[:at] + bytes([body[at] ^ (1 << chance.randrange(8))]) + body[at + 1 :]
            case 1:
                name = chance.choice(sorted(headers))
                headers[name] = mutated(headers[name], chance)
            case 2:
                off = chance.choice((-1, 1)) * chance.randint(triggers.WINDOW_S + 5, 10**8)
                headers = own_format(number, at=time.time() + off)
            case 3:
                headers = own_format(0)
            case _:
                headers = own_format(number, secret=signatures.new_secret())
        status = send(hooked, headers, body).status_code
        assert status == (202 if number % 5 == 3 else 401), (number, headers)
        asked += wanted(hooked.parts.catalog) != []

    assert asked == 0


def mutated(value, chance):
    """*value* with one character changed; never only in the case of a letter of a hexadecimal number."""
    at = chance.randrange(len(value))
    return value[:at] + chance.choice([c for c in "abXY019+_-" if c != value[at]]) + value[at + 1 :]


def test_a_body_that_is_too_large_is_refused_before_it_is_looked_at(hooked):
    body = b"x" * ((64 << 10) + 1)

    assert send(hooked, github(body), body).status_code == 413
    assert send(hooked, github(body[:-1]), body[:-1]).status_code == 202


@pytest.mark.parametrize("secret", ["short", ""])
def test_a_hook_whose_secret_cannot_be_used_lets_nobody_in(hooked, secret, log_lines):
    path = hooked.parts.settings.data_dir / "secrets" / "hook"
    path.write_text(secret) if secret else path.unlink()

    assert send(hooked, github(secret=secret)).status_code == 401
    assert send(hooked, {"X-Gitlab-Token": secret}).status_code == 401
    assert [line["action"] for line in log_lines() if line["action"] == "hook_unusable"] == ["hook_unusable"] * 2


# --- one run --------------------------------------------------------------------------------------------------


def test_a_storm_during_a_run_leads_to_exactly_one_run_after_it(hooked):
    catalog, going = hooked.parts.catalog, hooked.http.app.state.synchronizations
    with catalog.transaction() as session:
        first = runs.start_run(session, 1)
    statuses: list[int] = []

    def storm(thread):
        statuses.extend(send(hooked, own_format(f"{thread}_{n}")).status_code for n in range(50))

    threads = [threading.Thread(target=storm, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 200
    ripen(catalog)
    assert start_due(catalog, going) == []
    assert claimed(catalog) == []
    ended(catalog, first)
    start_due(catalog, going)
    wait_until(lambda: len(triggers_of(catalog)) == 2 and going.count() == 0)
    start_due(catalog, going)

    assert triggers_of(catalog) == [("manual", "succeeded"), ("hook", "succeeded")]
    assert wanted(catalog) == []


def test_what_comes_within_the_quiet_time_is_one_run(hooked):
    catalog = hooked.parts.catalog
    for number in range(5):
        send(hooked, own_format(number))
    assert claimed(catalog) == []
    ripen(catalog)

    assert [claim.source.id for claim in claimed(catalog)] == [1]
    assert claimed(catalog) == []


def test_many_who_look_at_once_begin_it_once(hooked):
    catalog, found = hooked.parts.catalog, []
    send(hooked, github())
    ripen(catalog)
    threads = [threading.Thread(target=lambda: found.extend(claimed(catalog))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1


def test_a_paused_schedule_and_quiet_hours_hold_back_a_hook_but_not_a_person(catalog):
    with catalog.transaction() as session:
        paused, quiet = (store.add_source(session, name, "push", "") for name in ("paused", "quiet"))
        schedules.set_schedule(session, paused.id, Timing("0 6 1 1 *"), paused=True)
        schedules.set_schedule(session, quiet.id, Timing("0 6 1 1 *", quiet="00:00-23:59"))
        for source in (paused, quiet):
            triggers.ask(session, source.id, triggers.BY_HOOK)
    ripen(catalog)
    if (now_of(catalog).hour, now_of(catalog).minute) < (23, 58):
        assert claimed(catalog) == []
        with catalog.reading() as session:
            assert not schedules.anything_due(session)
    with catalog.transaction() as session:
        for source in (paused, quiet):
            triggers.ask(session, source.id, triggers.MANUAL)

    assert {claim.source.name for claim in claimed(catalog)} == {"paused", "quiet"}


def now_of(catalog):
    with catalog.reading() as session:
        return now(session)


def test_a_scheduled_run_does_what_a_hook_asked_for(catalog):
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "push", "")
        schedules.set_schedule(session, source.id, Timing("0 6 1 1 *"))
        session.execute(update(Table.metadata.tables["schedule"]).values(next_at=now(session)))
        triggers.ask(session, source.id, triggers.BY_HOOK)
    ripen(catalog)

    assert len(claimed(catalog)) == 1
    assert triggers_of(catalog) == [("schedule", "running")]
    assert wanted(catalog) == []


def test_what_was_accepted_is_run_also_when_the_process_is_killed_right_after(catalog, catalog_url):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
    program = f"""
import os, signal
from indexing import db, triggers
with db.open_catalog({catalog_url!r}).transaction() as session:
    triggers.ask(session, 1, "hook")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    ripen(catalog)

    assert len(claimed(catalog)) == 1
    assert claimed(catalog) == []


@pytest.mark.parametrize("trigger", [triggers.BY_HOOK, triggers.MANUAL])
def test_a_run_that_was_asked_for_and_whose_process_died_happens_again(catalog, trigger):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
        triggers.ask(session, 1, trigger)
    for _ in range(triggers.RETRIES):
        ripen(catalog)
        [claim] = claimed(catalog)
        with catalog.transaction() as session:
            long_ago = now(session) - timedelta(seconds=runs.LEASE_S + 1)
            session.execute(update(RUN).where(RUN.c.id == claim.run_id).values(beat_at=long_ago))
        claimed(catalog)
    ripen(catalog)

    assert claimed(catalog) == []  # it kills each process that tries
    assert triggers_of(catalog) == [(trigger, "failed")] * triggers.RETRIES


def test_a_run_that_was_stopped_with_its_server_happens_again(catalog):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
        triggers.ask(session, 1, triggers.BY_HOOK)
    ripen(catalog)
    ended(catalog, claimed(catalog)[0].run_id, "cancelled")
    ripen(catalog)

    assert len(claimed(catalog)) == 1


@pytest.mark.parametrize("process", ["alive", "dead"])
def test_a_run_that_somebody_cancels_does_not_begin_again_by_itself(catalog, process):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
        triggers.ask(session, 1, triggers.BY_HOOK)
    ripen(catalog)
    run_id = claimed(catalog)[0].run_id
    with catalog.transaction() as session:
        if process == "dead":
            long_ago = now(session) - timedelta(seconds=runs.LEASE_S + 1)
            session.execute(update(RUN).where(RUN.c.id == run_id).values(beat_at=long_ago))
        assert runs_live.ask_to_cancel(session, run_id)
    if process == "alive":
        ended(catalog, run_id, "cancelled")
    ripen(catalog)

    assert claimed(catalog) == []


def test_somebody_who_asks_during_a_run_gets_one_more_after_it_or_a_refusal(hooked):
    catalog = hooked.parts.catalog
    with catalog.transaction() as session:
        going = runs.start_run(session, 2)

    assert hooked.http.post("/v1/sources/2/sync").status_code == 409
    assert hooked.http.post("/v1/sources/2/sync", json={"when": "now"}).status_code == 409
    both = {"when": "after", "confirm_deletions": True}
    assert hooked.http.post("/v1/sources/2/sync", json=both).status_code == 400
    for _ in range(3):
        response = hooked.http.post("/v1/sources/2/sync", json={"when": "after"})
        assert (response.status_code, response.json()["id"], response.json()["followed"]) == (202, going, True)
    ended(catalog, going)
    start_due(catalog, hooked.http.app.state.synchronizations)
    wait_until(lambda: [state for _, state in triggers_of(catalog)] == ["succeeded", "succeeded"])

    assert hooked.http.post("/v1/sources/1/sync", json={"when": "after"}).json()["followed"] is False


# --- the command ----------------------------------------------------------------------------------------------


def test_the_command_makes_a_hook_and_shows_address_and_secret_once(settings, sqlite_url, monkeypatch, capsys):
    monkeypatch.setenv("METIER_DATA_DIR", str(settings().data_dir))
    catalog = open_catalog(sqlite_url)
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
    run_command("sources", "hook", "handbook")
    address, secret = capsys.readouterr().out.split()
    assert address == "http://127.0.0.1:8000/v1/sources/1/hook"
    assert (settings().data_dir / "secrets" / "hook-1").read_text() == secret
    with face(settings()) as found:
        assert send(found, own_format(1, secret=secret)).status_code == 202
        kept = json.dumps([str(r) for r in tables_of(found.parts.catalog)])
        assert secret not in kept
        run_command("sources", "hook", "handbook", "--remove")
        assert send(found, own_format(2, secret=secret)).status_code == 401
    catalog.close()


def run_command(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0


def tables_of(catalog):
    with catalog.reading() as session:
        return [row for table in ("hook", "audit", "source") for row in session.execute(text(f"SELECT * FROM {table}"))]
