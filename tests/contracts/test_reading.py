"""What every SpanReader keeps to: the one that comes with the program, and the fake."""

from __future__ import annotations

import numpy as np
import pytest

from app.reading import LONGEST_ANSWER, Text, TrainedReader
from app.testing import WordReader

LEAVE = "Everyone has 25 days of paid leave each year. Leave is requested in the portal."
QUESTION = "How many days of paid leave does everyone have?"


@pytest.fixture(scope="module", params=[WordReader, TrainedReader])
def reads(request):
    return request.param()


def test_each_passage_has_a_reading_in_order(reads):
    found = reads.read(QUESTION, [Text("Badges are issued by reception."), Text(LEAVE)])

    assert len(found) == 2
    assert found[1].best(0, len(LEAVE)).margin > found[0].best(0, 31).margin


def test_nothing_to_read_gives_nothing(reads):
    assert reads.read(QUESTION, []) == []
    [empty] = reads.read(QUESTION, [Text("")])
    assert empty.offsets == ()
    assert empty.best(0, 10) is None


@pytest.mark.parametrize(
    "text", [LEAVE, "a" * 5000, "Congés payés : 25 jours œuvrés 🏖️ — «ok».", "\ud800 half", "x\x00y"]
)
def test_tokens_stand_within_the_text_and_their_logits_are_numbers(reads, text):
    [found] = reads.read(QUESTION, [Text(text, before="Leave policy")])

    assert len(found.offsets) == len(found.starts) == len(found.ends)
    assert all(0 <= a <= b <= len(text) for a, b in found.offsets)
    assert list(found.offsets) == sorted(found.offsets)
    assert np.isfinite(found.starts).all()
    assert np.isfinite(found.ends).all()


def test_best_span_stays_within_the_characters_asked_about(reads):
    [found] = reads.read(QUESTION, [Text(LEAVE)])
    span = found.best(46, len(LEAVE))

    assert 46 <= span.start < span.end <= len(LEAVE)


def test_answer_is_no_longer_than_the_longest_allowed(reads):
    [found] = reads.read(QUESTION, [Text("days of paid leave " * 60)])
    span = found.best(0, 60 * 19)

    inside = [o for o in found.offsets if span.start <= o[0] and o[1] <= span.end]
    assert len(inside) <= LONGEST_ANSWER


def test_what_stands_before_the_passage_holds_no_answer(reads):
    [found] = reads.read(QUESTION, [Text(LEAVE, before="99 days of paid leave")])

    assert max(b for _, b in found.offsets) <= len(LEAVE)


def test_long_passage_is_read_to_its_end(reads):
    text = "The canteen serves lunch. " * 200 + LEAVE
    [found] = reads.read(QUESTION, [Text(text)])

    assert found.best(len(text) - len(LEAVE), len(text)).margin > found.best(0, 1000).margin
    assert found.offsets[-1][1] >= len(text) - 1
