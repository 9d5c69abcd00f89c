"""A run that somebody stops, and the next one that goes on: in this process, in another, while it lists or waits."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import audit
from app.ingest import indexing_of
from indexing import db, runs, runs_live, schedules
from indexing.db import now
from indexing.documents import Item, Page
from indexing.errors import RunLost
from indexing.pipeline import sync_source
from indexing.schedules import Timing
from indexing.testing import FakeSource
from indexing.waits import wait
from tests.faces import LEAVE, face, sse_events, wait_until
from tests.worlds import World


@pytest.fixture
def world(sqlite_catalog, settings):
    return World(sqlite_catalog, settings(parse_workers=1))


def ask(catalog, run_id):
    with catalog.transaction() as session:
        return runs_live.ask_to_cancel(session, run_id)


@contextlib.contextmanager
def going(world, **options):
    """Synchronise in a thread; yields a list that gets the report."""
    reports = []
    thread = threading.Thread(target=lambda: reports.append(world.sync(**options)))
    thread.start()
    try:
        wait_until(world.runs)
        yield reports
    finally:
        thread.join(20)
        assert not thread.is_alive()


def silence(catalog, run_id):
    with catalog.transaction() as session:
        gone = now(session) - timedelta(seconds=runs.LEASE_S + 1)
        session.execute(update(runs.RUN).where(runs.RUN.c.id == run_id).values(beat_at=gone))


def halfway(world, catalog_url):
    """Cancel a run of ten documents from another process's catalog when the first ones are stored."""
    for number in range(10):
        world.files.write(f"{number}.txt", f"text number {number}")
    stopped = threading.Event()

    def slow(path, _workdir):
        wait_until(lambda: len(world.known()) >= 5)
        stopped.wait(5)
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["5.txt"] = slow
    elsewhere = db.open_catalog(catalog_url)
    with going(world) as reports:
        wait_until(lambda: len(world.known()) >= 5)
        assert ask(elsewhere, world.runs()[0].id)
        time.sleep(1.5)  # it looks every second; had it not heard by then, it would read the rest
        stopped.set()
    elsewhere.close()
    del world.parsers.answers["5.txt"]
    return reports[0]


def test_a_run_is_cancelled_from_another_process_and_what_it_stored_stays(catalog, catalog_url, settings):
    world = World(catalog, settings(parse_workers=1))

    report = halfway(world, catalog_url)

    assert report.state == "cancelled"
    assert len(world.known()) == 5
    assert [(run.state, run.error) for run in world.runs()] == [("cancelled", None)]


def test_the_next_run_reads_and_embeds_nothing_that_was_stored(world, sqlite_url):
    halfway(world, sqlite_url)
    stored = set(world.known())
    embedded = list(world.embedder.seen)
    world.parsers.parsed.clear()
    world.files.fetched.clear()

    report = world.sync()

    assert (report.state, report.added, report.unchanged) == ("succeeded", 5, 5)
    assert stored.isdisjoint(world.parsers.parsed)
    assert stored.isdisjoint(world.files.fetched)
    assert len(world.embedder.seen) == len(set(world.embedder.seen)) == len(embedded) + 5


class Lengthy(FakeSource):
    """Lists for ten seconds, a page at a time."""

    def pages(self, checkpoint):
        for number in range(500):
            time.sleep(0.02)
            yield Page((Item(f"{number}.txt", "v1"),))


def test_a_listing_is_cancelled_between_two_pages_and_deletes_nothing(world):
    world.files.write("a.txt", "words")
    world.sync()
    world.files = Lengthy()

    with going(world) as reports:
        wait_until(lambda: world.runs()[0].state == "running")
        ask(world.catalog, world.runs()[0].id)

    assert reports[0].state == "cancelled"
    assert set(world.known()) == {"a.txt"}


