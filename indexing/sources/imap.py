"""The messages of one mailbox (IMAP). Nothing in it is changed: it is opened for reading, nothing becomes "seen".

An item is a message. Its uri is made of its Message-ID, ``mid:…`` (RFC 2392); of its number in the mailbox, ``uid:…``,
when it has none, or when an older message has the same: a forged message must not take the place of another. Its
version is UIDVALIDITY and UID, which the server gives to one message for ever: a message that is replaced under the
same Message-ID is an edit. Messages marked as deleted, drafts, and mailboxes for trash, junk and drafts are no content.

The library is Python's own imaplib: it takes a connection that we made, to a checked address; imap-tools stands on it
and gives no other way in.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from indexing.documents import Item, Page, RawDocument
from indexing.errors import ItemUnreadable, ParseLimit, SourceError
from indexing.outbound_rules import check_host, check_url_text
from indexing.sources import Kind
from indexing.sources.folder import short
from indexing.sources.imap_client import Account, Mailbox, opened_mailbox
from indexing.sources.private import saved
from indexing.sources.rest import Gone, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext
    from indexing.sources.imap_client import Message

_REMEDY = "Write imaps://user@host/Mailbox or imap://user@host:port/Mailbox."
_PORTS = {"imaps": 993, "imap": 143}
_BATCH = 300
_ID_BYTES = 250


def imap_location(location: str) -> str:
    """Return ``imaps://user@host:port/Mailbox`` as it is stored. Raises SourceError; nothing is asked."""
    text = location.strip()
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS or not separator:
        raise SourceError(f"{text!r} does not begin with imaps:// or imap://.", remedy=_REMEDY)
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS[scheme]
    except ValueError as exc:
        raise SourceError(f"The address cannot be used: {exc}.", remedy=_REMEDY) from exc
    if parts.password is not None:
        raise SourceError("The address holds a password.", remedy="Store it with `metier sources secret`.")
    user, mailbox = unquote(parts.username or ""), unquote(parts.path).strip("/") or "INBOX"
    if not user or not parts.hostname or parts.query or parts.fragment:
        raise SourceError(f"{text!r} names no user and host.", remedy=_REMEDY)
    if not (user + mailbox).isprintable() or re.search(r"[*%]", mailbox):
        raise SourceError("The user or the mailbox holds a sign that no name has.", remedy=_REMEDY)
    check_url_text(f"https://{rest.partition('@')[2]}")  # the host is spelled in one way only
    check_host(parts.hostname)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    mailbox = "INBOX" if mailbox.upper() == "INBOX" else mailbox
    return f"{scheme}://{quote(user, safe='')}@{host}:{port}/{quote(mailbox)}"


