"""A document that changes leads to one correction in each thread that quoted it, and none elsewhere."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import retention
from app.slack.blocks_recall import CORRECTED
from app.slack.client import Slack
from app.slack.recall import look
from app.tables import AnswerRow
from app.tables_slack import SlackPostRow, SlackRecallRow
from app.wiring import close
from indexing import grants, principals, store, store_candidate
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now
from tests import slacks
from tests.catalogs import chunks_of, new_document
from tests.faces import LEAVE
from tests.slack_bots import ABOUT_SECRET, QUESTION, SECRET, said, town

pytestmark = pytest.mark.network

AT_ONCE = timedelta(0)
MORE = LEAVE.replace("25 days", "26 days")
OFFICE = "# Office\n\nThe Lyon office opens at 8:30 every morning."
ABOUT_OFFICE = "When does the Lyon office open every morning?"


@pytest.fixture
def place(settings, catalog_url):
    with town(settings(database_url=catalog_url), pieces=()) as found:
        found.policy(recall=True)
        assert found.face.push(source(found), "office.md", OFFICE).status_code == 201
        yield found


@pytest.fixture
def local(settings, sqlite_url):
    with town(settings(), pieces=()) as found:
        found.policy(recall=True)
        assert found.face.push(source(found), "office.md", OFFICE).status_code == 201
        yield found


def source(place, name="leave"):
    with place.bot.parts.catalog.reading() as session:
        found = store.source_named(session, name)
        assert found is not None
        return found.id


def write(place, text, uri="hr/leave.md", name="leave"):
    assert place.face.push(source(place, name), uri, text).status_code in (200, 201)


def erase(place, uri="hr/leave.md", name="leave"):
    assert place.face.http.delete(f"/v1/sources/{source(place, name)}/documents/{uri}").status_code == 204


def asked(place, question=QUESTION, user=None, channel=None):
    """Ask in a channel, and return the ts of the question, whose thread has the answer."""
    text = f"<@{place.slack.bot_user_id}> {question}"
    incoming = place.message(user or place.bob, channel or place.channel, text)
    place.do(incoming)
    return incoming.ts


def looked(place, bot=None):
    look(bot or place.bot, settle=AT_ONCE)


def corrections(place, thread_ts=None, channel=None):
    return [each for each in place.replies(thread_ts, channel) if (each.metadata or {}).get("event_type") == CORRECTED]


def run_out(place):
    """Let every claim have run out, and everything be due: what died is taken over."""
    with place.bot.parts.catalog.transaction() as session:
        session.execute(update(SlackRecallRow).values(due_at=utc_now()))
        session.execute(update(SlackRecallRow).values(claimed_until=utc_now() - timedelta(seconds=1)))


def waiting(place):
    with place.bot.parts.catalog.reading() as session:
        return session.query(SlackRecallRow).count()


@contextlib.contextmanager
def replicas(place, count=3):
    """Yield bots of so many servers of the same catalog."""
    opened = [slacks.fake_parts(place.bot.parts.settings) for _ in range(count)]
    try:
        token, url = place.slack.bot_token, place.slack.api_url
        yield [replace(place.bot, parts=parts, slack=Slack(token, url)) for parts in opened]
    finally:
        for parts in opened:
            close(parts)


def test_three_servers_post_one_correction_in_each_thread_that_quoted_the_document_and_none_elsewhere(place):
    other = place.slack.add_channel("other", [place.ann, place.bob])
    place.policy(other, recall=True)
    silent = place.slack.add_channel("silent", [place.ann, place.bob])
    place.policy(silent)
    quoting = [asked(place), asked(place), asked(place, channel=other)]
    elsewhere = [asked(place, ABOUT_OFFICE), asked(place, channel=silent)]
    looked(place)
    write(place, MORE)

    with replicas(place) as bots:
        for _ in range(2):
            threads = [threading.Thread(target=looked, args=(place, bot)) for bot in bots]
            for each in threads:
                each.start()
            for each in threads:
                each.join()

    assert waiting(place) == 0
    for thread, channel in zip(quoting, (place.channel, place.channel, other), strict=True):
        [correction] = corrections(place, thread, channel)
        assert "26 days" in said(correction)
    for thread, channel in zip(elsewhere, (place.channel, silent), strict=True):
        assert corrections(place, thread, channel) == []
    assert len(corrections(place)) + len(corrections(place, channel=other)) == 3


class Killed(BaseException):
    """The process is gone."""


class Dying(Slack):
    """A way to Slack on which the process dies: before a call, or right after Slack has done it."""

    def __init__(self, place, at, *, after):
        super().__init__(place.slack.bot_token, place.slack.api_url)
        self.left, self.after = at, after

    def call(self, method, *args, **arguments):
        self.left -= 1
        if self.left < 0 and not self.after:
            raise Killed
        answer = super().call(method, *args, **arguments)
        if self.left < 0:
            raise Killed
        return answer


@pytest.mark.parametrize("after", [False, True])
def test_a_server_that_dies_at_any_call_to_slack_leaves_one_correction(place, after):
    thread = asked(place)
    looked(place)
    days = 25
    for at in range(20):
        days += 1
        write(place, LEAVE.replace("25 days", f"{days} days"))
        dying = replace(place.bot, slack=Dying(place, at, after=after))
        try:
            looked(place, dying)
            died = False
        except Killed:
            died = True
        run_out(place)
        looked(place)
        found = corrections(place, thread)
        assert [f"{25 + n} days" in said(each) for n, each in enumerate(found, 1)] == [True] * (days - 25)
        if not died:
            break
    assert at > 2


def test_what_changed_again_before_somebody_took_over_ends_with_the_truth(local):
    thread = asked(local)
    looked(local)
    write(local, MORE)
    with contextlib.suppress(Killed):
        posting = 0
        while not corrections(local, thread):
            with contextlib.suppress(Killed):
                looked(local, replace(local.bot, slack=Dying(local, posting, after=True)))
            posting += 1
            if not corrections(local, thread):
                run_out(local)
    write(local, LEAVE)
    run_out(local)
    looked(local)

    assert ["26 days" in said(each) for each in corrections(local, thread)] == [True, False]
    assert "25 days" in said(corrections(local, thread)[-1])


def test_the_answer_is_marked_and_the_correction_says_what_changed(local):
    thread = asked(local)
    looked(local)
    write(local, MORE)
    looked(local)

    answer, correction = local.replies(thread)
    assert "Corrected below" in said(answer)
    assert "25 days" in said(answer)
    assert "no longer holds" in said(correction)
    assert "Leave policy" in said(correction)
    assert "26 days" in said(correction)
    assert "25 days" not in said(correction)


@pytest.mark.parametrize(
    "text",
    [
        LEAVE.replace("two weeks ahead", "three weeks ahead"),  # elsewhere
        "# Holidays\n\nAsk HR.\n\n" + LEAVE,  # moved
        LEAVE.replace("Every employee has", "Each  employee has"),  # in other words
    ],
)
def test_an_answer_that_still_holds_is_not_corrected(local, text):
    thread = asked(local)
    looked(local)
    write(local, text)
    looked(local)

    assert len(local.replies(thread)) == 1
    assert waiting(local) == 0


def test_a_question_that_was_asked_again_for_nothing_is_not_kept(local):
    asked(local)
    looked(local)
    write(local, LEAVE.replace("Every employee has", "Each employee has"))
    looked(local)

    with local.bot.parts.catalog.reading() as session:
        assert session.query(AnswerRow).count() == 1


def test_a_document_that_is_deleted_leads_to_one_correction_that_does_not_repeat_it(place):
    erase(place, "office.md")
    thread = asked(place)
    looked(place)
    erase(place)
    looked(place)
    looked(place)

    answer, correction = place.replies(thread)
    assert "no longer say" in said(correction)
    assert "25 days" not in said(correction)
    assert "[1]" in said(correction)
    assert "Corrected" not in said(answer)  # nobody can say any more who may read what it quotes


def test_a_document_that_is_deleted_and_comes_back_is_said_again(local):
    thread = asked(local)
    looked(local)
    erase(local)
    looked(local)
    write(local, LEAVE)
    looked(local)

    assert ["25 days" in said(each) for each in corrections(local, thread)] == [False, True]


def test_a_document_that_is_changed_back_leaves_the_thread_with_the_truth(local):
    thread = asked(local)
    looked(local)
    for text in (MORE, LEAVE, MORE):
        write(local, text)
        looked(local)

    assert ["26 days" in said(each) for each in corrections(local, thread)] == [True, False, True]


def test_five_saves_in_a_minute_are_one_correction(place):
    thread = asked(place)
    look(place.bot)
    for days in range(26, 31):
        write(place, LEAVE.replace("25 days", f"{days} days"))
        look(place.bot)
    assert corrections(place, thread) == []
    run_out(place)
    looked(place)

    [correction] = corrections(place, thread)
    assert "30 days" in said(correction)


def test_answers_of_one_thread_are_corrected_together(local):
    thread = asked(local)
    local.mention(local.ann, "How many days of paid leave does every employee have a year?", thread)
    looked(local)
    write(local, MORE)
    looked(local)

    [correction] = corrections(local, thread)
    assert said(correction).count("no longer holds") >= 2


def test_a_muted_thread_is_corrected_and_a_channel_that_is_off_is_not(local):
    thread = asked(local)
    local.say(local.bob, "mute", thread)
    looked(local)
    write(local, MORE)
    looked(local)
    assert len(corrections(local, thread)) == 1

    local.policy(recall=True, answers="off")
    write(local, LEAVE)
    looked(local)
    assert len(corrections(local, thread)) == 1


def test_a_channel_that_stops_wanting_corrections_gets_none_that_waits(local):
    thread = asked(local)
    look(local.bot)
    write(local, MORE)
    look(local.bot)
    local.policy()
    run_out(local)
    looked(local)

    assert corrections(local, thread) == []
    assert waiting(local) == 0


def test_an_answer_that_was_made_before_a_change_and_posted_after_it_is_corrected(place):
    looked(place)
    thread = asked(place)
    write(place, MORE)
    with place.bot.parts.catalog.transaction() as session:
        kept = {c.name: getattr(row, c.name) for row in session.query(SlackPostRow) for c in row.__table__.c}
        session.query(SlackPostRow).delete()
    looked(place)
    with place.bot.parts.catalog.transaction() as session:
        session.add(SlackPostRow(**kept | {"at": utc_now()}))
    looked(place)

    assert len(corrections(place, thread)) == 1


def test_what_waits_at_a_gate_changes_nothing_until_it_is_published(local):
    thread = asked(local)
    looked(local)
    texts = [each for each in MORE.split("\n\n") if each]
    with local.bot.parts.catalog.transaction() as session:
        twin = store_candidate.begin(session, source(local))
        store.replace_document(session, new_document(twin, "hr/leave.md", texts, acl_id=None), chunks_of(texts))
    looked(local)
    assert corrections(local, thread) == []

    with local.bot.parts.catalog.transaction() as session:
        store_candidate.publish(session, source(local))
    looked(local)
    assert len(corrections(local, thread)) == 1


def test_an_answer_that_is_not_kept_any_more_is_not_corrected(local):
    thread = asked(local)
    looked(local)
    settings = local.bot.parts.settings.model_copy(update={"answers_kept_days": 1})
    retention.apply(local.bot.parts.catalog, settings, utc_now() + timedelta(days=2))
    write(local, MORE)
    looked(local)

    assert corrections(local, thread) == []


# --- who reads it ---------------------------------------------------------------------------------------------

RAISED = SECRET.replace("123456", "654321")


@pytest.fixture
def private(local):
    """Ann asked about the salary in a private channel, where all who were there could read it."""
    channel = local.slack.add_channel("board", [local.ann, local.member("cy")], private=True)
    readers(local, "pay", "ann", "cy")
    erase(local, "office.md")
    local.policy(channel, recall=True)
    local.thread = asked(local, ABOUT_SECRET, local.ann, channel)
    local.board = channel
    [answer] = local.replies(local.thread, channel)
    assert "123456" in said(answer)
    looked(local)
    return local


def readers(place, name, *people):
    with place.bot.parts.catalog.transaction() as session:
        found = {principals.principal_named(session, each) for each in people}
        ids = {each.id for each in found if each is not None}
        assert len(ids) == len(people)
        grants.set_readers(session, source(place, name), ids | {LOCAL_PRINCIPAL_ID})  # who pushes


def test_a_private_channel_whose_members_may_all_read_it_gets_its_correction(private):
    write(private, RAISED, "hr/pay.md", "pay")
    looked(private)

    assert "654321" in said(corrections(private, private.thread, private.board)[0])


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_nothing_is_said_to_a_channel_that_somebody_joined_who_may_not_read_the_document(private, change):
    private.slack.join(private.bob, private.board)
    if change == "changed":
        write(private, RAISED, "hr/pay.md", "pay")
    else:
        write(private, RAISED, "hr/pay.md", "pay")
        erase(private, "hr/pay.md", "pay")
    looked(private)

    assert corrections(private, private.thread, private.board) == []
    assert not any("654321" in text for text in private.slack.seen_by(private.bob))


def test_nothing_is_said_when_somebody_joins_while_the_answer_is_made_and_it_comes_when_they_left(private):
    write(private, RAISED, "hr/pay.md", "pay")

    class Joining(Slack):
        asked = 0

        def call(self, method, *args, **arguments):
            self.asked += method == "conversations.members"
            if self.asked == 2:
                private.slack.join(private.bob, private.board)
            return super().call(method, *args, **arguments)

    looked(private, replace(private.bot, slack=Joining(private.slack.bot_token, private.slack.api_url)))
    assert corrections(private, private.thread, private.board) == []
    assert not any("654321" in text for text in private.slack.seen_by(private.bob))

    private.slack.leave(private.bob, private.board)
    run_out(private)
    looked(private)
    assert len(corrections(private, private.thread, private.board)) == 1
    assert not any("654321" in text for text in private.slack.seen_by(private.bob))


@pytest.mark.parametrize("then", ["stays", "changes", "goes"])
def test_a_document_that_is_taken_away_from_its_readers_is_never_spoken_of_again(private, then):
    readers(private, "pay")
    looked(private)
    if then == "changes":
        write(private, RAISED, "hr/pay.md", "pay")
    elif then == "goes":
        erase(private, "hr/pay.md", "pay")
    for _ in range(2):
        looked(private)
        run_out(private)

    assert len(private.replies(private.thread, private.board)) == 1


def test_an_answer_is_not_marked_again_where_somebody_may_not_read_what_it_quotes(private):
    write(private, "# Pay\n\nThe salary of every director is 99 euros a year.", "hr/more.md", "leave")
    private.slack.join(private.bob, private.board)
    updates = len([each for each in private.slack.calls if each.method == "chat.update"])
    write(private, RAISED, "hr/pay.md", "pay")
    looked(private)

    assert len([each for each in private.slack.calls if each.method == "chat.update"]) == updates


def test_a_direct_message_is_corrected_where_a_policy_says_so_only(local):
    for user, wants in ((local.ann, True), (local.bob, False)):
        local.policy(local.slack.direct(user), recall=wants)
        local.direct(user, QUESTION)
    looked(local)
    write(local, MORE)
    looked(local)

    assert len(corrections(local, channel=local.slack.direct(local.ann))) == 1
    assert corrections(local, channel=local.slack.direct(local.bob)) == []


def test_who_may_read_nothing_any_more_is_told_that_the_documents_no_longer_say(local):
    direct = local.slack.direct(local.bob)
    local.policy(direct, recall=True)
    local.direct(local.bob, QUESTION)
    looked(local)
    erase(local)
    erase(local, "office.md")
    looked(local)

    [correction] = corrections(local, channel=direct)
    assert "no longer say" in said(correction)


def test_an_ephemeral_answer_is_not_corrected(local):
    local.ask(local.bob, QUESTION)
    looked(local)
    write(local, MORE)
    looked(local)

    assert corrections(local) == []
    assert len(local.slack.ephemerals(local.bob)) == 1


# --- where Slack refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["not_in_channel", "is_archived", "channel_not_found"])
def test_a_channel_that_is_shut_is_not_tried_again(local, log_lines, code):
    thread = asked(local)
    with local.bot.parts.catalog.transaction() as session:
        session.execute(update(SlackPostRow).values(at=utc_now() - timedelta(hours=1)))
    looked(local)
    write(local, MORE)
    local.slack.fail("chat.postMessage", code)
    looked(local)

    assert waiting(local) == 0
    assert [line["why"] for line in log_lines() if line.get("action") == "slack_recall_given_up"] == [code]
    run_out(local)
    looked(local)
    assert corrections(local, thread) == []


def test_what_slack_refuses_for_now_is_posted_later_once(local):
    thread = asked(local)
    looked(local)
    write(local, MORE)
    local.slack.fail("chat.postMessage", "internal_error")
    looked(local)
    assert corrections(local, thread) == []
    run_out(local)
    looked(local)

    assert len(corrections(local, thread)) == 1


def test_the_next_question_in_the_thread_is_understood_by_the_correction(local):
    thread = asked(local)
    looked(local)
    write(local, MORE)
    looked(local)

    from app.slack import store_threads

    with local.bot.parts.catalog.reading() as session:
        turns = store_threads.turns(session, local.slack.team_id, local.channel, thread)
    assert [("26 days" in each.text, each.role) for each in turns if each.role == "assistant"] == [(True, "assistant")]
