"""Plain text, source code, logs, delimited tables, JSON and XML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.errors import ParseLimit
from indexing.parsing.blocks import Page
from indexing.parsing.decode import decode, read_text
from indexing.parsing.tables import delimited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.parsing.job import Job

#: Paragraphs longer than this are cut at line ends, so that no block is a whole log.
_BLOCK_CHARS = 4_000
_BULLET = re.compile(r"\s*(?:[-*+•‣▪●o–—]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_PROSE = ("", "txt", "text", "log", "eml", "nfo", "readme", "asc")


def read_plain(job: Job) -> Parsed:
    """Return the paragraphs of a text; of source code and the like, pieces that keep their layout."""
    page = Page(job.limits.output_mb << 20)
    text = read_text(job.path)
    if job.suffix in _PROSE:
        add_prose(page, text)
    else:
        for piece in _pieces(text.split("\n")):
            page.add(piece, "code")
    return Parsed(tuple(page.blocks))


def add_prose(page: Page, text: str) -> None:
    """Add the paragraphs of *text*: blank lines part them; lines that look like list items are list blocks."""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        lines = paragraph.split("\n")
        bullets = sum(1 for line in lines if _BULLET.match(line))
        kind = "list" if bullets and bullets * 2 >= len(lines) else "text"
        for piece in _pieces(lines):
            page.add(piece, kind)


def _pieces(lines: list[str]) -> Iterator[str]:
    """Yield the lines, joined again, in pieces of at most about ``_BLOCK_CHARS``."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and (size + len(line) > _BLOCK_CHARS or (not line.strip() and size > _BLOCK_CHARS // 2)):
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line) + 1
    if piece:
        yield "\n".join(piece)


def read_csv(job: Job) -> Parsed:
    """Return the rows of a delimited file, each with its headers. A file without any delimiter is read line by line."""
    page = Page(job.limits.output_mb << 20)
    page.table(delimited(read_text(job.path)))
    return Parsed(tuple(page.blocks))


def read_json(job: Job) -> Parsed:
    """Return the values of a JSON or line-wise JSON file with their keys; read as plain text if it is not valid."""
    page = Page(job.limits.output_mb << 20)
    text = read_text(job.path)
    try:
        values = [json.loads(text)]
    except ValueError:
        try:
            values = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            for piece in _pieces(text.split("\n")):
                page.add(piece, "code")
            named = job.suffix in ("json", "ndjson", "jsonl", "geojson")
            notes = ("It is not valid JSON: it was read as plain text",) if named else ()
            return Parsed(tuple(page.blocks), notes=notes)
    for value in values:
        _add_json(page, value)
    return Parsed(tuple(page.blocks))


def _add_json(page: Page, value: Any) -> None:
    """Add one JSON value: a list of records as a table-like list of lines, anything else as ``key: value`` lines."""
    records = value if isinstance(value, list) else [value]
    lines: list[str] = []
    size = 0
    for record in records:
        piece = "\n".join(_json_lines(record, ""))
        if lines and size + len(piece) > _BLOCK_CHARS // 2:
            page.add("\n\n".join(lines))
            lines, size = [], 0
        for part in _pieces(piece.split("\n")):
            if len(piece) > _BLOCK_CHARS:
                page.add(part)
            else:
                lines.append(part)
                size += len(part)
    page.add("\n\n".join(lines))


def _json_lines(value: Any, key: str) -> Iterator[str]:
    """Yield ``key: value`` lines; nested keys are joined by dots, lists of plain values by commas."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _json_lines(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        if all(not isinstance(inner, dict | list) for inner in value):
            joined = ", ".join(_scalar(inner) for inner in value)
            yield f"{key}: {joined}" if key else joined
        else:
            for inner in value:
                yield from _json_lines(inner, key)
    else:
        yield f"{key}: {_scalar(value)}" if key else _scalar(value)


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_xml(job: Job) -> Parsed:
    """Return the text of an XML file, an element with text of its own being a paragraph. Entities stay closed."""
    from lxml import etree

    page = Page(job.limits.output_mb << 20)
    # huge_tree stays off: it keeps libxml2's limits on entity expansion and depth.
    parser = etree.XMLParser(
        resolve_entities="internal", no_network=True, load_dtd=False, recover=True, huge_tree=False
    )
    data = job.path.read_bytes()
    root = etree.fromstring(data, parser)
    if any(re.search("amplification|entity (?:reference )?loop", error.message) for error in parser.error_log):
        raise ParseLimit("Its entities would expand without end.", remedy="Save it with its entities expanded.")
    if root is None:
        root = etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decode(data)).encode(), parser)
    if root is None:
        add_prose(page, re.sub(r"<[^>]*>", " ", decode(data)))
    else:
        for text in _paragraphs(root):
            page.add(text)
    return Parsed(tuple(page.blocks))


def _paragraphs(root: Any) -> Iterator[str]:
    """Yield the texts of the outermost elements that hold text of their own beside their children's."""
    stack = [root]
    while stack:
        element = stack.pop()
        if not isinstance(element.tag, str):
            continue
        mixed = bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
        if mixed:
            yield " ".join("".join(element.itertext()).split())
        else:
            stack.extend(reversed(element))
