"""A WebDAV folder: Nextcloud, SharePoint on premises, Apache, nginx. Asked with PROPFIND, one folder at a time.

The version is the ETag, else time and size. A file that the server says was written within the last two seconds is
told by its bytes: most servers make their ETag from a time in whole seconds, and two edits in one second look the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote_to_bytes, urlsplit

from indexing.errors import OutboundError, OutboundRefused, SourceError
from indexing.outbound import joined_url, parsed_url
from indexing.sources import Kind
from indexing.sources.files import Entry, FilesSource, Opened
from indexing.sources.rest import Rest, basic_auth
from indexing.sources.web_pages import date_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lxml.etree import _Element

    from indexing.documents import SourceRecord
    from indexing.outbound import Reply
    from indexing.sources import SourceContext

T = TypeVar("T")

_FOLDER_BYTES = 64 << 20
#: A server's clock has seconds.
_CLOCK_GRAIN = timedelta(seconds=2)


class WebdavFiles:
    """The files below one address."""

    def __init__(self, location: str, rest: Rest, most_bytes: int) -> None:
        """Remember where to look."""
        self._location = location
        self._rest = rest
        self._most_bytes = most_bytes

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is in the folder: one request."""
        url = self._url(parts, folder=True)
        headers = {"Depth": "1", "Accept": "application/xml"}
        yield from self._rest.ask(url, lambda reply: _children(reply, url), method="PROPFIND", headers=headers)

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the file: one request, and one more to see whether it held still."""
        url = self._url(parts)
        # Not compressed on the way: Apache gives a compressed answer another ETag.
        return self._rest.ask(
            url, lambda reply: take(self._opened(reply, url)), headers={"Accept": "*/*", "Accept-Encoding": "identity"}
        )

    def _opened(self, reply: Reply, url: str) -> Opened:
        told = reply.headers
        version = _version(told.get("etag"), told.get("last-modified"), told.get("content-length"), told.get("date"))
        declared = told.get("content-length", "")
        plain = declared.isascii() and declared.isdecimal() and "content-encoding" not in told

        def still() -> bool:
            return version is None or self._rest.ask(
                url, lambda now: _told(now, url), method="PROPFIND", headers={"Depth": "0", "Accept": "application/xml"}
            ) in (version, None)

        return Opened(
            reply.body(self._most_bytes),
            size_bytes=int(declared) if plain else None,
            version=version,
            modified_at=date_of(told.get("last-modified")),
            still=still,
        )

    def _url(self, parts: tuple[str, ...], *, folder: bool = False) -> str:
        path = "/".join(quote(part.encode("utf-8", "surrogateescape"), safe="") for part in parts)
        return self._location + (f"{path}/" if folder and path else path)


def _told(reply: Reply, url: str) -> str | None:
    """Return the version of the one file that *reply* describes."""
    date = reply.headers.get("date")
    found = [_version_of(response, date) for response in _responses(reply.body(_FOLDER_BYTES), url)]
    return found[0] if found else None


def _children(reply: Reply, url: str) -> list[Entry]:
    """Return what the folder at *url* holds, each name once. Raises OutboundError for an answer that is no listing."""
    if reply.status != 207:
        raise OutboundError(
            f"{url} answers {reply.status} to PROPFIND: it is no WebDAV folder.", remedy="Check the location."
        )
    date = reply.headers.get("date")
    found: dict[str, Entry] = {}
    base, itself = urlsplit(reply.url), False
    for response in _responses(reply.body(_FOLDER_BYTES), url):
        href = (response.findtext("{DAV:}href") or "").strip()
        name = _name_below(href, base.path, reply.url)
        if name == "":
            itself = True
        elif name is None:
            found[href] = Entry(href, left_out="addresses that lead elsewhere")
        else:
            found[name] = _entry(response, name, date)
    if not itself:
        raise OutboundError(f"{url} answers with a list that is not of this folder.", remedy="Check the location.")
    return list(found.values())


def _responses(pieces: Iterable[bytes], url: str) -> Iterator[_Element]:
    """Yield the ``response`` elements of a multistatus, one in memory at a time. No entity is resolved."""
    from lxml import etree

    parser = etree.XMLPullParser(
        events=("end",), tag="{DAV:}response", resolve_entities=False, no_network=True, load_dtd=False
    )
    try:
        for piece in pieces:
            parser.feed(piece)
            for _, element in parser.read_events():
                yield element
                element.clear()
                while element.getprevious() is not None:  # what was read is not kept
                    del element.getparent()[0]
        root = parser.close()
    except etree.XMLSyntaxError as exc:
        raise OutboundError(f"{url} does not answer with XML: {exc}.") from exc
    if root.getroottree().docinfo.doctype:  # no server needs one, and entities are what it could be for
        raise OutboundError(f"{url} answers with a document type, which is not read.")
    if root.tag != "{DAV:}multistatus":
        raise OutboundError(f"{url} does not answer with a list of files.", remedy="Check the location.")


def _name_below(href: str, folder: str, base: str) -> str | None:
    """Return the name of what *href* leads to in *folder*; "" for the folder itself, None for anywhere else."""
    try:
        there = urlsplit(joined_url(base, href))
    except OutboundRefused:
        return None
    here = urlsplit(base)
    if (there.hostname, there.port) != (here.hostname, here.port) and "//" in href.partition("?")[0][:8]:
        return None
    above = unquote_to_bytes(folder if folder.endswith("/") else f"{folder}/")
    path = unquote_to_bytes(there.path)
    if path == above.rstrip(b"/") or path == above:
        return ""
    if not path.startswith(above) or there.query:
        return None
    return path[len(above) :].removesuffix(b"/").decode("utf-8", "surrogateescape")


def _entry(response: _Element, name: str, date: str | None) -> Entry:
    if response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None:
        return Entry(name, is_folder=True)
    length = response.findtext(".//{DAV:}getcontentlength") or ""
    return Entry(
        name,
        version=_version_of(response, date),
        size_bytes=int(length) if length.isascii() and length.isdecimal() else None,
        modified_at=date_of(response.findtext(".//{DAV:}getlastmodified")),
    )


def _version_of(response: _Element, date: str | None) -> str | None:
    etag, modified, length = (
        response.findtext(f".//{{DAV:}}get{name}") for name in ("etag", "lastmodified", "contentlength")
    )
    return _version(etag, modified, length, date)


def _version(etag: str | None, modified: str | None, length: str | None, date: str | None) -> str | None:
    """Return what a server says of a version; None when it says nothing that an edit of just now would change."""
    at, now = date_of(modified), date_of(date) or datetime.now(UTC)
    if at is not None and abs(now - at) <= _CLOCK_GRAIN:
        return None
    if plain := (etag or "").strip().removeprefix("W/").strip('"'):
        return f"etag {plain}"
    return None if at is None else f"modified {at.isoformat()} {(length or '').strip()}".rstrip()


def basic(secret: str) -> Mapping[str, str]:
    """Return the headers that carry ``user:password``; none for no secret. Raises SourceError when it is not so."""
    if not secret:
        return {}
    if ":" not in secret:
        raise SourceError("The secret is not user:password.", remedy="Store it anew as user:password.")
    user, _, password = secret.partition(":")
    return basic_auth(user, password)


def folder_address(location: str) -> str:
    """Return *location* as the address of a folder. Raises OutboundRefused; nothing is asked over the network."""
    try:
        parts = parsed_url(location.strip())
    except OutboundRefused as exc:
        raise OutboundRefused(exc.message, remedy="Give an address such as https://cloud.example.com/dav/.") from exc
    if parts.query:
        raise OutboundRefused(f"{location!r} holds a query.", remedy="Give the address of a folder.")
    address = str(parts)
    return address if address.endswith("/") else f"{address}/"


def _opened(record: SourceRecord, context: SourceContext) -> FilesSource:
    rest = Rest(context.outbound, basic(context.secret(record)))
    files = WebdavFiles(record.location, rest, context.most_bytes)
    return FilesSource(files, most_bytes=context.most_bytes)


WEBDAV = Kind(_opened, folder_address, "the address of a WebDAV folder: https://host/path/", {}, "user:password")
