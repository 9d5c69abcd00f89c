"""Pages of Notion that were shared with an integration, rows of databases included, through its API.

https://developers.notion.com/reference/post-search lists the pages; their text is read block by block
(https://developers.notion.com/reference/get-block-children) and written as Markdown (``notion_text``). The uri of an
item is its page's address by id, which survives renames. Pages in the trash are not content.

The search "is not guaranteed to return everything"
(https://developers.notion.com/reference/search-optimizations-and-limitations), so a stored page that it leaves out is
asked for by its id: only one that is not there, or in the trash, is gone. Its last_edited_time is cut to the minute
(https://developers.notion.com/changelog/last-edited-time-is-now-rounded-to-the-nearest-minute), so of a page that was
edited in the last minutes the version holds a hash of its text, too.

Notion's API does not tell who may read a page: the source's list decides. About three requests a second are allowed
(https://developers.notion.com/reference/request-limits); a 429 says how long to wait.

Plain REST, and not notion-client: that opens its own connections, past the rules of which machines may be asked. Nor
unstructured-ingest: its connector takes what the search leaves out for deleted, and follows blocks without bounds.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from indexing.documents import Item, Page, RawDocument
from indexing.errors import OutboundRefused, ParseLimit, SourceError
from indexing.outbound import parsed_url
from indexing.sources import Kind
from indexing.sources.answers import base_address, documented, entries, fresh
from indexing.sources.notion_text import PAGES, head_of, written
from indexing.sources.rest import Denied, Gone, Rest, SignedOut, moment, unreadable, write_document
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

API = "https://api.notion.com"
_VERSION = "2022-06-28"
_ADDRESS = "https://www.notion.so/"
_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_PAGE = 100
#: An average of three requests a second is allowed.
PAUSE_S = 0.34
#: The time of an edit is cut to the minute, and clocks differ.
_FRESH = timedelta(minutes=3)
#: Most blocks of a page, and how deep they may lie in each other.
MOST_BLOCKS = 10_000
MOST_DEPTH = 20


class Notion:
    """The pages that an integration may read."""

    def __init__(self, rest: Rest, base: str, known: Callable[[], Mapping[str, str]], secret: str) -> None:
        """Remember where to look; nothing is asked yet. *known*: what is stored, by uri; *secret*: its name."""
        self._rest = rest
        self._base = base
        self._known = known
        self._secret = secret
        self._turn = threading.Lock()
        self._last_at = float("-inf")

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- a cursor ends with its search
        """Yield the pages that the search finds, then those that are stored, that it left out, and that are there.

        Raises SourceError when it cannot be listed to its end.
        """
        known, seen = self._known(), set[str]()
        cursor: str | None = None
        passed: set[str] = set()
        while True:
            body = {"filter": {"property": "object", "value": "page"}, "page_size": _PAGE}
            answer = self._json("/v1/search", {**body, **({"start_cursor": cursor} if cursor else {})})
            with documented(f"{self._base}/v1/search"):
                found = [each for each in entries(answer["results"]) if each["object"] == "page"]
                cursor = str(answer["next_cursor"]) if answer["has_more"] is not False else None
                items = tuple(item for each in found if (item := self._item(each)) and item.uri not in seen)
            items = tuple({item.uri: item for item in items}.values())
            seen.update(item.uri for item in items)
            yield Page(items)
            if cursor is None:
                break
            fresh(cursor, passed, self._base)
        yield Page(tuple(item for uri in known if uri not in seen and (item := self._still_there(uri))))

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the page as Markdown to ``into / "content"``.

        Raises ItemUnreadable when it is gone or in the trash, ParseLimit when it has too many blocks.
        """
        with unreadable(item.uri):
            page = self._page(item.uri)
            if page is None:
                raise Gone(f"{item.uri} is in the trash.")
            text = self._text(page)
            with documented(item.uri):
                version, modified = _version(page, text), moment(page["last_edited_time"])
        return write_document(Item(item.uri, version, modified), text, into, "text/markdown")

    def _item(self, page: Mapping[str, Any]) -> Item | None:
        """Return the page as an item; None when it is in the trash, or gone before its text could be read."""
        if _is_trash(page):
            return None
        try:
            text = self._text(page) if _is_fresh(page) else None
        except Gone:
            return None
        except (Denied, ParseLimit):
            text = None  # it fails when it is fetched, and that is told
        return Item(_uri(page), _version(page, text), moment(page["last_edited_time"]))

    def _still_there(self, uri: str) -> Item | None:
        try:
            page = self._page(uri)
        except (Gone, Denied):  # not shared with the integration any more
            return None
        with documented(uri):
            return self._item(page) if page else None

    def _page(self, uri: str) -> Any:
        """Return the page; None when it is in the trash. Raises Gone when it is not there."""
        number = uri.removeprefix(_ADDRESS)
        if not _ID.fullmatch(number):
            raise Gone(f"{uri} is no page of Notion.")
        page = self._json(f"/v1/pages/{number}")
        with documented(uri):
            return None if _is_trash(page) else page

    def _text(self, page: Mapping[str, Any]) -> str:
        """Return the page as Markdown. Raises ParseLimit when it has too many blocks."""
        with documented(self._base):
            number = _uri(page).removeprefix(_ADDRESS)
            head = head_of(page)
        blocks: list[tuple[int, dict[str, Any]]] = []
        self._blocks(number, 0, blocks)
        return "\n\n".join((*head, *written(blocks))) + "\n"

    def _blocks(self, number: str, depth: int, found: list[tuple[int, dict[str, Any]]]) -> None:
        """Add the blocks below the block *number* to *found*, each before those below it."""
        cursor = ""
        while True:
            if depth > MOST_DEPTH or len(found) > MOST_BLOCKS:
                raise ParseLimit("The page has too many blocks.", remedy="Split it into pages.")
            asked = {"page_size": str(_PAGE)} | ({"start_cursor": cursor} if cursor else {})
            path = f"/v1/blocks/{number}/children"
            answer = self._json(f"{path}?{urlencode(asked)}")
            with documented(f"{self._base}{path}"):
                below = entries(answer["results"])
                more = answer["has_more"] is not False
                if more and (not below or answer["next_cursor"] == cursor):
                    raise ValueError("no next part")
                cursor = str(answer["next_cursor"]) if more else ""
            for block in below:
                found.append((depth, block))
                if block.get("has_children") is True and block.get("type") not in PAGES and not _is_trash(block):
                    with documented(f"{self._base}{path}"):
                        child = _number(block)
                    self._blocks(child, depth + 1, found)
            if not more:
                return

    def _json(self, path: str, body: Any = None) -> Any:
        """Ask one thing at a time, with a pause before it. Raises SourceError when the token is not accepted."""
        with self._turn:
            self._rest.sleep(max(0.0, self._last_at + PAUSE_S - time.monotonic()))
            try:
                return self._rest.json(f"{self._base}{path}", method="GET" if body is None else "POST", body=body)
            except SignedOut as exc:
                raise SourceError(
                    f"Notion does not accept the secret {self._secret}.",
                    remedy=f"Run `metier sources secret {self._secret}` with the one of the integration.",
                ) from exc
            finally:
                self._last_at = time.monotonic()


