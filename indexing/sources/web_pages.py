"""Pages of a site: which address is theirs, what tells one version from the next, and which type they are."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from indexing.documents import WEB_PAGE
from indexing.errors import OutboundRefused
from indexing.outbound import joined_url, parsed_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HEAD_BYTES = 1 << 17
_TAG_CHARACTERS = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Parameters that say where a reader came from and never what is shown.
_TRACKING = frozenset(
    ("fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "igshid", "mc_cid",
     "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "mkt_tok", "at_medium", "at_campaign", "xtor", "pk_campaign", "pk_kwd",
     "mtm_campaign", "mtm_source", "mtm_medium", "vero_id", "oly_anon_id", "oly_enc_id", "s_cid")
)  # fmt: skip
#: A server's clock has seconds: a page changed within the last two may change again unseen.
_CLOCK_GRAIN = timedelta(seconds=2)
#: A lastmod is often a day, and was written before the last edit of that day.
_LASTMOD_GRAIN = timedelta(days=2)


def canonical(url: str) -> str:
    """Return the address of the page: plainly written, without fragment and tracking parameters.

    Raises OutboundRefused for one that cannot be an address of the web.
    """
    parts = urlsplit(str(parsed_url(url)))
    kept = [pair for pair in parts.query.split("&") if pair and not _tracks(pair.partition("=")[0].lower())]
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", "&".join(kept), ""))


def _tracks(name: str) -> bool:
    return name.startswith("utm_") or name in _TRACKING


def host_of(url: str) -> tuple[str, int]:
    """Return what makes two addresses of one site: the host, and the port where it is not the usual one (else 0)."""
    parts = urlsplit(url)
    port = parts.port or 0
    return (parts.hostname or "").rstrip("."), 0 if port == _DEFAULT_PORTS.get(parts.scheme) else port


def tag_of(headers: Mapping[str, str]) -> str | None:
    """Return what a server says of a version of a page: ETag, else a settled Last-Modified; None when it says nothing.

    A Last-Modified of the last two seconds proves nothing: the page may be written again within the same second.
    """
    if etag := headers.get("etag", "").strip():
        return _short(f"etag {etag}")
    modified, now = date_of(headers.get("last-modified")), date_of(headers.get("date"))
    if modified is None or now is None or now - modified <= _CLOCK_GRAIN:
        return None
    return _short(f"modified {modified.isoformat()} {headers.get('content-length', '')}".rstrip())


def lastmod_tag(lastmod: datetime | None, now: datetime) -> str | None:
    """Return the version tag that a sitemap's lastmod gives; None for none, and for one so new that it may be stale."""
    if lastmod is None or now - lastmod < _LASTMOD_GRAIN:
        return None
    return f"lastmod {lastmod.isoformat()}"


def hash_tag(digest: str) -> str:
    """Return the version tag of a page whose server says nothing: it is told by its bytes."""
    return f"sha256 {digest}"


def _short(tag: str) -> str:
    """Return *tag*, or its hash when it would not fit into a column."""
    return tag if len(tag) <= _TAG_CHARACTERS else hash_tag(hashlib.sha256(tag.encode()).hexdigest())


def date_of(text: str | None) -> datetime | None:
    """Return the moment of an HTTP date; None for one that is missing or no date."""
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def media_type_of(headers: Mapping[str, str]) -> str | None:
    """Return the media type to read a page by: WEB_PAGE for HTML; None when the server says nothing useful."""
    named = headers.get("content-type", "").partition(";")[0].strip().lower()
    if named in ("text/html", "application/xhtml+xml"):
        return WEB_PAGE
    return named[:255] if named and named != "application/octet-stream" else None


def stated_canonical(path: Path, url: str) -> str | None:
    """Return the address that the HTML page saved at *path* states as its own (rel=canonical); None for none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    reader = _CanonicalLink()
    reader.feed(head)
    if not reader.href:
        return None
    try:
        return canonical(joined_url(url, reader.href))
    except OutboundRefused:
        return None


class _CanonicalLink(HTMLParser):
    """Finds the first ``<link rel="canonical" href="…">`` before the body."""

    href = ""
    _in_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._in_body = self._in_body or tag == "body"
        stated = tag == "link" and "canonical" in (named.get("rel") or "").lower().split()
        if stated and not self.href and not self._in_body:
            self.href = (named.get("href") or "").strip()
