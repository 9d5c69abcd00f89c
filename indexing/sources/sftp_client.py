"""How SFTP is asked: paramiko, over a connection to a checked address, after the server has shown its key.

This module needs the extra ``sftp``: it is imported when such a source is opened.
"""

from __future__ import annotations

import contextlib
import hmac
import io
import itertools
import os
import stat
import struct
import threading
import time
import weakref
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import paramiko
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_DATA,
    CMD_HANDLE,
    CMD_NAME,
    CMD_OPENDIR,
    CMD_READ,
    CMD_READDIR,
    CMD_REALPATH,
    CMD_STATUS,
    int64,
)

from indexing.errors import ItemUnreadable, OutboundError, SourceError
from indexing.outbound_sockets import connected
from indexing.sources.files import Entry, Opened
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from indexing.outbound import Limits, Outbound

T = TypeVar("T")

_PIECE_BYTES = 1 << 15  # what every server sends at once: draft-ietf-secsh-filexfer-02, section 3
_REQUESTS_AHEAD = 64
#: SFTP has whole seconds, and its server's clock may differ from ours: a file this new may be written again unseen.
_CLOCK_GRAIN_S = 60
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class SftpFiles:
    """The files below one folder of a server. One connection, a channel of its own for whoever asks."""

    def __init__(
        self,
        server: tuple[str, int],
        root: str,
        *,
        user: str,
        secret: str,
        key: tuple[str, bytes] | None,
        outbound: Outbound,
    ) -> None:
        """Remember where to look; nothing is asked. *key*: type and bytes of what the server must show."""
        self._server = server
        self._root = root
        self._user = user
        self._secret = secret
        self._key = key
        self._outbound = outbound
        self._transport: paramiko.Transport | None = None
        self._turn = threading.Lock()

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is in the folder, each name once, as the server sends it."""
        seen: set[str] = set()
        with self._channel() as client, _meaning("/".join(parts) or self._root):
            path = self._path(client, parts)
            for name, found in client.entries(path):
                if name not in seen:
                    seen.add(name)
                    yield _entry(name, found)

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the file."""
        what = "/".join(parts)
        with self._channel() as client, _meaning(what):
            path = self._path(client, parts)
            if not stat.S_ISREG(client.lstat(path).st_mode or 0):
                raise ItemUnreadable(f"{what} is not a regular file any more.")
            with client.open(path, "rb") as file:
                before = file.stat()
                if self._path(client, parts) != path or _stamp(client.lstat(path)) != _stamp(before):
                    raise ItemUnreadable(f"{what} was replaced while it was opened.")
                size = before.st_size or 0
                return take(
                    Opened(
                        client.pieces(file.handle, size, time.monotonic() + self._outbound.limits.seconds),
                        size_bytes=size,
                        version=_version(before),
                        modified_at=_moment(before),
                        still=lambda: _stamp(file.stat()) == _stamp(before),
                    )
                )

    def _path(self, client: _Client, parts: tuple[str, ...]) -> bytes:
        """Return the path of *parts* below the folder, as the server knows it. Raises ItemUnreadable for links."""
        root = client.real(os.fsencode(self._root))
        path = b"/".join((root.rstrip(b"/"), *(os.fsencode(part) for part in parts))) or b"/"
        if parts and client.real(path) != path:
            raise ItemUnreadable(f"{'/'.join(parts)} is reached through a link, which is not followed.")
        return path

    @contextlib.contextmanager
    def _channel(self) -> Iterator[_Client]:
        """Yield a client with a channel of its own. Raises SourceError when the server cannot be asked."""
        limits = self._outbound.limits
        with _meaning(f"{self._server[0]}:{self._server[1]}"):
            with self._turn:
                if self._transport is None or not self._transport.is_active():
                    self._transport = self._signed_in(limits)
                channel = self._transport.open_session(timeout=limits.connect_s)
            channel.settimeout(limits.silent_s)
            channel.invoke_subsystem("sftp")
            client = _Client(channel)
        try:
            yield client
        finally:
            client.close()

    def _signed_in(self, limits: Limits) -> paramiko.Transport:
        """Return a connection on which the server has shown its key and has let us in."""
        host, port = self._server
        sock = connected(host, port, self._outbound.allowed, self._outbound.resolve, limits.connect_s)
        sock.settimeout(limits.silent_s)
        try:
            transport = paramiko.Transport(sock)
        except BaseException:
            sock.close()
            raise
        weakref.finalize(self, transport.close)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = limits.silent_s
        transport.channel_timeout = limits.silent_s
        try:
            if self._key is not None:
                kind = self._key[0]
                transport.get_security_options().key_types = _RSA if kind == "ssh-rsa" else (kind,)
            transport.start_client(timeout=limits.silent_s)
            _check_key(transport.get_remote_server_key(), self._key, f"{host}:{port}")
            self._let_in(transport)
        except BaseException:
            transport.close()
            raise
        return transport

    def _let_in(self, transport: paramiko.Transport) -> None:
        try:
            if "PRIVATE KEY-----" in self._secret:
                transport.auth_publickey(self._user, _private_key(self._secret))
            else:
                transport.auth_password(self._user, self._secret, fallback=True)
        except paramiko.AuthenticationException as exc:
            raise Denied(f"{self._server[0]} does not let {self._user} in: {exc}.") from exc
        if not transport.is_authenticated():
            raise Denied(f"{self._server[0]} wants more than one proof of who {self._user} is.")


