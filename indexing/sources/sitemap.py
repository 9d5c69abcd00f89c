"""What a site says about itself: its robots.txt and its sitemaps, read without trust. No request is made here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from indexing.errors import SourceError

#: As the sitemap protocol has it: no larger file, no more addresses in one.
SITEMAP_BYTES = 50 << 20
SITEMAP_ENTRIES = 50_000
ROBOTS_BYTES = 500 << 10
_AGENT = "Metier"


@dataclass(frozen=True, slots=True)
class Sitemap:
    """The pages that a sitemap lists, each with when it was changed; or other sitemaps."""

    pages: tuple[tuple[str, datetime | None], ...] = ()
    maps: tuple[str, ...] = ()


class Robots:
    """The rules of a robots.txt, as they hold for Métier. An empty text allows everything."""

    def __init__(self, text: str) -> None:
        """Parse *text*; lines that mean nothing are passed over, as the standard says."""
        from protego import Protego

        self._rules: Any = Protego.parse(text)

    def allows(self, url: str) -> bool:
        """Return whether the page at *url* may be fetched."""
        return bool(self._rules.can_fetch(url, _AGENT))

    @property
    def delay_s(self) -> float:
        """Seconds to wait between two requests; 0 when nothing is said."""
        return float(self._rules.crawl_delay(_AGENT) or 0)

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The sitemaps that it names, in order."""
        return tuple(str(url) for url in self._rules.sitemaps)


def parsed_sitemap(content: bytes, name: str) -> Sitemap:
    """Return what a sitemap (or an index of sitemaps, or a plain list of addresses) holds.

    Raises SourceError for one that is damaged or no sitemap at all, such as a page that says "down for maintenance".
    """
    if content.lstrip()[:1] != b"<":
        return _plain(content, name)
    from lxml import etree

    pages: list[tuple[str, datetime | None]] = []
    maps: list[str] = []
    root = ""
    try:
        for event, element in etree.iterparse(
            io.BytesIO(content), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False
        ):
            tag = etree.QName(element).localname
            if event == "start":
                root = root or tag
                continue
            if tag in ("url", "sitemap"):
                location = _child(element, "loc")
                if tag == "sitemap" and location:
                    maps.append(location)
                elif location:
                    pages.append((location, moment(_child(element, "lastmod"))))
                element.clear()
    except etree.XMLSyntaxError as exc:
        raise SourceError(f"The sitemap {name} is damaged: {exc.msg}.") from exc
    if root not in ("urlset", "sitemapindex"):
        raise SourceError(f"{name} is no sitemap, but a document that begins with <{root}>.")
    return Sitemap(tuple(pages), tuple(maps))


def _plain(content: bytes, name: str) -> Sitemap:
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not all(line.startswith(("http://", "https://")) for line in lines):
        raise SourceError(f"{name} is no sitemap.")
    return Sitemap(tuple((line, None) for line in lines))


def _child(element: Any, name: str) -> str:
    return next(("".join(child.itertext()).strip() for child in element if _named(child, name)), "")


def _named(element: Any, name: str) -> bool:
    return isinstance(element.tag, str) and element.tag.rpartition("}")[2] == name


def moment(text: str) -> datetime | None:
    """Return a lastmod as a moment in UTC; None for one that is missing or no date."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return None
