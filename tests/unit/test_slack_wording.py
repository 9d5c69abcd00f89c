from __future__ import annotations

import string
from dataclasses import fields

import pytest

from app.slack.wording import ENGLISH, FRENCH, Wording, words

#: The same word in both languages.
ALIKE = {"sources", "page"}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", [each.name for each in fields(Wording)])
def test_each_string_is_there_in_both_languages_with_the_same_placeholders(name):
    english, french = getattr(ENGLISH, name), getattr(FRENCH, name)

    assert english.strip()
    assert french.strip()
    assert placeholders(english) == placeholders(french)
    assert (english == french) == (name in ALIKE)


@pytest.mark.parametrize("name", [each.name for each in fields(Wording)])
def test_no_string_holds_markup_or_what_slack_would_link(name):
    from app.slack.escape import mrkdwn

    for wording in (ENGLISH, FRENCH):
        text = getattr(wording, name)
        assert mrkdwn(text) == text


def test_french_is_for_french_and_english_for_the_rest():
    assert words("fr") is FRENCH
    assert words("en") is words("de") is words("und") is ENGLISH
