"""The HTTP transport: only what Slack has signed comes in, once, and it is stored before it is acknowledged."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import func, select

from app.slack import store_workspaces
from indexing import db
from tests import slacks
from tests.faces import wait_until
from tests.slacks import ANN, BOT, JOB, SIGNING, TEAM, Notes, application, mention, signed

EXAMPLES = int(os.environ.get("METIER_TEST_EXAMPLES") or 2000)


@pytest.fixture
def catalog(sqlite_url):
    opened = db.open_catalog(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def door(settings, sqlite_url, notes):
    with application(settings(), notes) as (http, running):
        wait_until(lambda: running.bots)
        yield http


def count(catalog):
    with catalog.reading() as session:
        return session.execute(select(func.count()).select_from(JOB)).scalar_one()


def send(http, body, headers):
    return http.post("/slack/events", content=body, headers=headers)


def test_what_slack_has_signed_is_stored_and_done(door, catalog, notes):
    reply = send(door, *signed(mention(ts="1.1")))

    assert (reply.status_code, reply.content) == (200, b"")
    wait_until(lambda: notes.handled)
    assert notes.handled[0].incoming.text == "How long is the leave?"
    age = door.get("/readyz").json()["slack_event_age_s"]
    assert 0 <= age < 30


def test_the_names_of_headers_may_be_written_in_any_case(door, catalog):
    body, headers = signed(mention())

    assert send(door, body, {name.upper(): value for name, value in headers.items()}).status_code == 200
    assert count(catalog) == 1


def test_commands_and_clicks_come_in_as_forms(door, catalog, notes):
    command = {
        "command": "/ask",
        "text": "a & b é",
        "team_id": TEAM,
        "channel_id": "C1",
        "user_id": ANN,
        "trigger_id": "1.1",
    }
    click = {
        "type": "block_actions", "team": {"id": TEAM}, "user": {"id": ANN}, "trigger_id": "1.2",
        "actions": [{"action_id": "human"}],
    }  # fmt: skip
    for form in (command, {"payload": json.dumps(click)}):
        body = urlencode(form).encode()
        headers = slacks.signature(body, time.time()) | {"content-type": "application/x-www-form-urlencoded"}
        reply = send(door, body, headers)
        assert (reply.status_code, reply.content) == (200, b"")

    wait_until(lambda: len(notes.handled) == 2)
    assert {(job.incoming.kind, job.incoming.text) for job in notes.handled} == {("command", "a & b é"), ("action", "")}


def test_slack_can_verify_the_address_but_nobody_else(door, catalog):
    body, headers = signed({"type": "url_verification", "challenge": "3eZbrw1aB"})

    assert send(door, body, headers).json() == {"challenge": "3eZbrw1aB"}
    assert send(door, body, {}).status_code == 401
    check = send(door, b"ssl_check=1&token=x", {"content-type": "application/x-www-form-urlencoded"})
    assert (check.status_code, check.content) == (200, b"")
    assert count(catalog) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"\xff", b"payload=x", b"payload=[]", b"[" * 5000])
def test_what_is_signed_and_no_object_does_no_harm(door, catalog, body):
    for kind in ("application/json", "application/x-www-form-urlencoded", "", "x/y"):
        headers = slacks.signature(body, time.time()) | {"content-type": kind}
        assert send(door, body, headers).status_code in (200, 400, 401)
    assert count(catalog) == 0


def test_a_body_over_a_megabyte_is_refused_unread(door, catalog):
    body, headers = signed(mention("x" * (1 << 20)))

    assert send(door, body, headers).status_code == 413
    assert count(catalog) == 0


def test_a_header_that_comes_twice_is_not_believed(door, catalog):
    body, headers = signed(mention())

    twice = [*headers.items(), ("x-slack-signature", headers["x-slack-signature"])]

    assert send(door, body, twice).status_code == 401
    assert count(catalog) == 0


def test_mutated_stale_and_replayed_requests_are_refused_all_of_them(door, catalog):
    """H1 of the fault model: 10,000 with METIER_TEST_EXAMPLES=10000. Genuine ones among them are accepted."""
    chance = random.Random(11)
    used = [signed(mention("first"))]
    assert send(door, *used[0]).status_code == 200
    accepted, wrong = 1, {}
    for number in range(EXAMPLES):
        genuine = signed(mention(f"question {number} é"))
        kind, body, headers = forged(chance, genuine, used)
        status = send(door, body, headers).status_code
        if status != 401:
            wrong[number] = (kind, status)
        if number % 50 == 0:  # the same one, unaltered, is good: it is the alteration that was refused
            assert send(door, *genuine).status_code == 200
            used.append(genuine)
            accepted += 1

    assert wrong == {}
    assert count(catalog) == accepted


def forged(chance, genuine, used):
    """Return how a request is forged, its body and its headers."""
    kind = chance.choice(list(FORGERIES))
    body, headers = FORGERIES[kind](chance, *genuine, used)
    return kind, body, {name.encode(): value.encode("utf-8") for name, value in headers.items()}


def altered_body(chance, body, headers, _used):
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ (1 << chance.randrange(8))]) + body[place + 1 :], headers


def altered_mark(chance, body, headers, _used):
    mark = headers["x-slack-signature"]
    prefixed = [prefix + mark[3:] for prefix in ("v1=", "sha256=", "v00=", "", "v0:", "V0=")]
    odd = [mark.upper(), f" {mark}x", mark[:-1], "é" * 64, f"{mark},{mark}", "v0=", "v0=" + "0" * 64, *prefixed]
    return body, headers | {"x-slack-signature": chance.choice(odd)}


def without_a_header(chance, body, headers, _used):
    gone = chance.choice(("x-slack-signature", "x-slack-request-timestamp"))
    return body, {name: value for name, value in headers.items() if name != gone}


def stale(chance, body, headers, _used):
    """As after a jump of the clock, in either direction."""
    shift = chance.choice((-1, 1)) * (310 + chance.random() * 10 ** chance.randrange(7))
    return body, headers | slacks.signature(body, max(0, time.time() + shift))


def replayed(chance, _body, _headers, used):
    body, headers = chance.choice(used)
    if chance.random() < 0.5:  # what is not signed may change
        retried = {"X-Slack-Retry-Num": "1", "Content-Type": "application/json; charset=utf-8"}
        headers = {name.title(): value for name, value in headers.items()} | retried
    return body, headers


def of_another_secret(chance, body, headers, _used):
    secret = chance.choice((SIGNING[::-1], "", "0" * 32, SIGNING + " "))
    return body, headers | slacks.signature(body, time.time(), secret)


def altered_stamp(chance, body, headers, _used):
    stamp = headers["x-slack-request-timestamp"]
    odd = (str(int(stamp) - 1), f"+{stamp}", f"0{stamp}", f"{stamp}.0", "", "-1", "9" * 400, "1e9", stamp[:5] + "_")
    return body, headers | {"x-slack-request-timestamp": chance.choice(odd)}


def of_another_body(_chance, body, headers, _used):
    other, _ = signed({"type": "event_callback", "event": {"text": quote(body[:20])}})
    return other, headers


STAMPED = (stale, altered_stamp)
MARKED = (altered_mark, of_another_secret, without_a_header)
FORGERIES: dict[str, Any] = {
    each.__name__: each for each in (altered_body, of_another_body, replayed, *MARKED, *STAMPED)
}


def test_without_its_secret_nothing_comes_in_and_everybody_is_told(settings, sqlite_url, catalog, notes, log_lines):
    made = settings()
    with application(made, notes) as (http, running):
        wait_until(lambda: running.bots)
        (made.data_dir / "secrets" / "slack-signing").unlink()
        wait_until(lambda: running.troubles)

        assert send(http, *signed(mention())).status_code == 401
        assert not running.bots
        assert "slack-signing" in running.troubles[TEAM]
        assert any(line["action"] == "slack_no_secret" for line in log_lines())

        (made.data_dir / "secrets" / "slack-signing").write_text("another-secret")
        wait_until(lambda: running.bots)
        assert send(http, *signed(mention())).status_code == 401
    assert count(catalog) == 0


def test_with_an_empty_secret_nothing_comes_in(settings, sqlite_url, catalog, notes):
    with application(settings(), notes) as (http, running):
        wait_until(lambda: running.bots)
        (settings().data_dir / "secrets" / "slack-signing").write_text(" ")
        wait_until(lambda: running.troubles)

        body, _ = signed(mention())
        assert send(http, body, slacks.signature(body, time.time(), "")).status_code == 401


def test_a_workspace_that_is_disconnected_is_served_no_more(settings, sqlite_url, catalog, notes):
    with application(settings(), notes) as (http, running):
        wait_until(lambda: running.bots)
        with catalog.transaction() as session:
            store_workspaces.disconnect(session, TEAM)
        wait_until(lambda: not running.bots)

        assert send(http, *signed(mention())).status_code == 401
        assert http.get("/readyz").json()["slack_event_age_s"] is None


def test_a_listener_whose_commit_failed_acknowledges_nothing(door, catalog, notes):
    body = mention(ts="3.3")
    with catalog.transaction() as session:
        session.connection().exec_driver_sql("ALTER TABLE slack_job RENAME TO away")

    assert send(door, *signed(body)).status_code == 500
    with catalog.transaction() as session:
        session.connection().exec_driver_sql("ALTER TABLE away RENAME TO slack_job")

    assert send(door, *signed(body)).status_code == 200  # Slack's retry, signed anew
    wait_until(lambda: notes.handled)
    assert count(catalog) == 1


def test_what_is_due_once_in_a_while_is_done_for_each_bot_and_a_failure_stops_nothing(settings, sqlite_url, notes):
    done = []

    def fails(_bot):
        raise KeyError

    with application(settings(), notes, periodic=(fails, lambda bot: done.append(bot.workspace.team_id))):
        wait_until(lambda: len(done) >= 2)

    assert set(done) == {TEAM}


def test_metrics_tell_of_jobs_without_a_word_of_anybody(door, notes):
    send(door, *signed(mention()))
    wait_until(lambda: notes.handled)

    told = door.get("/metrics").text

    assert 'metier_slack_jobs_total{kind="mention"' in told
    assert "metier_slack_stored_seconds_count" in told
    assert "metier_slack_last_event_seconds" in told
    assert BOT not in told
