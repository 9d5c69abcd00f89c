"""Document libraries of SharePoint, and OneDrive, through Microsoft Graph v1.0, with their permissions.

https://learn.microsoft.com/graph/api/driveitem-delta lists a drive: asked without a token it enumerates all of it, so
that absence proves something; its deltaLink is not kept, for changes alone prove nothing. The uri of an item is its
path in Graph, by ids, and survives renames and moves. Its version is the cTag, which changes with the content only;
delta leaves that out for SharePoint, and the service's own hash of the content stands in for it then.

Bytes come from …/items/{id}/content (https://learn.microsoft.com/graph/api/driveitem-get-content), which redirects to
an address on another host that needs no token: it gets none. Permissions come from …/items/{id}/permissions
(https://learn.microsoft.com/graph/api/driveitem-list-permissions), 20 at a time by $batch
(https://learn.microsoft.com/graph/json-batching); the answer holds what is inherited, too. The token is that of the
application: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.

Plain REST, and not msgraph-sdk: that opens its own connections, past the rules of which machines may be asked. Nor
unstructured-ingest: its connector downloads whole libraries without bounds, and drops permissions that it cannot map.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from indexing.documents import Item, Page, RawDocument
from indexing.errors import OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import parsed_url
from indexing.principals import LOCAL
from indexing.sources import Kind
from indexing.sources.answers import (
    base_address,
    document_name,
    documented,
    entries,
    fresh,
    identifier,
    size_of,
    within,
)
from indexing.sources.oauth import Signed, granted, option
from indexing.sources.rest import LONGEST_WAIT_S, Busy, Denied, Gone, Rest, moment, unreadable
from indexing.sources.sharepoint_access import Directory, readers_of
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

GRAPH = "https://graph.microsoft.com"
LOGIN = "https://login.microsoftonline.com"
#: Most requests in one of $batch, by its documentation.
_BATCH = 20
_PAGE = 200
#: Of a drive: what changed below its root, as Graph names it.
_CHANGES = "root/delta"
#: How often what is throttled is asked again, and for how many parts of one item's permissions.
_ATTEMPTS = 4
_PERMISSION_PARTS = 20
_BUSY_S = 5.0
_THROTTLED = frozenset({429, 503})
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,100}")


class SharePoint:
    """One drive: a document library of a site, or somebody's OneDrive."""

    def __init__(
        self, graph: Signed, base: str, where: Mapping[str, str], directory: Directory, max_bytes: int
    ) -> None:
        """Remember where to look; nothing is asked yet. *where*: site, drive and user, as far as they are given."""
        self._graph = graph
        self._base = base
        self._where = where
        self._directory = directory
        self._max_bytes = max_bytes

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield the files of the drive, a page of the service at a time; a checkpoint is its nextLink.

        An item that changes while it is listed comes once, as it was first met; the next run sees the change. Raises
        SourceError when the drive cannot be listed to its end.
        """
        seen: set[str] = set()
        counts: Counter[str] = Counter()
        asked: set[str] = set()
        answer = self._begun(checkpoint)
        while True:
            with documented(self._base):
                found, following = entries(answer["value"]), answer.get("@odata.nextLink")
                if following is None:
                    str(answer["@odata.deltaLink"])  # with neither, the listing did not end: it broke off
                items = self._items(found, seen, counts)
            link = None if following is None else within(self._base, following)
            yield Page(items, notes=() if link else _notes(counts), checkpoint=link)
            if link is None:
                return
            fresh(link, asked, self._base)
            answer = self._graph.json(link)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Download the file to ``into / "content"``, with its path as its name.

        Raises ItemUnreadable when it is gone or refused, ParseLimit when it is longer than METIER_MAX_FILE_MB.
        """
        url = f"{self._base}/{item.uri}"
        with unreadable(item.uri):
            told = self._graph.json(url)
            with documented(url):
                if "deleted" in told or not isinstance(told["file"], dict):
                    raise Gone(f"{url} is no file any more.")
                tag = _tag(told, item.version_tag.partition(" ")[0])
                size, modified = size_of(told.get("size")), told.get("lastModifiedDateTime")
                folder = str((told.get("parentReference") or {}).get("path") or "").partition("root:")[2]
                name = document_name(unquote(folder), told.get("name"))
        if size is not None and size > self._max_bytes:
            raise ParseLimit(f"{item.uri} has {size >> 20} MB.", remedy="Split it, or raise METIER_MAX_FILE_MB.")
        known = Item(item.uri, tag, moment(modified) or item.modified_at, size)
        raw = self._graph.download(f"{url}/content", known, into, self._max_bytes)
        return replace(raw, name=name)

    def _begun(self, checkpoint: str | None) -> Any:
        """Return the first part of the listing, or the one at *checkpoint* unless the service has forgotten that."""
        if checkpoint:
            try:
                return self._graph.json(within(self._base, checkpoint))
            except Gone:
                pass
        return self._graph.json(f"{self._base}/drives/{self._drive()}/{_CHANGES}?$top={_PAGE}")

    def _drive(self) -> str:
        """Return the id of the drive, looked up by what was given."""
        drive, user = self._where.get("drive", ""), self._where.get("user", "")
        if user:
            return self._told(f"/users/{quote(user, safe='')}/drive")
        site = self._told(f"/sites/{self._where['site']}")
        if not drive:
            return self._told(f"/sites/{site}/drive")
        url = f"{self._base}/sites/{site}/drives"
        answer = self._graph.json(url)
        with documented(url):
            for each in entries(answer["value"]):
                if drive in (each.get("name"), each["id"]):
                    return quote(identifier(each["id"]), safe="")
        raise SourceError(f"The site has no document library called {drive}.", remedy="Correct the option drive.")

    def _told(self, path: str) -> str:
        """Return the id of what is at *path*, as it stands in an address."""
        answer = self._graph.json(f"{self._base}{path}")
        with documented(f"{self._base}{path}"):
            return quote(identifier(answer["id"]), safe="")

    def _items(self, found: Sequence[dict[str, Any]], seen: set[str], counts: Counter[str]) -> tuple[Item, ...]:
        """Return the files among *found* that were not *seen* yet, with their readers; others are counted."""
        files: dict[str, dict[str, Any]] = {}
        for entry in found:
            if "deleted" in entry or "folder" in entry or "root" in entry:
                continue
            if "file" not in entry or "remoteItem" in entry:
                counts["entries that are no files, or shortcuts to other places, left out"] += 1
                continue
            drive, number = identifier(entry["parentReference"]["driveId"]), identifier(entry["id"])
            uri = f"drives/{quote(drive, safe='')}/items/{quote(number, safe='')}"
            if uri not in seen:
                seen.add(uri)
                files[uri] = entry
        readers: dict[str, tuple[str, ...] | None] = {}
        uris = list(files)
        for first in range(0, len(uris), _BATCH):
            readers |= self._readers({uri: files[uri] for uri in uris[first : first + _BATCH]})
        denied = sum(names is None for names in readers.values())
        counts["items whose permissions cannot be read: nobody may read them"] += denied
        return tuple(
            Item(
                uri,
                _tag(entry),
                moment(entry.get("lastModifiedDateTime")),
                size_of(entry.get("size")),
                readers[uri] or (),
            )
            for uri, entry in files.items()
        )

    def _readers(self, files: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, ...] | None]:
        """Return who may read each of up to 20 files; None where that cannot be found out.

        Raises OutboundError when the service keeps asking to come back later: what is known stays as it is then.
        """
        found: dict[str, tuple[str, ...] | None] = dict.fromkeys(files)
        waiting = list(files)
        for _ in range(_ATTEMPTS):
            requests = [
                {"id": str(number), "method": "GET", "url": f"/{uri}/permissions"} for number, uri in enumerate(waiting)
            ]
            url = f"{self._base}/$batch"
            answer = self._graph.json(url, method="POST", body={"requests": requests})
            busy, wait_s = [], 0.0
            with documented(url):
                for each in entries(answer["responses"]):
                    uri = waiting[int(each["id"])]
                    if each["status"] in _THROTTLED:
                        busy.append(uri)
                        wait_s = max(wait_s, _wait_s(each.get("headers")))
                    elif each["status"] == 200:
                        found[uri] = self._named(each.get("body"), files[uri])
            if not busy:
                return found
            if wait_s > LONGEST_WAIT_S:
                break
            waiting = busy
            self._graph.sleep(wait_s)
        raise Busy(f"{self._base} is busy: permissions could not be read.", remedy="Run sync again later.")

    def _named(self, body: Any, entry: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the readers in an answer of /permissions, its further parts too; None when they cannot be read."""
        permissions: list[Any] = []
        try:
            with documented(self._base):
                for _ in range(_PERMISSION_PARTS):
                    permissions += entries(body["value"])
                    if not (following := body.get("@odata.nextLink")):
                        site = str(entry["parentReference"].get("siteId") or "")
                        return readers_of(permissions, site, self._directory)
                    body = self._graph.json(within(self._base, following))
        except Busy:
            raise
        except (OutboundError, Denied, Gone):
            return None
        return None


def _tag(entry: Mapping[str, Any], kind: str = "") -> str:
    """Return the version of an item's content, told as *kind* is where the service tells that: else by the best."""
    hashes = entry["file"].get("hashes") or {}
    told = {"cTag": entry.get("cTag"), "quickXorHash": hashes.get("quickXorHash"), "eTag": entry.get("eTag")}
    for each in (kind, *told):
        if told.get(each):
            return f"{each} {told[each]}"
    return f"modified {entry.get('lastModifiedDateTime')} {entry.get('size')}"


def _wait_s(headers: Any) -> float:
    told = headers if isinstance(headers, dict) else {}
    found = next((value for name, value in told.items() if name.lower() == "retry-after"), None)
    return float(str(found)) if str(found).isdecimal() else _BUSY_S


def _notes(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{count} {what}" for what, count in counts.items() if count)


def site_address(location: str) -> str:
    """Return the address of a site as it is stored. Raises OutboundRefused; nothing is asked over the network."""
    url = parsed_url(location.strip())
    if url.scheme != "https" or url.query:
        raise OutboundRefused(
            f"{location} is no address of a site.", remedy="Give one such as https://contoso.sharepoint.com/sites/hr."
        )
    return str(url).rstrip("/")


def _site(location: str) -> str:
    """Return the site as Graph names it: host, and ``:/path`` behind it; an address of Graph has that already."""
    url = parsed_url(location)
    path = unquote(url.path).rstrip("/")
    match = re.fullmatch(r"(?:/v1\.0)?/sites/([A-Za-z0-9.-]+)(?::(/[^:]+))?:?", path)
    if match and (match[2] or f"https://{url.host}" == GRAPH):
        return match[1] + (f":{quote(match[2])}" if match[2] else "")
    return url.host + (f":{quote(path)}" if path else "")


def opened(record: SourceRecord, context: SourceContext, sleep: Callable[[float], None] = wait) -> SharePoint:
    """Return the source that *record* describes. Raises SourceError for options that are missing or cannot be used."""
    options = record.options
    tenant, client = option(options, "tenant"), option(options, "client_id")
    if not _TENANT.fullmatch(tenant):
        raise SourceError(f"{tenant!r} is no tenant.", remedy="Give its id, or a domain name of it.")
    secret = context.secret(record)
    graph = base_address(options.get("graph") or GRAPH)
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": secret,
        "scope": f"{graph}/.default",
    }
    login = f"{base_address(options.get('login') or LOGIN)}/{tenant}/oauth2/v2.0/token"
    rest = Rest(context.outbound, sleep=sleep)
    where = {"site": _site(record.location), "drive": options.get("drive", ""), "user": options.get("user", "")}
    directory = Directory(options.get("issuer") or LOCAL, options.get("org_links") == "yes")
    fresh = partial(granted, rest, login, form, record.secret or "")
    return SharePoint(Signed(rest, fresh), f"{graph}/v1.0", where, directory, context.most_bytes)


SHAREPOINT = Kind(
    opened,
    site_address,
    "the address of a site, or of somebody's OneDrive",
    {
        "tenant": "id or domain of the Entra tenant",
        "client_id": "id of the application",
        "drive": "name or id of the document library; the site's first one when it is left out",
        "user": "whose OneDrive it is, by user principal name or id, in place of a site",
        "issuer": "whose the ids of people and groups are: the identity provider's address; local when it is left out",
        "org_links": "yes: a link for the whole organization lets whoever is known here read",
        "graph": f"address of Microsoft Graph, for national clouds; {GRAPH} when it is left out",
        "login": f"address that gives tokens, for national clouds; {LOGIN} when it is left out",
    },
    "a client secret of the application",
)
