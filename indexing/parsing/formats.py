"""Which module reads which format. A reader is loaded when its first file comes."""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING

from indexing.errors import EmptyDocument, EncryptedDocument, ParseLimit, ParserMissing, UnsupportedFormat
from indexing.parsing import libreoffice
from indexing.parsing.detect import detect

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.documents import Parsed
    from indexing.parsing.job import Job

#: format → (module of this package, function). The function takes a Job and returns Parsed or raises ParseError.
READERS: dict[str, tuple[str, str]] = {
    "txt": ("text", "read_plain"),
    "json": ("text", "read_json"),
    "ndjson": ("text", "read_json"),
    "xml": ("text", "read_xml"),
    "csv": ("text", "read_csv"),
    "html": ("markup", "read_html"),
    "md": ("markup", "read_markdown"),
    "rst": ("markup", "read_by_unstructured"),
    "org": ("markup", "read_by_unstructured"),
    "rtf": ("markup", "read_by_unstructured"),
    "odt": ("markup", "read_odt"),
    "epub": ("markup", "read_epub"),
    "docx": ("docx", "read_docx"),
    "pptx": ("pptx", "read_pptx"),
    "xlsx": ("sheets", "read_xlsx"),
    "xls": ("sheets", "read_xls"),
    "pdf": ("pdf", "read_pdf"),
    "image": ("ocr", "read_image"),
    "eml": ("mail", "read_eml"),
    "mbox": ("mail", "read_mbox"),
    "msg": ("mail", "read_msg"),
}


#: Formats that LibreOffice turns into one of the above.
CONVERTED = ("doc", "ppt", "ods", "odp", "xlsb", "xlsxml", "writer", "drawing", "publisher")
#: Formats for which LibreOffice gives a second opinion on a file that our own reader calls damaged, or finds empty.
_SECOND_OPINION = {"docx": False, "pptx": False, "rtf": False, "odt": False, "xlsx": True, "xls": True}
_SECOND_OPINION_S = 15.0


def read(job: Job) -> Parsed:
    """Return what is in the file of *job*. Raises ParseError; EmptyDocument when no reader found any text."""
    kind = detect(job.path, job.suffix, job.media_type)
    job = dataclasses.replace(job, format=kind)
    try:
        return read_as(job)
    except (EncryptedDocument, UnsupportedFormat, ParseLimit, ParserMissing):
        raise
    except EmptyDocument as exc:
        if not _SECOND_OPINION.get(kind):
            raise
        return _second_opinion(job, exc)
    except Exception as exc:  # whatever a vendor's reader raises for a damaged file
        if kind not in _SECOND_OPINION or isinstance(exc, MemoryError | RecursionError):
            raise
        return _second_opinion(job, exc)


def _second_opinion(job: Job, first: Exception) -> Parsed:
    """Return what LibreOffice finds in the file. Raises the *first* reader's error when it is no better."""
    if not libreoffice.available() or job.seconds_left < _SECOND_OPINION_S:
        raise first
    try:
        return read_as(libreoffice.convert(job))
    except Exception as exc:
        raise first from exc


def read_as(job: Job) -> Parsed:
    """Return what is in the file of *job*, whose format is known."""
    if job.format in CONVERTED:
        job = libreoffice.convert(job)
    module, function = READERS[job.format]
    reader: Callable[[Job], Parsed] = getattr(importlib.import_module(f"indexing.parsing.{module}"), function)
    parsed = reader(job)
    if not parsed.blocks and not parsed.attachments:
        raise EmptyDocument("; ".join(("No text was found in the file", *parsed.notes)) + ".")
    return parsed
