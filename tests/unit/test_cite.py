from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.cite import MarkerFilter, clean_markers

MARKERISH = st.lists(
    st.sampled_from(
        [*"[]【】()0123459,;^ \t\n", "source ", "passage", "Doc", "†", "word", ".", "[1]", " [2]", "[9]", "【3†x】"]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


@given(MARKERISH, st.lists(st.integers(0, 40), max_size=8), st.integers(0, 4))
@example("see [1", [4, 5], 2)
@example("a  [ 1 , 9 ]b", [1, 2, 3, 4, 5, 6, 7], 3)
def test_what_is_shown_never_depends_on_how_the_text_was_split(text, cuts, count):
    """concat(f(stream)) == f(concat(stream))."""
    marker_filter = MarkerFilter(count)
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(borders)]
    streamed = "".join(marker_filter.feed(piece) for piece in pieces) + marker_filter.finish()

    assert streamed == clean_markers(text, count)


@given(MARKERISH, st.integers(0, 3))
def test_nothing_is_shown_that_would_be_taken_back_later(text, count):
    """Character by character, what was let out is always a beginning of the final text."""
    marker_filter = MarkerFilter(count)
    final = clean_markers(text, count)
    shown = ""
    for character in text:
        shown += marker_filter.feed(character)
        assert final.startswith(shown)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Yes [1].", "Yes [1]."),
        ("Yes [3].", "Yes."),
        ("Yes [1, 2].", "Yes [1][2]."),
        ("Yes [1, 7].", "Yes [1]."),
        ("Yes [2; 2].", "Yes [2]."),
        ("Yes 【1】", "Yes [1]"),
        ("Yes 【2†leave.md】", "Yes [2]"),
        ("Yes [^1]", "Yes [1]"),
        ("Yes [passage 2]", "Yes [2]"),
        ("Yes [Source 8]", "Yes"),
        ("Yes [0]", "Yes"),
        ("Yes [12345678901]", "Yes [12345678901]"),  # ten digits and more are no marker: an account number
        ("a[i] and [note]", "a[i] and [note]"),
        ("open [1", "open [1"),
    ],
)
def test_markers_are_written_one_way_and_invented_ones_are_gone(written, shown):
    assert clean_markers(written, 2) == shown
