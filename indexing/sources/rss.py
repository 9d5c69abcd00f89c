"""An RSS or Atom feed: each entry is an item, as an HTML document of its title and its content, else its summary.

The uri of an item is the entry's id, else its link; its version is a hash of that document. A feed holds the newest
entries only, so an entry that dropped off is kept as it was read, unless the option ``keep`` says no. Links are not
followed: what is not in the feed is not read. The library reads bytes that ``indexing/outbound.py`` fetched.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from indexing.documents import Item, Page
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, SourceError
from indexing.sources import Kind, needing
from indexing.sources.rest import write_document
from indexing.sources.web import WebSource, web_address
from indexing.sources.web_pages import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.documents import RawDocument, SourceRecord
    from indexing.outbound import Outbound, Reply
    from indexing.sources import SourceContext
    from indexing.sources.rss_feed import Feed

FEED_BYTES = 10 << 20
#: For so many seconds what was read of the feed is taken for what it holds, so that entries are not asked one by one.
_FRESH_S = 30.0
_PAGE_ITEMS = 500


class RssSource(WebSource):
    """The entries of one feed, and with *keep* those that it held earlier."""

    def __init__(
        self, location: str, outbound: Outbound, *, keep: bool = True, fresh_s: float = _FRESH_S, **told: Any
    ) -> None:
        """Remember where to look; nothing is asked. *told*: as for a web site."""
        super().__init__(location, outbound, **({"pause_s": 0.0} | told))
        self._keep = keep
        self._fresh_s = fresh_s
        self._reading = threading.Lock()
        self._read: tuple[float, Feed] | None = None

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> Self:
        """Return the source that *record* describes. Raises SourceError for an option that means nothing."""
        with needing("rss", "Feeds need"):
            import feedparser  # noqa: F401 -- said now, and not in the middle of a run
        keep = record.options.get("keep", "yes")
        if keep not in ("yes", "no"):
            raise SourceError(f"The option keep is yes or no, not {keep!r}.", remedy="Add the source with one of them.")

        return cls(record.location, context.outbound, keep=keep == "yes", known=partial(context.known, record))

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- a feed is read anew
        """Yield the entries, then those that are kept, some hundred at a time.

        A damaged feed proves no absence. Raises SourceError when the feed cannot be asked, or is none.
        """
        feed = self._feed(fresh_s=0.0)
        items = [entry.item for entry in feed.entries.values()]
        if self._keep:
            items += [Item(uri, tag) for uri, tag in self._known().items() if uri not in feed.entries]
        for first in range(0, len(items), _PAGE_ITEMS):
            yield Page(tuple(items[first : first + _PAGE_ITEMS]))
        yield Page(notes=feed.notes, complete=feed.whole or self._keep)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the entry as it is in the feed now to ``into / "content"``.

        Raises ItemUnreadable when the feed has it no longer, or cannot be read.
        """
        try:
            found = self._feed(self._fresh_s).entries.get(item.uri)
        except SourceError as exc:
            raise ItemUnreadable(f"{item.uri} cannot be read: {exc.message}", remedy=exc.remedy) from exc
        if found is None:
            raise ItemUnreadable(f"{item.uri} is not in the feed any more.", remedy="Nothing to do.")
        return replace(write_document(found.item, found.document, into, "text/html"), name=found.name)

    def _feed(self, fresh_s: float) -> Feed:
        """Return the feed, asked for anew unless that was done within so many seconds. Raises OutboundError."""
        with self._reading:
            if self._read is None or time.monotonic() - self._read[0] >= fresh_s:
                self._read = None
                feed = self.ask("GET", canonical(self.location), _feed_of)
                self._read = time.monotonic(), feed
            return self._read[1]


def _feed_of(reply: Reply) -> Feed:
    from indexing.sources.rss_feed import parsed_feed

    if reply.status != 200:
        raise OutboundError(f"{reply.url} answers {reply.status}.")
    return parsed_feed(b"".join(reply.body(FEED_BYTES)), reply.url, reply.headers)


def feed_address(location: str) -> str:
    """Return *location* as the address of a feed. Raises OutboundRefused; nothing is asked over the network."""
    try:
        return web_address(location)
    except OutboundRefused as exc:
        raise OutboundRefused(exc.message, remedy="Give an address such as https://example.com/feed.xml.") from exc


RSS = Kind(
    RssSource.opened,
    feed_address,
    "the address of an RSS or Atom feed",
    {"keep": "yes: an entry that dropped off the feed stays (this is so when it is left out); no: it is gone"},
)
