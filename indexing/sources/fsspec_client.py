"""How a library of fsspec is asked: one at a time, and nothing it says is believed beyond the folder that was asked.

This module needs the extra ``fsspec``, and the library of the protocol: it is imported when such a source is opened.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from fsspec.core import url_to_fs

from indexing.errors import IndexingError, ItemUnreadable, OutboundError, SourceError
from indexing.sources.files import Entry, Opened
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fsspec import AbstractFileSystem

    from indexing.outbound import Limits

T = TypeVar("T")

_PIECE_BYTES = 1 << 20
#: What a library asks for at once: each block is a request of its own, and on FTP a transfer that is broken off.
_BLOCK_BYTES = 8 << 20
#: Times may be whole seconds of a clock that differs from ours: a file this new may be written again unseen.
_CLOCK_GRAIN_S = 60
#: Libraries give the facts of a file in the words of their service. These change whenever its bytes do.
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "generation")
_TIMES = ("mtime", "last_modified", "LastModified", "updated", "modified", "modify", "modificationTime")
#: A time in milliseconds is larger than this; in seconds that is the year 5138.
_MILLISECONDS_FROM = 1e11


class FsspecFiles:
    """The files below one place."""

    def __init__(self, location: str, options: Mapping[str, Any], *, limits: Limits) -> None:
        """Remember where to look; nothing is asked. *options* are the library's own."""
        self._location = location
        self._options = dict(options)
        self._limits = limits
        self._open: tuple[AbstractFileSystem, str] | None = None
        #: Several libraries have one connection, on which nothing else may be said meanwhile.
        self._turn = threading.Lock()

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is in the folder, each name once. The whole folder is in memory: no library gives parts of it."""
        with self._asked("/".join(parts) or self._location) as (library, root):
            folder = _below(root, parts)
            library.invalidate_cache()
            told = library.ls(folder, detail=True)
        seen: set[str] = set()
        for found in told:
            path = str(found["name"])
            if _plain(path) == _plain(folder):
                continue  # what some programs leave for an empty folder
            name = _name_in(folder, path)
            if name is None:
                yield Entry(path, left_out="addresses that lead elsewhere")
            elif name not in seen:
                seen.add(name)
                yield _entry(name, found)

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the file."""
        what = "/".join(parts)
        with self._asked(what) as (library, root):
            path = _below(root, parts)
            before = _file(library, path, what)
            with library.open(path, "rb", block_size=_BLOCK_BYTES) as file:
                return take(
                    Opened(
                        _pieces(file, what, time.monotonic() + self._limits.seconds),
                        size_bytes=before.get("size"),
                        version=_version(before),
                        modified_at=_moment(before),
                        still=lambda: _stamp(_asked_anew(library, path, what)) == _stamp(before),
                    )
                )

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[tuple[AbstractFileSystem, str]]:
        """Yield the library and the path of the place in it; whatever goes wrong in the body is an error of ours.

        After one that is not understood the connection is made anew: nobody knows what is still said on it.
        """
        with self._turn:
            try:
                if self._open is None:
                    self._open = url_to_fs(self._location, skip_instance_cache=True, **self._options)
                yield self._open
            except IndexingError:  # between two things that were asked: the connection is as before
                raise
            except Exception as exc:  # seam: each library has errors of its own, of no common kind
                raise self._meaning(what, exc) from exc

    def _meaning(self, what: str, exc: Exception) -> IndexingError:
        """Return *exc* as an error of ours, and let go of a connection that may have ended."""
        number = getattr(exc, "errno", None)  # that of smbprotocol is no FileNotFoundError
        if isinstance(exc, FileNotFoundError | NotADirectoryError) or number in (errno.ENOENT, errno.ENOTDIR):
            return Gone(f"{what} is not there.")
        if isinstance(exc, PermissionError) or number in (errno.EACCES, errno.EPERM):
            return Denied(f"{what}: the server does not let us in.")
        if isinstance(exc, ImportError):
            return SourceError(f"{self._location}: {self._told(exc)}.", remedy="Install what it names, beside Métier.")
        self._open = None
        if isinstance(exc, TimeoutError):
            return OutboundError(f"{what} does not answer, or only slowly.")
        return OutboundError(f"{what} cannot be read: {self._told(exc)}.")

    def _told(self, exc: Exception) -> str:
        """Return what *exc* says, without anything that is an option: it may be a secret."""
        text = f"{type(exc).__name__}: {exc}".rstrip(". :")
        for secret in sorted(_texts(self._options), key=len, reverse=True):  # one may begin as another does
            text = text.replace(secret, "…")
        return text


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in *value*, however deep, but for those that are too short to be a secret."""
    if isinstance(value, str) and len(value) > 3:
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _below(root: str, parts: tuple[str, ...]) -> str:
    return "/".join((root.rstrip("/"), *parts)) or "/"


def _plain(path: str) -> str:
    return path.strip("/")


def _name_in(folder: str, path: str) -> str | None:
    """Return the name of *path* in *folder*; None when it is not directly in it."""
    above = f"{_plain(folder)}/" if _plain(folder) else ""
    name = _plain(path).removeprefix(above)
    return name if _plain(path).startswith(above) and name and "/" not in name else None


def _file(library: AbstractFileSystem, path: str, what: str) -> dict[str, Any]:
    """Return the facts of the file at *path*. Raises ItemUnreadable when it is none, or another one is told."""
    found: dict[str, Any] = library.info(path)
    if found.get("type") != "file":
        raise ItemUnreadable(f"{what} is not a regular file any more.")
    if _plain(str(found["name"])) != _plain(path):
        raise ItemUnreadable(
            f"{what} has a name that the library reads as another one.", remedy="Rename it, without ? and #."
        )
    return found


def _asked_anew(library: AbstractFileSystem, path: str, what: str) -> dict[str, Any]:
    library.invalidate_cache()
    return _file(library, path, what)


def _pieces(file: Any, what: str, deadline: float) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        if time.monotonic() > deadline:
            raise OutboundError(f"{what} does not answer, or only slowly.")
        yield piece


def _entry(name: str, found: Mapping[str, Any]) -> Entry:
    kind = found.get("type")
    if kind == "directory":
        return Entry(name, is_folder=True)
    if kind != "file":
        return Entry(name, left_out="symbolic links" if kind == "link" else "special files")
    return Entry(name, version=_version(found), size_bytes=found.get("size"), modified_at=_moment(found))


def _stamp(found: Mapping[str, Any]) -> list[Any]:
    """Return what changes when the file does, however new it is."""
    return [found.get(key) for key in ("size", *_TAGS, *_TIMES)]


def _version(found: Mapping[str, Any]) -> str | None:
    """Return what the library says of a version; None when it says nothing that an edit of just now would change."""
    for key in _TAGS:
        if value := found.get(key):
            text = value.hex() if isinstance(value, bytes | bytearray) else str(value).strip('"')
            return f"{key.lower()} {text}"
    moment = _moment(found)
    if moment is None or abs(time.time() - moment.timestamp()) <= _CLOCK_GRAIN_S:
        return None
    return f"modified {moment.isoformat()} {found.get('size')}"


def _moment(found: Mapping[str, Any]) -> datetime | None:
    """Return when the file was modified, whatever form the library gives it; None when it tells no time."""
    value = next((found[key] for key in _TIMES if found.get(key) is not None), None)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            form = "%Y%m%d%H%M%S.%f" if "." in value else "%Y%m%d%H%M%S"  # RFC 3659, section 2.3
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS_FROM else value, UTC)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return None
