"""Places that a library of fsspec reads: which ones may be, and what such a library may tell us."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import fsspec
import pytest
from fsspec import AbstractFileSystem

from indexing import store
from indexing.errors import IndexingError, ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits
from indexing.outbound_rules import may_read_place, parse_allowed
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources import fsspec_client as client
from indexing.sources.files import FilesSource
from indexing.sources.fsspec import storage_options
from indexing.testing import listed
from tests.buckets import buckets
from tests.ftps import ftp
from tests.sources.place import fetched, settled_files_are_told_by_time

pytestmark = pytest.mark.network

OPTIONS = {"username": "ann", "password": "secret-of-ann"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def server(root):
    with ftp(root, password=OPTIONS["password"]) as found:
        yield found


@pytest.fixture
def fetch(tmp_path):
    return partial(fetched, tmp_path)


def reading(location, options=OPTIONS, most_bytes=200 << 20):
    return FilesSource(
        client.FsspecFiles(location, options, limits=Limits()), most_bytes=most_bytes, sleep=lambda seconds: None
    )


@pytest.fixture
def source(server):
    """Return a function that reads the server's folder, with another limit or other options if told so."""
    return partial(reading, f"ftp://127.0.0.1:{server.port}")


def names(opened):
    return [item.uri for item in listed(opened).items]


# --- which places --------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(server, sqlite_catalog, settings):
    """Return a function that opens the source of a location, where some places are listed."""

    def made(location, *allowed):
        told = settings(outbound_allow=list(allowed))
        store_secret(told.data_dir, "files", '{"username": "ann", "password": "secret-of-ann"}')
        with sqlite_catalog.transaction() as session:
            record = store.add_source(session, f"docs of {allowed}", "fsspec", location, secret="files")
        return open_source(record, SourceContext(sqlite_catalog, told))

    return made


def test_a_place_that_is_not_listed_hears_nothing(opened, server):
    here = f"ftp://127.0.0.1:{server.port}"

    for allowed in [(), ("127.0.0.0/8",), (f"127.0.0.1:{server.port}",), (f"{here}/other",)]:
        with pytest.raises(OutboundRefused, match="METIER_OUTBOUND_ALLOW"):
            opened(f"{here}/docs", *allowed)
    assert server.commands == []


@pytest.mark.parametrize("allowed", ["", "/docs", "/docs/"])
def test_a_listed_place_is_read_with_its_secret(opened, server, root, allowed):
    (root / "docs").mkdir()
    (root / "docs" / "a b.txt").write_text("x")
    here = f"ftp://127.0.0.1:{server.port}"

    assert names(opened(f"{here}/docs", f"{here}{allowed}")) == ["a b.txt"]


@pytest.mark.parametrize(
    ("location", "good"),
    [("gs://docs", True), ("gs://docs/a", True), ("gs://docs-of-others", False), ("gs://doc", False),
     ("abfs://docs", False), ("gs://DOCS", False)],
)  # fmt: skip
def test_a_place_is_listed_by_whole_names(location, good):
    assert may_read_place(location, parse_allowed(["10.0.0.0/8", "GS://docs/"])) is good


@pytest.mark.parametrize("entry", ["https://docs.example", "gs://", "gs://docs?x", "gs:docs", "://docs", "gs://a b"])
def test_what_is_no_place_cannot_be_listed(entry):
    with pytest.raises(ValueError, match="is no network, address, host name or place"):
        parse_allowed([entry])


@pytest.mark.parametrize(
    "given",
    ["", "docs", "gs://", "gs:///docs", "gs://docs?x=1", "gs://docs#x", "gs://docs/../other", "gs://a\\@b",
     "simplecache::gs://docs", "gs://a::file:///etc", "zip://a.zip::file:///etc", "file:///etc", "file://host/etc", "FILE://host/etc",
     "local://host/etc", "memory://x", "reference://x", "ftp://ann:pass@files.example/", "s3://docs",
     "https://files.example/", "sftp://ann@files.example/"],
)  # fmt: skip
def test_what_is_no_place_is_refused(given):
    with pytest.raises(SourceError) as caught:
        kind_called("fsspec").location(given)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("secret", ["user:password", "[]", '"x"', "{"])
def test_a_secret_that_is_no_object_of_options_is_said_and_not_shown(secret):
    with pytest.raises(SourceError, match="JSON object") as caught:
        storage_options(secret)
    assert secret not in caught.value.message


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_wrong_credentials_are_said_without_the_secret(source):
    opened = source({"username": "ann", "password": "correct horse"})

    with pytest.raises(OutboundError, match="530") as caught:
        names(opened)
    assert "correct horse" not in str(caught.value)


