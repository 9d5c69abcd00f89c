"""The weekly digest: owners are told once what was not answered well under their specialist, and never who asked."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from app import history
from app.slack import store_told, weekly
from app.slack.records import Visibility
from app.tables_slack import SlackToldRow
from tests.slack_desk import desk, rows

pytestmark = pytest.mark.network

MONDAY = datetime(2026, 11, 30, 9, tzinfo=UTC)
BEFORE = MONDAY - timedelta(days=3)


@pytest.fixture
def d(settings, sqlite_url):
    with desk(settings(api_token="t" * 32)) as made:
        made.face.filled()
        yield made


@pytest.fixture
def people(d):
    found = {name: d.member(name) for name in ("ann", "olga")} | {"otto": d.member("otto", locale="fr-FR")}
    d.curates("bold", "olga", "otto")
    return found


def asked(d, user, question, **of):
    """A question that was not answered, three days before the Monday."""
    of = {"specialist": "bold", "finish_reason": "abstained", "text": "I don't know.", "asked_at": BEFORE} | of
    answer_id, _ = d.answered(user, d.slack.direct(user), Visibility.DIRECT, question=question, principal="ann", **of)
    return answer_id


def blocks(message):
    return json.dumps(list(message.blocks), ensure_ascii=False)


def test_the_moment_is_monday_at_nine():
    for moment, last in [
        (MONDAY, MONDAY),
        (MONDAY - timedelta(seconds=1), MONDAY - timedelta(days=7)),
        (MONDAY + timedelta(days=6, hours=23), MONDAY),
        (datetime(2026, 11, 30, 0, tzinfo=UTC), MONDAY - timedelta(days=7)),
    ]:
        assert weekly.last_moment(moment) == last


def test_owners_are_told_what_was_not_answered_and_never_who_asked(d, people):
    asked(d, people["ann"], "Where is the canteen <!here>?")
    asked(d, people["ann"], "where is the canteen")
    asked(d, people["ann"], "Who feeds the canary?")
    helped = asked(d, people["ann"], "How is the helpful one?", finish_reason="stop")
    bad = asked(d, people["ann"], "How is the unhelpful one?", finish_reason="stop")
    asked(d, people["ann"], "Other specialist?", specialist="metier")
    asked(d, people["ann"], "Too old?", asked_at=MONDAY - timedelta(days=8))
    asked(d, people["ann"], "Too new?", asked_at=MONDAY)
    with d.bot.parts.catalog.transaction() as session:
        history.judge(session, d.principal("ann"), helped, helpful=True)
        history.judge(session, d.principal("ann"), bad, helpful=False)
    weekly.tell(d.bot, MONDAY)

    [message] = d.direct(people["olga"])
    said = blocks(message)
    assert "canary? (1)" in said
    assert "unhelpful one? (1)" in said
    for text in ("helpful one? (1)", "Other", "Too old", "Too new", "<!here>", people["ann"]):
        assert text not in said.replace("unhelpful one? (1)", "")
    assert said.index("canteen") < said.index("canary")
    assert "Questions de la semaine" in blocks(d.direct(people["otto"])[0])
    assert len(d.direct(people["ann"])) == 8  # what the bot answered, and no digest


def test_three_replicas_send_exactly_one_digest(d, people):
    asked(d, people["ann"], "Where is the canteen?")
    threads = [threading.Thread(target=weekly.tell, args=(d.bot, MONDAY)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    weekly.tell(d.bot, MONDAY + timedelta(days=2))

    assert len(d.direct(people["olga"])) == len(d.direct(people["otto"])) == 1


def test_with_nothing_to_tell_nothing_is_sent_and_the_next_week_is_told(d, people):
    weekly.tell(d.bot, MONDAY - timedelta(days=7))
    assert d.direct(people["olga"]) == []
    asked(d, people["ann"], "Where is the canteen?")
    weekly.tell(d.bot, MONDAY)
    weekly.tell(d.bot, MONDAY + timedelta(days=7))

    assert len(d.direct(people["olga"])) == 1


def test_a_look_with_nothing_due_reads_one_row(d, people):
    weekly.tell(d.bot, MONDAY)
    with d.bot.parts.catalog.reading() as session:
        assert store_told.was_told(session, f"weekly:{d.slack.team_id}:2026-W49")
    told = len(rows(d, SlackToldRow))
    weekly.tell(d.bot, MONDAY)
    assert len(rows(d, SlackToldRow)) == told


def test_a_digest_that_slack_takes_for_nobody_is_sent_later(d, people):
    asked(d, people["ann"], "Where is the canteen?")
    d.slack.fail("conversations.open", "internal_error", times=2)
    weekly.tell(d.bot, MONDAY)
    assert d.direct(people["olga"]) == []
    weekly.tell(d.bot, MONDAY + timedelta(minutes=1))

    assert len(d.direct(people["olga"])) == 1


def test_many_questions_are_twenty_and_a_count(d, people):
    for number in range(25):
        asker = d.slack.add_user(
            f"asker{number}"
        )  # another one each time: Slack takes few messages a second in a place
        asked(d, asker, f"What about subject{number}?")
    weekly.tell(d.bot, MONDAY)

    [message] = d.direct(people["olga"])
    assert blocks(message).count("subject") == 20
    assert "and 5 more" in blocks(message)
