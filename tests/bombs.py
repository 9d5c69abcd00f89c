"""Some four hundred files that are made to break their reader: (name, bytes), built when they are needed, never stored.

Every family is a generator; ``bombs()`` gives them all. None is larger than a few MB packed.
"""

# ruff: noqa: E501 -- a bomb is one line
from __future__ import annotations

import json
import random
import struct
import zipfile
import zlib
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from tests import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

Bomb = tuple[str, bytes]

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
#: Package format → the part that holds its text.
PARTS = {
    "docx": "word/document.xml",
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "odt": "content.xml",
    "epub": "OEBPS/b.xhtml",
}


@cache
def healthy() -> dict[str, bytes]:
    """Return one good file of each format: name → bytes."""
    return {
        "a.docx": samples.docx(), "a.pptx": samples.pptx(), "a.xlsx": samples.xlsx(), "a.odt": samples.odt(),
        "a.ods": samples.ods(), "a.rtf": samples.rtf(), "a.epub": samples.epub(), "a.eml": samples.eml(),
        "a.msg": samples.msg(), "a.png": samples.picture(), "a.jpg": samples.picture(form="JPEG"),
        "a.tiff": samples.picture(form="TIFF"), "a.pdf": samples.pdf([(50, 700, 11, samples.MARK)]),
        "scan.pdf": samples.scanned_pdf(), "a.html": f"<h1>T</h1><p>{samples.MARK}</p><table><tr><td>1</table>".encode(),
        "a.md": f"# T\n\n{samples.MARK}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".encode(),
        "a.csv": f"name,city\nAda,{samples.MARK}\n".encode(), "a.json": json.dumps({"a": [samples.MARK, 1]}).encode(),
        "a.xml": f"<a><b>{samples.MARK}</b></a>".encode(), "a.txt": samples.MARK.encode(),
        "a.rst": f"T\n=\n\n{samples.MARK}\n".encode(), "a.org": f"* T\n{samples.MARK}\n".encode(),
        "a.mbox": b"From a@b Thu Jan  1 00:00:00 2026\nSubject: S\n\nwords\n",
    }  # fmt: skip


def bombs() -> Iterator[Bomb]:
    """Yield every bomb."""
    for family in (
        cut_short,
        random_after_mark,
        packages,
        xml_bombs,
        pdfs,
        markup,
        data,
        mails,
        pictures,
        compounds,
        texts,
    ):
        yield from family()


