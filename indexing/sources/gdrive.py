"""Google Drive, through its API v3, as a service account, with permissions.

https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list lists a shared drive, all that the
account sees, or a folder, which is walked from folder to folder. The uri of a file is its address by id, and survives
renames and moves. Its version is Drive's hash of its content; documents of Google itself have none, and are known by
when they were modified. They are fetched by files.export, as Office files; other files by alt=media. Shortcuts are not
followed. The trash is not content: ``trashed`` is also true of what is in a folder that was trashed.

Permissions come with the list, or, for files of shared drives, by permissions.list for each
(https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions/list). Quotas are a 403 with a reason:
https://developers.google.com/workspace/drive/api/guides/handle-errors.

Plain REST, and not google-api-python-client: that opens its own connections, past the rules of which machines may be
asked. Nor unstructured-ingest: its connector keeps no permissions, and downloads without bounds.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from indexing.documents import Item, Page, RawDocument
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import parsed_url
from indexing.principals import LOCAL
from indexing.sources import Kind
from indexing.sources.answers import base_address, document_name, documented, entries, fresh, identifier, size_of
from indexing.sources.gdrive_access import Directory, account_token, readers_of
from indexing.sources.oauth import Signed
from indexing.sources.rest import Busy, Denied, Gone, Rest, moment, unreadable
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexing.documents import SourceRecord
    from indexing.outbound import Reply
    from indexing.sources import SourceContext

API = "https://www.googleapis.com/drive/v3"
TOKENS = "https://oauth2.googleapis.com/token"
_ADDRESS = "https://drive.google.com/open?id="
_GOOGLE = "application/vnd.google-apps."
_FOLDER = f"{_GOOGLE}folder"
_OFFICE = "application/vnd.openxmlformats-officedocument."
#: Documents of Google → the type that they are exported as, and its ending.
_EXPORTS = {
    f"{_GOOGLE}document": (f"{_OFFICE}wordprocessingml.document", ".docx"),
    f"{_GOOGLE}spreadsheet": (f"{_OFFICE}spreadsheetml.sheet", ".xlsx"),
    f"{_GOOGLE}presentation": (f"{_OFFICE}presentationml.presentation", ".pptx"),
}
_FILE = "id,name,mimeType,trashed,modifiedTime,md5Checksum,sha256Checksum,size,driveId"
_PERMISSION = "id,type,role,emailAddress,domain,deleted,pendingOwner,view,expirationTime"
_PAGE = 100
#: Files whose permissions are asked for at a time, and parts of one file's.
_AT_A_TIME = 4
_PERMISSION_PARTS = 20
_BUSY_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded"})
_REFUSAL_BYTES = 64 << 10


class GoogleDrive:
    """The files of one shared drive, of one folder and those below it, or all that the account sees."""

    def __init__(
        self, drive: Signed, base: str, where: Mapping[str, str], directory: Directory, max_bytes: int
    ) -> None:
        """Remember where to look; nothing is asked yet. *where*: folder and drive, as far as they are given."""
        self._drive = drive
        self._base = base
        self._where = where
        self._directory = directory
        self._max_bytes = max_bytes

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield the files, a page of the service at a time; a checkpoint is its page token, where no folder is walked.

        Raises SourceError when they cannot be listed to their end.
        """
        seen: set[str] = set()
        counts: Counter[str] = Counter()
        root = self._where.get("folder", "")
        folders = deque([root])
        while folders:
            for answer in self._parts(folders.popleft(), None if root else checkpoint):
                with documented(self._base):
                    following = answer.get("nextPageToken")
                    below, items = self._items(entries(answer["files"]), seen, counts)
                    complete = answer.get("incompleteSearch", False) is False
                folders.extend(below if root else ())
                notes = () if following or folders else _notes(counts)
                yield Page(items, notes=notes, complete=complete, checkpoint=None if root else following)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Download the file to ``into / "content"``, or the Office file that a document of Google is exported as.

        Raises ItemUnreadable when it is gone, in the trash, refused, or not what Drive says of it; ParseLimit when it
        is longer than METIER_MAX_FILE_MB.
        """
        url = f"{self._base}/files/{quote(item.uri.removeprefix(_ADDRESS), safe='')}"
        with unreadable(item.uri):
            told = self._drive.json(f"{url}?{urlencode({'fields': _FILE, 'supportsAllDrives': 'true'})}")
            with documented(url):
                if told.get("trashed") is not False:
                    raise Gone(f"{url} is in the trash.")
                kind, name = str(told["mimeType"]), str(told.get("name") or "").replace("/", "\N{BIG SOLIDUS}")
                digest, known = told.get("sha256Checksum"), self._item(told, ())
        if (known.size_bytes or 0) > self._max_bytes:
            raise ParseLimit(f"{item.uri} is too long.", remedy="Split it, or raise METIER_MAX_FILE_MB.")
        if kind in _EXPORTS:
            exported, ending = _EXPORTS[kind]
            asked = f"{url}/export?{urlencode({'mimeType': exported})}"
            raw = self._drive.download(asked, known, into, self._max_bytes)
            return replace(raw, name=document_name(f"{name}{ending}"))
        asked = f"{url}?{urlencode({'alt': 'media', 'supportsAllDrives': 'true'})}"
        raw = self._drive.download(asked, known, into, self._max_bytes)
        if digest and digest != raw.content_hash:
            raise ItemUnreadable(f"{item.uri} did not arrive as it is.", remedy="It is tried again at the next run.")
        return replace(raw, name=document_name(name))

    def _parts(self, folder: str, token: str | None) -> Iterator[Any]:
        """Yield the parts of a list; begun anew when the service does not know *token*, which is of an earlier run."""
        try:
            answer = self._listed(folder, token)
        except OutboundError:
            if token is None:
                raise
            answer = self._listed(folder, None)
        passed: set[str] = set()
        while True:
            yield answer
            following = answer.get("nextPageToken")
            if following is None:
                return
            fresh(following, passed, self._base)
            answer = self._listed(folder, following)

    def _listed(self, folder: str, token: str | None) -> Any:
        drive = self._where.get("drive", "")
        wanted = "trashed = false" + (f" and '{folder}' in parents" if folder else "")
        asked = {
            "q": wanted,
            "pageSize": str(_PAGE),
            "fields": f"nextPageToken,incompleteSearch,files({_FILE},permissions({_PERMISSION}))",
            "supportsAllDrives": "true",
            "includeItemsFromAllDrives": "true",
            **({"corpora": "drive", "driveId": drive} if drive else {"corpora": "user"}),
            **({"pageToken": token} if token else {}),
        }
        return self._drive.json(f"{self._base}/files?{urlencode(asked)}")

    def _items(
        self, found: list[dict[str, Any]], seen: set[str], counts: Counter[str]
    ) -> tuple[list[str], tuple[Item, ...]]:
        """Return the folders among *found*, and the files with their readers, as far as they were not *seen* yet."""
        below: list[str] = []
        files: list[dict[str, Any]] = []
        for entry in found:
            number, kind = identifier(entry["id"]), str(entry["mimeType"])
            if number in seen or entry.get("trashed") is not False:
                continue
            seen.add(number)
            if kind == _FOLDER:
                below.append(number)
            elif kind.startswith(_GOOGLE) and kind not in _EXPORTS:
                counts["shortcuts, forms and other things without a text left out"] += 1
            else:
                files.append(entry)
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="metier-permissions") as pool:
            readers = list(pool.map(self._readers, files))
        denied = sum(names is None for names in readers)
        counts["files whose permissions cannot be read: nobody may read them"] += denied
        items = (self._item(entry, names or ()) for entry, names in zip(files, readers, strict=True))
        return below, tuple(items)

    def _item(self, entry: Mapping[str, Any], readers: tuple[str, ...]) -> Item:
        digest = entry.get("md5Checksum")
        tag = f"md5 {digest}" if digest else f"modified {entry['modifiedTime']}"
        size = None if entry["mimeType"] in _EXPORTS else size_of(entry.get("size"))
        return Item(f"{_ADDRESS}{entry['id']}", tag, moment(entry.get("modifiedTime")), size, readers)

    def _readers(self, entry: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return who may read the file; None when that cannot be found out.

        Raises Busy when the service goes on asking to come back later: what is known stays as it is then.
        """
        told = entry.get("permissions")
        if isinstance(told, list):
            return readers_of(told, self._directory)
        if "driveId" not in entry:
            return None  # the account may read the file, and not who else may
        permissions: list[Any] = []
        url, token = f"{self._base}/files/{entry['id']}/permissions", ""
        fields = f"nextPageToken,permissions({_PERMISSION})"
        for _ in range(_PERMISSION_PARTS):
            asked = {"supportsAllDrives": "true", "pageSize": "100", "fields": fields}
            try:
                answer = self._drive.json(f"{url}?{urlencode(asked | ({'pageToken': token} if token else {}))}")
                with documented(url):
                    permissions += entries(answer["permissions"])
                    token = str(answer.get("nextPageToken") or "")
            except Busy:
                raise
            except (Denied, Gone, OutboundError):
                return None
            if not token:
                return readers_of(permissions, self._directory)
        return None


