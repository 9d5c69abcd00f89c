"""Files of a plain web server: a list of addresses, or the folder pages that nginx and Apache write by themselves.

The location is a text file with one address a line, or a folder (an address that ends in ``/``), which is read with
all folders below. Only what is on the same host is read, and of a folder only what is below it. Versions are told as
for a web site: ETag, else Last-Modified, else the bytes. Who gave the list decided what is read: robots.txt is not
asked.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from indexing.documents import Failure, Page
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, SourceError
from indexing.outbound import joined_url
from indexing.sources import Kind
from indexing.sources.folder import Skipped, left_out
from indexing.sources.web import WebSource, web_address
from indexing.sources.web_pages import canonical, host_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.documents import Item, RawDocument, SourceRecord
    from indexing.outbound import Reply
    from indexing.sources import SourceContext

_LIST_BYTES = 32 << 20
_PAGE_ITEMS = 500
_DEEPEST = 64
_READ_ATTEMPTS = 3
#: After so many files in a row that could not be asked, the server is taken to be down.
_GIVE_UP_AFTER = 5


class HttpSource(WebSource):
    """The files that a list or a folder page names."""

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> Self:
        """Return the source that *record* describes."""
        return cls(record.location, context.outbound, max_bytes=context.most_bytes, pause_s=0)

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- lists are read anew
        """Yield the files, a page for some hundred. A file or folder that cannot be asked makes its page incomplete.

        Raises SourceError when the list or the first folder cannot be read, or the server stopped answering.
        """
        location = canonical(self.location)
        skipped, failures = Skipped(), list[Failure]()
        items: list[Item] = []
        in_row = 0
        for url in (
            self._folder(location, skipped, failures) if location.endswith("/") else self._list(location, skipped)
        ):
            try:
                item = self.probe(url)
            except OutboundError as exc:
                failures.append(_failure(url, exc))
                in_row += 1
                if in_row >= _GIVE_UP_AFTER:
                    raise SourceError(f"{in_row} files in a row could not be asked: {exc.message}") from exc
                continue
            in_row = 0
            if item is None:
                skipped.add("files that are listed and gone", url)
            else:
                items.append(item)
            if len(items) + len(failures) >= _PAGE_ITEMS:
                yield _page(items, failures)
                items, failures[:] = [], []
        yield _page(items, failures, skipped.notes())

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Download the file to ``into / "content"``; one that changes meanwhile is downloaded again.

        Raises as for a web site, and ItemUnreadable for one that does not hold still.
        """
        for _ in range(_READ_ATTEMPTS):
            raw = super().fetch(item, into)
            if raw.version_tag.startswith("sha256 "):
                return raw
            try:
                now = self.probe(item.uri)
            except OutboundError as exc:
                raise ItemUnreadable(exc.message, remedy=exc.remedy) from exc
            if now is None or now.version_tag == raw.version_tag:
                return raw
        raise ItemUnreadable(f"{item.uri} is being written to.", remedy="It is tried again at the next run.")

    def same_site(self, url: str) -> bool:
        """Return whether *url* is on this host and, where the location is a folder, below it."""
        location = canonical(self.location)
        return super().same_site(url) and (not location.endswith("/") or canonical(url).startswith(location))

    def _list(self, location: str, skipped: Skipped) -> Iterator[str]:
        """Yield the addresses in the list, each once, of this host."""
        seen: set[str] = set()
        for line in self.ask("GET", location, _text).splitlines():
            text = line.strip().lstrip("\ufeff")
            if not text or text.startswith("#"):
                continue
            try:
                url = canonical(joined_url(location, text))
            except OutboundRefused:
                skipped.add("lines that are no address", text[:100])
                continue
            if host_of(url) != host_of(location):
                skipped.add("addresses of other hosts", url)
            elif url not in seen:
                seen.add(url)
                yield url

    def _folder(self, location: str, skipped: Skipped, failures: list[Failure]) -> Iterator[str]:
        """Yield the addresses of the files in the folder and in all below."""
        seen = {location}
        pending = [location]
        while pending:
            folder = pending.pop()
            try:
                links = self.ask("GET", folder, _links)
            except OutboundError as exc:
                if folder == location:
                    raise
                failures.append(_failure(folder, exc))
                continue
            for url in links:
                name = _name_below(url, folder)
                if not name or url in seen:
                    continue
                seen.add(url)
                if why := left_out(name):
                    skipped.add(why, url)
                elif not url.endswith("/"):
                    yield url
                elif url.count("/") - location.count("/") > _DEEPEST:
                    failures.append(_failure(url, OutboundError(f"{url} is too deep.")))
                else:
                    pending.append(url)


def _page(items: list[Item], failures: list[Failure], notes: tuple[str, ...] = ()) -> Page:
    return Page(tuple(items), tuple(failures), notes, complete=not failures)


def _text(reply: Reply) -> str:
    """Return the body of a good answer. Raises OutboundError."""
    if reply.status != 200:
        raise OutboundError(f"{reply.url} answers {reply.status}.")
    return b"".join(reply.body(_LIST_BYTES)).decode("utf-8", "replace")


def _links(reply: Reply) -> list[str]:
    """Return where the links of a folder page lead, those that can be addresses. Raises OutboundError for no page."""
    text = _text(reply)
    if "html" not in reply.headers.get("content-type", "").lower():
        raise OutboundError(f"{reply.url} is no page that lists a folder.", remedy="Check the location.")
    reader = _Anchors()
    reader.feed(text)
    found = []
    for href in reader.hrefs:
        try:
            found.append(canonical(joined_url(reply.url, href)))
        except OutboundRefused:
            continue
    return found


class _Anchors(HTMLParser):
    """Collects the ``href`` of each link."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (href := dict(attrs).get("href")):
            self.hrefs.append(href)


def _name_below(url: str, folder: str) -> str:
    """Return the name of *url* in *folder*; "" when it is not right in it, or only sorts its page anew."""
    if not url.startswith(folder) or urlsplit(url).query:
        return ""
    name = unquote(url[len(folder) :].removesuffix("/"))
    return "" if "/" in name or name in {".", ".."} else name


def _failure(url: str, exc: OutboundError) -> Failure:
    return Failure(url, "list", exc.message, exc.remedy, type(exc).__name__)


HTTP = Kind(
    HttpSource.opened,
    web_address,
    "the address of a list of addresses, or of a folder page of a web server (it ends in /)",
)
