"""Word files, read from their XML: text boxes, content controls, equations, nested tables, notes and comments too.

``unstructured`` leaves these out: on the evaluation set it gave enough text for 73 % of the files. ECMA-376 part 1,
section 17 (WordprocessingML); names are compared without their namespace, as the strict variant has another one.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.errors import ParseError
from indexing.parsing import archive
from indexing.parsing.blocks import Page
from indexing.parsing.properties import sensible_title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.parsing.job import Job

#: What stands beside the shown text: deleted text, the older twin of a drawing, field codes, the list's own rubric.
_SKIPPED = frozenset(("del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "tblPr", "sectPr", "tcPr"))
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
_STYLE = re.compile(r"(?:heading|titre|überschrift|título|titolo) ?([1-9])", re.IGNORECASE)
#: Other parts of the package that hold text, and what introduces each.
_BESIDE = (("header", ""), ("footer", ""), ("footnotes", ""), ("endnotes", ""), ("comments", "Comment: "))


def read_docx(job: Job) -> Parsed:
    """Return the text of a Word file; headings by style or outline level, pages where Word last broke them."""
    archive.check(job.path, job.limits)
    page = Page(job.limits.output_mb << 20)
    try:
        with zipfile.ZipFile(job.path) as package:
            names = package.namelist()
            main = _main_part(package, names)
            levels = _heading_levels(package, posixpath.dirname(main))
            body = _tree(package, main)
            page.number = 1 if _has_page_breaks(body) else None
            _Walk(page, levels).add(body)
            page.leave_headings()
            page.number = None
            seen: set[str] = set()
            for part, label in _BESIDE:
                for name in sorted(names):
                    if re.fullmatch(rf"{re.escape(posixpath.dirname(main))}/?{part}\d*\.xml", name):
                        _add_beside(page, _tree(package, name), label, seen)
            title = sensible_title(_core_title(package, names))
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, NotImplementedError) as exc:
        raise ParseError(f"The Word file is damaged ({' '.join(str(exc).split())[:200]}).") from exc
    return Parsed(tuple(page.blocks), title or page.title)


def _tree(package: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    # No DTD, no entities, no network; libxml2's own limits on depth and size stay on but for long text nodes.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=True)
    tree = etree.fromstring(package.read(name), parser)
    if tree is None:
        raise ValueError(f"{name} is not XML")
    return tree


def _local(element: Any) -> str:
    """Return the name of an element without its namespace; "" for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _attribute(element: Any, name: str) -> str:
    """Return an attribute whatever its namespace, "" when absent."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _main_part(package: zipfile.ZipFile, names: list[str]) -> str:
    """Return the name of the part that holds the document: by the package's relations, else where Word puts it."""
    if "_rels/.rels" in names:
        for relation in _tree(package, "_rels/.rels"):
            if relation.get("Type", "").endswith("/officeDocument"):
                target = relation.get("Target", "").lstrip("/")
                if target in names:
                    return str(target)
    return "word/document.xml"


def _core_title(package: zipfile.ZipFile, names: list[str]) -> str:
    if "docProps/core.xml" not in names:
        return ""
    for element in _tree(package, "docProps/core.xml"):
        if _local(element) == "title":
            return element.text or ""
    return ""


def _heading_levels(package: zipfile.ZipFile, folder: str) -> dict[str, int]:
    """Return style id → heading level, from the style's name or outline level, or those of the one it is based on."""
    name = f"{folder}/styles.xml".lstrip("/")
    if name not in package.namelist():
        return {}
    levels: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in _tree(package, name):
        if _local(style) == "style":
            identity = _attribute(style, "styleId")
            facts = {_local(child): _attribute(child, "val") for child in style.iter()}
            if level := _level(facts.get("name", ""), facts.get("outlineLvl", "")):
                levels[identity] = level
            if parent := facts.get("basedOn"):
                based[identity] = parent
    for identity in based:
        parent, steps = identity, 0
        while parent not in levels and parent in based and steps < 20:
            parent, steps = based[parent], steps + 1
        if parent in levels:
            levels.setdefault(identity, levels[parent])
    return levels


def _level(name: str, outline: str) -> int:
    """Return the heading level that a style's name or outline level tells; 0 for none."""
    if match := _STYLE.fullmatch(name):
        return int(match[1])
    if name.lower() == "title":
        return 1
    return int(outline) + 1 if outline.isdecimal() and int(outline) < 9 else 0


def _has_page_breaks(body: Any) -> bool:
    return any(_is_page_break(element) for element in body.iter())


def _is_page_break(element: Any) -> bool:
    name = _local(element)
    return name == "lastRenderedPageBreak" or (name == "br" and _attribute(element, "type") == "page")


