"""How well each sentence of the passages supports a question: measured once, used by the reader and the abstention.

The trained reader (``app.reading``) says where in each passage an answer stands, and by how much that beats "no
answer here". A sentence is weighed by the best answer within it, by the content words that it shares with the
question (rare words count more, and words that every passage holds count less), by its passage's rank, and by whether
it holds the kind of thing that is asked for (a number, a date). The weights are fitted on questions that the reader was
not trained on by ``benchmarks/fit_abstention.py`` and stored in ``app/abstention.json``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.quotable import quotable_spans
from app.reading import Text
from app.terms import content_terms, fold, numbers
from indexing.sentences import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.reading import Span, SpanReader
    from indexing.documents import Passage
    from indexing.embed import Embedder

SENTENCES_WEIGHED = 24  # best by the reader and by shared words first: enough for 8 passages, and bounded for 50
PASSAGES_READ = 12  # best first: reading more costs time, and an answer further down is hardly ever right
READ_LIMIT = 12.0
SHORTEST_WORDS = 4  # fewer are a heading or a label, unless they end like a sentence or hold a number
LONGEST_SENTENCE = 1200  # characters; a table row or a run-on longer than this is cut at a word

#: What is measured of each sentence, in the order of the weights.
SENTENCE_FEATURES = (
    "coverage",  # of the question's content by the sentence, 0..1
    "coverage_near",  # more of it by the sentence before it
    "coverage_context",  # more of it by title and headings
    "cosine",  # of sentence and question
    "cosine_margin",  # how far above the mean of the sentences looked at
    "read",  # by how much the best answer in it beats "no answer", in logits, held within ±READ_LIMIT
    "read_share",  # its share among all sentences, by exp(read)
    "read_french",  # the same two again for French questions: the reader learned more from English ones
    "read_share_french",
    "rank",  # 1 / (1 + rank of the passage)
    "kind_matches",  # it holds the kind of thing that is asked for
    "kind_fails",  # it does not
    "new_words",  # log of words that the question did not hold already
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of one passage, and what was measured of it. ``features`` follow SENTENCE_FEATURES."""

    passage: int  # index in the passages, 0 is best
    start: int  # characters in the passage's text
    end: int
    text: str
    features: tuple[float, ...]
    probability: float = 0.0  # that this sentence answers the question
    answer: Span | None = None  # the best short answer in it, characters in the passage's text

    def feature(self, name: str) -> float:
        """Return one feature by its name."""
        return self.features[SENTENCE_FEATURES.index(name)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the two models make of a sentence."""

    read: float
    read_share: float
    cosine: float
    cosine_margin: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    start: int
    end: int
    text: str
    own: frozenset[str]  # terms
    near: frozenset[str]  # terms of the sentence before it
    context: frozenset[str]  # terms of title and headings


def term_weights(question: str, passages: Sequence[Passage], language: str) -> dict[str, float]:
    """Return the weight of each content term of *question*: less for a term that most of *passages* hold.

    The weight is log(1 + (n + 0.5) / (df + 0.5)), the idf of BM25 (Robertson 2009) over these n passages
    only: statistics of documents that the asker may not read never enter.
    """
    held = [frozenset(passage_terms(passage, language)) for passage in passages]
    n = len(held)
    return {
        term: math.log(1 + (n + 0.5) / (sum(term in each for each in held) + 0.5))
        for term in dict.fromkeys(content_terms(question, language))
    }


def coverage(weights: dict[str, float], terms: frozenset[str] | set[str]) -> float:
    """Return the weighted share of the question's terms that are in *terms*; 0 for a question without any."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in terms) / total if total else 0.0


def weigh(
    question: str,
    passages: Sequence[Passage],
    language: str,
    reads: SpanReader,
    embedder: Embedder,
    weights: Sequence[float],
) -> tuple[Sentence, ...]:
    """Return the sentences of the best *passages* with their probability of being the answer, highest first.

    *weights* are those of SENTENCE_FEATURES followed by the bias. Headings, and questions found in the documents (a
    list of frequently asked ones), are not candidates: quoting the question back answers nothing.
    """
    read = passages[:PASSAGES_READ]
    wanted = term_weights(question, passages, language)
    candidates = [each for index, passage in enumerate(read) for each in _candidates(index, passage, language)]
    if not candidates:
        return ()
    readings = reads.read(question, [Text(each.text, before=_before(each)) for each in read])
    spans = [readings[each.passage].best(each.start, each.end) for each in candidates]
    margins = np.asarray([-READ_LIMIT if span is None else span.margin for span in spans]).clip(-READ_LIMIT, READ_LIMIT)
    shares = np.exp(margins - margins.max())
    shares /= shares.sum()
    promise = [share + _prescore(each, wanted) for each, share in zip(candidates, shares, strict=True)]
    kept = sorted(range(len(candidates)), key=lambda i: -promise[i])[:SENTENCES_WEIGHED]
    vectors = embedder.embed_passages([candidates[i].text for i in kept])
    cosines = vectors @ embedder.embed_questions([question])[0]
    mean = float(cosines.mean())
    sentences = []
    for i, cosine in zip(kept, cosines.tolist(), strict=True):
        each, seen = candidates[i], _Seen(float(margins[i]), float(shares[i]), cosine, cosine - mean)
        row = _features(question, language, each, wanted, seen)
        sentences.append(Sentence(each.passage, each.start, each.end, each.text, row, answer=spans[i]))
    return ranked(sentences, weights)


def _prescore(candidate: _Candidate, wanted: dict[str, float]) -> float:
    own = coverage(wanted, candidate.own)
    return own + 0.3 * coverage(wanted, candidate.near | candidate.context) + 0.2 / (1 + candidate.passage)


def _before(passage: Passage) -> str:
    """Return what a reader should know before it reads the passage: title, and the heading it stands under."""
    names = (passage.title, *passage.heading_path[-1:])
    return ". ".join(dict.fromkeys(name.strip() for name in names if name.strip()))


def ranked(sentences: Sequence[Sentence], weights: Sequence[float]) -> tuple[Sentence, ...]:
    """Return *sentences* with the probability that *weights* give them, highest first, then in reading order."""
    logits = (
        np.asarray([each.features for each in sentences], dtype=np.float64) @ np.asarray(weights[:-1]) + weights[-1]
    )
    probabilities = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).tolist()
    weighed = (replace(each, probability=p) for each, p in zip(sentences, probabilities, strict=True))
    return tuple(sorted(weighed, key=lambda each: (-each.probability, each.passage, each.start)))


