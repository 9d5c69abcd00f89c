"""Markers in generated text, and the exact characters of a passage that stand behind them.

Two questions are answered here, by code and never by the model:

* May this marker be shown? Only when its number is that of a passage that was retrieved
  (:class:`MarkerFilter`, while the text streams: what it lets out never depends on how the text was split).
* Does that passage support what was said? The sentence of the passage that shares most with the claim is the
  quote; below a floor there is no citation, and an answer without a single citation is not presented as
  one (``app.answer`` abstains with the reason ``unsupported``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from app.events import Citation
from app.quotable import quotable_spans
from app.terms import content_terms, numbers
from indexing.sentences import sentence_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexing.documents import Passage

#: Share of the claim's content terms that the quoted sentence must hold. Invented claims on the right subject
#: share its words too, so half is not enough evidence on its own: every number of the claim must be there as well.
SUPPORT_FLOOR = 0.5
#: A claim and a passage in two languages share names and numbers only; this many of them must be there.
ANCHORS_ACROSS_LANGUAGES = 2
SHORTEST_CLAIM = 3  # content terms: less is no statement

_NUMBERS = r"\d{1,9}(?:\s{0,2}[,;、]\s{0,2}\d{1,9}){0,15}"
_WORDS = r"(?:(?:passage|source|document|doc|ref|citation)s?\s{0,2}|\^)?"
_TAIL = r"(?:†[^\]】\[【\n]{0,40})?"
_MARKER = re.compile(rf"[ \t]*[\[【]\s{{0,2}}{_WORDS}(?P<ids>{_NUMBERS})\s{{0,2}}{_TAIL}[\]】]", re.IGNORECASE)
#: What may still become a marker when more text arrives: blanks, then a bracket that nothing has ruled out.
_OPEN_WORDS = r"(?:\^|[a-z]{0,9}\s{0,2})?"
_PENDING = re.compile(
    rf"(?:[ \t]+|[ \t]*[\[【]\s{{0,2}}{_OPEN_WORDS}[\d\s,;、]{{0,200}}(?:†[^\]】\[【\n]{{0,40}})?)\Z", re.IGNORECASE
)
_SHOWN = re.compile(r"\[(\d{1,9})\]")


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


def check_citations(text: str, passages: Sequence[Passage], language: str = "und") -> tuple[str, tuple[Citation, ...]]:
    """Return the text with only allowed markers, and the citations that hold, in order of appearance.

    *language* is that of the text. One citation per (number, quote). No markers or no passages: no citations.
    """
    shown = clean_markers(text, len(passages))
    found: dict[tuple[int, int, int], Citation] = {}
    for claim, number in _claims(shown):
        citation = _support(claim, number, passages[number - 1], language)
        if citation is not None:
            found.setdefault((number, citation.start, citation.end), citation)
    return shown, tuple(found.values())


def _claims(text: str) -> Iterator[tuple[str, int]]:
    """Yield (claim, passage number) for each marker: the sentence that the marker ends or stands in.

    Markers in a row share one claim. A marker after a full stop belongs to the sentence before it.
    """
    begin = 0
    claim = ""
    for match in _SHOWN.finditer(text):
        between = text[begin : match.start()]
        if content_terms(between) or numbers(between):
            claim = _last_claim(between)
        begin = match.end()
        if claim:
            yield claim, int(match[1])


def _last_claim(between: str) -> str:
    """Return the quotation that *between* ends with, whole, or its last sentence."""
    if quoted := _QUOTED.search(between):
        return quoted[0]
    start, end = sentence_spans(between)[-1]
    # "Yes. [1]" says nothing by itself: take the sentences before it along, up to the last marker.
    return between[start:end] if len(content_terms(between[start:end])) >= SHORTEST_CLAIM else between.strip()


def _support(claim: str, number: int, passage: Passage, language: str) -> Citation | None:
    """Return the citation of the passage's sentence that best supports *claim*, or None below the floor."""
    exact = _verbatim(claim, passage.text)
    span = exact if exact is not None else _best_sentence(claim, passage, language)
    if span is None:
        return None
    start, end = span
    return Citation(
        number=number,
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        source=passage.source,
        uri=passage.uri,
        title=passage.title,
        page=passage.page,
        quote=passage.text[start:end],
        start=passage.start + start,
        end=passage.start + end,
    )


_QUOTED = re.compile(r"[“«\"]\s?(.{3,}?)\s?[”»\"]\s*\Z", re.DOTALL)


#: What is shown in another shape than it stands in the document: white space, markers, neutralised tags.
_SHAPES = {"(": r"[(\[【]", ")": r"[)\]】]", "‹": "[‹<]"}


def _verbatim(claim: str, text: str) -> tuple[int, int] | None:
    """Return the sentences of *text* in which the claim, or the quotation it ends with, stands word for word."""
    quoted = _QUOTED.search(claim)
    for candidate in ([quoted[1]] if quoted else []) + [claim]:
        words = ("".join(_SHAPES.get(each, re.escape(each)) for each in word) for word in candidate.split())
        if found := re.search(r"\s+".join(words), text):
            touched = [(a, b) for a, b in quotable_spans(text) if a < found.end() and b > found.start()]
            return touched[0][0], touched[-1][1]
    return None


def _best_sentence(claim: str, passage: Passage, language: str) -> tuple[int, int] | None:
    """Return the span of the sentence, or pair of neighbours, that shares most with the claim, if enough."""
    wanted = set(content_terms(claim, language))
    figures = numbers(claim)
    if not wanted and not figures:
        return None
    if figures - numbers(passage.text):
        return None  # the passage never states this number
    spans = quotable_spans(passage.text)
    if "und" not in (language, passage.language) and language != passage.language:
        return _best_by_anchors(claim, passage.text, spans)
    windows = spans + [(a[0], b[1]) for a, b in pairwise(spans)]
    best: tuple[float, int, tuple[int, int]] | None = None
    for span in windows:
        text = passage.text[slice(*span)]
        held = len(wanted & set(content_terms(text, language))) / len(wanted) if wanted else 1.0
        if figures - numbers(text):
            held /= 2  # stated elsewhere in the passage
        ranked = (round(held, 3), -(span[1] - span[0]), span)
        if best is None or ranked > best:
            best = ranked
    return best[2] if best is not None and best[0] >= SUPPORT_FLOOR else None


_NAME = re.compile(r"(?<!^)(?<![.!?]\s)\b[A-ZÀ-Ý][\w’'-]+")


def _best_by_anchors(claim: str, text: str, spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the sentence with most of the claim's numbers and names: all that two languages have in common."""
    anchors = numbers(claim) | {name.casefold() for name in _NAME.findall(claim)}
    scored = [(len(anchors & (numbers(text[a:b]) | set(_lower_words(text[a:b])))), -a, (a, b)) for a, b in spans]
    best = max(scored, default=(0, 0, (0, 0)))
    return best[2] if best[0] >= min(ANCHORS_ACROSS_LANGUAGES, len(anchors)) and best[0] > 0 else None


def _lower_words(text: str) -> list[str]:
    return [word.casefold() for word in re.findall(r"[\w’'-]+", text)]
