"""What can be quoted of a passage: its sentences, and the lines that stand for themselves: list items, table rows."""

from __future__ import annotations

import re

from indexing.sentences import sentence_spans

#: A table row as the parser writes it: "Item: Desk; Lyon: 200 €; Leeds: £170".
_ROW = re.compile(r"[^:;\n]{1,80}: [^;\n]*(?:; ?[^:;\n]{1,80}: [^;\n]*)+|[^|\n]+(?:\|[^|\n]*)+")
#: Two cells of one: a row whose first cell has no name ("Leave, full time; Leeds: 26 days; Lyon: 25 days").
_CELLS = re.compile(r"[;] ?[^:;\n]{1,80}: [^;\n]*; ?[^:;\n]{1,80}: ")
_BEGINS_ANEW = re.compile(r"[^\w\n]*[A-ZÀ-Ý\d]")
#: Nobody wraps lines at more than this: a longer one says that each line break in the text means something.
WRAPPED_AT_MOST = 120
#: A line that ends well before the longest one was not wrapped there, it ended.
SHORT_SHARE = 0.7


def is_row(text: str) -> bool:
    """Return whether *text* is a table row, as the parser writes it."""
    return _ROW.fullmatch(text.strip()) is not None or _CELLS.search(text) is not None


def quotable_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of what can be quoted of *text*, in order, white space trimmed; [] for blank text.

    Sentences as ``indexing.sentences`` sees them, which takes most line breaks for wrapping, cut again at the line
    breaks that are not: around table rows, and after lines that are too short to have been wrapped.
    """
    longest = max((len(line) for line in text.split("\n")), default=0)
    return [piece for start, end in sentence_spans(text) for piece in _cut(text, start, end, longest)]


def _cut(text: str, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    pieces = []
    first = start
    for match in re.finditer(r"[ \t]*\n\s*", text[start:end]):
        line_break, following = start + match.start(), start + match.end()
        if _ends_a_line(text, line_break, following, longest):
            pieces.append((first, line_break))
            first = following
    return [*pieces, (first, end)]


def _ends_a_line(text: str, line_break: int, following: int, longest: int) -> bool:
    """Say whether the line break at *line_break* means something, or only wraps a sentence."""
    before = text[text.rfind("\n", 0, line_break) + 1 : line_break].strip()
    stop = text.find("\n", following)
    after = text[following : stop if stop >= 0 else len(text)].strip()
    if _ROW.fullmatch(before) or _ROW.fullmatch(after):
        return True
    if not _BEGINS_ANEW.match(after) or before.endswith((",", "-", "–", "(")):
        return False
    return longest > WRAPPED_AT_MOST or len(before) < SHORT_SHARE * longest
