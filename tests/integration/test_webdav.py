"""WebDAV on WsgiDAV, and answers of servers that fail, lie or lead away."""

from __future__ import annotations

import os
import time
from email.utils import formatdate
from functools import partial

import pytest

from indexing import store
from indexing.documents import Item
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.files import FilesSource
from indexing.sources.rest import Denied, Rest
from indexing.sources.webdav import WebdavFiles, basic
from indexing.testing import listed
from tests.davs import dav
from tests.sources.place import fetched
from tests.webs import serving

pytestmark = pytest.mark.network

OLD = "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.fixture
def fetch(tmp_path):
    return partial(fetched, tmp_path)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def server(root):
    with dav(root) as found:
        yield found


@pytest.fixture
def waits():
    return []


@pytest.fixture
def source(server, waits):
    def made(secret="ann:secret", most_bytes=1 << 20, allow=None, path="/files/", **limits):
        allowed = parse_allowed([f"127.0.0.1:{server.port}"] if allow is None else allow)
        rest = Rest(Outbound(allowed, Limits(**limits)), basic(secret), sleep=waits.append)
        files = WebdavFiles(f"{server.url}{path}", rest, most_bytes)
        return FilesSource(files, most_bytes=most_bytes, sleep=lambda seconds: None)

    return made


def aged(path):
    then = time.time() - 3600
    os.utime(path, (then, then))


def names(source):
    return [item.uri for item in listed(source).items]


