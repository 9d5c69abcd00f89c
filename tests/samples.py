"""Small files of each format, built here so that the tests need no fixtures: bytes in, bytes out."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile

MARK = "Le congé parental dure seize semaines"  # French on purpose: accents must survive every format


def zipped(members, *, stored=("mimetype",)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            archive.writestr(name, data, zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def rewritten(package, member, old, new):
    """Return the zip file *package* with *old* replaced by *new* in one member."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert old in contents[member]
    return zipped(contents | {member: contents[member].replace(old, new)})


def saved(document):
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def docx():
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = "Le livret d'accueil"
    document.add_heading("Congés", 1)
    document.add_heading("Congé parental", 2)
    document.add_paragraph(f"{MARK}.")
    document.add_paragraph("Prévenir le service", style="List Bullet")
    document.add_page_break()
    document.add_heading("Primes", 1)
    table = document.add_table(rows=3, cols=3)
    for row, texts in enumerate((("Nom", "Prime", "Mois"), ("Ada", "300", "mai"), ("Alan", "250", "juin"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    return saved(document)


def pptx():
    from pptx import Presentation

    presentation = Presentation()
    for title, body in (("Accueil", "Bienvenue à tous"), ("Congés", MARK)):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    presentation.slides[1].notes_slide.notes_text_frame.text = "Rappeler le délai de prévenance"
    return saved(presentation)


def xlsx():
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Barème"
    for row in (("Grade", "Salaire", "Depuis"), ("A", 2000.0, None), ("B", 2500.5, None)):
        sheet.append(row)
    other = book.create_sheet("Contacts")
    for contact in (("Nom", "Bureau", "Poste"), ("Ada", "B12", 4711)):
        other.append(contact)
    return saved(book)


def odt():
    from odf import text
    from odf.opendocument import OpenDocumentText

    document = OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=1, text="Congés"))
    document.text.addElement(text.P(text=MARK))
    return saved(document)


def ods():
    from odf import table, text
    from odf.opendocument import OpenDocumentSpreadsheet

    document = OpenDocumentSpreadsheet()
    sheet = table.Table(name="Barème")
    for values in (("Grade", "Salaire", "Mois"), ("A", "2000", "mai")):
        row = table.TableRow()
        for value in values:
            cell = table.TableCell(valuetype="string")
            cell.addElement(text.P(text=value))
            row.addElement(cell)
        sheet.addElement(row)
    document.spreadsheet.addElement(sheet)
    return saved(document)


def rtf():
    return rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Le cong\'e9 parental dure seize semaines.\par}"


def epub():
    chapter = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title>c</title></head><body>{}</body></html>"
    return zipped({
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>Le guide</dc:title></metadata><manifest><item id='b' href='b.xhtml'/>"
        "<item id='a' href='text/a%20b.xhtml'/></manifest><spine><itemref idref='a'/><itemref idref='b'/></spine>"
        "</package>",
        "OEBPS/text/a b.xhtml": chapter.format(f"<h1>Un</h1><p>{MARK}</p>"),
        "OEBPS/b.xhtml": chapter.format("<h1>Deux</h1><p>La suite</p>"),
    })  # fmt: skip


def eml(attachment=b"name,city\nAda,London\n", name="people.csv"):
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"] = "Ada <ada@example.org>"
    message["To"] = "alan@example.org"
    message["Subject"] = "Congés d'été"
    message.set_content("plain text that the HTML part replaces")
    message.add_alternative(f"<p>{MARK}</p>", subtype="html")
    message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def picture(text="Parental leave lasts sixteen weeks", form="PNG"):
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (1200, 200), "white")
    ImageDraw.Draw(image).text((40, 60), text, fill="black", font=ImageFont.load_default(size=56))
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def pdf(*pages, extra=(), trailer="", count=None):
    """Return a PDF of *pages*: each a list of (x, y, size, text) in Helvetica, or a raw content stream."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count or len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        stream = page if isinstance(page, bytes) else _shown(page)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> /XObject << /Im1 99 0 R >> >> >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    numbered = dict(enumerate(objects, start=1)) | dict(extra)
    out, offsets = b"%PDF-1.7\n", {}
    for number, body in numbered.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    size = max(numbered) + 1
    table = b"".join(
        b"%010d 00000 n \n" % offsets[n] if n in offsets else b"0000000000 65535 f \n" for n in range(size)
    )
    out += b"xref\n0 %d\n%s" % (size, table)
    return out + f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def _shown(lines):
    shown = "".join(f"/F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj\n" for x, y, size, text in lines)
    return f"BT\n{shown}ET".encode("cp1252")


def scanned_pdf():
    """Return a PDF of one page that is nothing but a picture of text."""
    from PIL import Image

    jpeg = picture(form="JPEG")
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
    drawn = (
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
        f"/BitsPerComponent 8 /Filter /DCTDecode /Length {len(jpeg)} >>\nstream\n"
    ).encode()
    return pdf(b"q 500 0 0 83 40 600 cm /Im1 Do Q", extra={99: drawn + jpeg + b"\nendstream"}.items())


def compound(tree):
    """Return an OLE compound file (MS-CFB, version 3) holding *tree*: name → bytes (a stream) or dict (a storage).

    All streams live in the mini stream, so that each must be below 4096 bytes.
    """
    entries, mini = [], bytearray()

    def add(name, kind, content):
        entry = {"name": name, "kind": kind, "start": 0xFFFFFFFE, "size": 0, "child": 0xFFFFFFFF, "right": 0xFFFFFFFF}
        entries.append(entry)
        if kind == 2:
            entry["size"], entry["start"] = len(content), len(mini) // 64
            mini.extend(content + bytes(-len(content) % 64))
            return
        below = []
        for inner, value in sorted(content.items(), key=lambda pair: (len(pair[0]), pair[0].upper())):
            below.append(len(entries))
            add(inner, 1 if isinstance(value, dict) else 2, value)
        for number, following in itertools.pairwise(below):
            entries[number]["right"] = following
        entry["child"] = below[0]

    add("Root Entry", 5, tree)
    minifat = b"".join(_chain(entry) for entry in entries if entry["kind"] == 2)
    directory = sectors(b"".join(_directory_entry(e, mini) for e in entries))
    minifat, mini_sectors = sectors(minifat, b"\xff"), sectors(bytes(mini))
    lengths = [1, len(directory) // 512, len(minifat) // 512, len(mini_sectors) // 512]
    starts = [sum(lengths[:n]) for n in range(4)]
    fat = struct.pack("<I", 0xFFFFFFFD)
    for start, length in zip(starts[1:], lengths[1:], strict=True):
        fat += b"".join(struct.pack("<I", s + 1) for s in range(start, start + length - 1)) + struct.pack(
            "<I", 0xFFFFFFFE
        )
    directory = directory[:116] + struct.pack("<II", starts[3], len(mini)) + directory[124:]  # the root's mini stream
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, starts[1], 0, 4096, starts[2], lengths[2], 0xFFFFFFFE, 0)
    return header + struct.pack("<I", 0) + b"\xff" * 432 + sectors(fat, b"\xff") + directory + minifat + mini_sectors


def sectors(data, fill=b"\0"):
    return data + fill * (-len(data) % 512)


def _chain(entry):
    count = -(-entry["size"] // 64)
    links = [entry["start"] + n + 1 for n in range(count - 1)] + [0xFFFFFFFE]
    return b"".join(struct.pack("<I", link) for link in links) if count else b""


def _directory_entry(entry, mini):
    name = entry["name"].encode("utf-16-le")
    head = name + bytes(64 - len(name)) + struct.pack("<HBB", len(name) + 2, entry["kind"], 1)
    head += struct.pack("<III", 0xFFFFFFFF, entry["right"], entry["child"]) + bytes(36)
    return head + struct.pack("<IQ", entry["start"] & 0xFFFFFFFF, entry["size"] if entry["kind"] != 5 else len(mini))


def msg():
    """Return an Outlook message with one recipient and one attachment (MS-OXMSG)."""

    def stream(prop, text):
        return {f"__substg1.0_{prop:04X}001F": text.encode("utf-16-le")}

    def properties(head, *props):
        entries = b"".join(struct.pack("<IIQ", (p << 16) | t, 6, v) for p, t, v in props)
        return {"__properties_version1.0": head + entries}

    recipient = stream(0x3001, "Alan") | stream(0x39FE, "alan@example.org")
    recipient |= properties(bytes(8), (0x3001, 0x1F, 10), (0x39FE, 0x1F, 34))
    attached = b"Alan's notes about the summer"
    attachment = (
        {"__substg1.0_37010102": attached}
        | stream(0x3707, "../notes\u202etxt.txt")
        | properties(bytes(8), (0x3705, 3, 1), (0x3701, 0x102, len(attached)), (0x3707, 0x1F, 40))
    )
    root = stream(0x0037, "Congés d'été") | stream(0x1000, f"{MARK}.\r\n") | stream(0x001A, "IPM.Note")
    head = bytes(8) + struct.pack("<4I", 1, 1, 1, 1) + bytes(8)
    root |= properties(head, (0x0037, 0x1F, 26), (0x1000, 0x1F, 80), (0x001A, 0x1F, 18))
    root |= {"__recip_version1.0_#00000000": recipient, "__attach_version1.0_#00000000": attachment}
    return compound(root)
