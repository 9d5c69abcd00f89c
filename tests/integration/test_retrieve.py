"""From a question to passages: permitted ones only, the best first, whatever the question looks like."""

from __future__ import annotations

import pytest

from indexing.testing import HashEmbedder
from tests.searching import EVERYTHING, Company

HANDBOOK = {
    "conges.md": "Les congés payés sont de 25 jours ouvrés par an. Ils sont posés avec l’accord du responsable.",
    "usine.md": "L’usine d’Évry ferme trois semaines en août.",
    "leave.md": "Employees in Dublin have 27 days of annual leave. Managers approve it within five days.",
    "frais.md": "Les notes de frais sont remboursées le 15 du mois, dans la limite de 30 € par repas.",
    "laptop.md": "Each laptop is encrypted. A lost laptop is reported to the help desk within one hour.",
}


@pytest.fixture
def company(sqlite_catalog, settings):
    company = Company(sqlite_catalog, settings(), HashEmbedder())
    for uri, text in HANDBOOK.items():
        company.put(uri, text)
    return company


@pytest.fixture
def index(company):
    return company.index()


@pytest.mark.parametrize(
    ("question", "uri"),
    [
        ("Combien de jours de congés payés ?", "conges.md"),
        ("Quand l'usine ferme-t-elle ?", "usine.md"),
        ("fermeture d'usine a Evry", "usine.md"),
        ("How long is annual leave in Dublin?", "leave.md"),
        ("remboursement d'un repas", "frais.md"),
        ("who do I tell about a lost laptop", "laptop.md"),
    ],
)
def test_the_document_that_answers_comes_first(company, index, question, uri):
    assert company.ask(index, question).passages[0].uri == uri


def test_the_language_of_the_question_is_returned(company, index):
    assert company.ask(index, "Combien de jours ?").language == "fr"
    assert company.ask(index, "How many days?").language == "en"


def test_a_question_without_a_language_takes_that_of_most_passages(company, index):
    assert company.ask(index, "30 €").language == "fr"


def test_both_scores_are_given_for_every_passage(company, index):
    for passage in company.ask(index, "congés payés").passages:
        assert passage.score_dense is not None
        assert passage.score_bm25 is not None
        assert 0.0 <= passage.score <= 1.0


@pytest.mark.parametrize("top_k", [1, 3, 50])
def test_at_most_top_k_passages_best_first(company, index, top_k):
    found = company.ask(index, "jours", top_k=top_k).passages

    assert len(found) == min(top_k, len(HANDBOOK))
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


@pytest.mark.parametrize(
    "question", ["", "   ", "?!", "\ud800", "\x00", "' OR 1=1 --", "a" * 100_000, "😀", "title:(x) AND", "١٢٣"]
)
def test_any_question_is_answered_without_an_error(company, index, question):
    assert len(company.ask(index, question).passages) <= 5


def test_the_position_in_the_change_log_is_returned(company, index):
    assert company.ask(index, "congés").seq == len(HANDBOOK)
    company.put("new.md", "Un nouveau texte.")
    assert company.ask(index, "congés").seq == len(HANDBOOK) + 1


def test_a_document_deleted_between_search_and_join_is_not_shown(company, index):
    """The snapshot still has it; the statement that returns text does not."""
    index.refresh()

    class Stale:
        def refresh(self):
            pass

        def check_model(self):
            pass

        def snapshot(self):
            return index.snapshot()

    assert company.ask(Stale(), "congés payés").passages[0].uri == "conges.md"
    company.delete(1)

    found = company.ask(Stale(), "congés payés", scope=EVERYTHING).passages

    assert all(passage.uri != "conges.md" for passage in found)
    assert len(found) == len(HANDBOOK) - 1