def test_a_library_that_tells_its_options_tells_no_secret():
    class Talkative(AbstractFileSystem):  # type: ignore[misc]  # it has no types
        protocol = "talkative"

        def __init__(self, **options):
            raise RuntimeError(f"I was given {options}")

    fsspec.register_implementation("talkative", Talkative, clobber=True)

    with pytest.raises(OutboundError) as caught:
        names(reading("talkative://x", {"token": {"private_key": "very secret", "scopes": ["and this"]}}))
    assert "RuntimeError" in caught.value.message
    assert not {"very secret", "and this"} & set(caught.value.message.split("'"))


def test_of_two_secrets_of_which_one_begins_like_the_other_no_end_is_told():
    files = client.FsspecFiles("ftp://x", {"user": "metier", "password": "metier-2026"}, limits=Limits())

    assert files._told(ValueError("metier:metier-2026 is wrong")) == "ValueError: …:… is wrong"


def test_a_library_that_is_not_installed_is_named():
    fsspec.register_implementation("absent", "no_such_module.Files", clobber=True, errtxt="Please install no-such")

    with pytest.raises(SourceError, match="Please install no-such"):
        names(reading("absent://docs", {}))


def test_an_unknown_protocol_is_said():
    with pytest.raises(IndexingError, match="carrierpigeon"):
        names(reading("carrierpigeon://docs", {}))


def test_a_server_that_is_not_there_is_an_outage(source, server):
    opened = source()
    server.end()

    with pytest.raises(OutboundError):
        names(opened)


def test_a_folder_that_is_not_there_is_said(server):
    with pytest.raises(SourceError, match="not there"):
        names(reading(f"ftp://127.0.0.1:{server.port}/absent"))


# --- names, versions and bytes -------------------------------------------------------------------------------------


def test_names_that_mean_something_in_urls_are_names_of_files(source, root, fetch):
    for name in ("a", "a?b.txt", "a#b.txt", "a%20b.txt", "a b.txt"):
        (root / name).write_text(f"the file {name}")
    opened = source()

    for item in listed(opened).items:
        assert fetch(opened, item).path.read_text() == f"the file {item.uri}"


def test_a_name_that_a_library_cuts_off_gives_no_other_file(fetch):
    class Cutting(AbstractFileSystem):  # type: ignore[misc]  # it has no types
        protocol = "cutting"

        def ls(self, path, detail=True, **_):
            return [{"type": "file", "size": 1, "etag": name, "name": f"docs/{name}"} for name in ("a", "a?b")]

        def info(self, path, **_):
            return self.ls("docs")[0]

    fsspec.register_implementation("cutting", Cutting, clobber=True)
    opened = reading("cutting://docs", {})
    item = next(item for item in listed(opened).items if item.uri == "a?b")

    with pytest.raises(ItemUnreadable, match="reads as another one"):
        fetch(opened, item)


def test_a_library_that_lists_what_is_elsewhere_leads_nowhere():
    class Astray(AbstractFileSystem):  # type: ignore[misc]  # it has no types
        protocol = "astray"

        def ls(self, path, detail=True, **_):
            facts = {"type": "file", "size": 1, "etag": "1"}
            found = ["/docs/", "/docs/a.txt", "/docs/a.txt", "/docs/sub/b.txt", "/docs-of-others/c.txt", "/d.txt"]
            return [facts | {"name": name} for name in found] + [{"name": "/docs/link", "type": "link", "size": 0}]

    fsspec.register_implementation("astray", Astray, clobber=True)

    pages = list(reading("astray://docs", {}).pages(None))

    assert [item.uri for page in pages for item in page.items] == ["a.txt"]
    assert {note.split(" skipped")[0] for page in pages for note in page.notes} == {
        "3 addresses that lead elsewhere", "1 symbolic links",
    }  # fmt: skip


def test_a_settled_file_is_told_by_time_and_size_and_a_new_one_by_its_bytes(source, root, fetch):
    settled_files_are_told_by_time(root, source(), fetch)


def test_a_long_file_comes_whole(source, root, fetch):
    content = os.urandom((20 << 20) + 12345)  # several blocks
    (root / "a.bin").write_bytes(content)
    opened = source()

    assert fetch(opened, listed(opened).items[0]).path.read_bytes() == content


