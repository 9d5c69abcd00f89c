"""Builds the binary documents of the example handbook from the plain-text files in `sources/`.

    python examples/build.py            # everything
    python examples/build.py hr/ .xlsx  # only the documents whose path contains one of the words

A source is named after what it becomes: `sources/hr/formation.odt.md` gives `handbook/hr/formation.odt`. Pandoc writes
docx, odt, rtf, epub and pptx; LibreOffice (`soffice`) prints the docx of a `.pdf.md` source to PDF; openpyxl writes one
worksheet per heading of a `.xlsx.md` source; the mails are put together with the standard library. Time stamps and
archive order are fixed, so that a second run with the same versions of these tools gives the same bytes.
"""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from docx.document import Document
    from docx.table import Table
    from openpyxl.worksheet.worksheet import Worksheet

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "sources"
HANDBOOK = HERE / "handbook"
EPOCH = "1777852800"  # 4 May 2026, 00:00 UTC: the date that every built file carries
STAMP = "2026-05-04T00:00:00Z"
FONT = "DejaVu Sans"  # is found beside LibreOffice on every Linux distribution
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def pandoc(source: Path, target: Path, to: str, *extra: str) -> None:
    """Writes `target` in pandoc's format `to`; wide tables are left to the reader's program (no column widths)."""
    import pypandoc

    arguments = ["--standalone", "--columns=500", *extra]
    pypandoc.convert_file(str(source), to, format="markdown", outputfile=str(target), extra_args=arguments)
    if zipfile.is_zipfile(target):
        freeze_archive(target)


def freeze_archive(path: Path) -> None:
    """Rewrites a zip archive with fixed time stamps, also in the document properties inside."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, old in members:
            data = old
            if info.filename in {"docProps/core.xml", "meta.xml"}:
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?", STAMP.encode(), old)
            entry = zipfile.ZipInfo(info.filename, date_time=(2026, 5, 4, 0, 0, 0))
            entry.compress_type = info.compress_type
            archive.writestr(entry, data)


def style_text(document: Document) -> None:
    """Gives the document its font, sizes, colours and an A4 page."""
    from docx.shared import Cm, Pt, RGBColor

    for style in document.styles:
        if hasattr(style, "font"):
            style.font.name = FONT
        if style.name.startswith(("Heading", "Title", "Subtitle")):
            style.font.color.rgb = RGBColor(0x1B, 0x3A, 0x57)
    sizes = {"Normal": 10.5, "Body Text": 10.5, "Title": 19, "Subtitle": 11, "Heading 1": 14, "Heading 2": 12}
    for name, size in sizes.items():
        document.styles[name].font.size = Pt(size)
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.2)
    section.top_margin = section.bottom_margin = Cm(2)


def style_table(table: Table) -> None:
    """Draws thin lines around the cells of a table and makes its first row bold."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Cm

    borders = OxmlElement("w:tblBorders")
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        line = OxmlElement(f"w:{side}")
        for key, value in {"val": "single", "sz": "4", "space": "0", "color": "8A97A3"}.items():
            line.set(qn(f"w:{key}"), value)
        borders.append(line)
    longest = [min(40, max(9, *(len(cell.text) for cell in column.cells)) + 4) for column in table.columns]
    for column, characters in zip(table.columns, longest, strict=True):
        column.width = int(Cm(16.6) * characters / sum(longest))
    table._tbl.tblPr.append(borders)  # noqa: SLF001 - python-docx has no public call for borders
    for cell in table.rows[0].cells:
        for paragraph in cell.paragraphs:
            for run in paragraph.runs:
                run.font.bold = True


