"""From a question to permitted passages: both searches, joined to live rows, fused. Text enters in that join alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.fuse import fuse, trust
from indexing.access import authorised_again
from indexing.language import detect_language
from indexing.store import passages

if TYPE_CHECKING:
    from indexing.db import Catalog
    from indexing.documents import Passage, Scope
    from indexing.embed import Embedder
    from indexing.search import SearchIndex

_CANDIDATES = 100  # of each side, or top_k if that is more
_TRIES = 3  # of a search beside which things change
_JUDGED = 10  # passages by whose words the dense side's trust is measured


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a question. ``seq`` is the change-log position that was searched, ``scope`` who could read."""

    passages: tuple[Passage, ...]  # best first
    language: str  # of the question
    seq: int
    scope: Scope


def retrieve(
    question: str,
    *,
    scope: Scope,
    catalog: Catalog,
    index: SearchIndex,
    embedder: Embedder,
    top_k: int,
    source_ids: frozenset[int] | None = None,
) -> Retrieval:
    """Return the *top_k* passages that answer *question* best, of what *scope* may read and *source_ids* hold.

    *source_ids* None means all sources. Beside the lists of *scope* count those that its principal is on by now: the
    returned scope has both. Everything acknowledged before the call is found. A question in no
    known language is read in the language of most passages.
    """
    vector = embedder.embed_questions([question])[0]
    for _ in range(_TRIES):
        index.refresh()
        index.check_model()
        snapshot = index.snapshot()
        if scope.trial is not None:
            snapshot = snapshot.without(scope.trial.replaced)
        with catalog.reading() as session:
            # Resolved after the snapshot was taken, and as of the join: whoever may read a source before and after its
            # list changes is on both lists, and must not miss it meanwhile.
            by_now = authorised_again(session, scope)
            scope = replace(scope, acl_ids=scope.acl_ids | by_now.acl_ids)
            language = detect_language(question, snapshot.main_language(scope, source_ids))
            scores = snapshot.candidates(question, language, vector, scope, source_ids, max(_CANDIDATES, top_k))
            found = passages(session, scope, scores.keys(), source_ids)
        if len(found) == len(scores):  # else something was replaced since the snapshot, and its new text is not in it
            break
    scores = {chunk_id: score for chunk_id, score in scores.items() if chunk_id in found}
    documents = {chunk_id: found[chunk_id].document_id for chunk_id in scores}
    first = [found[chunk_id].text for chunk_id, _ in fuse(scores, documents, 0.5)[:_JUDGED]]
    ranked = fuse(scores, documents, trust(first, embedder.token_spans))[:top_k]
    chosen = [
        replace(found[chunk_id], score=score, score_dense=scores[chunk_id].dense, score_bm25=scores[chunk_id].bm25)
        for chunk_id, score in ranked
    ]
    return Retrieval(tuple(chosen), language, snapshot.seq, scope)
