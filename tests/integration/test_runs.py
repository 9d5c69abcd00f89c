from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, timedelta

import pytest
from sqlalchemy import insert, select, update

from app import audit, retention
from indexing import grants, runs, runs_history, schedules, store
from indexing.access import authorise
from indexing.documents import Failure, KnownFailure, SyncReport
from indexing.explain import explain
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now

BROKEN = Failure("a.pdf", "parse", "It is damaged.", "Save it again.", "ParseError", "h1")


@pytest.fixture
def source(catalog):
    with catalog.transaction() as session:
        return store.add_source(session, "handbook", "folder", "/handbook")


def run_of(session, run_id):
    record = runs.visible_run(session, authorise(session, LOCAL_PRINCIPAL_ID), run_id)
    assert record is not None
    return record


def test_a_run_goes_from_running_to_its_report(catalog, source):
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        started = run_of(session, run_id)
        assert (started.state, started.report, started.finished_at) == ("running", {}, None)
        assert started.started_at.tzinfo is UTC

    with catalog.transaction() as session:
        runs.update_run(session, run_id, {"listed": 3})
        assert run_of(session, run_id).report == {"listed": 3}

    report = SyncReport(run_id, "handbook", "succeeded", listed=3, seconds_by_stage={"parse": 0.5}, failures=(BROKEN,))
    with catalog.transaction() as session:
        runs.finish_run(session, report)

    with catalog.reading() as session:
        finished = run_of(session, run_id)
        assert (finished.state, finished.source, finished.error) == ("succeeded", "handbook", None)
        assert finished.finished_at is not None
        assert finished.finished_at >= finished.started_at
        assert finished.report == json.loads(json.dumps(asdict(report)))


def test_the_newest_runs_come_first(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "support", "push", "")
        first, second, third = (runs.start_run(session, s.id) for s in (source, other, source))

        assert [r.id for r in runs.runs(session)] == [third, second, first]
        assert [r.id for r in runs.runs(session, source.id)] == [third, first]
        assert [r.id for r in runs.runs(session, limit=1)] == [third]
        scope = authorise(session, LOCAL_PRINCIPAL_ID)
        assert runs.visible_run(session, scope, 4711) is None


def test_a_run_is_alive_while_it_gives_signs_of_life_and_is_closed_once(catalog, source):
    with catalog.transaction() as session:
        done = runs.start_run(session, source.id)
        runs.finish_run(session, SyncReport(done, "handbook", "succeeded"))
        going = runs.start_run(session, source.id)
        assert runs.going_on(session) == [runs.Going(going, source.id, alive=True)]

        runs.fail_run(session, going)
        runs.fail_run(session, done)

        assert runs.going_on(session) == []
        assert run_of(session, done).state == "succeeded"
        assert (run_of(session, going).state, run_of(session, going).error) == (
            "failed",
            "The process ended before the run did.",
        )


def test_a_failure_is_kept_until_the_document_can_be_read(catalog, source):
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        runs.record_failure(session, source.id, run_id, BROKEN, "v1", "p1")

        (record,) = runs.failures(session)
        assert (record.source, record.failure, record.attempts, record.run_id) == ("handbook", BROKEN, 1, run_id)
        assert runs.known_failures(session, source.id) == {
            "a.pdf": KnownFailure("a.pdf", "h1", "v1", "p1", 1, "parse", "ParseError")
        }

        runs.clear_failure(session, source.id, "a.pdf")
        runs.clear_failure(session, source.id, "a.pdf")
        assert runs.failures(session) == []


@pytest.mark.parametrize(
    ("failure", "pipeline", "attempts"),
    [
        (BROKEN, "p1", 2),
        (replace(BROKEN, content_hash="h2"), "p1", 1),
        (BROKEN, "p2", 1),
    ],
)
def test_attempts_count_while_bytes_and_pipeline_stay_the_same(catalog, source, failure, pipeline, attempts):
    with catalog.transaction() as session:
        runs.record_failure(session, source.id, None, BROKEN, "v1", "p1")
        runs.record_failure(session, source.id, None, replace(failure, reason="Again."), "v2", pipeline)

        (record,) = runs.failures(session, source.id)
        assert (record.attempts, record.failure.reason) == (attempts, "Again.")


def test_failures_are_of_one_source_or_of_all(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "archive", "folder", "/archive")
        for place in (source, other):
            runs.record_failure(session, place.id, None, BROKEN, None, "p1")

        assert [f.source for f in runs.failures(session)] == ["archive", "handbook"]
        assert [f.source_id for f in runs.failures(session, other.id)] == [other.id]


