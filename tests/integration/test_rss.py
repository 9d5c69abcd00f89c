"""Feeds: what an entry becomes, what is kept, and feeds that are damaged, hostile, or none at all."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundRefused, OutboundTooLong, SourceError
from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.pipeline import Indexing, sync_source
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.rss import FEED_BYTES, RssSource, feed_address
from indexing.sources.rss_feed import ENTRIES
from indexing.testing import FakeParsers, HashEmbedder, listed
from tests.sources.rss import rss
from tests.webs import serving

pytestmark = pytest.mark.network

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><id>tag:news</id><updated>2026-02-03T04:05:06Z</updated>
<entry><id>tag:news,2026:1</id><title type="html">Caf&amp;eacute; &lt;b&gt;opens&lt;/b&gt;</title>
<link href="https://news.example/1"/><published>2026-01-02T03:04:05+01:00</published>
<updated>2026-02-03T04:05:06Z</updated><summary>In short.</summary>
<content type="html">&lt;p&gt;In full &amp;amp; long.&lt;/p&gt;</content></entry>
<entry><id>tag:news,2026:2</id><title>1 &lt; 2</title><published>2026-01-02T03:04:05+01:00</published>
<summary>First &lt;part&gt;.

Second part.</summary></entry></feed>"""


@pytest.fixture
def site():
    with serving() as found:
        yield found


def source(site, *, keep=False, **told):
    allowed = parse_allowed([f"127.0.0.1:{site.port}"])
    return RssSource(f"{site.url}/feed.xml", Outbound(allowed), keep=keep, sleep=lambda _s: None, **told)


def uris(source):
    return [item.uri for item in listed(source).items]


@pytest.fixture
def text_of(tmp_path):
    """Return a function that fetches an item: the raw document and its text."""

    def fetched(source, item):
        into = tmp_path / f"into{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        raw = source.fetch(item, into)
        return raw, raw.path.read_text()

    return fetched


