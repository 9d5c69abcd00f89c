"""The web source against a real server: what is listed, what is asked, and what an outage may not do."""

from __future__ import annotations

import contextlib
import gzip
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from indexing import store
from indexing.documents import WEB_PAGE, Item
from indexing.errors import ItemUnreadable, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.pipeline import Indexing, sync_source
from indexing.sources import SourceContext, open_source
from indexing.sources.web import WebSource
from indexing.testing import FakeParsers, HashEmbedder, kinds_of, listed
from tests.webs import serving

pytestmark = pytest.mark.network

OLD = "2024-05-01T10:00:00+00:00"


@pytest.fixture
def site():
    with serving() as served:
        yield served


@pytest.fixture
def source(site):
    """Return a factory of sources that may ask the site; pauses are remembered and not slept."""

    def make(location="", *, known=None, pauses=None, max_bytes=1 << 20, **limits):
        return WebSource(
            f"{site.url}{location}",
            Outbound(parse_allowed([f"127.0.0.1:{site.port}"]), Limits(**({"silent_s": 2.0, "seconds": 5.0} | limits))),
            max_bytes=max_bytes,
            known=lambda: known or {},
            pause_s=0.0 if pauses is None else 0.25,
            sleep=(lambda seconds: None) if pauses is None else pauses.append,
        )

    return make


def paths(source):
    return [item.uri.partition("/")[2].partition("/")[2].partition("/")[2] for item in listed(source).items]


# --- where the pages come from ------------------------------------------------------------------------------------


def test_the_sitemaps_that_robots_txt_names_are_read_index_gzip_and_plain_list(site, source):
    maps = "".join(f"<sitemap><loc>{site.url}/{name}</loc></sitemap>" for name in ("a.xml", "b.xml.gz", "c.txt"))
    site.page("/robots.txt", f"User-agent: *\nDisallow:\nSitemap: {site.url}/index.xml\n")
    site.page("/index.xml", f"<sitemapindex>{maps}</sitemapindex>")
    site.sitemap({f"{site.url}/1": OLD}, "/a.xml")
    zipped = gzip.compress(f"<urlset><url><loc>{site.url}/2</loc><lastmod>{OLD}</lastmod></url></urlset>".encode())
    site.page("/b.xml.gz", zipped, Content_Type="application/gzip")
    site.page("/c.txt", f"{site.url}/3\n")
    site.page("/3", "three")

    listing = listed(source())

    assert [item.uri for item in listing.items] == [f"{site.url}/{n}" for n in (1, 2, 3)]
    assert listing.complete
    assert ("HEAD", "/1") not in site.asked  # its lastmod says enough


def test_a_single_page_is_a_source_too(site, source):
    site.page("/docs/page.html?lang=fr", "<p>bonjour</p>", Content_Type="text/html; charset=utf-8")

    (item,) = listed(source("/docs/page.html?lang=fr&utm_source=mail#part")).items

    assert item.uri == f"{site.url}/docs/page.html?lang=fr"
    assert ("GET", "/sitemap.xml") not in site.asked


def test_pages_that_robots_txt_keeps_to_itself_and_other_hosts_are_left_out_and_told(site, source):
    site.page("/robots.txt", "User-agent: *\nDisallow: /private/*.html$\nAllow: /\n")
    site.page("/open", "x")
    site.sitemap(
        {
            f"{site.url}/open": None,
            f"{site.url}/private/a.html": None,
            "https://other.example/": None,
            "http://127.0.0.1:1/": None,
            "file:///etc/passwd": None,
        }
    )

    listing = listed(source())

    assert [item.uri for item in listing.items] == [f"{site.url}/open"]
    assert listing.complete
    assert listing.notes == (
        "1 addresses that are none of the web left out",
        "2 pages of other hosts left out",
        "1 pages that robots.txt keeps to itself left out",
    )
    assert {path for _, path in site.asked} == {"/robots.txt", "/sitemap.xml", "/open"}


def test_addresses_of_one_page_are_one_item(site, source):
    site.page("/a", "x")
    site.redirect("/old", "/a", 301)
    site.page("/copy", "x", Link=f'<{site.url}/a>; rel="canonical"')
    site.sitemap(
        {f"{site.url}/{path}": None for path in ("a", "a#part", "a?utm_source=x&amp;fbclid=1", "old", "a?gclid=2")}
    )

    assert paths(source()) == ["a"]


