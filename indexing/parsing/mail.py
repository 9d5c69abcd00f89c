"""Mail: .eml, .mbox and Outlook's .msg. The header's names and subject are text; attachments become files."""

from __future__ import annotations

import email
import email.policy
import mailbox
import re
from email.message import EmailMessage, MIMEPart
from typing import TYPE_CHECKING, Any

from indexing.documents import Attachment, Parsed
from indexing.errors import EncryptedDocument
from indexing.parsing.blocks import Page, clean
from indexing.parsing.decode import decode, wide_encoding
from indexing.parsing.html import add_html
from indexing.parsing.text import add_prose

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.parsing.job import Job

_FIELDS = ("Subject", "From", "To", "Cc", "Date")
_MOST_ATTACHMENTS = 200
_MOST_MAILS = 5_000


def read_eml(job: Job) -> Parsed:
    """Return the text of a mail; its title is the subject. Raises EncryptedDocument when all of it is encrypted."""
    data = job.path.read_bytes()
    if wide_encoding(data[:4096]) is not None:
        data = decode(data).encode()
    page = Page(job.limits.output_mb << 20)
    message = _message(data)
    attachments, notes = _add_mail(page, message, job)
    subject = _field(message, "Subject")
    return Parsed(tuple(page.blocks), subject or None, tuple(attachments), tuple(notes))


def read_mbox(job: Job) -> Parsed:
    """Return the mails of a mailbox file, each under its subject. Attachments in it are named, not read."""
    page = Page(job.limits.output_mb << 20)
    notes: list[str] = []
    for number, raw in enumerate(mailbox.mbox(str(job.path), create=False)):
        if number >= _MOST_MAILS:
            notes.append(f"Only the first {_MOST_MAILS} mails were read")
            break
        page.leave_headings()
        message = _message(raw.as_bytes())
        page.heading(_field(message, "Subject"), 3)
        names = [_label(part.get_filename(), 0) for part in message.iter_attachments() if part.get_filename()]
        _add_header(page, message)
        _add_body(page, message)
        if names:
            page.add(f"Attachments: {', '.join(names)}")
            notes.append(f"Attachments were not read: {', '.join(names)}")
    return Parsed(tuple(page.blocks), notes=tuple(notes[:50]))


