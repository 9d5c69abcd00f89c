"""Thumbs in Slack: who sees an answer may judge it, once, and no value that a click carries reaches another answer."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from app import history
from app.golden import read_golden
from app.history_candidates import candidate_lines, candidates
from app.slack.records import Visibility
from app.tables import AnswerRow, FeedbackRow
from tests.commands import commands
from tests.slack_desk import desk, rows

pytestmark = pytest.mark.network


@pytest.fixture
def d(settings, sqlite_url):
    with desk(settings(api_token="t" * 32)) as made:
        yield made


def judged(d):
    return [(r.answer_id, r.principal_id, r.helpful, r.reason, r.comment) for r in rows(d, FeedbackRow)]


def test_whoever_sees_an_answer_judges_it_once_and_the_last_click_counts(d):
    ann, bob = d.member("ann"), d.member("bob")
    channel = d.slack.add_channel("help", [ann, bob])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL, principal="ann")
    d.click(bob, channel, ts, "feedback", f"good:{answer_id}")
    d.click(ann, channel, ts, "feedback", f"good:{answer_id}")
    d.click(ann, channel, ts, "feedback", f"bad:{answer_id}")

    assert sorted(judged(d)) == sorted(
        [
            (answer_id, d.principal("bob"), True, None, None),
            (answer_id, d.principal("ann"), False, None, None),
        ]
    )
    assert "Thank you" in d.told(bob)
    assert [m.text for m in d.slack.replies(channel)] == [m.text for m in d.slack.replies(channel, ts)]


def test_a_reason_and_a_comment_replace_the_mere_click(d):
    ann = d.member("ann", locale="fr-FR")
    channel = d.slack.add_channel("aide", [ann])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL)
    d.click(ann, channel, ts, "feedback", f"bad:{answer_id}")
    [view] = d.slack.views(ann)
    assert "Qu’est-ce qui ne va pas" in json.dumps(view.body, ensure_ascii=False)
    d.submit(ann, {"reason": "outdated", "comment": "x" * 3000})

    assert judged(d) == [(answer_id, d.principal("ann"), False, "outdated", "x" * 3000)]


def test_who_is_not_linked_is_not_kept_apart_from_everyone(d):
    ann, bob = d.member("ann", linked=False), d.member("bob", linked=False)
    channel = d.slack.add_channel("help", [ann, bob])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL)
    d.click(ann, channel, ts, "feedback", f"good:{answer_id}")
    d.click(bob, channel, ts, "feedback", f"bad:{answer_id}")

    assert judged(d) == [(answer_id, d.principal("everyone"), False, None, None)]
    assert ann not in str([vars(r) for r in rows(d, FeedbackRow)])


@pytest.mark.parametrize("verdict", ["good", "bad"])
def test_a_forged_answer_id_stores_nothing(d, verdict):
    ann, bob = d.member("ann"), d.member("bob")
    channel = d.slack.add_channel("help", [ann, bob])
    mine, ts = d.answered(ann, channel, Visibility.CHANNEL)
    theirs, _ = d.answered(bob, d.slack.direct(bob), Visibility.DIRECT)
    hidden, _ = d.answered(bob, channel, Visibility.EPHEMERAL)
    for forged in (theirs, hidden, "nothing", ""):
        d.click(ann, channel, ts, "feedback", f"good:{mine}", forged=f"{verdict}:{forged}")
        assert "not kept" in d.told(ann)
    d.click(ann, channel, ts, "feedback", f"good:{mine}", forged=f"both:{mine}")
    d.click(ann, channel, ts, "feedback", f"bad:{mine}")
    for forged in ("[]", "x", "", json.dumps([channel, ts, theirs]), json.dumps([d.slack.direct(bob), ts, theirs])):
        d.slack.click(ann, channel, ts, "feedback", f"bad:{mine}")
        d.click(ann, channel, ts, "feedback", f"bad:{mine}")
        d.submit(ann, {"reason": "wrong"}, forged=forged)

    assert judged(d) == [(mine, d.principal("ann"), False, None, None)]


def test_an_answer_for_one_person_is_judged_by_that_person(d):
    ann = d.member("ann")
    channel = d.slack.add_channel("help", [ann])
    answer_id, ts = d.answered(ann, channel, Visibility.EPHEMERAL, principal="ann")
    d.click(ann, channel, ts, "feedback", f"good:{answer_id}")

    assert judged(d) == [(answer_id, d.principal("ann"), True, None, None)]


def test_an_answer_that_is_forgotten_cannot_be_judged(d):
    ann = d.member("ann")
    channel = d.slack.add_channel("help", [ann])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL)
    with d.bot.parts.catalog.transaction() as session:
        session.delete(session.get(AnswerRow, answer_id))
    d.click(ann, channel, ts, "feedback", f"good:{answer_id}")

    assert judged(d) == []
    assert "not kept" in d.told(ann)


def test_a_form_that_cannot_be_opened_still_leaves_the_judgement(d):
    ann = d.member("ann")
    channel = d.slack.add_channel("help", [ann])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL)
    d.slack.fail("views.open", "expired_trigger_id")
    d.click(ann, channel, ts, "feedback", f"bad:{answer_id}")

    assert len(judged(d)) == 1
    assert "Thank you" in d.told(ann)


# --- candidates -----------------------------------------------------------------------------------------------


def test_candidates_are_lines_of_a_golden_set_and_say_why(d, tmp_path):
    d.face.filled()
    ann, bob = d.member("ann"), d.member("bob")
    channel = d.slack.add_channel("help", [ann, bob])
    cited = [{"number": 1, "chunk_id": 1, "document_id": 1, "source": "handbook", "uri": "hr/leave.md"}]
    right, _ = d.answered(ann, channel, Visibility.CHANNEL, specialist="bold", text="25 days [1].")
    again, _ = d.answered(
        bob, channel, Visibility.CHANNEL, specialist="bold", question="Has every employee many days of paid leave"
    )
    none, _ = d.answered(ann, channel, Visibility.CHANNEL, specialist="bold", question="Who owns the moon?")
    wrong, _ = d.answered(ann, channel, Visibility.CHANNEL, specialist="bold", question="Where is the canteen?")
    other, _ = d.answered(ann, channel, Visibility.CHANNEL, specialist="metier", question="Another one?")
    with d.bot.parts.catalog.transaction() as session:
        row = session.scalars(select(AnswerRow).where(AnswerRow.id == right)).one()
        row.citations = [{**cited[0], "title": "", "page": None, "quote": "", "start": 0, "end": 1}]
        for answer_id in (right, again, other):
            history.judge(session, d.principal("ann"), answer_id, helpful=True)
        history.judge(session, d.principal("ann"), none, helpful=False, reason="should_not_answer")
        history.judge(session, d.principal("ann"), wrong, helpful=False, reason="wrong", comment="On floor 2.")
    with d.bot.parts.catalog.reading() as session:
        found = candidates(session, "bold")

    assert [each["question"] for each in found] == [
        "Where is the canteen?",
        "Who owns the moon?",
        "How many days of paid leave does every employee have?",
    ]
    assert [(each["documents"], each["answers"], each["answerable"]) for each in found] == [
        ([], [], True),
        ([], [], False),
        (["handbook:hr/leave.md"], ["25 days.", "Every employee has 25 days of paid leave."], True),
    ]
    assert found[0]["note"] == "not helpful: 1 (wrong 1); “On floor 2.”"
    file = tmp_path / "candidates.jsonl"
    file.write_text(candidate_lines(found[1:]), encoding="utf-8")
    assert len(read_golden(file).questions) == 2


def test_the_command_writes_candidates_into_a_new_file_only(sqlite_url, tmp_path, monkeypatch, capsys):
    run = commands(tmp_path, monkeypatch, capsys)
    file = tmp_path / "out.jsonl"
    code, out, err = run("specialist", "candidates", "metier", "--out", file)
    assert (code, out, file.read_text()) == (0, "", "")
    assert "0 candidates" in err
    code, _, err = run("specialist", "candidates", "metier", "--out", file)
    assert code != 0
    assert "new file" in err
    assert run("specialist", "candidates", "nobody")[0] != 0
