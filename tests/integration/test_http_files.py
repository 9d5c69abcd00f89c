"""Lists of addresses and folder pages of a plain web server."""

from __future__ import annotations

import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.http import HttpSource
from indexing.testing import listed
from tests.webs import serving

pytestmark = pytest.mark.network

NGINX = """<html><head><title>Index of {path}</title></head><body><h1>Index of {path}</h1><hr><pre><a href="../">../</a>
<a href="?C=N;O=D">Name</a> <a href="/icons/blank.gif">x</a> <a href="https://nginx.org/">nginx</a>
{rows}</pre></body></html>"""


@pytest.fixture
def site():
    with serving() as found:
        yield found


def folder(site, path, *hrefs):
    rows = "\n".join(f'<a href="{href}">{href}</a>  02-Jan-2026 03:04  5' for href in hrefs)
    site.page(path, NGINX.format(path=path, rows=rows), Content_Type="text/html; charset=utf-8")


def source(site, path="/docs/", *, waits=None, allow=None, **told):
    limits = Limits(**{name: told.pop(name) for name in ("silent_s", "redirects") if name in told})
    allowed = parse_allowed([f"127.0.0.1:{site.port}"] if allow is None else allow)
    sleep = (lambda seconds: None) if waits is None else waits.append
    return HttpSource(f"{site.url}{path}", Outbound(allowed, limits), pause_s=0, sleep=sleep, **told)


def paths(site, found):
    return [item.uri.removeprefix(site.url) for item in found.items]


def test_a_folder_page_is_read_with_all_below_and_nothing_above(site, tmp_path):
    folder(site, "/docs/", "a.txt", "sub/", "%C3%A9%20%C3%A0.txt", ".git/", "~$a.docx", "../secret.txt", "/other/b.txt",
           f"{site.url}/docs/../c.txt", "a.txt?download", "http://169.254.169.254/docs/d.txt")  # fmt: skip
    folder(site, "/docs/sub/", "b.pdf", "../", "deeper/")
    folder(site, "/docs/sub/deeper/", "c.txt")
    for path in ("/docs/a.txt", "/docs/é à.txt", "/docs/sub/b.pdf", "/docs/sub/deeper/c.txt", "/secret.txt", "/c.txt"):
        site.page(path, path)

    found = listed(source(site))

    assert paths(site, found) == [
        "/docs/%C3%A9%20%C3%A0.txt", "/docs/a.txt", "/docs/sub/b.pdf", "/docs/sub/deeper/c.txt",
    ]  # fmt: skip
    assert found.complete
    assert not any("secret" in path or "/.git" in path or "?" in path for _, path in site.asked)
    assert source(site).fetch(found.items[1], tmp_path).path.read_text() == "/docs/a.txt"


def test_a_list_names_files_of_its_host_only(site):
    site.page("/a.txt", "a")
    site.page("/b c.txt", "b")
    site.page(
        "/list.txt",
        f"\ufeff# files\r\n{site.url}/a.txt\r\n/b%20c.txt\n/a.txt\nhttp://10.0.0.1/x\nfile:///etc/passwd\n/gone\n",
    )

    found = listed(source(site, "/list.txt"))

    assert paths(site, found) == ["/a.txt", "/b%20c.txt"]
    assert found.complete
    assert {note.split(" skipped")[0] for note in found.notes} == {
        "1 addresses of other hosts", "1 lines that are no address", "1 files that are listed and gone",
    }  # fmt: skip


def test_the_version_is_the_etag_else_the_time_else_the_bytes(site, tmp_path):
    site.page("/etag", "x")
    site.page("/time", "x", etag=False, Last_Modified="Fri, 02 Jan 2026 03:04:05 GMT")
    site.page("/bytes", "x", etag=False)
    site.page("/list.txt", "/etag\n/time\n/bytes")
    opened = source(site, "/list.txt")

    found = {item.uri.rpartition("/")[2]: item for item in listed(opened).items}

    assert {name: item.version_tag.split()[0] for name, item in found.items()} == {
        "etag": "etag", "time": "modified", "bytes": "sha256",
    }  # fmt: skip
    for name, item in found.items():
        into = tmp_path / name
        into.mkdir()
        assert opened.fetch(item, into).version_tag == item.version_tag


