"""Spreadsheets: each sheet a page, each run of filled rows a table whose headers are repeated in each row."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.errors import EncryptedDocument, ParseError
from indexing.parsing import archive
from indexing.parsing.blocks import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from indexing.parsing.job import Job

_BLANK_ROWS = 10_000  # a sheet that claims a million empty rows is not walked to its end


def read_xlsx(job: Job) -> Parsed:
    """Return the rows of an Excel file, values as last calculated, hidden sheets included."""
    import openpyxl

    archive.check(job.path, job.limits)
    page = Page(job.limits.output_mb << 20)
    try:
        book = openpyxl.load_workbook(io.BytesIO(job.path.read_bytes()), read_only=True, data_only=True)
    except (KeyError, zipfile.BadZipFile, ValueError, TypeError, AttributeError, IndexError) as exc:
        raise ParseError(f"The spreadsheet is damaged ({type(exc).__name__}: {exc}).") from exc
    for number, sheet in enumerate(book.worksheets, start=1):
        sheet.reset_dimensions()
        _add_sheet(page, number, sheet.title, sheet.iter_rows(values_only=True))
    return Parsed(tuple(page.blocks), page.title)


def read_xls(job: Job) -> Parsed:
    """Return the rows of a legacy Excel file (BIFF 2 to 8)."""
    import xlrd

    page = Page(job.limits.output_mb << 20)
    try:
        book = xlrd.open_workbook(str(job.path), on_demand=True, logfile=io.StringIO())
    except xlrd.XLRDError as exc:
        if "encrypted" in str(exc).lower():
            raise EncryptedDocument from exc
        raise ParseError(f"The spreadsheet is damaged ({exc}).") from exc
    for number in range(book.nsheets):
        sheet = book.sheet_by_index(number)
        rows = ([_xls_value(book, cell) for cell in sheet.row(row)] for row in range(sheet.nrows))
        _add_sheet(page, number + 1, sheet.name, rows)
    return Parsed(tuple(page.blocks), page.title)


def _add_sheet(page: Page, number: int, name: str, rows: Iterable[Iterable[Any]]) -> None:
    """Add one sheet: its name is the heading, blank rows part its tables."""
    page.number = number
    page.leave_headings()
    page.heading(name, 3)  # below the level that may give the document its title: "Sheet1" is none
    for table in _runs(rows):
        page.table(table)


def _runs(rows: Iterable[Iterable[Any]]) -> Iterator[list[list[str]]]:
    run: list[list[str]] = []
    blank = 0
    for row in rows:
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            run.append(cells)
            blank = 0
            continue
        if run:
            yield run
            run = []
        blank += 1
        if blank > _BLANK_ROWS:
            return
    if run:
        yield run


def _text(value: Any) -> str:
    """Return a cell's value as a reader would write it: no ``.0``, no midnight, ISO dates."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value).strip()


def _xls_value(book: Any, cell: Any) -> Any:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return xlrd.xldate_as_datetime(cell.value, book.datemode)
        except (ValueError, OverflowError):
            return cell.value
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(cell.value, "")
    return cell.value
