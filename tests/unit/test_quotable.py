from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quotable import is_row, quotable_spans

WRAPPED = """The leave policy of the whole company says that every employee who has
been here for Three years or more may take another day, as Claire
Morel has decided. It is valid from now on."""
TABLE = "Item: Desk; Lyon: 200 €; Leeds: £170\nItem: Chair; Lyon: 90 €; Leeds: £80\nItem: Lamp; Lyon: 20 €; Leeds: £18"
SHEET = """FIRE AND EVACUATION - LEEDS
Unit 6, Cinder Lane Works
Responsible: Derek Hallam

When the alarm rings, leave by the nearest exit and meet at gate 2, where
the wardens count everyone."""


def texts(text: str) -> list[str]:
    return [text[a:b] for a, b in quotable_spans(text)]


def test_wrapped_lines_stay_one_sentence():
    assert len(texts(WRAPPED)) == 2
    assert texts(WRAPPED)[1] == "It is valid from now on."


def test_each_row_of_a_table_can_be_quoted_alone():
    assert texts(TABLE) == TABLE.split("\n")
    assert texts("a | b | c\n1 | 2 | 3") == ["a | b | c", "1 | 2 | 3"]


def test_short_lines_stand_for_themselves():
    assert texts(SHEET)[:3] == ["FIRE AND EVACUATION - LEEDS", "Unit 6, Cinder Lane Works", "Responsible: Derek Hallam"]
    assert texts(SHEET)[3].endswith("the wardens count everyone.")


def test_in_a_text_that_is_not_wrapped_each_line_stands_for_itself():
    long = (
        "This line is one whole paragraph, and goes on and on without any break at all, "
        "because nobody has wrapped it at 80"
    )
    assert texts(f"{long} columns\nPrices are reviewed each year") == [
        f"{long} columns",
        "Prices are reviewed each year",
    ]


@pytest.mark.parametrize("text", ["", " \n ", "\n\n"])
def test_blank_text_has_nothing_to_quote(text):
    assert quotable_spans(text) == []


@given(st.text(alphabet="aB 1.;:|,\n€", max_size=200))
def test_spans_are_in_order_trimmed_and_lose_no_word(text):
    spans = quotable_spans(text)

    assert all(a < b and text[a:b] == text[a:b].strip() for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("Annual leave, full time; Leeds: 26 working days; Lyon: 25 working days", True),
        ("Fonction: Commercial; Remise maximale: 8 %", True),
        ("a | b | c", True),
        ("Everyone has 25 days of paid leave; ask in the portal: it is quick.", False),
        ("Everyone has 25 days.", False),
    ],
)
def test_a_table_row_is_told_from_a_sentence(text, row):
    assert is_row(text) is row