def passage_terms(passage: Passage, language: str) -> list[str]:
    """Return the content terms of *passage*, those of its title and headings included."""
    return content_terms(" ".join((passage.title, *passage.heading_path, passage.text)), language)


def _candidates(index: int, passage: Passage, language: str) -> list[_Candidate]:
    names = (passage.title, *passage.heading_path)
    context = frozenset(content_terms(" ".join(names), language))
    headings = {fold(name).strip() for name in names}
    near: frozenset[str] = frozenset()
    found = []
    for start, stop in quotable_spans(passage.text):
        end = _cut(passage.text, start, stop)
        text = passage.text[start:end]
        own = frozenset(content_terms(text, language))
        if _says_something(text) and fold(text).strip() not in headings:
            found.append(_Candidate(index, start, end, text, own, near, context))
        near = own
    return found


def _says_something(text: str) -> bool:
    """Say whether *text* can answer anything: it is no question, and more than a label without a number."""
    count = len(words(text))
    if text.rstrip(" »”\"')").endswith("?"):
        return False
    return count >= SHORTEST_WORDS or (count > 0 and (text.endswith((".", "!")) or any(c.isdigit() for c in text)))


def _cut(text: str, start: int, end: int) -> int:
    """Return *end*, or where a sentence that is too long is cut, at a blank."""
    if end - start <= LONGEST_SENTENCE:
        return end
    blank = text.rfind(" ", start, start + LONGEST_SENTENCE)
    return blank if blank > start else start + LONGEST_SENTENCE