def listing(*rows, itself="/files/"):
    """Return a multistatus of (href, length); a href that ends in / is a folder."""

    def response(href, length):
        kind = "<D:resourcetype><D:collection/></D:resourcetype>" if href.endswith("/") else "<D:resourcetype/>"
        told = f"<D:getcontentlength>{length}</D:getcontentlength><D:getetag>&quot;v1&quot;</D:getetag>"
        return (
            f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>{kind}{told}<D:getlastmodified>{OLD}"
            "</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        )

    inner = "".join(response(href, length) for href, length in [(itself, 0), *rows])
    xml = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{inner}</D:multistatus>'
    return "207 Multi-Status", {"Content-Type": "application/xml"}, xml.encode()


def answering(server, *rows, body=b"12345", **headers):
    """Let the server list *rows*, and answer GET with *body*."""
    told = {"ETag": '"v1"', "Last-Modified": OLD, **{name.replace("_", "-"): value for name, value in headers.items()}}
    server.fault = lambda environ: listing(*rows) if environ["REQUEST_METHOD"] == "PROPFIND" else ("200 OK", told, body)


# --- what is a document --------------------------------------------------------------------------------------------


def test_folders_are_walked_and_names_lead_back_to_their_bytes(server, source, root, fetch):
    depths = set()
    server.fault = lambda environ: depths.add(environ.get("HTTP_DEPTH"))
    for name in ("a.txt", "sub/é à.txt", "sub/deeper/100%.txt", "a+b&c;d.txt", "x#y?.txt", ".hidden/b.txt", "~$a.docx"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    aged(root / "a.txt")
    opened = source()

    found = {item.uri: fetch(opened, item).path.read_text() for item in listed(opened).items}

    assert found == {name: name for name in ("a.txt", "a+b&c;d.txt", "sub/deeper/100%.txt", "sub/é à.txt", "x#y?.txt")}
    assert depths == {"1", "0", None}  # never a whole tree at once; GET has none


def test_addresses_that_lead_elsewhere_are_no_documents(server, source):
    answering(
        server,
        ("/files/a.txt", 5), ("/other/b.txt", 5), ("/files/../c.txt", 5), ("/files/%2e%2e/d.txt", 5),
        ("http://169.254.169.254/files/e.txt", 5), ("/files/sub/f.txt", 5), ("/files/g.txt?x", 5),
        ("/files/sub%2Fh.txt", 5), ("//evil.example/files/i.txt", 5), ("file:///etc/passwd", 5),
    )  # fmt: skip

    assert names(source()) == ["a.txt"]


def test_folders_that_hold_themselves_end(server, source):
    def endless(environ):
        return listing((f"{environ['PATH_INFO']}x/", 0), itself=environ["PATH_INFO"])

    server.fault = endless

    found = listed(source())

    assert not found.complete
    assert "levels" in found.failures[0].reason
    assert len(server.asked) < 100


@pytest.mark.parametrize("uri", ["../outside.txt", "/etc/passwd", "a/../../b", "%2e%2e/b"])
def test_a_uri_that_leads_out_is_refused(source, root, fetch, uri):
    (root.parent / "outside.txt").write_text("secret")
    (root.parent / "b").write_text("secret")

    with pytest.raises(ItemUnreadable):
        fetch(source(), Item(uri, "v"))


# --- versions ------------------------------------------------------------------------------------------------------


def test_a_settled_file_is_told_by_its_etag_and_a_new_one_by_its_bytes(source, root, fetch):
    (root / "old.txt").write_text("old")
    aged(root / "old.txt")
    (root / "new.txt").write_text("new")
    opened = source()

    found = {item.uri: item for item in listed(opened).items}

    assert found["old.txt"].version_tag.startswith("etag ")
    assert found["new.txt"].version_tag.startswith("sha256 ")
    assert fetch(opened, found["old.txt"]).version_tag == found["old.txt"].version_tag


def test_a_file_that_is_written_while_it_is_read_is_read_again(server, source, root, fetch):
    path = root / "a.txt"
    path.write_text("one")
    aged(path)
    opened = source()
    (item,) = listed(opened).items
    edits = ["two!!", "three!"]

    def edited(environ):
        """Write the file each time that it was read, before we look whether it held still."""
        if environ["REQUEST_METHOD"] == "PROPFIND" and edits:
            path.write_text(edits.pop(0))
            then = time.time() - 7200 - len(edits)
            os.utime(path, (then, then))

    server.fault = edited
    raw = fetch(opened, item)

    assert raw.path.read_text() == "three!"
    assert raw.version_tag == listed(opened).items[0].version_tag


def test_a_new_file_that_is_too_long_stops_no_listing(server, source, fetch):
    now = formatdate(usegmt=True)
    status, headers, body = listing(("/files/a.txt", ""))
    told = {"Last-Modified": now, "Content-Length": str(3 << 20)}
    server.fault = lambda environ: (
        (status, headers, body.replace(OLD.encode(), now.encode()))
        if environ["REQUEST_METHOD"] == "PROPFIND"
        else ("200 OK", told, b"x" * (3 << 20))
    )
    opened = source()

    (item,) = listed(opened).items
    with pytest.raises(ParseLimit):
        fetch(opened, item)


# --- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["ann:wrong", "nobody:secret", ""])
def test_wrong_credentials_are_said(source, secret):
    with pytest.raises(Denied, match="401"):
        names(source(secret=secret))


def test_a_secret_that_is_no_pair_is_refused_and_not_shown():
    with pytest.raises(SourceError) as caught:
        basic("hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_answers_no_more_deletes_nothing(server, source, root):
    (root / "sub").mkdir()
    (root / "sub" / "b.txt").write_text("b")
    (root / "a.txt").write_text("a")
    for status in ("403 Forbidden", "404 Not Found"):
        server.fault = lambda environ, s=status: (s, {}, b"") if environ["PATH_INFO"].endswith("/sub/") else None

        found = listed(source())

        assert [item.uri for item in found.items] == ["a.txt"]
        assert not found.complete
        assert [failure.uri for failure in found.failures] == ["sub/"]


def test_a_busy_server_is_asked_again_after_its_time(server, source, root, waits):
    (root / "a.txt").write_text("a")
    busy = [("429 Too Many", {"Retry-After": "7"}, b""), ("503 Busy", {"Retry-After": "3"}, b"")]
    server.fault = lambda environ: busy.pop(0) if busy else None

    assert names(source()) == ["a.txt"]
    assert waits == [7.0, 3.0]

    server.fault = lambda environ: ("503 Busy", {"Retry-After": "86400"}, b"")
    with pytest.raises(OutboundError, match="86400 seconds"):
        names(source())


def test_a_server_that_hangs_ends_by_the_limit(server, source):
    server.fault = lambda environ: time.sleep(8)
    began = time.monotonic()

    with pytest.raises(OutboundError, match="does not answer"):
        names(source(silent_s=0.3))
    assert time.monotonic() - began < 6


def test_a_redirect_loop_ends_and_one_that_leads_inside_is_refused(server, source):
    server.fault = lambda environ: ("302 Found", {"Location": "/files/"}, b"")
    with pytest.raises(OutboundError, match="redirect"):
        names(source())

    with serving() as inside:
        server.fault = lambda environ: ("302 Found", {"Location": f"{inside.url}/files/"}, b"")
        with pytest.raises(OutboundRefused):
            names(source())
        assert inside.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        ("200 OK", {"Content-Type": "text/html"}, b"<html>Please sign in</html>"),
        ("207 Multi-Status", {}, b""),
        ("207 Multi-Status", {}, b"<html/>"),
        ("207 Multi-Status", {}, b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/files/'),
        ("207 Multi-Status", {}, b'<D:multistatus xmlns:D="DAV:"></D:multistatus>'),
        listing(("/other/a", 1), itself="/other/"),
    ],
)
def test_an_answer_that_is_no_listing_deletes_nothing(server, source, answer):
    server.fault = lambda environ: answer

    with pytest.raises(SourceError):
        names(source())


@pytest.mark.parametrize(
    "declared",
    ['<!ENTITY x "boom">', '<!ENTITY x SYSTEM "file://{file}">', '<!ENTITY % p SYSTEM "file://{file}"> %p;', ""],
)
def test_a_document_type_is_refused_and_no_entity_is_read(server, source, tmp_path, declared):
    (tmp_path / "secret").write_text("boom")
    status, headers, body = listing(("/files/&x;.txt", 5) if "x" in declared else ("/files/a.txt", 5))
    doctype = f"<!DOCTYPE D [{declared.format(file=tmp_path / 'secret')}]>".encode()
    server.fault = lambda environ: (status, headers, body.replace(b"?>", b"?>" + doctype, 1))

    with pytest.raises(OutboundError, match="document type") as caught:
        names(source())
    assert "boom" not in str(caught.value)


def test_a_bomb_of_entities_ends_at_once(server, source):
    bomb = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 12))
    status, headers, body = listing(("/files/&b11;.txt", 5))
    doctype = f'<!DOCTYPE D [<!ENTITY b0 "boom">{bomb}]>'.encode()
    server.fault = lambda environ: (status, headers, body.replace(b"?>", b"?>" + doctype, 1))
    began = time.monotonic()

    with pytest.raises(OutboundError):
        names(source())
    assert time.monotonic() - began < 6


