"""Files in folders on another machine, whatever the protocol: one way to walk them, to copy one, and to tell versions.

A protocol is a ``Files``: it lists one folder and reads one file. What is a document, what is skipped, how a name
becomes a uri, and which bytes a version tag stands for is decided here, the same for all of them.

Nothing outside the location is asked for: a name from the other side is one part of a path, or it is skipped.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from indexing.documents import Failure, Item, Page, RawDocument
from indexing.errors import ItemUnreadable, OutboundTooLong, ParseLimit
from indexing.sources.folder import Skipped, left_out, parts_of, uri_of
from indexing.sources.private import saved
from indexing.sources.rest import Denied, Gone, unreadable
from indexing.sources.web_pages import hash_tag
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from indexing.errors import IndexingError

T = TypeVar("T")

_PAGE_ITEMS = 1000
_COPY_ATTEMPTS = 4
#: A server whose folders hold themselves (a loop of links) would be walked for ever.
_DEEPEST = 64
_TAG_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder holds under one name."""

    name: str
    is_folder: bool = False
    left_out: str = ""  # why it is no document, in words that follow a count: "symbolic links"
    #: Changes with the bytes. None: it may not, for now (it was written this very second): the bytes themselves tell.
    version: str | None = None
    size_bytes: int | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is being read. ``version`` is of what ``pieces`` yields, as the server tells it at this moment."""

    pieces: Iterator[bytes]
    size_bytes: int | None = None
    version: str | None = None
    modified_at: datetime | None = None
    media_type: str | None = None
    #: Asked when all was read: False when the file was written to meanwhile.
    still: Callable[[], bool] = lambda: True


class Files(Protocol):
    """Folders and files of one place. May be used from several threads."""

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is in the folder *parts*. Raises Denied, Gone, or SourceError when the place does not answer."""
        ...

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the file *parts*. Raises as ``entries`` does, and ItemUnreadable."""
        ...


class FilesSource:
    """The files of one place, a page for each folder or few."""

    def __init__(self, files: Files, *, most_bytes: int = 200 << 20, sleep: Callable[[float], None] = wait) -> None:
        """Remember where to look; nothing is asked yet. A file of more than *most_bytes* is not read to its end."""
        self._files = files
        self._most_bytes = most_bytes
        self._sleep = sleep

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- folders are listed anew
        """Yield all files, folder by folder.

        A folder below that is refused, or not found although it was listed, makes its page incomplete. Raises
        SourceError when the place itself cannot be listed, or stops answering.
        """
        items: list[Item] = []
        skipped = Skipped()
        pending: list[tuple[str, ...]] = [()]
        while pending:
            folder = pending.pop()
            try:
                for entry in self._files.entries(folder):
                    self._sort(entry, folder, items, pending, skipped)
                    if len(items) >= _PAGE_ITEMS:
                        yield Page(tuple(items))
                        items = []
            except (Denied, Gone, ItemUnreadable) as exc:
                if not folder:
                    raise
                yield Page(failures=(_unlistable(folder, exc),), complete=False)
        yield Page(tuple(items), notes=skipped.notes())

    def _sort(
        self,
        entry: Entry,
        folder: tuple[str, ...],
        items: list[Item],
        pending: list[tuple[str, ...]],
        skipped: Skipped,
    ) -> None:
        """Put one entry where it belongs."""
        parts = (*folder, entry.name)
        uri = uri_of(parts)
        if why := entry.left_out or _no_name(entry.name) or left_out(entry.name):
            skipped.add(why, uri)
        elif entry.is_folder:
            if len(parts) > _DEEPEST:
                raise _TooDeep(f"It has more than {_DEEPEST} levels.", remedy="Look for a folder that holds itself.")
            pending.append(parts)
        else:
            tag = entry.version if entry.version is not None else self._tag_of_bytes(parts, entry)
            items.append(Item(uri, _short(tag), entry.modified_at, entry.size_bytes))

    def _tag_of_bytes(self, parts: tuple[str, ...], entry: Entry) -> str:
        """Return the tag of a file that is told by its bytes; one that cannot be read is looked at by ``fetch``."""
        if entry.size_bytes is not None and entry.size_bytes > self._most_bytes:
            return f"long {entry.size_bytes}"

        def hashed(found: Opened) -> str:
            digest, size = hashlib.sha256(), 0
            for piece in found.pieces:
                digest.update(piece)
                size += len(piece)
                if size > self._most_bytes:
                    return f"long {size}"
            return hash_tag(digest.hexdigest())

        try:
            return self._files.read(parts, hashed)
        except OutboundTooLong:
            return "long"
        except (Denied, Gone, ItemUnreadable) as exc:
            return f"unread {type(exc).__name__}"

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the file to ``into / "content"``; one that changes meanwhile is copied again.

        Raises ItemUnreadable when it is gone, refused, cut off, or does not hold still; ParseLimit when it is too long.
        """
        parts = parts_of(item.uri)
        if item.size_bytes is not None:
            self._refuse_long(item.uri, item.size_bytes)
        with unreadable(item.uri):
            for attempt in range(_COPY_ATTEMPTS):
                self._sleep(0.1 * attempt)
                raw = self._files.read(parts, lambda found: self._copied(item, found, into / "content"))
                if raw is not None:
                    return raw
        raise ItemUnreadable(f"{item.uri} is being written to.", remedy="It is tried again at the next run.")

    def _copied(self, item: Item, found: Opened, path: Path) -> RawDocument | None:
        """Return the copy; None when the file changed under it."""
        if found.size_bytes is not None:
            self._refuse_long(item.uri, found.size_bytes)
        digest, size = saved(self._bounded(item.uri, found.pieces), path)
        if not found.still() or (found.size_bytes is not None and size != found.size_bytes):
            return None
        if found.version == item.version_tag and item.size_bytes not in (None, size):
            raise ItemUnreadable(
                f"{item.uri} has {item.size_bytes} bytes as it is listed, and {size} were sent.",
                remedy="Look at the server: one of the two is wrong. It is tried again at the next run.",
            )
        return RawDocument(
            uri=item.uri,
            path=path,
            content_hash=digest,
            size_bytes=size,
            media_type=found.media_type,
            version_tag=_short(found.version if found.version is not None else hash_tag(digest)),
            modified_at=found.modified_at or item.modified_at,
        )

    def _bounded(self, uri: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            self._refuse_long(uri, size)
            yield piece

    def _refuse_long(self, uri: str, size_bytes: int) -> None:
        if size_bytes > self._most_bytes:
            raise ParseLimit(
                f"{uri} has {size_bytes >> 20} MB, more than METIER_MAX_FILE_MB allows ({self._most_bytes >> 20}).",
                remedy="Split it, or raise METIER_MAX_FILE_MB.",
            )


class _TooDeep(Gone):
    """Folders in folders without end."""


def _no_name(name: str) -> str:
    """Return why *name* is not one part of a path; "" when it is."""
    return "names that are no file's" if name in {"", ".", ".."} or "/" in name or "\0" in name else ""


def _short(tag: str) -> str:
    """Return *tag*, or its hash when it is longer than any server needs."""
    return tag if len(tag) <= _TAG_CHARACTERS else f"tag {hashlib.sha256(tag.encode()).hexdigest()}"


def _unlistable(folder: tuple[str, ...], exc: IndexingError) -> Failure:
    return Failure(
        uri=f"{uri_of(folder)}/",
        stage="list",
        reason=f"The folder cannot be listed: {exc.message}",
        remedy=f"{exc.remedy} Until then nothing is deleted from the index.",
        error=type(exc).__name__,
    )


def relative_parts(path: str) -> tuple[str, ...]:
    """Return *path* in parts, without empty ones. Raises ValueError for one that holds ``..``, ``.`` or NUL."""
    parts = tuple(part for part in path.split("/") if part)
    if any(part in {".", ".."} or "\0" in part for part in parts):
        raise ValueError(f"the path {path!r} is not written plainly")
    return parts