class _Client(paramiko.SFTPClient):  # type: ignore[misc]  # it has no types
    """paramiko's client, with names as bytes: theirs need not be UTF-8, and one that is not must hide no other."""

    def entries(self, path: bytes) -> Iterator[tuple[str, paramiko.SFTPAttributes]]:
        """Yield the name and the attributes (a link's own) of whatever is in the folder *path*."""
        kind, answer = self._request(CMD_OPENDIR, path)
        if kind != CMD_HANDLE:
            raise paramiko.SFTPError("the folder was not opened")
        handle = answer.get_binary()
        try:
            while True:
                try:
                    kind, answer = self._request(CMD_READDIR, handle)
                except EOFError:
                    return
                if kind != CMD_NAME:
                    raise paramiko.SFTPError("no names were sent")
                for _ in range(answer.get_int()):
                    name = answer.get_binary()
                    answer.get_binary()  # a line for people
                    found = paramiko.SFTPAttributes._from_msg(answer)  # noqa: SLF001 -- as its own listing does
                    if name not in (b".", b".."):
                        yield os.fsdecode(name), found
        finally:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                self._request(CMD_CLOSE, handle)

    def real(self, path: bytes) -> bytes:
        """Return *path* without links, as the server sees it."""
        kind, answer = self._request(CMD_REALPATH, path)
        if kind != CMD_NAME or answer.get_int() != 1:
            raise paramiko.SFTPError("the path was not told")
        found: bytes = answer.get_binary()
        return found

    def pieces(self, handle: bytes, size: int, deadline: float) -> Iterator[bytes]:
        """Yield the open file in order, up to its end; behind *size* bytes up to one piece more, if it has grown.

        Many requests are under way at a time. Raises TimeoutError after *deadline*, of the monotonic clock.
        paramiko's own prefetch is not used: of a file that shrinks while it is read, it waits for answers that have
        come already, and its thread does not end (_async_response of its files keeps the requests that met the end).
        """
        wanted = _in_pieces(size)
        asked: deque[tuple[int, int, int]] = deque()
        answers = _Answers()
        while True:
            for offset, length in itertools.islice(wanted, _REQUESTS_AHEAD - len(asked)):
                number = self._async_request(answers, CMD_READ, handle, int64(offset), length)
                asked.append((number, offset, length))
            if not asked:
                return
            number, offset, length = asked.popleft()
            while number not in answers.sent:
                self._read_response()
                if time.monotonic() > deadline:
                    raise TimeoutError
            piece = self._data(*answers.sent.pop(number))
            if not piece:
                return
            yield piece
            if (rest := length - len(piece)) > 0:  # a server may send less than was asked for: not yet the end
                offset += len(piece)
                number = self._async_request(answers, CMD_READ, handle, int64(offset), rest)
                asked.appendleft((number, offset, rest))

    def _data(self, kind: int, answer: paramiko.Message) -> bytes:
        """Return what was sent; nothing at the end of the file."""
        if kind == CMD_STATUS:
            with contextlib.suppress(EOFError):
                self._convert_status(answer)
            return b""
        if kind != CMD_DATA:
            raise paramiko.SFTPError("no data was sent")
        data: bytes = answer.get_string()
        return data


