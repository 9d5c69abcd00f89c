"""FAISS finds what brute force finds, never what is not allowed, and no damaged byte is ever searched."""

from __future__ import annotations

import hashlib

import faiss
import numpy as np
import pytest

from indexing import vectors
from indexing.errors import GenerationDamaged

DIMENSION = 32


def matrix_of(rows, seed=0):
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, DIMENSION)).astype(np.float32)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def flat():
    return vectors.build(DIMENSION, [matrix_of(300), matrix_of(213, seed=1)])


def brute_force(flat, query, k, allowed):
    scores = np.where(allowed, vectors.cosines(flat.matrix, query), -np.inf)
    return np.sort(scores)[::-1][: min(k, int(allowed.sum()))]


def test_the_matrix_is_what_was_put_in(flat):
    assert np.array_equal(flat.matrix, np.concatenate([matrix_of(300), matrix_of(213, seed=1)]))


def test_on_a_thousand_random_masks_only_allowed_rows_are_found_and_they_are_the_best(flat):
    random = np.random.default_rng(7)
    for _ in range(1000):
        allowed = random.random(513) < random.choice([0.002, 0.01, 0.1, 0.5, 1.0])
        query = random.normal(size=DIMENSION).astype(np.float32)
        found = flat.nearest(query, 10, allowed)
        assert allowed[found].all()
        assert len(set(found.tolist())) == len(found) == min(10, int(allowed.sum()))
        expected = brute_force(flat, query, 10, allowed)
        assert np.allclose(np.sort(vectors.cosines(flat.matrix[found], query))[::-1], expected, atol=1e-4)


def test_each_single_row_can_be_the_only_one_allowed(flat):
    """The trap: numpy packs bits the other way round than FAISS reads them, and nothing complains."""
    for row in range(0, 513, 3):
        allowed = np.zeros(513, dtype=np.bool_)
        allowed[row] = True
        assert flat.nearest(matrix_of(1)[0].astype(np.float32), 5, allowed).tolist() == [row]


def test_the_wrong_bit_order_would_leak(flat):
    """Why the test above exists: with numpy's default the search returns rows that were not allowed."""
    allowed = np.zeros(513, dtype=np.bool_)
    allowed[0] = True
    bitmap = np.packbits(allowed)
    selector = faiss.IDSelectorBitmap(bitmap)  # type: ignore[call-arg,arg-type]
    parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
    _, found = flat.index.search(matrix_of(1).astype(np.float32), 5, params=parameters)
    assert set(found[0].tolist()) - {0, -1}


def test_nothing_allowed_finds_nothing(flat):
    assert len(flat.nearest(matrix_of(1)[0].astype(np.float32), 5, np.zeros(513, dtype=np.bool_))) == 0


def test_no_rows_find_nothing():
    empty = vectors.build(DIMENSION, [])

    assert empty.matrix.shape == (0, DIMENSION)
    assert len(empty.nearest(np.ones(DIMENSION, np.float32), 5, np.zeros(0, dtype=np.bool_))) == 0


def test_a_score_does_not_depend_on_where_the_row_lies(flat):
    query = matrix_of(1, seed=9)[0].astype(np.float32)

    alone = [vectors.cosines(flat.matrix[i : i + 1], query)[0] for i in range(50)]

    assert alone == vectors.cosines(flat.matrix, query)[:50].tolist()


def test_what_is_written_is_read_back(flat, tmp_path):
    sha256 = vectors.write(flat, tmp_path / "index.faiss")

    again = vectors.read(tmp_path / "index.faiss", sha256, 513, DIMENSION)

    assert sha256 == hashlib.sha256((tmp_path / "index.faiss").read_bytes()).hexdigest()
    assert np.array_equal(again.matrix, flat.matrix)
    query = matrix_of(1, seed=3)[0].astype(np.float32)
    everything = np.ones(513, dtype=np.bool_)
    assert again.nearest(query, 7, everything).tolist() == flat.nearest(query, 7, everything).tolist()


@pytest.mark.parametrize("damage", ["zeroed page", "flipped bit", "cut", "empty", "gone", "longer"])
def test_a_damaged_file_is_never_searched(flat, tmp_path, damage):
    path = tmp_path / "index.faiss"
    sha256 = vectors.write(flat, path)
    content = bytearray(path.read_bytes())
    if damage == "zeroed page":
        content[8192:12288] = bytes(4096)
    elif damage == "flipped bit":
        content[-1000] ^= 1
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    elif damage == "longer":
        content += b"x"
    path.write_bytes(content)
    if damage == "gone":
        path.unlink()

    with pytest.raises(GenerationDamaged):
        vectors.read(path, sha256, 513, DIMENSION)


@pytest.mark.parametrize("kind", ["HNSW", "IVF", "flat fp32", "other metric", "more rows", "no index"])
def test_only_the_type_of_index_that_honours_the_filter_is_accepted(tmp_path, kind):
    """HNSW ignores the selector with ``bounded_queue=False``: its checksum may be right, it is refused all the same."""
    rows = matrix_of(64).astype(np.float32)
    fp16 = faiss.ScalarQuantizer.QT_fp16
    index: faiss.Index
    if kind == "HNSW":
        index = faiss.IndexHNSWFlat(DIMENSION, 8, faiss.METRIC_INNER_PRODUCT)
    elif kind == "IVF":
        index = faiss.index_factory(DIMENSION, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
        index.train(rows)
    elif kind == "flat fp32":
        index = faiss.IndexFlatIP(DIMENSION)
    elif kind == "other metric":
        index = faiss.IndexScalarQuantizer(DIMENSION, fp16, faiss.METRIC_L2)
    else:
        index = faiss.IndexScalarQuantizer(DIMENSION, fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    content = b"no index at all" if kind == "no index" else faiss.serialize_index(index).tobytes()
    path = tmp_path / "index.faiss"
    path.write_bytes(content)

    expected = 65 if kind == "more rows" else 64
    with pytest.raises(GenerationDamaged):
        vectors.read(path, hashlib.sha256(content).hexdigest(), expected, DIMENSION)