def _busy(reply: Reply) -> bool:
    """Return whether a refusal only means that too much was asked."""
    try:
        told = json.loads(b"".join(reply.body(_REFUSAL_BYTES)))
        return any(each["reason"] in _BUSY_REASONS for each in told["error"]["errors"])
    except (OutboundError, ValueError, KeyError, TypeError):
        return False


def _notes(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{count} {what}" for what, count in counts.items() if count)


def drive_address(location: str) -> str:
    """Return the address of a place in Drive. Raises OutboundRefused; nothing is asked over the network."""
    url = parsed_url(location.strip())
    if url.scheme != "https" or url.host != "drive.google.com":
        raise OutboundRefused(
            f"{location} is no address of Google Drive.",
            remedy="Give https://drive.google.com/drive/folders/… of a folder, or https://drive.google.com/.",
        )
    return str(url.copy_with(query=None))


def opened(record: SourceRecord, context: SourceContext, sleep: Callable[[float], None] = wait) -> GoogleDrive:
    """Return the source that *record* describes. Raises SourceError for options that cannot be used."""
    options = record.options
    match = re.search(r"/folders/([^/]+)", record.location)
    where = {"folder": match[1] if match else "", "drive": options.get("drive", "")}
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{0,200}", each) for each in where.values()):
        raise SourceError("The folder or drive is no id of Google Drive.", remedy="Take it from its address there.")
    rest = Rest(context.outbound, sleep=sleep, busy=_busy)
    tokens = base_address(options.get("token") or TOKENS)
    key, subject = context.secret(record), options.get("subject", "")
    fresh = partial(account_token, rest, tokens, key, subject, record.secret or "")
    everyone = frozenset(each.strip().lower() for each in options.get("everyone", "").split(",") if each.strip())
    directory = Directory(options.get("issuer") or LOCAL, everyone)
    base = base_address(options.get("api") or API)
    return GoogleDrive(Signed(rest, fresh), base, where, directory, context.most_bytes)


GDRIVE = Kind(
    opened,
    drive_address,
    "https://drive.google.com/drive/folders/… for a folder, https://drive.google.com/ for all that the account sees",
    {
        "drive": "id of a shared drive: all of it, or the folder's",
        "subject": "whom the service account stands in for (domain-wide delegation)",
        "issuer": "whose the addresses of people and groups are: an identity provider's; local when it is left out",
        "everyone": "domains whose shares are for whoever is known here; the word anyone for shares by link",
        "api": f"address of the API; {API} when it is left out",
        "token": f"address that gives tokens; {TOKENS} when it is left out",
    },
    "the JSON key of a service account",
)
