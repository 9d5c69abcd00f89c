from __future__ import annotations

import pytest

from app.measures import (
    MEASURES,
    CurvePoint,
    bootstrap,
    exact_match,
    f1,
    figures,
    holds,
    normalised,
    parts,
    percentile,
    retrieval_scores,
    risk_coverage,
    said,
)
from tests.outcomes import outcome, refused, unanswerable


def value(name: str, outcomes) -> float | None:
    return figures(outcomes)[name].value


# --- texts ------------------------------------------------------------------------------------------------------


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


def test_what_is_ours_is_not_measured_as_said():
    assert said("The documents say: “26 days” [1]") == "“26 days”"
    assert said("Les documents indiquent : « 26 jours » [2] [3]") == "« 26 jours »"


# --- one question -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (outcome(), "right"),
        (outcome(text="24 days [1]"), "wrong"),
        (outcome(answers=()), "right"),  # no reference: an expected document is cited
        (outcome(answers=(), cited=("b.md",)), "wrong"),
        (refused(), "refused"),
        (refused(answerable=False, documents=(), answers=()), "rightly refused"),
        (unanswerable(), "wrong"),
        (outcome(failed="GeneratorTimeout: late"), "failed"),
    ],
)
def test_each_question_has_one_verdict(case, verdict):
    assert case.verdict == verdict


def test_a_document_ranks_by_its_best_passage_and_an_unfound_one_scores_0():
    scores = retrieval_scores(
        {"first": ("a",), "third": ("a",), "both": ("a", "b"), "unfound": ("a",), "nothing": ("a",), "none": ()},
        {"first": ("a", "b"), "third": ("b", "c", "a"), "both": ("c", "a", "b"), "unfound": ("b",), "none": ("a",)},
    )

    assert scores["first"] == {"ndcg": 1, "recall5": 1, "recall10": 1, "mrr": 1}
    assert scores["third"]["mrr"] == pytest.approx(1 / 3)
    assert scores["third"]["ndcg"] == pytest.approx(0.5)  # 1 / log2(3 + 1)
    assert scores["both"]["recall5"] == 1
    assert set(scores["unfound"].values()) == set(scores["nothing"].values()) == {0}
    assert "none" not in scores


def test_recall_at_5_ends_after_five_documents():
    scores = retrieval_scores({"q": ("a",)}, {"q": ("b", "c", "d", "e", "f", "a")})

    assert (scores["q"]["recall5"], scores["q"]["recall10"]) == (0, 1)


# --- many questions ---------------------------------------------------------------------------------------------


def test_refusing_everything_does_not_make_f1_better():
    assert value("f1", [outcome(1), refused(2)]) == 0.5
    assert value("f1_answered", [outcome(1), refused(2)]) == 1


def test_what_streamed_before_a_failure_is_no_answer():
    failed = outcome(failed="GeneratorTimeout: late")

    assert (value("f1", [failed]), value("answered", [failed]), value("failed", [failed])) == (0, 0, 1)
    assert value("wrong", [failed]) is None


def test_wrong_answers_are_counted_among_those_answered_only():
    # right, wrong, an answer where there is none, refused: 2 of 3
    outcomes = [outcome(1), outcome(2, text="24 days"), unanswerable(3), refused(4)]

    assert value("wrong", outcomes) == pytest.approx(2 / 3)


def test_abstention_has_precision_and_recall():
    right = refused(1, answerable=False, documents=(), answers=())
    outcomes = [right, refused(2), unanswerable(3), outcome(4)]

    assert value("abstention_precision", outcomes) == 1 / 2  # of two refusals one was right
    assert value("abstention_recall", outcomes) == 1 / 2  # of two unanswerable one was refused
    assert value("abstention", outcomes) == 2 / 4
    assert value("answered", outcomes) == 1 / 2


def test_citations_have_precision_per_citation_and_recall_per_answer():
    outcomes = [outcome(1, cited=("a.md", "b.md", "c.md")), outcome(2, cited=("b.md",)), refused(3)]

    assert value("citation_precision", outcomes) == 1 / 4
    assert value("citation_recall", outcomes) == 1 / 2


def test_a_question_whose_documents_are_unknown_counts_in_no_measure_of_documents():
    unknown = outcome(documents=(), unknown_documents=("gone.md",), retrieval={})

    assert value("ndcg", [unknown]) is None
    assert value("citation_precision", [unknown]) is None
    assert value("f1", [unknown]) == 1


def test_without_questions_there_is_no_figure():
    assert {figure.value for figure in figures([]).values()} == {None}
    assert risk_coverage([]) == ([], None)
    assert percentile([], 0.5) is None


def test_an_interval_holds_the_value_and_is_the_same_each_time():
    outcomes = [outcome(i) for i in range(30)] + [refused(i) for i in range(30, 40)]
    first, second = figures(outcomes), figures(outcomes)

    assert first == second
    low, high = first["answered"].low, first["answered"].high
    assert low is not None
    assert high is not None
    assert low < 0.75 < high
    # of a share p over n questions, about 1.96 * sqrt(p * (1 - p) / n)
    assert high - low == pytest.approx(2 * 1.96 * (0.1875 / 40) ** 0.5, abs=0.05)


def test_the_paired_interval_of_a_result_against_itself_is_0():
    rows = parts([outcome(1), refused(2), unanswerable(3)])

    assert {pair for pair in bootstrap([rows, rows]) if pair != (None, None)} == {(0.0, 0.0)}
    assert len(bootstrap([rows, rows])) == len(MEASURES)


def test_percentiles_are_values_that_were_measured():
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([7], 0.95) == 7


def test_the_risk_coverage_curve_orders_by_confidence_and_its_area_is_the_mean_risk():
    outcomes = [
        outcome(1, confidence=0.9),
        outcome(2, confidence=0.8, text="24 days"),
        refused(3, confidence=0.2, unrefused_right=True),
        refused(4, confidence=0.1, unrefused_right=False),
        refused(5, confidence=0.15),  # nobody knows what the answer would have been
    ]
    points, area = risk_coverage(outcomes)

    assert points == [
        CurvePoint(0.9, 1 / 5, 0.0),
        CurvePoint(0.8, 2 / 5, 1 / 2),
        CurvePoint(0.2, 3 / 5, 1 / 3),
        CurvePoint(0.1, 4 / 5, 2 / 4),
    ]
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_equal_confidences_are_answered_together():
    points, area = risk_coverage([outcome(1), outcome(2, text="24 days")])

    assert points == [CurvePoint(0.9, 1.0, 0.5)]
    assert area == 0.5
