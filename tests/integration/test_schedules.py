"""Schedules in the catalog: what is due begins once, whoever looks; and a run that lost its source writes no more."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.errors import Conflict
from app.scheduling import start_due
from indexing import runs, schedules, store
from indexing.db import now
from indexing.documents import SyncReport
from indexing.errors import RunInProgress, RunLost
from indexing.schedules import Timing
from indexing.tables import Table
from tests.worlds import World

DAILY = Timing("0 6 * * *")
RUN, SCHEDULE = Table.metadata.tables["run"], Table.metadata.tables["schedule"]


@pytest.fixture
def source(catalog):
    with catalog.transaction() as session:
        made = store.add_source(session, "handbook", "push", "")
        schedules.set_schedule(session, made.id, DAILY)
    return made


@pytest.fixture
def world(catalog, settings):
    return World(catalog, settings())


def make_due(catalog, source, *, ago=timedelta(seconds=1)):
    """As if the moment of the source's next run had come *ago*."""
    with catalog.transaction() as session:
        moment = now(session) - ago
        session.execute(update(SCHEDULE).where(SCHEDULE.c.source_id == source.id).values(next_at=moment))


def silence(catalog, run_id):
    """As if the run had given no sign of life for longer than its lease."""
    with catalog.transaction() as session:
        long_ago = now(session) - timedelta(seconds=runs.LEASE_S + 1)
        session.execute(update(RUN).where(RUN.c.id == run_id).values(beat_at=long_ago))


def claimed(catalog):
    with catalog.transaction() as session:
        return schedules.claim_due(session)


def ended(catalog, source, run_id, state="succeeded"):
    with catalog.transaction() as session:
        runs.finish_run(session, SyncReport(run_id, source.name, state))
        schedules.settle(session, source.id, succeeded=state == "succeeded")


def schedule_of(catalog, source):
    with catalog.reading() as session:
        return schedules.schedules(session)[source.id]


def test_nothing_begins_before_its_time(catalog, source):
    assert claimed(catalog) == []
    with catalog.reading() as session:
        assert not schedules.anything_due(session)


def test_what_is_due_begins_once(catalog, source):
    make_due(catalog, source)
    with catalog.reading() as session:
        assert schedules.anything_due(session)

    assert [claim.source.name for claim in claimed(catalog)] == ["handbook"]
    assert claimed(catalog) == []


def test_three_days_of_outage_lead_to_one_run(catalog, source):
    make_due(catalog, source, ago=timedelta(days=3))

    [claim] = claimed(catalog)
    ended(catalog, source, claim.run_id)

    assert claimed(catalog) == []
    with catalog.reading() as session:
        assert schedule_of(catalog, source).next_at > now(session)


def test_a_source_whose_run_goes_on_waits_and_then_runs_once(catalog, source):
    make_due(catalog, source)
    [first] = claimed(catalog)
    make_due(catalog, source)

    assert claimed(catalog) == []
    ended(catalog, source, first.run_id)
    assert len(claimed(catalog)) == 1
    assert claimed(catalog) == []


def test_a_paused_schedule_begins_nothing(catalog, source):
    with catalog.transaction() as session:
        schedules.set_schedule(session, source.id, DAILY, paused=True)
    make_due(catalog, source)

    assert claimed(catalog) == []


def test_a_failed_run_is_tried_again_later_and_later_and_then_at_its_ordinary_times(catalog, source):
    ordinary = schedule_of(catalog, source).next_at
    waits = []
    for _ in range(schedules.RETRIES):
        make_due(catalog, source)
        [claim] = claimed(catalog)
        ended(catalog, source, claim.run_id, "failed")
        with catalog.reading() as session:
            waits.append((schedule_of(catalog, source).next_at - now(session)).total_seconds() / 60)
    make_due(catalog, source)
    [claim] = claimed(catalog)
    ended(catalog, source, claim.run_id, "failed")
    last = schedule_of(catalog, source)

    daily = (ordinary - timedelta(days=1), ordinary, ordinary + timedelta(days=1))
    assert all(a < b or b > 4 for a, b in itertools.pairwise(waits))
    assert waits[0] == pytest.approx(1, abs=0.2)
    assert last.next_at in daily
    assert last.failed_in_row == schedules.RETRIES + 1