class _Answers:
    """What was sent for requests that nobody waited for yet, by their number."""

    def __init__(self) -> None:
        self.sent: dict[int, tuple[int, paramiko.Message]] = {}

    def _async_response(self, kind: int, answer: paramiko.Message, number: int) -> None:
        """Keep *answer*: paramiko's client calls this."""
        self.sent[number] = (kind, answer)


def _in_pieces(size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each piece of *size* bytes, and of one behind them."""
    for offset in range(0, size, _PIECE_BYTES):
        yield offset, min(_PIECE_BYTES, size - offset)
    yield size, _PIECE_BYTES


def _check_key(shown: paramiko.PKey, wanted: tuple[str, bytes] | None, server: str) -> None:
    """Raise SourceError unless the server has shown the key that it must."""
    line = f"{shown.get_name()} {shown.get_base64()}"
    if wanted is None:
        raise SourceError(
            f"{server} shows the key {shown.fingerprint}, and the source does not say which one is right.",
            remedy=f"Ask who runs it whether that is its key; then add the source with --option host_key='{line}'.",
        )
    if not hmac.compare_digest(shown.asbytes(), wanted[1]):
        raise SourceError(
            f"{server} shows the key {shown.fingerprint}, which is not the one that the source names.",
            remedy="Somebody may be in between: ask who runs it. Nothing was sent, and nothing was deleted.",
        )


def _private_key(text: str) -> paramiko.PKey:
    """Return the private key in *text*. Raises Denied when it cannot be used."""
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(f"{text.strip()}\n"))
        except paramiko.PasswordRequiredException as exc:
            raise Denied("The private key has a passphrase.", remedy="Store one without a passphrase.") from exc
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise Denied("The secret is no private key that can be read.", remedy="Store an Ed25519, ECDSA or RSA key.")


@contextlib.contextmanager
def _meaning(what: str) -> Iterator[None]:
    """Raise what goes wrong in the body as an error of ours."""
    try:
        yield
    except FileNotFoundError as exc:
        raise Gone(f"{what} is not there.") from exc
    except PermissionError as exc:
        raise Denied(f"{what}: the server does not let us in.") from exc
    except paramiko.ssh_exception.IncompatiblePeer as exc:
        raise OutboundError(f"{what} has no key of the type that the source names: {exc}.") from exc
    except TimeoutError as exc:
        raise OutboundError(f"{what} does not answer, or only slowly.") from exc
    except (OSError, EOFError, ValueError, struct.error, paramiko.SSHException, paramiko.SFTPError) as exc:
        raise OutboundError(f"{what} cannot be read: {str(exc) or type(exc).__name__}.") from exc


def _entry(name: str, found: paramiko.SFTPAttributes) -> Entry:
    mode = found.st_mode or 0
    if stat.S_ISDIR(mode):
        return Entry(name, is_folder=True)
    if stat.S_ISREG(mode):
        return Entry(name, False, "", _version(found), found.st_size, _moment(found))
    return Entry(name, left_out="symbolic links" if stat.S_ISLNK(mode) else "special files")


def _stamp(found: paramiko.SFTPAttributes) -> tuple[Any, ...]:
    return found.st_mtime, found.st_size


def _version(found: paramiko.SFTPAttributes) -> str | None:
    if found.st_mtime is None or abs(time.time() - found.st_mtime) <= _CLOCK_GRAIN_S:
        return None
    return f"modified {found.st_mtime:x} {found.st_size or 0:x}"


def _moment(found: paramiko.SFTPAttributes) -> datetime | None:
    return None if found.st_mtime is None else datetime.fromtimestamp(found.st_mtime, UTC)
