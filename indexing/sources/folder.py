r"""A folder on this machine, or a share that is mounted on it. Nothing outside the folder is ever read.

What is skipped, with a note in the run's report: symbolic links (those that stay inside too: their target is listed
under its own name), FIFOs, sockets and devices, hidden entries (a leading dot: .git, .DS_Store), and the lock and
thumbnail files that programs leave behind (~$report.docx, Thumbs.db). A file ``.metier-access.toml`` says who may read
the folder that it is in.

A uri is the path below the folder. Bytes that are not UTF-8, control characters and the backslash itself are written
``\x0a``, so that every name has exactly one readable uri and the uri leads back to the name; so is the ``!``
before a ``/``, because ``mail.eml!/name`` means an attachment.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from indexing.documents import Failure, Item, Page, RawDocument
from indexing.errors import ItemUnreadable, SourceError, SourceMissing
from indexing.sources import Kind
from indexing.sources.folder_access import ACCESS_FILE, readers_of
from indexing.sources.private import private_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Non-blocking: opening a FIFO that took a file's place must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PAGE_ITEMS = 1000
_COPY_BYTES = 1 << 20
_COPY_ATTEMPTS = 4
#: Time stamps have the grain of the kernel's clock tick (4 ms or 10 ms): two writes within one look like one.
_CLOCK_TICK_S = 0.02
_FIRST_NAMES = 3
_LEFT_BEHIND = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\\ud800-\udfff]|!(?=/)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


class FolderSource:
    """The regular files below *root*. Opens every component without following links, so a swap cannot lead out."""

    def __init__(self, root: Path) -> None:
        """Remember *root*; it is looked at when something is asked. *root* itself may be a symbolic link."""
        self._root = root

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> Self:  # noqa: ARG003 -- as all kinds of source
        """Return the source that *record* describes: its location is the folder's path."""
        return cls(Path(record.location))

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- listing anew is quick
        """Yield all files, a page for each folder or few, at the cost of one stat each.

        A sub-folder that cannot be looked into makes its page incomplete. Raises SourceMissing for the root.
        """
        items: list[Item] = []
        skipped = Skipped()
        with self._opened_root() as root:
            pending: list[_Folder] = [_Folder((), None)]
            while pending:
                parts, readers = pending.pop()
                try:
                    with _opened(root, parts, _DIRECTORY) as folder, os.scandir(folder) as entries:
                        readers, wrong = readers_of(folder, uri_of((*parts, ACCESS_FILE)), readers)
                        if wrong:  # a file that says who may read: what it is about is listed all the same
                            yield Page(failures=tuple(wrong))
                        for entry in entries:
                            _sort_entry(entry, _Folder(parts, readers), items, pending, skipped)
                except OSError as exc:
                    if parts and exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                        continue  # it was removed, or replaced, while we listed: it is gone
                    yield Page(failures=(_unlistable(uri_of(parts), readers, exc),), complete=False)
                if len(items) >= _PAGE_ITEMS:
                    yield Page(tuple(items))
                    items = []
        yield Page(tuple(items), notes=skipped.notes())

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the file to ``into / "content"``; a file that changes meanwhile is copied again.

        Raises ItemUnreadable when it cannot be read, is no regular file, or does not hold still.
        """
        parts = parts_of(item.uri)
        try:
            with self._opened_root() as root, _opened(root, parts, _FILE) as file:
                for attempt in range(_COPY_ATTEMPTS):
                    time.sleep(0.05 * attempt)
                    before = _settled(file)
                    if not stat.S_ISREG(before.st_mode):
                        raise ItemUnreadable(f"{item.uri} is not a regular file any more.")
                    digest = _copy(file, before.st_size, into / "content")
                    if digest is not None and _version(os.fstat(file)) == _version(before):
                        return RawDocument(
                            uri=item.uri,
                            path=into / "content",
                            content_hash=digest,
                            size_bytes=before.st_size,
                            version_tag=_version(before),
                            modified_at=_moment(before),
                        )
        except OSError as exc:
            raise _unreadable(item.uri, exc) from exc
        raise ItemUnreadable(f"{item.uri} is being written to.", remedy="It is tried again at the next run.")

    @contextlib.contextmanager
    def _opened_root(self) -> Iterator[int]:
        """Yield a descriptor of the root. Raises SourceMissing, or SourceError when it may not be read."""
        try:
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise SourceMissing(f"There is no folder {self._root}.") from exc
        except OSError as exc:
            raise SourceError(f"The folder {self._root} cannot be read: {exc.strerror}.") from exc
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def uri_of(parts: tuple[str, ...]) -> str:
    """Return the uri of a path below the root, given as names that ``os.fsdecode`` made."""
    return _UNSAFE.sub(_escaped, "/".join(parts))


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def text_of(uri: str) -> str:
    """Return what ``uri_of`` wrote as *uri*, as ``os.fsdecode`` makes it."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), uri.encode("utf-8", "surrogatepass")))


def short(uri: str) -> bytes:
    """Return what stands for *uri* in memory, of which there may be a million."""
    return hashlib.blake2b(uri.encode(), digest_size=12).digest()


def parts_of(uri: str) -> tuple[str, ...]:
    """Return the names that *uri* was made of. Raises ItemUnreadable for one that leads anywhere else."""
    parts = tuple(text_of(uri).split("/"))
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise ItemUnreadable(f"{uri!r} is not a path below the folder.")
    return parts


