"""The listing of a web site: from its sitemaps to the pages, each at the least cost that tells its version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from indexing.documents import Failure, Item, Page
from indexing.errors import IndexingError, OutboundRefused, SourceError
from indexing.outbound import joined_url
from indexing.sources.sitemap import SITEMAP_ENTRIES
from indexing.sources.web_pages import canonical, host_of, lastmod_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexing.sources.sitemap import Robots
    from indexing.sources.web import WebSource

#: An index lists sitemaps; more levels, or more files, are no site's honest need.
_SITEMAP_DEPTH = 2
_SITEMAP_FILES = 1000
#: After so many pages in a row that could not be asked, the site is taken to be down.
_GIVE_UP_AFTER = 5
_URI_CHARACTERS = 1024

Address = tuple[str, "datetime | None"]


def crawled(site: WebSource, location: str, known: Mapping[str, str]) -> Page:
    """Return the pages of *site* at *location*. *known*: uri → version tag, as it is stored. Raises SourceError."""
    robots = site.robots()
    crawl = _Crawl(site, robots, known)
    for url, lastmod in crawl.pages(location):
        crawl.add(url, lastmod)
    items = tuple(sorted(crawl.items.values(), key=lambda item: item.uri))
    notes = [f"{count} {what} left out" for what, count in sorted(crawl.left_out.items())]
    return Page(items, complete=not crawl.failures, failures=tuple(crawl.failures), notes=tuple(notes))


@dataclass
class _Crawl:
    """A crawl under way."""

    site: WebSource
    robots: Robots
    known: Mapping[str, str]
    items: dict[str, Item] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    failed_in_row: int = 0

    def pages(self, location: str) -> Iterator[Address]:
        """Yield the pages that *location* stands for."""
        parts = urlsplit(location)
        if parts.path == "/" and not parts.query:
            return self._listed(self.robots.sitemaps or (joined_url(location, "/sitemap.xml"),))
        if parts.path.lower().endswith((".xml", ".xml.gz")):
            return self._listed((location,))
        return iter(((location, None),))

    def _listed(self, sitemaps: tuple[str, ...]) -> Iterator[Address]:
        """Yield the pages of *sitemaps* and of those that they list. Raises SourceError when none can be read."""
        waiting = [(url, 0) for url in sitemaps]
        asked: set[str] = set()
        pages: list[Address] = []
        first: SourceError | None = None
        read = 0
        while waiting:
            url, depth = waiting.pop(0)
            if url in asked:
                continue
            asked.add(url)
            try:
                self._check_sitemap(url, depth, len(asked))
                found = self.site.sitemap(canonical(url))
            except SourceError as exc:
                first = first or exc
                self._failed(url, exc)
                continue
            read += 1
            pages += found.pages
            waiting += [(inner, depth + 1) for inner in found.maps]
        if not read and first is not None:
            raise SourceError(first.message, remedy=first.remedy) from first
        if len(pages) > SITEMAP_ENTRIES:
            more = SourceError(
                f"More than {SITEMAP_ENTRIES} pages are listed.", remedy="Add smaller parts of the site."
            )
            self._failed(sitemaps[0], more)
        return iter(pages[:SITEMAP_ENTRIES])

    def _check_sitemap(self, url: str, depth: int, count: int) -> None:
        """Raise SourceError for a sitemap that is not to be read."""
        if depth > _SITEMAP_DEPTH or count > _SITEMAP_FILES:
            raise SourceError(f"The sitemap {url} is one too many.", remedy="Add a smaller part of the site.")
        if host_of(url) != host_of(self.site.location):
            raise OutboundRefused(f"The sitemap {url} is on another host.", remedy="Add it as its own source.")

    def add(self, listed: str, lastmod: datetime | None) -> None:
        """Take in the page that was listed. Raises SourceError when the site seems to be down."""
        try:
            url = canonical(listed)
        except OutboundRefused:
            self._leave_out("addresses that are none of the web")
            return
        if url in self.seen:
            return
        self.seen.add(url)
        if host_of(url) != host_of(self.site.location):
            self._leave_out("pages of other hosts")
        elif not self.robots.allows(url):
            self._leave_out("pages that robots.txt keeps to itself")
        elif len(url) > _URI_CHARACTERS:
            self._leave_out("addresses that are too long")
        else:
            self._add(url, lastmod)

    def _add(self, url: str, lastmod: datetime | None) -> None:
        tag = lastmod_tag(lastmod, datetime.now(UTC))
        if tag is not None and self.known.get(url, tag) == tag:  # new, or as it was: it is fetched, or need not be
            self.items[url] = Item(url, tag, lastmod)
            return
        try:
            item = self.site.probe(url)
        except IndexingError as exc:
            self._failed(url, exc)
            self.failed_in_row += 1
            if self.failed_in_row >= _GIVE_UP_AFTER:
                raise SourceError(
                    f"{self.failed_in_row} pages in a row could not be asked, the last with: {exc.message}",
                    remedy="Nothing was deleted; run sync again when the site answers.",
                ) from exc
            return
        self.failed_in_row = 0
        if item is None:
            self._leave_out("pages that are listed and gone")
        else:
            self.seen.add(item.uri)
            self.items[item.uri] = Item(item.uri, tag or item.version_tag, lastmod or item.modified_at, item.size_bytes)

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def _failed(self, url: str, exc: IndexingError) -> None:
        self.failures.append(Failure(url[:_URI_CHARACTERS], "list", exc.message, exc.remedy, type(exc).__name__))
