"""Permission canaries: secret rows in every generation, asked for before it is searched by anybody.

They are rows of the index alone: random words and random vectors, under lists that no person can be on, so no answer,
list or count can hold them. Half of them nobody may read; the others only the canary itself. Before a generation is
used, and after each run, they are asked for as everybody by turns. One that is found by the wrong one, or not found by
its own, means that the index does not keep what it must: the selector is ignored, a column is shifted, bits are in
another order. Beside them, real passages: whatever the index gives a person must be what the catalog gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexing.access import authorise, canary_scope
from indexing.documents import IndexBatch
from indexing.principals import some_principals
from indexing.store_read import passages

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt
    from sqlalchemy.orm import Session

    from indexing.documents import Scope
    from indexing.snapshot import Snapshot

#: The access lists of canaries: ids at the end of what a row can hold, which the catalog never gives out.
NOBODY, OWN = 2**31 - 1, 2**31 - 2
_LISTS = (NOBODY, OWN, NOBODY, OWN, NOBODY)
COUNT = len(_LISTS)
_FIRST_ID = 2**62  # behind every chunk and document of the catalog
_WORDS = 6
_LETTERS = "bcdfghjklmnpqrstvwxz"
_ASKED_AS = 4  # people, drawn anew each time
_FOUND = 50  # rows that each of them asks for
_ITSELF = 0.9  # cosine of a canary with itself, and with no other
_FORBIDDEN = 20  # passages of others that each asks the catalog for
_LANGUAGE = "und"


@dataclass(frozen=True, slots=True)
class Canary:
    """The secret rows that *seed* stands for, for vectors of *dimension*."""

    seed: int
    dimension: int

    def texts(self) -> list[str]:
        """Return the text of each row: words that no language has."""
        random = np.random.default_rng(self.seed)
        letters = random.choice(list(_LETTERS), size=(COUNT, _WORDS, 10))
        return [" ".join("".join(word) for word in words) for words in letters]

    def vectors(self) -> npt.NDArray[np.float32]:
        """Return the vector of each row, in a direction that no text has."""
        made = np.random.default_rng(self.seed + 1).normal(size=(COUNT, self.dimension))
        normalised: npt.NDArray[np.float32] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
        return normalised

    def batch(self) -> IndexBatch:
        """Return the rows as the catalog would give them."""
        ids = np.arange(_FIRST_ID, _FIRST_ID + COUNT, dtype=np.int64)
        nothing = [""] * COUNT
        return IndexBatch(
            chunk_ids=ids,
            document_ids=ids,
            source_ids=np.zeros(COUNT, dtype=np.int32),
            acl_ids=np.array(_LISTS, dtype=np.int32),
            languages=[_LANGUAGE] * COUNT,
            texts=self.texts(),
            titles=nothing,
            headings=nothing,
            uris=nothing,
            vectors=self.vectors().astype(np.float16),
        )


def leak(session: Session, snapshot: Snapshot) -> str | None:
    """Return what *snapshot* gives out that it must not, or hides from who may read it; None when all is well.

    *session* must see the catalog as the snapshot has it.
    """
    canary = snapshot.generation.canary
    if canary is not None and (found := _own(snapshot, canary)) is not None:
        return found
    scopes = {0: authorise(session, 0)} | {who: authorise(session, who) for who in some_principals(session, _ASKED_AS)}
    different = {scope.acl_ids: scope for scope in scopes.values()}
    random = np.random.default_rng()
    for scope in different.values():
        found = _as_somebody(session, snapshot, scope, random)
        if found is not None:
            return found
    return None


def _own(snapshot: Snapshot, canary: Canary) -> str | None:
    """Ask for each canary as the canary: its own rows and nothing else must come back."""
    scope = canary_scope(OWN)
    ids = [_FIRST_ID + number for number in range(COUNT)]
    own = {id_ for id_, acl_id in zip(ids, _LISTS, strict=True) if acl_id == OWN}
    for id_, text, vector in zip(ids, canary.texts(), canary.vectors(), strict=True):
        dense = snapshot.search_dense(vector, scope, None, _FOUND)
        itself = bool(dense) and dense[0].chunk_id == id_ and dense[0].score > _ITSELF
        if {hit.chunk_id for hit in dense} != own or itself != (id_ in own):
            return "By its vector the canary finds other rows than its own."
        words = {hit.chunk_id for hit in snapshot.search_keywords(text, _LANGUAGE, scope, None, _FOUND)}
        if words != own & {id_}:
            return "By its words the canary finds other rows than its own."
    return None


def _as_somebody(session: Session, snapshot: Snapshot, scope: Scope, random: np.random.Generator) -> str | None:
    """Ask for a canary and for what others may read; only what the catalog permits may come back, from both."""
    rows, live = snapshot.generation.rows, snapshot.live
    forbidden = rows.chunks[live & ~np.isin(rows.acls, np.array(sorted(scope.acl_ids), dtype=np.int64))]
    canary = snapshot.generation.canary
    found: set[int] = set()
    if canary is not None:
        number = int(random.integers(COUNT))
        found |= _found(snapshot, scope, canary.vectors()[number])
        hits = snapshot.search_keywords(canary.texts()[number], _LANGUAGE, scope, None, _FOUND)
        found |= {hit.chunk_id for hit in hits}
    if len(rows):
        found |= _found(snapshot, scope, rows.matrix[int(random.integers(len(rows)))].astype(np.float32))
    if len(snapshot.tail):
        found |= _found(
            snapshot, scope, snapshot.tail.matrix[int(random.integers(len(snapshot.tail)))].astype(np.float32)
        )
    if found - set(passages(session, scope, found, None)):
        return "The index gives somebody rows that the catalog does not let them read."
    asked: Collection[int] = random.choice(forbidden, size=min(_FORBIDDEN, len(forbidden)), replace=False).tolist()
    if passages(session, scope, asked, None):
        return "The catalog gives somebody passages that the index has under lists of others."
    return None


def _found(snapshot: Snapshot, scope: Scope, vector: npt.NDArray[np.float32]) -> set[int]:
    return {hit.chunk_id for hit in snapshot.search_dense(vector, scope, None, _FOUND)}