class _Folder(NamedTuple):
    """A folder below the root, by its names, and who may read what is in it."""

    parts: tuple[str, ...]
    readers: tuple[str, ...] | None


class Skipped:
    """Counts of what was left out on purpose."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, what: str, uri: str) -> None:
        """Count one more *what*."""
        self._counts[what] = self._counts.get(what, 0) + 1
        if self._counts[what] <= _FIRST_NAMES:
            self._first.setdefault(what, []).append(uri)

    def notes(self) -> tuple[str, ...]:
        """Return one line for each kind, with the first names."""
        return tuple(
            f"{count} {what} skipped: {', '.join(self._first[what])}{' …' if count > _FIRST_NAMES else ''}"
            for what, count in sorted(self._counts.items())
        )


def left_out(name: str) -> str:
    """Return why a file or folder called *name* is left out, in words that follow a count; "" when it is not."""
    if name.startswith("."):
        return "hidden"
    if name.startswith("~$") or name.casefold() in _LEFT_BEHIND:
        return "left behind by programs"
    return ""


def _sort_entry(
    entry: os.DirEntry[str],
    folder: _Folder,
    items: list[Item],
    pending: list[_Folder],
    skipped: Skipped,
) -> None:
    """Put one directory entry where it belongs. Raises OSError when it cannot be looked at."""
    parts = (*folder.parts, entry.name)
    uri = uri_of(parts)
    if entry.name == ACCESS_FILE:
        return
    if why := left_out(entry.name):
        skipped.add(why, uri)
    elif entry.is_symlink():
        skipped.add("symbolic links", uri)
    elif entry.is_dir(follow_symlinks=False):
        pending.append(_Folder(parts, folder.readers))
    elif entry.is_file(follow_symlinks=False):
        with contextlib.suppress(FileNotFoundError):  # removed while we listed: it is gone
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                items.append(Item(uri, _version(found), _moment(found), found.st_size, folder.readers))
    else:
        skipped.add("special files", uri)


@contextlib.contextmanager
def _opened(root: int, parts: tuple[str, ...], flags: int) -> Iterator[int]:
    """Yield a descriptor of the file or folder *parts* below *root*, no component of which is a link."""
    descriptor = os.open(".", _DIRECTORY, dir_fd=root)
    try:
        for number, part in enumerate(parts, start=1):
            below = os.open(part, flags if number == len(parts) else _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _version(found: os.stat_result) -> str:
    """Return a tag that changes with every write.

    The change time is in it because nobody can set it back: an edit of equal length whose modification time
    was restored is still seen. What changes it without an edit (chmod, rename) costs one hash.
    """
    return f"{found.st_mtime_ns:x}-{found.st_ctime_ns:x}-{found.st_size:x}-{found.st_ino:x}"


def _moment(found: os.stat_result) -> datetime | None:
    """Return when the file was modified; None for a time stamp that no calendar has."""
    try:
        return datetime.fromtimestamp(found.st_mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _settled(file: int) -> os.stat_result:
    """Return the status of the file, once its last change is old enough that the next one gets another time stamp."""
    found = os.fstat(file)
    if abs(time.time() - max(found.st_mtime, found.st_ctime)) < _CLOCK_TICK_S:
        time.sleep(_CLOCK_TICK_S)
        return os.fstat(file)
    return found


def _copy(file: int, size_bytes: int, path: Path) -> str | None:
    """Copy the file from its beginning to *path* and return its sha256; None if it is not *size_bytes* long."""
    digest = hashlib.sha256()
    done = 0
    os.lseek(file, 0, os.SEEK_SET)
    path.unlink(missing_ok=True)  # an earlier attempt's
    with private_file(path) as write:
        while piece := os.read(file, _COPY_BYTES):
            done += len(piece)
            if done > size_bytes:
                return None
            digest.update(piece)
            write(piece)
    return digest.hexdigest() if done == size_bytes else None


def _unreadable(uri: str, exc: OSError) -> ItemUnreadable:
    if exc.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return ItemUnreadable(f"{uri} is not a regular file any more.")
    if exc.errno == errno.ENOENT:
        return ItemUnreadable(f"{uri} was removed after it was listed.", remedy="Nothing to do: the next run sees it.")
    return ItemUnreadable(f"{uri} cannot be read: {exc.strerror}.")


def _unlistable(uri: str, readers: tuple[str, ...] | None, exc: OSError) -> Failure:
    return Failure(
        uri=f"{uri}/",
        stage="list",
        reason=f"The folder cannot be listed: {exc.strerror}.",
        remedy="Check its permissions; until then nothing is deleted from the index.",
        error=type(exc).__name__,
        readers=readers,
    )


def existing_folder(location: str) -> str:
    """Return *location* as an absolute path. Raises SourceMissing when it is not a folder that can be read."""
    try:
        folder = Path(location).expanduser().resolve()
        if location.strip() and folder.is_dir():
            return str(folder)
    except (OSError, RuntimeError, ValueError) as exc:  # a loop of links, a name with NUL, an unknown user
        raise SourceMissing(f"The folder {location!r} cannot be used: {exc}.", remedy="Check the path.") from exc
    raise SourceMissing(f"There is no folder {location or '(empty path)'}.", remedy="Check the path, or create it.")


FOLDER = Kind(FolderSource.opened, existing_folder, "a folder of this machine")