def test_an_entry_becomes_a_page_of_its_title_and_its_content_else_its_summary(site, text_of):
    site.page("/feed.xml", ATOM, Content_Type="application/atom+xml")
    feed = source(site)

    full, short = listed(feed).items

    assert (full.uri, full.modified_at) == ("tag:news,2026:1", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert short.modified_at == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    raw, text = text_of(feed, full)
    assert (raw.media_type, raw.name, raw.version_tag) == ("text/html", "Café opens.html", full.version_tag)
    assert "<h1>Café opens</h1>\n<p>In full &amp; long.</p>" in text
    assert "In short" not in text
    _, text = text_of(feed, short)
    assert "<h1>1 &lt; 2</h1>\n<p>First &lt;part&gt;.</p>\n<p>Second part.</p>" in text


def test_an_entry_without_an_id_is_known_by_its_link_and_one_with_neither_is_counted(site, text_of):
    site.page("/feed.xml", rss({"link": "https://news.example/only"}, {"title": "Nobody"}))
    feed = source(site)

    found = listed(feed)

    assert [item.uri for item in found.items] == ["https://news.example/only"]
    assert found.complete
    assert found.notes == ("1 entries with neither id nor link skipped",)
    raw, text = text_of(feed, found.items[0])
    assert "<h1>https://news.example/only</h1>" in text
    assert raw.name == "https:--news.example-only.html"


def test_of_entries_with_one_id_the_first_counts_once(site, text_of):
    site.page("/feed.xml", rss({"guid": "1", "title": "New"}, {"guid": "1", "title": "Old"}, {"guid": "2"}))
    feed = source(site)

    found = listed(feed)

    assert [item.uri for item in found.items] == ["1", "2"]
    assert found.notes == ("1 entries that repeat the id of another skipped",)
    assert "New" in text_of(feed, found.items[0])[1]


def test_ids_are_bounded_and_printable_and_stay_different(site):
    long = "x" * 2000
    site.page("/feed.xml", rss({"guid": f"{long}1"}, {"guid": f"{long}2"}, {"guid": "a\nb\u2028c\u2029d"}))

    found = uris(source(site))

    assert len(set(found)) == 3
    assert sorted(len(uri) for uri in found)[1:] == [1024, 1024]
    assert "a%0Ab%E2%80%A8c%E2%80%A9d" in found


@pytest.mark.parametrize(
    ("coding", "kind"),
    [("utf-8", "text/xml"), ("iso-8859-1", "text/plain"), ("utf-16", "text/plain"), ("utf-8", "application/json")],
)
def test_letters_are_read_in_the_encoding_that_the_feed_names(site, text_of, coding, kind):
    feed = rss({"guid": "1", "title": "Été à Liège"}).replace('encoding="utf-8"', f'encoding="{coding}"')
    site.page("/feed.xml", feed.encode(coding), Content_Type=kind)
    reader = source(site)

    found = listed(reader)

    assert (found.complete, found.notes) == (True, ())
    assert "Été à Liège" in text_of(reader, found.items[0])[1]


def test_letters_are_read_in_the_encoding_that_the_server_names(site, text_of):
    feed = rss({"guid": "1", "title": "Été à Liège"}).replace(' encoding="utf-8"', "")
    site.page("/feed.xml", feed.encode("iso-8859-1"), Content_Type="text/xml; charset=iso-8859-1")
    reader = source(site)

    assert "Été à Liège" in text_of(reader, listed(reader).items[0])[1]


# --- what dropped off ----------------------------------------------------------------------------------------------


@pytest.fixture
def kept(site, sqlite_catalog, settings):
    """Return a function that adds the feed as a source, with these options, and one that runs it."""

    def added(**options):
        told = settings().model_copy(update={"outbound_allow": (f"127.0.0.1:{site.port}",)})
        with sqlite_catalog.transaction() as session:
            record = store.add_source(session, "news", "rss", f"{site.url}/feed.xml")
        record = replace(record, options=options)

        def documents():
            with sqlite_catalog.reading() as session:
                return set(store.known_documents(session, record.id))

        def run(**changed):
            indexing = Indexing(sqlite_catalog, HashEmbedder(), FakeParsers(), told.model_copy(update=changed))
            return sync_source(indexing, record)

        return run, documents

    return added


@pytest.mark.parametrize(("options", "left", "deleted"), [({}, {"1", "2", "3"}, 0), ({"keep": "no"}, {"2", "3"}, 1)])
def test_an_entry_that_dropped_off_stays_unless_the_source_says_otherwise(site, kept, options, left, deleted):
    run, documents = kept(**options)
    site.page("/feed.xml", rss(*({"guid": uri, "title": f"The title of {uri}"} for uri in ("1", "2"))))
    assert run().added == 2
    site.page("/feed.xml", rss(*({"guid": uri, "title": f"The title of {uri}"} for uri in ("2", "3"))))

    report = run()

    assert (report.state, report.added, report.deleted, report.failed) == ("succeeded", 1, deleted, 0)
    assert documents() == left


def test_a_kept_entry_survives_a_change_of_the_chunker_though_it_cannot_be_read_again(site, kept):
    run, documents = kept()
    site.page("/feed.xml", rss({"guid": "1", "title": "The title of 1"}, {"guid": "2", "title": "The title of 2"}))
    run()
    site.page("/feed.xml", rss({"guid": "2", "title": "The title of 2"}))

    report = run(chunk_tokens=100)

    assert (report.state, report.deleted, report.failed) == ("succeeded", 0, 1)
    assert documents() == {"1", "2"}


def test_a_damaged_feed_deletes_nothing(site, kept):
    run, documents = kept(keep="no")
    whole = rss(*({"guid": str(number), "title": f"The title of {number}"} for number in range(3)))
    site.page("/feed.xml", whole)
    assert run().added == 3
    site.page("/feed.xml", whole[: whole.index("<guid>2")])

    report = run()

    assert report.deleted == 0
    assert "damaged" in " ".join(report.notes)
    assert documents() == {"0", "1", "2"}


def test_what_is_not_in_the_feed_any_more_cannot_be_fetched(site, tmp_path):
    site.page("/feed.xml", rss({"guid": "tag:1"}))
    feed = source(site, fresh_s=0.0)
    (item,) = listed(feed).items
    site.page("/feed.xml", rss())

    with pytest.raises(ItemUnreadable, match="tag:1"):
        feed.fetch(item, tmp_path)


def test_the_feed_is_asked_once_for_many_entries(site, text_of):
    site.page("/feed.xml", rss(*({"guid": str(number)} for number in range(20))))
    feed = source(site)

    for item in listed(feed).items:
        text_of(feed, item)

    assert site.asked == [("GET", "/feed.xml")]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    ["<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Who are you?</p></body></html>", "<rs", "", "{}",
     "<list><thing>1</thing></list>", b"\x00\xff\xfe\x80", b"%PDF-1.7"],
)  # fmt: skip
def test_what_is_no_feed_is_an_error_and_never_an_empty_feed(site, body):
    site.page("/feed.xml", body, Content_Type="text/html")

    with pytest.raises(SourceError, match="feed"):
        listed(source(site))


