"""The keyword half: BM25 over the same rows, each analysed in its own language, through tantivy.

tantivy analyses, stores and finds; ``Scorer`` scores what was found. tantivy's own scores cannot be used, not even to
choose what is scored: they count deleted rows, and rows that the asker may not read. So each term is indexed with its
impact, how much the row has of it (Anh and Moffat, "Pruned query evaluation using pre-computed impacts", SIGIR 2006),
and tantivy adds up what we say that term and impact are worth. The statistics are those of the rows
that the question may find, no more: a rebuilt index and an old one with a tail give the same ranking, and neither a
score nor a place in the list tells anything about hidden documents.

A question is never parsed as a query language: any characters are safe.

BM25: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009; title and headings
weighted as in its section 3.6. Each word counts as its stem and, for a smaller part, as it is written: measured
on six sets in two languages, that beats either alone. Proximity: the ordered pairs of Metzler and Croft, "A Markov
random field model for term dependencies", SIGIR 2005.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from indexing.errors import GenerationDamaged, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: Changes whenever the same text could give other terms: older generations are not searched then.
ANALYSIS_VERSION = "2"

K1 = 1.2  # how soon a repeated word stops counting
B = 0.75  # how much long passages are held back
TITLE_WEIGHT = 2.0  # one occurrence in title or headings counts as this many in the text
EXACT_SHARE = 0.35  # of a word's weight that only the same word form earns; the rest goes to the stem
LEVELS = "123456789abcdef"  # of impact, in equal steps up to the most that a term can count in a row
USUAL_LENGTH = 80.0  # the mean length by which impacts are reckoned: no index's own, which would tell of hidden rows
PAIR_WINDOW = 5  # words further apart than this are not near each other

#: ISO 639-1 → tantivy's name of its Snowball stemmer and stop words.
STEMMERS = {
    "en": "english",
    "fr": "french",
    "de": "german",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
}
_FEW = 16
_LONGEST_TERM = 64  # bytes: longer runs are base64 and the like
_MOST_TERMS = 64  # of a question: a pasted page is cut, not refused
_UNITS = 1000  # to 1: whole numbers are added up without rounding, in whatever order
_HEAP_BYTES = 64_000_000
_TAIL_HEAP_BYTES = 15_000_000  # the least that tantivy takes

#: The article in d'accord, l’usine, qu'il is no word of its own; aujourd'hui is left as it is.
_ELISION = re.compile(r"(?i)\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)['’ʼ](?=\w)")
_POSSESSIVE = re.compile(r"(?i)['’ʼ]s\b")
_IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


class Terms(NamedTuple):
    """The words of a text, without function words, in order and of equal length: stems, and word forms after "="."""

    stems: list[str]
    forms: list[str]


def analyse(text: str, language: str) -> Terms:
    """Return the terms of *text* as *language* wants them, accents folded; no terms for blank text."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if language == "fr":
        text = _ELISION.sub(" ", text)
    elif language == "en":
        text = _POSSESSIVE.sub("", text)
    text = _IDEOGRAPH.sub(r" \1 ", text)  # written without spaces: each sign is a term
    stems, forms = _analysers(language if language in STEMMERS else "")
    return Terms(stems(text), [f"={form}" for form in forms(text)])


