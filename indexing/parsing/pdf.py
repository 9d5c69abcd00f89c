"""PDF: the text layer through pdfium, page by page; pages that are scans through tesseract.

pdfium gives lines; paragraphs, headings and broken words are put together again from where the lines stand and how
large their letters are.
"""

from __future__ import annotations

import collections
import ctypes
import itertools
import math
import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.errors import EncryptedDocument, ParseError, ParserMissing
from indexing.parsing import ocr
from indexing.parsing.blocks import Page, clean
from indexing.parsing.pdf_fields import fields
from indexing.parsing.properties import sensible_title
from indexing.parsing.text import add_prose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.parsing.job import Job

#: A page with fewer characters than this, and a picture on it, is taken for a scan.
_SCAN_CHARS = 60
_SCAN_DPI = 300
_SCAN_SIDE = 4_000
_BULLET = re.compile(r"(?:[•‣▪●○■◦–—]|[-*o](?=\s)|\(?\d{1,2}[.)](?=\s)|\(?[a-z][.)](?=\s))\s*")
_HEADING_CHARS = 200
_ROW_WORDS = 12
_BOLD = 600
_NUMBER = re.compile(r"[\d.,%()$€£+\-–—]*\d[\d.,%()$€£+\-–—]*|[$€£—–-]")
_PAGE_NUMBER = re.compile(
    r"(?:page |p\. ?)?[-–— ]*(?:\d{1,4}|[ivxl]{1,6})(?: ?(?:/|of|sur|de) ?\d{1,4})?[-–— ]*", re.IGNORECASE
)
_ENDS = (*".!?:;»”)", '"')
_NOTHING = "nothing was found on them"


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of text and where it stands, in points from the bottom left; size and weight of its letters."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float
    bold: bool


def read_pdf(job: Job) -> Parsed:
    """Return the text of a PDF. Pages that could not be read are in the notes, never silently missing."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(job.path)
    except pypdfium2.PdfiumError as exc:
        if "password" in str(exc).lower():
            raise EncryptedDocument from exc
        raise ParseError(f"The PDF is damaged ({exc}).") from exc
    page = Page(job.limits.output_mb << 20)
    try:
        document.init_forms()
        unread = _read_pages(document, page, job)
        title = sensible_title(document.get_metadata_dict().get("Title", ""))
    finally:
        document.close()
    notes = tuple(note for why, pages in unread.items() for note in ocr.unread_note(pages, why))
    return Parsed(tuple(page.blocks), title or page.title, notes=notes)


def _read_pages(document: Any, page: Page, job: Job) -> dict[str, list[int]]:
    """Add all pages; return reason → numbers of the pages that could not be read."""
    import pypdfium2

    unread: dict[str, list[int]] = collections.defaultdict(list)
    body_size = 0.0
    for number in range(1, len(document) + 1):
        page.number = number
        if job.seconds_left <= 0:
            unread["time ran out"].extend(range(number, len(document) + 1))
            break
        try:
            leaf = document[number - 1]
        except pypdfium2.PdfiumError:
            unread["they are damaged"].append(number)
            continue
        try:
            lines = _lines(leaf)
            body_size = body_size or _body_size(lines)
            why = None
            scan = sum(len(line.text) for line in lines) < _SCAN_CHARS and _has_picture(leaf)
            if scan:
                why = _read_scan(leaf, page, job)
                if why is not None and (not lines or why != _NOTHING):
                    unread[why].append(number)
            if not scan or why is not None:
                _add_lines(page, lines, body_size)
            for field in fields(document, leaf):
                page.add(field)
        finally:
            leaf.close()
    return unread


def _lines(leaf: Any) -> list[_Line]:
    """Return the lines of a page in pdfium's reading order, which keeps columns apart."""
    import pypdfium2.raw as pdfium

    layer = leaf.get_textpage()
    try:
        text = layer.get_text_range()
        lines: list[_Line] = []
        start = 0
        for raw in re.split("(\r\n|\r|\n)", text):
            stripped = raw.strip("\r\n \u00a0\t\ufffe\x02")
            if stripped:
                first = start + raw.index(stripped[0])
                last = start + raw.rindex(stripped[-1])
                # A hyphen at the end of a line comes as U+FFFE or STX; the join below looks for it.
                joined = raw.strip("\r\n \u00a0\t")
                joined = re.sub("[\ufffe\x02]", "\u00ad", joined)
                lines.append(_placed(pdfium, layer, joined, first, last))
            start += len(raw)
        return lines
    finally:
        layer.close()


def _placed(pdfium: Any, layer: Any, text: str, first: int, last: int) -> _Line:
    """Return the line whose first and last visible characters are at these places in the page's text."""
    boxes = []
    for place in (first, last):
        index = max(0, pdfium.FPDFText_GetCharIndexFromTextIndex(layer, place))
        sides = [ctypes.c_double() for _ in range(4)]
        found = pdfium.FPDFText_GetCharBox(layer, index, *sides)
        left, right, bottom, top = (side.value for side in sides) if found else (0.0, 0.0, 0.0, 0.0)
        matrix = pdfium.FS_MATRIX()
        size = pdfium.FPDFText_GetFontSize(layer, index)  # nominal: the page may scale it
        if pdfium.FPDFText_GetMatrix(layer, index, matrix):
            size *= math.hypot(matrix.c, matrix.d)
        boxes.append((left, right, bottom, top, size, pdfium.FPDFText_GetFontWeight(layer, index) >= _BOLD))
    (left, _, bottom, top, size, bold), (_, right, low, high, _, bold_end) = boxes
    return _Line(text, left, right, min(bottom, low), max(top, high), round(size, 1), bold and bold_end)