@pytest.mark.parametrize("status", [301, 401, 404, 410, 500, 503])
def test_an_answer_that_is_no_good_is_an_error(site, status):
    site.status("/feed.xml", status)

    with pytest.raises(SourceError, match=str(status)):
        listed(source(site))


def test_a_feed_without_entries_is_empty_and_complete(site):
    site.page("/feed.xml", rss())

    found = listed(source(site))

    assert (found.items, found.complete, found.notes) == ((), True, ())


def test_redirects_stay_on_the_host(site):
    site.page("/new.xml", rss({"guid": "1"}))
    site.redirect("/feed.xml", "/new.xml", 301)
    assert uris(source(site)) == ["1"]

    with serving() as canary:
        canary.page("/feed.xml", rss({"guid": "2"}))
        site.redirect("/feed.xml", f"{canary.url}/feed.xml")
        with pytest.raises(OutboundRefused):
            listed(source(site))
        assert canary.asked == []


def test_a_feed_that_is_too_long_or_has_too_many_entries_is_an_error(site):
    site.page("/feed.xml", b" " * (FEED_BYTES + 1))
    with pytest.raises(OutboundTooLong):
        listed(source(site))

    site.page("/feed.xml", rss(*([{"guid": "1"}] * (ENTRIES + 1))))
    with pytest.raises(SourceError, match="more than 10000 entries"):
        listed(source(site))


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("piece", ["<a>", "<a></b>", "<a><!-- </a> -->", "<a><![CDATA[</a>]]>", "<a b='c'>"])
def test_a_feed_that_is_nested_without_end_is_refused_at_once(site, piece, coding):
    site.page("/feed.xml", f'<rss version="2.0"><channel>{piece * 200_000}'.encode(coding))
    started = time.monotonic()

    with pytest.raises(SourceError, match="nested"):
        listed(source(site))
    assert time.monotonic() - started < 10


BOMB = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("shape", ["rss", "atom"])
def test_entities_and_everything_that_a_feed_names_are_never_looked_up(site, text_of, tmp_path, coding, shape):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret of this machine")
    with serving() as canary:
        doctype = (
            f'<!DOCTYPE feed SYSTEM "{canary.url}/a.dtd" [<!ENTITY % p SYSTEM "{canary.url}/b.dtd"> %p;'
            f'<!ENTITY x SYSTEM "{canary.url}/c"><!ENTITY f SYSTEM "{secret.as_uri()}"><!ENTITY b0 "boom">{BOMB}]>'
        )
        link, picture = f"{canary.url}/link", f"&lt;img src='{canary.url}/i'&gt;&lt;iframe src='{canary.url}/f'&gt;"
        if shape == "rss":
            entry = (
                f"<item><guid>{link}</guid><title>T &x; &f; &b11;</title><description>{picture}</description></item>"
            )
            feed = f'<rss version="2.0" xml:base="{canary.url}/"><channel>{entry}</channel></rss>'
        else:
            feed = (
                f'<feed xmlns="http://www.w3.org/2005/Atom" xml:base="{canary.url}/"><link rel="self" href="{link}"/>'
                f'<entry><id>{link}</id><title>T &x; &f; &b11;</title><content type="html" src="{link}">{picture}'
                f"</content></entry></feed>"
            )
        site.page("/feed.xml", f'<?xml version="1.0" encoding="{coding}"?>{doctype}{feed}'.encode(coding))
        reader = source(site)

        found = listed(reader)
        for item in found.items:
            _, text = text_of(reader, item)
            assert "secret of this machine" not in text
            assert text.count("boom") <= 1
            assert len(text) < 10_000

        assert [item.uri for item in found.items] == [link]
        assert canary.asked == []


# --- how it is added -----------------------------------------------------------------------------------------------


def test_the_option_keep_is_yes_or_no(sqlite_catalog, settings):
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "news", "rss", "https://news.example/feed.xml")
    context = SourceContext(sqlite_catalog, settings())

    for right in ("yes", "no"):
        assert isinstance(open_source(replace(record, options={"keep": right}), context), RssSource)
    for wrong in ("", "No", "maybe", "true"):
        with pytest.raises(SourceError, match="keep"):
            open_source(replace(record, options={"keep": wrong}), context)


@pytest.mark.parametrize(
    "location", ["", "feed.xml", "file:///etc/passwd", "https://user@host.example/", "ftp://a.b/c"]
)
def test_what_is_no_address_is_refused_when_it_is_added(location):
    with pytest.raises(OutboundRefused) as caught:
        kind_called("rss").location(location)
    assert "feed.xml" in caught.value.remedy
    assert feed_address(" https://News.example/feed.xml#top ") == "https://news.example/feed.xml"
