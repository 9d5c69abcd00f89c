from __future__ import annotations

from dataclasses import replace

import pytest

from app import abstain
from app.evidence import asked_kind, holds_kind, weigh
from app.generator import GenerationRequest
from app.reader import Reader, choose, quote_text, short_text
from app.reading import Span
from app.testing import WordReader
from indexing.documents import Passage
from indexing.testing import HashEmbedder

LEAVE = (
    "Everyone has 25 days of paid leave each year. Leave is requested in the portal. "
    "Unused days expire on 31 March of the next year."
)
OFFICE = "The Lyon office opens at 8:30. Badges are issued by reception."
CONGES = "Chaque salarié a droit à 25 jours de congés payés par an. La demande se fait dans le portail."


def passage(text: str, number: int = 1, language: str = "en", title: str = "") -> Passage:
    return Passage(number, number, 1, "s", f"{number}.md", title, text, 0, len(text), None, (), language, None)


def ask(question: str, *passages: Passage, language: str = "en") -> str:
    sentences = weigh(question, passages, language, WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    return "".join(Reader().generate(GenerationRequest(question, language, passages, sentences)))


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("How many days of paid leave do I have each year?", "Everyone has 25 days of paid leave each year."),
        ("When do unused leave days expire?", "Unused days expire on 31 March of the next year."),
        ("Where do I request leave?", "Leave is requested in the portal."),
        ("When does the Lyon office open?", "The Lyon office opens at 8:30."),
    ],
)
def test_plain_question_is_answered_with_the_sentence_that_says_it(question, quote):
    assert quote in ask(question, passage(LEAVE, 1), passage(OFFICE, 2))


def test_french_question_gets_french_wording():
    text = ask("Combien de jours de congés payés par an ?", passage(CONGES, language="fr"), language="fr")

    assert text == "25. [1] Les documents indiquent : « Chaque salarié a droit à 25 jours de congés payés par an. » [1]"


def test_no_sentence_gives_no_answer():
    assert ask("Anything?") == ""
    assert ask("Anything?", passage("…")) == ""


def test_a_question_in_the_documents_is_not_quoted_as_its_own_answer():
    faq = passage("How many days of paid leave do I have? You have 25 days of paid leave.")

    assert "“You have 25 days of paid leave.”" in ask("How many days of paid leave do I have?", faq)


def test_same_words_in_two_documents_are_quoted_once():
    text = ask("When does the Lyon office open?", passage(OFFICE, 1), passage(OFFICE, 2))

    assert text.count("The Lyon office opens at 8:30.") == 1


def test_line_that_introduces_a_list_is_quoted_with_the_list():
    text = ask(
        "Which documents do I bring on the first day?",
        passage("On the first day, bring these documents:\n- an identity card\n- a bank statement\n\nLunch is free."),
    )

    assert "“On the first day, bring these documents: - an identity card - a bank statement” [1]" in text


def test_neighbouring_sentences_become_one_quote():
    text = "The budget is 10. The budget is 20. Nothing else."
    one = passage(text)
    sentences = weigh(
        "What is the budget?", (one,), "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights
    )

    quotes = choose(sentences[:1] + sentences[1:2], (one,))
    assert [text[q.start : q.end] for q in quotes] in (["The budget is 10. The budget is 20."], ["The budget is 10."])


def test_what_looks_like_a_marker_in_a_document_is_not_shown_as_one():
    assert quote_text("It opened\nin 1889.[3] See [note].") == "It opened in 1889.(3) See [note]."


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When does it open?", "date"),
        ("In what year was it built?", "date"),
        ("Quand ouvre-t-il ?", "date"),
        ("À quelle date est versée la prime ?", "date"),
        ("How many days?", "number"),
        ("What percentage is paid?", "number"),
        ("Combien de jours ?", "number"),
        ("Quel est le montant de la prime ?", "number"),
        ("Quelle est la durée du préavis ?", "number"),
        ("Who approves travel?", "person"),
        ("Qui valide les voyages ?", "person"),
        ("Une formation à 3 000 €. Qui donne son accord ?", "person"),
        ("Où se trouve le bureau ?", None),
        ("Why is that?", None),
        ("Pourquoi ?", None),
    ],
)
def test_kind_of_thing_asked_for_is_read_from_the_words(question, kind):
    assert asked_kind(question) == kind


