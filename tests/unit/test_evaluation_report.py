from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from app.evaluation_report import QUESTIONS_SHOWN, html
from app.gate import Floor, compare
from tests.outcomes import outcome, refused, result, unanswerable

EVIL = "<script>alert(1)</script><img src=https://evil.example onerror=x>\"'{{ 7*7 }}"
MIXED = [
    *(outcome(i, confidence=i / 20, milliseconds=10.0 * i) for i in range(20)),
    refused(20, unrefused_right=False),
    unanswerable(21, confidence=0.7),
    outcome(22, failed="GeneratorTimeout: late", confidence=None),
]


def test_the_page_needs_no_script_and_no_network():
    page = html(result(MIXED))

    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\w+:""", page)
    assert page.count("<svg") == 3


@pytest.mark.parametrize("place", ["id", "question", "text", "language", "documents", "answers", "ranked", "cited"])
def test_every_text_is_escaped(place):
    evil: Any = (EVIL,) if place in {"documents", "answers", "ranked", "cited"} else EVIL
    bad = outcome(**{place: evil})
    page = html(result([bad]), compare(result([bad]), result([replace(bad, abstained=EVIL)])))

    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "49" not in re.findall(r"&lt;img.{0,80}", page)[0]


def test_the_page_is_well_formed_also_with_nothing_to_draw():
    for outcomes in (MIXED, [refused(1)], [outcome(1, failed="x", confidence=None)]):
        body = re.search(r"<body>.*</body>", html(result(outcomes)), re.DOTALL)
        assert body is not None
        assert ET.fromstring(body[0]).findall(".//svg")


def test_the_gate_and_what_got_worse_are_shown():
    before, after = result([outcome(i) for i in range(5)]), result([refused(i) for i in range(5)])
    page = html(after, compare(before, after), [Floor("ndcg", 0.9, 0.5, holds=False)])

    assert "The gate is closed" in page
    assert "Questions that got worse (5)" in page
    assert "right → refused" in page
    assert "does not hold" in page


def test_a_huge_set_does_not_make_a_huge_page():
    page = html(result([outcome(i) for i in range(QUESTIONS_SHOWN + 7)]))

    assert "7 more are in the JSON result" in page
