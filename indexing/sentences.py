"""Where sentences begin and end, and what the words are, in English and French: rules, no model.

One set of rules serves the chunker (where may a long paragraph be cut?) and the reader (what may be
quoted?), so that a quoted sentence is never half of a cut one.
"""

from __future__ import annotations

import re

#: Before a capital letter these still do not end a sentence ("Dr. Martin", "art. L. 121-1").
_TITLES = (
    "mr mrs ms dr prof st ste sr jr rev hon gov sen rep gen col capt sgt lt mt messrs "
    "mm mme mmes mlle mlles me pr av bd boul tél réf cf vs al éd ed eds coll "
    "e.g i.e c.-à-d c.à.d ex env approx dept inc ltd u.s u.k"
)
#: Only before a number or a capital that numbers things ("no. 5", "art. 12", "Jan. 3", "p. 7").
_NUMBERED = (
    "no nos n nº n° art arts fig figs sec secs ch chap p pp pg vol vols ref tab eq al § "
    "jan feb mar apr jun jul aug sep sept oct nov dec janv févr avr juil déc"
)
_NEVER_LAST = frozenset(_TITLES.split())
_LAST_UNLESS_NUMBER = frozenset(_NUMBERED.split())
#: A full stop, question or exclamation mark with its closing quotes and brackets, then white space;
#: or a CJK full stop; or a line break. Possessive and anchored: linear whatever the text.
_CANDIDATE = re.compile(
    r"(?<![.!?…])(?P<stop>[.!?…]++(?:[”\"’')\]]|[ \u00a0\u202f]?»)*+)(?P<gap>\s++)"
    r"|(?P<cjk>[。！？]++[」』”）]*+)"
    r"|(?P<line>\n\s*+)"
)
_LIST_MARKER = re.compile(r"(?:[-*•‣▪●–—|]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t\u00a0]")
_ENUMERATOR = re.compile(r"\s*(?:\d{1,3}|[a-zA-Z])")
_INITIAL = re.compile(r"(?:^|[.\-])[^\W\d_a-zà-ÿ]$")  # "J. Martin", "av. J.-C.", "the U.S. Senate"
_WORD_BEFORE = re.compile(r"[\w°§º.\-]+$")
_NUMBERING = re.compile(r"\d|[IVXLC]+\b|[A-Z]\.? ?\d|[LRDA]\. ?\d")
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+")
_LOOK_BACK = 24  # characters: longer than any abbreviation above


def words(text: str) -> list[str]:
    """Return the words of *text* in order, case-folded, accents kept; "l'usine" is two, "10,000" is one."""
    return _WORD.findall(text.casefold())


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence, in order, white space trimmed; [] for blank text.

    Every character that is not white space lies in exactly one span. List lines and blank lines
    always separate; other line breaks are taken as wrapping. Linear in the length of the text.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _CANDIDATE.finditer(text):
        if not _separates(text, start, match):
            continue
        _append(spans, text, start, match.end("stop") if match["stop"] else match.end())
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    if stripped := piece.strip():
        first = start + len(piece) - len(piece.lstrip())
        spans.append((first, first + len(stripped)))


def _separates(text: str, start: int, match: re.Match[str]) -> bool:
    """Say whether the sentence that begins at *start* ends at this candidate."""
    if match["cjk"]:
        return True
    gap = match["line"] or match["gap"]
    if "\n" in gap and (gap.count("\n") > 1 or _LIST_MARKER.match(text, match.end())):
        return True
    if match["line"]:
        return False
    following = text[match.end() : match.end() + 8].lstrip("«“\"‘'([—– \u00a0\u202f")
    if following[:1].islower():
        return False
    return not match["stop"].startswith(".") or not _abbreviates(text, start, match.start("stop"), match.end())


def _abbreviates(text: str, start: int, stop: int, following: int) -> bool:
    """Say whether the full stop at *stop* belongs to an abbreviation, an initial or the number of a list item."""
    if _ENUMERATOR.fullmatch(text, start, stop):
        return True
    found = _WORD_BEFORE.search(text[max(start, stop - _LOOK_BACK) : stop])
    if found is None:
        return False
    word = found[0].casefold()
    if word in _NEVER_LAST or _INITIAL.search(found[0]):
        return True
    return word in _LAST_UNLESS_NUMBER and _NUMBERING.match(text, following) is not None