def _body_size(lines: list[_Line]) -> float:
    """Return the letter size of most of the text; 0 for too little of it."""
    sizes: collections.Counter[float] = collections.Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    if sizes.total() < 200:
        return 0.0
    return sizes.most_common(1)[0][0]


def _add_lines(page: Page, lines: list[_Line], body_size: float) -> None:
    if len(lines) > 2:  # the page's own number is not text
        ends = (lines[0], lines[-1])
        lines = [line for line in lines if line not in ends or not _PAGE_NUMBER.fullmatch(line.text)]
    for paragraph in _paragraphs(lines):
        text = _join(paragraph)
        level = _heading_level(paragraph, text, body_size)
        if level:
            page.heading(text, level)
        elif _is_table(paragraph):
            page.add("\n".join(line.text for line in paragraph), "table")
        else:
            page.add(text, "list" if _BULLET.match(text) else "text")


def _is_table(paragraph: list[_Line]) -> bool:
    """Return whether most lines end in columns of numbers: then each line stays a line."""
    rows = 0
    for line in paragraph:
        words = line.text.split()
        numbers = sum(1 for word in words if _NUMBER.fullmatch(word))
        rows += (numbers >= 2 and numbers * 4 >= len(words)) or (
            1 < len(words) <= _ROW_WORDS and _NUMBER.fullmatch(words[-1]) is not None
        )
    return len(paragraph) > 1 and rows * 2 > len(paragraph)


def _paragraphs(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Yield runs of lines that belong together: same letter size, no wider gap than usual, no indent or bullet."""
    gaps = [above.bottom - line.bottom for above, line in itertools.pairwise(lines)]
    usual = statistics.median([gap for gap in gaps if gap > 0] or [0.0])
    margin = statistics.median([line.left for line in lines] or [0.0])
    widest = max((line.right for line in lines), default=0.0)
    run: list[_Line] = []
    for line in lines:
        if run and _starts_paragraph(run, line, usual, margin, widest):
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _starts_paragraph(run: list[_Line], line: _Line, usual: float, margin: float, widest: float) -> bool:
    above = run[-1]
    gap = above.bottom - line.bottom
    if abs(line.size - above.size) > 0.6 or line.bold != above.bold or _BULLET.match(line.text):
        return True
    if gap < -1:  # a new column, or a jump back up the page
        return above.text[-1:] in _ENDS
    if gap > max(usual, line.size) * 1.35:
        return True
    short = above.right < widest - (widest - margin) * 0.25
    if short and above.text[-1:] in ".!?:" and (line.text[:1].isupper() or line.text[:1].isdigit()):
        return True
    return line.left - above.left > 8 and line.left - margin > 8 and above.text[-1:] in ".!?:" and len(run) > 1


def _join(paragraph: list[_Line]) -> str:
    """Return the lines as one text; a word broken by a hyphen at the end of a line is whole again."""
    text = ""
    for line in paragraph:
        piece = clean(line.text.rstrip("\u00ad")) + ("\u00ad" if line.text.endswith("\u00ad") else "")
        if text.endswith("\u00ad") or (re.search(r"[^\W\d_]{2}-$", text) and re.match(r"[a-zà-öø-ÿ]", piece)):
            text = text[:-1] + piece
        else:
            text = f"{text} {piece}" if text else piece
    return text


def _heading_level(paragraph: list[_Line], text: str, body_size: float) -> int:
    """Return 1 to 4 for a short paragraph in letters clearly larger than the body's or all bold, else 0."""
    if not body_size or len(paragraph) > 3 or len(text) > _HEADING_CHARS or not re.search(r"[^\W\d_]{3}", text):
        return 0
    ratio = paragraph[0].size / body_size
    for level, least in enumerate((1.6, 1.3, 1.12), start=1):
        if ratio >= least:
            return level
    bold = all(line.bold for line in paragraph)
    plain = text[-1] not in ".,;" and sum(character.isdigit() for character in text) * 4 < len(text)
    return 4 if bold and plain and len(paragraph) <= 2 and ratio > 0.95 else 0


def _has_picture(leaf: Any) -> bool:
    """Return whether a picture covers a good part of the page, or letters may hide in drawn shapes."""
    import pypdfium2.raw as pdfium

    width, height = leaf.get_size()
    for thing in leaf.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=4):
        left, bottom, right, top = thing.get_bounds()
        if (right - left) * (top - bottom) > 0.04 * width * height:
            return True
    return False


def _read_scan(leaf: Any, page: Page, job: Job) -> str | None:
    """Add what tesseract finds on a page; return why it found nothing, or None."""
    if not ocr.available():
        return "they are scans, and tesseract is not installed"
    width, height = leaf.get_size()
    scale = min(_SCAN_DPI / 72, _SCAN_SIDE / max(width, height, 1))
    picture = leaf.render(scale=scale, grayscale=True).to_pil()
    try:
        text = ocr.read_picture(picture, job)
    except ocr.OcrTimeout:
        return "tesseract ran out of time"
    except ParserMissing:
        return "they are scans, and tesseract has none of METIER_OCR_LANGUAGES"
    before = len(page.blocks)
    add_prose(page, text)
    return None if len(page.blocks) > before else _NOTHING
