"""Which characters of the authorised passages support a sentence: the same words, or words that entail it.

First exactly: the sentence's words stand in a passage one after the other. Else by a :data:`Scorer`, sentence by
sentence of each passage; the one built in, :func:`shared_words`, wants every content word of the claim in the support,
but for the few that say nothing by themselves, because a single invented word is enough to make a sentence false.
Whatever the scorer says, figures, names, dates, addresses and negations must agree (``app.facts``).

What rules cannot see is who does what to whom inside one sentence of a document ("A replaces B", "B replaces A" where
neither is a name), and, across two languages, anything but figures and names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from app.events import Citation
from app.facts import contradicts, facts, wording
from app.quotable import quotable_spans
from app.shown import visible
from app.terms import content_terms, content_words, fold
from indexing.language import UNKNOWN, detect_language

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from indexing.documents import Passage

#: (claim, its language, support, its language) → how far the support entails the claim, 0..1.
Scorer: TypeAlias = Callable[[str, str, str, str], float]

#: Least score of a support. Of the built-in scorer: all of the claim's words.
SUPPORT_FLOOR = 1.0
#: A claim and a passage in two languages share figures and names only; at least this many.
ANCHORS_ACROSS_LANGUAGES = 2
LONGER_ACROSS_LANGUAGES = 1.5
SHORTEST_STEM = 5  # characters that two forms of one word share, at least
SHORTEST_CLAUSE = 2  # content terms of each half of a sentence that two passages support

#: Words that frame or link what is said. They are never missed in a support; a sentence of nothing else says nothing.
_FRAMING = (
    "document documents documented passage passages text texts source sources according state states stated mention "
    "mentions mentioned indicate indicates indicated specify specifies specified explain explains follow follows "
    "following below therefore however additionally furthermore moreover summary short answer question information "
    "never nobody nothing cannot jamais "  # app.facts compares what is denied
    "note please yes certainly sure hello based provided context relevant thus hence here found every following list "
    "document documents passage passages texte source sources selon indique indiquent precise precisent mentionne "
    "mentionnent prevoit prevoient suivant suivante suivants suivantes liste trouve voici voila resume reponse "
    "question information informations bonjour effet "
    " cependant toutefois egalement outre conclusion contexte fourni fournis"
)
_FRAMES = frozenset(_FRAMING.split())
#: To have something may be said in many ways, where the support says that somebody has it.
_HAVING = (
    "get gets getting receive receives received obtain obtains entitled granted given "
    "recevoir recoit recoivent recevez obtenir obtient obtiennent beneficier beneficie beneficient beneficiez droit"
)
_ENDINGS = frozenset(("", "e", "es", "ent", "er", "ez", "ons", "ant", "ing", "ed", "s", "i", "is"))
_STAFF = "employee salarie"
_ROW = re.compile(r"[^:;\n]: [^;\n]*;")
_SOMEBODY_HAS = re.compile(
    r"\b(?:has|have|gets?|receives?|entitled|granted|given|a|ont|avez|droit|beneficie\w*|recoi\w+|recevez)\b"
)
#: Words that may stand for each other, a group a line.
_GROUPS = """
employee staff worker everyone everybody personnel salarie employe collaborateur
year annual annually yearly
annee an annuel annuellement
month monthly
mois mensuel mensuellement
week weekly
request ask apply
"""
_REFERS_BACK = re.compile(
    r"\W*(?:[Ii]t|[Ii]ts|[Tt]he(?:y|ir|se)|[Tt]h(?:is|at|ose)|[HhSs]e|[Ii]ls?|[Ee]lles?|[Cc](?:e|et|ette|es|ela)|"
    r"[Cc]elles?-ci|[Cc]e(?:lui|ux)-ci|[Ss](?:on|a|es)|[Ll]eurs?)\b"
)
#: Between two halves that may each stand for themselves; a comma more often ends what belongs to both.
_BORDER = re.compile(r";\s+|,?\s+(?:and|but|while|whereas|et|mais|tandis qu[e’']|alors qu[e’'])\s*")
_LEAD = re.compile(r"[^:]{1,80}:\s+")
_BEFORE_SUBJECTS = "the a an our your each every all le la les l un une des du de nos vos chaque tous toutes"
_DETERMINERS = frozenset(_BEFORE_SUBJECTS.split())
_WORD = re.compile(r"[^\W_]+")
_BORDERS_TRIED = 6


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one passage. ``passage`` is its index, 0 is best."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """Characters of a passage to cite, the sentence whose figures count, and that with what it refers back to."""

    start: int
    end: int
    text: str
    around: str


@dataclass(frozen=True)
class Read:
    """A passage, made ready for many claims."""

    passage: Passage

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where its sentences and rows stand."""
        return quotable_spans(self.passage.text)

    @cached_property
    def windows(self) -> list[Window]:
        """What can support a claim: each sentence, also with the one before it where it begins with "It" or "Cette".

        The first one may refer back to title and headings.
        """
        text = self.passage.text
        found = [Window(a, b, text[a:b], text[a:b]) for a, b in self.spans]
        title = ". ".join((self.passage.title, *self.passage.heading_path))
        before = [title, *(each.text for each in found)]
        back = [(w, context) for w, context in zip(found, before, strict=False) if _REFERS_BACK.match(w.text)]
        starts = {b[0]: a[0] for a, b in pairwise(self.spans)}
        return found + [Window(starts.get(w.start, w.start), w.end, w.text, f"{c} {w.text}") for w, c in back]

    @cached_property
    def words(self) -> tuple[str, list[tuple[int, int]]]:
        """Its words, folded, a blank around each; and where each stands in the text."""
        seen, places = _visible_with_places(self.passage.text)
        found = list(_words_of(seen))
        return (
            f" {' '.join(word for word, _, _ in found)} ",
            [(places[a], places[b - 1] + 1) for _, a, b in found],
        )


