"""A long listing: taken in in parts, at little memory, and gone on with where it stopped."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

import pytest

from indexing import listing, store
from indexing.compare import pipeline_of
from indexing.documents import Item, Page
from indexing.errors import SourceError
from indexing.listing import Crawl
from indexing.pipeline import sync_source
from indexing.testing import HashEmbedder
from tests.worlds import World

EXAMPLES = int(os.environ.get("METIER_TEST_EXAMPLES") or 20)


@pytest.fixture
def world(sqlite_catalog, settings):
    found = World(sqlite_catalog, settings())
    found.files.page_items = 3
    for number in range(12):
        found.files.write(f"d{number:02}", f"The text of {number}.")
    return found


def crawl(world, source=None):
    return Crawl(world.catalog, world.source, source or world.files, pipeline_of(world.embedder, world.settings))


def test_what_is_stored_as_it_is_listed_is_counted_and_not_kept(world):
    world.sync()
    world.files.write("d05", "Another text.")
    world.files.write("new", "New.")
    world.files.remove("d07")

    (part,) = crawl(world).parts()

    assert [item.uri for item in part.listing.items] == ["d05", "new"]
    assert set(part.known) == {"d05", "d07"}  # and what is gone
    assert (part.unchanged, part.stored, part.listing.complete) == (10, 12, True)


def test_a_listing_comes_in_parts_and_only_the_last_says_what_is_gone(world):
    world.sync()
    world.files.remove("d00")
    for number in range(12, 20):
        world.files.write(f"d{number}", "New.")

    parts = list(crawl(world).parts(most=4))

    assert [len(part.listing.items) for part in parts] == [4, 4]
    assert [part.listing.complete for part in parts] == [False, True]
    assert [list(part.known) for part in parts] == [[], ["d00"]]
    assert sum(part.unchanged for part in parts) == 11


def test_an_item_that_is_listed_twice_counts_once(world):
    class Twice:
        def pages(self, checkpoint):
            for _ in range(2):
                yield from world.files.pages(None)

    world.sync()
    (part,) = crawl(world, Twice()).parts()

    assert (part.unchanged, part.listing.items) == (12, ())


def test_a_run_in_parts_ends_like_a_run_in_one(world):
    def sync():
        return sync_source(replace(world.indexing, part_items=2), world.source)

    first = sync()
    assert (first.state, first.added, first.listed, first.notes) == ("succeeded", 12, 12, ())

    world.files.remove("d03")
    world.files.rename("d04", "z04")
    world.files.write("d05", "Another.")
    second = sync()
    assert (second.state, second.changed, second.deleted, second.moved, second.unchanged) == ("succeeded", 1, 1, 1, 9)


def test_a_listing_that_stops_half_way_takes_in_what_came_and_the_next_one_goes_on_from_there(world):
    world.sync()
    world.files.remove("d01")
    for number in range(12, 18):
        world.files.write(f"d{number}", f"The text of {number}.")
    world.files.fails_at = "d16"

    stopped = world.sync()
    assert (stopped.state, stopped.added, stopped.deleted) == ("failed", 4, 0)
    assert "stopped answering" in (stopped.error or "")

    world.files.fails_at = None
    went_on = world.sync()
    assert world.files.began_at[-1] == "d15"
    assert (went_on.state, went_on.added, went_on.deleted) == ("succeeded", 2, 0)
    assert set(world.known()) >= {"d01"}  # absence was not proved

    whole = world.sync()
    assert (world.files.began_at[-1], whole.deleted, whole.unchanged) == (None, 1, 17)


def test_a_checkpoint_that_the_source_does_not_take_any_more_begins_anew(world):
    world.files.fails_at = "d06"
    assert world.sync().added == 6

    class Forgetful:
        def pages(self, checkpoint):
            if checkpoint is not None:
                raise SourceError("That cursor has expired.")
            yield from world.files.pages(None)

    world.files.fails_at = None
    parts = list(crawl(world, Forgetful()).parts(checkpoint="d05"))

    assert [len(part.listing.items) for part in parts] == [6]
    assert parts[-1].listing.complete


def test_items_that_did_not_change_need_no_memory_each(world):
    """20,000 of them, or a thousand for each of METIER_TEST_EXAMPLES; counting memory makes it slow."""
    count = min(EXAMPLES, 200) * 1000

    class Long:
        def pages(self, checkpoint):
            for begin in range(0, count, 1000):
                yield Page(tuple(Item(f"folder/document {n:09}.txt", "v1") for n in range(begin, begin + 1000)))

    taken = crawl(world, Long())
    taken._stored = listing._Stored(
        (store.StoredVersion(n, f"folder/document {n:09}.txt", "v1", _pipeline(world), None) for n in range(count)),
        pipeline_of(world.embedder, world.settings),
    )
    tracemalloc.start()
    (part,) = taken.parts()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (part.unchanged, part.listing.items, part.listing.complete) == (count, (), True)
    assert peak < 4 << 20, f"{peak >> 10} KB for {count} items"


def _pipeline(world):
    return pipeline_of(HashEmbedder(), world.settings).documents