def _features(
    question: str, language: str, candidate: _Candidate, wanted: dict[str, float], seen: _Seen
) -> tuple[float, ...]:
    french = float(language == "fr")
    own = coverage(wanted, candidate.own)
    near = coverage(wanted, candidate.own | candidate.near)
    context = coverage(wanted, candidate.own | candidate.near | candidate.context)
    kind = asked_kind(question)
    matches = holds_kind(kind, candidate.text, question) if kind else None
    new = len(candidate.own - wanted.keys())
    return (
        own,
        near - own,
        context - near,
        seen.cosine,
        seen.cosine_margin,
        seen.read,
        seen.read_share,
        french * seen.read,
        french * seen.read_share,
        1 / (1 + candidate.passage),
        float(matches is True),
        float(matches is False),
        math.log1p(min(new, 40)),
    )


_KINDS = (
    ("date", re.compile(
        r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|decade|century|time)\b|\bdate\b|"
        r"\bquand\b|\bquel(?:le)?s? (?:annee|date|jour|mois|siecle|heure|epoque)\b|\bdelai\b"
    )),
    ("number", re.compile(
        r"\bhow (?:many|much|long|old|far|often|tall|large|big|high)\b|\b(?:what|which) (?:percentage|percent|number|"
        r"amount|price|cost|rate|fee|limit)\b|\bcombien\b|"
        r"\bquel(?:le)?s? (?:est |sont )?(?:le |la |l )?(?:nombre|montant|pourcentage|age|duree|prix|cout|taux|"
        r"plafond|somme)\b"
    )),
    ("person", re.compile(r"\bwho(?:m|se)?\b|^(?:a |de |par |avec |pour )?qui\b|[.?!,;] (?:a |de |par )?qui\b")),
)  # fmt: skip
_DATE = re.compile(
    r"\b[12]\d{3}\b|\b\d{1,2}[/.:h]\d{1,2}\b|\d|\b(?:january|february|march|april|may|june|july|august|september|october|"
    r"november|december|janvier|fevrier|mars|avril|mai|juin|juillet|aout|septembre|octobre|novembre|decembre|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche)\b"
)
_COUNT = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|"
    r"thousand|million|half|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|cent|mille|"
    r"once|twice|never|no limit|daily|weekly|monthly|yearly|moitie|illimite)s?\b"
)
#: Companies answer "who" with a role as often as with a name.
_ROLE = re.compile(
    r"\b(?:manager|director|head|team|department|officer|committee|board|reception|staff|employees?|human resources|"
    r"lead|responsable|direct(?:eur|rice|ion)|service|equipe|comite|accueil|salarie|ressources humaines|chef|"
    r"referente?)s?\b"
)
_NAME = re.compile(r"(?<!^)(?<![.!?•\-] )\b[A-ZÀ-Ý][\w’'&.-]+")


def asked_kind(question: str) -> str | None:
    """Return "date", "number", "person" or None: the kind of thing that *question* asks for, by its words."""
    folded = fold(question)
    return next((kind for kind, pattern in _KINDS if pattern.search(folded)), None)


def holds_kind(kind: str, text: str, question: str) -> bool:
    """Say whether *text* holds a thing of *kind* that *question* did not bring along itself."""
    if kind == "person":
        asked = set(words(question))
        return bool(_ROLE.search(fold(text))) or any(not set(words(name)) <= asked for name in _NAME.findall(text))
    if numbers(text) - numbers(question):
        return True
    pattern = _DATE if kind == "date" else _COUNT
    return any(not each.isdigit() for each in pattern.findall(fold(text)))
