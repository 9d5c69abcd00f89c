"""Sentences and words in English and French."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.sentences import sentence_spans, words


def sentences(text):
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Leave is 25 days.", "It starts in June.", "Really?", "Yes!"],
        ["Dr. Martin and Prof. Lee met at 3.14 p.m. in St. Louis.", "They left."],
        ["It costs $4.50 (approx. 4 euros).", "See fig. 3 and no. 5, e.g. the blue one, i.e. mine."],
        ["J. R. Smith of the U.S. Senate wrote it in Jan. 1999.", "Nobody read it."],
        ["M. Dupont et Mme. Martin sont arrivés.", "Ils repartent le 3 janv. 2024."],
        ["Voir l'art. L. 121-1 et l'art. R. 4 du code, p. 7.", "Il s'applique."],
        ["« C'est fini ! » dit-il.", "Elle répond : « Non. »", "Il part."],
        ["Rome, 44 av. J.-C., etc.", "La suite manque."],
        ["Il a dit « Oui. »", "Puis « Non ! »", "Fin."],
        ["He was there.", '"Really?" she asked.', "(He was.)", "[1] Notes follow."],
        ["Wait… what?", "Nothing..."],
        ["这是第一句。", "这是第二句！"],
    ],
)
def test_abbreviations_initials_and_quotes_do_not_end_a_sentence(expected):
    assert sentences(" ".join(expected)) == expected


def test_list_lines_are_sentences_and_wrapped_lines_are_not():
    text = "You need:\n- a badge\n- a key\n1. Knock twice.\n2. Wait\nuntil it opens.\n\nThen go in"

    assert sentences(text) == [
        "You need:",
        "- a badge",
        "- a key",
        "1. Knock twice.",
        "2. Wait\nuntil it opens.",
        "Then go in",
    ]


def test_a_number_or_letter_that_opens_an_item_stays_with_its_text():
    assert sentences("1. Open it. 2. Close it.\na. First. B. Second.") == [
        "1. Open it.",
        "2. Close it.",
        "a. First.",
        "B. Second.",
    ]


@pytest.mark.parametrize("blank", ["", "  ", "\n\n\t", "\u00a0\n"])
def test_blank_text_has_no_sentences(blank):
    assert sentence_spans(blank) == []


@given(st.text(alphabet=st.sampled_from("aB é.!?…»\"')\n\t1-•。"), max_size=200) | st.text(max_size=200))
def test_every_sign_that_is_not_white_space_lies_in_exactly_one_sentence(text):
    spans = sentence_spans(text)
    covered = [position for start, end in spans for position in range(start, end)]

    assert covered == sorted(set(covered))
    assert {i for i, sign in enumerate(text) if not sign.isspace()} <= set(covered)
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)


@pytest.mark.timeout(60)  # quadratic work does not end in this time
@pytest.mark.parametrize("hostile", [" ", ".", "\n", ".»", " \n", "a. ", ". \n", "!)", "1. ", "\n- "])
def test_time_grows_with_the_length_and_not_with_its_square(hostile):
    spans = sentence_spans(hostile * 200_000)

    assert all(start < end for start, end in spans)


def test_words_are_folded_and_elisions_and_numbers_are_taken_apart_sensibly():
    assert words("L'Usine n'a pas 10,000 ÉTÉS — 3rd, e-mail; x_1") == [
        "l",
        "usine",
        "n",
        "a",
        "pas",
        "10,000",
        "étés",
        "3rd",
        "e",
        "mail",
        "x_1",
    ]
    assert words("") == []