def test_a_page_that_names_another_listed_page_as_its_original_is_not_read_twice(site, source, tmp_path):
    head = f'<head><link rel="canonical" href="{site.url}/a"></head>'
    site.page("/a", f"<html>{head}<body>text</body></html>", Content_Type="text/html")
    site.page("/b", f"<html>{head}<body>text </body></html>", Content_Type="text/html")
    site.sitemap({f"{site.url}/a": OLD, f"{site.url}/b": OLD})
    web = source()
    first, second = listed(web).items

    assert web.fetch(first, tmp_path).media_type == WEB_PAGE
    with pytest.raises(ItemUnreadable, match="copy of"):
        web.fetch(second, tmp_path)


def test_a_canonical_link_to_another_host_or_to_nowhere_is_not_believed(site, source, tmp_path):
    site.sitemap({f"{site.url}/a": OLD, f"{site.url}/b": OLD})
    for path, href in (("a", "https://other.example/"), ("b", "http://[broken")):
        site.page(f"/{path}", f'<head><link rel=canonical href="{href}"></head>', Content_Type="text/html")
    web = source()

    for item in listed(web).items:
        assert web.fetch(item, tmp_path).size_bytes


# --- versions -----------------------------------------------------------------------------------------------------


def test_a_lastmod_of_the_last_two_days_is_not_trusted(site, source):
    """It is often a day: a page read in the morning and edited in the afternoon would keep it."""
    today = datetime.now(UTC).date().isoformat()
    site.page("/a", "morning")
    site.sitemap({f"{site.url}/a": today})
    (before,) = listed(source()).items
    site.page("/a", "afternoon")
    (after,) = listed(source()).items

    assert before.version_tag != after.version_tag


def test_an_old_lastmod_is_the_version_and_a_stored_page_whose_lastmod_changed_is_asked_about(site, source, tmp_path):
    uri = f"{site.url}/a"
    site.page("/a", "x")
    site.sitemap({uri: OLD})
    (item,) = listed(source()).items
    raw = source().fetch(item, tmp_path)

    assert item.version_tag == raw.version_tag == f"lastmod {OLD}"
    assert item.modified_at == datetime.fromisoformat(OLD)
    del site.answers["/a"]  # withdrawn, and still in the sitemap with a new date
    assert paths(source(known={uri: "lastmod 2023-01-01T00:00:00+00:00"})) == []
    assert paths(source(known={uri: f"lastmod {OLD}"})) == ["a"]


def test_last_modified_is_a_version_once_it_is_older_than_the_clocks_grain(site, source, tmp_path):
    old = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    site.page("/old", "x", etag=False, Last_Modified=old)
    site.page("/new", "x", etag=False, Last_Modified=format_datetime(datetime.now(UTC), usegmt=True))
    site.page("/silent", "x", etag=False)
    site.sitemap({f"{site.url}/{path}": None for path in ("old", "new", "silent")})
    web = source()

    tags = {item.uri.rpartition("/")[2]: item.version_tag.partition(" ")[0] for item in listed(web).items}

    assert tags == {"old": "modified", "new": "sha256", "silent": "sha256"}
    for number, item in enumerate(listed(web).items):
        into = tmp_path / str(number)
        into.mkdir()
        assert web.fetch(item, into).version_tag == item.version_tag


def test_a_server_that_does_not_know_head_is_asked_for_the_page(site, source):
    site.page("/a", "x")
    answer = site.answers["/a"]

    def no_head(request):
        if request.command == "HEAD":
            request.send_error(405)
        else:
            answer(request)

    site.answers["/a"] = no_head

    assert paths(source("/a")) == ["a"]


