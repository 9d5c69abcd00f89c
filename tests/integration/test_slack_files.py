"""Files in direct messages: for their owner alone, never in a channel, gone in time; the token stays at Slack."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from app import personal
from app.answer import answer
from app.metrics import Metrics
from app.slack import files, store_files, store_inbox, store_told
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.fetching import Elsewhere, address_of, fetched
from app.slack.handle import handle
from app.slack.records import Incoming, Place, Visibility
from app.slack.rights import scope_for
from app.slack.who import person
from app.specialists import Specialist
from indexing import deletions, grants, principals, store
from indexing.access import authorise
from indexing.documents import Block, Parsed
from indexing.errors import EncryptedDocument, OutboundError, OutboundRefused, OutboundTooLong
from indexing.push import refuse_uri
from indexing.tables import LOCAL_PRINCIPAL_ID, Table, utc_now
from tests.slack_rooms import room
from tests.slacks import fake_parts, workspace
from tests.webs import serving

pytestmark = pytest.mark.network

SECRET = "The offer for the house in Nantes is 421000 euros."
ASKED = "How many euros is the offer for the house in Nantes?"
FILES = Table.metadata.tables["slack_files"]


@pytest.fixture
def slack(settings, sqlite_url):  # the catalog that the settings find
    with room(settings, max_file_mb=1) as opened:
        yield opened


def dropped(slack, user, *named, text="", **more):
    """Drop files (name, content) into the direct message of *user*, have them taken, and return the job."""
    direct = slack.slack.direct(user)
    shown: list[dict[str, Any]] = []
    for name, content in named:
        slack.slack.upload(user, direct, name, content.encode() if isinstance(content, str) else content)
        shown += slack.slack.messages(direct)[-1:] and [list(slack.slack.world.files.values())[-1][0] | more]
    incoming = Incoming(slack.slack.team_id, "direct", "m", direct, "im", user, "", "2.0", "", text, {"files": shown})
    job = slack.job(incoming)
    files.take(slack.bot, job)
    return job


def said(slack, user):
    return slack.slack.replies(slack.slack.direct(user))[-1].text


def read_by(slack, user, channel=None, visibility=Visibility.DIRECT, channel_type="im"):
    """Return all passages that an answer to *user* there may be made from, and its text."""
    who = person(slack.bot, user)
    place = Place(channel or slack.slack.direct(user), user, slack.slack.team_id)
    scope = scope_for(slack.bot, who, place, visibility, channel_type)
    assert scope is not None
    return repr(list(answer(ASKED, scope, slack.parts, specialist=Specialist("bold", threshold=0))))


def sources(slack):
    with slack.parts.catalog.reading() as session:
        return store.sources(session)


# --- whose they are -------------------------------------------------------------------------------------------


def test_a_file_is_answered_from_for_who_dropped_it_and_for_nobody_else(slack):
    ann, bob, boss = slack.member("ann"), slack.member("bob"), slack.member("boss", role="admin")
    dropped(slack, ann, ("offer.txt", SECRET))

    assert "421000" in read_by(slack, ann)
    assert "I have read “offer․txt”" in said(slack, ann)
    for other in (bob, boss):
        assert "421000" not in read_by(slack, other)
        assert "offer" not in slack.shown_to(other)
    with slack.parts.catalog.reading() as session:
        scope = authorise(session, LOCAL_PRINCIPAL_ID)
        assert store.counts(session, scope).documents == 0
        [source] = store.sources(session)
        assert grants.readers(session, source.id) == {slack.principals[ann]}
    assert (source.name, source.kind) == (f"slack-{ann}", "push")


@pytest.mark.parametrize("others", [0, 1])
def test_a_file_is_answered_from_in_no_channel_also_in_one_without_others(slack, others):
    ann = slack.member("ann")
    channel = slack.slack.add_channel("mine", [ann, *(slack.member(f"bob{n}") for n in range(others))], private=True)
    dropped(slack, ann, ("offer.txt", SECRET))

    assert "421000" not in read_by(slack, ann, channel, Visibility.CHANNEL, "group")
    assert "421000" in read_by(slack, ann, channel, Visibility.EPHEMERAL, "group")


@pytest.mark.parametrize("flags", [{"linked": False}, {"restricted": True}, {"linked": False, "locale": "fr-FR"}])
def test_who_is_not_known_is_told_to_link_and_nothing_is_fetched(slack, flags):
    ann = slack.member("ann", **flags)
    dropped(slack, ann, ("offer.txt", SECRET))

    assert sources(slack) == []
    assert ("Liez d’abord" if "locale" in flags else "Link your account first") in said(slack, ann)


def test_who_becomes_somebody_else_does_not_get_at_the_files_of_before(slack):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET))
    with slack.parts.catalog.transaction() as session:
        other = principals.add_principal(session, "user", "other").id
        store_files.hold(session, slack.slack.team_id, ann, other, files.KEPT_FOR)
        [source] = store.sources(session)

        assert grants.readers(session, source.id) == {other}
        assert store.known_documents(session, source.id) == {}


def test_a_source_that_somebody_called_so_is_not_taken_for_theirs(slack):
    ann = slack.member("ann")
    with slack.parts.catalog.transaction() as session:
        store.add_source(session, f"slack-{ann}", "push", "")
    dropped(slack, ann, ("offer.txt", SECRET))

    with slack.parts.catalog.reading() as session:
        assert store.counts(session, authorise(session, LOCAL_PRINCIPAL_ID)).documents == 0
    assert len(sources(slack)) == 2


# --- until when -----------------------------------------------------------------------------------------------


def make_older(slack, by):
    with slack.parts.catalog.transaction() as session:
        session.execute(update(FILES).values(expires_at=utc_now() - by))


def test_files_are_gone_from_the_answers_when_their_time_is_up_with_a_receipt(slack):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET))
    files.expire(slack.parts)
    assert "421000" in read_by(slack, ann)

    make_older(slack, timedelta(seconds=1))
    files.expire(slack.parts)

    assert "421000" not in read_by(slack, ann)
    assert sources(slack) == []
    with slack.parts.catalog.reading() as session:
        assert [each.source for each in deletions.receipts(session)] == [f"slack-{ann}"]
        assert session.execute(select(Table.metadata.tables["original"].c.id)).all() == []


def test_several_processes_expire_each_source_once(slack):
    for name in ("ann", "bob"):
        dropped(slack, slack.member(name), ("offer.txt", SECRET))
    make_older(slack, timedelta(seconds=1))
    threads = [threading.Thread(target=files.expire, args=(slack.parts,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sources(slack) == []
    with slack.parts.catalog.reading() as session:
        assert len(deletions.receipts(session)) == 2


def test_a_new_file_keeps_the_others_for_longer_but_brings_no_expired_one_back(slack):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET))
    dropped(slack, ann, ("other.txt", "The garden has 400 square metres."))
    assert "421000" in read_by(slack, ann)

    make_older(slack, timedelta(seconds=1))
    dropped(slack, ann, ("other.txt", "The garden has 400 square metres."))

    assert "421000" not in read_by(slack, ann)
    assert len(sources(slack)) == 1


def test_forget_deletes_what_one_person_dropped(slack):
    ann, bob = slack.member("ann"), slack.member("bob")
    for user in (ann, bob):
        dropped(slack, user, ("offer.txt", SECRET))

    assert files.forget(slack.bot, person(slack.bot, ann)) == 1
    assert files.forget(slack.bot, person(slack.bot, ann)) == 0
    assert "421000" not in read_by(slack, ann)
    assert "421000" in read_by(slack, bob)


def test_the_files_of_who_is_erased_go_with_the_next_look(slack):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET))
    with slack.parts.catalog.transaction() as session:
        store.add_source(session, "handbook", "push", "")
        erased = principals.principal_with_id(session, slack.principals[ann])
        assert erased is not None
        personal.erase_person(session, erased)

    files.expire(slack.parts)

    assert [source.name for source in sources(slack)] == ["handbook"]


# --- what is told ---------------------------------------------------------------------------------------------


def test_each_file_that_cannot_be_read_is_told_with_what_to_do(slack):
    ann = slack.member("ann")
    slack.parts.parsers.answers["locked.pdf"] = EncryptedDocument("locked.pdf needs a password.")
    dropped(
        slack, ann, ("locked.pdf", "x"), ("photo.bin", b"\xff\xfe\xff"), ("empty.txt", ""), ("big.txt", "x " * 600_000),
        ("offer.txt", SECRET),
    )  # fmt: skip

    lines = said(slack, ann).splitlines()
    beginnings = (
        "it is protected by a password.",
        "I do not know",
        "there is no text in it.",
        "it has more than 1 MB.",
    )
    for line, beginning in zip(lines[:-2], beginnings, strict=True):
        assert line.partition("”: ")[2].startswith(beginning)
    assert lines[-2] == "I have read “offer․txt”."  # written so that it is no address
    assert "only you can" in lines[-1]


def test_a_message_is_told_of_once_and_read_once_however_often_it_is_tried(slack):
    ann = slack.member("ann")
    job = dropped(slack, ann, ("offer.txt", SECRET), ("offer.txt", "Another one."))
    files.take(slack.bot, replace(job, attempts=2))

    [only] = slack.slack.replies(slack.slack.direct(ann))
    assert only.text.count("I have read") == 2
    assert sorted(slack.parts.parsers.parsed) == ["offer (2).txt", "offer.txt"]


def test_no_more_than_ten_files_of_a_message_are_read_and_a_person_has_a_share(slack):
    ann = slack.member("ann")
    dropped(slack, ann, *((f"{n}.txt", f"Number {n}.") for n in range(12)))
    assert "I read at most 10 files" in said(slack, ann)
    assert len(slack.parts.parsers.parsed) == 10

    for n in range(6):
        slack.parts.parsers.answers[f"large{n}.txt"] = Parsed((Block(f"Large {n}."),))
    dropped(slack, ann, *((f"large{n}.txt", f"{n}" * 1_000_000) for n in range(6)))
    assert said(slack, ann).count("together your files") == 1


def test_files_with_a_question_are_read_before_it_is_answered_and_forgotten_on_demand(slack):
    ann = slack.member("ann")
    direct = slack.slack.direct(ann)
    slack.slack.upload(ann, direct, "offer.txt", SECRET.encode(), ASKED)
    shown = [next(iter(slack.slack.world.files.values()))[0]]
    incoming = Incoming(
        slack.slack.team_id, "direct", "m", direct, "im", ann, "", slack.slack.messages(direct)[-1].ts, "", ASKED,
        {"files": shown},
    )  # fmt: skip
    with slack.parts.catalog.transaction() as session:
        store_inbox.accept(session, incoming)
        job = store_inbox.claim(session, slack.slack.team_id, "answer")
        assert job is not None

    handle(slack.bot, job)

    told, answered = slack.slack.replies(direct)
    assert "I have read" in told.text
    assert "421000" in str(answered)  # the answer, or the closest passage where there is none

    handle(slack.bot, slack.command(ann, direct, "forget"))
    assert sources(slack) == []


def test_files_in_channels_are_left_alone(slack):
    ann = slack.member("ann")
    channel = slack.slack.add_channel("hr", [ann])
    incoming = Incoming(
        slack.slack.team_id, "mention", "m", channel, "channel", ann, "", "2.0", payload={"files": [{}]}
    )

    files.take(slack.bot, slack.job(incoming))

    assert sources(slack) == []
    assert slack.slack.replies(channel) == []


@given(st.text(max_size=300), st.integers(1, 10))
def test_any_name_of_a_file_can_name_a_document_and_is_no_path(name, number):
    found = files.name_of({"name": name}, number)

    refuse_uri(found)
    assert not {"/", "\\", "\n", "\u202e"} & set(found)
    assert found not in {".", ".."}
    assert len(found) <= 120


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a!/b.txt", "..", "\u202egnp.exe", "<!channel>.txt", "x" * 500 + ".txt", "\0", "*bold*"],
)
def test_a_hostile_name_does_nothing(slack, name):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET), name=name)

    assert "421000" in read_by(slack, ann)
    assert not any(sign in said(slack, ann) for sign in ("<!", "*bold*", "\u202e", "../"))


# --- where the token goes -------------------------------------------------------------------------------------

API = "https://slack.com/api/"


@pytest.mark.parametrize(
    "url",
    [
        "https://files.slack.com.evil.example/x",
        "https://evil.example/files.slack.com/x",
        "http://files.slack.com/x",
        "https://files.slack.com:8443/x",
        "https://slack.com.evil.example/",
        "https://docs.google.com/document/1",
        "",
    ],
)
def test_a_file_that_slack_does_not_keep_is_not_asked_for(url):
    with pytest.raises(Elsewhere):
        address_of({"url_private_download": url}, API)


@pytest.mark.parametrize("url", ["https://a@files.slack.com/x", "https://files.slack.com\\@evil.example/", "file:///x"])
def test_an_address_that_two_programs_could_read_differently_is_refused(url):
    with pytest.raises(OutboundRefused):
        address_of({"url_private_download": url}, API)


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        (API, "https://files.slack.com/files-pri/T1-F1/a.txt"),
        (API, "https://FILES.slack.com:443/a"),
        ("https://slack-gov.com/api/", "https://files.slack-gov.com/a"),
        ("https://slack.intern.example:8443/api/", "https://slack.intern.example:8443/files/a"),
    ],
)
def test_a_file_is_asked_for_at_slack(api_url, url):
    assert address_of({"url_private_download": url}, api_url).lower().endswith("/" + url.rpartition("/")[2])


@pytest.fixture
def site():
    with serving() as site:
        yield site


@pytest.fixture
def bot(settings, sqlite_url, site):  # the catalog that the settings find
    """Return a bot whose Slack is the site, and which may reach all of loopback."""
    parts = fake_parts(settings(outbound_allow=(f"127.0.0.1:{site.port}", "localhost")))
    api_url = f"{site.url}/api/"
    yield Bot(parts, Metrics(), workspace(api_url=api_url), Slack("xoxb-secret", api_url))
    parts.catalog.close()


def fetch(bot, site, tmp_path, most=1000, **file):
    return fetched(
        bot, {"url_private_download": f"{site.url}/file", "mimetype": "text/plain"} | file, tmp_path / "f", most
    )


def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else(bot, site, tmp_path):
    with serving() as elsewhere:
        elsewhere.page("/loot", "x")
        site.redirect("/file", f"{elsewhere.url}/loot")
        with pytest.raises(OutboundRefused):
            fetch(bot, site, tmp_path)
        with pytest.raises(Elsewhere):
            fetch(bot, site, tmp_path, url_private_download=f"{elsewhere.url}/loot")

        assert elsewhere.asked == []
    assert site.headers[0]["Authorization"] == "Bearer xoxb-secret"


def test_a_file_is_fetched_as_long_as_it_is_not_longer_than_allowed(bot, site, tmp_path):
    site.page("/file", "x" * 1000)
    assert fetch(bot, site, tmp_path) == 1000
    assert (tmp_path / "f").read_text() == "x" * 1000

    (tmp_path / "f").unlink()
    with pytest.raises(OutboundTooLong):
        fetch(bot, site, tmp_path, most=999)


def test_a_length_of_ten_gigabytes_is_refused_before_the_body_is_read(bot, site, tmp_path):
    site.page("/file", "x", Content_Length=str(10 << 30))
    with pytest.raises(OutboundTooLong):
        fetch(bot, site, tmp_path)


def test_a_body_that_is_longer_than_it_says_or_does_not_say_is_cut_off(bot, site, tmp_path):
    def endless(request):
        request.send_response(200)
        request.send_header("Content-Type", "text/plain")
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 1000)

    site.answers["/file"] = endless
    with pytest.raises(OutboundTooLong):
        fetch(bot, site, tmp_path, most=100_000)
    assert (tmp_path / "f").stat().st_size <= 100_000

    (tmp_path / "f").unlink()
    site.page("/file", "x" * 5000, Content_Length="10")
    assert fetch(bot, site, tmp_path) == 10


def test_a_body_that_is_shorter_than_it_says_is_no_file(bot, site, tmp_path):
    site.page("/file", "x" * 10, Content_Length="500")
    with pytest.raises(OutboundError):
        fetch(bot, site, tmp_path)


def test_the_page_to_sign_in_is_no_file(bot, site, tmp_path):
    site.page("/file", "<html>Sign in</html>", Content_Type="text/html; charset=utf-8")
    with pytest.raises(OutboundError, match="files:read"):
        fetch(bot, site, tmp_path)
    assert fetch(bot, site, tmp_path, mimetype="text/html") > 0


def test_nothing_is_left_of_files_that_were_fetched(slack):
    ann = slack.member("ann")
    dropped(slack, ann, ("offer.txt", SECRET), ("photo.bin", b"\xff\xfe\xff"))

    assert list((slack.parts.settings.data_dir / "incoming").iterdir()) == []


def test_the_words_of_one_message_are_forgotten_after_a_day(slack):
    ann = slack.member("ann")
    job = dropped(slack, ann, ("offer.txt", SECRET))
    with slack.parts.catalog.transaction() as session:
        assert store_told.forget(session, files.TOLD, utc_now() - timedelta(minutes=1)) == 0
        assert store_told.was_told(session, files.told_of(job.id))
        assert store_told.forget(session, files.TOLD, utc_now() + timedelta(minutes=1)) == 1
