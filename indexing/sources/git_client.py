"""How git is asked: dulwich, over connections to checked addresses. What was fetched is kept, without its history.

This module needs the extra ``git``: it is imported when such a source is opened.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import tempfile
import threading
import uuid
import weakref
import zlib
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from dulwich.client import AbstractHttpGitClient
from dulwich.errors import (
    ChecksumMismatch,
    FileFormatException,
    GitProtocolError,
    HangupException,
    NotGitRepository,
)
from dulwich.refs import Ref
from dulwich.repo import Repo

from indexing.errors import OutboundError, OutboundRefused, SourceError, StorageFull
from indexing.sources.git_pack import refuse_long_objects
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from dulwich.object_store import PackBasedObjectStore

    from indexing.outbound import Outbound, Reply

T = TypeVar("T")

_MOST_PACK_BYTES = 8 << 30
#: Each fetch leaves a pack, and nothing is ever collected: a clone of more than this many is made anew.
_MOST_PACKS = 200
#: What reading a damaged repository ends in.
_DAMAGE = (
    KeyError, ValueError, IndexError, AssertionError, TypeError, EOFError, OSError, struct.error, zlib.error,
    ChecksumMismatch, FileFormatException, NotGitRepository,
)  # fmt: skip


class Repository(Protocol):
    """Commits and what they are made of. May be used from several threads."""

    def newest(self) -> bytes:
        """Return the id of the branch's newest commit. Raises SourceError when it cannot be told."""
        ...

    def taken(self, take: Callable[[PackBasedObjectStore], T]) -> T:
        """Return what *take* makes of the objects. Raises SourceError when they are damaged."""
        ...


class LocalRepository:
    """A repository of this machine, read where it is."""

    def __init__(self, path: Path, branch: str) -> None:
        """Remember where to look."""
        self._path = path
        self._branch = branch
        self._turn = threading.Lock()

    def newest(self) -> bytes:
        """Return the id of the branch's newest commit."""
        name = f"refs/heads/{self._branch}".encode() if self._branch else b"HEAD"
        with self._turn, self._repository() as repository:
            try:
                return bytes(repository.refs[Ref(name)])
            except _DAMAGE as exc:
                raise _no_branch(str(self._path), self._branch) from exc

    def taken(self, take: Callable[[PackBasedObjectStore], T]) -> T:
        """Return what *take* makes of the objects."""
        with self._turn, self._repository() as repository:
            try:
                return take(repository.object_store)
            except _DAMAGE as exc:
                raise SourceError(f"The repository {self._path} is damaged: {exc!r}.", remedy="Run git fsck.") from exc

    def _repository(self) -> Repo:
        try:
            return Repo(str(self._path))
        except _DAMAGE as exc:
            raise Gone(f"{self._path} is no git repository that can be read.") from exc


class Clone:
    """A repository behind HTTP. What its branch's newest commit is made of is fetched into *folder*, and kept."""

    def __init__(self, folder: Path, url: str, branch: str, *, headers: Mapping[str, str], outbound: Outbound) -> None:
        """Remember where to look; nothing is asked. *headers* say who we are."""
        self._folder = folder
        self._url = url
        self._branch = branch
        self._headers = headers
        self._outbound = outbound
        self._opened: Repo | None = None
        self._turn = threading.RLock()

    def newest(self) -> bytes:
        """Return the id of the branch's newest commit, after what it is made of was fetched."""
        with self._turn:
            try:
                return self._fetched()
            except _DAMAGE:  # of the clone: what the server does wrong is an error of ours by now
                self._throw_away()
            try:
                return self._fetched()
            except _DAMAGE as exc:
                raise OutboundError(f"{self._url} does not send a repository: {exc!r}.") from exc

    def taken(self, take: Callable[[PackBasedObjectStore], T]) -> T:
        """Return what *take* makes of the objects. A damaged clone is thrown away, and fetched anew."""
        with self._turn:
            try:
                return take(self._repository().object_store)
            except _DAMAGE:
                self._throw_away()
            self.newest()
            try:
                return take(self._repository().object_store)
            except _DAMAGE as exc:
                raise SourceError(
                    f"What was fetched from {self._url} is damaged: {exc!r}.",
                    remedy="It is tried again at the next run.",
                ) from exc

    def _fetched(self) -> bytes:
        repository = self._repository()
        if sum(1 for _ in repository.object_store.packs) > _MOST_PACKS:
            self._throw_away()
            repository = self._repository()
        wanted = f"refs/heads/{self._branch}".encode() if self._branch else b"HEAD"
        found: list[Any] = []

        def wants(refs: Mapping[Any, Any], depth: int | None = None) -> list[Any]:  # noqa: ARG001 -- the library's
            if refs.get(wanted) is None:
                raise _no_branch(self._url, self._branch)
            found.append(refs[wanted])
            return [] if found[0] in repository.object_store else found

        client = _Client(self._url, self._headers, self._outbound)
        with _meaning(self._url), client.answers, tempfile.TemporaryFile(dir=self._folder) as pack:
            told = client.fetch_pack("", wants, repository.get_graph_walker(), pack.write, depth=1, ref_prefix=[wanted])
            if pack.tell():
                pack.seek(0)
                refuse_long_objects(pack)
                pack.seek(0)
                _take_in(repository, pack)
            repository.update_shallow(told.new_shallow, told.new_unshallow)
        if found[0] not in repository.object_store:
            raise OutboundError(f"{self._url} did not send the commit that was asked for.")
        repository.refs[Ref(b"refs/heads/fetched")] = found[0]
        return bytes(found[0])

    def _repository(self) -> Repo:
        if self._opened is None:
            if not (self._folder / "HEAD").exists():
                self._throw_away()
                try:
                    self._folder.mkdir(mode=0o700, parents=True)
                    Repo.init_bare(str(self._folder)).close()
                except OSError as exc:
                    raise StorageFull(f"No repository can be kept in {self._folder}: {exc.strerror}.") from exc
            self._opened = Repo(str(self._folder))
            weakref.finalize(self, self._opened.close)
        return self._opened

    def _throw_away(self) -> None:
        if self._opened is not None:
            with contextlib.suppress(*_DAMAGE):
                self._opened.close()
            self._opened = None
        if self._folder.exists():
            aside = self._folder.with_name(f"{self._folder.name}.old-{uuid.uuid4().hex}")
            self._folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