def test_kind_is_held_only_when_the_question_did_not_bring_it_along():
    assert holds_kind("number", "25 days in 2024", "How many days in 2024?")
    assert not holds_kind("number", "Days in 2024 are counted", "How many days in 2024?")
    assert holds_kind("number", "twice a year", "How often?")
    assert holds_kind("person", "It is approved by Claire Morel.", "Who approves it?")
    assert holds_kind("person", "Your line manager approves it.", "Who approves it?")
    assert not holds_kind("person", "It is approved.", "Who approves it?")
    assert holds_kind("date", "every Monday", "When?")


def test_longest_sentences_are_cut_at_a_blank():
    row = "| " + "cell value " * 400
    [best, *_] = weigh(
        "cell value?", (passage(row),), "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights
    )

    assert best.end - best.start <= 1200
    assert row[best.end] == " "


@pytest.mark.parametrize(
    ("question", "one", "other", "language", "lead"),
    [
        ("How many days of paid leave are there?", "There are 25 days of paid leave.",
         "There are 30 days of paid leave.", "en", "The documents disagree: "),
        ("Combien de jours de congés payés ?", "Vous avez 25 jours de congés payés.", "On a 30 jours de congés payés.",
         "fr", "Les documents se contredisent : "),
    ],
)  # fmt: skip
def test_two_documents_with_two_numbers_disagree_and_both_are_quoted(question, one, other, language, lead):
    passages = passage(one, language=language), passage(other, 2, language=language)

    text = ask(question, *passages, language=language)

    assert text.startswith(lead)
    assert one in text
    assert other in text


def test_two_numbers_in_one_document_are_no_disagreement():
    text = "There are 25 days of paid leave. There are 3 days of paid training leave."

    assert "disagree" not in ask("How many days of paid leave are there?", passage(text))


def test_the_same_number_twice_is_no_disagreement():
    one, other = passage("There are 25 days of paid leave."), passage("You get 25 days of paid leave a year.", 2)

    assert "disagree" not in ask("How many days of paid leave are there?", one, other)


def test_short_answer_comes_first_and_is_copied():
    assert ask("How many days of paid leave do I have each year?", passage(LEAVE)).startswith("25. [1] ")


@pytest.mark.parametrize(("told", "short"), [("the Lyon office", ""), ("85 €", "85 €")])
def test_only_a_figure_is_a_short_answer_to_how_much(told, short):
    text = "A night in a hotel is paid by the Lyon office up to 85 €."
    question = "How much is paid for a night in a hotel?"
    [best] = weigh(question, (passage(text),), "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    best = replace(best, answer=Span(text.index(told), text.index(told) + len(told), 5.0))

    assert short_text(GenerationRequest(question, "en", (passage(text),), (best,))) == short


@pytest.mark.parametrize(("row", "short"), [("Role: Buyer; Rebate: 8 %", "8 %"), ("Role: Director; Rebate: 18 %", "")])
def test_a_row_that_the_question_does_not_name_gives_no_short_answer(row, short):
    text = "Role: Buyer; Rebate: 8 %\nRole: Director; Rebate: 18 %"
    question = "Which rebate may a buyer grant?"
    weighed = weigh(question, (passage(text),), "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    [best] = [each for each in weighed if each.text == row]
    value = text.index("8 %", best.start), text.index(" %", best.start) + 2
    ordered = (replace(best, answer=Span(*value, 5.0)), *(each for each in weighed if each is not best))

    assert short_text(GenerationRequest(question, "en", (passage(text),), ordered)) == short


def test_answer_that_is_most_of_the_sentence_is_not_said_twice():
    assert not ask("When does the Lyon office open?", passage("At 8:30.")).startswith("At 8:30. [1] ")
