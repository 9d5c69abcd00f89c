"""Everything that Slack sends is stored once and done once, whoever takes it, and whoever dies meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update

from app import retention
from app.errors import SlackError
from app.metrics import Metrics
from app.slack import store_inbox, store_people, store_workspaces
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.incoming import read
from app.slack.transport import Listener
from app.slack.working import Workers
from indexing import db
from indexing.errors import CatalogError
from indexing.tables import Table, utc_now
from tests import slacks
from tests.faces import wait_until
from tests.slacks import BOT, EVENT, JOB, TEAM, Notes, asked, jobs, mention, message

SIGNATURE = Table.metadata.tables["slack_signature"]
TS = "1700000000.000100"


def accept(catalog, incoming):
    with catalog.transaction() as session:
        return store_inbox.accept(session, incoming)


def claim(catalog, lane="answer", lease_s=30.0, team=TEAM):
    with catalog.transaction() as session:
        return store_inbox.claim(session, team, lane, lease_s)


def written(catalog, write, *arguments):
    with catalog.transaction() as session:
        return write(session, *arguments)


# --- accepting ------------------------------------------------------------------------------------------------


def test_an_event_is_accepted_once_whatever_it_means(catalog):
    first = accept(catalog, asked(1))

    assert first is not None
    assert accept(catalog, asked(1)) is None
    assert accept(catalog, replace(asked(2), event_id="Ev1")) is None
    assert len(jobs(catalog)) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_mention_and_the_message_it_is_in_make_one_job_whichever_comes_first(catalog, order):
    said = f"<@{BOT}> How long is the leave?"
    both = [read(mention(said, ts=TS), BOT), read(message(said, ts=TS), BOT)][::order]

    made = [accept(catalog, each) for each in both if each is not None]

    assert [each is None for each in made] == [False, True]
    (job,) = jobs(catalog)
    assert (job.kind, job.incoming["text"]) == ("mention", "How long is the leave?")


def test_of_the_same_event_taken_at_once_by_many_one_is_accepted(catalog, catalog_url):
    replicas = [catalog, db.open_catalog(catalog_url), db.open_catalog(catalog_url)]
    begin = threading.Barrier(6)

    def take(number):
        begin.wait()
        made = []
        for question in range(10):
            same_event = number % 2 == 0  # the others are told of the same question by another event
            event_id = f"Ev{question}" if same_event else f"Ev{question}-{number}"
            made.append(accept(replicas[number % 3], replace(asked(question), event_id=event_id)))
        return made

    try:
        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(take, range(6)))
    finally:
        for each in replicas[1:]:
            each.close()

    assert [sum(made[question] is not None for made in taken) for question in range(10)] == [1] * 10
    assert len(jobs(catalog)) == 10


def test_an_event_and_its_job_are_stored_together_or_not_at_all(catalog):
    def accept_and_fail():
        with catalog.transaction() as session:
            store_inbox.accept(session, asked(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        accept_and_fail()

    with catalog.reading() as session:
        assert session.execute(select(func.count()).select_from(EVENT)).scalar_one() == 0
    assert accept(catalog, asked(1)) is not None


def test_two_workspaces_do_not_share_what_they_say(catalog):
    other = replace(asked(1), team_id="T0002", meaning="T0002:ask:C0001:1700000000.000001")

    assert accept(catalog, asked(1)) is not None
    assert accept(catalog, other) is not None
    assert claim(catalog, team="T0003") is None


def test_a_signature_is_used_once(catalog):
    assert written(catalog, store_inbox.first_use, "d1")
    assert not written(catalog, store_inbox.first_use, "d1")
    assert written(catalog, store_inbox.first_use, "d2")


# --- claims ---------------------------------------------------------------------------------------------------


def test_a_job_is_claimed_by_one_of_several_workers(catalog):
    ids = [accept(catalog, asked(number)) for number in range(12)]
    begin = threading.Barrier(4)

    def take(_):
        begin.wait()
        found = []
        while (job := claim(catalog)) is not None:
            found.append(job.id)
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = [job_id for found in pool.map(take, range(4)) for job_id in found]

    assert sorted(taken) == ids


def test_a_claim_that_is_not_renewed_lapses_and_then_writes_nothing(catalog):
    accept(catalog, asked(1))
    old = claim(catalog, lease_s=0.05)
    assert old is not None
    assert written(catalog, store_inbox.begun, old, "5.5")
    time.sleep(0.1)
    new = claim(catalog)
    assert new is not None
    before = jobs(catalog)

    late = [
        written(catalog, store_inbox.renew, old),
        written(catalog, store_inbox.begun, old, "6.6"),
        written(catalog, store_inbox.again, old, "why", 0.0),
        written(catalog, store_inbox.give_up, old, "why"),
        written(catalog, store_inbox.finish, old),
    ]

    assert late == [False] * 5
    assert jobs(catalog) == before
    assert (new.attempts, new.message_ts, new.incoming) == (2, "5.5", asked(1))
    assert new.claim != old.claim
    assert written(catalog, store_inbox.finish, new)
    assert not written(catalog, store_inbox.finish, new)
    assert not written(catalog, store_inbox.again, new, "why", 0.0)


def test_a_claim_that_is_renewed_does_not_lapse(catalog):
    accept(catalog, asked(1))
    job = claim(catalog, lease_s=0.3)

    for _ in range(4):
        time.sleep(0.15)
        assert written(catalog, store_inbox.renew, job, 0.3)
        assert claim(catalog) is None


def test_a_job_that_is_begun_too_often_has_failed(catalog):
    accept(catalog, asked(1))
    for attempt in range(store_inbox.MOST_ATTEMPTS):
        job = claim(catalog, lease_s=0.0)
        assert job is not None
        assert job.attempts == attempt + 1
        time.sleep(0.01)

    assert claim(catalog) is None
    (row,) = jobs(catalog)
    assert (row.state, row.incoming, row.claim) == ("failed", {}, None)


def test_a_job_that_failed_begins_again_later_and_at_last_no_more(catalog):
    accept(catalog, asked(1))
    job = claim(catalog)
    assert written(catalog, store_inbox.again, job, "SlackError", 60.0)
    assert claim(catalog) is None
    with catalog.transaction() as session:
        session.execute(update(JOB).values(begin_at=utc_now() - timedelta(seconds=1), attempts=4))

    job = claim(catalog)

    assert written(catalog, store_inbox.again, job, "SlackError", 0.0)
    (row,) = jobs(catalog)
    assert (row.state, row.error, row.attempts) == ("failed", "SlackError", 5)


def test_what_somebody_wrote_is_gone_when_the_job_is_done(catalog):
    accept(catalog, asked(1, text="my salary"))
    job = claim(catalog)

    assert written(catalog, store_inbox.finish, job)

    (row,) = jobs(catalog)
    assert (row.state, row.incoming) == ("done", {})
    assert "salary" not in str(row)


def test_who_waits_is_told_how_many_come_before(catalog):
    ids = [accept(catalog, asked(number)) for number in range(4)]
    accept(catalog, asked(9, kind="action", meaning="T0001:action:1"))
    job = claim(catalog)
    assert job is not None

    with catalog.reading() as session:
        assert [store_inbox.ahead(session, each) for each in ids] == [0, 1, 2, 3]
        assert store_inbox.waiting(session, job.id) is None
        fourth = store_inbox.waiting(session, ids[3])
    assert fourth is not None
    assert fourth.incoming == asked(3)
    written(catalog, store_inbox.finish, job)
    with catalog.reading() as session:
        assert store_inbox.ahead(session, ids[3]) == 2


def test_what_came_in_is_forgotten_after_a_day_but_for_what_is_not_done(catalog, settings):
    done, open_one = accept(catalog, asked(1)), accept(catalog, asked(2))
    written(catalog, store_inbox.finish, claim(catalog))
    written(catalog, store_inbox.first_use, "d1")
    made = settings(data_dir=settings().data_dir)

    retention.apply(catalog, made)
    assert [row.id for row in jobs(catalog)] == [done, open_one]
    retention.apply(catalog, made, utc_now() + timedelta(days=1, minutes=1))

    assert [row.id for row in jobs(catalog)] == [open_one]
    with catalog.reading() as session:
        assert session.execute(select(func.count()).select_from(EVENT)).scalar_one() == 0
        assert session.execute(select(func.count()).select_from(SIGNATURE)).scalar_one() == 0


# --- workspaces -----------------------------------------------------------------------------------------------


def test_a_workspace_is_connected_changed_and_disconnected(catalog):
    where = slacks.workspace(domains=("corp.com",))

    assert written(catalog, store_workspaces.connect, where)
    assert not written(catalog, store_workspaces.connect, replace(where, outsiders="public"))
    with catalog.reading() as session:
        assert store_workspaces.workspaces(session) == [replace(where, outsiders="public")]
        assert store_workspaces.workspace(session, "T0002") is None
        assert 0 <= (store_workspaces.silent_for_s(session) or 0) < 10
    accept(catalog, asked(1))
    written(catalog, store_inbox.forget_workspace, TEAM)
    assert written(catalog, store_workspaces.disconnect, TEAM)
    assert not written(catalog, store_workspaces.disconnect, TEAM)
    with catalog.reading() as session:
        assert store_workspaces.silent_for_s(session) is None
    assert jobs(catalog) == []


def test_when_something_came_in_last_is_known_to_ten_seconds(catalog):
    written(catalog, store_workspaces.connect, slacks.workspace())
    written(catalog, store_workspaces.heard, TEAM)
    with catalog.reading() as session:
        first = store_workspaces.workspace(session, TEAM)

    written(catalog, store_workspaces.heard, TEAM)

    with catalog.reading() as session:
        assert store_workspaces.workspace(session, TEAM) == first
    assert first is not None
    assert first.heard_at is not None


# --- the listener and the workers -----------------------------------------------------------------------------


@pytest.fixture
def bot(catalog, settings):
    parts = replace(slacks.fake_parts(settings()), catalog=catalog)
    where = slacks.workspace()
    with catalog.transaction() as session:
        store_workspaces.connect(session, where)
    yield Bot(parts, Metrics(), where, Slack("xoxb-1", where.api_url))
    parts.parsers.close()


def test_what_could_not_be_stored_is_not_accepted_and_comes_again(bot, catalog):
    told: list[int] = []
    listener = Listener(bot, lambda _, job_id: told.append(job_id))
    body = mention(ts=TS)
    with catalog.transaction() as session:  # the commit fails, as on a full disk
        session.execute(text("ALTER TABLE slack_job RENAME TO slack_job_away"))

    with pytest.raises(CatalogError):
        listener.take(body)
    assert told == []
    with catalog.transaction() as session:
        session.execute(text("ALTER TABLE slack_job_away RENAME TO slack_job"))

    assert listener.take(body)
    assert len(told) == 1
    assert listener.take(body)
    assert len(told) == 1


def test_what_another_workspace_says_is_not_ours(bot, catalog):
    body = mention() | {"authorizations": [{"team_id": "T0666"}]}

    assert Listener(bot, lambda *_: None).take(body)

    assert jobs(catalog) == []


def test_who_has_changed_is_believed_no_longer_once_that_is_acknowledged_and_makes_no_job(bot, catalog):
    told = store_people.Profile(TEAM, slacks.ANN, member=True, deleted=False, locale="en-US", email=None)
    with catalog.transaction() as session:
        kept = store_people.keep(session, told, utc_now(), None)
    assert kept is not None
    assert kept.is_believed
    body = message(type="user_change", user={"id": slacks.ANN, "is_restricted": True}, channel=None, ts=None)

    assert Listener(bot, lambda *_: None).take(body)

    with catalog.reading() as session:
        found = store_people.known(session, TEAM, slacks.ANN)
    assert found is not None
    assert not found.is_believed
    assert jobs(catalog) == []


def test_the_listener_notes_that_it_heard_something_also_of_what_is_no_question(bot, catalog):
    assert Listener(bot, lambda *_: None).take(message(bot_id="B1"))

    with catalog.reading() as session:
        (found,) = store_workspaces.workspaces(session)
    assert found.heard_at is not None


@pytest.fixture
def at_work(bot):
    notes = Notes()
    started = []

    def start(lease_s=30.0):
        workers = Workers(bot, notes.handle, notes.sign, lease_s=lease_s)
        workers.start()
        started.append(workers)
        return workers

    yield start, notes
    notes.go_on.set()
    for each in started:
        each.stop(10)


def states(catalog):
    return [row.state for row in jobs(catalog, JOB.c.state)]


def test_jobs_are_done_by_whoever_is_free_each_once(bot, catalog, at_work):
    start, notes = at_work
    first, second = start(), start()
    listeners = [Listener(bot, each.accepted) for each in (first, second)]

    for number in range(20):
        for listener in listeners:  # Slack tells both
            listener.take(mention(f"<@{BOT}> {number}?", ts=f"17.{number}", event_id=f"Ev{number}"))

    wait_until(lambda: states(catalog) == ["done"] * 20)
    assert sorted(job.id for job in notes.handled) == [row.id for row in jobs(catalog)]
    assert {job_id for job_id, ahead in notes.signs if ahead == 0} == {job.id for job in notes.handled}


def test_an_accepted_job_begins_at_once(bot, at_work):
    start, notes = at_work
    workers = start()
    time.sleep(0.3)
    taken = []
    for number in range(5):
        began = time.monotonic()
        Listener(bot, workers.accepted).take(mention(ts=f"18.{number}"))
        wait_until(lambda before=number: len(notes.handled) > before)
        taken.append(time.monotonic() - began)

    assert sorted(taken)[2] < 0.5


def test_who_waits_while_all_are_busy_is_told_so(bot, catalog, at_work):
    start, notes = at_work
    notes.go_on.clear()
    workers = start()
    listener = Listener(bot, workers.accepted)
    for number in range(2):
        listener.take(mention(ts=f"19.{number}"))
    wait_until(lambda: len(notes.handled) == 2)

    listener.take(mention(ts="19.2"))
    listener.take(mention(ts="19.3"))

    third, fourth = [row.id for row in jobs(catalog)][2:]
    wait_until(lambda: {(third, 2), (fourth, 3)} <= set(notes.signs))
    notes.go_on.set()
    wait_until(lambda: states(catalog) == ["done"] * 4)
    assert notes.signs.index((third, 2)) < notes.signs.index((third, 0))


def test_a_job_that_fails_is_tried_again_and_one_that_is_hopeless_is_not(bot, catalog, at_work):
    start, notes = at_work
    ids = [accept(catalog, asked(number)) for number in range(3)]
    notes.fails = {
        ids[0]: SlackError(code="fatal_error"),
        ids[1]: SlackError(code="is_archived"),
        ids[2]: KeyError("x"),
    }

    start()

    wait_until(lambda: all(row.error for row in jobs(catalog)))
    again, given_up, surprise = jobs(catalog)
    assert (again.state, again.error) == ("waiting", "fatal_error")
    assert again.begin_at > utc_now()
    assert (given_up.state, given_up.error, given_up.incoming) == ("failed", "is_archived", {})
    assert (surprise.state, surprise.error) == ("waiting", "KeyError")


def test_a_sign_that_fails_does_not_keep_the_answer_back(bot, catalog):
    notes = Notes()

    def fails(*_):
        raise SlackError(code="ratelimited")

    workers = Workers(bot, notes.handle, fails)
    accept(catalog, asked(1))
    workers.start()

    wait_until(lambda: states(catalog) == ["done"])
    workers.stop(10)


def test_a_job_that_takes_longer_than_the_lease_is_not_done_twice(bot, catalog, at_work):
    start, notes = at_work
    notes.go_on.clear()
    accept(catalog, asked(1))
    start(lease_s=0.6)
    wait_until(lambda: notes.handled)
    start(lease_s=0.6)

    time.sleep(1.5)
    notes.go_on.set()

    wait_until(lambda: states(catalog) == ["done"])
    assert len(notes.handled) == 1


def test_workers_that_stop_finish_what_they_do_and_begin_nothing(bot, catalog, at_work):
    start, notes = at_work
    notes.go_on.clear()
    for number in range(4):
        accept(catalog, asked(number))
    workers = start(lease_s=0.6)
    wait_until(lambda: len(notes.handled) == 2)

    threading.Timer(1.0, notes.go_on.set).start()
    workers.stop(10)

    assert sorted(states(catalog)) == ["done", "done", "waiting", "waiting"]
    assert len(notes.handled) == 2
