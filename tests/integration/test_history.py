from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.errors import BadRequest, NotFound
from app.events import Citation
from app.history import AnswerRecord, answer_record, record_answer, record_feedback
from app.tables import FeedbackRow
from indexing.tables import LOCAL_PRINCIPAL_ID, PrincipalRow

RECORD = AnswerRecord(
    id="a1",
    principal_id=LOCAL_PRINCIPAL_ID,
    question="Combien de jours de congés ?",
    text="« 25 jours » [1]",
    citations=(Citation(1, 7, 3, "handbook", "congés.md", "Congés", 2, "25 jours", 10, 18),),
    passages=(7, 9),
    finish_reason="stop",
    confidence=0.9,
    generator="reader",
    language="fr",
    seconds=0.25,
    indexed_through=12,
    specialist="metier",
    specialist_version=1,
)


@pytest.fixture
def with_answer(catalog):
    with catalog.transaction() as session:
        session.add(PrincipalRow(id=7, kind="user", issuer="local", external_id="other", display="Other"))
        record_answer(session, RECORD)
    return catalog


def test_answer_is_read_back_as_it_was(with_answer):
    with with_answer.reading() as session:
        found = answer_record(session, LOCAL_PRINCIPAL_ID, "a1")

    assert found.asked_at is not None
    assert replace(found, asked_at=None) == RECORD


def test_another_principals_answer_looks_like_none_at_all(with_answer):
    with with_answer.reading() as session:
        messages = []
        for principal, answer_id in ((7, "a1"), (LOCAL_PRINCIPAL_ID, "a2")):
            with pytest.raises(NotFound) as caught:
                answer_record(session, principal, answer_id)
            messages.append(str(caught.value).replace(answer_id, "…"))

    assert messages[0] == messages[1]


def test_feedback_is_kept_with_its_answer(with_answer):
    with with_answer.transaction() as session:
        record_feedback(session, LOCAL_PRINCIPAL_ID, "a1", helpful=False, reason="outdated", comment="It is 27 now.")
    with with_answer.reading() as session:
        [row] = session.scalars(select(FeedbackRow))
        assert (row.answer_id, row.helpful, row.reason, row.comment) == ("a1", False, "outdated", "It is 27 now.")


def test_nobody_gives_feedback_on_anothers_answer(with_answer):
    with with_answer.transaction() as session, pytest.raises(NotFound):
        record_feedback(session, 7, "a1", helpful=True)


@pytest.mark.parametrize("field", ["reason", "comment"])
def test_overlong_feedback_is_refused(with_answer, field):
    with with_answer.transaction() as session, pytest.raises(BadRequest, match=field):
        record_feedback(session, LOCAL_PRINCIPAL_ID, "a1", helpful=True, **{field: "x" * 5000})
