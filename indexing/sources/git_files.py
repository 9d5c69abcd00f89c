"""The files of a commit, as dulwich reads them: checked against their ids, and measured before they are read.

This module needs the extra ``git``: it is imported when such a source is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dulwich.objects import S_ISGITLINK, Commit, parse_tree
from dulwich.pack import OFS_DELTA, REF_DELTA, take_msb_bytes_at
from dulwich.wildmatch import translate

from indexing.errors import ItemUnreadable, SourceError
from indexing.sources.files import Entry, FilesSource, Opened
from indexing.sources.rest import Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dulwich.object_store import PackBasedObjectStore
    from dulwich.pack import Pack

    from indexing.documents import Item, Page, RawDocument
    from indexing.sources.git_client import Repository

T = TypeVar("T")

_COMMIT, _TREE, _BLOB = 1, 2, 3
_KINDS = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob"}
#: Trees can name each other so that a few of them stand for more files than there are atoms.
MOST_ENTRIES = 2_000_000
_MOST_TREE_BYTES = 64 << 20
_LFS_BYTES = 1024
_LFS = b"version https://git-lfs.github.com/spec/"
#: An item is looked up in the commit that was newest at most so long ago.
_FRESH_S = 60.0


class GitSource:
    """The files of a branch that the pattern names, in its newest commit."""

    def __init__(
        self,
        repository: Repository,
        *,
        pattern: str = "",
        most_bytes: int = 200 << 20,
        most_entries: int = MOST_ENTRIES,
        fresh_s: float = _FRESH_S,
    ) -> None:
        """Remember where to look; nothing is asked. *pattern* "" means all files."""
        self._repository = repository
        self._pattern = re.compile(translate(pattern.encode())) if pattern else None
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._fresh_s = fresh_s
        self._commit = b""
        self._looked = 0.0
        self._turn = threading.Lock()

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield all files of the newest commit. Raises SourceError when it cannot be fetched."""
        yield from self._files(0.0).pages(checkpoint)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the file to ``into / "content"``. Raises ItemUnreadable when it is gone, ParseLimit when too long."""
        return self._files(self._fresh_s).fetch(item, into)

    def _files(self, fresh_s: float) -> FilesSource:
        """Return the files of the commit that was newest at most *fresh_s* ago."""
        with self._turn:
            if not self._commit or time.monotonic() - self._looked >= fresh_s:
                self._commit = self._repository.newest()
                self._looked = time.monotonic()
            commit = self._commit
        files = _CommitFiles(self._repository, commit, self._pattern, self._most_entries)
        return FilesSource(files, most_bytes=self._most_bytes)


class _CommitFiles:
    """The files of one commit: ``indexing.sources.files.Files``."""

    def __init__(
        self, repository: Repository, commit: bytes, pattern: re.Pattern[bytes] | None, most_entries: int
    ) -> None:
        self._repository = repository
        self._commit = commit
        self._pattern = pattern
        self._most_entries = most_entries
        self._entries = 0

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is in the folder, each name once."""
        tree = self._commit_tree()
        for part in parts:
            mode, tree = self._tree(tree).get(os.fsencode(part), (0, b""))
            if not stat.S_ISDIR(mode):
                raise Gone(f"{'/'.join(parts)} is no folder.")
        for name, (mode, key) in self._tree(tree).items():
            self._entries += 1
            if self._entries > self._most_entries:
                raise SourceError(f"The repository names more than {self._most_entries} files.", remedy="Look into it.")
            if (entry := self._entry(parts, name, mode, key)) is not None:
                yield entry

    def _entry(self, parts: tuple[str, ...], name: bytes, mode: int, key: bytes) -> Entry | None:
        """Return the entry; None for a file that the pattern does not name."""
        plain = os.fsdecode(name)
        if stat.S_ISDIR(mode):
            return Entry(plain, is_folder=True)
        path = b"/".join((*(os.fsencode(part) for part in parts), name))
        if self._pattern is not None and not self._pattern.fullmatch(path):
            return None
        if S_ISGITLINK(mode) or not stat.S_ISREG(mode):
            return Entry(plain, left_out="submodules" if S_ISGITLINK(mode) else "symbolic links")
        size = self._repository.taken(lambda objects: size_of(objects, key))
        if size <= _LFS_BYTES and self._bytes(key, _BLOB).startswith(_LFS):
            return Entry(plain, left_out="pointers of Git LFS")
        return Entry(plain, version=key.hex(), size_bytes=size)

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the file. Its bytes are loaded once *take* asks for them."""
        what = "/".join(parts)
        tree, mode, key = self._commit_tree(), 0, b""
        for number, part in enumerate(parts, start=1):
            mode, key = self._tree(tree).get(os.fsencode(part), (0, b""))
            if not mode or (number < len(parts) and not stat.S_ISDIR(mode)):
                raise Gone(f"{what} is not in the newest commit.")
            tree = key
        if not stat.S_ISREG(mode) or S_ISGITLINK(mode):
            raise ItemUnreadable(f"{what} is not a regular file any more.")
        size = self._repository.taken(lambda objects: size_of(objects, key))
        return take(Opened((self._bytes(key, _BLOB) for _ in range(1)), size, key.hex()))

    def _commit_tree(self) -> bytes:
        commit = Commit.from_string(self._bytes(bytes.fromhex(self._commit.decode("ascii")), _COMMIT))
        return bytes.fromhex(commit.tree.decode("ascii"))

    def _tree(self, key: bytes) -> dict[bytes, tuple[int, bytes]]:
        """Return what the tree holds: name → mode and id."""
        found: dict[bytes, tuple[int, bytes]] = {}
        for name, mode, below in parse_tree(self._bytes(key, _TREE), len(key)):
            found.setdefault(name, (mode, bytes.fromhex(below.decode("ascii"))))
        return found

    def _bytes(self, key: bytes, kind: int) -> bytes:
        """Return the bytes of an object, which are those that its id stands for."""

        def read(objects: PackBasedObjectStore) -> bytes:
            if kind != _BLOB and size_of(objects, key) > _MOST_TREE_BYTES:
                raise SourceError(f"The object {key.hex()} is too long.", remedy="Look into the repository.")
            number, content = objects.get_raw(key.hex().encode())  # type: ignore[arg-type]  # ids are bytes
            name = hashlib.sha1 if len(key) == 20 else hashlib.sha256  # git's own choice
            if number != kind or name(b"%s %d\0" % (_KINDS[kind], len(content)) + content).digest() != key:
                raise ValueError(f"the object {key.hex()} is not what its id stands for")
            return content

        return self._repository.taken(read)


def size_of(objects: PackBasedObjectStore, key: bytes) -> int:
    """Return how long an object is, by its header. Raises KeyError when it is not there."""
    for pack in objects.packs:
        with contextlib.suppress(KeyError):
            return _packed_size(pack, pack.index.object_offset(key))  # type: ignore[arg-type]  # ids are bytes
    name, path = key.hex(), getattr(objects, "path", "")
    if path and (loose := Path(os.fsdecode(path), name[:2], name[2:])).exists():
        with loose.open("rb") as file:
            header = zlib.decompressobj().decompress(file.read(256), 64)
        return int(header.partition(b"\0")[0].partition(b" ")[2])
    for alternate in objects.alternates:
        with contextlib.suppress(KeyError):
            return size_of(alternate, key)  # type: ignore[arg-type]  # alternates are stores of the same kind
    raise KeyError(name)


def _packed_size(pack: Pack, offset: int) -> int:
    """Return the length of the object at *offset*; of a delta, that of what it makes."""
    header, _, _ = take_msb_bytes_at(pack.data._buffer(), offset)  # noqa: SLF001 -- as the library's own reading does
    if (header[0] >> 4) & 7 not in (OFS_DELTA, REF_DELTA):
        return header[0] & 15 | _number(header[1:]) << 4
    delta = b"".join(pack.data.get_unpacked_object_at(offset).decomp_chunks)
    _, after, _ = take_msb_bytes_at(delta, 0)  # of what it is made from
    return _number(take_msb_bytes_at(delta, after)[0])


def _number(raw: list[int]) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(raw))
