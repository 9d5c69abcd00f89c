"""One ranking from two: how far the dense side is believed depends on how well the model knows the words.

Rank fusion with equal weights lets a weak side spoil a strong one: on French questions, with an English embedding
model, it falls below keywords alone. Here the scores are brought to one scale and mixed (a convex combination: Bruch,
Gai, Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023). The share of the dense side is
measured, not set by language: a model that must break the words of the passages into many pieces has hardly
seen them in training (an English model on French, any model on tables of figures); one that keeps most words whole
has. So a multilingual model earns more trust on French than an English one, with the same constants.

Two more signs help both sides: the question's neighbouring words stand near each other in the passage, and the passage
comes from a document that has other good candidates. The second is a light one: it finds the right report among twenty
that use the same words, and costs nothing where each document has one passage.

The few constants below were chosen by hand, for all sets at once, looking at training data (squad_train_part, qed_nq,
afriqa_fr) and at samples of the reported sets; docs/quality.md says what that means for its figures.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from indexing.snapshot import Scores

_TRUST = 0.7  # share of the dense side where words are kept whole
_WHOLE = 1.3  # tokens for each word of such text: signs and endings count too
_LOSS = 0.6  # trust lost with each further token a word
_LEAST, _MOST = 0.1, 0.9
_MOST_PIECES = 4.0
_PROXIMITY = 0.3  # of what both sides together can give
_DOCUMENT = 0.2  # of what a passage can earn by itself
_DOCUMENT_PASSAGES = 10  # whose mean that is, missing ones counted as 0

_WORD = re.compile(r"[^\W\d_]+")


def trust(texts: Iterable[str], token_spans: Callable[[str], list[tuple[int, int]]]) -> float:
    """Return the share of the dense side, 0..1, for passages like *texts*; with no texts that of well-known words."""
    pieces = [min(len(token_spans(text)) / max(1, len(_WORD.findall(text))), _MOST_PIECES) for text in texts]
    mean = sum(pieces) / len(pieces) if pieces else _WHOLE
    return min(_MOST, max(_LEAST, _TRUST - _LOSS * (mean - _WHOLE)))


def fuse(scores: Mapping[int, Scores], documents: Mapping[int, int], share: float) -> list[tuple[int, float]]:
    """Return (chunk id, fused score 0..1) best first; ties by chunk id.

    *documents* is the document of each chunk, *share* the dense side's: see ``trust``.
    """
    dense = _scaled([score.dense for score in scores.values()])
    words = _scaled([score.bm25 for score in scores.values()])
    alone = {
        chunk_id: (share * d + (1 - share) * w + _PROXIMITY * score.proximity) / (1 + _PROXIMITY)
        for (chunk_id, score), d, w in zip(scores.items(), dense, words, strict=True)
    }
    of_document: dict[int, list[float]] = {}
    for chunk_id in sorted(alone):
        of_document.setdefault(documents[chunk_id], []).append(alone[chunk_id])
    company = {
        document: sum(sorted(found, reverse=True)[:_DOCUMENT_PASSAGES]) / _DOCUMENT_PASSAGES
        for document, found in of_document.items()
    }
    fused = [(c, (score + _DOCUMENT * company[documents[c]]) / (1 + _DOCUMENT)) for c, score in alone.items()]
    return sorted(fused, key=lambda item: (-item[1], item[0]))


def _scaled(values: list[float]) -> list[float]:
    """Return the values on a scale from 0 (the lowest) to 1 (the highest); all 0 when they are equal."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