def test_threads_share_a_connection_and_each_gets_its_own_bytes(source, root, tmp_path):
    for number in range(8):
        (root / f"{number}.bin").write_bytes(bytes([number]) * 3_000_000)
    opened = source()
    items = listed(opened).items
    folders = [tmp_path / f"into-{item.uri}" for item in items]
    for folder in folders:
        folder.mkdir()

    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(opened.fetch, items, folders))

    assert [(raw.path.read_bytes()[:1], raw.size_bytes) for raw in copies] == [
        (bytes([int(item.uri[0])]), 3_000_000) for item in items
    ]


def test_a_file_over_the_limit_is_refused_before_it_is_read(source, server, root, fetch):
    with (root / "big.bin").open("wb") as file:
        file.truncate(10 << 30)
    opened = source()
    (item,) = listed(opened).items

    with pytest.raises(ParseLimit, match="10240 MB"):
        fetch(opened, item)
    assert not any(line.startswith("RETR") for line in server.commands)


def test_a_file_that_grew_past_the_limit_is_not_read_and_the_next_one_is(source, root, fetch):
    (root / "a.bin").write_bytes(b"x")
    (root / "b.bin").write_bytes(b"y")
    opened = source(most_bytes=1000)
    first, second = listed(opened).items
    (root / "a.bin").write_bytes(b"x" * 2000)

    with pytest.raises(ParseLimit):
        fetch(opened, first)
    assert fetch(opened, second).path.read_bytes() == b"y"


def test_a_file_that_is_written_while_it_is_read_is_read_again(source, root, fetch, monkeypatch):
    path = root / "a.bin"
    path.write_bytes(b"1" * (3 << 20))
    os.utime(path, (time.time() - 7200,) * 2)
    opened = source()
    (item,) = listed(opened).items
    edits = [b"2" * (3 << 20)]
    pieces = client._pieces

    def edited(file, what, deadline):
        for piece in pieces(file, what, deadline):
            yield piece
            if edits:
                path.write_bytes(edits.pop())
                os.utime(path, (time.time() - 3600,) * 2)

    monkeypatch.setattr(client, "_pieces", edited)

    raw = fetch(opened, item)

    assert raw.path.read_bytes() == b"2" * (3 << 20)
    assert raw.version_tag == listed(opened).items[0].version_tag


def test_a_folder_is_listed_once_for_all_its_files_and_once_for_each_that_is_read(source, server, root, fetch):
    for number in range(5):
        (root / f"{number}.txt").write_text("x")
        os.utime(root / f"{number}.txt", (time.time() - 3600,) * 2)
    opened = source()
    items = listed(opened).items
    assert sum(line.startswith("MLSD") for line in server.commands) == 1

    for item in items:
        fetch(opened, item)

    assert sum(line.startswith("MLSD") for line in server.commands) <= 1 + len(items) + 1


def test_a_bucket_is_read_by_its_tags_through_another_library(fetch):
    with buckets() as found:
        for key in ("team/a.txt", "team/sub/b.txt", "team/", "team-secret/c.txt"):
            found.put(key, b"" if key.endswith("/") else key.encode())
        options = {
            "key": "k", "secret": "testing-secret", "endpoint_url": found.served.url,
            "client_kwargs": {"region_name": "us-east-1"},
        }  # fmt: skip
        opened = reading("s3://documents/team", options)
        items = {item.uri: item for item in listed(opened).items}

        assert set(items) == {"a.txt", "sub/b.txt"}
        for uri, item in items.items():
            raw = fetch(opened, item)
            assert raw.path.read_bytes() == f"team/{uri}".encode()
            assert raw.version_tag == item.version_tag
            assert item.version_tag.startswith("etag ")


@pytest.mark.parametrize(
    ("facts", "moment"),
    [
        ({"modify": "20240131120000"}, datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ({"modify": "20240131120000.5"}, datetime(2024, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ({"updated": "2024-01-31T12:00:00.000Z"}, datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ({"mtime": 1706702400.0}, datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ({"modificationTime": 1706702400000}, datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ({"LastModified": datetime(2024, 1, 31, 12)}, datetime(2024, 1, 31, 12, tzinfo=UTC)),  # noqa: DTZ001
        ({"mtime": None, "modified": "yesterday"}, None),
        ({}, None),
    ],
)
def test_times_are_understood_in_each_form(facts, moment):
    assert client._moment(facts) == moment
    assert (client._version({"size": 1, **facts}) is None) is (moment is None)
