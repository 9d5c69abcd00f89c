"""Asking a human: owners are asked and reply, another one approves; what was approved is quoted until it expires."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import audit, personal
from app.slack import experts, questions, reviewed, store_help
from app.slack.records import Incoming, Job, Visibility
from app.tables_slack import SlackHelpRow
from indexing import principals, store
from indexing.tables import DocumentRow, SourceRow, utc_now
from tests import slacks
from tests.faces import wait_until
from tests.slack_desk import cited, desk, found_for, rows

pytestmark = pytest.mark.network

QUESTION = "Where is the canary kept at night?"
REPLY = "The canary is kept in the <!channel> boiler room."
WORDS = "canary kept boiler room"


@pytest.fixture
def d(settings, sqlite_url):
    with desk(settings(api_token="t" * 32, public_url="https://metier.example")) as made:
        made.face.filled()
        yield made


@pytest.fixture
def people(d):
    """ann asks; olga and otto look after the specialist bold; bob does not."""
    found = {name: d.member(name) for name in ("ann", "bob", "olga", "otto")}
    with d.bot.parts.catalog.transaction() as session:
        group = principals.add_principal(session, "group", "owners")
        for name in ("olga", "otto"):
            member = principals.principal_named(session, name)
            assert member is not None
            principals.join_group(session, group, member)
    d.curates("bold", "owners")
    return found


def asked(d, user, visibility=Visibility.CHANNEL, *, channel=None, **of):
    """A question is answered badly, and a human is asked. Return the channel and the ts of the answer."""
    if channel is None:
        channel = d.slack.direct(user) if visibility is Visibility.DIRECT else d.slack.add_channel("help", [user])
    of = {"question": QUESTION, "specialist": "bold", "text": "I don't know.", "finish_reason": "abstained"} | of
    answer_id, ts = d.answered(user, channel, visibility, **of)
    d.click(user, channel, ts, "human", answer_id)
    return channel, ts


def the_help(d):
    [found] = rows(d, SlackHelpRow)
    return found


def press(d, user, action_id, value=None, **more):
    """Press a button in the last message with it that the bot sent to *user*."""
    with_it = [m for m in d.direct(user) if f'"action_id": "{action_id}"' in _json(m.blocks)]
    d.click(user, d.slack.direct(user), with_it[-1].ts, action_id, value, **more)


def _json(blocks):
    import json

    return json.dumps(list(blocks))


def replied(d, user, text=REPLY, days="90", **more):
    press(d, user, "reply")
    d.submit(user, {"reply": text, "days": days}, **more)


def found_by(d, name):
    """What somebody finds about the reply now."""
    return [p for p in found_for(d, name, WORDS) if "boiler" in p.text]


def everything(d, user):
    return "\n".join(d.slack.seen_by(user, from_app=True))


# --- asking ---------------------------------------------------------------------------------------------------


def test_owners_are_mentioned_in_the_thread_and_get_the_question(d, people):
    channel, ts = asked(d, people["ann"])

    [ping] = d.slack.replies(channel, ts)[1:]
    assert ping.thread_ts == ts
    assert all(f"<@{people[name]}>" in ping.text for name in ("olga", "otto"))
    for name in ("olga", "otto"):
        [message] = d.direct(people[name])
        assert QUESTION in _json(message.blocks)
        assert message.unfurl_links is False
    assert d.direct(people["bob"]) == []
    assert "olga, otto" in d.told(people["ann"])


def test_an_answer_is_asked_about_once(d, people):
    channel, ts = asked(d, people["ann"])
    [answer] = [m for m in d.slack.replies(channel) if m.ts == ts]
    answer_id = the_help(d).answer_id
    d.click(people["bob"], channel, answer.ts, "human", answer_id)
    assert "already" in d.direct(people["bob"])[-1].text
    assert len(d.direct(people["olga"])) == 1
    threads = [threading.Thread(target=d.click, args=(people["ann"], channel, ts, "human", answer_id)) for _ in "123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(d, SlackHelpRow)) == 1


def test_a_forged_answer_asks_nobody(d, people):
    private, _ = d.answered(people["bob"], d.slack.direct(people["bob"]), Visibility.DIRECT, specialist="bold")
    channel = d.slack.add_channel("help", [people["ann"]])
    answer_id, ts = d.answered(people["ann"], channel, Visibility.CHANNEL, specialist="bold")
    for forged in (private, "", "x"):
        d.click(people["ann"], channel, ts, "human", answer_id, forged=forged)
        assert "not kept" in d.told(people["ann"])

    assert rows(d, SlackHelpRow) == []
    assert d.direct(people["olga"]) == []


def test_guests_ask_no_human(d, people):
    guest = d.member("guest", linked=False, restricted=True)
    channel = d.slack.add_channel("help", [guest, people["ann"]])
    answer_id, ts = d.answered(people["ann"], channel, Visibility.CHANNEL, specialist="bold")
    d.click(guest, channel, ts, "human", answer_id)

    assert rows(d, SlackHelpRow) == []
    assert "Only members" in d.told(guest)


def test_an_owner_reads_the_automatic_answer_only_if_they_may_read_what_it_quotes(d, people):
    made = d.face.http.post("/v1/sources", json={"name": "secret", "kind": "push"}).json()["id"]
    d.face.push(made, "x.md", "# Vault\n\nThe code of the vault is kestrel four.")
    assert d.face.http.post(f"/v1/sources/{made}/access", json={"readers": ["ann", "otto"]}).status_code in (200, 404)
    from app.people import grant

    with d.bot.parts.catalog.transaction() as session:
        source = store.source_named(session, "secret")
        assert source is not None
        grant(session, source, ["ann", "otto"])
    quotes = cited(d, "ann", "code of the vault")
    text = "The code of the vault is kestrel four [1]."
    asked(d, people["ann"], Visibility.DIRECT, citations=quotes, text=text, finish_reason="stop", principal="ann")

    assert "kestrel" in everything(d, people["otto"])
    assert "kestrel" not in everything(d, people["olga"])
    assert "may not read" in everything(d, people["olga"])


def test_where_nobody_curates_operators_are_asked_and_where_nobody_is_linked_that_is_said(d):
    ann = d.member("ann")
    channel = d.slack.add_channel("help", [ann])
    answer_id, ts = d.answered(ann, channel, Visibility.CHANNEL)
    d.click(ann, channel, ts, "human", answer_id)
    assert "Nobody" in d.told(ann)
    assert rows(d, SlackHelpRow) == []
    oscar = d.member("oscar", role="operator")
    d.click(ann, channel, ts, "human", answer_id)

    assert QUESTION not in everything(d, ann)
    assert len(d.direct(oscar)) == 1


def test_a_suspended_group_or_a_deactivated_member_is_not_asked(d, people):
    d.slack.deactivate(people["olga"])
    from app.slack import store_people, who

    with d.bot.parts.catalog.transaction() as session:
        store_people.forget(session, d.slack.team_id, people["olga"])
    who.person(d.bot, people["olga"])
    asked(d, people["ann"])
    assert len(d.direct(people["otto"])) == 1
    assert d.direct(people["olga"]) == []


# --- replying -------------------------------------------------------------------------------------------------


def test_a_reply_is_shown_to_another_owner_and_published_by_them(d, people):
    channel, ts = asked(d, people["ann"])
    replied(d, people["olga"])
    assert the_help(d).state == "proposed"
    assert found_by(d, "ann") == []
    assert "otto" in d.direct(people["olga"])[-1].text
    press(d, people["otto"], "approve:all")

    row = the_help(d)
    assert (row.state, row.replied_by, row.decided_by) == ("approved", people["olga"], people["otto"])
    [passage] = found_by(d, "ann")
    assert (passage.source, passage.uri) == ("answers-bold", f"reviewed/{row.id}.md")
    posted = d.slack.replies(channel, ts)[-1]
    assert "boiler room" in posted.text
    assert "<!channel>" not in _json(posted.blocks) + posted.text
    assert f"Reviewed by otto on {utc_now():%Y-%m-%d}" in _json(posted.blocks)
    assert f"https://metier.example/v1/documents/{passage.document_id}/" in _json(posted.blocks)
    with d.bot.parts.catalog.reading() as session:
        done = [(line.action, line.by) for line in audit.lines(session) if line.action.startswith("help.")]
    assert done == [("help.ask", "ann"), ("help.reply", "olga"), ("help.decide", "otto")]


def test_a_reviewed_answer_is_answered_with_and_cited(d, people):
    asked(d, people["ann"])
    replied(d, people["olga"], "The canary is kept in the boiler room.")
    press(d, people["otto"], "approve:all")
    body = {"question": "In which room is the canary kept?", "specialist": "bold"}
    answer = d.face.http.post("/v1/ask", json=body).json()

    assert "answers-bold" in str(answer)


def test_the_writer_does_not_approve_while_somebody_else_can(d, people):
    asked(d, people["ann"])
    replied(d, people["olga"])
    number = the_help(d).id
    press(d, people["otto"], "reply", forged=str(number))  # an owner may press what was sent to them; it is taken
    d.click(people["olga"], d.slack.direct(people["olga"]), d.direct(people["olga"])[0].ts, "reply", str(number))
    forge(d, people["olga"], "approve", f"{number}:all")

    assert the_help(d).state == "proposed"
    assert "Somebody else has to approve" in d.told(people["olga"])


def forge(d, user, action_id, value, message_ts=""):
    """Press a button that was never sent: the payload of another one, with another name."""
    channel = d.slack.direct(user)
    ts = message_ts or (d.direct(user)[0].ts if d.direct(user) else d.slack.say(user, channel, "hi"))
    payload = {"action_id": action_id, "value": value}
    payload = {"action": payload, "trigger_id": d.slack.world.trigger(user), "message_ts": ts, "is_ephemeral": False}
    team = d.slack.team_id
    click = Incoming(team, "action", "m", channel, "im", user, team, ts, payload=payload)
    experts.ACTIONS[action_id](d.bot, Job(1, click, "claim", 1, None))


def test_one_owner_alone_publishes_explicitly(d):
    ann, olga = d.member("ann"), d.member("olga")
    d.curates("bold", "olga")
    asked(d, ann)
    replied(d, olga)
    assert found_by(d, "ann") == []
    press(d, olga, "approve:all")
    assert len(found_by(d, "ann")) == 1


@pytest.mark.parametrize("action_id", ["reply", "approve", "refuse", "renew", "withdraw"])
def test_who_is_no_owner_changes_nothing(d, people, action_id):
    asked(d, people["ann"])
    if action_id in {"approve", "refuse"}:
        replied(d, people["olga"])
    before = vars(the_help(d)) | {"_sa_instance_state": None}
    for name in ("ann", "bob"):
        forge(d, people[name], action_id, f"{before['id']}:all" if action_id == "approve" else str(before["id"]))
        assert "Only those who look after" in d.told(people[name])
        assert d.slack.views(people[name]) == []
    for value in ("", "0", "x", "9" * 30, "-1"):
        forge(d, people["olga"], action_id, value)

    assert vars(the_help(d)) | {"_sa_instance_state": None} == before


def test_a_form_of_who_is_no_owner_any_more_is_refused(d, people):
    asked(d, people["ann"])
    press(d, people["olga"], "reply")
    d.curates("bold", "otto")
    d.submit(people["olga"], {"reply": REPLY})

    assert (the_help(d).state, the_help(d).reply) == ("open", None)
    assert "Only those who look after" in d.direct(people["olga"])[-1].text


def test_of_two_owners_one_wins_and_the_other_is_told(d, people):
    asked(d, people["ann"])
    press(d, people["olga"], "reply")
    press(d, people["otto"], "reply")
    d.submit(people["olga"], {"reply": REPLY})
    d.submit(people["otto"], {"reply": "In the attic."})

    assert (the_help(d).reply, the_help(d).replied_by) == (REPLY, people["olga"])
    assert f"<@{people['olga']}>" in d.direct(people["otto"])[-1].text


def test_approved_twice_is_one_document_and_posted_once(d, people):
    channel, ts = asked(d, people["ann"])
    replied(d, people["olga"])
    third = d.member("oscar")
    d.curates("bold", "olga", "otto", "oscar")
    number = the_help(d).id
    clicks = [(people["otto"], "approve"), (third, "approve"), (people["otto"], "approve"), (third, "refuse")]
    threads = [
        threading.Thread(target=forge, args=(d, user, action, f"{number}:all" if action == "approve" else str(number)))
        for user, action in clicks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    row = the_help(d)
    documents = [r for r in rows(d, DocumentRow) if r.uri.startswith("reviewed/")]
    assert len(documents) == (row.state == "approved")
    assert len([m for m in d.slack.replies(channel, ts) if "boiler" in m.text]) == len(documents)


def test_a_job_that_is_done_again_publishes_the_same_document(d, people):
    channel, ts = asked(d, people["ann"])
    replied(d, people["olga"])
    with d.bot.parts.catalog.transaction() as session:  # a process that ended right after it had decided
        store_help.decide(session, the_help(d).id, people["otto"], "approved")
    press(d, people["otto"], "approve:all")
    assert "already" in d.told(people["otto"])
    press(d, people["otto"], "approve:all", attempts=2)

    assert len([r for r in rows(d, DocumentRow) if r.uri.startswith("reviewed/")]) == 1
    assert "boiler" in d.slack.replies(channel, ts)[-1].text


def test_a_reply_that_cannot_be_stored_waits_for_approval_again(d, people):
    asked(d, people["ann"])
    replied(d, people["olga"])
    d.face.http.post("/v1/sources", json={"name": "answers-bold", "kind": "folder", "location": "/tmp"})
    press(d, people["otto"], "approve:all")

    assert (the_help(d).state, the_help(d).decided_by) == ("proposed", None)
    assert "could not be published" in d.told(people["otto"])


def test_a_refused_reply_is_told_and_another_may_be_given(d, people):
    asked(d, people["ann"])
    replied(d, people["olga"])
    press(d, people["otto"], "refuse")
    assert the_help(d).state == "refused"
    assert "refused" in d.direct(people["olga"])[-1].text
    replied(d, people["olga"], "In the attic.")
    assert (the_help(d).state, the_help(d).reply) == ("proposed", "In the attic.")
    assert found_by(d, "ann") == []


def test_a_decision_stands_and_is_told_once_though_its_message_is_gone(d, people):
    asked(d, people["ann"])
    replied(d, people["olga"])
    [_, proposal] = d.direct(people["otto"])
    d.slack.world.remove(d.slack.world.find(d.slack.direct(people["otto"]), proposal.ts))
    forge(d, people["otto"], "refuse", str(the_help(d).id), message_ts=proposal.ts)

    assert the_help(d).state == "refused"
    assert d.direct(people["otto"])[-1].text == "Refused. The writer has been told."
    assert len([m for m in d.direct(people["olga"]) if "refused" in m.text]) == 1


# --- who reads it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visibility", [Visibility.DIRECT, Visibility.EPHEMERAL])
def test_a_private_question_is_readable_by_who_asked_and_the_owners_only(d, people, visibility):
    channel, _ = asked(d, people["ann"], visibility, principal="ann")
    replied(d, people["olga"])
    press(d, people["otto"], "approve:asker")

    assert len(found_by(d, "ann")) == len(found_by(d, "olga")) == len(found_by(d, "otto")) == 1
    assert found_by(d, "bob") == found_by(d, "everyone") == []
    assert "boiler" in everything(d, people["ann"])
    assert "boiler" not in everything(d, people["bob"])
    if visibility is Visibility.EPHEMERAL:
        assert d.slack.replies(channel) == []


def test_a_private_question_is_for_all_only_if_the_approver_says_so(d, people):
    asked(d, people["ann"], Visibility.DIRECT, principal="ann")
    replied(d, people["olga"])
    press(d, people["otto"], "approve:all")

    assert len(found_by(d, "bob")) == 1
    assert "boiler" not in everything(d, people["bob"])


def test_who_may_not_ask_the_specialist_reads_none_of_its_answers(d, people):
    body = {"askers": ["ann"]}
    assert d.face.http.put("/v1/specialists/bold/access", json=body).status_code == 200
    asked(d, people["ann"])
    replied(d, people["olga"])
    press(d, people["otto"], "approve:all")

    assert len(found_by(d, "ann")) == 1
    assert found_by(d, "bob") == []


def test_a_private_channel_s_question_may_stay_with_who_asked(d, people):
    channel = d.slack.add_channel("board", [people["ann"]], private=True)
    asked(d, people["ann"], channel=channel, principal="ann")
    replied(d, people["olga"])
    press(d, people["otto"], "approve:asker")

    assert found_by(d, "bob") == []
    assert "boiler" in d.slack.replies(channel)[-1].text


def test_a_specialist_with_named_sources_answers_from_its_reviewed_answers_too(d, people):
    body = {"sources": ["handbook"], "threshold": 0}
    assert d.face.http.post("/v1/specialists/bold/versions", json=body).status_code in (200, 201)
    asked(d, people["ann"])
    replied(d, people["olga"])
    press(d, people["otto"], "approve:all")

    newest = d.face.http.get("/v1/specialists/bold").json()
    assert sorted(newest["sources"]) == ["answers-bold", "handbook"]


# --- the thread -----------------------------------------------------------------------------------------------


def test_what_an_owner_writes_in_the_thread_can_be_used(d, people):
    channel, ts = asked(d, people["ann"])
    said = d.slack.say(people["olga"], channel, "In the &lt;boiler&gt; room, see <https://x.example|the plan>", ts)
    d.slack.say(people["bob"], channel, "No idea", ts)
    team = d.slack.team_id
    message = Incoming(team, "message", "m", channel, "channel", people["olga"], team, said, ts, "In the room")
    assert questions.heard(d.bot, message) is None
    questions.ask(d.bot, Job(1, message, "c", 1, None))
    other = Incoming(team, "message", "m", channel, "channel", people["bob"], team, said, ts, "No idea")
    assert experts.replied(d.bot, other) is None
    experts.offer(d.bot, Job(1, other, "c", 1, None))
    assert d.slack.ephemerals(people["bob"]) == []
    [offer] = [m for m in d.slack.ephemerals(people["olga"]) if "capture" in _json(m.blocks)]
    d.click(people["olga"], channel, offer.ts, "capture")
    d.submit(people["olga"], {})

    assert (the_help(d).state, the_help(d).reply) == ("proposed", "In the <boiler> room, see the plan")


def test_words_of_somebody_else_cannot_be_captured(d, people):
    channel, ts = asked(d, people["ann"])
    said = d.slack.say(people["bob"], channel, "canary of bob", ts)
    forge(d, people["olga"], "capture", f"{the_help(d).id}:{said}")

    [view] = d.slack.views(people["olga"])
    assert "canary of bob" not in _json([view.body])


# --- expiring -------------------------------------------------------------------------------------------------


def approved(d, people, readers="all"):
    """Return the channel and the ts of the answer."""
    where = asked(d, people["ann"])
    replied(d, people["olga"])
    press(d, people["otto"], f"approve:{readers}")
    assert len(found_by(d, "ann")) == 1
    return where


def pass_time(d, **ago):
    with d.bot.parts.catalog.transaction() as session:
        session.execute(update(SlackHelpRow).values(expires_at=utc_now() - timedelta(**ago)))


def time_goes_by(d):
    """Do what a server does once in a while."""
    reviewed.expire(d.bot.parts)
    reviewed.tell_expired(d.bot)


def test_an_expired_answer_is_not_served_and_its_owners_are_told_once(d, people):
    approved(d, people)
    time_goes_by(d)
    assert len(found_by(d, "ann")) == 1
    pass_time(d, seconds=1)
    threads = [threading.Thread(target=time_goes_by, args=(d,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found_by(d, "ann") == []
    assert the_help(d).state == "expired"
    for name in ("olga", "otto"):
        assert len([m for m in d.direct(people[name]) if "expired" in m.text]) == 1


def test_an_answer_expires_while_no_workspace_is_served_and_is_told_of_once_it_is(d, people):
    approved(d, people)
    pass_time(d, seconds=1)
    notes = slacks.Notes()
    server = slacks.running(d.bot.parts, notes.handle, notes.sign)  # one that lacks the workspace's secrets
    server.start()
    try:
        wait_until(lambda: the_help(d).state == "expired")
    finally:
        server.stop()
    assert server.bots == {}
    assert found_by(d, "ann") == []
    assert not any("expired" in m.text for m in d.direct(people["olga"]))

    time_goes_by(d)
    time_goes_by(d)
    assert len([m for m in d.direct(people["olga"]) if "expired" in m.text]) == 1


def test_one_who_looks_after_a_published_answer_withdraws_it_and_it_can_be_renewed(d, people):
    channel, ts = approved(d, people)
    number = str(the_help(d).id)
    forge(d, people["bob"], "withdraw", number)
    assert "Only those who look after" in d.told(people["bob"])
    assert len(found_by(d, "ann")) == 1
    press(d, people["otto"], "withdraw")

    assert found_by(d, "ann") == []
    assert d.direct(people["otto"])[-1].text == "Withdrawn. It is not found or quoted any more."
    [told] = [post for post in d.slack.replies(channel, ts) if "withdrawn" in post.text]
    assert QUESTION in told.text
    forge(d, people["olga"], "withdraw", number)
    with d.bot.parts.catalog.reading() as session:
        assert [line.object for line in audit.lines(session) if line.action == "help.withdraw"] == [number]
    time_goes_by(d)
    press(d, people["olga"], "renew")
    d.submit(people["olga"], {})
    press(d, people["otto"], "approve:all")
    assert len(found_by(d, "ann")) == 1


def test_what_expired_weeks_ago_is_no_news(d, people):
    approved(d, people)
    pass_time(d, days=31)
    time_goes_by(d)

    assert the_help(d).state == "expired"
    assert not any("expired" in m.text for m in d.direct(people["olga"]))


def test_a_renewed_answer_goes_through_approval_again(d, people):
    approved(d, people)
    pass_time(d, seconds=1)
    time_goes_by(d)
    press(d, people["olga"], "renew")
    d.submit(people["olga"], {})
    assert found_by(d, "ann") == []
    press(d, people["otto"], "approve:all")
    time_goes_by(d)

    assert len(found_by(d, "ann")) == 1
    assert the_help(d).reply == REPLY


def test_the_reviewed_answer_goes_when_who_asked_is_erased(d, people):
    approved(d, people)
    with d.bot.parts.catalog.transaction() as session:
        ann = principals.principal_named(session, "ann")
        assert ann is not None
        personal.erase_person(session, ann)
    assert rows(d, SlackHelpRow) == []
    time_goes_by(d)

    assert found_by(d, "bob") == []
    assert [r.uri for r in rows(d, DocumentRow) if r.uri.startswith("reviewed/")] == []


def test_documents_that_others_push_to_the_source_stay(d, people):
    approved(d, people)
    [source] = [r for r in rows(d, SourceRow) if r.name == "answers-bold"]
    assert d.face.push(source.id, "notes/1.md", "# Notes\n\nboiler things").status_code == 201
    pass_time(d, seconds=1)
    time_goes_by(d)

    assert [r.uri for r in rows(d, DocumentRow) if r.source_id == source.id] == ["notes/1.md"]


def test_a_question_to_a_human_is_kept_no_longer_than_answers_are_and_a_reviewed_answer_until_it_expires(d, people):
    approved(d, people)
    asked(d, people["ann"], Visibility.DIRECT)
    assert len(rows(d, SlackHelpRow)) == 2
    with d.bot.parts.catalog.transaction() as session:
        assert not store_help.any_old(session, utc_now() - timedelta(days=1))
        assert store_help.any_old(session, utc_now() + timedelta(days=1))
        assert store_help.forget(session, utc_now() + timedelta(days=1)) == 1

    assert the_help(d).state == "approved"