def _message(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def _add_mail(page: Page, message: MIMEPart, job: Job) -> tuple[list[Attachment], list[str]]:
    _add_header(page, message)
    encrypted = _is_encrypted(message)
    if not encrypted:
        _add_body(page, message)
    attachments: list[Attachment] = []
    notes: list[str] = []
    for part in [] if encrypted else _attached(message):
        if len(attachments) >= _MOST_ATTACHMENTS:
            notes.append(f"Only the first {_MOST_ATTACHMENTS} attachments were read")
            break
        content = _content(part)
        if content:
            attachments.append(save_attachment(job.workdir, len(attachments), _part_name(part), content))
    if encrypted:
        raise EncryptedDocument("The mail is encrypted.", remedy="Save a decrypted copy.")
    return attachments, notes


def _add_header(page: Page, message: MIMEPart) -> None:
    lines = [f"{name}: {value}" for name in _FIELDS if (value := _field(message, name))]
    page.add("\n".join(lines))


def _field(message: MIMEPart, name: str) -> str:
    """Return a header field, decoded; "" when absent. A field that breaks the parser is given as it stands."""
    try:
        value = message.get(name)
    except (ValueError, IndexError, AttributeError, TypeError, KeyError):
        value = next((raw for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(clean(str(value or "")).split())


def _is_encrypted(message: MIMEPart) -> bool:
    kind = message.get_content_type()
    if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        return message.get_param("smime-type") != "signed-data"
    return kind == "multipart/encrypted"


def _add_body(page: Page, message: MIMEPart) -> None:
    """Add the bodies: of alternatives the HTML one, of mixed parts each that is shown inline."""
    for part in _bodies(message):
        text = _text(part)
        before = len(page.blocks)
        if part.get_content_type() == "text/html":
            add_html(page, text)
        if len(page.blocks) == before:
            add_prose(page, text)


def _bodies(message: MIMEPart) -> list[MIMEPart]:
    if not message.is_multipart():
        return [message] if message.get_content_maintype() == "text" else []
    parts: list[MIMEPart] = [part for part in message.iter_parts() if _is_body(part)]
    if message.get_content_type() == "multipart/alternative":
        found = [bodies for part in parts if (bodies := _bodies(part))]
        rich = [bodies for bodies in found if any(part.get_content_type() == "text/html" for part in bodies)]
        return (rich or found or [[]])[0]
    return [body for part in parts for body in _bodies(part)]


def _is_body(part: MIMEPart) -> bool:
    if part.get_content_disposition() == "attachment" or part.get_content_type() == "message/rfc822":
        return False
    return part.is_multipart() or (part.get_content_maintype() == "text" and not part.get_filename())


def _attached(message: MIMEPart) -> list[MIMEPart]:
    """Return the parts that are files or forwarded mails, at any depth but inside forwarded mails."""
    found: list[MIMEPart] = []
    if not message.is_multipart():
        if message.get_content_maintype() != "text" or message.get_content_disposition() == "attachment":
            found.append(message)
        return found
    for part in message.iter_parts():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            found.extend(_attached(part))
        elif not _is_body(part):
            found.append(part)
    return found


def _text(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    charset = part.get_content_charset()
    if charset and charset not in ("us-ascii", "ascii"):
        try:
            return payload.decode(charset)
        except (LookupError, UnicodeDecodeError):
            return decode(payload)
    return decode(payload)


def _content(part: MIMEPart) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        forwarded = inner[0] if isinstance(inner, list) and inner else None
        return forwarded.as_bytes() if isinstance(forwarded, MIMEPart) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _part_name(part: MIMEPart) -> str:
    try:
        name = part.get_filename()
    except (ValueError, IndexError, AttributeError, TypeError, KeyError):
        name = None
    if not name and part.get_content_type() == "message/rfc822":
        return "message.eml"
    return name or ""


def save_attachment(workdir: Path, number: int, name: str, content: bytes) -> Attachment:
    """Write *content* into *workdir* under a name of ours, and return it labelled with what is left of *name*."""
    path = workdir / f"attachment-{number:04d}"
    path.write_bytes(content)
    return Attachment(_label(name, number), path)


def _label(name: str | None, number: int) -> str:
    """Return the last part of a file name that a sender chose, without control or direction marks, 120 long at most."""
    name = re.split(r"[/\\]", clean(name or ""))[-1]
    name = re.sub("[\u202a-\u202e\u2066-\u2069\n]", "", name).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if len(name) > 120:
        name = f"{stem[:100]}.{suffix[:10]}" if dot else name[:120]
    return name or f"attachment-{number + 1}"


def read_msg(job: Job) -> Parsed:
    """Return the text of an Outlook message; its title is the subject."""
    from oxmsg import Message

    message = Message.load(str(job.path))
    page = Page(job.limits.output_mb << 20)
    subject = " ".join(clean(message.subject or "").split())
    to = ", ".join(f"{r.name} <{r.email_address}>" for r in message.recipients if r.name or r.email_address)
    sent = message.sent_date
    header = {"Subject": subject, "From": message.sender, "To": to, "Date": sent.isoformat(" ") if sent else ""}
    page.add("\n".join(f"{name}: {' '.join(str(value).split())}" for name, value in header.items() if value))
    before = len(page.blocks)
    markup = _msg_html(message)
    if markup:
        add_html(page, markup)
    if len(page.blocks) == before:
        add_prose(page, message.body or "")
    attachments: list[Attachment] = []
    notes: list[str] = []
    for number, attachment in enumerate(message.attachments):
        content, name = _msg_attachment(attachment)
        if content and number < _MOST_ATTACHMENTS:
            attachments.append(save_attachment(job.workdir, len(attachments), name, content))
        else:
            notes.append(f"Attachment {_label(name, number)} was not read")
    return Parsed(tuple(page.blocks), subject or None, tuple(attachments), tuple(notes[:50]))


def _msg_html(message: Any) -> str:
    try:
        return message.html_body or ""
    except (LookupError, UnicodeDecodeError):  # a code page that Python does not know
        from oxmsg.domain import constants

        return decode(message.properties.binary_prop_value(constants.PID_HTML) or b"")


def _msg_attachment(attachment: Any) -> tuple[bytes, str]:
    """Return content and name; no content for one that is a link or an embedded message."""
    from oxmsg.domain import constants

    name = attachment.file_name or attachment.properties.str_prop_value(constants.PID_ATTACH_FILENAME) or ""
    return attachment.file_bytes or b"", name
