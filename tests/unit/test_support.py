from __future__ import annotations

import pytest

from app.support import Read, cited, exact_span, says_something, shared_words, supporting_spans
from indexing.documents import Passage

LEAVE = "Leave policy. Employees are entitled to 25 days of paid leave each year. Unused days expire on 31 March."
OFFICE = "The Lyon office is on the river. It opens at 8:30. Badges are issued by reception."
CONGES = "Chaque salarié a droit à 25 jours de congés payés par an. La demande se fait dans le portail."


def passage(text: str, number: int = 1, *, start: int = 0, language: str = "en", title: str = "Rules") -> Passage:
    return Passage(
        number, number * 10, 1, "handbook", f"{number}.md", title, text, start, start + len(text), None, (), language,
        None,
    )  # fmt: skip


PASSAGES = (passage(LEAVE, 1, start=100), passage(OFFICE, 2), passage(CONGES, 3, language="fr"))
READ = [Read(each) for each in PASSAGES]


def quotes(claim: str, language: str = "en", **options) -> list[str]:
    return [PASSAGES[s.passage].text[s.start : s.end] for s in supporting_spans(claim, READ, language, **options)]


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("Employees are entitled to 25 days of paid leave each year.", "Employees are entitled to 25 days"),
        ("You get twenty-five days of paid leave every year.", "Employees are entitled to 25 days"),
        ("According to the document: on 31 March, unused days expire.", "Unused days expire"),
        ("reception", "Badges are issued by reception."),
        ("The Lyon office opens at 8:30.", "The Lyon office is on the river. It opens at 8:30."),
    ],
)
def test_what_a_passage_says_is_found_in_its_words_and_in_others(claim, quote):
    [found] = quotes(claim)

    assert found.startswith(quote)


@pytest.mark.parametrize(
    "claim",
    [
        "You get 30 days of paid leave every year.",
        "Employees enjoy generous holiday arrangements abroad.",
        "Employees are entitled to 25 days of paid sick leave each year.",
        "The Lyon office serves free breakfast daily.",
        "Unused days expire before 31 March.",
        "Unused days do not expire on 31 March.",
        "The Lyon office opens at 25.",
        "The Lyon office opens at 8:30 and expires on 31 March.",
        "8:30 badges are issued by reception.",  # words of two sentences
        "Here is what I found:",
        "",
    ],
)
def test_what_no_passage_says_has_no_support(claim):
    assert quotes(claim) == []


def test_a_part_of_a_sentence_must_not_leave_out_that_it_denies():
    read = [Read(passage("It is not true that leave is paid in advance."))]

    assert supporting_spans("Leave is paid in advance.", read, "en") == ()
    assert len(supporting_spans("It is not true that leave is paid in advance.", read, "en")) == 1


def test_two_halves_may_be_supported_by_two_passages():
    assert quotes("Unused days expire on 31 March and badges are issued by reception.") == [
        "Unused days expire on 31 March.",
        "Badges are issued by reception.",
    ]


def test_hint_is_looked_at_first():
    twins = [Read(passage(LEAVE, 1)), Read(passage(LEAVE, 2))]

    assert supporting_spans("Unused days expire on 31 March.", twins, "en", hints=[1])[0].passage == 1
    assert supporting_spans("Unused days expire on 31 March.", twins, "en", hints=[7, -1])[0].passage == 0


def test_across_languages_figures_and_names_are_the_evidence():
    assert quotes("Le bureau de Lyon ouvre à 8 h 30.", "fr") == ["The Lyon office is on the river. It opens at 8:30."]
    assert quotes("Le bureau de Nantes ouvre à 8 h 30.", "fr") == []
    assert quotes("Le bureau est grand.", "fr") == []


def test_a_claim_in_another_language_than_the_answers_is_not_let_off_with_figures():
    assert quotes("Le bureau de Lyon ouvre à 8 h 30.", "en") == []