def add_footer(document: Document) -> None:
    """Writes the company, the title and the page number at the foot of each page."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    footer = document.sections[0].footer.paragraphs[0]
    footer.add_run(f"Valmeyrand Thorpe – {document.core_properties.title} – ").font.size = Pt(8)
    number = footer.add_run()
    number.font.size = Pt(8)
    for kind, text in (("begin", ""), ("", "PAGE"), ("end", "")):
        part = OxmlElement("w:fldChar" if kind else "w:instrText")
        if kind:
            part.set(qn("w:fldCharType"), kind)
        part.text = text
        number._r.append(part)  # noqa: SLF001 - nor for page numbers


def build_docx(source: Path, target: Path) -> None:
    """Writes a Word document: text by pandoc; font, table lines and page numbers added here."""
    import docx

    pandoc(source, target, "docx")
    document = docx.Document(str(target))
    style_text(document)
    for table in document.tables:
        style_table(table)
    add_footer(document)
    document.save(str(target))
    freeze_archive(target)


def build_pdf(source: Path, target: Path) -> None:
    """Prints the document as PDF through a temporary docx. Raises RuntimeError when LibreOffice is not installed."""
    soffice = shutil.which("soffice")
    if soffice is None:
        raise RuntimeError("soffice was not found: install LibreOffice Writer to build the PDF documents")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / f"{target.stem}.docx"
        build_docx(source, page)
        profile = f"-env:UserInstallation={(Path(tempfile.gettempdir()) / 'handbook-soffice-profile').as_uri()}"
        command = [soffice, profile, "--headless", "--convert-to", "pdf", "--outdir", folder, str(page)]
        subprocess.run(command, check=True, capture_output=True, timeout=180)
        printed = page.with_suffix(".pdf").read_bytes()
    printed = re.sub(rb"/(CreationDate|ModDate)\(D:[^)]*\)", rb"/\1(D:20260504000000Z)", printed)
    printed = re.sub(rb"<[0-9A-F]{32}>|(?<=/DocChecksum /)[0-9A-F]{32}", identifier, printed)
    target.write_bytes(printed)


def identifier(found: re.Match[bytes]) -> bytes:
    """The constant that stands in for a random identifier or checksum of a PDF, as long as the one found."""
    return re.sub(rb"[0-9A-F]", b"0", found.group())


def build_pandoc(source: Path, target: Path) -> None:
    """Writes an odt, rtf, epub or pptx document as pandoc makes it."""
    pandoc(source, target, target.suffix[1:])


def worksheets(text: str) -> Iterable[tuple[str, list[list[str]]]]:
    """Each first-level heading with the rows of the table below it, header first, without the dashed line."""
    for part in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        rows = [re.sub(r"^\s*\|(.*)\|\s*$", r"\1", line).split("|") for line in lines if line.startswith("|")]
        yield name.strip(), [[cell.strip() for cell in row] for row in rows if set("".join(row)) - set("- ")]


def cell_value(text: str) -> str | float | None:
    """The text of a cell as a whole number, a decimal number (point or comma), a string, or None when empty."""
    if text.isdecimal():
        return int(text)
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else text or None


def fill_sheet(sheet: Worksheet, rows: list[list[str]]) -> None:
    """Writes the rows, numbers as numbers, with a bold header that stays visible and columns as wide as their text."""
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    for row in rows:
        sheet.append([cell_value(cell) for cell in row])
    for cells in sheet.iter_rows(min_row=2):
        for cell in cells:
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if isinstance(cell.value, float):
                cell.number_format = "0.00"
    for cell in sheet[1]:
        cell.font = Font(bold=True)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    for index in range(1, len(rows[0]) + 1):
        longest = max(len(row[index - 1]) for row in rows if len(row) >= index)
        sheet.column_dimensions[get_column_letter(index)].width = min(60, max(12, longest + 2))
    sheet.freeze_panes = "A2"


def build_xlsx(source: Path, target: Path) -> None:
    """Writes a workbook with one worksheet per first-level heading of the source."""
    from openpyxl import Workbook

    text = source.read_text("utf-8")
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in worksheets(text):
        fill_sheet(book.create_sheet(name), rows)
    found = re.search(r"^title: (.+)$", text, flags=re.MULTILINE)
    book.properties.title = found.group(1) if found else source.name
    book.properties.creator = "Valmeyrand Thorpe"
    book.save(target)
    freeze_archive(target)


def build_eml(source: Path, target: Path) -> None:
    """Writes a mail from `Name: value` lines and a body; a PDF named by `Attachment:` is built first."""
    head, body = source.read_text("utf-8").split("\n\n", 1)
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    attachment = ""
    for line in head.splitlines():
        name, value = line.split(": ", 1)
        if name == "Attachment":
            attachment = value
        elif name == "Date":
            message[name] = email.utils.parsedate_to_datetime(value)
        else:
            message[name] = value
    message.set_content(body, cte="quoted-printable")
    if attachment.endswith(".pdf"):
        with tempfile.TemporaryDirectory() as folder:
            built = Path(folder) / attachment
            build_pdf(source.parent / f"{attachment}.md", built)
            message.add_attachment(built.read_bytes(), maintype="application", subtype="pdf", filename=attachment)
    elif attachment:
        text = (source.parent / attachment).read_text("utf-8")
        message.add_attachment(text, filename=attachment, cte="quoted-printable")
    if message.is_multipart():
        message.set_boundary(f"=_{source.name.split('.')[0]}")
    target.write_bytes(message.as_bytes())


BUILDERS: dict[str, Callable[[Path, Path], None]] = {
    ".docx": build_docx,
    ".eml": build_eml,
    ".epub": build_pandoc,
    ".odt": build_pandoc,
    ".pdf": build_pdf,
    ".pptx": build_pandoc,
    ".rtf": build_pandoc,
    ".xlsx": build_xlsx,
}


def targets() -> dict[Path, Path]:
    """Each document to build with its source. The report that is only attached to a mail is not one of them."""
    found = {}
    for source in sorted(SOURCES.rglob("*.*.*")):
        target = HANDBOOK / source.relative_to(SOURCES).with_suffix("")
        attached_only = target.suffix == ".pdf" and source.parent.name == "mail"
        if target.suffix in BUILDERS and not attached_only:
            found[target] = source
    return found


def main(words: list[str]) -> None:
    """Builds the documents whose path contains one of the words, or all of them."""
    os.environ["SOURCE_DATE_EPOCH"] = EPOCH  # read by pandoc and by LibreOffice
    for target, source in targets().items():
        name = target.relative_to(HANDBOOK).as_posix()
        if words and not any(word in name for word in words):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        BUILDERS[target.suffix](source, target)
        print(f"{name}  {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
