"""Markers in generated text: all written one way while it streams, and none of a passage that was not retrieved.

A marker of the model's is a hint at most: which passages support a sentence, and which characters of them, is found out
by ``app.support``, and ``app.verify`` places the markers that are shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NUMBERS = r"\d{1,9}(?:\s{0,2}[,;、]\s{0,2}\d{1,9}){0,15}"
_WORDS = r"(?:(?:passage|source|document|doc|ref|citation)s?\s{0,2}|\^)?"
_TAIL = r"(?:†[^\]】\[【\n]{0,40})?"
_SIGNS = rf"[\[【]\s{{0,2}}{_WORDS}(?P<ids>{_NUMBERS})\s{{0,2}}{_TAIL}[\]】]"
MARKER = re.compile(_SIGNS, re.IGNORECASE)
_MARKER = re.compile(rf"[ \t]*{_SIGNS}", re.IGNORECASE)
#: What may still become a marker when more text arrives: blanks, then a bracket that nothing has ruled out.
_OPEN_WORDS = r"(?:\^|[a-z]{0,9}\s{0,2})?"
_OPEN_SIGNS = rf"[\[【]\s{{0,2}}{_OPEN_WORDS}[\d\s,;、]{{0,200}}(?:†[^\]】\[【\n]{{0,40}})?"
PENDING_MARKER = re.compile(rf"{_OPEN_SIGNS}\Z", re.IGNORECASE)
_PENDING = re.compile(rf"(?:[ \t]+|[ \t]*{_OPEN_SIGNS})\Z", re.IGNORECASE)


@dataclass
class MarkerFilter:
    """Lets text through, writes every marker as ``[n]``, and takes out those whose passage was not retrieved.

    ``"".join(map(feed, pieces)) + finish()`` is the same for every way of splitting a text into pieces.
    """

    passage_count: int
    _held: str = field(default="", init=False)

    def feed(self, piece: str) -> str:
        """Return what can be shown now; a marker that is not complete yet is held back."""
        self._held += piece
        pending = _PENDING.search(self._held)
        cut = pending.start() if pending else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._clean(ready)

    def finish(self) -> str:
        """Return what was held back; there will be no more text."""
        ready, self._held = self._held, ""
        return self._clean(ready)

    def _clean(self, text: str) -> str:
        return _MARKER.sub(self._rewrite, text)

    def _rewrite(self, match: re.Match[str]) -> str:
        ids = [int(each) for each in re.findall(r"\d+", match["ids"])]
        kept = [each for each in dict.fromkeys(ids) if 1 <= each <= self.passage_count]
        if not kept:
            return ""
        blanks = match[0][: len(match[0]) - len(match[0].lstrip(" \t"))]
        return blanks + "".join(f"[{each}]" for each in kept)


def clean_markers(text: str, passage_count: int) -> str:
    """Return *text* as :class:`MarkerFilter` would let it through."""
    marker_filter = MarkerFilter(passage_count)
    return marker_filter.feed(text) + marker_filter.finish()
