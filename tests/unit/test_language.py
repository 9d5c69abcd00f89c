"""Questions are short: the language must be right without a whole sentence, and silent when there is nothing."""

from __future__ import annotations

import pytest

from indexing.language import detect_language

FRENCH = [
    "Combien de jours de congés payés ?",
    "congés payés ?",
    "durée du congé parental",
    "télétravail",
    "C’est quoi, l’intéressement ?",
    "qui contacter en cas d'accident",
    "Peut-on cumuler les RTT ?",
    "QUEL EST LE PLAFOND DES NOTES DE FRAIS ?",
    "où est le local à vélos",
]
ENGLISH = [
    "How many days of paid leave?",
    "who approves expenses",
    "What's the on-call rota?",
    "remote work policy for interns",
    "Is the laptop insured?",
    "WHERE IS THE FIRST AID KIT",
    "don't we get Fridays off?",
]


@pytest.mark.parametrize("question", FRENCH)
def test_a_short_french_question_is_french(question):
    assert detect_language(question) == "fr"


@pytest.mark.parametrize("question", ENGLISH)
def test_a_short_english_question_is_english(question):
    assert detect_language(question) == "en"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Was ist das? Der Urlaub wird von der Leitung genehmigt.", "de"),
        ("¿Cuántos días de vacaciones hay?", "es"),
        ("Wat zijn de regels voor het vakantieverlof?", "nl"),
        ("これは休暇に関する社内規程の説明です。", "ja"),
        ("Это русский текст про отпуск сотрудников компании", "ru"),
    ],
)
def test_other_languages_are_told_apart(text, language):
    assert detect_language(text) == language


@pytest.mark.parametrize("text", ["", "   ", "42 €", "2026-01-31", "?!", "A", "|---|---|"])
def test_nothing_to_go_by_keeps_the_default(text):
    assert detect_language(text) == "und"
    assert detect_language(text, "fr") == "fr"


def test_an_english_name_does_not_make_a_french_question_english():
    assert detect_language("Qui dirige Open Data Services Limited ?") == "fr"


def test_lone_surrogates_and_control_characters_do_no_harm():
    assert detect_language("Où est \ud800 le \x00 guide ?") == "fr"
    assert detect_language("\ud800\udc00 \ud800") == "und"
