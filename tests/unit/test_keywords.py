"""What a word becomes in the index, and what a row scores."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from indexing.keywords import Filter, KeywordWriter, Row, Scorer, Terms, analyse, question_terms

ALL = Filter(frozenset({1}))


def stems(text, language="fr"):
    return set(analyse(text, language).stems)


def row(chunk_id, text, *, title="", language="fr", acl_id=1, source_id=1, document_id=None):
    return Row(chunk_id, document_id or chunk_id, source_id, acl_id, analyse(title, language), analyse(text, language))


def index_of(*rows):
    writer = KeywordWriter()
    writer.add(rows)
    return writer.commit()


def found(index, terms, allowed=ALL, k=10):
    return [each.chunk_id for each in index.find(dict.fromkeys(terms, 1.0), allowed, k)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("l'usine", "l’usine"),
        ("l’usine", "usine"),
        ("L'USINE", "usines"),
        ("d'Évry", "evry"),
        ("qu'elle paiera", "paiera"),
        ("jusqu’au remboursement", "remboursements"),
        ("œuvres", "oeuvre"),
        ("salariées", "salariés"),
        ("nationales", "nationaux"),
    ],
)
def test_french_forms_of_one_word_meet(one, other):
    assert stems(one) == stems(other)


def test_a_question_typed_without_accents_meets_every_word():
    assert {*analyse("congés payés à l’étranger", "fr").forms} <= {*analyse("conges payes a l'etranger", "fr").forms}


@pytest.mark.parametrize(("one", "other"), [("the company's laptops", "laptop of a company"), ("approved", "approves")])
def test_english_forms_of_one_word_meet(one, other):
    assert stems(one, "en") == stems(other, "en")


def test_function_words_are_left_out_in_their_own_language_only():
    assert stems("le la les des dans pour", "fr") == set()
    assert "the" in stems("the", "fr")


def test_a_question_of_function_words_only_keeps_them():
    assert question_terms("Qui est-ce ?", "fr").stems != []
    assert question_terms("?", "fr").stems == []


def test_stems_and_forms_stay_in_step():
    terms = analyse("Les congés payés de l'entreprise, art. 12-3 !", "fr")

    assert len(terms.stems) == len(terms.forms)
    assert all(form.startswith("=") for form in terms.forms)


@pytest.mark.parametrize("language", ["und", "ja", "sv", ""])
def test_a_language_without_a_stemmer_is_indexed_as_it_is_written(language):
    assert analyse("Semester 2026", language).stems == ["semester", "2026"]


def test_chinese_signs_are_terms():
    assert analyse("休暇規程", "ja").stems == ["休", "暇", "規", "程"]


@pytest.mark.parametrize(
    "question",
    [
        'title:"x" AND (',
        "a OR NOT b^9",
        "*?~/[]{}\\",
        "acl:1",
        "\ud800 \x00 \u202e",
        "=congés",
        "x" * 100_000,
        "- + &&",
    ],
)
def test_no_question_is_read_as_a_query_language(question):
    index = index_of(row(1, "un texte simple"))

    assert found(index, question_terms(question, "fr").stems) == []


def test_a_pasted_page_is_cut_not_refused():
    assert len(question_terms("mot " * 5000 + "fin", "fr").stems) == 64


def score(index, question, *, rows, total, language="fr"):
    terms = question_terms(question, language)
    distinct = {*terms.stems, *terms.forms}
    scorer = Scorer.of(terms, {term: index.frequency(term, ALL) for term in distinct}, rows, total)
    return {each.chunk_id: scorer.score(each.stored)[0] for each in index.find(scorer.weights, ALL, 10)}


def test_bm25_is_the_formula():
    rows = [row(1, "prime prime vélo"), row(2, "prime transport repas"), row(3, "cantine")]
    index = index_of(*rows)
    total = sum(r.length for r in rows)

    found = score(index, "prime", rows=3, total=total)

    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / (total / 3))
    assert found[1] == pytest.approx(idf * 2 * 2.2 / (2 + norm), abs=1e-6)
    assert found[2] == pytest.approx(idf * 1 * 2.2 / (1 + norm), abs=1e-6)
    assert 3 not in found


def test_the_same_form_scores_more_than_the_same_stem():
    index = index_of(row(1, "remboursement du repas"), row(2, "remboursements du repas"))

    found = score(index, "remboursements", rows=2, total=4)

    assert found[2] > found[1] > 0


def test_a_word_in_the_title_counts_more_than_one_in_the_text():
    rows = [row(1, "texte autre chose", title="Vélo"), row(2, "texte vélo chose", title="Autre")]
    index = index_of(*rows)

    found = score(index, "vélo", rows=2, total=sum(r.length for r in rows))

    assert found[1] > found[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("prime transport", 1.0), ("prime mensuelle transport", 0.5), ("prime", 0.0), ("transport prime", 1.0)],
)
def test_proximity_falls_with_the_distance_of_neighbouring_words(text, expected):
    scorer = Scorer.of(Terms(["prim", "transport"], ["=prime", "=transport"]), _ones("prim", "transport"), 3, 6)

    assert scorer.score(row(1, text).stored)[1] == expected


def _ones(*stems_):
    return dict.fromkeys([*stems_, "=prime", "=transport"], 1)


def test_proximity_of_a_single_word_is_zero():
    assert Scorer.of(Terms(["prim"], ["=prime"]), {"prim": 1, "=prime": 1}, 1, 1).score(row(1, "prime").stored)[1] == 0


def test_rows_outside_the_filter_are_neither_found_nor_counted():
    index = index_of(row(1, "salaire", acl_id=1), row(2, "salaire", acl_id=2), row(3, "salaire", acl_id=1, source_id=9))

    assert set(found(index, ["salair"], ALL, 10)) == {1, 3}
    assert set(found(index, ["salair"], Filter(frozenset({1, 2}), frozenset({9})), 10)) == {3}
    assert found(index, ["salair"], Filter(frozenset())) == []
    assert found(index, ["salair"], Filter(frozenset({1}), frozenset())) == []
    assert index.frequency("salair", ALL) == 2
    assert index.frequency("salair", Filter(frozenset())) == 0
    assert set(index.stored([1, 2, 3], ALL)) == {1, 3}


@pytest.mark.parametrize("count", [1, 40])
def test_the_quick_count_is_the_count(count):
    writer = KeywordWriter()
    writer.add([row(number, "badge") for number in range(1, 101)])
    index = replace(writer.commit(), without=frozenset(range(1, count + 1)))
    assert index.frequency("badg", ALL, all_rows=True) == index.frequency("badg", ALL) == 100 - count
    writer.remove([100])
    assert writer.commit().frequency("badg", ALL, all_rows=True) == 99


def test_many_lists_are_filtered_like_few():
    index = index_of(*(row(number, "badge", acl_id=number) for number in range(1, 101)))

    assert set(found(index, ["badg"], Filter(frozenset(range(1, 41))), 200)) == set(range(1, 41))
    assert set(found(index, ["badg"], Filter(frozenset(range(1, 6))), 200)) == set(range(1, 6))


def test_a_removed_document_is_gone_from_the_next_commit_and_stays_in_the_one_before():
    writer = KeywordWriter()
    writer.add([row(1, "badge"), row(2, "badge")])
    before = writer.commit()
    writer.remove([1])
    after = writer.commit()

    assert set(found(before, ["badg"], ALL, 10)) == {1, 2}
    assert set(found(after, ["badg"], ALL, 10)) == {2}
    assert after.frequency("badg", ALL) == 1
