"""The built-in generator: it answers in the documents' own words.

First the short answer, where the model is sure of one ("25 days"), then the sentence that holds it and what else
supports it, each quoted exactly. Where two documents give two numbers for the same thing, it says that they disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from app.cite import MARKER
from app.evidence import asked_kind, holds_kind
from app.messages import messages
from app.quotable import is_row
from app.terms import content_terms, numbers
from indexing.sentences import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.evidence import Sentence
    from app.generator import GenerationRequest, Pieces
    from app.reading import Span
    from indexing.documents import Passage

MOST_QUOTES = 3
#: A further sentence is quoted when its probability is at least this share of the best one's:
#: benchmarks/fit_abstention.py prints what other values give on the training questions.
FURTHER_SHARE = 0.6
MOST_SHORT_WORDS = 12
SHORT_SHARE = 0.7  # of the sentence's words: a longer answer is the sentence itself
DISAGREE_SHARE = 0.3  # of the best sentence's probability: the rank of its passage alone may halve it
DISAGREE_MARGIN = 2.0  # logits that the reader may find the other answer worse
ALIKE_SHARE = 0.5  # of the content terms of the shorter of two sentences about the same thing
LONGEST_LIST = 600  # characters of a list that is quoted with the line that introduces it
#: What the marker check would take for a citation ("[3]" of an encyclopedia) is shown in round brackets.
_LOOKS_LIKE_MARKER = re.compile(r"[\[【](\^?[\d\s,;、–-]{1,40})[\]】]")


@dataclass(frozen=True)
class Reader:
    """Extractive: picks from ``request.sentences``, which ``app.evidence`` has weighed, and writes nothing itself."""

    name: str = "reader"

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield the short answer and one to three quotes with their markers; nothing when no sentence was weighed."""
        wording = messages(request.language)
        lead = wording.lead
        quotes = choose(request.sentences, request.passages)
        if rivals := disagreement(request.question, request.sentences, request.passages):
            lead, quotes = wording.disagree, choose(rivals, request.passages, further_share=0.0)
        elif short := short_text(request):
            yield f"{short}{'' if short.endswith(('.', '!')) else '.'} [{request.sentences[0].passage + 1}] "
        for quote in quotes:
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


def short_answer(sentences: Sequence[Sentence]) -> Span | None:
    """Return where the short answer stands, characters of the best sentence's passage; None when there is none.

    It is the reader's best answer in the best sentence, if that beats "no answer", is a few words, and not most of
    the sentence: then the sentence says it as well.
    """
    if not sentences:
        return None
    best = sentences[0]
    span = best.answer
    if span is None or span.margin <= 0 or _wrong_row(best, sentences):
        return None
    told = len(words(best.text[span.start - best.start : span.end - best.start]))
    whole = len(words(best.text))
    return span if 0 < told <= MOST_SHORT_WORDS and told <= SHORT_SHARE * whole else None


def _wrong_row(best: Sentence, sentences: Sequence[Sentence]) -> bool:
    """Return whether *best* is a row of a table, and another one of its passage holds more of the question's words.

    Rows are alike but for a name: the one that the question names is meant. Both are quoted then.
    """
    held = best.feature("coverage")
    others = (each for each in sentences if each.passage == best.passage)
    return is_row(best.text) and any(each.feature("coverage") > held and is_row(each.text) for each in others)


def short_text(request: GenerationRequest) -> str:
    """Return the short answer as it is shown, and "" when there is none or the documents disagree on it."""
    span = short_answer(request.sentences)
    if span is None or disagreement(request.question, request.sentences, request.passages):
        return ""
    text = request.passages[request.sentences[0].passage].text[span.start : span.end]
    kind = asked_kind(request.question)
    if kind in ("number", "date") and not holds_kind(kind, text, request.question):
        return ""  # a name for "how much": the sentence is quoted, and says what it says
    return quote_text(text)


def disagreement(
    question: str, sentences: Sequence[Sentence], passages: Sequence[Passage]
) -> tuple[Sentence, Sentence] | None:
    """Return two sentences of two documents that give different numbers for what the question asks, if there are.

    Both sentences answer nearly as well as the best one, in the reader's eyes and in all, share most of their
    other words, and the short answer of each holds a number that neither the question nor the other sentence has.
    """
    if asked_kind(question) not in ("number", "date"):
        return None
    if not sentences or sentences[0].answer is None:
        return None
    floor = sentences[0].probability * DISAGREE_SHARE
    least = max(0.0, sentences[0].answer.margin - DISAGREE_MARGIN)
    rivals = [s for s in sentences[:8] if s.probability >= floor and s.answer is not None and s.answer.margin > least]
    told = [numbers(_answer_text(each)) - numbers(question) for each in rivals]
    for (one, mine), (other, yours) in combinations(zip(rivals, told, strict=True), 2):
        apart = passages[one.passage].document_id != passages[other.passage].document_id
        differ = mine - numbers(other.text) and yours - numbers(one.text)
        if apart and differ and _alike(one.text, other.text):
            return one, other
    return None


def _answer_text(sentence: Sentence) -> str:
    span = sentence.answer
    return "" if span is None else sentence.text[span.start - sentence.start : span.end - sentence.start]


def _alike(one: str, other: str) -> bool:
    mine, yours = set(content_terms(one)), set(content_terms(other))
    return len(mine & yours) >= ALIKE_SHARE * min(len(mine), len(yours))


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
    shown = _LOOKS_LIKE_MARKER.sub(r"(\1)", " ".join(text.split()))
    return MARKER.sub(lambda marker: f"({marker[0][1:-1]})", shown)
