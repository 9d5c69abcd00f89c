"""A plan says what a run does, and changes nothing."""

from __future__ import annotations

import pytest

from indexing.errors import SourceMissing, UnsupportedFormat
from indexing.plan import plan_source
from tests.worlds import World


@pytest.fixture
def world(sqlite_catalog, settings):
    world = World(sqlite_catalog, settings())
    for number in range(12):
        world.files.write(f"{number:02}.txt", f"text number {number}")
    world.files.write("bad.txt", b"\xff")
    world.parsers.answers["bad2.txt"] = RuntimeError("crash")
    world.files.write("bad2.txt", "x")
    world.sync()
    world.parsers.parsed.clear()
    return world


def test_a_plan_tells_what_the_next_run_does(world):
    world.files.write("new.txt", "new text")
    world.files.write("00.txt", "edited")
    world.files.touch("01.txt")
    world.files.remove("02.txt")
    world.files.rename("03.txt", "moved.txt")

    plan = plan_source(world.indexing, world.source)

    assert (plan.new, plan.changed, plan.gone) == (("new.txt",), ("00.txt",), ("02.txt",))
    assert (plan.moved, plan.retried, plan.parked) == (("03.txt → moved.txt",), ("bad2.txt",), ("bad.txt",))
    assert (plan.unchanged, plan.problems) == (9, ())
    assert plan.bytes_to_read == len("new text") + len("edited") + len("x")
    report = world.sync()
    assert (report.added, report.changed, report.deleted, report.moved) == (1, 1, 1, 1)
    assert report.unchanged + report.touched == 9


def test_planning_changes_nothing_and_parses_nothing(world):
    world.files.touch("01.txt")
    world.files.remove("02.txt")
    before = (world.known(), world.runs(), world.failures())

    plan_source(world.indexing, world.source)

    assert (world.known(), world.runs(), world.failures()) == before
    assert world.parsers.parsed == []


def test_a_plan_tells_of_an_implausible_loss(world):
    for number in range(11):
        world.files.remove(f"{number:02}.txt")

    [problem] = plan_source(world.indexing, world.source).problems
    assert "11 of 12" in problem


def test_a_plan_tells_of_an_incomplete_listing(world):
    world.files.complete = False
    world.files.remove("00.txt")

    plan = plan_source(world.indexing, world.source)
    assert plan.gone == ()
    assert "nothing would be deleted" in plan.problems[0]


def test_a_missing_source_cannot_be_planned(world):
    world.files.error = SourceMissing("There is no folder.")
    with pytest.raises(SourceMissing):
        plan_source(world.indexing, world.source)


def test_documents_of_an_older_pipeline_are_planned_as_stale_and_not_as_changed(world, settings):
    world.settings = settings(chunk_tokens=64)
    world.parsers.answers["bad.txt"] = UnsupportedFormat("no")

    plan = plan_source(world.indexing, world.source)
    assert (len(plan.stale), plan.changed, set(plan.retried)) == (12, (), {"bad.txt", "bad2.txt"})
