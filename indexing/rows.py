"""The rows of an index as arrays: an entry for each chunk, in chunk-id order, in a generation and its tail alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from indexing import keywords

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from indexing.documents import IndexBatch


@dataclass(frozen=True, eq=False)
class Rows:
    """Arrays of equal length. ``matrix`` is fp16 (rows, dimension), L2-normalised before rounding."""

    ARRAYS: ClassVar = ("chunks", "documents", "sources", "acls", "lengths", "languages")

    chunks: npt.NDArray[np.int64]  # ascending
    documents: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int32]
    acls: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.float32]  # as BM25 sees them
    languages: npt.NDArray[np.bytes_]  # ISO 639-1, or und
    matrix: npt.NDArray[np.float16]

    @classmethod
    def none(cls, dimension: int) -> Rows:
        """Return no rows."""
        whole, half = np.empty(0, np.int64), np.empty(0, np.int32)
        no_vectors = np.empty((0, dimension), np.float16)
        return cls(whole, whole, half, half, np.empty(0, np.float32), np.empty(0, "S3"), no_vectors)

    @classmethod
    def concatenate(cls, pieces: Sequence[Rows], dimension: int) -> Rows:
        """Return the rows of all *pieces*, in order."""
        if not pieces:
            return cls.none(dimension)
        names = (*cls.ARRAYS, "matrix")
        return cls(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in names))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.chunks)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays by name, without the vectors."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    def without_vectors(self) -> Rows:
        """Return the same rows without their vectors: FAISS has those."""
        return Rows(**self.arrays(), matrix=np.empty((len(self), 0), np.float16))  # type: ignore[arg-type]

    def where(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows that are flagged in *chosen*."""
        return Rows(*(getattr(self, name)[chosen] for name in (*self.ARRAYS, "matrix")))

    def ordered(self) -> Rows:
        """Return the rows in chunk-id order."""
        order = np.argsort(self.chunks, kind="stable")
        return Rows(*(getattr(self, name)[order] for name in (*self.ARRAYS, "matrix")))

    def of_documents(self, document_ids: Collection[int]) -> npt.NDArray[np.bool_]:
        """Return a flag for each row: whether it belongs to one of those documents."""
        return np.isin(self.documents, np.fromiter(document_ids, np.int64, len(document_ids)))

    def allowed(self, chosen: keywords.Filter) -> npt.NDArray[np.bool_]:
        """Return a flag for each row: whether the filter lets it through. No access lists, no rows."""
        flags = np.isin(self.acls, np.fromiter(chosen.acl_ids, np.int64, len(chosen.acl_ids)))
        if chosen.source_ids is not None:
            flags &= np.isin(self.sources, np.fromiter(chosen.source_ids, np.int64, len(chosen.source_ids)))
        return flags

    def numbers_of(self, chunk_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row number of each chunk id, or -1 where it is not here."""
        if len(self) == 0:
            return np.full(len(chunk_ids), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.chunks, chunk_ids), len(self) - 1)
        return np.where(self.chunks[at] == chunk_ids, at, -1)


def rows_of(batch: IndexBatch) -> tuple[Rows, list[keywords.Row]]:
    """Return a batch of the catalog as rows, and what the keyword index takes in of them."""
    terms = []
    for i, (chunk_id, document_id) in enumerate(zip(batch.chunk_ids, batch.document_ids, strict=True)):
        language = batch.languages[i]
        above = " ".join(dict.fromkeys([batch.titles[i], *batch.headings[i].split(" > ")]))
        terms.append(
            keywords.Row(
                chunk_id=int(chunk_id),
                document_id=int(document_id),
                source_id=int(batch.source_ids[i]),
                acl_id=int(batch.acl_ids[i]),
                title=keywords.analyse(above, language),
                text=keywords.analyse(batch.texts[i], language),
            )
        )
    rows = Rows(
        chunks=batch.chunk_ids,
        documents=batch.document_ids,
        sources=batch.source_ids,
        acls=batch.acl_ids,
        lengths=np.array([row.length for row in terms], dtype=np.float32),
        languages=np.array([language.encode()[:3] for language in batch.languages], dtype="S3"),
        matrix=batch.vectors,
    )
    return rows, terms