def test_a_page_that_wants_a_password_is_no_folder(server, source):
    server.fault = lambda environ: ("200 OK", {"Content-Type": "text/html"}, b"<html>Please sign in</html>")

    with pytest.raises(OutboundError, match="no WebDAV folder"):
        names(source())


# --- lies about lengths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["50", "3"])
def test_a_wrong_length_is_an_error(server, source, fetch, length):
    answering(server, ("/files/a.txt", 5), Content_Length=length)
    opened = source()

    with pytest.raises(ItemUnreadable, match=r"a\.txt"):
        fetch(opened, listed(opened).items[0])


def test_ten_gigabytes_are_refused_before_they_are_asked_for(server, source, fetch):
    answering(server, ("/files/big.bin", 10 << 30))
    opened = source()
    (item,) = listed(opened).items
    before = len(server.asked)

    with pytest.raises(ParseLimit, match="10240 MB"):
        fetch(opened, item)
    assert len(server.asked) == before


@pytest.mark.parametrize("length", ["", None])
def test_a_file_that_is_longer_than_it_said_is_cut_at_the_limit(server, source, fetch, length):
    body = b"x" * (3 << 20)
    answering(server, ("/files/a.txt", 5), body=body, Content_Length=str(len(body)) if length is None else length)
    opened = source()

    with pytest.raises(ParseLimit):
        fetch(opened, listed(opened).items[0])


# --- the kind ------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_allowed_hears_nothing(server, source):
    with pytest.raises(OutboundRefused):
        names(source(allow=[]))
    assert server.asked == []


def test_a_source_is_opened_from_its_record_with_its_secret(server, root, sqlite_catalog, settings):
    (root / "a.txt").write_text("a")
    told = settings(outbound_allow=[f"127.0.0.1:{server.port}"])
    store_secret(told.data_dir, "dav", "ann:secret")
    location = kind_called("webdav").location(f"{server.url}/files")
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "docs", "webdav", location, secret="dav")

    assert names(open_source(record, SourceContext(sqlite_catalog, told))) == ["a.txt"]


@pytest.mark.parametrize(
    "given", ["", "ftp://host/", "https://ann:pass@host/dav", "https://host/dav?x=1", "file:///etc"]
)
def test_what_is_no_folder_is_refused(given):
    with pytest.raises(SourceError) as caught:
        kind_called("webdav").location(given)
    assert "pass@" not in str(caught.value)
