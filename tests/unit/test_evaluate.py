from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.evaluate import hear
from app.events import Abstained, Citations, Failed, Sources, Token


@dataclass(frozen=True)
class WholeAnswer:
    """An event that carries a text and its citations: an answer given at once, or one that stands after all."""

    text: str
    citations: tuple[Any, ...] = ()


def test_tokens_in_a_row_are_one_text():
    assert hear([Sources(()), Token("25 "), Token(""), Token("days"), Citations(())]).text == "25 days"


def test_a_written_answer_takes_the_place_of_the_quick_one():
    heard = hear([WholeAnswer("quick", ("a",)), Token("ful"), Token("ler"), Citations(())])

    assert (heard.text, heard.citations) == ("fuller", ())


def test_a_quick_answer_that_is_kept_is_what_was_said():
    heard = hear([WholeAnswer("quick", ("a",)), Token("inv"), Token("ented"), WholeAnswer("quick", ("a",))])

    assert (heard.text, heard.citations) == ("quick", ("a",))


def test_refusals_and_failures_are_heard():
    assert hear([Abstained("I don't know", "below_threshold")]).abstained == "below_threshold"
    assert hear([Token("x"), Failed("GeneratorTimeout", "Too late.", "")]).failed == "GeneratorTimeout: Too late."