def _number(thing: Mapping[str, Any]) -> str:
    if not isinstance(thing["id"], str) or not _ID.fullmatch(thing["id"]):
        raise ValueError("no id")
    return thing["id"]


def _uri(page: Mapping[str, Any]) -> str:
    return f"{_ADDRESS}{_number(page).replace('-', '')}"


def _is_trash(thing: Mapping[str, Any]) -> bool:
    return any(thing.get(name, False) is not False for name in ("archived", "in_trash", "is_archived"))


def _is_fresh(page: Mapping[str, Any]) -> bool:
    """Return whether the page may have been edited again in the minute that its time names."""
    at = moment(page["last_edited_time"])
    return at is None or at > datetime.now(UTC) - _FRESH


def _version(page: Mapping[str, Any], text: str | None) -> str:
    told = str(page["last_edited_time"])
    return f"{told} {hashlib.sha256(text.encode()).hexdigest()}" if text is not None and _is_fresh(page) else told


def workspace_address(location: str) -> str:
    """Return the location as it is stored: there is one Notion. Raises OutboundRefused for anything else."""
    if location.strip() and parsed_url(location.strip()).host not in ("www.notion.so", "notion.so"):
        raise OutboundRefused(f"{location} is not Notion.", remedy="Leave the location out.")
    return _ADDRESS


def opened(record: SourceRecord, context: SourceContext, sleep: Callable[[float], None] = wait) -> Notion:
    """Return the source that *record* describes. Raises SourceError when it has no token, or one that cannot be."""
    token = context.secret(record)
    if not token or not token.isascii() or not token.isprintable():
        raise SourceError(
            f"The secret {record.secret or ''} is no token of Notion.",
            remedy="Store the secret of the integration with `metier sources secret`, and name it with --secret.",
        )
    headers = {"Authorization": f"Bearer {token}", "Notion-Version": _VERSION}
    rest = Rest(context.outbound, headers, sleep=sleep)
    base = base_address(record.options.get("api") or API)
    return Notion(rest, base, partial(context.known, record), record.secret or "")


NOTION = Kind(
    opened,
    workspace_address,
    "nothing: the token says which workspace it is",
    {"api": f"address of the API; {API} when it is left out"},
    "the secret of an internal integration",
)
