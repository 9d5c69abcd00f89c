"""An RSS or Atom feed, taken apart without trust: each entry becomes a small HTML document. No request is made here.

The library is feedparser, which reads the many dialects. It is given bytes, never an address: of these it fetches
nothing, and it drops document types, so that no entity of a feed is expanded or looked up.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import feedparser

from indexing.documents import Item
from indexing.errors import OutboundError
from indexing.sources.answers import document_name
from indexing.sources.web_pages import hash_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRIES = 10_000
#: Elements within elements. The library's time grows with the square of the depth: a few MB would take hours.
_DEEPEST = 250
_SECTIONS = ((b"![CDATA[", b"]]>"), (b"!--", b"-->"))
_URI_CHARACTERS = 1024
_NAME_CHARACTERS = 200
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MARKUP = frozenset({"text/html", "application/xhtml+xml"})
#: What feedparser calls wrong with a feed of which it read everything nevertheless.
_HARMLESS = (feedparser.CharacterEncodingOverride, feedparser.NonXMLContentType)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: the item that it is, and its text as an HTML document."""

    item: Item
    document: str
    name: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What a feed holds now. ``whole``: it is well formed, so that what is not here is not in it."""

    entries: Mapping[str, Entry] = field(default_factory=dict)  # by uri
    whole: bool = True
    notes: tuple[str, ...] = ()


def parsed_feed(content: bytes, url: str, headers: Mapping[str, str]) -> Feed:
    """Return the feed in *content*, which *url* answered with these *headers*; of entries with one id, the first.

    Raises OutboundError for what is no feed, and for one of more than ``ENTRIES`` entries.
    """
    if _is_too_deep(content.replace(b"\0", b"")):  # UTF-16 too
        raise OutboundError(f"{url} cannot be read as a feed: its elements are nested too deeply, or cut off.")
    kind = headers.get("content-type", "")
    told = {"content-type": kind} if "charset" in kind.lower() else {}  # the feed itself says what its type does not
    try:
        found = feedparser.parse(BytesIO(content), response_headers=told, resolve_relative_uris=False,
                                 sanitize_html=False)  # fmt: skip
    except Exception as exc:  # its parsers raise many kinds of error on hostile bytes
        raise OutboundError(f"{url} cannot be read as a feed ({type(exc).__name__}).") from exc
    if not found.get("version"):
        raise OutboundError(f"{url} is no RSS or Atom feed.", remedy="Check the location of the source.")
    if len(found.entries) > ENTRIES:
        raise OutboundError(f"{url} has more than {ENTRIES} entries.", remedy="Give a shorter feed.")
    entries: dict[str, Entry] = {}
    nameless = copies = 0
    for told_entry in found.entries:
        uri = _uri(told_entry)
        if not uri:
            nameless += 1
        elif uri in entries:
            copies += 1
        else:
            entries[uri] = _entry(uri, told_entry)
    wrong = found.get("bozo_exception") if found.bozo else None
    whole = wrong is None or isinstance(wrong, _HARMLESS)
    notes = [f"{count} entries {why}" for count, why in (
        (nameless, "with neither id nor link skipped"), (copies, "that repeat the id of another skipped"),
    ) if count]  # fmt: skip
    if not whole:
        notes.append("the feed is damaged: entries may be missing")
    return Feed(entries, whole, tuple(notes))


def _is_too_deep(content: bytes) -> bool:
    """Return whether too many elements are open at once, whatever is between them, or a section never ends."""
    opened: list[bytes] = []
    ending = b""  # of the comment or CDATA section that we are in
    for piece in content.split(b"<")[1:]:
        if not ending:
            ending = next((end for begin, end in _SECTIONS if piece.startswith(begin)), b"")
        if ending:
            ending = b"" if ending in piece else ending
            continue
        tag = piece.partition(b">")[0]
        name = tag.strip(b"/").split(maxsplit=1)[:1]
        if tag.startswith((b"!", b"?")) or not name:
            continue
        if tag.startswith(b"/"):
            while name[0] in opened and opened.pop() != name[0]:
                pass
        elif not tag.endswith(b"/"):
            opened.append(name[0])
            if len(opened) > _DEEPEST:
                return True
    return bool(ending)


def _text(value: Any) -> str:
    """Return *value* as text that can be encoded; "" for what is no text."""
    return value.strip().encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _uri(entry: dict[str, Any]) -> str:
    """Return the id of an entry, else its link, in at most 1024 printable characters; "" when it has neither."""
    told = entry.get("id") or entry.get("link")
    if not isinstance(told, str):
        return ""
    uri = _UNPRINTABLE.sub(lambda sign: quote(sign[0], errors="replace"), told.strip())
    if len(uri) <= _URI_CHARACTERS:
        return uri
    digest = hashlib.sha256(uri.encode()).hexdigest()
    return f"{uri[: _URI_CHARACTERS - len(digest) - 1]}#{digest}"


def _entry(uri: str, entry: dict[str, Any]) -> Entry:
    title = _title(entry) or _text(entry.get("link")) or uri
    heading = html.escape(title)
    document = (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{heading}</title></head>\n'
        f"<body>\n<h1>{heading}</h1>\n{_body(entry)}\n</body></html>\n"
    )
    tag = hash_tag(hashlib.sha256(document.encode()).hexdigest())
    name = document_name(title.replace("/", "-")[:_NAME_CHARACTERS]) or "entry"
    return Entry(Item(uri, tag, _moment(entry)), document, f"{name}.html")


def _title(entry: dict[str, Any]) -> str:
    detail = entry.get("title_detail") or {}
    title = _text(entry.get("title"))
    if detail.get("type") in _MARKUP:
        reader = _PlainText()
        reader.feed(title)
        reader.close()
        title = "".join(reader.pieces)
    return " ".join(title.split())


def _body(entry: dict[str, Any]) -> str:
    """Return the content of an entry as HTML, else its summary; "" when it has neither."""
    for told in (entry.get("content") or (), (entry.get("summary_detail") or {},)):
        forms = [(part.get("type") or "", _text(part.get("value"))) for part in told]
        forms = [(kind, text) for kind, text in forms if text and (kind in _MARKUP or kind.startswith("text/"))]
        if forms:  # content may come in several forms
            return _as_html(*next((form for form in forms if form[0] in _MARKUP), forms[0]))
    return ""


def _as_html(kind: str, text: str) -> str:
    if kind in _MARKUP:
        return text
    return "\n".join(f"<p>{html.escape(part)}</p>" for part in re.split(r"\n\s*\n", text))


def _moment(entry: dict[str, Any]) -> datetime | None:
    """Return when the entry was last changed, else published; None when it says nothing that is a date."""
    for name in ("updated_parsed", "published_parsed"):
        told = dict.get(entry, name)  # the library's own get warns, and mixes the two
        if told:
            try:
                year, month, day, hour, minute, second = told[:6]
                return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
            except (ValueError, TypeError, OverflowError):
                continue
    return None


class _PlainText(HTMLParser):
    """Collects the text of a title that holds markup."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)
