from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.golden import golden_lines, read_golden
from app.golden_made import Text, make_questions
from app.terms import content_terms, fold
from indexing.sentences import words

TEXTS = [
    Text("leave.md", "Every employee has 25 days of paid leave a year. Unused leave expires on 31 March 2027.", "en"),
    Text(
        "office.md", "The Lyon office opens its doors at 8:30 each morning. Badges are issued by Claire Dumont.", "en"
    ),
    Text("price.md", "The Corvane pump costs 1,200 euros in the catalogue. The Tessane controller costs £340.", "en"),
    Text("conges.md", "Chaque salarié a droit à 25 jours de congés payés par an dans la société.", "fr"),
    Text("frais.md", "Le remboursement du dîner à Paris est limité à 38 € par personne et par jour.", "fr"),
    Text("alarme.md", "La sirène de l’usine est essayée chaque mois en présence de Madame Garampon.", "fr"),
]


def test_the_same_seed_makes_the_same_questions_and_another_one_others():
    assert make_questions(TEXTS, 8, 1) == make_questions(TEXTS, 8, 1)
    assert make_questions(TEXTS, 8, 1) != make_questions(TEXTS, 8, 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_stands_in_the_document_and_not_in_the_question(seed):
    made = [each for each in make_questions(TEXTS, 8, seed) if each.answerable]
    text_of = {each.uri: each.text for each in TEXTS}

    assert made
    for each in made:
        assert all(answer in text_of[each.documents[0]] for answer in each.answers)
        assert each.answers[-1] not in each.question
        assert each.question.endswith("?")
        assert each.made


@pytest.mark.parametrize("seed", range(20))
def test_no_text_holds_what_an_unanswerable_question_asks(seed):
    made = [each for each in make_questions(TEXTS, 9, seed) if not each.answerable]

    assert made
    for each in made:
        assert each.documents == each.answers == ()
        asked = {fold(word) for word in words(each.question) if content_terms(word, each.language)}
        # The swapped word is in another document than the rest: no text has all of them.
        assert not any(asked <= {fold(word) for word in words(text.text)} for text in TEXTS)


def test_a_swap_that_another_document_answers_is_not_made():
    """Lyon for Leeds would be the only swap, and both offices have their hours."""
    texts = [
        Text("lyon.md", "The Lyon office opens at 8:30 each morning.", "en"),
        Text("leeds.md", "The Leeds office opens at 9:00 each morning.", "en"),
    ]

    assert all(each.answerable for seed in range(10) for each in make_questions(texts, 2, seed, unanswerable_share=0.5))


def test_a_third_is_unanswerable_or_as_many_as_one_wants():
    assert sum(not each.answerable for each in make_questions(TEXTS, 6, 0)) == 2
    assert all(each.answerable for each in make_questions(TEXTS, 6, 0, unanswerable_share=0))


def test_the_share_holds_also_where_there_are_fewer_questions_than_wanted():
    made = make_questions(TEXTS, 1000, 0)

    assert len(made) < 20
    assert sum(not each.answerable for each in made) == round(len(made) / 3)


def test_questions_about_texts_that_are_not_in_the_index_are_unanswerable():
    absent = [Text("secret.md", "The Marseille warehouse keeps 400 spare filters in its northern hall.", "en")]
    made = make_questions(TEXTS, 3, 0, absent=absent)
    [refused] = [each for each in made if not each.answerable]

    assert {"marseille", "warehouse"} & set(words(refused.question))


def test_every_document_has_its_turn_before_any_has_a_second_one():
    long = Text(
        "long.md", " ".join(f"Hall {n} of the plant holds {n} red machines for packing." for n in range(9)), "en"
    )
    made = make_questions([*TEXTS, long], 7, 3, unanswerable_share=0)

    assert len({each.documents for each in made}) == 7


def test_a_sentence_of_two_documents_may_be_answered_from_either():
    sentence = "Every employee has 25 days of paid leave a year."
    [question] = make_questions([Text("a", sentence, "en"), Text("b", sentence, "en")], 1, 0, unanswerable_share=0)

    assert sorted(question.documents) == ["a", "b"]


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [Text("de.md", "Jeder Angestellte hat 25 Tage Urlaub im ganzen Jahr.", "de")],
        [Text("none.md", "Nothing here can be asked for by any rule at all.", "en")],
        [Text("table.md", "Item: Desk; Lyon: 200 €; Leeds: £170", "en")],
        [Text("blank.md", " \n", "en")],
    ],
    ids=["no text", "German", "nothing to ask for", "table", "blank"],
)
def test_where_nothing_can_be_asked_there_is_no_question(texts):
    assert make_questions(texts, 5, 0) == []


@pytest.mark.parametrize(
    ("sentence", "language", "asks"),
    [
        ("Unused leave of the old year expires on 31 March 2027.", "en", "what date"),
        ("The reception of the office opens at 8:30 every morning.", "en", "what time"),
        ("The company pays 60 % of the meal vouchers of staff.", "en", "what percentage"),
        ("The company workshop was founded in 1987 by two brothers.", "en", "what year"),
        ("Badges of new visitors are issued by Claire Dumont.", "en", "who or what"),
        ("Le car du séminaire part de la gare à 7 h 30.", "fr", "quelle heure"),
        ("La station de mesure pèse environ 12 kilos à vide.", "fr", "combien de"),
        ("La garde du matériel dure 24 heures pour chaque technicien.", "fr", "combien d’"),
        ("Le dîner du personnel est remboursé à 38 € par personne.", "fr", "quel montant"),
    ],
)
def test_the_question_asks_for_the_kind_of_thing_that_the_answer_is(sentence, language, asks):
    [question] = make_questions([Text("a.md", sentence, language)], 1, 0, unanswerable_share=0)

    assert asks in question.question.casefold()


def test_made_questions_survive_their_file(tmp_path):
    made = make_questions(TEXTS, 9, 0)
    path = tmp_path / "made.jsonl"
    path.write_text(golden_lines(made), encoding="utf-8")

    assert read_golden(path).questions == tuple(made)


@given(
    st.lists(st.text(st.sampled_from("ab AZ éÀ 12.,:;()'’-–%€£\n!"), max_size=120), max_size=5),
    st.sampled_from(["en", "fr"]),
)
def test_no_text_makes_it_fail_and_every_question_stays_usable(texts, language):
    sentences = [Text(str(i), f"Every {text} has 25 days of paid leave.", language) for i, text in enumerate(texts)]

    for each in make_questions(sentences, 6, 0):
        assert each.question.strip(" ?")
        assert each.answerable == bool(each.documents)
