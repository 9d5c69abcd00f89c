from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import BadRequest
from app.gate import check_floors, compare, parse_floors, question_change, worst_first
from tests.outcomes import outcome, refused, result, unanswerable


def right(count: int):
    return [outcome(i) for i in range(count)]


def closing(comparison) -> set[str]:
    return {change.name for change in comparison.changes if change.closes}


def test_a_result_holds_against_itself():
    same = result([*right(20), refused(20), unanswerable(21)])
    comparison = compare(same, same)

    assert not comparison.closes
    assert comparison.worse == comparison.better == ()
    assert (comparison.questions, comparison.left_out) == (22, 0)


def test_a_large_drop_closes_the_gate_and_names_the_questions():
    before = result(right(20))
    after = result([refused(i) if i in {3, 7} else outcome(i) for i in range(20)])
    comparison = compare(before, after)

    assert closing(comparison) == {"f1", "abstention"}
    assert [each.id for each in comparison.worse] == ["q3", "q7"]
    assert comparison.worse[0].reasons[0] == "right → refused"
    assert comparison.worse[0].after == "(refused: below_threshold)"


def test_a_drop_within_the_tolerance_holds():
    before = result(right(1000))
    after = result([refused(i) if i < 19 else outcome(i) for i in range(1000)])  # .019 lost, and significant

    assert not compare(before, after).closes
    assert compare(before, after, tolerance=0.01).closes


def test_a_drop_that_may_be_chance_holds_until_it_is_large():
    def swapped(lost: int, won: int, count: int = 100):
        base = [refused(i) if i < won else outcome(i) for i in range(count)]
        new = [outcome(i) if i < won else refused(i) if i < won + lost else outcome(i) for i in range(count)]
        return compare(result(base), result(new))

    assert not swapped(lost=12, won=8).closes  # .04 worse, interval about -.13 to .05
    assert swapped(lost=14, won=8).closes  # .06 worse: large


def test_more_wrong_answers_close_the_gate_and_fewer_do_not():
    fine = result(right(40))
    wrong = result([outcome(i, text="24 days [1]") if i < 8 else outcome(i) for i in range(40)])

    assert "wrong" in closing(compare(fine, wrong))
    assert "wrong" not in closing(compare(wrong, fine))


def test_worse_retrieval_and_worse_citations_close_the_gate():
    lost = {"ndcg": 0.5, "recall5": 1.0, "recall10": 1.0, "mrr": 0.3}
    after = result([outcome(i, retrieval=lost, cited=("a.md", "b.md")) for i in range(20)])

    assert closing(compare(result(right(20)), after)) == {"ndcg", "citation_precision"}


def test_a_measure_with_nothing_to_count_is_not_compared():
    comparison = compare(result(right(5)), result([refused(i) for i in range(5)]))
    changes = {change.name: change for change in comparison.changes}

    assert changes["wrong"].difference is None
    assert not changes["wrong"].closes
    assert comparison.closes  # by F1 and abstention


def test_only_questions_of_both_results_are_compared():
    before = result([*right(10), outcome(99)])
    reworded = replace(outcome(3), question="Another question?")
    after = result([reworded if i == 3 else outcome(i) for i in range(10)])
    comparison = compare(before, after)

    assert (comparison.questions, comparison.left_out) == (9, 3)  # q99, and q3 in both wordings


def test_results_without_a_common_question_are_not_compared():
    with pytest.raises(BadRequest, match="no question in common"):
        compare(result([outcome(1)]), result([outcome(2)]))


def test_a_question_whose_measures_barely_move_is_not_listed():
    near = replace(outcome(), retrieval={"ndcg": 0.96})

    assert question_change(outcome(), near) is None


def test_worst_questions_come_first_and_the_surest_wrong_one_before_all():
    unsure, sure = outcome(1, text="no", confidence=0.5), outcome(2, text="no", confidence=0.95)
    order = worst_first([outcome(3), refused(4), unsure, sure])

    assert [each.id for each in order] == ["q2", "q1", "q4", "q3"]


def test_floors_are_ceilings_where_less_is_better():
    figures = result([outcome(1, milliseconds=80.0), outcome(2, text="24 days", milliseconds=120.0)])
    floors = {"ndcg": 1.0, "f1": 0.9, "wrong": 0.5, "p95_ms": 100.0, "abstention_recall": 0.1}
    held = {floor.name: floor.holds for floor in check_floors(figures, floors)}

    # abstention_recall: there is no unanswerable question, so nothing says that it is reached
    assert held == {"ndcg": True, "f1": False, "wrong": True, "p95_ms": False, "abstention_recall": False}


@pytest.mark.parametrize("text", ["ndcg", "ndcg=", "ndcg=high", "ndcg=nan", "nDCG@10=0.5", "=1", ""])
def test_a_floor_that_cannot_be_checked_is_refused(text):
    with pytest.raises(BadRequest, match="is no floor"):
        parse_floors([text])


def test_floors_are_read_by_name():
    assert parse_floors(["ndcg=0.8", "wrong = .05"]) == {"ndcg": 0.8, "wrong": 0.05}
