"""Clean blocks: no NUL, no lone surrogate, no endless whitespace; the heading path; rows with their headers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexing.documents import Block
from indexing.errors import ParseLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Rows are gathered into blocks of about this many characters: a chunk or two each.
_TABLE_BLOCK_CHARS = 1_500
_HEADING_CHARS = 200
_HEADER_CHARS = 80
_BAD = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ODD_LINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_ODD_SPACES = re.compile("[\u00a0\u2007\u202f\u2000-\u200a\u3000\t ]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_NUMERIC = re.compile(r"[\s\d.,:/%€$£()+\-–]*")


def clean(text: str, *, keep_spaces: bool = False) -> str:
    """Return *text* fit for a block: control and invisible characters gone, spaces single unless *keep_spaces*."""
    text = _INVISIBLE.sub("", _ODD_LINES.sub("\n", text))
    text = _BAD.sub("", text)
    if keep_spaces:
        return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    text = _ODD_SPACES.sub(" ", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(" ?\n ?", "\n", text)).strip()


@dataclass(slots=True)
class Page:
    """Collects the blocks of one document in reading order, and knows the headings that they stand under."""

    most_chars: int
    blocks: list[Block] = field(default_factory=list)
    number: int | None = None  # page, slide or sheet of what is added next
    title: str | None = None  # the first top heading
    chars: int = 0
    _path: list[tuple[int, str]] = field(default_factory=list)

    @property
    def heading_path(self) -> tuple[str, ...]:
        """The headings above what is added next, outermost first."""
        return tuple(text for _, text in self._path)

    def add(self, text: str, kind: str = "text") -> None:
        """Add a block; blank text adds nothing. Raises ParseLimit past the most characters of a document."""
        text = clean(text, keep_spaces=kind == "code")
        if not text.strip():
            return
        self.chars += len(text)
        if self.chars > self.most_chars:
            raise ParseLimit(
                f"It gives more than {self.most_chars >> 20} MB of text.",
                remedy="Split the file, or raise METIER_PARSE_OUTPUT_MB.",
            )
        self.blocks.append(Block(text, kind, self.number, self.heading_path))

    def heading(self, text: str, level: int) -> None:
        """Add a heading of *level* (1 is the outermost): what follows stands under it."""
        text = " ".join(clean(text).split())
        if not text:
            return
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self.add(text, "title")
        if self.title is None and level <= 2:
            self.title = text[:_HEADING_CHARS]
        self._path.append((level, text[:_HEADING_CHARS]))

    def leave_headings(self) -> None:
        """Forget the headings so far: a new sheet or slide begins."""
        self._path.clear()

    def table(self, rows: Iterable[Sequence[str]], *, header: bool | None = None) -> None:
        """Add *rows* of cell texts, one line each with the headers repeated: ``Name: Ada; Born: 1815``.

        *header* tells whether the first row holds the headers; None: as it looks. Blank rows are left out.
        """
        cells = [[" ".join(clean(cell).split()) for cell in row] for row in rows]
        cells = [row for row in cells if any(row)]
        if not cells:
            return
        if header is None:
            header = _looks_like_header(cells)
        names = cells[0] if header else []
        if header and len(cells) == 1:
            self.add("; ".join(cell for cell in names if cell), "table")
            return
        lines: list[str] = []
        size = 0
        for row in cells[1:] if header else cells:
            line = _line(row, names)
            if size + len(line) > _TABLE_BLOCK_CHARS and lines:
                self.add("\n".join(lines), "table")
                lines, size = [], 0
            lines.append(line)
            size += len(line) + 1
        self.add("\n".join(lines), "table")


def _line(row: Sequence[str], names: Sequence[str]) -> str:
    """Return one row as a line; a cell without a header, or equal to it, stands alone."""
    parts = []
    for number, cell in enumerate(row):
        name = names[number].rstrip(" :") if number < len(names) else ""
        if cell:
            parts.append(f"{name}: {cell}" if name and name != cell else cell)
    return "; ".join(parts)


def _looks_like_header(cells: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns: short, distinct, wordy, and as wide as the rows below it."""
    first = cells[0]
    filled = [cell for cell in first if cell]
    if len(cells) < 2 or len(filled) < 2 or len(set(filled)) < len(filled):
        return False
    if any(len(cell) > _HEADER_CHARS or _NUMERIC.fullmatch(cell) for cell in filled):
        return False
    widest = max(sum(1 for cell in row if cell) for row in cells[1:])
    if len(filled) < widest - 1:
        return False
    if max(len(row) for row in cells) > 2:
        return True
    # Two columns: as likely "name, value" pairs. They have headers only where values below are numbers.
    values = [row[1] for row in cells[1:] if len(row) > 1 and row[1]]
    return bool(values) and sum(1 for value in values if _NUMERIC.fullmatch(value)) > len(values) / 2
