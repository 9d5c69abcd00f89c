"""How IMAP is asked: Python's imaplib, over a connection to a checked address, with limits on time and length.

Without encryption nothing is said, but to this machine itself: loopback, which METIER_OUTBOUND_ALLOW must name.
"""

from __future__ import annotations

import base64
import contextlib
import imaplib
import io
import ipaddress
import re
import ssl
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from indexing.errors import OutboundError, OutboundRefused
from indexing.outbound_sockets import connected
from indexing.sources.rest import Denied, Gone
from indexing.sources.web_pages import date_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from indexing.outbound import Limits, Outbound

_PIECE_BYTES = 1 << 20
#: Most of one answer: a piece of a message, or some hundred headers.
_ANSWER_BYTES = 16 << 20
_NOT_CONTENT = {rb"\trash": "the trash", rb"\junk": "junk", rb"\drafts": "drafts"}
_MOST_COPIES = 100

_BEGIN = re.compile(rb"(\d+) \(")
_UID = re.compile(rb"\bUID (\d{1,10})\b")
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,15})\b")
_DATE = re.compile(rb'\bINTERNALDATE "([^"]*)"')
_HEADER = re.compile(rb'BODY\[HEADER\.FIELDS[^\]]*\] (?:"((?:[^"\\]|\\.)*)"|NIL)')
_ID = re.compile(rb"<([^<>\x00-\x20\x7f]+)>")
_DESCRIBED = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"