# --- outages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 401])
def test_a_sitemap_that_fails_makes_the_listing_incomplete(site, source, status):
    maps = "".join(f"<sitemap><loc>{site.url}/{name}</loc></sitemap>" for name in ("a.xml", "b.xml"))
    site.page("/sitemap.xml", f"<sitemapindex>{maps}</sitemapindex>")
    site.sitemap({f"{site.url}/1": OLD}, "/a.xml")
    site.status("/b.xml", status)

    listing = listed(source())

    assert [item.uri for item in listing.items] == [f"{site.url}/1"]
    assert not listing.complete
    assert [failure.uri for failure in listing.failures] == [f"{site.url}/b.xml"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Down for maintenance",
        "<html><body>Sorry</body></html>",
        "<urlset><url><loc>http://",
        "<!DOCTYPE x [<!ENTITY",
    ],
)
def test_what_is_no_sitemap_ends_the_run(site, source, content):
    site.page("/sitemap.xml", content)

    if content:
        with pytest.raises(SourceError):
            listed(source())
    else:
        assert listed(source()).items == ()


def test_an_external_entity_in_a_sitemap_is_not_read(site, source, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("http://127.0.0.1/secret")
    entities = f'<!DOCTYPE u [<!ENTITY a SYSTEM "file://{secret}"><!ENTITY b SYSTEM "{site.url}/canary">]>'
    site.page("/sitemap.xml", f"{entities}<urlset><url><loc>&a;</loc></url><url><loc>&b;</loc></url></urlset>")

    with contextlib.suppress(SourceError):
        assert listed(source()).items == ()
    assert ("GET", "/canary") not in site.asked


def test_no_robots_txt_allows_everything_and_one_that_fails_allows_nothing(site, source):
    site.page("/a", "x")

    assert paths(source("/a")) == ["a"]
    site.status("/robots.txt", 500)
    with pytest.raises(SourceError, match="not known"):
        listed(source("/a"))


def test_a_page_that_fails_makes_the_listing_incomplete_and_five_in_a_row_end_it(site, source):
    for number in range(9):
        site.page(f"/{number}", "x")
    site.sitemap({f"{site.url}/{number}": None for number in range(9)})
    site.status("/3", 500)
    listing = listed(source())

    assert (len(listing.items), listing.complete) == (8, False)
    for number in range(2, 7):
        site.status(f"/{number}", 500)
    with pytest.raises(SourceError, match="5 pages in a row"):
        listed(source())


def test_a_page_that_is_gone_is_gone_and_the_listing_complete(site, source):
    site.page("/a", "x")
    site.status("/b", 410)
    site.sitemap({f"{site.url}/{path}": None for path in "abc"})
    listing = listed(source())

    assert [item.uri for item in listing.items] == [f"{site.url}/a"]
    assert listing.complete
    assert listing.notes == ("2 pages that are listed and gone left out",)


def test_a_redirect_to_another_host_is_not_followed(site, source):
    with serving() as other:
        other.page("/a", "not ours")
        site.redirect("/a", f"{other.url}/a")
        listing = listed(source("/a"))

        assert (listing.items, listing.complete) == ((), False)
        assert other.asked == []


def test_without_an_allow_list_a_site_inside_is_refused_before_it_is_asked(site):
    with pytest.raises(OutboundRefused, match="METIER_OUTBOUND_ALLOW"):
        listed(WebSource(site.url, Outbound()))
    assert site.asked == []


# --- pages --------------------------------------------------------------------------------------------------------


def fetched(source, site, path, into, **options):
    return source(**options).fetch(Item(f"{site.url}{path}", "v"), into)


def test_a_body_longer_than_the_limit_is_cut_off_and_told(site, source, tmp_path):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        while not site.stopping.is_set():
            request.wfile.write(b"x" * 65536)

    site.answers["/big"] = endless
    site.page("/announced", b"", Content_Length=str(10 << 30))

    for path in ("/big", "/announced"):
        with pytest.raises(ParseLimit, match="more than 1 MB"):
            fetched(source, site, path, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1 << 20


def test_a_page_that_lies_hangs_or_loops_is_unreadable_and_the_source_goes_on(site, source, tmp_path):
    site.redirect("/loop", "/loop")
    site.answers["/hang"] = lambda request: site.stopping.wait(60)
    site.status("/gone", 404)
    site.page("/fine", "x")

    def lying(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"short")
        request.close_connection = True

    site.answers["/lie"] = lying
    started = time.monotonic()

    for path in ("/loop", "/hang", "/lie", "/gone"):
        with pytest.raises(ItemUnreadable, match=path):
            fetched(source, site, path, tmp_path, silent_s=0.3)
    assert fetched(source, site, "/fine", tmp_path).size_bytes == 1
    assert time.monotonic() - started < 30


def test_a_page_is_saved_as_it_came_with_its_type(site, source, tmp_path):
    site.page("/doc", b"%PDF-1.7 ...", Content_Type="application/pdf", Last_Modified="Wed, 01 May 2024 10:00:00 GMT")

    raw = fetched(source, site, "/doc", tmp_path)

    assert (raw.media_type, raw.path.read_bytes()) == ("application/pdf", b"%PDF-1.7 ...")
    assert raw.modified_at == datetime.fromisoformat(OLD)


# --- manners ------------------------------------------------------------------------------------------------------


def test_requests_say_who_asks_and_pause(site, source):
    site.page("/robots.txt", "User-agent: Metier\nCrawl-delay: 7\nAllow: /\n")
    site.page("/a", "x")
    pauses: list[float] = []

    listed(source("/a", pauses=pauses))

    assert {headers["User-Agent"].partition("/")[0] for headers in site.headers} == {"Metier"}
    assert pauses[0] == 0
    assert 6 < pauses[1] <= 7


def test_a_busy_server_is_asked_again_after_the_time_it_names(site, source):
    site.page("/a", "x")
    answer, busy = site.answers["/a"], [429, 503]
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    def busy_at_first(request):
        if busy:
            request.send_response(busy.pop())
            request.send_header("Retry-After", "17" if busy else at)
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            answer(request)

    site.answers["/a"] = busy_at_first
    pauses: list[float] = []

    assert len(listed(source("/a", pauses=pauses)).items) == 1
    assert 17 in pauses
    assert any(50 < pause <= 60 for pause in pauses)


def test_a_server_that_stays_busy_or_asks_for_hours_is_left_for_the_next_run(site, source):
    site.status("/busy", 429, Retry_After="1")
    site.status("/hours", 503, Retry_After="7200")

    assert not listed(source("/busy")).complete
    assert site.asked.count(("HEAD", "/busy")) == 3
    (failure,) = listed(source("/hours")).failures
    assert "7200 seconds" in failure.reason
    assert site.asked.count(("HEAD", "/hours")) == 1


# --- the whole way ------------------------------------------------------------------------------------------------


def test_a_site_is_indexed_edited_and_shrunk_and_an_outage_deletes_nothing(site, source, sqlite_catalog, settings):
    pages = {f"{site.url}/{name}": None for name in ("a", "b", "c")}
    for name in "abc":
        site.page(f"/{name}", f"The page {name} as it was.")
    site.sitemap(pages)
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "docs", "web", site.url)
    indexing = Indexing(sqlite_catalog, HashEmbedder(), FakeParsers(), settings(), kinds_of(web=source()))

    def synced():
        report = sync_source(indexing, record)
        return report.state, report.added, report.changed, report.deleted, report.unchanged

    assert synced() == ("succeeded", 3, 0, 0, 0)
    site.page("/b", "The page b, edited.")
    assert synced() == ("succeeded", 0, 1, 0, 2)
    site.status("/sitemap.xml", 503)
    assert synced()[0] == "failed"
    site.sitemap(pages)
    site.status("/c", 500)
    assert synced() == ("succeeded", 0, 0, 0, 2)
    del site.answers["/c"]
    assert synced() == ("succeeded", 0, 0, 1, 2)
    with sqlite_catalog.reading() as session:
        assert sorted(store.known_documents(session, record.id)) == [f"{site.url}/{name}" for name in "ab"]


def test_the_settings_reach_the_source(site, sqlite_catalog, settings):
    site.page("/a", "x")
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "docs", "web", f"{site.url}/a")
    allowed = SourceContext(sqlite_catalog, settings(outbound_allow=(f"127.0.0.1:{site.port}",)))

    assert len(listed(open_source(record, allowed)).items) == 1
    with pytest.raises(OutboundRefused):
        listed(open_source(record, SourceContext(sqlite_catalog, settings())))
