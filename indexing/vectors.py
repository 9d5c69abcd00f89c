"""The dense half of a generation: a flat half-precision FAISS index, written, read and searched exactly.

FAISS finds the rows; ``cosines`` scores them. One function scores every row, whether it lies in the index or in the
tail, so that a generation with a longer tail and a rebuilt one give the same scores to the last digit.

FAISS has no checksums, and a zeroed page loads silently with wrong answers. So files are hashed while they
are written and verified before they are deserialised, and only one type of index is accepted.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from indexing.errors import GenerationDamaged
from indexing.threads import bound_faiss

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

#: In the manifest: another type is never searched, because some ignore the permission bitmap without an error.
INDEX_TYPE = "SQfp16,IP"
_DIGITS = 6  # of a cosine: more would be rounding noise, which differs between processors


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """A loaded index. ``matrix`` is a view into it: fp16 (rows, dimension). Row numbers are those of the arrays."""

    index: Any
    matrix: npt.NDArray[np.float16]

    def nearest(self, vector: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the rows of the *k* highest inner products among the *allowed* rows, best first, or all there are.

        *allowed* has one flag for each row. Exact: the filter comes before the ranking.
        """
        import faiss

        k = min(k, int(np.count_nonzero(allowed)))
        if k == 0:
            return np.empty(0, dtype=np.int64)
        # FAISS reads bit i of the bitmap at bit i % 8 of byte i // 8: any other order lets the wrong rows through.
        bitmap = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bitmap)  # type: ignore[call-arg,arg-type]  # faiss/__init__ adds this form
        parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # same
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        _, rows = self.index.search(query, k, params=parameters)
        found: npt.NDArray[np.int64] = rows[0]
        return found[found >= 0]


def build(dimension: int, batches: Iterable[npt.NDArray[np.float16]]) -> FlatIndex:
    """Return an index of all rows of the *batches*, each fp16 (n, dimension)."""
    import faiss

    bound_faiss()
    index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for batch in batches:
        index.add(np.ascontiguousarray(batch, dtype=np.float32))
    return FlatIndex(index, _matrix(index))


def write(flat: FlatIndex, path: Path) -> str:
    """Write the index, forced to disk, and return the sha256 of what was written."""
    import faiss

    digest = hashlib.sha256()
    with path.open("wb") as file:

        def take(block: bytes) -> int:
            digest.update(block)
            file.write(block)
            return len(block)

        writer = faiss.PyCallbackIOWriter(take)  # type: ignore[attr-defined]  # not in its stubs
        faiss.write_index(flat.index, writer)
        del writer  # flushes
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read(path: Path, sha256: str, rows: int, dimension: int) -> FlatIndex:
    """Return the index in *path*. Raises GenerationDamaged before FAISS sees any byte that was altered."""
    import faiss

    bound_faiss()
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as exc:
        raise GenerationDamaged(f"{path} cannot be read: {exc.strerror}.") from exc
    if hashlib.sha256(content.data).hexdigest() != sha256:
        raise GenerationDamaged(f"{path} does not match its checksum.")
    try:
        index = faiss.deserialize_index(content)  # has its own type already: downcasting would not own the memory
    except RuntimeError as exc:
        raise GenerationDamaged(f"{path} is not an index: {exc}.") from exc
    if (
        not isinstance(index, faiss.IndexScalarQuantizer)
        or index.sq.qtype != faiss.ScalarQuantizer.QT_fp16
        or index.metric_type != faiss.METRIC_INNER_PRODUCT
        or (index.ntotal, index.d) != (rows, dimension)
    ):
        raise GenerationDamaged(f"{path} is not a {INDEX_TYPE} index of {rows} × {dimension}.")
    return FlatIndex(index, _matrix(index))


def cosines(matrix: npt.NDArray[np.float16], vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the inner product of *vector* with each row of *matrix*, rounded; the same wherever the row is stored."""
    products: npt.NDArray[np.float64] = np.einsum("ij,j->i", matrix.astype(np.float64), vector.astype(np.float64))
    return np.round(products, _DIGITS)


def _matrix(index: Any) -> npt.NDArray[np.float16]:
    """Return the codes of the index as fp16 (rows, dimension): a view, valid as long as the index is unchanged."""
    import faiss

    if index.ntotal == 0:
        return np.empty((0, index.d), dtype=np.float16)
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    return codes.view("<f2").reshape(index.ntotal, index.d)
