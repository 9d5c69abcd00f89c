"""The reader that comes with the program, on questions anyone can check."""

from __future__ import annotations

import pytest

from app.reading import Text, TrainedReader

LEAVE = (
    "Full-time staff have 26 working days of paid leave each year. Requests are approved by the line manager "
    "within five working days. Unused days expire on 31 March."
)
CONGES = (
    "Les salariés à temps plein ont droit à 25 jours de congés payés par an. La demande est validée par le responsable."
)


@pytest.fixture(scope="module")
def reads():
    return TrainedReader(precision="fp32")


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("How many days of paid leave do full-time staff have?", LEAVE, "26"),
        ("Who approves requests?", LEAVE, "line manager"),
        ("When do unused days expire?", LEAVE, "31 March"),
        ("À combien de jours de congés payés les salariés ont-ils droit ?", CONGES, "25"),
    ],
)
def test_short_answer_is_found(reads, question, text, answer):
    [reading] = reads.read(question, [Text(text)])
    span = reading.best(0, len(text))

    assert answer in text[span.start : span.end]
    assert len(text[span.start : span.end]) < len(answer) + 40
    assert span.margin > 0


def test_passage_without_the_answer_does_not_beat_no_answer(reads):
    [reading] = reads.read("What is the wifi password of the Leeds office?", [Text(LEAVE)])

    assert reading.best(0, len(LEAVE)).margin < 0


def test_reading_together_or_alone_gives_the_same(reads):
    texts = [Text(LEAVE), Text(CONGES), Text("Short.")]
    together = reads.read("When do unused days expire?", texts)
    alone = [reads.read("When do unused days expire?", [text])[0] for text in texts]

    for one, other in zip(together, alone, strict=True):
        assert one.offsets == other.offsets
        assert one.starts == pytest.approx(other.starts, abs=1e-3)
