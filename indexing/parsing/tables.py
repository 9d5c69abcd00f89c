"""Rows from delimited text."""

from __future__ import annotations

import csv
import io
import re

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 200


def delimited(text: str) -> list[list[str]]:
    """Return the rows of comma-, semicolon-, tab- or bar-separated *text*; rows may differ in length."""
    text = text.replace("\0", "")
    first, _, rest = text.partition("\n")
    if match := re.fullmatch(r"sep=(.)\s*", first):  # Excel's own hint
        return _rows(rest, match[1])
    return _rows(text, _delimiter(text))


def _delimiter(text: str) -> str:
    """Return the delimiter that divides the first lines into the most columns most evenly."""
    sample = "".join(text.splitlines(keepends=True)[:_SAMPLE_LINES])
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in _rows(sample, delimiter) if row]
        if not widths:
            continue
        common = max(set(widths), key=lambda width: (widths.count(width), width))
        score = (common - 1) * widths.count(common) / len(widths)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(1 << 24)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False))