@cache
def _analysers(language: str) -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """Return the functions from a text to its stems and to its word forms; without a language the two are equal."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    def builder() -> Any:
        plain = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(_LONGEST_TERM))
        plain = plain.filter(Filter.lowercase())
        return plain.filter(Filter.stopword(STEMMERS[language])) if language else plain

    # The stemmers of languages with accents read them, so they are folded after it.
    stemming = builder().filter(Filter.stemmer(STEMMERS[language])) if language else builder()
    return stemming.filter(Filter.ascii_fold()).build().analyze, builder().filter(Filter.ascii_fold()).build().analyze


def question_terms(question: str, language: str) -> Terms:
    """Return the terms that the question is searched by; one made of function words only keeps them all."""
    terms = analyse(question, language)
    if not terms.stems:
        terms = analyse(question, "")
    return Terms(terms.stems[:_MOST_TERMS], terms.forms[:_MOST_TERMS])


@dataclass(frozen=True, slots=True)
class Row:
    """What the index takes in of one chunk. ``title`` is of title and headings."""

    chunk_id: int
    document_id: int
    source_id: int
    acl_id: int
    title: Terms
    text: Terms

    @property
    def length(self) -> float:
        """The length that BM25 sees."""
        return len(self.text.stems) + TITLE_WEIGHT * len(self.title.stems)

    @property
    def stored(self) -> str:
        """Four lines of terms, from which a ``Scorer`` scores the row."""
        return "\n".join(" ".join(terms) for terms in (*self.title, *self.text))

    @property
    def impacts(self) -> str:
        """Each distinct term behind the letter of its level, by which the row is found."""
        title, text = Counter(self.title.stems + self.title.forms), Counter(self.text.stems + self.text.forms)
        letters = []
        for term in title | text:
            part = _saturated(text[term] + TITLE_WEIGHT * title[term], self.length / USUAL_LENGTH) / (K1 + 1)
            letters.append(LEVELS[round(part * (len(LEVELS) - 1))] + term)
        return " ".join(letters)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows a question may find. ``source_ids`` None means all sources; ``acl_ids`` has no such value."""

    acl_ids: frozenset[int]
    source_ids: frozenset[int] | None = None


class Found(NamedTuple):
    """A row with some of the question's terms, by a first reckoning that goes by impacts alone."""

    score: int
    chunk_id: int
    searcher: Any
    address: Any

    @property
    def stored(self) -> str:
        """Return ``Row.stored``."""
        return str(self.searcher.doc(self.address).get_first("terms"))


def best_found(found: Iterable[Found], k: int) -> list[Found]:
    """Return the *k* highest, best first; ties by chunk id."""
    return sorted(found, key=lambda each: (-each.score, each.chunk_id))[:k]


def _saturated(times: float, length: float) -> float:
    """Return what *times* occurrences count for, below K1 + 1, in a row of *length* times the mean."""
    return times * (K1 + 1) / (times + K1 * (1 - B + B * length))


