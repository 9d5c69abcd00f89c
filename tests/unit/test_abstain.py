from __future__ import annotations

import math

import pytest

from app import abstain
from app.evidence import SENTENCE_FEATURES, coverage, term_weights, weigh
from app.testing import WordReader
from indexing.documents import Passage
from indexing.testing import HashEmbedder

LEAVE = "Everyone has 25 days of paid leave each year. Leave is requested in the portal."


def passage(text: str, number: int = 1, *, title: str = "", dense: float = 0.6, bm25: float = 8.0) -> Passage:
    return Passage(
        number, number, 1, "s", f"{number}.md", title, text, 0, len(text), None, (), "en", None, 0.5, dense, bm25
    )


def confidence(question: str, *passages: Passage, language: str = "en") -> float:
    model = abstain.fitted()
    sentences = weigh(question, passages, language, WordReader(), HashEmbedder(), model.sentence_weights)
    return abstain.confidence(abstain.answer_features(question, passages, sentences, language), model.answer_weights)


def features(question: str, *passages: Passage, language: str = "en") -> dict[str, float]:
    sentences = weigh(question, passages, language, WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    values = abstain.answer_features(question, passages, sentences, language)
    return dict(zip(abstain.ANSWER_FEATURES, values, strict=True))


def test_fitted_numbers_belong_to_these_features_and_say_where_they_come_from():
    model = abstain.fitted()

    assert len(model.sentence_weights) == len(SENTENCE_FEATURES) + 1
    assert len(model.answer_weights) == len(abstain.ANSWER_FEATURES) + 1
    assert 0 < model.threshold < 1


def test_confidence_is_the_logistic_function_of_the_weighted_sum():
    assert abstain.confidence((2.0, 1.0), (0.5, -1.0, 0.25)) == pytest.approx(1 / (1 + math.exp(-(1.0 - 1.0 + 0.25))))
    assert abstain.confidence((1e9,), (1.0, 0.0)) <= 1


def test_more_of_the_question_found_means_more_confidence():
    question = "How many days of paid leave does everyone have each year?"

    assert confidence(question, passage(LEAVE)) > confidence(question, passage("Badges are issued by reception."))


def test_passage_that_lacks_the_name_asked_about_is_worth_less():
    assert features("Is the Lyon office in Valmeyrand?", passage("The Lyon office."))["anchors_passage"] == 0.5
    assert features("Is leave paid?", passage(LEAVE))["anchors_passage"] == 1.0


def test_rare_words_of_the_question_weigh_more_than_those_in_every_passage():
    weights = term_weights("paid leave portal", [passage("paid leave"), passage("leave portal")], "en")

    assert weights["portal"] == weights["paid"] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert weights["leav"] == pytest.approx(math.log(1 + 2.5 / 2.5))
    assert coverage(weights, {"paid"}) == pytest.approx(weights["paid"] / sum(weights.values()))
    assert coverage({}, {"paid"}) == 0


def test_title_counts_as_context_of_a_passage():
    inside = features("When does the Lyon office open?", passage("It opens at 8:30.", title="Lyon office"))
    outside = features("When does the Lyon office open?", passage("It opens at 8:30.", title="Canteen"))

    assert inside["coverage_passage"] > outside["coverage_passage"]