def test_a_source_that_asks_is_not_tried_again_before_its_ordinary_time(world):
    world.files.write("a.txt", "words")
    world.sync()
    with world.catalog.transaction() as session:
        ordinary = schedules.set_schedule(session, world.source.id, DAILY).next_at
    world.files.remove("a.txt")

    assert world.sync().state == "failed"
    found = schedule_of(world.catalog, world.source)
    assert (found.next_at, found.failed_in_row) == (ordinary, 1)


def test_the_late_end_of_a_run_that_was_taken_over_is_not_tried_again(world):
    with world.catalog.transaction() as session:
        ordinary = schedules.set_schedule(session, world.source.id, DAILY).next_at
    world.files.write("a.txt", "words")

    def taken_over(path, workdir):
        with world.catalog.transaction() as session:
            [going] = runs.going_on(session)
            runs.fail_run(session, going.id)
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["a.txt"] = taken_over

    assert world.sync().state == "failed"
    found = schedule_of(world.catalog, world.source)
    assert (found.next_at, found.failed_in_row) == (ordinary, 0)


def test_a_good_run_ends_the_row_of_failures(catalog, source):
    make_due(catalog, source)
    ended(catalog, source, claimed(catalog)[0].run_id, "failed")
    make_due(catalog, source)
    ended(catalog, source, claimed(catalog)[0].run_id)

    assert schedule_of(catalog, source).failed_in_row == 0


def test_a_run_whose_process_died_is_closed_and_tried_again(catalog, source):
    make_due(catalog, source)
    [dead] = claimed(catalog)
    silence(catalog, dead.run_id)
    with catalog.reading() as session:
        assert schedules.anything_due(session)

    claimed(catalog)  # closes it, and puts its source on again in a minute
    make_due(catalog, source)
    [again] = claimed(catalog)

    assert again.run_id > dead.run_id
    with catalog.reading() as session:
        assert [r.state for r in runs.runs(session, source.id)] == ["running", "failed"]


def test_many_who_look_at_once_begin_it_once(catalog, source):
    found = []
    for _ in range(10):
        make_due(catalog, source)
        start = threading.Barrier(4)

        def look(start=start):
            start.wait()
            found.extend(claimed(catalog))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended(catalog, source, found[-1].run_id)

    assert len(found) == 10


class OnItsWayOut:
    """A process whose thread of the run before has not ended; meanwhile another server takes the new run over."""

    def __init__(self, catalog):
        self.catalog, self.others = catalog, []

    def carry_out(self, claim):
        silence(self.catalog, claim.run_id)
        claimed(self.catalog)  # closes it
        make_due(self.catalog, claim.source)
        self.others = claimed(self.catalog)
        raise Conflict("The thread of the run before goes on.")


def test_a_run_that_another_server_took_over_meanwhile_is_not_tried_a_third_time(catalog, source):
    due = schedule_of(catalog, source).next_at
    make_due(catalog, source)
    busy: Any = OnItsWayOut(catalog)
    start_due(catalog, busy)

    assert len(busy.others) == 1
    assert schedule_of(catalog, source).next_at == due
    with catalog.reading() as session:
        assert [run.state for run in runs.runs(session, source.id)] == ["running", "failed"]


def test_a_clock_that_is_put_back_repeats_no_moment(catalog, source):
    due = schedule_of(catalog, source).next_at
    with catalog.transaction() as session:  # as if the clock had said so before it was put back by half a day
        session.execute(update(SCHEDULE).values(next_at=now(session) - timedelta(seconds=1)))
        ahead = runs.start_run(session, source.id, due_at=due)
        runs.fail_run(session, ahead)

    assert len(claimed(catalog)) == 1
    assert schedule_of(catalog, source).next_at == due + timedelta(days=1)


