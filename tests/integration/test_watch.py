"""Watching a real folder."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest

from indexing.errors import SourceError
from indexing.watch import watch_source
from tests.worlds import World

if TYPE_CHECKING:
    from indexing.documents import SyncReport


@pytest.fixture
def watched(sqlite_catalog, settings, tmp_path):
    """Yield (world, folder, queue of reports) of a folder that is being watched."""
    folder = tmp_path / "docs"
    folder.mkdir()
    world = World(sqlite_catalog, settings(), kind="folder", location=str(folder))
    reports: queue.Queue[SyncReport] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(
        target=watch_source, args=(world.indexing, world.source, stop), kwargs={"on_report": reports.put}
    )
    thread.start()
    yield world, folder, reports
    stop.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


def wait_for(world, reports, uris):
    """Wait until exactly *uris* are stored."""
    while set(world.known()) != uris:
        reports.get(timeout=30)


def test_what_happens_in_the_folder_is_followed_without_being_asked(watched):
    world, folder, reports = watched
    assert reports.get(timeout=30).listed == 0

    (folder / "a.txt").write_text("one")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("two")
    wait_for(world, reports, {"a.txt", "sub/b.txt"})

    (folder / "a.txt").unlink()
    wait_for(world, reports, {"sub/b.txt"})


def test_a_change_of_who_may_read_is_followed_too(watched):
    world, folder, reports = watched
    (folder / "a.txt").write_text("one")
    wait_for(world, reports, {"a.txt"})

    (folder / ".metier-access.toml").write_text("readers = []")

    while world.text("a.txt") is not None:
        reports.get(timeout=30)


def test_an_error_in_a_run_does_not_end_the_watching(watched):
    world, folder, reports = watched
    reports.get(timeout=30)
    world.parsers.answers["bad.txt"] = RuntimeError("crash")

    (folder / "bad.txt").write_text("x")
    assert reports.get(timeout=30).failed == 1
    (folder / "good.txt").write_text("y")
    wait_for(world, reports, {"good.txt"})


def test_a_folder_that_is_not_there_is_reported_and_stopping_still_works(sqlite_catalog, settings, tmp_path):
    world = World(sqlite_catalog, settings(), kind="folder", location=str(tmp_path / "nowhere"))
    stop = threading.Event()
    reports = []

    def tell(report):
        reports.append(report)
        stop.set()

    watch_source(world.indexing, world.source, stop, on_report=tell)

    assert [report.state for report in reports] == ["failed"]


def test_only_folders_can_be_watched(sqlite_catalog, settings):
    world = World(sqlite_catalog, settings(), kind="push")
    with pytest.raises(SourceError, match="only folders"):
        watch_source(world.indexing, world.source, threading.Event(), on_report=print)