def supporting_spans(
    claim: str,
    passages: Sequence[Read],
    language: str,
    *,
    hints: Iterable[int] = (),
    scorer: Scorer | None = None,
    floor: float = SUPPORT_FLOOR,
) -> tuple[Span, ...]:
    """Return the spans that support *claim* together: one, or two that each support a half; () when nothing does.

    *language* is the one to answer in; a claim in another has to be in its support's, for between two languages little
    can be compared. *hints* are indexes of passages to look at first.
    """
    order = likeliest(hints, passages)
    claim = _without_lead(claim)
    spoken = language if detect_language(claim, language) == language else UNKNOWN
    chosen = scorer or shared_words
    for index in order:
        if found := exact_span(claim, passages[index]):
            return (Span(index, *found),)
    if not says_something(claim):
        return ()
    if one := _entailing(claim, spoken, passages, order, chosen, floor):
        return (one,)
    for first, second in _halves(claim):
        if min(len(_terms(each, spoken)) for each in (first, second)) < SHORTEST_CLAUSE:
            continue
        a = _entailing(first, spoken, passages, order, chosen, floor)
        b = a and _entailing(second, spoken, passages, order, chosen, floor)
        if a and b and a != b and _stands_alone(second, passages[b.passage].passage, b):
            return (a, b)
    return ()


def likeliest(hints: Iterable[int], passages: Sequence[Read]) -> list[int]:
    """Return the indexes of all *passages*, those of *hints* that exist first."""
    return list(dict.fromkeys([*(i for i in hints if 0 <= i < len(passages)), *range(len(passages))]))


def exact_span(claim: str, read: Read, *, copied: bool = False) -> tuple[int, int] | None:
    """Return the sentences of the passage in which the words of *claim* stand one after the other, else None.

    A part of a sentence must not leave out that the sentence denies something; *copied* says that the words were
    copied by this program, which takes nothing out of its context, and may have cut the last one.
    """
    wanted = " ".join(word for word, _, _ in _words_of(claim))
    joined, places = read.words
    if not wanted:
        return None
    at = joined.find(f" {wanted}" if copied else f" {wanted} ")
    while at >= 0:
        first = joined.count(" ", 0, at + 1) - 1
        last = first + wanted.count(" ")
        start, end = places[first][0], places[last][1]
        touched = [span for span in read.spans if span[0] < end and span[1] > start]
        found = touched[0][0], touched[-1][1]
        text = read.passage.text[slice(*found)]
        # The end of one sentence and the beginning of the next say together what neither does.
        whole = len(touched) == 1 or not _WORD.search(text[: start - found[0]] + text[end - found[0] :])
        if copied or (whole and says_something(claim) and contradicts(facts(claim), facts(text)) is None):
            return found
        at = joined.find(f" {wanted} ", at + 1)
    return None