def test_who_waits_for_a_server_says_so_and_stops_when_it_is_cancelled(world, monkeypatch):
    monkeypatch.setattr("indexing.live.TELL_S", 0.0)
    world.files.write("a.txt", "words")

    def patient(_path, _workdir):
        wait(60)
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["a.txt"] = patient
    began = time.monotonic()
    with going(world) as reports:
        wait_until(lambda: (world.runs()[0].progress or {}).get("waiting"))
        ask(world.catalog, world.runs()[0].id)

    assert reports[0].state == "cancelled"
    assert time.monotonic() - began < 50


def test_cancelling_one_run_leaves_whoever_started_it_alone(world):
    world.files = Lengthy()
    mine = threading.Event()

    with going(world, cancel=mine) as reports:
        ask(world.catalog, world.runs()[0].id)

    assert reports[0].state == "cancelled"
    assert not mine.is_set()


def test_a_run_whose_process_died_is_closed_at_once_and_writes_no_more(catalog, settings):
    world = World(catalog, settings())
    with world.catalog.transaction() as session:
        dead = runs.start_run(session, world.source.id)
    silence(world.catalog, dead)

    assert ask(world.catalog, dead)

    assert [run.state for run in world.runs()] == ["cancelled"]
    assert not ask(world.catalog, dead)
    with pytest.raises(RunLost), world.catalog.transaction() as session:
        runs_live.tell(session, dead, {})


def test_a_run_that_is_asked_twice_was_asked_when_it_was_asked_first(world):
    with world.catalog.transaction() as session:
        run_id = runs.start_run(session, world.source.id)
    ask(world.catalog, run_id)
    first = world.runs()[0].cancel_asked_at

    assert ask(world.catalog, run_id)
    assert world.runs()[0].cancel_asked_at == first is not None


def test_a_schedule_does_not_try_again_soon_what_somebody_cancelled(world):
    with world.catalog.transaction() as session:
        before = schedules.set_schedule(session, world.source.id, Timing("0 6 1 1 *"))
    world.files = Lengthy()
    with going(world):
        ask(world.catalog, world.runs()[0].id)

    with world.catalog.reading() as session:
        after = schedules.schedules(session)[world.source.id]
    assert (after.next_at, after.failed_in_row) == (before.next_at, 0)


# --- the row tells ---------------------------------------------------------------------------------------------


def test_the_row_says_where_the_run_is_and_who_has_it(world, monkeypatch):
    monkeypatch.setattr("indexing.live.TELL_S", 0.0)
    world.files.write("a.txt", "words")
    seen = []

    def slow(_path, _workdir):
        wait_until(lambda: (world.runs()[0].progress or {}).get("stage") == "read")
        seen.append(world.runs()[0])
        raise AssertionError("as if the file could not be read")

    world.parsers.answers["a.txt"] = slow
    report = world.sync()

    assert seen[0].progress["total"] == 1
    assert "a.txt" not in repr(seen[0].progress)
    assert ", process " in seen[0].holder
    assert (report.documents_read, report.energy_method) == (1, "cpu time")
    assert {"list", "compare", "parse"} <= set(report.seconds_by_stage)


# --- over HTTP -------------------------------------------------------------------------------------------------


@pytest.fixture
def open_face(settings, sqlite_url):
    with face(settings()) as found:
        yield found


@pytest.fixture
def elsewhere(open_face):
    """A run that goes on in another process."""
    source_id = open_face.add_source()
    with open_face.parts.catalog.transaction() as session:
        return runs.start_run(session, source_id)


def told(open_face, run_id, **progress):
    with open_face.parts.catalog.transaction() as session:
        counts = {"done": 1, "total": 4, "bytes_done": 10, "bytes_total": 40}
        runs_live.tell(session, run_id, {"stage": "read", **counts, "seconds_left": 12.0} | progress)


def watched(open_face, run_id, then):
    """The events of the run, while *then* happens to it."""
    timer = threading.Timer(1.0, then)
    timer.start()
    events = sse_events(open_face.http.get(f"/v1/runs/{run_id}/events").text)
    timer.join()
    return [(name, json.loads(data)) for name, data in events]