def test_runs_and_failures_go_with_their_source(catalog, source):
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        runs.record_failure(session, source.id, run_id, BROKEN, None, "p1")

        store.remove_source(session, source.id)

        assert (runs.runs(session), runs.failures(session)) == ([], [])


# --- what is kept -----------------------------------------------------------------------------------------------


def started(session, source, count, *, days):
    """Runs that began so many days ago and have ended."""
    found = [runs.start_run(session, source.id) for _ in range(count)]
    past = update(runs.RUN).where(runs.RUN.c.id.in_(found))
    session.execute(past.values(started_at=utc_now() - timedelta(days=days), state="succeeded"))
    return found


def test_runs_are_forgotten_after_90_days_but_the_last_ten_of_each_source_stay(catalog, source, settings):
    with catalog.transaction() as session:
        quiet = store.add_source(session, "quiet", "push", "")
        old = started(session, source, 12, days=91)
        young = started(session, source, 2, days=89)
        rare = started(session, quiet, 10, days=400)
        session.execute(update(runs.RUN).where(runs.RUN.c.id == old[0]).values(state="running"))
        runs.record_failure(session, source.id, old[1], BROKEN, "v1", "p1")

    done = retention.apply(catalog, settings())
    again = retention.apply(catalog, settings())

    with catalog.reading() as session:
        kept = {run.id for run in runs.runs(session, limit=100)}
        [failure] = runs.failures(session)
        lines = [(line.action, line.object) for line in audit.lines(session)]
    assert kept == {old[0], *old[4:], *young, *rare}
    assert (done.runs, again.runs) == (3, 0)
    assert (failure.failure.uri, failure.run_id) == ("a.pdf", None)
    assert lines == [("run.forget", "3")]


def test_more_runs_than_one_transaction_deletes_all_go(sqlite_catalog, settings):
    with sqlite_catalog.transaction() as session:
        made = store.add_source(session, "busy", "push", "")
        [first] = started(session, made, 1, days=91)
        [row] = session.execute(select(runs.RUN).where(runs.RUN.c.id == first)).mappings()
        session.execute(insert(runs.RUN), [{**row, "id": first + n} for n in range(1, runs_history.BATCH + 20)])

    assert retention.apply(sqlite_catalog, settings()).runs == runs_history.BATCH + 20 - runs_history.KEPT


def test_names_of_documents_are_told_only_where_all_readers_may_read_all(catalog, source):
    slow = {"slow": 1, "slowest": [{"uri": "merger.pdf", "seconds": 20.0, "stage": "parse"}]}
    with catalog.transaction() as session:
        run_id = runs.start_run(session, source.id)
        runs.update_run(session, run_id, slow)
        assert run_of(session, run_id).report["slowest"] == slow["slowest"]

        runs.update_run(session, run_id, slow | {"gives_lists": True})
        seen = run_of(session, run_id)
        lines = explain(seen, runs_history.around(session, seen))

    assert "merger" not in repr((seen, lines))
    assert "1 documents took more than 10 s." in [line.text for line in lines]


def test_the_pace_is_of_the_source_else_of_those_that_one_may_read(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "archive", "folder", "/archive")
        hidden = store.add_source(session, "board", "folder", "/board", grants.interned(session, set()))
        mine = authorise(session, LOCAL_PRINCIPAL_ID)
        for place, seconds in ((other, 10.0), (hidden, 1000.0)):
            run_id = runs.start_run(session, place.id)
            counts = SyncReport(run_id, place.name, "succeeded", documents_read=10, seconds=seconds)
            runs.finish_run(session, counts)

        assert runs_history.pace(session, source.id, mine).seconds_for(10, 0) == (10.0, 10.0)
        assert runs_history.pace(session, source.id).seconds_for(10, 0) == (10.0, 1000.0)
        assert runs_history.pace(session, other.id, mine).basis == "the last run of this source"


def test_what_surrounds_a_run_is_told(catalog, source):
    with catalog.transaction() as session:
        first = runs.start_run(session, source.id)
        runs.finish_run(session, SyncReport(first, "handbook", "failed", error="It is gone."))
        schedules.set_schedule(session, source.id, schedules.Timing("0 6 * * *"), paused=True)
        second = runs.start_run(session, source.id)
        record = run_of(session, first)
        around = runs_history.around(session, record)
        after = runs_history.around(session, run_of(session, second))

    assert (around.other_run, around.paused, around.history) == (second, True, ())
    assert (after.other_run, [run.id for run in after.history]) == (None, [first])