class _Walk:
    """Adds the paragraphs and tables of one part to a page, in the order of the text."""

    def __init__(self, page: Page, levels: dict[str, int]) -> None:
        self._page = page
        self._levels = levels

    def add(self, root: Any) -> None:
        """Add all paragraphs and tables under *root*, however deep: content controls and text boxes are containers."""
        stack = [root]
        while stack:
            element = stack.pop()
            kind = _local(element)
            if kind == "p":
                stack.extend(reversed(self._paragraph(element)))
            elif kind == "tbl" and _is_data(element):
                self._page.table(_rows(element))
                self._count_pages(element)
            elif kind and kind not in _SKIPPED:
                stack.extend(reversed(element))

    def _paragraph(self, paragraph: Any) -> list[Any]:
        """Add one paragraph; return the text boxes in it, whose paragraphs come next."""
        boxes: list[Any] = []
        before, after = _text(paragraph, boxes, parted=True)
        text = before + after
        level, kind = self._style(paragraph)
        if level and text.strip() and len(text) < 300:
            self._count_pages(paragraph)
            self._page.heading(text, level)
        elif len(after) >= len(before):  # a paragraph that runs over a page's end is cited where most of it stands
            self._count_pages(paragraph)
            self._page.add(text, kind)
        else:
            self._page.add(text, kind)
            self._count_pages(paragraph)
        return boxes

    def _style(self, paragraph: Any) -> tuple[int, str]:
        """Return the heading level (0: none) and the kind of block."""
        for properties in paragraph:
            if _local(properties) != "pPr":
                continue
            level, kind = 0, "text"
            for element in properties:
                name, value = _local(element), _attribute(element, "val")
                if name == "pStyle":
                    level = level or self._levels.get(value, 0)
                    kind = "list" if value.lower().startswith(("list", "liste", "paragraphedeliste")) else kind
                elif name == "outlineLvl" and value.isdecimal() and int(value) < 9:
                    level = int(value) + 1
                elif name == "numPr":
                    kind = "list"
            return level, kind
        return 0, "text"

    def _count_pages(self, element: Any) -> None:
        if self._page.number is None:
            return
        self._page.number += sum(_is_page_break(inner) for inner in element.iter())


def _text(root: Any, boxes: list[Any], *, parted: bool = False) -> tuple[str, str]:
    """Return the text under *root* before and after the last page break in it; text boxes are put into *boxes*."""
    pieces: list[str] = []
    broken = 0
    stack = list(reversed(root))
    while stack:
        element = stack.pop()
        kind = _local(element)
        if kind == "t":
            pieces.append(element.text or "")
        elif kind in _BREAKS:
            pieces.append(_BREAKS[kind])
        elif kind == "lastRenderedPageBreak":
            broken = len(pieces)
        elif kind == "sym":
            pieces.append(" ")
        elif kind == "txbxContent":
            boxes.append(element)
        elif kind and kind not in _SKIPPED:
            stack.extend(reversed(element))
    if not parted:
        return "".join(pieces), ""
    return "".join(pieces[:broken]), "".join(pieces[broken:])


def _is_data(table: Any) -> bool:
    """Return whether a table has rows of short cells and no table in it; otherwise it lays out a page."""
    widest = 0
    for element in table.iter():
        kind = _local(element)
        if kind == "tbl" and element is not table:
            return False
        if kind == "tr":
            cells = [cell for cell in element.iter() if _local(cell) == "tc"]
            widest = max(widest, len(cells))
            if any(len(_cell(cell)) > 1_000 for cell in cells):
                return False
    return widest > 1


def _rows(table: Any) -> Iterator[list[str]]:
    """Yield the cell texts of each row; a cell merged downwards is repeated, one merged across leaves blanks."""
    above: list[str] = []
    for row in table.iter():
        if _local(row) != "tr":
            continue
        texts: list[str] = []
        for cell in row.iter():
            if _local(cell) != "tc":
                continue
            across, merged = 1, False
            for element in cell.iter():
                if _local(element) == "gridSpan" and _attribute(element, "val").isdecimal():
                    across = min(int(_attribute(element, "val")), 100)
                elif _local(element) == "vMerge":
                    merged = _attribute(element, "val") != "restart"
            text = _cell(cell)
            if merged and not text and len(texts) < len(above):
                text = above[len(texts)]
            texts.append(text)
            texts.extend([""] * (across - 1))
        above = texts
        yield texts


def _cell(cell: Any) -> str:
    """Return the text of a cell, its text boxes at the end, paragraphs parted by spaces."""
    boxes: list[Any] = []
    paragraphs = [element for element in cell.iter() if _local(element) == "p" and not _boxed(element, cell)]
    parts = ["".join(_text(paragraph, boxes)) for paragraph in paragraphs]
    parts += [_cell(box) for box in boxes]
    return " ".join(" ".join(parts).split())


def _boxed(element: Any, cell: Any) -> bool:
    """Return whether *element* stands in a text box inside *cell*."""
    parent = element.getparent()
    while parent is not None and parent is not cell:
        if _local(parent) == "txbxContent":
            return True
        parent = parent.getparent()
    return False


def _add_beside(page: Page, root: Any, label: str, seen: set[str]) -> None:
    """Add the paragraphs of a header, footer, note or comment part, each text once."""
    for element in root.iter():
        if _local(element) == "p":
            text = " ".join("".join(_text(element, [])).split())
            if re.search(r"\w", text) and text not in seen:
                seen.add(text)
                page.add(label + text)
