"""What every kind of source promises, the fake included."""

from __future__ import annotations

import contextlib
import hashlib
import re
from urllib.parse import quote

import pytest

from indexing import store
from indexing.documents import OriginalContent
from indexing.errors import ItemUnreadable, SourceError
from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources import SOURCES, open_source
from indexing.sources.web import WebSource
from indexing.testing import FakeSource
from tests.webs import serving

pytestmark = pytest.mark.network  # of the web source


class Place:
    """A source that is written to by the test. Most kinds take names as they are, and know sizes."""

    knows_sizes = True

    def __init__(self, catalog, tmp_path, resources):
        pass

    def uri(self, name):
        return name


class Folder(Place):
    kind = "folder"

    def __init__(self, catalog, tmp_path, resources):
        self.root = tmp_path / "root"
        self.root.mkdir()
        with catalog.transaction() as session:
            self.record = store.add_source(session, "s", "folder", str(self.root))
        self.source = open_source(self.record, catalog)

    def write(self, uri, content):
        path = self.root / uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, uri):
        (self.root / uri).unlink()


class Push(Place):
    kind = "push"

    def __init__(self, catalog, tmp_path, resources):
        self.catalog = catalog
        with catalog.transaction() as session:
            self.record = store.add_source(session, "s", "push", "")
        self.source = open_source(self.record, catalog)

    def write(self, uri, content):
        digest = hashlib.sha256(content).hexdigest()
        with self.catalog.transaction() as session:
            store.put_original(session, self.record.id, uri, OriginalContent(content, None, digest))

    def remove(self, uri):
        with self.catalog.transaction() as session:
            store.delete_original(session, self.record.id, uri)


class Web(Place):
    kind = "web"
    knows_sizes = False  # of what is compressed on the way

    def __init__(self, catalog, tmp_path, resources):
        self.site = resources.enter_context(serving())
        self.pages = {}
        self.site.sitemap({})
        allowed = parse_allowed([f"127.0.0.1:{self.site.port}"])
        self.source = WebSource(self.site.url, Outbound(allowed), pause_s=0)

    def uri(self, name):
        return f"{self.site.url}/{quote(name)}"

    def write(self, name, content):
        self.site.page(f"/{name}", content)
        self.pages[self.uri(name)] = None
        self.site.sitemap(self.pages)

    def remove(self, name):
        del self.site.answers[f"/{name}"]
        del self.pages[self.uri(name)]
        self.site.sitemap(self.pages)


class Fake(Place):
    kind = "fake"

    def __init__(self, catalog, tmp_path, resources):
        self.source = FakeSource()
        self.write, self.remove = self.source.write, self.source.remove


@pytest.fixture(params=[Folder, Push, Web, Fake], ids=lambda kind: kind.kind)
def place(request, sqlite_catalog, tmp_path):
    with contextlib.ExitStack() as resources:
        yield request.param(sqlite_catalog, tmp_path, resources)


@pytest.fixture
def fetch(place, tmp_path):
    """Return a function that fetches an item into a new folder."""

    def fetched(item):
        into = tmp_path / f"into{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        return place.source.fetch(item, into)

    return fetched


def item_of(place, uri):
    return next(item for item in place.source.listing().items if item.uri == place.uri(uri))


def test_every_kind_is_tested_here():
    assert {kind.kind for kind in (Folder, Push, Web)} == set(SOURCES)


def test_an_empty_source_lists_nothing_and_that_is_complete(place):
    listing = place.source.listing()

    assert (listing.items, listing.complete, listing.failures) == ((), True, ())


def test_items_are_listed_once_and_sorted(place):
    for uri in ("b.txt", "a/x.txt", "é à.txt"):
        place.write(uri, uri.encode())

    items = place.source.listing().items

    assert [item.uri for item in items] == sorted(place.uri(name) for name in ("a/x.txt", "b.txt", "é à.txt"))
    if place.knows_sizes:
        assert [item.size_bytes for item in items] == [7, 5, 9]
    assert all(item.modified_at is None or item.modified_at.tzinfo for item in items)


def test_the_version_tag_stays_until_the_bytes_change(place):
    place.write("a", b"one")
    before = item_of(place, "a").version_tag

    assert item_of(place, "a").version_tag == before
    place.write("a", b"two")
    assert item_of(place, "a").version_tag != before


def test_fetching_gives_the_bytes_with_their_hash_and_version(place, fetch):
    place.write("a", b"some bytes")
    item = item_of(place, "a")

    raw = fetch(item)

    assert raw.path.read_bytes() == b"some bytes"
    assert raw.content_hash == hashlib.sha256(b"some bytes").hexdigest()
    assert (raw.uri, raw.size_bytes, raw.version_tag) == (place.uri("a"), 10, item.version_tag)


def test_fetching_after_an_edit_gives_the_new_bytes_and_their_own_version(place, fetch):
    place.write("a", b"old")
    old = item_of(place, "a")
    place.write("a", b"newer")

    raw = fetch(old)

    assert raw.path.read_bytes() == b"newer"
    assert raw.version_tag == item_of(place, "a").version_tag != old.version_tag


def test_fetching_what_is_gone_says_so(place, fetch):
    place.write("a", b"x")
    item = item_of(place, "a")
    place.remove("a")

    with pytest.raises(ItemUnreadable, match=re.escape(place.uri("a"))):
        fetch(item)


def test_an_unknown_kind_is_an_error_that_names_the_known_ones(sqlite_catalog):
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "s", "carrier pigeon", "")

    with pytest.raises(SourceError, match="pigeon") as caught:
        open_source(record, sqlite_catalog)
    assert "folder, push, web" in caught.value.remedy
