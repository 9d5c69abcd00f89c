"""The format of a file: from its first bytes, then its structure, and only then from its name.

Files are often mislabelled (HTML saved as .doc, a .docx called .pdf): what a file *is* decides.
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

from indexing.errors import EncryptedDocument, ParseError, UnsupportedFormat
from indexing.parsing import decode

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = 16_384
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"{\\rt", "rtf"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"\xdb\xa5", "doc"),  # Word 2
    (b"\x31\xbe\x00\x00", "doc"),  # Word for DOS, Write
    (b"\x09\x00\x04\x00", "xls"),  # BIFF 2
    (b"\x09\x02\x06\x00", "xls"),  # BIFF 3
    (b"\x09\x04\x06\x00", "xls"),  # BIFF 4
    (b"\x09\x08\x08\x00", "xls"),  # BIFF 5, without its container
    (b"\x09\x08\x10\x00", "xls"),  # BIFF 8, without its container
)
#: What is recognised only to be refused with a word that helps.
_OTHERS = (
    (b"\x1f\x8b", "a gzip archive"), (b"7z\xbc\xaf", "a 7-Zip archive"), (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"), (b"\xfd7zXZ", "an xz archive"), (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"MZ", "a Windows program"), (b"\x7fELF", "a Linux program"), (b"ID3", "an audio file"),
    (b"fLaC", "an audio file"), (b"OggS", "an audio file"), (b"RIFF", "an audio or video file"),
    (b"ftyp", "a video or HEIC file"), (b"\x1a\x45\xdf\xa3", "a video file"), (b"SQLite format 3", "a database"),
    (b"AT&TFORM", "a DjVu file"),
)  # fmt: skip
#: What the "mimetype" member of a package says → format.
_PACKAGES = {
    "application/epub+zip": "epub",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.text-template": "odt",
    "application/vnd.oasis.opendocument.text-master": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.spreadsheet-template": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.presentation-template": "odp",
    "application/vnd.oasis.opendocument.graphics": "drawing",
    "application/vnd.sun.xml.writer": "writer",
    "application/vnd.sun.xml.calc": "ods",
    "application/vnd.sun.xml.impress": "odp",
}
#: A stream or storage at the top of an OLE compound file, lower case → format; the first match wins.
_STREAMS = (
    ("encryptedpackage", "encrypted"),
    ("__properties_version1.0", "msg"),
    ("powerpoint document", "ppt"),
    ("pp40", "ppt"),
    ("workbook", "xls"),
    ("book", "xls"),
    ("worddocument", "doc"),
    ("visiodocument", "drawing"),
    ("quill", "publisher"),
    ("matost", "writer"),
    ("mm", "writer"),  # Works 3
)
#: Extensions that name a text format; any other extension of a text file is read as plain text.
_TEXT_SUFFIXES = {
    "htm": "html", "html": "html", "xhtml": "html", "shtml": "html", "md": "md", "markdown": "md", "mdx": "md",
    "rst": "rst", "org": "org", "csv": "csv", "tsv": "csv", "tab": "csv", "json": "json", "geojson": "json",
    "ndjson": "ndjson", "jsonl": "ndjson", "xml": "xml", "eml": "eml", "mbox": "mbox", "mht": "eml", "mhtml": "eml",
}  # fmt: skip
_MEDIA_TYPES = {
    "text/html": "html", "text/markdown": "md", "text/csv": "csv", "text/tab-separated-values": "csv",
    "application/json": "json", "application/x-ndjson": "ndjson", "application/xml": "xml", "text/xml": "xml",
    "message/rfc822": "eml", "application/mbox": "mbox", "text/x-rst": "rst", "text/org": "org",
}  # fmt: skip
_MAIL_HEADER = re.compile(
    r"^(?:From|To|Cc|Subject|Date|Message-ID|MIME-Version|Received|Return-Path|Delivered-To|Reply-To|Sender|X-[\w-]+"
    r"|Content-Type|Content-Transfer-Encoding|Thread-Topic|DKIM-Signature):",
    re.IGNORECASE,
)
_JSON = re.compile(r"\{\s*\"[^\"\n]*\"\s*:|\[\s*\{\s*\"")
_FLAGS = re.IGNORECASE | re.DOTALL
_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype\s+html|<html[\s>]|<head[\s>])", _FLAGS)


def detect(path: Path, suffix: str, media_type: str | None) -> str:  # noqa: PLR0911 -- one line for each kind of file
    """Return the name of the format of the file at *path*: a key of ``formats.READERS``.

    *suffix* is the extension of its name, lower case; *media_type* what its source says. Raises EncryptedDocument
    or UnsupportedFormat, with what the file is where that can be told.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_OLE):
        return _compound(path)
    if head.startswith(_ZIP):
        return _package(path, suffix)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image"
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "image"
    if b"%PDF-" in head[:1024] or (suffix == "pdf" and b"%PDF" in head[:4096]):
        return "pdf"
    if not decode.looks_like_text(head):
        raise _unknown(head, suffix)
    return _text(decode.decode(head, partial=True), suffix, media_type)


