from __future__ import annotations

import pytest

from app.facts import contradicts, facts

ROW = "Annual leave, full time; Leeds: 26 working days; Lyon: 25 working days"


def against(claim: str, support: str) -> str | None:
    return contradicts(facts(claim), facts(support))


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("10 000 €, 10,000 € and 2,50 €", ["10000", "10000", "2.5"]),
        ("twenty-five days", ["25"]),
        ("two hundred and ten", ["210"]),
        ("vingt et un jours, quatre-vingt-dix euros, trois mille", ["21", "90", "3000"]),
        ("un salarié, une semaine, one of them", ["1"]),
        ("8:30, 8 h 30, 08h30 and 8 h", ["8:30", "8:30", "8:30", "8"]),
        ("-5 °C, 2019-2020", ["-5", "2019", "2020"]),
        ("5 pour cent, 7 per cent", ["5", "7"]),
        ("no number", []),
    ],
)
def test_numbers_are_read_one_way_in_digits_and_in_words(text, figures):
    assert [value for value, _ in facts(text).figures] == figures


@pytest.mark.parametrize(
    ("claim", "support", "wrong"),
    [
        ("You have 30 days.", "You have 25 days.", "number"),
        ("You have thirty days.", "You have 25 days.", "number"),
        ("31 days until 25 March", "25 days until 31 March", "unit"),
        ("It costs 170 €.", "It costs £170.", "symbol"),
        ("A limit of 5 weeks.", "A limit of 5 %.", None),  # words are compared elsewhere
        ("Until 31 May", "Until 31 March", "date"),
        ("Leave is not paid.", "Leave is paid.", "negation"),
        ("Leave is paid.", "Leave is never paid.", "negation"),
        ("Les congés ne sont pas payés.", "Les congés sont payés.", "negation"),
        ("Bob Martin approves.", "Alice Martin approves.", None),  # the first word of a sentence is no name for sure
        ("It is for Bob Martin.", "It is for Alice Martin.", "name"),
        ("Send it to the CEO.", "Send it to the board.", "name"),
        ("The TS-401 drives four.", "The TS-400 drives four.", "number"),
        ("The key is ABx9.", "The key is ABy9.", "code"),
        ("Write to a@evil.example.", "Write to a@acme.example.", "address"),
        ("See acme․example/other.", "See https://acme.example/leave.", "address"),
        ("See acme․example/leave.", "See https://acme.example/leave.", None),
        ("Before 31 March.", "After 31 March.", "opposite"),
        ("At most 5 days.", "At least 5 days.", "opposite"),
        ("Only managers.", "Managers.", "opposite"),
        ("You must ask.", "You may ask.", "force"),
        ("A manager must refuse.", "A manager may refuse and must offer another date.", "force"),
        ("Two days after 5 years.", "One day after 5 years, two days after 10 years.", "mixed"),
        ("Two days after 10 years.", "One day after 5 years, two days after 10 years.", None),
        ("Unused days, non paid, are lost.", "Unused days, non paid, are not lost.", "negation"),
        ("Leeds has 25 days.", ROW, "owner"),
        ("You get 26 working days in Leeds and 25 in Lyon.", ROW, None),
        ("You get 25 working days in Leeds and 26 in Lyon.", ROW, "order"),
        ("First Lyon, then Leeds.", "First Leeds, then Lyon.", "order"),
        ("Vingt-cinq jours à Lyon", "25 jours à Lyon", None),
    ],
)
def test_what_is_stated_otherwise_is_a_contradiction(claim, support, wrong):
    found = against(claim, support)

    assert found == wrong


def test_names_may_come_from_the_sentence_before_and_numbers_may_not():
    own, around = facts("It opens at 8:30."), facts("The Lyon office has 30 seats. It opens at 8:30.")

    assert contradicts(facts("The office in Lyon opens at 8:30."), own, around) is None
    assert contradicts(facts("The office in Lyon opens at 30."), own, around) == "number"


def test_blank_text_has_no_facts():
    assert facts("").anchors == frozenset()
    assert against("", "") is None