def test_a_file_that_changes_while_it_is_read_is_read_again(site, tmp_path):
    site.page("/a.txt", "one")
    site.page("/list.txt", "/a.txt")
    opened = source(site, "/list.txt")
    (item,) = listed(opened).items
    edits = ["three", "two"]
    before = site.answers["/a.txt"]

    def edited(request):
        """Answer, and write the file anew behind the answer."""
        nonlocal before
        before(request)
        if request.command == "GET" and edits:
            site.page("/a.txt", edits.pop())
            before, site.answers["/a.txt"] = site.answers["/a.txt"], edited

    site.answers["/a.txt"] = edited
    raw = opened.fetch(item, tmp_path)

    assert raw.path.read_text() == "three"
    assert raw.version_tag == listed(opened).items[0].version_tag


@pytest.mark.parametrize("path", ["/docs/", "/list.txt"])
@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_list_that_cannot_be_read_ends_the_listing(site, path, status):
    site.status(path, status)

    with pytest.raises(SourceError, match=str(status)):
        listed(source(site, path))


def test_a_folder_or_file_that_cannot_be_asked_deletes_nothing(site):
    folder(site, "/docs/", "a.txt", "b.txt", "sub/")
    site.page("/docs/a.txt", "a")
    site.status("/docs/b.txt", 500)
    site.status("/docs/sub/", 403)

    found = listed(source(site))

    assert paths(site, found) == ["/docs/a.txt"]
    assert not found.complete
    assert sorted(failure.uri.removeprefix(site.url) for failure in found.failures) == ["/docs/b.txt", "/docs/sub/"]


def test_a_page_that_lists_no_folder_is_an_error(site):
    site.page("/docs/", "hello")

    with pytest.raises(OutboundError, match="no page that lists"):
        listed(source(site))


def test_a_busy_server_is_asked_again_after_its_time(site):
    waits: list[float] = []
    site.page("/list.txt", "")
    good = site.answers["/list.txt"]
    site.status("/list.txt", 429, Retry_After="4")
    busy = site.answers["/list.txt"]
    answers = [good, busy]

    def in_turn(request):
        answers.pop()(request)

    site.answers["/list.txt"] = in_turn

    assert listed(source(site, "/list.txt", waits=waits)).complete
    assert 4.0 in waits


def test_a_hanging_server_a_redirect_loop_and_a_redirect_away_end(site):
    site.answers["/docs/"] = lambda request: site.stopping.wait(2)
    with pytest.raises(OutboundError, match="does not answer"):
        listed(source(site, silent_s=0.2))

    site.redirect("/docs/", "/docs/")
    with pytest.raises(OutboundError, match="redirect"):
        listed(source(site))

    with serving() as inside:
        site.redirect("/docs/", f"{inside.url}/docs/")
        with pytest.raises(OutboundRefused):
            listed(source(site, allow=[f"127.0.0.1:{site.port}", f"127.0.0.1:{inside.port}"]))
        assert inside.asked == []


def test_a_redirect_out_of_the_folder_is_not_followed(site):
    folder(site, "/docs/", "a.txt")
    site.redirect("/docs/a.txt", "/private/b.txt")
    site.page("/private/b.txt", "secret")

    found = listed(source(site))

    assert found.items == ()
    assert not found.complete
    assert not any(path.startswith("/private") for _, path in site.asked)


def test_lies_about_lengths_and_files_that_are_too_long_are_errors(site, tmp_path):
    site.page("/short", "12345", Content_Length="50")
    site.page("/long", "x" * 3000)
    site.page("/list.txt", "/short\n/long")
    opened = source(site, "/list.txt", max_bytes=1000)

    found = {item.uri.rpartition("/")[2]: item for item in listed(opened).items}

    with pytest.raises(ItemUnreadable):
        opened.fetch(found["short"], tmp_path)
    with pytest.raises(ParseLimit):
        opened.fetch(found["long"], tmp_path)


def test_a_source_is_opened_from_its_record(site, sqlite_catalog, settings):
    folder(site, "/docs/", "a.txt")
    site.page("/docs/a.txt", "a")
    location = kind_called("http").location(f"{site.url}/docs/")
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "docs", "http", location)
    context = SourceContext(sqlite_catalog, settings(outbound_allow=[f"127.0.0.1:{site.port}"]))

    assert paths(site, listed(open_source(record, context))) == ["/docs/a.txt"]
