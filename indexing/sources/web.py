"""A web site, by its sitemap; or a single page of it. Only pages of the same host are read.

The location is the address of a sitemap (``….xml``, ``….xml.gz``), of a site (its robots.txt names the sitemaps, else
``/sitemap.xml`` is one), or of one page. The uri of an item is its address, canonically written. Its version tag is
the sitemap's lastmod once that is two days old, else what the server says of the page (ETag, Last-Modified), else a
hash of the page. robots.txt is obeyed; one request is made at a time, with a pause before each.

Whatever cannot be asked makes the listing incomplete, so that an outage deletes nothing; a page that the site itself
calls gone (404, 410), or lists no more, is gone.
"""

from __future__ import annotations

import hashlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from indexing.documents import WEB_PAGE, Item, RawDocument
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, OutboundTooLong, ParseLimit, SourceError
from indexing.outbound import Outbound, gunzipped
from indexing.sources import Kind
from indexing.sources.private import saved
from indexing.sources.rest import retry_after_s
from indexing.sources.sitemap import ROBOTS_BYTES, SITEMAP_BYTES, Robots, Sitemap, parsed_sitemap
from indexing.sources.web_crawl import crawled
from indexing.sources.web_pages import (
    canonical,
    date_of,
    hash_tag,
    host_of,
    media_type_of,
    stated_canonical,
    tag_of,
)
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexing.documents import Page, SourceRecord
    from indexing.outbound import Reply
    from indexing.sources import SourceContext

T = TypeVar("T")

#: Seconds between two requests to a site; its robots.txt may ask for more, up to the second figure.
PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_ATTEMPTS = 3
#: A server that is busy and says no time is asked again after so many seconds; one that says more than the second
#: figure is left for the next run.
_BUSY_S = 5.0
LONGEST_WAIT_S = 120.0
_GONE = frozenset({404, 410})
_BUSY = frozenset({429, 503})
#: A list of addresses that are much alike is compressed well.
_SITEMAP_RATIO = 1000
_MAX_FILE_MB = 200


class _Busy(OutboundError):
    """The server asks to come back later."""

    def __init__(self, url: str, status: int, wait_s: float) -> None:
        super().__init__(f"{url} answers {status}: the server is busy.", remedy="It is tried again at the next run.")
        self.wait_s = wait_s