def shared_words(claim: str, language: str, support: str, support_language: str) -> float:
    """Return the share of the claim's content words that *support* holds; across languages, that of its anchors.

    Anchors are figures, codes, names and dates; with fewer than two, or with much more said around them than in the
    support, there is no telling, and the score is 0.
    """
    if UNKNOWN not in (language, support_language) and language != support_language:
        anchors = facts(claim).anchors
        longer = len(content_words(claim)) > LONGER_ACROSS_LANGUAGES * len(content_words(support))
        return float(not longer and len(anchors) >= ANCHORS_ACROSS_LANGUAGES and anchors <= _present(support))
    spoken = support_language if language == UNKNOWN else language
    wanted = _terms(claim, spoken) - _stems(_FRAMING, spoken)
    if _ROW.search(support):  # of a table: it has neither subject nor verb
        wanted = wanted - _stems(_HAVING, spoken) - {_groups(spoken).get(each) for each in _stems(_STAFF, spoken)}
    elif _SOMEBODY_HAS.search(facts(support).folded):
        wanted -= _stems(_HAVING, spoken)
    if not wanted:
        return float(bool(facts(claim).anchors))
    held = _terms(support, spoken)
    return sum(term in held or any(_one_word(term, each) for each in held) for term in wanted) / len(wanted)


def says_something(text: str) -> bool:
    """Say whether *text* holds anything that could be true or false: "Here is what I found:" does not."""
    return bool(facts(text).anchors) or any(fold(word) not in _FRAMES for word in content_words(text))


def cited(span: Span, passage: Passage) -> Citation:
    """Return the citation of *span*; its number is that of the passage."""
    return Citation(
        number=span.passage + 1,
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        source=passage.source,
        uri=passage.uri,
        title=passage.title,
        page=passage.page,
        quote=passage.text[span.start : span.end],
        start=passage.start + span.start,
        end=passage.start + span.end,
    )


def _entailing(
    claim: str, language: str, passages: Sequence[Read], order: Sequence[int], scorer: Scorer, floor: float
) -> Span | None:
    """Return the span that entails *claim* best; of equals the one that comes first and is shorter."""
    best: tuple[float, Span] | None = None
    for index in order:
        passage = passages[index].passage
        for window in passages[index].windows:
            if contradicts(facts(claim), facts(window.text), facts(window.around)) is not None:
                continue
            score = scorer(claim, language, window.around, passage.language)
            if score < floor and _terms(window.text, passage.language) <= _terms(claim, passage.language):
                # All of a sentence, and a word of its heading: "Requests [for leave] go through the portal."
                names = ". ".join((passage.title, *passage.heading_path, window.around))
                score = scorer(claim, language, names, passage.language)
            if score >= floor and (best is None or score > best[0]):
                best = score, Span(index, window.start, window.end)
    return best and best[1]


def _without_lead(claim: str) -> str:
    """Return *claim* without an introduction that says nothing: "According to the documents: …"."""
    lead = _LEAD.match(claim)
    return claim[lead.end() :] if lead and not says_something(lead[0]) else claim


def _halves(claim: str) -> Iterator[tuple[str, str]]:
    for match in list(_BORDER.finditer(claim))[:_BORDERS_TRIED]:
        yield claim[: match.start()], claim[match.end() :]


def _stands_alone(half: str, passage: Passage, span: Span) -> bool:
    """Say whether the second *half* of a sentence says all that its support says, beginning with the same subject.

    "… and closes at five" or "… and furniture above 500 €" do not: what they say, they say of the first half.
    """
    support = passage.text[span.start : span.end]
    if _first_word(half) != _first_word(support):
        return False
    return _terms(support, passage.language) <= _terms(half, passage.language)


def _first_word(text: str) -> str:
    return next((word for word, _, _ in _words_of(text) if word not in _DETERMINERS), "")


def _present(support: str) -> frozenset[str]:
    found = facts(support)
    return found.anchors | frozenset(found.words)


def _one_word(one: str, other: str) -> bool:
    """Say whether two stems are forms of one word that the stemmer did not bring together: "report", "reportent"."""
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return shared >= SHORTEST_STEM and one[shared:] in _ENDINGS and other[shared:] in _ENDINGS


@cache
def _stems(words: str, language: str) -> frozenset[str]:
    return frozenset(content_terms(words, language))


@cache
def _groups(language: str) -> dict[str, str]:
    return {term: f"group:{line}" for line in _GROUPS.split("\n") for term in content_terms(line, language)}


@lru_cache(maxsize=8192)
def _terms(text: str, language: str) -> frozenset[str]:
    groups = _groups(language)
    return frozenset(groups.get(term, term) for term in content_terms(wording(text), language))


def _words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (word, start, end); the scheme of an address is no word, because it is not shown."""
    for match in _WORD.finditer(text):
        if not re.match(r":[/\\]{2}", text[match.end() : match.end() + 3]):
            yield match[0].casefold(), match.start(), match.end()


def _visible_with_places(text: str) -> tuple[str, list[int]]:
    """Return what of *text* is visible, and for each of its characters the place in *text*."""
    places = [place for place, each in enumerate(text) if visible(each)]
    return "".join(text[place] for place in places), places
