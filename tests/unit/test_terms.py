from __future__ import annotations

import pytest

from app.terms import content_terms, fold, numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10,000 or 10 000 or 10.000", {"10000"}),
        ("2,50 € and 2.5 kg", {"2.5"}),
        ("in 2024 100 people", {"2024", "100"}),
        ("8:30", {"8", "30"}),
        ("1 234 567,89", {"1234567.89"}),
        ("none", set()),
    ],
)
def test_numbers_are_the_same_however_they_are_written(text, found):
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "employees", "employee"),
        ("en", "policies", "policy"),
        ("en", "requested", "requests"),
        ("fr", "congés", "congé"),
        ("fr", "employés", "employée"),
        ("fr", "demandes", "demande"),
        ("fr", "remboursement", "remboursements"),
    ],
)
def test_forms_of_a_word_share_their_stem(language, one, other):
    assert content_terms(one, language) == content_terms(other, language)


def test_words_that_say_how_something_is_asked_do_not_count():
    assert content_terms("How many days of leave do I have?", "en") == content_terms("days leave", "en")
    assert content_terms("Combien de jours de congés ai-je ?", "fr") == content_terms("jours congés", "fr")
    assert content_terms("What is it?", "en") == []


def test_folding_takes_accents_and_ligatures_apart():
    assert fold("Œuvre d’Été") == "oeuvre d’ete"
