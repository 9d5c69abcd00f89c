"""Whatever a document says, in Slack it is words: no link, no mention, no emoji, no format."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.slack.escape import Escaped, cut, line, mrkdwn, parts, pieces, words

HOSTILE = st.lists(
    st.sampled_from(
        [
            *"[]()<>!:/.&|#*_~`\\ \nah1",
            "<!channel>",
            "<!here|here>",
            "<@U012AB3CD>",
            "<#C012AB3CD|general>",
            "<!subteam^S012AB3CD>",
            "<!date^1392734382^{date}|x>",
            "<http://evil.example|Leave policy>",
            "<mailto:a@evil.example>",
            "https://evil.example/?q=",
            "evil.example",
            "www.evil.example",
            "hr@evil.example",
            "@here",
            "@channel",
            "#general",
            "&lt;!channel&gt;",
            "&amp;",
            "&#60;",
            ":tada:",
            ":+1::skin-tone-2:",
            "![x](https://evil.example/x.png)",
            "[Leave](http://evil.example)",
            "\n> quoted",
            "\n>>> all",
            "\n# Title",
            "```",
            "**bold**",
            "__init__",
            "leave_policy",
            "\u202e",
            "\u200b",
            "\x00",
            "\ud800",
        ]
    )
    | st.text(max_size=3),
    max_size=25,
).map("".join)

#: What Slack acts on, in mrkdwn or in Markdown: a tag, an entity that is none of the three, a format, a code, an emoji,
#: a heading or a quote at the start of a line, an address, a host, a Markdown link or picture, and a mention.
LIVE = re.compile(
    r"[<>]|&(?!(?:amp|lt|gt);)|[*~`]|(?<![^\W_])_|_(?![^\W_])|:[\w+'-]{1,100}:|^[ \t]*(?:\#|&gt;)|"
    r"[A-Za-z]:/*//|\]\(|\]:|!\[|[\w-][.．｡][^\W\d_]{2}|(?<!\w)@\w|\\[!-/:-@\[-`{-~]|[\x00\u202e\u200b\ud800]",
    re.MULTILINE,
)


@given(HOSTILE)
@example("&lt;!channel&gt;")
@example("<<!channel>>")
@example(":a:b:c:")
@example("a __ b _c_")
@example("\\&lt;")
def test_nothing_that_slack_acts_on_is_left(text):
    assert not LIVE.search(mrkdwn(text))


@given(HOSTILE, st.lists(st.integers(0, 80), max_size=10))
@example(":tada: &amp; __x__ \n# T", [1, 3, 5, 9, 12])
def test_what_is_streamed_never_depends_on_how_the_text_was_split(text, cuts):
    stream = Escaped()
    borders = [0, *sorted(min(each, len(text)) for each in cuts), len(text)]
    sent = [stream.feed(text[a:b]) for a, b in pairwise(borders)] + [stream.finish()]

    assert "".join(sent) == mrkdwn(text)


@given(HOSTILE)
def test_nothing_is_live_not_even_for_a_moment(text):
    stream = Escaped()
    so_far = ""
    for character in text:
        so_far += stream.feed(character)
        assert not LIVE.search(so_far)

    assert so_far + stream.finish() == mrkdwn(text)


@given(HOSTILE, st.integers(6, 60))
def test_a_line_is_one_line_within_its_limit(text, most):
    shown = line(text, most)

    assert len(shown) <= most
    assert "\n" not in shown
    assert "|" not in shown
    assert not LIVE.search(shown)


@given(HOSTILE, st.integers(6, 40))
def test_a_text_that_is_split_keeps_its_words_and_its_entities(text, most):
    escaped = mrkdwn(text)
    for each in (*parts(escaped, most), *pieces(escaped, most), cut(escaped, most)):
        assert 0 < len(each) <= most or not each
        assert not re.search(r"&(?!(?:amp|lt|gt);)", each)
    assert "".join(pieces(escaped, most)) == escaped
    assert "".join("".join(parts(escaped, most)).split()) == "".join(escaped.split())


@given(HOSTILE, st.integers(1, 75))
def test_a_plain_text_is_one_line_within_its_limit(text, most):
    assert len(words(text, most)) <= most
    assert "\n" not in words(text, most)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Leave & pay: 2 < 3.", "Leave &amp; pay: 2 &lt; 3."),
        ("<!channel> <@U012AB3CD> @here", "‹!channel&gt; ‹＠U012AB3CD&gt; ＠here"),
        ("<http://evil.example|Leave>", "‹evil․example|Leave&gt;"),
        ("*bold* _it_ ~no~ `code`", "＊bold＊ ＿it＿ ～no～ ｀code｀"),
        ("leave_policy_2024 and __init__", "leave_policy_2024 and ＿＿init＿＿"),
        ("At 8:30, ratio 1:2. :tada: Note: x", "At 8:30, ratio 1:2. ：tada: Note: x"),
        ("> quoted\n# Title\nC# and #12", "＞ quoted\n＃ Title\nC# and ＃12"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("25 days [1]. See [2][3]", "25 days [1]. See [2][3]"),
        ("« 25 jours » [1] – l’article", "« 25 jours » [1] – l’article"),
    ],
)  # fmt: skip
def test_text_stays_readable(written, sent):
    assert mrkdwn(written) == sent


def test_a_long_title_is_cut_between_words():
    assert line("The leave policy of the company", 20) == "The leave policy of…"
    assert cut("a" * 30, 10) == "a" * 9 + "…"
    assert parts("", 10) == []
