from __future__ import annotations

import pytest

from benchmarks.answers import exact_match, f1, holds, normalised


def test_words_are_compared_without_case_accents_signs_or_articles():
    assert normalised("The Congés, «l’Été» !") == ["conges", "ete"]


def test_f1_is_the_harmonic_mean_of_shared_words():
    # 2 shared words of 3 said and 4 wanted: 2 * 2 / (3 + 4)
    assert f1("red green blue", ["red green white black"]) == pytest.approx(4 / 7)
    assert f1("red", ["blue"]) == 0
    assert f1("red", ["blue", "red"]) == 1


def test_reference_must_stand_in_the_text_as_whole_words():
    assert holds("It takes 26 working days.", ["26 days", "26"]) == 1
    assert holds("It takes 126 days.", ["26 days", "26"]) == 0
    assert holds("anything", [""]) == 0


def test_exact_match_needs_all_the_words_and_no_others():
    assert exact_match("the 26 days", ["26 days"]) == 1
    assert exact_match("26 working days", ["26 days"]) == 0