def cut_short() -> Iterator[Bomb]:
    for name, content in healthy().items():
        for percent in (5, 20, 50, 80, 97):
            yield f"{percent}-{name}", content[: max(1, len(content) * percent // 100)]


def random_after_mark() -> Iterator[Bomb]:
    noise = random.Random(3).randbytes(20_000)
    for name, content in healthy().items():
        for kept in (4, 64):
            yield f"noise-{kept}-{name}", content[:kept] + noise


def replaced(form: str, part: str, content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(healthy()[f"a.{form}"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return bytes(samples.zipped(members | {part: content}))


def packages() -> Iterator[Bomb]:
    for form, part in PARTS.items():
        good = healthy()[f"a.{form}"]
        yield f"flat.{form}", replaced(form, part, bytes(60 << 20))
        yield f"nested.{form}", replaced(form, part, samples.zipped({part: samples.zipped({part: bytes(20 << 20)})}))
        yield f"itself.{form}", replaced(form, part, good)
        yield f"many.{form}", replaced_many(good, 21_000)
        yield f"lying.{form}", lying(replaced(form, part, bytes(5 << 20)), part)
        yield f"overlapping.{form}", overlapping(good)
        yield f"traversal.{form}", samples.zipped({"../../../../tmp/evil": "x", "/etc/evil": "x", part: "<a/>"})
        yield f"same-name.{form}", doubled(good, part)
        yield f"comment.{form}", commented(good)
        yield (
            f"method.{form}",
            good.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63"),
        )
        yield (
            f"locked.{form}",
            good.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
        )
        yield f"no-directory.{form}", good[: good.rindex(b"PK\x01\x02")]
        yield f"empty-part.{form}", replaced(form, part, b"")


def replaced_many(good: bytes, count: int) -> bytes:
    with zipfile.ZipFile(BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return bytes(samples.zipped(members | {f"m{n}": b"" for n in range(count)}, stored={f"m{n}" for n in range(count)}))


def lying(package: bytes, part: str) -> bytes:
    """Let the directory claim 10 bytes for *part*."""
    at = package.rindex(part.encode()) - 46
    return package[: at + 24] + (10).to_bytes(4, "little") + package[at + 28 :]


def overlapping(good: bytes) -> bytes:
    """Let every entry of the directory point at the first member."""
    out, at = bytearray(good), good.index(b"PK\x01\x02")
    while at >= 0:
        out[at + 42 : at + 46] = bytes(4)
        at = good.find(b"PK\x01\x02", at + 1)
    return bytes(out)


def doubled(good: bytes, part: str) -> bytes:
    buffer = BytesIO(good)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.filelist.append(archive.getinfo(part))
        vars(archive)["_didModify"] = True
    return buffer.getvalue()


def commented(good: bytes) -> bytes:
    return good[:-2] + struct.pack("<H", 65_535) + b"PK\x05\x06" * 16_383 + b"abc"


def entities(depth: int, width: int) -> str:
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * width}">' for n in range(1, depth))
    return f'<!DOCTYPE a [<!ENTITY l0 "ha ha ha">{lines}]>'


def xml_bombs() -> Iterator[Bomb]:
    bodies = {
        "laughs": f"{entities(12, 10)}<a>&l11;</a>",
        "quadratic": f'<!DOCTYPE a [<!ENTITY b "{"x" * 50_000}">]><a>{"&b;" * 20_000}</a>',
        "self": '<!DOCTYPE a [<!ENTITY b "&c;"><!ENTITY c "&b;">]><a>&b;</a>',
        "external": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "remote": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a>text</a>',
        "parameter": '<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///dev/zero">%b;]><a/>',
        "deep": "<a>" * 20_000 + "x" + "</a>" * 20_000,
        "open": "<a>" * 20_000,
        "siblings": f"<a>{'<b>x</b>' * 40_000}</a>",
        "attribute": f'<a b="{"x" * 500_000}"/>',
        "attributes": '<a b="' + '" b="'.join(map(str, range(20_000))) + '"/>',
        "names": "".join(f"<n{n}>" for n in range(20_000)),
        "include": '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></a>',
    }
    for what, body in bodies.items():
        yield f"{what}.xml", f'<?xml version="1.0"?>{body}'.encode()
        for form, part in PARTS.items():
            yield f"{what}.{form}", replaced(form, part, f'<?xml version="1.0"?>{body}'.encode())
    wide = f'<w:document xmlns:w="{W}"><w:body>{"<w:tbl><w:tr><w:tc>" * 3_000}'
    yield "tables.docx", replaced("docx", PARTS["docx"], wide.encode())
    for cell in ("ZZZZZZ999999999", "A0", "A-1", "XFD1048576"):
        row = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1048576"><c r="{cell}"><v>1</v></c></row></sheetData></worksheet>'
        yield f"cell-{cell}.xlsx", replaced("xlsx", PARTS["xlsx"], row.encode())


def pdfs() -> Iterator[Bomb]:
    line = [(50, 700, 11, "x")]
    good = samples.pdf(line)
    start = good.rindex(b"xref\n0")
    flat = zlib.compress(b"BT (x) Tj ET " * 4_000_000, 9)
    layered = zlib.compress(zlib.compress(zlib.compress(flat)))
    cases = {
        "kids": good.replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"),
        "kids-twice": good.replace(b"/Kids [4 0 R]", b"/Kids [" + b"4 0 R " * 100_000 + b"]"),
        "prev": good.replace(b"/Root 1 0 R ", b"/Root 1 0 R /Prev %d " % start),
        "prev-negative": good.replace(b"/Root 1 0 R ", b"/Root 1 0 R /Prev -1 "),
        "root": good.replace(b"/Root 1 0 R", b"/Root 4 0 R"),
        "parent": good.replace(b"/Parent 2 0 R", b"/Parent 4 0 R"),
        "count": samples.pdf(line, count=2**31),
        "negative-count": samples.pdf(line, count=-5),
        "pages": samples.pdf(*[b""] * 2_000),
        "box": good.replace(b"[0 0 595 842]", b"[0 0 1e38 1e38]"),
        "length": good.replace(b"/Length", b"/Length 999999999 /L"),
        "size": good.replace(b"/Size", b"/Size 999999999 /S"),
        "xref": good[:start] + b"xref\n0 999999999\n" + good[start:],
        "startxref": good.replace(b"startxref\n", b"startxref\n9"),
        "arrays": samples.pdf(b"[" * 200_000),
        "dictionaries": samples.pdf(line, extra={50: b"<< /A " * 100_000}.items()),
        "strings": samples.pdf(b"BT " + b"(" * 200_000),
        "states": samples.pdf(b"q " * 500_000),
        "inline": samples.pdf(b"BI /W 99999 /H 99999 /BPC 8 ID " + b"x" * 5_000),
        "form": samples.pdf(b"/Im1 Do", extra={99: b"<< /Subtype /Form /Resources << /XObject << /Im1 99 0 R >> >> /Length 7 >>\nstream\n/Im1 Do\nendstream"}.items()),
        "font": good.replace(b"/BaseFont /Helvetica", b"/BaseFont /Helvetica /ToUnicode 3 0 R /Encoding 3 0 R /X"),
        "flate": samples.pdf(line, extra={5: b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(flat), flat)}.items()),
        "flates": samples.pdf(line, extra={5: b"<< /Filter [/FlateDecode /FlateDecode /FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (len(layered), layered)}.items()),
        "picture": samples.pdf(b"/Im1 Do", extra={99: b"<< /Subtype /Image /Width 60000 /Height 60000 /BitsPerComponent 8 /ColorSpace /DeviceRGB /Length 3 >>\nstream\nabc\nendstream"}.items()),
        "notes": good.replace(b"/MediaBox", b"/Annots [4 0 R 4 0 R] /MediaBox"),
        "fields": good.replace(b"/Type /Catalog", b"/Type /Catalog /AcroForm << /Fields [60 0 R] >>") + b"60 0 obj << /Kids [60 0 R] /T (a) >> endobj",
        "action": good.replace(b"/Type /Catalog", b"/Type /Catalog /OpenAction << /S /Launch /F (/bin/sh) >> /URI << /Base (http://127.0.0.1:9) >>"),
    }  # fmt: skip
    for what, content in cases.items():
        yield f"{what}.pdf", content


def markup() -> Iterator[Bomb]:
    html = {
        "div": "<div>" * 100_000 + "x", "table": "<table><tr><td>" * 3_000 + "x", "span": "<b><i>" * 50_000 + "x",
        "colspan": "<table><tr><td colspan=999999999>x<td>y</table>", "rowspan": "<table><tr><td rowspan=999999999>x<tr><td>y</table>",
        "comment": "<!--" * 100_000, "script": "<script>" * 10_000 + "x", "entities": "&amp" * 300_000, "attribute": f"<p {'a=b ' * 200_000}>x",
        "select": "<select>" + "<option>" * 200_000, "lists": "<ul><li>" * 5_000 + "x", "frames": '<iframe src="file:///etc/passwd">' * 1_000,
    }  # fmt: skip
    marks = {
        "quotes": ">" * 20_000 + "x", "lists": "\n".join("  " * n + "- x" for n in range(500)), "brackets": "[" * 50_000, "stars": "*a " * 50_000,
        "backticks": " ".join("`" * n for n in range(1, 800)), "links": "[a](" * 20_000, "pictures": "![" * 20_000, "refs": "[a]: b\n" * 20_000,
        "columns": f"|{'a|' * 20_000}\n|{'-|' * 20_000}\n|{'x|' * 20_000}", "emphasis": "_*" * 30_000, "html": "<div>" * 20_000, "front": "---\ntitle: &a [*a]\n---\nx",
    }  # fmt: skip
    rst = {
        "include": ".. include:: /etc/passwd\n", "raw": ".. raw:: html\n   :file: /etc/passwd\n", "csv": ".. csv-table::\n   :url: http://127.0.0.1:9/\n",
        "indent": "\n".join(" " * n + "* x\n" for n in range(400)), "table": "+-" * 5_000, "substitution": ".. |a| replace:: |a|\n\n|a|",
    }  # fmt: skip
    org = {
        "include": '#+INCLUDE: "/etc/passwd"\n',
        "stars": "*" * 20_000 + " x",
        "blocks": "#+BEGIN_SRC\n" * 5_000,
        "src": "#+BEGIN_SRC sh :eval yes\ntouch /tmp/evil\n#+END_SRC",
    }
    rtf = {
        "braces": "{\\rtf1" + "{" * 100_000, "binary": "{\\rtf1 \\bin999999999 x}", "unicode": "{\\rtf1 \\u-99999999?}", "tables": "{\\rtf1 " + "\\trowd\\cellx1" * 20_000 + "}",
        "picture": "{\\rtf1{\\pict\\wmetafile8 " + "00" * 100_000 + "}}", "object": "{\\rtf1{\\object\\objdata " + "d0cf11e0" * 1_000 + "}}",
    }  # fmt: skip
    for suffix, cases in (("html", html), ("md", marks), ("rst", rst), ("org", org), ("rtf", rtf)):
        for what, content in cases.items():
            yield f"{what}.{suffix}", content.encode()


def data() -> Iterator[Bomb]:
    yield "arrays.json", b"[" * 500_000
    yield "objects.json", b'{"a":' * 200_000
    yield "integer.json", b'{"a": ' + b"9" * 500_000 + b"}"
    yield "float.json", b'{"a": 1e999999, "b": NaN, "c": -Infinity}'
    yield "key.json", b'{"' + b"k" * 2_000_000 + b'": 1}'
    yield "surrogates.json", b'{"a": "\\ud800\\udfff\\u0000"}'
    yield "wide.json", b"[" + b"{}," * 1_000_000 + b"{}]"
    yield "lines.ndjson", b'{"a": 1}\n{' * 20_000
    yield "commas.csv", b"," * 2_000_000
    yield "quote.csv", b'a,b\n"' + b"x" * 3_000_000
    yield "nul.csv", b"a,b\n\0,\0\n" * 10_000
    yield "columns.csv", b",".join(b"c%d" % n for n in range(50_000)) + b"\n" + b"1," * 50_000
    yield "rows.csv", b"a,b\n" + b"1,2\n" * 300_000
    yield "quotes.csv", b'"' * 1_000_001


def mails() -> Iterator[Bomb]:
    head = "From: a@b\nTo: c@d\nMIME-Version: 1.0\n"
    deep = head + "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(1_000))
    forwarded = head + "Content-Type: message/rfc822\n\n" * 1_000 + "x"
    many = (
        head
        + 'Content-Type: multipart/mixed; boundary="b"\n\n'
        + "--b\nContent-Disposition: attachment; filename=a.txt\n\nx\n" * 5_000
    )
    cases = {
        "deep": deep, "forwarded": forwarded, "many": many,
        "same-boundary": head + 'Content-Type: multipart/mixed; boundary="b"\n\n' + '--b\nContent-Type: multipart/mixed; boundary="b"\n\n' * 1_000,
        "no-boundary": head + "Content-Type: multipart/mixed\n\n--\n--\nx",
        "header": head + "Subject: " + "x" * 1_000_000 + "\n\nx", "headers": "X-A: b\n" * 50_000 + "\nx",
        "folded": head + "Subject:" + "\n x" * 50_000 + "\n\nx", "encoded": head + "Subject: " + "=?utf-8?q?=41?= " * 20_000 + "\n\nx",
        "charset": head + "Content-Type: text/plain; charset=none-such\n\n\x80x", "idna": head + "From: <" + "a" * 100_000 + "@" + "b" * 100_000 + ">\n\nx",
        "base64": head + "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + "=" * 500_000,
        "quoted": head + "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + "=\n" * 200_000,
        "parameters": head + "Content-Type: text/plain; " + "".join(f"name*{n}=a; " for n in range(5_000)) + "\n\nx",
        "filename": head + 'Content-Type: application/octet-stream; name="' + "../" * 10_000 + 'a"\n\nx',
        "uuencode": head + "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 /etc/evil\n" + "M" * 100_000,
    }  # fmt: skip
    for what, content in cases.items():
        yield f"{what}.eml", content.encode("latin-1")
    yield "many.mbox", b"From a@b Thu Jan  1 00:00:00 2026\nSubject: S\n\nwords\n\n" * 6_000
    yield "one.mbox", b"From a@b Thu Jan  1 00:00:00 2026\n" + deep.encode()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pictures() -> Iterator[Bomb]:
    mark = b"\x89PNG\r\n\x1a\n"
    for side in (20_000, 100_000, 2**31 - 1, 0):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        yield f"side-{side}.png", mark + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    text = zlib.compress(bytes(50 << 20), 9)
    yield (
        "text.png",
        mark + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + chunk(b"zTXt", b"a\0\0" + text),
    )
    yield (
        "side.gif",
        b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0xF7, 0, 0)
        + bytes(768)
        + b","
        + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
        + b"\x08\xff"
        + bytes(255),
    )
    yield (
        "side.bmp",
        b"BM"
        + struct.pack("<IHHI", 100, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield (
        "loop.tiff",
        b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 9) + struct.pack("<I", 8),
    )
    yield (
        "tags.tiff",
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + struct.pack("<HHII", 256, 4, 2**31 - 1, 9) * 65_535,
    )
    jpeg = healthy()["a.jpg"]
    at = jpeg.index(b"\xff\xc0")
    yield "side.jpg", jpeg[: at + 5] + b"\xff\xff\xff\xff" + jpeg[at + 9 :]
    yield "segments.jpg", jpeg[:2] + b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527) + jpeg[2:]
    yield (
        "side.webp",
        b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff\x30\x01\x00\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(1000),
    )
    yield (
        "empty.svg",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/><use href="#a" id="a"/></svg>',
    )


def compounds() -> Iterator[Bomb]:
    good = bytearray(samples.msg())
    for what, at, value in (
        ("sector", 30, b"\x3f\x00"), ("mini", 32, b"\x00\x00"), ("fat", 44, b"\xff\xff\xff\x7f"), ("directory", 48, b"\x00\x00\x00\x00"),
        ("minifat", 60, b"\x00\x00\x00\x00"), ("difat", 68, b"\x00\x00\x00\x00"), ("fats", 76, b"\x01\x00\x00\x00"),
    ):  # fmt: skip
        changed = bytearray(good)
        changed[at : at + len(value)] = value
        yield f"{what}.msg", bytes(changed)
        yield f"{what}.doc", bytes(changed)
    loop = bytearray(good)
    loop[512:1024] = struct.pack("<128I", *([0xFFFFFFFD] + [1] * 127))
    yield "loop.msg", bytes(loop)


def texts() -> Iterator[Bomb]:
    yield "one-letter.txt", b"x" * 5_000_000
    yield "returns.txt", b"\r" * 2_000_000
    yield "odd.txt", b"\xff\xfe" + "words".encode("utf-16-le") + b"\0"
    yield "utf32.txt", b"\xff\xfe\0\0" + b"\xff" * 40_001
    yield "zalgo.txt", ("a" + "\u0301" * 1_000_000).encode()
    yield "controls.txt", bytes(range(1, 32)) * 20_000
    yield "direction.txt", ("\u202e\u2066" * 100_000 + "x").encode()
    yield "words.txt", b"a " * 1_500_000
    yield "lines.py", b"x = 1\n" * 200_000
    yield "indent.yaml", b"".join(b" " * n + b"a:\n" for n in range(1_500))