def test_another_scorer_may_know_more_words_but_cannot_allow_a_wrong_number():
    def generous(*_):
        return 1.0

    assert quotes("Staff have 25 vacation days.", scorer=generous)
    assert not quotes("Staff have 25 vacation days.")
    assert not quotes("Staff have 26 vacation days.", scorer=generous)
    assert not quotes("Staff have 25 vacation days.", scorer=generous, floor=1.1)


def test_citation_has_the_exact_characters_of_the_document():
    [span] = supporting_spans("Unused days expire on 31 March.", READ, "en")
    citation = cited(span, PASSAGES[0])

    assert (citation.number, citation.chunk_id, citation.uri) == (1, 1, "1.md")
    assert LEAVE[citation.start - 100 : citation.end - 100] == citation.quote == "Unused days expire on 31 March."


def test_words_are_found_through_line_breaks_hidden_signs_and_schemes():
    read = Read(passage("See the un\u00adused\n  forms at https://acme.example/forms."))

    assert exact_span("See the unused forms at acme․example/forms.", read) == (0, len(read.passage.text))
    assert exact_span("the unu", read) is None
    assert exact_span("the unu", read, copied=True) == (0, len(read.passage.text))


@pytest.mark.parametrize(
    "text", ["Here is what I found:", "Yes.", "Voici la réponse :", "", "…", "According to the documents,"]
)
def test_frames_say_nothing(text):
    assert not says_something(text)


@pytest.mark.parametrize("text", ["Reception.", "25", "Paris", "Bananas are blue."])
def test_a_word_is_enough_to_say_something(text):
    assert says_something(text)


def test_score_is_the_share_of_content_words():
    assert shared_words("Unused days expire.", "en", "Unused days expire on 31 March.", "en") == 1
    assert shared_words("Unused days vanish.", "en", "Unused days expire on 31 March.", "en") == pytest.approx(2 / 3)


HANDBOOK = Read(
    passage(
        "Annual leave, full time; Leeds: 26 working days; Lyon: 25 working days\n"
        "Both sites grant extra days for long service: one day after 5 years, two days after 10 years and three days "
        "after 15 years.\n\nYour manager answers within five working days. No answer after five working days counts as "
        "a yes. A manager may refuse when more than a third of the team would be away, and must then offer two other "
        "dates in writing.\n\nThe Lyon plant is closed from 3 to 21 August 2026."
    )
)
CHARTE = Read(
    passage(
        "Les jours non utilisés ne se reportent pas d'une semaine sur l'autre. Les jours sont saisis dans Passerelle "
        "au plus tard le jeudi soir. Il faut être joignable de 9 h 30 à 11 h 45 et de 14 h à 16 h.",
        language="fr",
    )
)


@pytest.mark.parametrize(
    ("claim", "stated"),
    [
        ("Full-time employees in Leeds get 26 working days of annual leave.", True),
        ("Full-time employees in Leeds get 25 working days of annual leave.", False),
        ("Two extra days are granted after 10 years of service.", True),
        ("Two extra days are granted after 5 years of service.", False),
        ("If there is no answer after five working days, it counts as a yes.", True),
        ("No answer after five working days counts as a refusal.", False),
        ("The manager must offer two other dates in writing.", True),
        ("A manager must refuse when more than a third of the team would be away.", False),
        ("A manager may refuse when more than half of the team would be away.", False),
        ("The Leeds plant is closed from 3 to 21 August 2026.", False),
        ("Les jours non utilisés ne sont pas reportés d'une semaine sur l'autre.", True),
        ("Les jours non utilisés se reportent d'une semaine sur l'autre.", False),
        ("Les jours doivent être saisis dans Passerelle au plus tard le jeudi soir.", True),
        ("Les jours sont saisis dans Passerelle au plus tôt le jeudi soir.", False),
        ("Vous devez être joignable de 14 h à 16 h et de 9 h 30 à 11 h 45.", False),  # true, but in another order
        ("Il faut être joignable de 9 h 30 à 16 h.", False),
    ],
)
def test_what_a_model_would_write_about_a_handbook(claim, stated):
    language = "fr" if claim.split()[0] in {"Les", "Vous", "Il"} else "en"

    assert bool(supporting_spans(claim, [HANDBOOK, CHARTE], language)) == stated
