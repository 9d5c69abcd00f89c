"""What every kind of source promises, the fake included: one suite, on a real server of each kind."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
from functools import partial

import pytest

from indexing import principals, store
from indexing.errors import IndexingError, ItemUnreadable, SourceError
from indexing.pipeline import Indexing, sync_source
from indexing.sources import BUILT_IN, SourceContext, kind_called, kind_names, needing, open_source
from indexing.testing import FakeParsers, HashEmbedder, kinds_of, listed
from tests.sources.confluence import Confluence
from tests.sources.fake import Fake
from tests.sources.folder import Folder
from tests.sources.fsspec import Ftp, Smb
from tests.sources.gdrive import GoogleDrive
from tests.sources.git import Git
from tests.sources.http import Http
from tests.sources.imap import Imap
from tests.sources.jira import Jira
from tests.sources.notion import Notion
from tests.sources.place import fetched
from tests.sources.push import Push
from tests.sources.rss import Rss
from tests.sources.s3 import S3
from tests.sources.sftp import Sftp
from tests.sources.sharepoint import SharePoint
from tests.sources.sql import Sql
from tests.sources.web import Web
from tests.sources.webdav import Webdav

pytestmark = pytest.mark.network

PLACES = [
    Confluence,
    Folder,
    Ftp,
    Git,
    GoogleDrive,
    Http,
    Imap,
    Jira,
    Notion,
    Push,
    Rss,
    S3,
    Sftp,
    SharePoint,
    Smb,
    Sql,
    Web,
    Webdav,
    Fake,
]


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__.lower())
def place(request, sqlite_catalog, settings, tmp_path):
    with contextlib.ExitStack() as resources:
        yield request.param(SourceContext(sqlite_catalog, settings()), tmp_path, resources)


@pytest.fixture
def fetch(place, tmp_path):
    """Return a function that fetches an item into a new folder."""
    return partial(fetched, tmp_path, place.source)


class Kept:
    """A catalog that is kept equal to the place, by whole runs."""

    def __init__(self, place, catalog, settings):
        self.catalog, self.place = catalog, place
        self.indexing = Indexing(
            catalog, HashEmbedder(), FakeParsers(), settings, kinds_of(**{place.kind: place.source})
        )
        with catalog.transaction() as session:
            found = store.source_named(session, "place")
            self.record = found or store.add_source(session, "place", place.kind, "")

    def sync(self):
        return sync_source(self.indexing, self.record)

    def documents(self):
        with self.catalog.reading() as session:
            return store.known_documents(session, self.record.id)

    def holds(self, *names):
        return set(self.documents()) == {self.place.uri(name) for name in names}


@pytest.fixture
def kept(place, sqlite_catalog, settings):
    return Kept(place, sqlite_catalog, settings())


def item_of(place, name):
    return next(item for item in listed(place.source).items if item.uri == place.uri(name))


def test_every_kind_is_tested_here():
    assert {kind.kind for kind in PLACES} == {*BUILT_IN, "fake"}


# --- listing and fetching ------------------------------------------------------------------------------------------


def test_an_empty_source_lists_nothing_and_that_is_complete(place):
    listing = listed(place.source)

    assert (listing.items, listing.complete, listing.failures) == ((), True, ())


def test_each_document_is_listed_once(place):
    for name in ("b.txt", "a/x.txt", "é à.txt"):
        place.write(name, name.encode())

    items = [item for page in place.source.pages(None) for item in page.items]

    assert sorted(item.uri for item in items) == sorted(place.uri(name) for name in ("a/x.txt", "b.txt", "é à.txt"))
    if place.knows_sizes:
        assert sorted(item.size_bytes for item in items) == [5, 7, 9]
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

    content = raw.path.read_bytes()
    assert place.holds(content, b"some bytes")
    assert raw.content_hash == hashlib.sha256(content).hexdigest()
    assert (raw.uri, raw.size_bytes, raw.version_tag) == (place.uri("a"), len(content), item.version_tag)


def test_fetching_after_an_edit_gives_the_new_bytes_and_their_own_version(place, fetch):
    place.write("a", b"old")
    old = item_of(place, "a")
    place.write("a", b"newer")

    raw = fetch(old)

    assert place.holds(raw.path.read_bytes(), b"newer")
    assert raw.version_tag == item_of(place, "a").version_tag != old.version_tag


def test_fetching_what_is_gone_says_so(place, fetch):
    place.write("a", b"x")
    item = item_of(place, "a")
    place.remove("a")

    with pytest.raises(ItemUnreadable, match=re.escape(place.uri("a"))):
        fetch(item)


# --- kept equal by runs --------------------------------------------------------------------------------------------


def test_what_is_added_edited_renamed_and_deleted_is_so_in_the_catalog(place, kept):
    for name in ("a", "b", "c"):
        place.write(name, f"The text of {name}.".encode())
    first = kept.sync()
    assert (first.state, first.added, first.failed) == ("succeeded", 3, 0), first
    assert kept.holds("a", "b", "c")

    again = kept.sync()
    assert (again.unchanged + again.touched, again.changed, again.chunks_embedded) == (3, 0, 0)

    place.write("b", b"Another text.")
    edited = kept.sync()
    assert (edited.added, edited.changed, edited.deleted) == (0, 1, 0)

    place.rename("a", "z")
    renamed = kept.sync()
    assert kept.holds("b", "c", "z")
    assert (renamed.state, renamed.failed) == ("succeeded", 0)
    if place.keeps_identity:
        assert (renamed.added, renamed.deleted) == (0, 0)
    else:
        assert renamed.chunks_embedded == 0  # its text was known

    place.remove("c")
    assert kept.sync().deleted == 1
    assert kept.holds("b", "z")


def test_an_outage_in_the_middle_deletes_nothing_and_is_said(place, kept):
    for number in range(12):
        place.write(f"d{number}", f"The text of {number}.".encode())
    assert kept.sync().added == 12
    before = kept.documents()

    with place.outage():
        try:
            report = kept.sync()
        except IndexingError as exc:  # the catalog itself is away
            said = str(exc)
        else:
            said = report.error or " ".join(report.notes)
            assert report.deleted == 0
    assert said
    assert kept.documents().keys() == before.keys()

    after = kept.sync()
    assert (after.state, after.added, after.deleted, after.failed) == ("succeeded", 0, 0, 0)
    assert after.chunks_embedded == 0


def test_what_cannot_be_fetched_during_an_outage_is_an_error_of_ours(place, fetch):
    place.write("a", b"x")
    item = item_of(place, "a")

    with place.outage(), pytest.raises(IndexingError):
        fetch(item)


def test_a_change_of_permissions_reaches_the_documents_and_nothing_is_embedded_again(place, kept):
    if not place.has_lists:
        pytest.skip("this kind of source knows of no permissions")
    with kept.catalog.transaction() as session:
        for name in ("ann", "bob"):
            principals.add_principal(session, "user", name, issuer=place.issuer)
    place.write("hr/pay.txt", b"The pay.")
    place.let("hr/pay.txt", ["ann"])
    assert item_of(place, "hr/pay.txt").readers == ("ann",)
    kept.sync()
    (before,) = kept.documents().values()

    place.let("hr/pay.txt", ["ann", "bob"])
    report = kept.sync()

    (after,) = kept.documents().values()
    assert sorted(item_of(place, "hr/pay.txt").readers) == ["ann", "bob"]
    assert (report.relisted, report.chunks_embedded) == (1, 0)
    assert before.own_acl_id != after.own_acl_id


# --- kinds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        ("fsspec", " GS://docs/a//b/ ", "gs://docs/a/b"),
        ("fsspec", "ftp://ann@files.example:2121", "ftp://ann@files.example:2121"),
        ("fsspec", "abfs://c@account.dfs.core.windows.net/a b", "abfs://c@account.dfs.core.windows.net/a b"),
        ("git", "https://git.example/team/docs.git/", "https://git.example/team/docs.git"),
        ("git", "/srv//git/docs.git/", "/srv/git/docs.git"),
        ("imap", "imaps://ann@mail.example", "imaps://ann@mail.example:993/INBOX"),
        ("imap", "IMAP://ann%40x.example@192.0.2.1/Inbox", "imap://ann%40x.example@192.0.2.1:143/INBOX"),
        ("imap", "imaps://ann@[2001:db8::1]:1993/A%20b/c", "imaps://ann@[2001:db8::1]:1993/A%20b/c"),
        ("s3", "s3://documents", "s3://documents"),
        ("s3", "S3://documents//a/b/ ", "s3://documents/a/b"),
        ("sftp", "sftp://ann@files.example/docs/", "sftp://ann@files.example:22/docs"),
        ("sftp", "SFTP://ann@192.0.2.1:2222", "sftp://ann@192.0.2.1:2222/"),
        ("sftp", "sftp://ann@[2001:db8::1]/a%20b", "sftp://ann@[2001:db8::1]:22/a%20b"),
    ],
)
def test_a_location_is_stored_in_one_spelling(kind, given, stored):
    assert kind_called(kind).location(given) == stored
    assert kind_called(kind).location(stored) == stored


def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it():
    with (
        pytest.raises(SourceError, match=r"SFTP needs a library: .*no_such_library") as caught,
        needing("x", "SFTP needs"),
    ):
        importlib.import_module("no_such_library")
    assert "metier[x]" in caught.value.remedy


def test_an_unknown_kind_is_an_error_that_names_the_known_ones(sqlite_catalog, settings):
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "s", "carrier pigeon", "")

    with pytest.raises(SourceError, match="pigeon") as caught:
        open_source(record, SourceContext(sqlite_catalog, settings()))
    assert ", ".join(kind_names()) in caught.value.remedy
