"""HTML to blocks, by one walk over the tree: nothing that is shown is lost, however deep or wrongly nested it is.

``unstructured``'s own HTML reader drops nested tables, single letters and much inside inline elements: on the
evaluation set it gave enough text for 82 % of the pages, this walk does for all but a few (docs/parsing.md).
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from indexing.parsing.blocks import Page, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_TAG = re.compile(r"<[^>]*>")
_UNSHOWN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_DROPPED = ("script", "style", "noscript", "template", "head", "object", "iframe", "canvas")
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
     "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
     "html", "legend", "li", "main", "menu", "nav", "ol", "optgroup", "option", "p", "pre", "section", "select",
     "summary", "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul")
)  # fmt: skip
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LONG_CELL = 1_000
_MENUS = ".//nav | .//*[@role='navigation' or @role='search']"
_AROUND = (
    f"{_MENUS} | .//*[@role='banner' or @role='contentinfo' or @role='complementary']"
    " | .//footer[not(ancestor::article)] | .//aside[not(ancestor::article)]"
)
_MOST_SPAN = 100


def add_html(page: Page, markup: str, *, links: bool = False, whole: bool = True) -> str | None:
    """Add the text of *markup* to *page*; return its ``<title>``. *links*: put the address behind a link's text.

    *whole*: with what stands around the content on every page of a site, such as menus.
    """
    from lxml import etree, html

    markup = _DECLARATION.sub("", markup).replace("\0", "")
    if not markup.strip():
        return None
    # Depth is no danger here: nothing below recurses. Without huge_tree all below a depth of 256 would be cut off.
    parser = html.HTMLParser(huge_tree=True, remove_pis=True, remove_comments=True)
    try:
        root = html.document_fromstring(markup, parser=parser)
    except etree.ParserError:
        return None
    title = " ".join((root.findtext(".//title") or "").split())
    before = len(page.blocks)
    etree.strip_elements(root, *_DROPPED, with_tail=False)
    if any("depth" in error.message.lower() for error in parser.error_log):
        page.add(" ".join(_TAG.sub(" ", _UNSHOWN.sub(" ", markup)).split()))  # the tree was cut off: text without form
    else:
        _Walk(page, links=links).walk(root if whole else main_part(root))
    if title and len(page.blocks) == before:
        page.add(title)
    return title or None


def main_part(root: Any) -> Any:
    """Return the part of a page that is its own: by the landmarks of the HTML standard, without menus.

    That is the one ``<main>``, else all but menus and what belongs to the site (not to an article) as footer or aside.
    *root* itself when nothing else is left of it.
    """
    mains = root.xpath("//main | //*[@role='main']")
    part = copy.deepcopy(mains[0] if len(mains) == 1 else root)
    part.tail = None
    around = _MENUS if len(mains) == 1 else _AROUND
    for element in part.xpath(around):
        if element.getparent() is not None:
            element.drop_tree()
    return part if "".join(part.itertext()).strip() else root


class _Walk:
    """Collects the text of inline elements until a block begins or ends."""

    def __init__(self, page: Page, *, links: bool) -> None:
        self._page = page
        self._links = links
        self._pieces: list[str] = []
        self._kinds: list[str] = []  # of the open elements that decide the kind of their text
        self._level = 0  # of the open heading

    def walk(self, root: Any) -> None:
        from lxml import etree

        walker = etree.iterwalk(root, events=("start", "end"))
        for event, element in walker:
            if event == "start":
                if self._start(element):
                    walker.skip_subtree()
            else:
                self._end(element)
        self._flush()

    def _start(self, element: Any) -> bool:
        """Take in the start of *element*; return whether it was read whole."""
        tag = element.tag
        if tag == "br":
            self._pieces.append("\n")
        if tag in _BLOCKS:
            self._flush()
        if tag == "table" and is_data(element):
            add_table(self._page, element)
            return True
        if tag in _HEADINGS:
            self._level = int(tag[1])
        if tag in ("li", "pre"):
            self._kinds.append("list" if tag == "li" else "code")
        if element.text:
            self._pieces.append(self._spaced(element.text))
        return False

    def _end(self, element: Any) -> None:
        tag = element.tag
        if tag == "a" and self._links:
            self._pieces.append(_address(element))
        if tag in _BLOCKS:
            self._flush()
        if tag in ("li", "pre") and self._kinds:
            self._kinds.pop()
        if tag in _HEADINGS:
            self._level = 0
        if element.tail:
            self._pieces.append(self._spaced(element.tail))

    def _spaced(self, text: str) -> str:
        """Return *text* with single spaces, as a browser shows it; as it is inside ``<pre>``."""
        return text if self._kinds and self._kinds[-1] == "code" else re.sub(r"\s+", " ", text)

    def _flush(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if self._level and text.strip():
            self._page.heading(text, self._level)
        else:
            self._page.add(text, self._kinds[-1] if self._kinds else "text")


def _address(link: Any) -> str:
    """Return the address behind a link, in brackets; "" when the text shows it or it leads into the same site."""
    address = str(link.get("href", ""))
    if not address.startswith(("http:", "https:", "mailto:")):
        return ""
    return "" if address.removeprefix("mailto:") in "".join(link.itertext()) else f" ({address})"


def is_data(table: Any) -> bool:
    """Return whether a ``<table>`` holds data in rows and columns, and is not there to lay out a page."""
    if next(table.iter(*_HEADINGS), None) is not None or len(table.findall(".//table")) > 0:
        return False
    widest = 0
    for row in table.iter("tr"):
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        widest = max(widest, len(cells))
        if any(len("".join(cell.itertext())) > _LONG_CELL for cell in cells):
            return False
    return widest > 1


def add_table(page: Page, table: Any) -> None:
    """Add the rows of a ``<table>``; its headers are a first row of ``<th>``, else what looks like headers."""
    for caption in table.iter("caption"):
        page.add(" ".join("".join(caption.itertext()).split()))
    rows = list(_rows(table))
    first = next(table.iter("tr"), None)
    marked = first is not None and len(first) > 1 and all(cell.tag == "th" for cell in first)
    page.table(rows, header=True if marked else None)


def _rows(table: Any) -> Iterator[list[str]]:
    """Yield the cell texts of each row; a cell that spans rows is repeated in each, one that spans columns is not."""
    pending: dict[int, tuple[str, int]] = {}  # column → text of a cell from above, and for how many rows more
    for row in table.iter("tr"):
        texts: list[str] = []
        for cell in row:
            if cell.tag not in ("td", "th"):
                continue
            _fill(texts, pending)
            text = cell_text(cell)
            down, across = _span(cell, "rowspan"), _span(cell, "colspan")
            if down > 1:
                pending[len(texts)] = (text, down - 1)
            texts.append(text)
            texts.extend([""] * (across - 1))
        _fill(texts, pending)
        yield texts


def _fill(texts: list[str], pending: dict[int, tuple[str, int]]) -> None:
    """Append the cells that reach down into this row at the next columns."""
    while len(texts) in pending:
        text, left = pending.pop(len(texts))
        if left > 1:
            pending[len(texts)] = (text, left - 1)
        texts.append(text)


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    return max(1, min(int(value), _MOST_SPAN)) if value.isdecimal() else 1


def cell_text(cell: Any) -> str:
    """Return the text of a cell on one line; a space parts its pieces only where blocks or line breaks do."""
    gap = " " if next(cell.iterdescendants(*_BLOCKS, "br"), None) is not None else ""
    return " ".join(clean(gap.join(cell.itertext())).split())
