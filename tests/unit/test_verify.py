from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app import abstain
from app.evidence import weigh
from app.generator import GenerationRequest
from app.reader import Reader
from app.testing import WordReader
from app.verify import UNIT_CHARS, Verifier, verified
from indexing.testing import HashEmbedder
from tests.inventions import World, pieces_of, shown_sentences
from tests.unit.test_support import PASSAGES, passage

FUZZED = int(os.environ.get("METIER_TEST_EXAMPLES") or "10000")
WORLDS = 10  # tests that share the work
TEXTS = st.lists(
    st.sampled_from(
        ["Unused days expire on 31 March", ". ", ".", "\n", "\n- ", " [1]", "[2", "]", "Bananas are blue. ", "“", "”",
         "e.g. ", "art. 12 ", "Mr. ", "Here it is:", " ", "Badges are issued by reception", "no. 5", "« ", " »", "…",
         "https://", "evil.example", "x" * 60, "! ", "?", "。", "Dr", ". A", "1. ", ".[1] "]
    )
    | st.text(max_size=3),
    max_size=24,
).map("".join)  # fmt: skip


def kept(text: str, language: str = "en") -> tuple[str, int]:
    verifier = Verifier(PASSAGES, language)
    return verified(verifier, text), verifier.unsupported


@given(TEXTS, st.lists(st.integers(0, 400), max_size=12), st.booleans(), st.booleans())
@hypothesis_settings(deadline=None)  # the first one loads the language model
@example("Unused days expire on 31 March. [1] [2", [31, 32, 33], False, False)
@example("Badges are issued by reception. “with” care.", [len("Badges are issued by reception. “")], False, False)
@example("Unused days expire on 31 March. " * 80, [1000, 1001, 2001], False, True)
@example("x" * (UNIT_CHARS - 4) + ". A [1][1][1]", [UNIT_CHARS, UNIT_CHARS + 4], False, False)
def test_what_is_shown_never_depends_on_how_the_text_was_split(text, cuts, own, cut):
    """concat(f(stream)) == f(concat(stream))."""
    whole = Verifier(PASSAGES, "en", own=own)
    expected = whole.feed(text) + whole.finish(cut=cut)
    streamed = Verifier(PASSAGES, "en", own=own)
    borders = [0, *sorted(min(each, len(text)) for each in cuts), len(text)]
    shown = "".join(streamed.feed(text[a:b]) for a, b in pairwise(borders)) + streamed.finish(cut=cut)

    assert shown == expected == streamed.text
    assert (streamed.kept, streamed.unsupported) == (whole.kept, whole.unsupported)
    assert streamed.citations == whole.citations