class WebSource:
    """The pages of one host."""

    def __init__(
        self,
        location: str,
        outbound: Outbound,
        *,
        max_bytes: int = _MAX_FILE_MB << 20,
        known: Callable[[], Mapping[str, str]] = dict,
        pause_s: float = PAUSE_S,
        sleep: Callable[[float], None] = wait,
    ) -> None:
        """Remember where to look; nothing is asked before ``pages``. *known*: uri → version tag, as it is stored."""
        self.location = location
        self._outbound = outbound
        self._max_bytes = max_bytes
        self._known = known
        self._pause_s = pause_s
        self._sleep = sleep
        self._turn = threading.Lock()
        self._last_at = float("-inf")
        self._robots: Robots | None = None
        self._listed: frozenset[str] = frozenset()

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> Self:
        """Return the source that *record* describes."""
        known = partial(context.known, record)
        return cls(record.location, context.outbound, max_bytes=context.most_bytes, known=known)

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- a sitemap is read anew
        """Yield the pages that the site lists.

        Raises SourceError when its robots.txt or each of its sitemaps cannot be read, or when it stopped answering.
        """
        found = crawled(self, canonical(self.location), self._known())
        self._listed = frozenset(item.uri for item in found.items)
        yield found

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Download the page to ``into / "content"``.

        Raises ItemUnreadable when it is gone, refused, cut off, or a copy of another listed page; ParseLimit when it is
        longer than METIER_MAX_FILE_MB.
        """
        try:
            raw = self.ask("GET", item.uri, lambda reply: self._saved(reply, item, into / "content"))
        except OutboundTooLong as exc:
            raise ParseLimit(exc.message, remedy=exc.remedy) from exc
        except OutboundError as exc:
            raise ItemUnreadable(exc.message, remedy=exc.remedy) from exc
        if raw.media_type == WEB_PAGE:
            original = stated_canonical(raw.path, item.uri)
            if original not in (None, item.uri) and original in self._listed:
                raise ItemUnreadable(
                    f"{item.uri} is a copy of {original}, which is listed too.", remedy="Nothing to do."
                )
        return raw

    def _saved(self, reply: Reply, item: Item, path: Path) -> RawDocument:
        if reply.status in _GONE:
            raise ItemUnreadable(f"{item.uri} is gone: the site answers {reply.status}.", remedy="Nothing to do.")
        _refuse_failed(reply)
        digest, size = saved(reply.body(self._max_bytes), path)
        told = item.version_tag if item.version_tag.startswith("lastmod ") else tag_of(reply.headers)
        return RawDocument(
            uri=item.uri,
            path=path,
            content_hash=digest,
            size_bytes=size,
            media_type=media_type_of(reply.headers),
            version_tag=told or hash_tag(digest),
            modified_at=date_of(reply.headers.get("last-modified")) or item.modified_at,
        )

    # What a crawl asks of the site.

    def robots(self) -> Robots:
        """Return the site's rules, asked for anew. Raises SourceError when they cannot be known."""
        self._robots = None
        self._robots = self.ask("GET", canonical(f"{_root(self.location)}/robots.txt"), _robots_of)
        return self._robots

    def sitemap(self, url: str) -> Sitemap:
        """Return the sitemap at *url*. Raises SourceError."""

        def taken(reply: Reply) -> Sitemap:
            _refuse_failed(reply)
            content = b"".join(reply.body(SITEMAP_BYTES))
            return parsed_sitemap(_unpacked(content, url), url)

        return self.ask("GET", url, taken)

    def probe(self, url: str) -> Item | None:
        """Return the page at *url* as it is now; None when it is gone. Raises OutboundError.

        A server that tells no version, or does not answer HEAD well, is asked for the page itself.
        """
        found = self.ask("HEAD", url, lambda reply: _probed(reply, None))
        return found or self.ask("GET", url, self._hashed)

    def _hashed(self, reply: Reply) -> Item | None:
        if reply.status in _GONE:
            return None
        _refuse_failed(reply)
        digest = hashlib.sha256()
        for piece in reply.body(self._max_bytes):
            digest.update(piece)
        return _probed(reply, digest.hexdigest())

    def same_site(self, url: str) -> bool:
        """Return whether *url* is of this site and its robots.txt lets us ask for it."""
        return host_of(url) == host_of(self.location) and (self._robots is None or self._robots.allows(url))

    def ask(self, method: str, url: str, take: Callable[[Reply], T]) -> T:
        """Return what *take* makes of the answer of *url*; asked again, politely, when the server is busy.

        Raises OutboundError, and what *take* raises.
        """
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            retry=retry_if_exception_type(_Busy),
            wait=_wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        answer: T = retrying(self._ask_once, method, url, take)
        return answer

    def _ask_once(self, method: str, url: str, take: Callable[[Reply], T]) -> T:
        with self._turn:  # one connection at a time
            asked_for = self._robots.delay_s if self._robots else 0.0
            pause_s = max(self._pause_s, min(asked_for, LONGEST_PAUSE_S))
            self._sleep(max(0.0, self._last_at + pause_s - time.monotonic()))
            try:
                with self._outbound.ask(url, method=method, stays=self.same_site) as reply:
                    if reply.status in _BUSY:
                        told_s = retry_after_s(reply)
                        wait_s = _BUSY_S if told_s is None else told_s
                        if wait_s > LONGEST_WAIT_S:
                            raise OutboundError(
                                f"{url} asks to come back in {wait_s:.0f} seconds.", remedy="Run sync again then."
                            )
                        raise _Busy(url, reply.status, wait_s)
                    return take(reply)
            finally:
                self._last_at = time.monotonic()


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.wait_s if isinstance(error, _Busy) else 0.0


def _refuse_failed(reply: Reply) -> None:
    if reply.status != 200:
        raise OutboundError(f"{reply.url} answers {reply.status}.")


def _root(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0].partition('#')[0]}"


def _robots_of(reply: Reply) -> Robots:
    """Return the rules in *reply*, as RFC 9309 says: a client error allows everything, a server error nothing."""
    if 400 <= reply.status < 500:
        return Robots("")
    if reply.status != 200:
        raise SourceError(f"{reply.url} answers {reply.status}: what may be read is not known.")
    return Robots(b"".join(reply.body(ROBOTS_BYTES)).decode("utf-8", "replace"))


def _probed(reply: Reply, digest: str | None) -> Item | None:
    """Return what *reply* tells of its page; None when it tells no version and there is no *digest* either."""
    tag = tag_of(reply.headers) or (hash_tag(digest) if digest else None)
    if reply.status != 200 or tag is None:
        return None
    length = reply.headers.get("content-length", "")
    plain = length.isascii() and length.isdecimal() and "content-encoding" not in reply.headers
    return Item(canonical(reply.url), tag, date_of(reply.headers.get("last-modified")), int(length) if plain else None)


def _unpacked(content: bytes, url: str) -> bytes:
    """Return a sitemap that is itself a gzip file, unpacked. Raises OutboundError when that is too large."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    unpacked = bytearray()
    for piece in gunzipped([content], url, _SITEMAP_RATIO):
        unpacked += piece
        if len(unpacked) > SITEMAP_BYTES:
            raise OutboundTooLong(f"The sitemap {url} has more than {SITEMAP_BYTES >> 20} MB.")
    return bytes(unpacked)


def web_address(location: str) -> str:
    """Return *location* as the address of a web source. Raises OutboundRefused; nothing is asked over the network."""
    try:
        return canonical(location.strip())
    except OutboundRefused as exc:
        remedy = "Give an address such as https://docs.example.com/sitemap.xml."
        raise OutboundRefused(exc.message, remedy=remedy) from exc


WEB = Kind(WebSource.opened, web_address, "the address of a site, of its sitemap, or of a page")
