"""The built-in generator: it answers in the documents' own words, quoting the best-supported sentences exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.messages import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.evidence import Sentence
    from app.generator import GenerationRequest, Pieces
    from indexing.documents import Passage

MOST_QUOTES = 3
#: A further sentence is quoted when its probability is at least this share of the best one's:
#: benchmarks/fit_abstention.py prints what other values give on the training questions.
FURTHER_SHARE = 0.6
LONGEST_LIST = 600  # characters of a list that is quoted with the line that introduces it
#: What the marker check would take for a citation ("[3]" of an encyclopedia) is shown in round brackets.
_LOOKS_LIKE_MARKER = re.compile(r"[\[【](\^?[\d\s,;、–-]{1,40})[\]】]")


@dataclass(frozen=True)
class Reader:
    """Extractive: picks from ``request.sentences``, which ``app.evidence`` has weighed, and writes nothing itself."""

    name: str = "reader"

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield one to three quotes with their markers; nothing when no sentence was weighed."""
        wording = messages(request.language)
        lead = wording.lead
        for quote in choose(request.sentences, request.passages):
            text = quote_text(request.passages[quote.passage].text[quote.start : quote.end])
            yield f"{lead}{wording.open_quote}{text}{wording.close_quote} [{quote.passage + 1}]"
            lead = " "
        return "stop"


@dataclass(frozen=True, slots=True)
class Quote:
    """Characters of a passage that are quoted as one."""

    passage: int
    start: int
    end: int


def choose(
    sentences: Sequence[Sentence], passages: Sequence[Passage], *, further_share: float = FURTHER_SHARE
) -> list[Quote]:
    """Return what to quote: best passage first, and in the passage's own order; neighbours become one quote.

    *sentences* are best first. The same words are quoted once, also when two documents hold them. A line that
    ends in a colon is quoted with the list that it introduces.
    """
    if not sentences:
        return []
    floor = sentences[0].probability * further_share
    chosen: list[Quote] = []
    seen: set[str] = set()
    for each in sentences:
        key = " ".join(each.text.split()).casefold()
        if each.probability < floor or len(chosen) == MOST_QUOTES:
            break
        if key in seen or any(q.passage == each.passage and q.start <= each.start < q.end for q in chosen):
            continue
        seen.add(key)
        chosen.append(Quote(each.passage, each.start, _with_list(passages[each.passage].text, each.start, each.end)))
    order = {passage: rank for rank, passage in reversed(list(enumerate(q.passage for q in chosen)))}
    chosen.sort(key=lambda quote: (order[quote.passage], quote.start))
    return _joined(chosen, passages)


def _joined(quotes: list[Quote], passages: Sequence[Passage]) -> list[Quote]:
    """Return *quotes* with those that only white space separates made one, and overlaps taken out."""
    joined: list[Quote] = []
    for quote in quotes:
        last = joined[-1] if joined else None
        if last and last.passage == quote.passage and not passages[quote.passage].text[last.end : quote.start].strip():
            joined[-1] = Quote(last.passage, last.start, max(last.end, quote.end))
        else:
            joined.append(quote)
    return joined


def _with_list(text: str, start: int, end: int) -> int:
    """Return *end*, or the end of the list that follows a line ending in a colon."""
    if not text[start:end].rstrip().endswith(":"):
        return end
    stop = end
    for line in re.finditer(r"\s*\S[^\n]*", text[end:]):
        blank_line = re.match(r"\s*\n\s*\n", line[0])
        if end + line.end() - start > LONGEST_LIST or (blank_line and stop > end):
            break
        stop = end + line.end()
    return stop


def quote_text(text: str) -> str:
    """Return the quoted characters as they are shown: line breaks as blanks, nothing that looks like a marker."""
    return _LOOKS_LIKE_MARKER.sub(r"(\1)", " ".join(text.split()))