@pytest.mark.parametrize("part", range(WORLDS))
def test_no_invented_sentence_is_ever_shown_and_no_true_one_is_lost(part):
    """10,000 answers of a generator that invents, each split anywhere; METIER_TEST_EXAMPLES asks for more."""
    rng = random.Random(part)
    true = 0
    for number in range(FUZZED // WORLDS):
        if number % 50 == 0:
            world = World.of(rng)
        text, allowed, sentences = world.answer(rng)
        verifier = Verifier(world.passages, world.language)
        shown = "".join(verifier.feed(piece) for piece in pieces_of(text, rng)) + verifier.finish()
        true += sentences

        assert [each for each in shown_sentences(shown) if each not in allowed] == [], text
        assert verifier.kept == sentences, text
        assert "evil" not in shown
        for cited in verifier.citations:
            found = next(each for each in world.passages if each.chunk_id == cited.chunk_id)
            assert found.text[cited.start - found.start : cited.end - found.start] == cited.quote
    assert true > FUZZED // WORLDS


def test_markers_are_ours_whatever_the_model_wrote():
    assert kept("Unused days expire on 31 March [2]. Badges are issued by reception [9][1].") == (
        "Unused days expire on 31 March. [1] Badges are issued by reception. [2]",
        0,
    )


def test_invented_number_is_never_shown():
    assert kept("Employees are entitled to 30 days of paid leave each year [1].") == ("", 1)


def test_list_lines_are_judged_one_by_one():
    text, unsupported = kept("Here is what I found:\n\n- Unused days expire on 31 March\n- Bananas\n1. Reception")

    assert text == "- Unused days expire on 31 March [1]\n1. Reception [2]"
    assert unsupported == 1


@pytest.mark.parametrize("introduction", ["For the moon you need:", "You do not need:", "Not found here:"])
def test_a_list_goes_with_the_introduction_that_was_left_out(introduction):
    assert kept(f"{introduction}\n- badges\n- reception\n\nUnused days expire on 31 March.")[0] == (
        "Unused days expire on 31 March. [1]"
    )


@pytest.mark.parametrize("text", ["", "Yes.", "Here is what I found:", "Voici la réponse :", "[1]", "…\n\n"])
def test_a_sentence_that_says_nothing_is_neither_shown_nor_counted(text):
    assert kept(text) == ("", 0)


def test_a_sentence_that_the_limit_of_tokens_cut_is_left_out():
    verifier = Verifier(PASSAGES, "en")
    shown = verifier.feed("Badges are issued by reception. Unused days expire") + verifier.finish(cut=True)

    assert (shown, verifier.unsupported) == ("Badges are issued by reception. [2]", 0)


def test_a_sentence_without_end_is_cut_off_and_costs_no_memory():
    verifier = Verifier(PASSAGES, "en")
    for _ in range(300):
        assert verifier.feed("word and " * 10) == ""
        assert len(verifier._held) < UNIT_CHARS + 300

    assert verifier.feed("\nBadges are issued by reception.\n") == "Badges are issued by reception. [2]"
    assert verifier.unsupported == 1


def test_sentences_are_shown_while_the_model_still_writes():
    verifier = Verifier(PASSAGES, "en")

    assert verifier.feed("Badges are issued by reception. Unused ") == ""
    assert verifier.feed("days expire") == "Badges are issued by reception. [2]"


@pytest.mark.parametrize(
    "written",
    ["Unused days expire on 31 March ![x](https://evil.example/a).", "Badges are issued by [reception](evil.example).",
     "Unused days! [1]![x [2]](https://evil.example) expire on 31 March.", "See evil.example.",
     "Badges are issued by reception <img src=//evil.example>."],
)  # fmt: skip
def test_no_foreign_address_is_shown(written):
    assert "evil" not in kept(written)[0]


def test_taking_a_marker_out_cannot_put_a_picture_together():
    assert "![" not in kept("Badges are issued by reception! [1][x](reception)")[0]
    assert not re.search(r"\]\(", kept("Badges are issued [by] [2](reception)")[0])


QUESTIONS = ["How many days of paid leave?", "When do unused days expire?", "Where is the Lyon office, by the river?",
             "Combien de jours de congés payés ?", "Who issues badges?"]  # fmt: skip
HARD = [
    "He said “yes. No budget is left” to all 5 teams. Unused days expire.",
    "Unused\xad days of 2024 expire [3] on 31 March.\nSee https://acme.example/leave?x=1 [note].",
    "On the first day of leave, bring:\n- 2 badges\n- a form [source 4]\n\nLunch is free.",
    "Item: Desk; Lyon: 200 €; Leeds: £170\nItem: Leave; Lyon: 25 days; Leeds: 26 days",
    "« Les congés payés sont de 25 jours. » C’est non négociable ! Sauf M. Martin (art. 12).",
    "Leave [source 4] of 25 days is paid [see 3].",
    "Leave is 25 days 【1†x】 <b>or</b> more: mailto:hr@acme.example javascript:x (no. 5).",
    "| " + "unused days of leave " * 90,
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("extra", HARD)
def test_what_the_reader_quotes_always_survives(question, extra):
    passages = (*PASSAGES, passage(extra, 4))
    sentences = weigh(question, passages, "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    sure = [replace(each, probability=0.9) for each in sentences]
    alone, together = [(each,) for each in sure], permutations(sure, 2)
    for chosen in (*alone, *together):  # whichever sentences are best
        request = GenerationRequest(question, "en", passages, chosen)
        verifier = Verifier(passages, "en", own=True)
        for piece in Reader().generate(request):
            verifier.feed(piece)
        verifier.finish()

        assert (verifier.unsupported, bool(verifier.citations)) == (0, True), verifier.text


@pytest.mark.parametrize(
    "told",
    [
        "The documents say: “Unused days expire on 31 March” [1] “Badges are issued by reception” [2]",
        "Les documents indiquent : « Unused days expire on 31 March » [1] « Badges are issued by reception » [2]",
    ],
)
def test_two_quotations_without_a_full_stop_are_two_sentences(told):
    verifier = Verifier(PASSAGES, "en", own=True)

    assert verified(verifier, told) == told
    assert (verifier.kept, verifier.unsupported) == (2, 0)


def test_a_quotation_of_two_sentences_has_one_marker_at_its_end():
    verifier = Verifier(PASSAGES, "en", own=True)
    quoted = "The documents say: “It opens at 8:30. Badges are issued by reception.” [2]"

    assert verified(verifier, quoted) == quoted
    assert len(verifier.citations) == 2


def test_the_readers_short_answer_has_its_marker_and_its_span():
    verifier = Verifier(PASSAGES, "en", own=True)
    told = "25 days. [1] The documents say: “Employees are entitled to 25 days of paid leave each year.” [1]"

    assert verified(verifier, told) == told
    assert (verifier.kept, verifier.unsupported) == (2, 0)
    number = "25. [1] The documents say: “Unused days expire on 31 March.” [1]"
    assert verified(Verifier(PASSAGES, "en", own=True), number) == number
