"""The weak side must not spoil the strong one, and who is weak is measured."""

from __future__ import annotations

import pytest

from app import fuse as fusion
from app.fuse import trust
from indexing.snapshot import Scores


def fuse(scores, share, documents=None):
    """Each chunk in a document of its own, unless it is said otherwise."""
    return fusion.fuse(scores, documents or {chunk: chunk for chunk in scores}, share)


def whole_words(text):
    return [(0, 1)] * len(text.split())


def letters(text):
    return [(i, i + 1) for i in range(len(text))]


def test_no_candidates_give_no_ranking():
    assert fuse({}, 0.5) == []


def test_a_side_without_trust_decides_nothing():
    scores = {1: Scores(0.9, 1.0, 0.0), 2: Scores(0.1, 5.0, 0.0)}

    assert [chunk for chunk, _ in fuse(scores, 0.0)] == [2, 1]
    assert [chunk for chunk, _ in fuse(scores, 1.0)] == [1, 2]


def test_fused_scores_lie_between_0_and_1_best_first():
    scores = {i: Scores(i / 10, 10.0 - i, 0.1 * i) for i in range(11)}

    fused = [score for _, score in fuse(scores, 0.5)]

    assert fused == sorted(fused, reverse=True)
    assert 0.0 <= fused[-1] <= fused[0] <= 1.0


def test_equal_scores_are_ordered_by_chunk_id():
    assert [chunk for chunk, _ in fuse({5: Scores(0.5, 1.0, 0.0), 2: Scores(0.5, 1.0, 0.0)}, 0.5)] == [2, 5]


def test_words_near_each_other_break_a_tie():
    scores = {1: Scores(0.5, 1.0, 0.0), 2: Scores(0.5, 1.0, 0.8)}

    assert fuse(scores, 0.5)[0][0] == 2


def test_a_passage_in_a_document_with_other_good_ones_wins_a_close_call():
    scores = {1: Scores(0.80, 8.0, 0.0), 2: Scores(0.79, 7.9, 0.0), 3: Scores(0.75, 7.5, 0.0), 4: Scores(0.1, 0.0, 0.0)}

    assert fuse(scores, 0.5)[0][0] == 1
    assert fuse(scores, 0.5, {1: 10, 2: 20, 3: 20, 4: 30})[0][0] == 2


def test_many_mediocre_passages_do_not_beat_the_clearly_best_one():
    scores = {1: Scores(0.9, 9.0, 0.5)} | {number: Scores(0.3, 3.0, 0.0) for number in range(2, 40)}

    assert fuse(scores, 0.5, {1: 1} | dict.fromkeys(range(2, 40), 2))[0][0] == 1


def test_a_model_that_breaks_words_into_pieces_is_trusted_less():
    known = trust(["the annual leave policy"], whole_words)
    broken = trust(["le règlement intérieur"], letters)

    assert known == pytest.approx(0.88)
    assert broken == pytest.approx(0.1)


def test_trust_without_passages_is_that_of_known_words():
    assert trust([], letters) == pytest.approx(0.7)


def test_figures_do_not_count_as_words():
    table = "| 1,452.4 | 1,146.2 | 1,036.9 |"

    assert trust([table], letters) == pytest.approx(0.1)