class _Answer:
    """An answer in the shape that the library reads."""

    def __init__(self, reply: Reply, asked: str) -> None:
        self.content_type = reply.headers.get("content-type")
        self.redirect_location = reply.url if reply.url != asked else ""
        self.status = reply.status
        self.headers = reply.headers

    def close(self) -> None:
        """Do nothing: ``_Client.answers`` closes it."""


class _Client(AbstractHttpGitClient):
    """The library's client, on connections of ours. ``answers`` holds those that are open."""

    def __init__(self, url: str, headers: Mapping[str, str], outbound: Outbound) -> None:
        super().__init__(url, thin_packs=False, quiet=True)
        self.answers = contextlib.ExitStack()
        self._sent = headers
        self._outbound = outbound

    def _http_request(  # type: ignore[override]  # an answer of ours in place of urllib3's
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        raise_for_status: bool = True,  # noqa: ARG002 -- the library's signature
    ) -> tuple[_Answer, Callable[[int], bytes]]:
        if not self._is_ours(url):
            raise OutboundRefused(f"{self._base_url} leads away, to {url}.", remedy="Add that place itself.")
        content = b"".join([data] if isinstance(data, bytes) else data or ())
        reply = self.answers.enter_context(
            self._outbound.ask(
                url,
                method="GET" if data is None else "POST",
                headers={**self._sent, **(headers or {})},
                content=content,
                stays=self._is_ours,
            )
        )
        if reply.status in (401, 403):
            raise Denied(f"{self._base_url} answers {reply.status}: it does not let us in.")
        if reply.status in (404, 410):
            raise Gone(f"{self._base_url} answers {reply.status}: there is no such repository for this account.")
        if reply.status != 200:
            raise OutboundError(f"{self._base_url} answers {reply.status}.")
        if not reply.headers.get("content-type", "").startswith("application/x-git-upload-pack-"):
            raise OutboundError(f"{self._base_url} does not answer as a git server.", remedy="Correct the address.")
        return _Answer(reply, url), io.BufferedReader(_Body(reply), 1 << 16).read

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self._base_url)[:2]


class _Body(io.RawIOBase):
    """The body of an answer, as a file."""

    def __init__(self, reply: Reply) -> None:
        self._pieces = reply.body(_MOST_PACK_BYTES)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _take_in(repository: Repo, pack: BinaryIO) -> None:
    """Add the objects of *pack* to the repository."""
    file, commit, abort = repository.object_store.add_pack()
    try:
        shutil.copyfileobj(pack, file)
    except BaseException:
        abort()
        raise
    commit()


@contextlib.contextmanager
def _meaning(what: str) -> Iterator[None]:
    """Raise what the server does wrong in the body as an error of ours."""
    try:
        yield
    except SourceError:
        raise
    except (GitProtocolError, HangupException) as exc:
        raise OutboundError(f"{what} does not answer as a git server: {exc}.") from exc


def _no_branch(what: str, branch: str) -> SourceError:
    said = f"no branch {branch}" if branch else "no commit yet"
    return Gone(f"{what} has {said}.", remedy="Correct the option branch; nothing was deleted from the index.")
