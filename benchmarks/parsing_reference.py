r"""Counts a file's words anew where the manifest counted its encoding and not its text.

The manifest's ``ref_words`` of a mail is the number of ``\w+`` runs in its raw source (MIME boundaries and base64
included), of UTF-16 text that of its bytes, and of .docx and .xlsx that of all character data of their XML (positions
of drawings, indices of shared strings, formulas, deleted text, and the second copy of each text box). Here the same
files are counted by what a reader sees, without any code of the product.
"""

from __future__ import annotations

import email
import email.policy
import html
import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import EmailMessage, MIMEPart
    from pathlib import Path

_SHOWN = ("Subject", "From", "To", "Cc", "Date")


def recount(path: Path, extension: str) -> int | None:
    """Return the words of the file at *path* that a reader sees, or None where the manifest's count stands."""
    data = path.read_bytes()
    try:
        if extension in ("docx", "dotx"):
            return _docx(path)
        if extension in ("xlsx", "xlsm"):
            return _xlsx(path)
    except (zipfile.BadZipFile, KeyError):
        return None
    encoding = _wide(data, path.name)
    text = data.decode(encoding, "replace") if encoding else data.decode("utf-8", "replace")
    if extension in ("eml", "mbox") or re.match(r"(?:MIME-Version|Received|From|Return-Path|Delivered-To):", text):
        source = re.sub(r"\AFrom .*\n", "", text)
        return _mail(email.message_from_bytes(source.encode(), policy=email.policy.default))
    return _words(text) if encoding and extension == "txt" else None


def _words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def _wide(data: bytes, name: str) -> str | None:
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return encoding
    found = re.search(r"utf-(?:16|32)(?:-[bl]e)?", name)
    return found[0] if found else None


def _mail(message: EmailMessage) -> int:
    header = " ".join(f"{name} {message[name]}" for name in _SHOWN if message[name])
    return _words(header) + sum(_words(text) for text in _bodies(message))


def _bodies(part: EmailMessage | MIMEPart) -> list[str]:
    kind = part.get_content_type()
    if part.is_multipart():
        inner = [_bodies(child) for child in part.iter_parts() if child.get_content_disposition() != "attachment"]
        if kind == "multipart/alternative":
            return inner[-1] if inner else []
        return [] if kind == "message/rfc822" else [text for texts in inner for text in texts]
    if not kind.startswith("text/") or part.get_filename():
        return []
    payload = part.get_payload(decode=True)
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return [_stripped(text) if kind == "text/html" else text]


def _stripped(markup: str) -> str:
    markup = re.sub(r"<(script|style|head)\b.*?</\1>", " ", markup, flags=re.DOTALL | re.IGNORECASE)
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


def _docx(path: Path) -> int:
    with zipfile.ZipFile(path) as package:
        xml = package.read("word/document.xml").decode("utf-8", "replace")
    for dropped in ("mc:Fallback", "w:del", "w:moveFrom"):
        xml = re.sub(rf"<{dropped}[ >].*?</{dropped}>", "", xml, flags=re.DOTALL)
    xml = re.sub(r"<w:(?:tab|br|cr)[ /][^>]*>", " ", xml)
    paragraphs = re.split(r"</w:p>|<w:txbxContent>", xml)
    return sum(_words(html.unescape("".join(re.findall(r"<[wm]:t(?: [^>]*)?>([^<]*)| ", p)))) for p in paragraphs)


def _xlsx(path: Path) -> int:
    with zipfile.ZipFile(path) as package:
        names = package.namelist()
        shared: list[str] = []
        if "xl/sharedStrings.xml" in names:
            source = package.read("xl/sharedStrings.xml").decode("utf-8", "replace")
            items = re.findall(r"<si>(.*?)</si>", source, re.DOTALL)
            shared = ["".join(re.findall(r"<t(?: [^>]*)?>([^<]*)", item)) for item in items]
        sheets = [name for name in names if re.fullmatch(r"xl/worksheets/[^/]*\.xml", name)]
        return sum(_sheet(package.read(name).decode("utf-8", "replace"), shared) for name in sheets)


def _sheet(xml: str, shared: list[str]) -> int:
    total = 0
    for attributes, cell in re.findall(r"<c\b([^>]*[^/])>(.*?)</c>", xml, re.DOTALL):
        value = "".join(re.findall(r"<(?:v|t)(?: [^>]*)?>([^<]*)", cell))
        if 't="s"' in attributes and value.isdigit() and int(value) < len(shared):
            value = shared[int(value)]
        total += _words(html.unescape(value))
    return total