def _compound(path: Path) -> str:
    """Return the format of an OLE compound file by its streams; some programs write their names in capitals."""
    import olefile

    flags = b""
    try:
        with olefile.OleFileIO(str(path)) as container:
            names = {entry[0].lower(): entry for entry in container.listdir(streams=True)}
            if len(names.get("worddocument", ())) == 1:
                flags = container.openstream(names["worddocument"]).read(12)[11:12]
    except Exception as exc:  # olefile raises whatever its reading of a damaged directory leads to
        raise ParseError(f"The file is damaged: its container cannot be opened ({exc}).") from exc
    for stream, name in _STREAMS:
        if stream in names:
            if name == "encrypted" or (name == "doc" and flags and flags[0] & 1):
                raise EncryptedDocument
            return name
    raise UnsupportedFormat("It is a Microsoft compound file of an unknown kind.")


def _package(path: Path, suffix: str) -> str:
    """Return the format of a zip file by what is in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.replace("\\", "/").lstrip("/") for name in archive.namelist()}
            mimetype = archive.read("mimetype")[:100].decode("ascii", "replace").strip() if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, KeyError) as exc:
        raise ParseError(f"The file is damaged: its zip container cannot be opened ({exc}).") from exc
    if mimetype in _PACKAGES:
        return _PACKAGES[mimetype]
    if "xl/workbook.bin" in names:
        return "xlsb"
    for folder, name in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"), ("visio/", "drawing")):
        if any(entry.startswith(folder) for entry in names):
            return name
    if "META-INF/container.xml" in names:
        return "epub"
    if "content.xml" in names and suffix in ("odt", "ods", "odp"):
        return suffix
    raise UnsupportedFormat(
        "It is a zip archive.", remedy="Unpack it into the folder: the files in it are then read one by one."
    )


def _unknown(head: bytes, suffix: str) -> ParseError:
    """Return the error for binary content that nothing here reads, saying more where the name tells what it was."""
    for magic, what in _OTHERS:
        if head[4:8] == magic or head.startswith(magic):
            return UnsupportedFormat(f"It is {what}.")
    if not head.strip(b"\0"):
        return ParseError("The file holds nothing but zero bytes: it is damaged.")
    known = f", and not {suffix.upper()} as its name says" if suffix in ("pdf", "docx", "xlsx", "pptx", "doc") else ""
    return UnsupportedFormat(f"The file holds unknown binary data{known}.")


def _text(text: str, suffix: str, media_type: str | None) -> str:  # noqa: PLR0911 -- as above
    """Return the text format of what begins with *text*."""
    start = text.lstrip("\ufeff \t\r\n")
    named = _TEXT_SUFFIXES.get(suffix) or _MEDIA_TYPES.get((media_type or "").partition(";")[0].strip().lower(), "")
    if start.startswith("{\\rtf"):
        return "rtf"
    if named not in ("md", "rst", "org", "eml", "mbox", "json", "ndjson") and _HTML.match(start):
        return "html"
    if start.startswith("<?xml") and named in ("", "html", "xml"):
        return _xml(start)
    if named:
        return named
    if _JSON.match(start):
        return "json"
    if _is_mail(start):
        return "eml"
    if start.startswith("From ") and _is_mail(start.partition("\n")[2]):
        return "mbox"
    return "txt"


def _xml(start: str) -> str:
    if "urn:schemas-microsoft-com:office:spreadsheet" in start:
        return "xlsxml"
    if "http://schemas.microsoft.com/office/word/2003/wordml" in start:
        return "writer"
    if "office:document " in start and "opendocument" in start:
        return "ods" if "opendocument.spreadsheet" in start else "writer"
    return "html" if re.search(r"<html[\s>]", start[:4096], re.IGNORECASE) else "xml"


def _is_mail(start: str) -> bool:
    """Return whether the first lines are the header of a mail: three known fields, one of them of sender or path."""
    fields = []
    for line in start.splitlines()[:60]:
        if not line.strip():
            break
        if _MAIL_HEADER.match(line):
            fields.append(line.partition(":")[0].lower())
        elif not line[0].isspace() and not re.match(r"[\w-]+:", line):
            return False
    return len(set(fields)) >= 3 and bool({"from", "received", "return-path", "mime-version"} & set(fields))
