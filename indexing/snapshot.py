"""What one question searches: a generation and everything that changed since, the tail, as of one moment.

Both halves, vectors and words, hold the same rows, are filtered by permission and source before they rank, and score
a row the same wherever it lies: a rebuilt generation and an old one with a long tail give the same hits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexing import keywords, vectors
from indexing.documents import Hit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy.typing as npt

    from indexing.documents import Scope
    from indexing.generation import Generation
    from indexing.rows import Rows

_EXTRA = 50  # rows that are scored beyond those asked for: the order in which they are found is not the final one
_CLOSE = 1e-5  # cosines this near may come in either order from FAISS
_FILTERS_KEPT = 64


class Scores(NamedTuple):
    """What both sides say of one row for one question."""

    dense: float  # cosine
    bm25: float
    proximity: float  # 0..1


@dataclass(frozen=True, slots=True)
class _Allowed:
    """The rows that one scope and choice of sources may find, and BM25's statistics of them."""

    generation: npt.NDArray[np.bool_]
    tail: npt.NDArray[np.bool_]
    rows: int
    total_length: float
    all_rows: bool  # nothing is filtered out but what is dead


@dataclass(frozen=True)
class Snapshot:
    """All that is searchable at change ``seq``. Immutable; any number of threads may search it."""

    generation: Generation
    live: npt.NDArray[np.bool_]  # a flag for each row of the generation: its document has not changed since
    masked: frozenset[int]  # documents with a change since: the tail has their rows, if there are any left
    tail: Rows
    tail_keywords: keywords.KeywordIndex | None
    seq: int
    log_hash: str
    filters: dict[keywords.Filter, _Allowed] = field(default_factory=dict, repr=False)  # remembered, not state

    def __len__(self) -> int:
        """Return the number of searchable rows, the canary's not counted."""
        return int(np.count_nonzero(self.live)) - self.generation.secret_rows + len(self.tail)

    @property
    def dead(self) -> int:
        """How many rows of the generation are not searched any more."""
        return len(self.live) - int(np.count_nonzero(self.live))

    def without(self, documents: Collection[int]) -> Snapshot:
        """Return the same as if these documents were not there."""
        if not documents:
            return self
        words = self.tail_keywords
        return replace(
            self,
            live=self.live & ~self.generation.rows.of_documents(documents),
            masked=self.masked | frozenset(documents),
            tail=self.tail.where(~self.tail.of_documents(documents)),
            tail_keywords=None if words is None else replace(words, without=frozenset(documents)),
            filters={},
        )

    def search_dense(
        self, vector: npt.NDArray[np.float32], scope: Scope, source_ids: frozenset[int] | None, k: int
    ) -> list[Hit]:
        """Return the *k* permitted rows with the highest cosine, best first; ties by chunk id."""
        allowed = self._allowed(scope, source_ids)
        chunks = [np.empty(0, np.int64)]
        scores = [np.empty(0)]
        if self.generation.flat is not None:
            rows, cosines = self._nearest(vector, allowed.generation, k)
            chunks.append(self.generation.rows.chunks[rows])
            scores.append(cosines)
        chunks.append(self.tail.chunks[allowed.tail])
        scores.append(vectors.cosines(self.tail.matrix[allowed.tail], vector))
        return _best(dict(zip(np.concatenate(chunks).tolist(), np.concatenate(scores).tolist(), strict=True)), k)

    def _nearest(
        self, vector: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return at least the *k* nearest allowed rows of the generation, all that equal the last one, and cosines."""
        assert self.generation.flat is not None  # noqa: S101 -- the caller has looked; narrows the type
        asked = k + _EXTRA
        while True:
            rows = self.generation.flat.nearest(vector, asked, allowed)
            cosines = vectors.cosines(self.generation.rows.matrix[rows], vector)
            if len(rows) < asked or cosines[-1] < np.sort(cosines)[-k] - _CLOSE:
                return rows, cosines
            asked *= 4  # many are equal, and FAISS's choice among those would hang on what else lies in the index

    def search_keywords(
        self, question: str, language: str, scope: Scope, source_ids: frozenset[int] | None, k: int
    ) -> list[Hit]:
        """Return the *k* permitted rows with the highest BM25 score, best first; ties by chunk id."""
        scorer, found = self._keywords(question, language, scope, source_ids, k, ())
        return _best({chunk: score for chunk, row in found.items() if (score := scorer.score(row)[0]) > 0}, k)

    def candidates(
        self,
        question: str,
        language: str,
        vector: npt.NDArray[np.float32],
        scope: Scope,
        source_ids: frozenset[int] | None,
        k: int,
    ) -> dict[int, Scores]:
        """Return all scores, by chunk id, of the *k* best permitted rows of each side."""
        dense = self.search_dense(vector, scope, source_ids, k)
        scorer, found = self._keywords(question, language, scope, source_ids, k, [hit.chunk_id for hit in dense])
        words = {chunk: scorer.score(row) for chunk, row in found.items()}
        bm25 = _best({chunk: score for chunk, (score, _) in words.items() if score > 0}, k)
        wanted = {hit.chunk_id for hit in (*dense, *bm25)}
        cosines = self._cosines(np.array(sorted(wanted), dtype=np.int64), vector)
        return {chunk: Scores(cosines[chunk], *words[chunk]) for chunk in sorted(wanted)}

    def main_language(self, scope: Scope, source_ids: frozenset[int] | None) -> str:
        """Return the language of most permitted rows, "und" when there are none."""
        allowed = self._allowed(scope, source_ids)
        counts: Counter[bytes] = Counter()
        for rows, flags in ((self.generation.rows, allowed.generation), (self.tail, allowed.tail)):
            codes, numbers = np.unique(rows.languages[flags], return_counts=True)
            counts.update(dict(zip(codes.tolist(), numbers.tolist(), strict=True)))
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return ranked[0][0].decode() if ranked else "und"

    def _keywords(
        self,
        question: str,
        language: str,
        scope: Scope,
        source_ids: frozenset[int] | None,
        k: int,
        also: Collection[int],
    ) -> tuple[keywords.Scorer, dict[int, str]]:
        """Return the scorer of the question, and the stored terms of the rows found by its words and of *also*."""
        chosen = keywords.Filter(scope.acl_ids, source_ids)
        allowed = self._allowed(scope, source_ids)
        terms = keywords.question_terms(question, language)
        distinct = list(dict.fromkeys(terms.stems + terms.forms))
        indexes = [index for index in (self._generation_keywords, self.tail_keywords) if index is not None]
        frequencies = {
            term: sum(index.frequency(term, chosen, all_rows=allowed.all_rows) for index in indexes)
            for term in distinct
        }
        scorer = keywords.Scorer.of(terms, frequencies, allowed.rows, allowed.total_length)
        best = [each for index in indexes for each in index.find(scorer.weights, chosen, k + _EXTRA)]
        found = {each.chunk_id: each.stored for each in keywords.best_found(best, k + _EXTRA)}
        missing = [chunk for chunk in also if chunk not in found]
        for index in indexes:
            found |= index.stored(missing, chosen)
        return scorer, found

    @property
    def _generation_keywords(self) -> keywords.KeywordIndex | None:
        index = self.generation.keywords
        return None if index is None else replace(index, without=self.masked)

    def _allowed(self, scope: Scope, source_ids: frozenset[int] | None) -> _Allowed:
        """Return what this scope may find; remembered, because it is the same for most questions."""
        chosen = keywords.Filter(scope.acl_ids, source_ids)
        known = self.filters.get(chosen)
        if known is None:
            old, new = self.generation.rows, self.tail
            in_old, in_new = old.allowed(chosen) & self.live, new.allowed(chosen)
            lengths = old.lengths[in_old].sum(dtype=np.float64) + new.lengths[in_new].sum(dtype=np.float64)
            rows = int(np.count_nonzero(in_old)) + int(np.count_nonzero(in_new))
            known = _Allowed(in_old, in_new, rows, float(lengths), rows == len(self))
            if len(self.filters) < _FILTERS_KEPT:
                self.filters[chosen] = known
        return known

    def _cosines(self, chunk_ids: npt.NDArray[np.int64], vector: npt.NDArray[np.float32]) -> Mapping[int, float]:
        found: dict[int, float] = {}
        for rows in (self.generation.rows, self.tail):  # the tail's version of a row wins
            numbers = rows.numbers_of(chunk_ids)
            here = numbers >= 0
            scores = vectors.cosines(rows.matrix[numbers[here]], vector)
            found |= dict(zip(chunk_ids[here].tolist(), scores.tolist(), strict=True))
        return found


def _best(scores: Mapping[int, float], k: int) -> list[Hit]:
    """Return the *k* highest scores, best first; ties by chunk id."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Hit(chunk_id, score) for chunk_id, score in ranked[:k]]