def closed(open_face, run_id):
    with open_face.parts.catalog.transaction() as session:
        runs.fail_run(session, run_id)


@pytest.mark.parametrize(
    ("then", "last"),
    [(closed, ("done", "failed")), (lambda found, run_id: silence(found.parts.catalog, run_id), ("lost", "running"))],
    ids=["ends", "lost"],
)
def test_a_run_of_another_process_is_watched_until_it_ends_or_is_lost(open_face, elsewhere, then, last):
    told(open_face, elsewhere)

    events = watched(open_face, elsewhere, lambda: then(open_face, elsewhere))

    assert events[0][0] == "progress"
    assert (events[0][1]["progress"]["stage"], events[0][1]["progress"]["seconds_left"]) == ("read", 12.0)
    assert (events[-1][0], events[-1][1]["state"]) == last


def test_a_run_is_cancelled_over_http_and_its_stream_ends(open_face, tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, encoding="utf-8")
    source_id = open_face.add_source("docs", "folder", str(folder))
    release = threading.Event()

    def slow(_path, _workdir):
        release.wait(20)
        raise AssertionError("as if the file could not be read")

    open_face.parsers.answers["leave.md"] = slow
    run_id = open_face.http.post(f"/v1/sources/{source_id}/sync").json()["id"]

    asked = open_face.http.post(f"/v1/runs/{run_id}/cancel")
    release.set()
    events = sse_events(open_face.http.get(f"/v1/runs/{run_id}/events").text)
    again = open_face.http.post(f"/v1/runs/{run_id}/cancel")
    with open_face.parts.catalog.reading() as session:
        lines = [(line.action, line.object, line.by) for line in audit.lines(session) if line.action == "run.cancel"]

    assert (asked.status_code, bool(asked.json()["cancel_asked_at"])) == (202, True)
    assert (events[-1][0], json.loads(events[-1][1])["state"]) == ("done", "cancelled")
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    assert lines == [("run.cancel", str(run_id), "local")]
    assert "goes on where it stopped" in open_face.http.get(f"/v1/runs/{run_id}/explain").text


def test_a_run_that_is_not_there_is_not_explained_and_says_why(open_face, elsewhere):
    source_id = open_face.http.get("/v1/sources").json()["sources"][0]["id"]
    closed(open_face, elsewhere)
    open_face.http.delete(f"/v1/sources/{source_id}")

    for method, tail in (("GET", "explain"), ("POST", "cancel")):
        for run_id in (elsewhere, 4711):
            response = open_face.http.request(method, f"/v1/runs/{run_id}/{tail}")
            assert response.status_code == 404
            assert "goes with its source" in response.json()["remedy"]


def test_a_plan_says_how_long_and_by_what(open_face, tmp_path):
    (tmp_path / "a.md").write_text(LEAVE, encoding="utf-8")
    source_id = open_face.add_source("docs", "folder", str(tmp_path))
    before = open_face.http.post(f"/v1/sources/{source_id}/plan").json()["estimate"]
    with open_face.parts.catalog.reading() as session:
        [source] = [s for s in open_face.http.get("/v1/sources").json()["sources"] if s["id"] == source_id]
        assert runs.runs(session) == []
    sync_source(indexing_of(open_face.parts), _record(open_face, source["name"]))
    (tmp_path / "a.md").write_text(LEAVE * 2, encoding="utf-8")
    after = open_face.http.post(f"/v1/sources/{source_id}/plan").json()["estimate"]

    assert before["basis"] == "measurements on two cores"
    assert after["basis"] == "the last run of this source"
    assert 0 < before["seconds"][0] <= before["seconds"][1]
    assert 0 < before["energy_wh"][0] <= before["energy_wh"][1]


def _record(open_face, name):
    from indexing import store

    with open_face.parts.catalog.reading() as session:
        found = store.source_named(session, name)
        assert found is not None
        return found