@dataclass(frozen=True, slots=True)
class Account:
    """One mailbox of one account. ``encrypted``: from the first byte on, else after STARTTLS."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    mailbox: str
    encrypted: bool
    outbound: Outbound
    tls: ssl.SSLContext | None = None  # None: the machine's own store of certificates


@dataclass(frozen=True, slots=True)
class Message:
    """What the server says about one message."""

    uid: int
    message_id: bytes  # without its brackets; empty when it has none that is one
    size_bytes: int
    arrived: datetime | None
    deleted: bool
    draft: bool


class Mailbox:
    """A mailbox that is open for reading, on a connection of its own."""

    def __init__(self, account: Account) -> None:
        """Connect, sign in and open it. Raises SourceError when that is not possible, Denied when it is refused."""
        self._account = account
        self.count = 0
        self.validity = 0
        limits = account.outbound.limits
        with _meaning(account):
            self._imap = _Imap(account, limits)
            weakref.finalize(self, self._imap.shutdown)
            try:
                self._imap.encrypt_and_sign_in()
                self._refuse_what_is_no_content()
                self.look()
            except BaseException:
                self._imap.shutdown()
                raise

    def _refuse_what_is_no_content(self) -> None:
        known = self._imap.known()
        asked = ["RETURN", "(SPECIAL-USE)"] if {"LIST-EXTENDED", "SPECIAL-USE"} <= known else []
        lines = self._imap.ask("LIST", '""', _quoted(_utf7(self._account.mailbox)), *asked, untagged="LIST")
        for line in lines:
            flags = _flat(line).partition(b")")[0].lower()
            for flag, what in _NOT_CONTENT.items():
                if flag in flags.lstrip(b"(").split():
                    raise Denied(
                        f"{self._account.mailbox} is the mailbox for {what}.",
                        remedy="Name another one: it is no content.",
                    )

    def look(self) -> None:
        """See what is in the mailbox now. Raises Gone when it is not there."""
        with _meaning(self._account):
            self._imap.begin()
            answer, counts = self._imap.select(_quoted(_utf7(self._account.mailbox)), readonly=True)
            if answer != "OK":
                raise Gone(f"{self._account.host} has no mailbox {self._account.mailbox} for this account.")
            _, told = self._imap.response("UIDVALIDITY")
            self.count = int(counts[-1] or b"")
            self.validity = int((told or [b""])[-1] or b"")

    def messages(self, first: int, last: int) -> list[Message]:
        """Return what the server says about the messages at the places *first* to *last*; fewer when some are gone."""
        with _meaning(self._account):
            return _messages(self._imap.ask("FETCH", f"{first}:{last}", _DESCRIBED, untagged="FETCH", no=True))

    def numbered(self, uids: Iterable[int]) -> list[Message]:
        """Return what the server says about the messages that are still there, by their numbers."""
        wanted = sorted(uids)[:_MOST_COPIES]
        if not wanted:
            return []
        with _meaning(self._account):
            found = _messages(
                self._imap.ask("UID", "FETCH", ",".join(map(str, wanted)), _DESCRIBED, untagged="FETCH", no=True)
            )
        return sorted((message for message in found if message.uid in wanted), key=lambda message: message.uid)

    def search(self, message_id: str) -> list[int]:
        """Return the numbers of the messages whose Message-ID holds *message_id*; none for one that is not ASCII."""
        if not message_id.isascii():
            return []
        with _meaning(self._account):
            lines = self._imap.ask("UID", "SEARCH", "HEADER", "Message-ID", _quoted(message_id), untagged="SEARCH")
            return [int(number) for line in lines for number in _flat(line).split()]

    def pieces(self, message: Message) -> Iterator[bytes]:
        """Yield the bytes of the message. Servers may be wrong about its size: it ends where they have no more."""
        offset = 0
        while True:
            with _meaning(self._account):
                part = f"(BODY.PEEK[]<{offset}.{_PIECE_BYTES}>)"
                answer = self._imap.ask("UID", "FETCH", str(message.uid), part, untagged="FETCH")
                piece = _literal(answer)
            if piece is None:
                raise Gone(f"The message {message.uid} is not there any more.")
            if len(piece) > _PIECE_BYTES:
                raise OutboundError(f"{self._account.host} sends more than it was asked for.")
            if piece:
                yield piece
            offset += len(piece)
            if not piece or (offset == message.size_bytes and len(piece) < _PIECE_BYTES):
                return

    def close(self) -> None:
        """End the connection."""
        self._imap.shutdown()


@contextlib.contextmanager
def opened_mailbox(account: Account) -> Iterator[Mailbox]:
    """Yield the mailbox, on a connection that ends with the body."""
    mailbox = Mailbox(account)
    try:
        yield mailbox
    finally:
        mailbox.close()


class _Imap(imaplib.IMAP4):
    """imaplib on a connection of ours: no answer takes longer, or is longer, than it may."""

    def __init__(self, account: Account, limits: Limits) -> None:
        self._account = account
        self._limits = limits
        self._left = _ANSWER_BYTES
        self._deadline = time.monotonic() + limits.seconds
        super().__init__(account.host, account.port)

    def begin(self) -> None:
        """Give the next answer its time and length."""
        self._left = _ANSWER_BYTES
        self._deadline = time.monotonic() + self._limits.seconds

    def ask(self, name: str, *arguments: str, untagged: str, no: bool = False) -> list[Any]:
        """Return the answers called *untagged* to a command. *no*: also when the server adds that something is gone."""
        self.begin()
        self.untagged_responses.pop(untagged, None)  # what it said on its own
        answer, data = self.xatom(name, *arguments)
        if answer != "OK" and not (no and answer == "NO"):
            raise self.error(f"{name} is answered {answer}: {_flat(data[-1]).decode(errors='replace')[:200]}")
        return [found for found in self.response(untagged)[1] or () if found is not None]

    def known(self) -> set[str]:
        """Return what the server says it can do."""
        lines = self.ask("CAPABILITY", untagged="CAPABILITY")
        return {word.decode("ascii", "replace").upper() for line in lines for word in _flat(line).split()}

    def encrypt_and_sign_in(self) -> None:
        """Tell the server who we are, over an encrypted connection."""
        known = self.known()
        if not self._account.encrypted:
            if "STARTTLS" in known:
                self.ask("STARTTLS", untagged="STARTTLS")
                self.sock = self._wrapped(self.sock)
                self._reader = io.BufferedReader(_Timed(self))  # what was said before counts for nothing
                known = self.known()
            elif not ipaddress.ip_address(self.sock.getpeername()[0]).is_loopback:
                raise OutboundRefused(
                    f"{self._account.host} offers no encryption.", remedy="Use imaps://, or let its server have TLS."
                )
        self._sign_in(self._account.user, self._account.password, known)

    def _sign_in(self, user: str, password: str, known: set[str]) -> None:
        self.begin()
        plain = "LOGINDISABLED" not in known and (user + password).isascii() and (user + password).isprintable()
        if "AUTH=PLAIN" not in known and not plain:
            raise Denied(f"{self._account.host} takes no password, or not this one.")
        try:
            if "AUTH=PLAIN" in known:
                self.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
            else:
                self.login(_quoted(user), password)
        except self.abort:
            raise
        except self.error as exc:
            raise Denied(f"{self._account.host} does not let {user} in: {exc}.") from exc

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:  # noqa: ARG002 -- imaplib's
        """Connect to a checked address."""
        outbound = self._account.outbound
        made = connected(
            self._account.host, self._account.port, outbound.allowed, outbound.resolve, self._limits.connect_s
        )
        made.settimeout(self._limits.silent_s)
        self.sock = self._wrapped(made) if self._account.encrypted else made
        self._reader = io.BufferedReader(_Timed(self))

    def _wrapped(self, made: socket.socket) -> ssl.SSLSocket:
        try:
            context = self._account.tls or ssl.create_default_context()
            return context.wrap_socket(made, server_hostname=self._account.host)
        except BaseException:
            made.close()
            raise

    def read(self, size: int) -> bytes:
        """Return *size* bytes; refused before they are read when that is more than an answer may have."""
        if size > self._left:
            raise self.abort("the answer is longer than it may be")
        return self._reader.read(size)

    def readline(self) -> bytes:
        """Return the next line."""
        line = self._reader.readline(self._left + 1)
        if line and not line.endswith(b"\n"):
            raise self.abort("the answer is cut off, or has no end")
        return line

    def received(self, buffer: Any) -> int:
        """Receive into *buffer*, within what is left."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0 or self._left <= 0:
            raise TimeoutError("the answer has no end")
        self.sock.settimeout(min(left_s, self._limits.silent_s))
        count = self.sock.recv_into(buffer)
        self._left -= count
        return count

    def send(self, data: Any) -> None:
        """Send *data*."""
        self.sock.sendall(data)

    def shutdown(self) -> None:
        """End the connection; once more is nothing."""
        with contextlib.suppress(OSError):
            self.sock.close()


