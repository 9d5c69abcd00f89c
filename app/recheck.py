"""Whether an answer that was given still holds, now that documents that it quotes have changed.

First word for word: a quotation that still stands in its document, wherever in it, needs nothing more. Where one is
lost, the question is asked again and the two answers are compared, statement by statement, with what verifies
answers (``app.support``, ``app.facts``): an answer in other words that says the same is no news.

What the readers of the answer may not read now is *withheld*, and nothing follows from it, whether it changed, went or
stayed: a correction would tell them of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from app.facts import facts
from app.messages import ENGLISH, FRENCH
from app.support import Read, says_something, supporting_spans
from app.terms import content_terms
from indexing import changelog, store
from indexing.sentences import sentence_spans

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from app.events import Citation
    from indexing.documents import Passage, Scope

#: Share of the content terms of the shorter of two sentences that makes them sentences about one thing.
ALIKE_SHARE = 0.5
#: What stands before the first marker, and then between one group of markers and the next.
_MARKED = re.compile(r"(?P<said>.*?)(?P<markers>(?:[ \t]*\[\d{1,9}\])+)", re.DOTALL)
_BULLET = re.compile(r"\s*(?:[-*•‣▪●–—]|\d{1,3}[.)])\s")
_LEADS = tuple(lead.strip() for wording in (ENGLISH, FRENCH) for lead in (wording.lead, wording.disagree))
_STOPS = '.!?…。！？»”")'
_BEGINS = re.compile(r"(?:\A|\n|[.!?…。！？:;|»”)•*–—-])\s*\Z")
_ENDS = re.compile(r"[ \t]*(?:\n|\Z|[.;|])")
_QUOTES = "“”«» \u00a0\u202f\t\n"


class Found(StrEnum):
    """What became of a quotation, for those who may read *scope*."""

    STANDS = "stands"
    CHANGED = "changed"  # its document is there, without it
    GONE = "gone"  # its document is nowhere, and these readers could read it to the end
    WITHHELD = "withheld"  # they may not read its document, or there is no telling


@dataclass(frozen=True, slots=True)
class Quotation:
    """A quotation of an answer, what became of it, and what its document is called now; "" where nobody may know."""

    citation: Citation
    found: Found
    title: str = ""


def quotations(session: Session, scope: Scope, citations: Sequence[Citation], seen: int) -> tuple[Quotation, ...]:
    """Return what became of each of *citations* since position *seen* of the change log, when all could be read."""
    return tuple(_quotation(session, scope, each, seen) for each in citations)


def _quotation(session: Session, scope: Scope, citation: Citation, seen: int) -> Quotation:
    document_id = _document_of(session, citation)
    if document_id is None:
        # A list that changed before its document went may have shut these readers out: a deletion is news of it.
        told = changelog.kinds_since(session, citation.document_id, seen) <= {changelog.DELETE}
        return Quotation(citation, Found.GONE if told else Found.WITHHELD)
    document = store.document(session, scope, document_id)
    text = store.document_text(session, scope, document_id)
    if document is None or text is None:
        return Quotation(citation, Found.WITHHELD)
    return Quotation(citation, Found.STANDS if stands_in(citation.quote, text) else Found.CHANGED, document.title)


def _document_of(session: Session, citation: Citation) -> int | None:
    """Return the id of the cited document, or of one that came to its place after it was gone; None for neither."""
    if store.access_list_of(session, citation.document_id) is not None:
        return citation.document_id
    source = store.source_named(session, citation.source)
    known = None if source is None else store.known_document(session, source.id, citation.uri)
    return None if known is None else known.id


def stands_in(quote: str, text: str) -> bool:
    """Say whether *text* holds *quote* word for word, and nothing more is said in the same breath.

    White space, which parsers change, does not count. A quotation without a full stop ends where its line does.
    """
    words = quote.split()
    if not words:
        return False
    found = re.finditer(r"\s+".join(map(re.escape, words)), text)
    ended = words[-1][-1] in _STOPS
    return any(
        _BEGINS.search(text, max(0, at.start() - 40), at.start()) and (ended or _ENDS.match(text, at.end()))
        for at in found
    )


def statements(text: str, numbers: Collection[int] | None = None) -> tuple[str, ...]:
    """Return the sentences of an answer's *text* that a marker follows, without it; with *numbers*, one of those."""
    found = []
    for match in _MARKED.finditer(text):
        marked = {int(each) for each in re.findall(r"\d+", match["markers"])}
        if numbers is None or marked & set(numbers):
            found += [_plain(match["said"][start:end]) for start, end in sentence_spans(match["said"])]
    return tuple(each for each in found if says_something(each))


def _plain(sentence: str) -> str:
    """Return *sentence* without list sign, the program's own lead, and signs of quotation around it."""
    bullet = _BULLET.match(sentence)
    kept = sentence[bullet.end() if bullet else 0 :].strip()
    for lead in _LEADS:
        kept = kept.removeprefix(lead)
    return kept.strip(_QUOTES)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it was given: its text with markers, and what it cites. Without citations: nothing was known."""

    text: str
    citations: tuple[Citation, ...]


def says_the_same(
    question: str, old: Answered, new: Answered, quoted: Sequence[Quotation], passages: Sequence[Passage], language: str
) -> bool:
    """Say whether *new* says all that *old* said on the word of quotations that are lost, and nothing else about it.

    *quoted* are the old answer's quotations, *passages* those that *new* was made from. What cannot be told counts as
    another answer, except for what rests on documents that are withheld, which is not looked at. Where no quotation is
    lost, *new* has to say all that *old* said by itself.
    """
    lost = {each.citation.number for each in quoted if each.found in (Found.CHANGED, Found.GONE)}
    held = {each.citation.number for each in quoted if each.found is Found.WITHHELD}
    said = _without(old.text, lost or None, held)
    support = _quoted_passages(new.citations, passages) + (_standing(quoted, passages) if lost else [])
    if any(not supporting_spans(each, support, language) for each in said):
        return False
    return not any(_news(question, each, old.text, said) for each in statements(new.text))


def _without(text: str, lost: set[int] | None, held: set[int]) -> tuple[str, ...]:
    """Return the statements that rest on *lost*, but for those that rest on what is withheld too."""
    untold = set(statements(text, held))
    return tuple(each for each in statements(text, lost) if each not in untold)


def _quoted_passages(citations: Sequence[Citation], passages: Sequence[Passage]) -> list[Read]:
    """Return what *new* quotes, a passage of its own each: what it does not quote supports nothing."""
    by_chunk = {each.chunk_id: each for each in passages}
    return [Read(replace(by_chunk[each.chunk_id], text=each.quote)) for each in citations if each.chunk_id in by_chunk]


def _standing(quoted: Sequence[Quotation], passages: Sequence[Passage]) -> list[Read]:
    """Return the quotations that still stand, which these readers may read, each in the place of a passage."""
    texts = [(each.title, each.citation.quote) for each in quoted if each.found is Found.STANDS]
    return [Read(replace(passages[0], title=title, heading_path=(), text=text)) for title, text in texts if passages]


def _news(question: str, statement: str, old: str, said: Sequence[str]) -> bool:
    """Say whether *statement* is about what one of *said* is about, with figures, names or dates that *old* lacks."""
    terms = set(content_terms(statement))
    others = [set(content_terms(each)) for each in said]
    if not any(len(terms & each) >= ALIKE_SHARE * min(len(terms), len(each)) for each in others if terms and each):
        return False
    before, asked = facts(old), facts(question)
    known = before.anchors | asked.anchors | set(before.words) | set(asked.words)
    return bool(facts(statement).anchors - known)