class ImapSource:
    """The messages of one mailbox that arrived within *since_days*; 0: all of them."""

    def __init__(
        self, account: Account, *, since_days: int = 0, most_bytes: int = 200 << 20, batch: int = _BATCH
    ) -> None:
        """Remember where to look; nothing is asked."""
        self._account = account
        self._since_days = since_days
        self._most_bytes = most_bytes
        self._batch = batch
        self._kept: Mailbox | None = None  # the connection on which messages are fetched
        self._turn = threading.Lock()

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- a listing costs a line for each message
        """Yield all messages, some hundred at a time. Raises SourceError when the mailbox cannot be listed.

        Messages that the server counts and does not describe make their part incomplete.
        """
        oldest = datetime.now(UTC) - timedelta(days=self._since_days) if self._since_days else None
        seen: set[bytes] = set()
        deleted = drafts = older = copies = 0
        with opened_mailbox(self._account) as mailbox:
            for first in range(1, mailbox.count + 1, self._batch):
                last = min(first + self._batch - 1, mailbox.count)
                found = mailbox.messages(first, last)
                items: list[Item] = []
                for message in found:
                    uri = _uri(message, mailbox.validity)
                    if message.deleted or message.draft:
                        deleted += message.deleted
                        drafts += not message.deleted
                        continue
                    if oldest is not None and message.arrived is not None and message.arrived < oldest:
                        older += 1
                        continue
                    if short(uri) in seen:
                        copies += 1
                        uri = _numbered(message, mailbox.validity)
                    seen.add(short(uri))
                    tag = f"{mailbox.validity}-{message.uid}"
                    items.append(Item(uri, tag, message.arrived, message.size_bytes))
                yield Page(tuple(items), complete=len(found) == last - first + 1)
        yield Page(notes=_notes(deleted, drafts, older, copies, self._since_days))

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the message to ``into / "content"``, piece by piece.

        Raises ItemUnreadable when it is gone or cannot be read, ParseLimit when it is too long.
        """
        with self._turn, unreadable(item.uri):
            mailbox = self._mailbox()
            try:
                message = self._message(mailbox, item)
                return self._copied(mailbox, message, item, into / "content")
            except (Gone, ParseLimit, ItemUnreadable):
                raise
            except BaseException:
                self._forget()  # whatever it was, the next one begins on a connection that is in step
                raise

    def _mailbox(self) -> Mailbox:
        """Return the mailbox as it is now, on the connection that is kept, or on a new one."""
        if self._kept is not None:
            try:
                self._kept.look()
            except SourceError:
                self._forget()
            else:
                return self._kept
        self._kept = Mailbox(self._account)
        return self._kept

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _message(self, mailbox: Mailbox, item: Item) -> Message:
        """Return the message that *item* means now. Raises Gone."""
        kind, _, name = item.uri.partition(":")
        validity, _, uid = (name if kind == "uid" else item.version_tag).partition("-")
        if validity == str(mailbox.validity) and uid.isdecimal():
            for message in mailbox.numbered([int(uid)]):
                if _is_content(message) and (kind == "uid" or _uri(message, mailbox.validity) == item.uri):
                    return message
        if kind == "mid":
            for message in mailbox.numbered(mailbox.search(unquote(name, errors="surrogateescape"))):
                if _is_content(message) and _uri(message, mailbox.validity) == item.uri:
                    return message
        raise Gone(f"{item.uri} is not in the mailbox any more.")

    def _copied(self, mailbox: Mailbox, message: Message, item: Item, path: Path) -> RawDocument:
        self._refuse_long(item.uri, message.size_bytes)
        digest, size = saved(self._bounded(item.uri, mailbox.pieces(message)), path)
        return RawDocument(
            uri=item.uri,
            path=path,
            content_hash=digest,
            size_bytes=size,
            media_type="message/rfc822",
            version_tag=f"{mailbox.validity}-{message.uid}",
            modified_at=message.arrived,
            name=f"{message.uid}.eml",
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
                remedy="Raise METIER_MAX_FILE_MB, or leave it out.",
            )


def _is_content(message: Message) -> bool:
    return not (message.deleted or message.draft)


def _uri(message: Message, validity: int) -> str:
    if not 0 < len(message.message_id) <= _ID_BYTES:
        return _numbered(message, validity)
    return f"mid:{quote(message.message_id, safe='@+=$')}"


def _numbered(message: Message, validity: int) -> str:
    return f"uid:{validity}-{message.uid}"


def _notes(deleted: int, drafts: int, older: int, copies: int, days: int) -> tuple[str, ...]:
    told = (
        (deleted, "messages marked as deleted skipped"),
        (drafts, "drafts skipped"),
        (older, f"messages older than {days} days skipped"),
        (copies, "messages have the Message-ID of an older one"),
    )
    return tuple(f"{count} {what}" for count, what in told if count)


def _opened(record: SourceRecord, context: SourceContext) -> ImapSource:
    place = urlsplit(imap_location(record.location))
    days = record.options.get("since_days", "0")
    if not (days.isascii() and days.isdecimal() and len(days) <= 5):
        raise SourceError(f"{days!r} is no number of days.", remedy="Write the option since_days as 365.")
    account = Account(
        host=place.hostname or "",
        port=place.port or 0,
        user=unquote(place.username or ""),
        password=context.secret(record),
        mailbox=unquote(place.path).removeprefix("/"),
        encrypted=place.scheme == "imaps",
        outbound=context.outbound,
    )
    return ImapSource(account, since_days=int(days), most_bytes=context.most_bytes)


IMAP = Kind(
    _opened,
    imap_location,
    "a mailbox: imaps://user@host/Mailbox",
    {"since_days": "only messages that arrived within so many days; without it all of them"},
    "the password of the account",
)
