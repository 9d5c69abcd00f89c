from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.cite import MarkerFilter, check_citations, clean_markers
from indexing.documents import Passage

LEAVE = "Leave policy. Employees are entitled to 25 days of paid leave each year. Unused days expire on 31 March."
OFFICE = "The Lyon office opens at 8:30. Badges are issued by reception."


def passage(text: str, number: int = 1, *, start: int = 0, language: str = "en") -> Passage:
    return Passage(
        chunk_id=number,
        document_id=number * 10,
        source_id=1,
        source="handbook",
        uri=f"{number}.md",
        title=f"Document {number}",
        text=text,
        start=start,
        end=start + len(text),
        page=None,
        heading_path=(),
        language=language,
        modified_at=None,
    )


PASSAGES = (passage(LEAVE, 1, start=100), passage(OFFICE, 2))

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


def test_citation_is_the_exact_sentence_in_the_document():
    text, citations = check_citations("You get 25 days of paid leave every year [1].", PASSAGES, "en")

    [citation] = citations
    assert citation.quote == "Employees are entitled to 25 days of paid leave each year."
    assert LEAVE[citation.start - 100 : citation.end - 100] == citation.quote
    assert (citation.number, citation.chunk_id, citation.uri) == (1, 1, "1.md")
    assert text == "You get 25 days of paid leave every year [1]."


def test_a_number_that_the_passage_does_not_state_is_not_supported():
    _, citations = check_citations("You get 30 days of paid leave every year [1].", PASSAGES, "en")

    assert citations == ()


@pytest.mark.parametrize(
    "claim",
    ["Employees enjoy generous holiday arrangements abroad [1].", "The Lyon office serves free breakfast daily [2]."],
)
def test_right_subject_is_not_enough_evidence(claim):
    assert check_citations(claim, PASSAGES, "en")[1] == ()


def test_a_real_passage_cannot_support_what_another_one_says():
    _, citations = check_citations("Employees are entitled to 25 days of paid leave each year [2].", PASSAGES, "en")

    assert citations == ()


def test_invented_passage_gives_neither_text_nor_citation():
    text, citations = check_citations("The moon is made of cheese [7].", PASSAGES, "en")

    assert (text, citations) == ("The moon is made of cheese.", ())


def test_quoted_words_are_found_verbatim():
    _, [citation] = check_citations("The documents say: “Badges are issued by reception.” [2]", PASSAGES, "en")

    assert citation.quote == "Badges are issued by reception."
    assert OFFICE[citation.start : citation.end] == citation.quote


def test_each_sentence_is_checked_against_its_own_marker():
    _, citations = check_citations(
        "Unused days expire on 31 March [1]. The Lyon office opens at 8:30 [2].", PASSAGES, "en"
    )

    assert [citation.quote for citation in citations] == [
        "Unused days expire on 31 March.",
        "The Lyon office opens at 8:30.",
    ]


def test_marker_after_the_full_stop_belongs_to_the_sentence_before_it():
    _, [citation] = check_citations("Unused days expire on 31 March. [1]", PASSAGES, "en")

    assert citation.quote == "Unused days expire on 31 March."


def test_markers_in_a_row_share_one_claim():
    twin = (*PASSAGES, passage(LEAVE, 3))
    _, citations = check_citations("Unused days expire on 31 March [1][3].", twin, "en")

    assert [citation.number for citation in citations] == [1, 3]


def test_the_same_quote_is_cited_once():
    _, citations = check_citations("Unused days expire on 31 March [1]. Unused days expire on 31 March [1].", PASSAGES)

    assert len(citations) == 1


def test_across_languages_numbers_and_names_are_the_evidence():
    french = "Le bureau de Lyon ouvre à 8 h 30 pour les équipes de Lyon [2]."
    passages = (PASSAGES[0], passage("The Lyon office opens at 8 h 30.", 2))

    assert check_citations(french, passages, "fr")[1][0].quote == "The Lyon office opens at 8 h 30."
    assert check_citations("Le bureau de Nantes ouvre à 9 h [2].", passages, "fr")[1] == ()


@pytest.mark.parametrize("text", ["", "No marker at all.", "[1]", "[1][2]"])
def test_text_without_a_claim_has_no_citation(text):
    assert check_citations(text, PASSAGES, "en")[1] == ()


def test_without_passages_no_marker_survives():
    assert check_citations("Yes [1] [2].", (), "en") == ("Yes.", ())
