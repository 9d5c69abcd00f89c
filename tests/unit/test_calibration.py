from __future__ import annotations

import random

import pytest

from app.calibration import threshold_for, upper_bound


def test_bound_is_that_of_clopper_and_pearson():
    # With no wrong answer among n the bound solves (1 - p) ** n = doubt.
    assert upper_bound(0, 45, 0.1) == pytest.approx(1 - 0.1 ** (1 / 45))
    assert upper_bound(0, 0, 0.1) == 1
    assert upper_bound(5, 5, 0.1) == 1


def test_threshold_answers_as_many_as_the_target_allows():
    confidences = [1 - i / 1000 for i in range(1000)]
    right = [i < 600 for i in range(1000)]  # the surest 600 are right

    found = threshold_for(confidences, right, 0.05)

    assert found is not None
    assert 0.3 < found.confidence <= 0.4
    assert found.wrong / found.answered <= 0.05
    assert found.asked == 1000


def test_no_threshold_when_nothing_is_reliable_or_too_little_was_asked():
    assert threshold_for([0.9] * 500, [False] * 500, 0.05) is None
    assert threshold_for([0.9] * 10, [True] * 10, 0.05) is None
    assert threshold_for([], [], 0.05) is None


def test_questions_of_equal_confidence_are_answered_together():
    found = threshold_for([0.8] * 200 + [0.5] * 200, [True] * 200 + [False] * 200, 0.05)

    assert found is not None
    assert found.confidence == 0.8
    assert found.answered == 200


def test_rate_on_new_questions_keeps_the_target_as_often_as_promised():
    chance = random.Random(7)
    broken = tried = 0
    for _ in range(300):
        confidences = [chance.random() for _ in range(400)]
        right = [chance.random() < c for c in confidences]
        found = threshold_for(confidences, right, 0.2, doubt=0.1)
        if found is not None:
            tried += 1
            broken += (1 - found.confidence) / 2 > 0.2  # the true rate above the threshold: confidences are uniform
    assert tried > 100
    assert broken / tried <= 0.13