class _Timed(io.RawIOBase):
    """What a connection receives."""

    def __init__(self, imap: _Imap) -> None:
        self._imap = weakref.ref(imap)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        imap = self._imap()
        return imap.received(buffer) if imap is not None else 0


def _messages(answer: list[Any]) -> list[Message]:
    """Return the messages that an answer describes, each once. What it says of others (new flags) is left out."""
    found: dict[int, Message] = {}
    texts: list[tuple[bytes, bytes]] = []
    for part in answer:
        text, literal = (part[0], part[1]) if isinstance(part, tuple) else (part, b"")
        if _BEGIN.match(text):
            texts.append((text, literal))
        elif texts:
            texts[-1] = (texts[-1][0] + b" " + text, texts[-1][1] + literal)
    for text, literal in texts:
        quoted = _HEADER.search(text)
        rest = _HEADER.sub(b"", text)
        uid, flags, size, date = (pattern.search(rest) for pattern in (_UID, _FLAGS, _SIZE, _DATE))
        if not (uid and flags and size):
            continue
        known = _ID.search(literal or (quoted[1] if quoted and quoted[1] else b""))
        marks = flags[1].lower().split()
        found[int(uid[1])] = Message(
            uid=int(uid[1]),
            message_id=known[1] if known else b"",
            size_bytes=int(size[1]),
            arrived=date_of(date[1].decode("ascii", "replace")) if date else None,
            deleted=rb"\deleted" in marks,
            draft=rb"\draft" in marks,
        )
    return list(found.values())


def _literal(answer: list[Any]) -> bytes | None:
    """Return the piece of a message in *answer*; None when there is none."""
    for part in answer:
        if isinstance(part, tuple):
            return bytes(part[1])
        if match := re.search(rb'BODY\[\]<\d+> (?:"((?:[^"\\]|\\.)*)"|NIL)', part):
            return re.sub(rb"\\(.)", rb"\1", match[1] or b"")
    return None


def _flat(line: Any) -> bytes:
    return b" ".join(line) if isinstance(line, tuple) else bytes(line or b"")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _utf7(name: str) -> str:
    """Return the name of a mailbox as IMAP writes it (RFC 3501, 5.1.3)."""

    def shifted(match: re.Match[str]) -> str:
        packed = base64.b64encode(match[0].encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
        return f"&{packed.decode('ascii')}-"

    return re.sub(r"[^\x20-\x7e]+", shifted, name.replace("&", "&-"))


@contextlib.contextmanager
def _meaning(account: Account) -> Iterator[None]:
    """Raise what goes wrong in the body as an error of ours."""
    what = f"{account.host}:{account.port}"
    try:
        yield
    except TimeoutError as exc:
        raise OutboundError(f"{what} does not answer, or only slowly.") from exc
    except (OSError, ValueError, IndexError, EOFError, imaplib.IMAP4.error) as exc:
        raise OutboundError(f"{what} cannot be read: {str(exc) or type(exc).__name__}.") from exc