@dataclass(frozen=True, slots=True)
class KeywordIndex:
    """Rows as they were at one moment: later commits do not show."""

    searcher: Any
    schema: Any
    without: frozenset[int] = frozenset()  # documents that are not to be found
    removed: bool = False  # rows were taken out of it: tantivy's own counts still have them

    def find(self, weights: Mapping[str, float], allowed: Filter, k: int) -> list[Found]:
        """Return the *k* allowed rows whose terms weigh most, best first, ties by chunk id; or all there are."""
        from tantivy import Occur, Query

        if not weights or k < 1:
            return []
        step = (K1 + 1) / (len(LEVELS) - 1)
        wanted = [
            (Occur.Should, Query.const_score_query(self._term(letter + term, "impacts"), max(1, units)))
            for term, weight in weights.items()
            for level, letter in enumerate(LEVELS)
            for units in [round(weight * max(level, 0.5) * step * _UNITS)]
        ]
        query = Query.boolean_query([*self._filters(allowed), (Occur.Must, Query.boolean_query(wanted))])
        limit = 2 * k
        while len(hits := self.searcher.search(query, limit=limit, count=False).hits) == limit:
            if hits[-1][0] < hits[k - 1][0]:
                break
            limit *= 4  # which of equal ones come first is not left to where they lie in the index
        addresses = [address for _, address in hits]
        chunk_ids = self.searcher.fast_field_values("chunk", addresses)
        rows = zip(hits, chunk_ids, strict=True)
        return best_found((Found(round(s), int(chunk), self.searcher, address) for (s, address), chunk in rows), k)

    def stored(self, chunk_ids: Collection[int], allowed: Filter) -> dict[int, str]:
        """Return ``Row.stored`` of those of the chunks that are here and allowed."""
        from tantivy import Occur, Query

        if not chunk_ids:
            return {}
        chosen = Query.term_set_query(self.schema, "chunk", list(chunk_ids))
        return self._rows(Query.boolean_query([*self._filters(allowed), (Occur.Must, chosen)]), len(chunk_ids))

    def frequency(self, term: str, allowed: Filter, *, all_rows: bool = False) -> int:
        """Return how many allowed rows have the term. *all_rows* says that every row is allowed, which is quicker."""
        from tantivy import Occur, Query

        if all_rows and not self.removed:
            found = int(self.searcher.doc_freq("terms", term))
            if not self.without or not found:
                return found
            hidden = [(Occur.Must, self._term(term)), (Occur.Must, self._among("document", self.without))]
            return found - int(self.searcher.search(Query.boolean_query(hidden), limit=1, count=True).count)
        query = Query.boolean_query([*self._filters(allowed), (Occur.Must, self._term(term))])
        return int(self.searcher.search(query, limit=1, count=True).count)

    def _term(self, term: str, field: str = "terms") -> Any:
        from tantivy import Query

        return Query.term_query(self.schema, field, term, index_option="basic")

    def _among(self, field: str, values: Collection[int]) -> Any:
        """Return the query for rows with one of the values, without a score."""
        from tantivy import Occur, Query

        if len(values) <= _FEW:  # walks the lists of the values; a set query marks every row of the index first
            terms = [(Occur.Should, Query.term_query(self.schema, field, value)) for value in sorted(values)]
            query = Query.boolean_query(terms)
        else:
            query = Query.term_set_query(self.schema, field, sorted(values))
        return Query.const_score_query(query, 0.0)

    def _filters(self, allowed: Filter) -> list[tuple[Any, Any]]:
        from tantivy import Occur

        filters = [(Occur.Must, self._among("acl", allowed.acl_ids))]
        if allowed.source_ids is not None:
            filters.append((Occur.Must, self._among("source", allowed.source_ids)))
        if self.without:
            filters.append((Occur.MustNot, self._among("document", self.without)))
        return filters

    def _rows(self, query: Any, k: int) -> dict[int, str]:
        addresses = [address for _, address in self.searcher.search(query, limit=k, count=False).hits]
        chunk_ids = self.searcher.fast_field_values("chunk", addresses)
        return {
            int(chunk_id): self.searcher.doc(address).get_first("terms")
            for chunk_id, address in zip(chunk_ids, addresses, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores rows for one question, with the statistics of the rows that it may find."""

    weights: Mapping[str, float]  # term → idf × how often the question has it × the share of stem or form
    pairs: Sequence[tuple[str, str, float]]  # neighbours in the question, and the smaller idf; these sum to 1
    mean_length: float

    @classmethod
    def of(cls, terms: Terms, frequencies: Mapping[str, int], rows: int, total_length: float) -> Scorer:
        """Return the scorer; *rows* is how many may be found and *total_length* the sum of their lengths."""
        idf = {term: math.log1p((rows - n + 0.5) / (n + 0.5)) for term, n in frequencies.items()}
        shares = Counter({term: count * (1 - EXACT_SHARE) for term, count in Counter(terms.stems).items()})
        shares.update({term: count * EXACT_SHARE for term, count in Counter(terms.forms).items()})
        weights = {term: share * idf[term] for term, share in sorted(shares.items()) if frequencies[term] > 0}
        pairs = [(a, b, min(idf[a], idf[b])) for a, b in pairwise(terms.stems) if a != b]
        total = sum(weight for _, _, weight in pairs)
        return cls(weights, [(a, b, w / total) for a, b, w in pairs], total_length / rows if rows else 1.0)

    def score(self, stored: str) -> tuple[float, float]:
        """Return the BM25 score of a row (0.0 when it has none of the terms) and its proximity.

        Proximity is 0..1: how near each other the row has the question's neighbouring words; 0.0 for a single word.
        """
        title_stems, title_forms, stems, forms = (line.split() for line in stored.split("\n"))
        length = len(stems) + TITLE_WEIGHT * len(title_stems)
        relative = length / self.mean_length if self.mean_length else 1.0
        in_text, in_title = Counter(stems + forms), Counter(title_stems + title_forms)
        score = 0.0
        for term, weight in self.weights.items():
            score += weight * _saturated(in_text[term] + TITLE_WEIGHT * in_title[term], relative)
        return round(score, 6), self._proximity(title_stems + stems)

    def _proximity(self, terms: Sequence[str]) -> float:
        places: dict[str, list[int]] = {term: [] for a, b, _ in self.pairs for term in (a, b)}
        for place, term in enumerate(terms):
            if term in places:
                places[term].append(place)
        score = 0.0
        for a, b, weight in self.pairs:
            gap = min((abs(x - y) for x in places[a] for y in places[b]), default=PAIR_WINDOW + 1)
            score += weight / gap if gap <= PAIR_WINDOW else 0.0
        return round(score, 6)


@contextmanager
def _writing() -> Iterator[None]:
    """Raise what tantivy raises when it cannot write as StorageFull."""
    try:
        yield
    except (ValueError, OSError) as exc:
        raise StorageFull(f"The keyword index cannot be written: {exc}.") from exc


class KeywordWriter:
    """Takes rows in, on disk (a generation) or in memory (the tail)."""

    def __init__(self, directory: Path | None = None) -> None:
        """Begin an empty index in the empty *directory*, or in memory."""
        from tantivy import Index

        self._schema = _schema()
        self._removed = False
        with _writing():
            self._index = Index(self._schema, path=None if directory is None else str(directory))
            self._writer = self._index.writer(_TAIL_HEAP_BYTES if directory is None else _HEAP_BYTES, num_threads=1)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in *rows*; they show after the next commit."""
        from tantivy import Document

        for row in rows:
            document = Document()
            document.add_unsigned("chunk", row.chunk_id)
            document.add_unsigned("document", row.document_id)
            document.add_unsigned("source", row.source_id)
            document.add_unsigned("acl", row.acl_id)
            document.add_text("terms", row.stored)
            document.add_text("impacts", row.impacts)
            with _writing():
                self._writer.add_document(document)

    def remove(self, document_ids: Iterable[int]) -> None:
        """Take out all rows of those documents that were added before."""
        from tantivy import Query

        for document_id in document_ids:
            self._removed = True
            self._writer.delete_documents_by_query(Query.term_query(self._schema, "document", document_id))

    def commit(self) -> KeywordIndex:
        """Return the index as it now is."""
        with _writing():
            self._writer.commit()
            self._index.reload()
        return KeywordIndex(self._index.searcher(), self._schema, removed=self._removed)

    def close(self) -> None:
        """Wait until every file is written; nothing can be added any more."""
        with _writing():
            self._writer.wait_merging_threads()


def open_keywords(directory: Path) -> KeywordIndex:
    """Return the index that a KeywordWriter left in *directory*. Raises GenerationDamaged."""
    from tantivy import Index

    try:
        index = Index.open(str(directory))
        return KeywordIndex(index.searcher(), index.schema)
    except (ValueError, OSError) as exc:
        raise GenerationDamaged(f"{directory} is not a keyword index: {exc}.") from exc


def _schema() -> Any:
    from tantivy import SchemaBuilder

    builder = SchemaBuilder()
    builder.add_unsigned_field("chunk", indexed=True, fast=True)
    for name in ("document", "source", "acl"):
        builder.add_unsigned_field(name, indexed=True)
    # Terms come analysed. Stored, because they are scored by us.
    builder.add_text_field("terms", stored=True, tokenizer_name="whitespace", index_option="basic")
    builder.add_text_field("impacts", tokenizer_name="whitespace", index_option="basic")
    return builder.build()