def test_a_moment_that_a_late_run_stood_for_is_not_met_again_when_the_clock_is_put_back(catalog, source):
    due = schedule_of(catalog, source).next_at
    with catalog.transaction() as session:  # as if it had been off for two days, and the clock were put back by one
        session.execute(update(SCHEDULE).values(next_at=now(session) - timedelta(seconds=1)))
        late = runs.start_run(session, source.id, due_at=due - timedelta(days=1))
        session.execute(update(RUN).where(RUN.c.id == late).values(started_at=due + timedelta(hours=4)))
        runs.fail_run(session, late)

    assert len(claimed(catalog)) == 1
    assert schedule_of(catalog, source).next_at == due + timedelta(days=1)


def test_a_clock_that_was_years_ahead_stops_no_schedule(catalog, source):
    due = schedule_of(catalog, source).next_at
    with catalog.transaction() as session:
        runs.fail_run(session, runs.start_run(session, source.id, due_at=due + timedelta(days=730)))
    make_due(catalog, source)

    assert len(claimed(catalog)) == 1
    assert schedule_of(catalog, source).next_at == due


def test_a_sign_of_life_from_the_future_is_none(catalog, source):
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        session.execute(update(RUN).values(beat_at=now(session) + timedelta(days=1)))
        assert [going.alive for going in runs.going_on(session)] == [False]

        runs.hold(session, run_id)
        assert [going.alive for going in runs.going_on(session)] == [True]


def test_the_schedule_goes_with_its_source(catalog, source):
    with catalog.transaction() as session:
        store.remove_source(session, source.id)

        assert schedules.schedules(session) == {}


# --- leases -----------------------------------------------------------------------------------------------------


def test_a_run_that_was_taken_over_writes_nothing_more(world):
    world.files.write("a.txt", "words")

    def taken_over(path, workdir):
        [going] = [run for run in world.runs() if run.state == "running"]
        silence(world.catalog, going.id)
        with world.catalog.transaction() as session:
            for each in runs.going_on(session):
                assert not each.alive
                runs.fail_run(session, each.id)
            runs.start_run(session, world.source.id)
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["a.txt"] = taken_over

    report = world.sync()

    assert report.state == "failed"
    assert RunLost().message in (report.error or "")
    assert world.known() == {}
    assert world.failures() == {}
    assert [run.state for run in world.runs()] == ["running", "failed"]


def test_a_run_that_is_alive_elsewhere_is_respected_and_one_that_went_silent_is_taken_over(world):
    with world.catalog.transaction() as session:
        elsewhere = runs.start_run(session, world.source.id)
    with pytest.raises(RunInProgress):
        world.sync()

    silence(world.catalog, elsewhere)

    assert world.sync().state == "succeeded"
    assert [run.state for run in world.runs()] == ["succeeded", "failed"]


def test_a_late_report_does_not_change_a_run_that_was_closed(catalog, source):
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        runs.fail_run(session, run_id)
        runs.finish_run(session, SyncReport(run_id, "handbook", "succeeded"))
        assert [r.state for r in runs.runs(session)] == ["failed"]
        with pytest.raises(RunLost):
            runs.update_run(session, run_id, {"listed": 3})


def test_a_run_gives_signs_of_life_while_it_works_on_one_document(world, monkeypatch):
    monkeypatch.setattr(runs, "BEAT_S", 0.01)
    world.files.write("a.txt", "words")
    beats = []

    def slow(path, workdir):
        [going] = [run for run in world.runs() if run.state == "running"]
        silence(world.catalog, going.id)
        for _ in range(500):
            with world.catalog.reading() as session:
                beats.append(runs.going_on(session)[0].alive)
            if beats[-1]:
                break
            threading.Event().wait(0.01)
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["a.txt"] = slow

    assert world.sync().state == "succeeded"
    assert beats[-1]
