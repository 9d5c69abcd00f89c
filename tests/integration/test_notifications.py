"""Notifications: each problem is told once, many in one message, and nothing is lost or told to the wrong machine."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from sqlalchemy import select, update

from app import audit, notification_targets, notifying, signatures
from app.errors import BadRequest, NotFound
from app.mail import Mail
from indexing import grants, lateness, notices, runs, schedules, store, targets
from indexing.db import now
from indexing.documents import Failure, SyncReport
from indexing.errors import OutboundError, SourceError
from indexing.outbound_rules import parse_allowed
from indexing.schedules import Timing
from indexing.tables import LOCAL_PRINCIPAL_ID, Table
from indexing.tables_events import NoticeRow, TargetRow
from indexing.targets import NewTarget
from tests.faces import face, wait_until

SECRET = signatures.PREFIX + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSWORD = "canary-of-the-password"
ERROR = "The folder /srv/canary-of-the-folder is not there."
#: Runs that fail within a minute; METIER_TEST_EXAMPLES asks for more.
FAILURES = max(100, int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
NOTICE, TARGET = Table.metadata.tables[NoticeRow.__tablename__], Table.metadata.tables[TargetRow.__tablename__]
RUN, SOURCE, SCHEDULE = (Table.metadata.tables[name] for name in ("run", "source", "schedule"))


class Receiver:
    """A server that keeps what it is sent, and answers what it is told to."""

    def __init__(self):
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Keeps(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Keeps)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks/canary-of-the-address"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def messages(self):
        """Return the bodies; each must be signed."""
        for headers, body in self.got:
            seconds = int(headers["webhook-timestamp"])
            assert signatures.checked(SECRET, headers, body, seconds, 300) == headers["webhook-id"]
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def carrier(settings, receiver):
    from indexing.outbound import Outbound

    def secret(name):
        if name == "lost":
            raise SourceError("There is no secret called lost.")
        return {"sign": SECRET, "mail": PASSWORD}[name]

    allowed = parse_allowed([f"127.0.0.1:{receiver.port}"])
    return notifying.Carrier(Outbound(allowed), Mail(allowed), secret, "https://metier.example")


def add_target(catalog, address, **wanted):
    made = NewTarget("webhook", address, secret="sign")
    return notification_targets.add_target(catalog, replace(made, **wanted), LOCAL_PRINCIPAL_ID)


def add_source(catalog, name="handbook"):
    with catalog.transaction() as session:
        return store.add_source(session, name, "push", "")


def run_once(session, source, state="failed", error=ERROR, **report):
    run_id = runs.start_run(session, source.id)
    runs.finish_run(session, SyncReport(run_id, source.name, state, error=error, **report))
    return run_id


def ran(catalog, source, state="failed", error=ERROR, **report):
    with catalog.transaction() as session:
        return run_once(session, source, state, error, **report)


def sent(catalog, carrier):
    return notifying.send_due(catalog, carrier)


def pass_interval(catalog, **ago):
    """As if so much time had passed for the targets."""
    with catalog.transaction() as session:
        moment = now(session) - timedelta(**(ago or {"seconds": 1}))
        session.execute(update(TARGET).values(next_at=moment))


def pass_lease(catalog):
    with catalog.transaction() as session:
        session.execute(update(TARGET).values(claimed_until=now(session) - timedelta(seconds=1)))


def state_of(catalog):
    with catalog.reading() as session:
        return targets.targets(session)[0]


def told(receiver):
    return [[(e["event"], e["phase"], e["source"], e["times"]) for e in m["events"]] for m in receiver.messages()]


# --- what is told ---------------------------------------------------------------------------------------------


@pytest.mark.network
def test_a_failed_run_is_told_once_and_that_it_is_over_once(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    failure = Failure("canary.pdf", "parse", "x", "y")
    first = ran(catalog, source, error=f"{ERROR} 12 s", listed=7, failures=(failure,))
    assert sent(catalog, carrier) == 1
    for seconds in range(3):  # the same, but for a number in its text
        ran(catalog, source, error=f"{ERROR} {seconds} s")
    pass_interval(catalog)
    assert sent(catalog, carrier) == 0
    for _ in range(2):
        ran(catalog, source, "succeeded", None)
        pass_interval(catalog)
        sent(catalog, carrier)

    assert told(receiver)[0] == [("run_failed", "new", "handbook", 1)]
    assert [phase for message in told(receiver) for _, phase, _, _ in message] == ["new", "over"]
    [event] = receiver.messages()[0]["events"]
    assert (event["run_id"], event["counts"]["listed"]) == (first, 7)
    assert event["url"] == f"https://metier.example/v1/runs/{first}"
    assert b"canary" not in b"".join(body for _, body in receiver.got)


@pytest.mark.network
def test_another_problem_is_told_and_the_same_once_a_day(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    for error in (ERROR, ERROR, "The disk is full."):
        ran(catalog, source, error=error)
        sent(catalog, carrier)
        pass_interval(catalog)
    with catalog.transaction() as session:
        session.execute(update(notices.PROBLEM).values(told_at=now(session) - timedelta(hours=25)))
    ran(catalog, source, error="The disk is full.")
    sent(catalog, carrier)

    assert [phase for message in told(receiver) for _, phase, _, _ in message] == ["new", "new", "still"]


@pytest.mark.parametrize(
    ("state", "event"), [("failed", "run_failed"), ("held", "run_held"), ("of a later version", "run_failed")]
)
@pytest.mark.network
def test_every_state_of_a_run_has_a_meaning(catalog, carrier, receiver, state, event):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    ran(catalog, source, "cancelled", None)
    assert sent(catalog, carrier) == 0
    ran(catalog, source, state[:16])
    sent(catalog, carrier)

    assert told(receiver) == [[(event, "new", "handbook", 1)]]


@pytest.mark.network
def test_a_target_is_told_of_what_it_asked_for(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url, events=("permissions_old",))
    ran(catalog, source)
    assert sent(catalog, carrier) == 0
    with catalog.transaction() as session:
        grants.set_max_age(session, source.id, 5)
    notifying.note_lateness(catalog)
    notifying.note_lateness(catalog)
    sent(catalog, carrier)
    with catalog.transaction() as session:
        grants.set_max_age(session, source.id, 0)
    notifying.note_lateness(catalog)
    pass_interval(catalog)
    sent(catalog, carrier)

    assert told(receiver) == [
        [("permissions_old", "new", "handbook", 1)],
        [("permissions_old", "over", "handbook", 0)],
    ]


def late(catalog):
    with catalog.reading() as session:
        return lateness.late_sources(session)


def test_a_schedule_is_late_after_three_intervals_or_when_all_retries_have_failed(catalog):
    source = add_source(catalog)
    with catalog.transaction() as session:
        schedules.set_schedule(session, source.id, Timing("0 * * * *"))
    assert late(catalog) == set()

    def set_ago(hours):
        with catalog.transaction() as session:
            session.execute(update(SCHEDULE).values(set_at=now(session) - timedelta(hours=hours)))

    set_ago(2.9)
    assert late(catalog) == set()
    set_ago(5)
    assert late(catalog) == {source.id}
    ran(catalog, source, "succeeded", None)
    assert late(catalog) == set()
    with catalog.transaction() as session:
        session.execute(update(SCHEDULE).values(failed_in_row=schedules.RETRIES + 1))
    assert late(catalog) == {source.id}
    with catalog.transaction() as session:
        schedules.set_schedule(session, source.id, Timing("0 * * * *"), paused=True)
        session.execute(update(SCHEDULE).values(failed_in_row=schedules.RETRIES + 1))
    assert late(catalog) == set()


# --- one message ----------------------------------------------------------------------------------------------


@pytest.mark.network
def test_many_failures_in_a_minute_are_one_message_at_once_and_one_at_the_end_of_the_interval(
    catalog, carrier, receiver
):
    with catalog.transaction() as session:
        sources = [store.add_source(session, f"source-{n}", "push", "") for n in range(50)]
    add_target(catalog, receiver.url)
    for number in range(FAILURES):
        with catalog.transaction() as session:
            run_once(session, sources[number % 50], error=f"Kind {'x' * (number // 50)}.")
        if number % 25 == 0:
            sent(catalog, carrier)
    assert len(receiver.got) == 1
    pass_interval(catalog)
    for _ in range(3):
        sent(catalog, carrier)

    first, second = told(receiver)
    assert first == [("run_failed", "new", "source-0", 1)]
    assert len(second) == 50
    assert sum(times for *_, times in second) == FAILURES - 1


@pytest.mark.network
def test_many_servers_send_one_message(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    ran(catalog, source)
    threads = [threading.Thread(target=sent, args=(catalog, carrier)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(receiver.got) == 1


@pytest.mark.network
def test_a_crash_between_sending_and_noting_it_sends_the_same_message_once_more(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    ran(catalog, source)
    with catalog.transaction() as session:
        message = targets.claim(session, 1)
    assert message is not None
    carrier.send(message)  # and the process ends here
    ran(catalog, source, "succeeded", None)
    assert sent(catalog, carrier) == 0  # nobody else sends while it may be sending
    pass_lease(catalog)
    assert sent(catalog, carrier) == 1
    pass_interval(catalog)
    assert sent(catalog, carrier) == 1

    first, again, last = receiver.messages()
    assert (first["id"], first["events"]) == (again["id"], again["events"])
    assert last["id"] != first["id"]
    assert [e["phase"] for e in last["events"]] == ["over"]


@pytest.mark.network
def test_a_target_that_cannot_be_reached_loses_nothing_and_is_asked_less_and_less(catalog, carrier, receiver):
    source = add_source(catalog)
    add_target(catalog, receiver.url)
    ran(catalog, source)
    receiver.status = 503
    waits = []
    for _ in range(4):
        assert sent(catalog, carrier) == 0
        with catalog.reading() as session:
            waits.append((session.execute(select(TARGET.c.next_at)).scalar_one() - now(session)).total_seconds())
        pass_interval(catalog)
    assert [round(wait / 60) for wait in waits] == [1, 2, 4, 8]
    failing = state_of(catalog)
    assert (failing.failed_in_row, failing.waiting) == (4, 1)
    assert "503" in (failing.last_error or "")
    assert "canary" not in (failing.last_error or "")
    receiver.status = 302  # what is signed for one place is not sent to another
    assert sent(catalog, carrier) == 0
    receiver.status = 200
    ran(catalog, source, error="The disk is full.")
    for _ in range(2):
        pass_interval(catalog)
        sent(catalog, carrier)

    assert len({m["id"] for m in receiver.messages()[:6]}) == 1
    assert told(receiver)[-1] == [("run_failed", "new", "handbook", 1)]
    assert (state_of(catalog).failed_in_row, state_of(catalog).waiting) == (0, 0)


def test_what_has_arrived_is_forgotten_and_what_has_not_is_kept(catalog):
    source = add_source(catalog)
    add_target(catalog, "https://example.com/x")
    ran(catalog, source)
    ran(catalog, source, error="Another.")
    with catalog.transaction() as session:
        session.execute(update(NOTICE).where(NOTICE.c.id == 1).values(sent_at=now(session) - timedelta(days=40)))
        assert targets.forget(session, now(session) - targets.KEPT) == 1
    assert state_of(catalog).waiting == 1


def test_a_run_whose_end_is_not_stored_is_not_told_of(catalog):
    source = add_source(catalog)
    add_target(catalog, "https://example.com/x")

    def undone():
        with catalog.transaction() as session:
            run_once(session, source)
            raise OutboundError

    with pytest.raises(OutboundError):
        undone()
    assert state_of(catalog).waiting == 0


# --- where it may go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/x", "http://169.254.169.254/latest", "http://10.0.0.8/x", "http://[::1]/x", "http://0.0.0.0/"],
)
@pytest.mark.network
def test_a_machine_that_may_not_be_asked_hears_nothing(catalog, settings, address, log_lines):
    source = add_source(catalog)
    add_target(catalog, address)
    ran(catalog, source)
    from indexing.outbound import Outbound

    carrier = notifying.Carrier(Outbound(), Mail(), lambda _name: SECRET)
    assert sent(catalog, carrier) == 0
    assert "allowed" in (state_of(catalog).last_error or "")
    assert SECRET not in str(log_lines())


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "ftp://example.com"},
        {"address": "https://user:password@example.com/"},
        {"secret": None},
        {"secret": "metier_api_token"},
        {"events": ()},
        {"events": ("everything",)},
        {"kind": "pigeon"},
        {"kind": "email", "address": "nobody", "server": "smtp://a@mail.example.com:587"},
        {"kind": "email", "address": "a@example.com\nBcc: b@example.com", "server": "smtp://a@mail.example.com"},
        {"kind": "email", "address": "a@example.com", "server": "smtp://a:password@mail.example.com"},
        {"kind": "email", "address": "a@example.com", "server": "http://a@mail.example.com"},
        {"kind": "email", "address": "a@example.com", "server": None},
        {"kind": "email", "address": "a@example.com", "server": "smtp://mail.example.com"},
        {"kind": "slack", "address": "#general", "secret": None},
        {"kind": "slack", "address": "D0123456789", "secret": None},
        {"kind": "slack", "address": "C0123456789"},
        {"kind": "slack", "address": "C0123456789", "secret": None, "server": "smtp://a@mail.example.com:587"},
        {"digest_minutes": 0},
        {"language": "de"},
    ],
)
def test_what_cannot_be_a_target_is_refused(sqlite_catalog, wrong):
    with pytest.raises(BadRequest):
        add_target(sqlite_catalog, **({"address": "https://example.com/x"} | wrong))


# --- e-mail ---------------------------------------------------------------------------------------------------


class Mailbox:
    """Keeps what a mail server takes in."""

    def __init__(self):
        self.got: list[bytes] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 -- aiosmtpd's name
        self.got.append(envelope.content)
        return "250 OK"

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    def mails(self):
        return [message_from_bytes(each, policy=policy.default) for each in self.got]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, of nobody's authority but its own."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=mail.example.com", "-addext", "subjectAltName=DNS:mail.example.com"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def mail_server(request, certificate):
    """A mail server with or without encryption: (mailbox, what carries mails to it from anywhere)."""
    mailbox = Mailbox()
    options: dict[str, Any] = {}
    if request.param == "encrypted":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        options = {"tls_context": context, "require_starttls": True}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        authenticator=mailbox.authenticate,
        auth_require_tls=request.param == "encrypted",
        **options,
    )
    controller.start()
    mail = Mail(
        resolve=lambda _host, _port: ["93.184.215.14"],  # a public address; the connection goes to the test's server
        connect=lambda _address, _port, timeout: socket.create_connection(("127.0.0.1", port), timeout),
        tls=lambda: ssl.create_default_context(cafile=certificate[0]),
    )
    yield mailbox, mail
    controller.stop()


MAIL = {"kind": "email", "address": "operations@example.com", "secret": "mail"}
SERVER = "smtp://metier%40example.com@mail.example.com:587"


@pytest.mark.network
@pytest.mark.parametrize("mail_server", ["encrypted"], indirect=True)
@pytest.mark.parametrize(("language", "words"), [("en", "the run failed"), ("fr", "la synchronisation a échoué")])
def test_an_email_arrives_encrypted_and_in_the_language_of_its_target(
    sqlite_catalog, carrier, mail_server, language, words, log_lines
):
    mailbox, mail = mail_server
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, **MAIL, server=SERVER, language=language)
    run_id = ran(sqlite_catalog, source)
    assert sent(sqlite_catalog, replace(carrier, mail=mail)) == 1, state_of(sqlite_catalog)

    [received] = mailbox.mails()
    assert mailbox.logins == [(b"metier@example.com", PASSWORD.encode())]
    assert f"handbook: {words}" in received.get_content()
    assert f"https://metier.example/v1/runs/{run_id}" in received.get_content()
    assert (received["To"], received["From"]) == ("operations@example.com", "metier@example.com")
    assert "canary" not in received.as_string()
    assert PASSWORD not in str(log_lines())


@pytest.mark.network
@pytest.mark.parametrize("mail_server", ["plain"], indirect=True)
def test_no_password_is_sent_to_a_server_that_does_not_encrypt(sqlite_catalog, carrier, mail_server, log_lines):
    mailbox, mail = mail_server
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, **MAIL, server=SERVER)
    ran(sqlite_catalog, source)

    assert sent(sqlite_catalog, replace(carrier, mail=mail)) == 0
    assert (mailbox.logins, mailbox.got) == ([], [])
    assert "STARTTLS" in (state_of(sqlite_catalog).last_error or "")


@pytest.mark.network
@pytest.mark.parametrize("mail_server", ["encrypted"], indirect=True)
def test_no_password_is_sent_to_a_server_with_another_name_or_an_unknown_authority(
    sqlite_catalog, carrier, mail_server
):
    mailbox, mail = mail_server
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, **MAIL, server=SERVER.replace("mail.example", "other.example"))
    ran(sqlite_catalog, source)
    assert sent(sqlite_catalog, replace(carrier, mail=mail)) == 0
    with sqlite_catalog.transaction() as session:
        session.execute(update(TARGET).values(server=SERVER))
    pass_interval(sqlite_catalog)
    assert sent(sqlite_catalog, replace(carrier, mail=replace(mail, tls=ssl.create_default_context))) == 0

    assert (mailbox.logins, mailbox.got) == ([], [])


@pytest.mark.network
@pytest.mark.parametrize("mail_server", ["encrypted"], indirect=True)
def test_a_wrong_password_is_told_without_the_password(sqlite_catalog, carrier, mail_server, log_lines):
    mailbox, mail = mail_server
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, **MAIL, server=SERVER)
    ran(sqlite_catalog, source)
    wrong = replace(carrier, mail=mail, secret=lambda _name: "canary-of-another")
    assert sent(sqlite_catalog, wrong) == 0

    assert "user and password" in (state_of(sqlite_catalog).last_error or "")
    assert "canary" not in str(log_lines()) + (state_of(sqlite_catalog).last_error or "")
    assert mailbox.got == []


@pytest.mark.network
@pytest.mark.parametrize("mail_server", ["plain"], indirect=True)
def test_this_machine_s_own_mail_server_needs_no_encryption_but_must_be_allowed(sqlite_catalog, carrier, mail_server):
    mailbox, mail = mail_server
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, kind="email", address="a@example.com", secret=None, server="smtp://localhost:25")
    ran(sqlite_catalog, source)
    own = replace(mail, resolve=lambda _host, _port: ["127.0.0.1"])
    assert sent(sqlite_catalog, replace(carrier, mail=own)) == 0
    pass_interval(sqlite_catalog)
    own = replace(own, allowed=parse_allowed(["127.0.0.1"]))
    assert sent(sqlite_catalog, replace(carrier, mail=own)) == 1

    assert mailbox.logins == []
    assert len(mailbox.got) == 1


# --- the faces ------------------------------------------------------------------------------------------------


@pytest.mark.network
def test_a_target_whose_secret_is_lost_is_told_later(sqlite_catalog, carrier):
    source = add_source(sqlite_catalog)
    add_target(sqlite_catalog, "https://example.com/x", secret="lost")
    ran(sqlite_catalog, source)

    assert sent(sqlite_catalog, carrier) == 0
    assert "no secret called lost" in (state_of(sqlite_catalog).last_error or "")


def test_targets_that_are_not_there(sqlite_catalog):
    with pytest.raises(NotFound):
        notification_targets.remove_target(sqlite_catalog, 7, LOCAL_PRINCIPAL_ID)
    with pytest.raises(NotFound):
        notification_targets.target_to_try(sqlite_catalog, 7, LOCAL_PRINCIPAL_ID)


@pytest.mark.network
def test_a_server_sends_what_there_is_to_tell(settings, sqlite_url, receiver, capsys, monkeypatch):
    from tests.integration.test_hooks import run_command

    own = settings(outbound_allow=[f"127.0.0.1:{receiver.port}"])
    monkeypatch.setenv("METIER_DATA_DIR", str(own.data_dir))
    monkeypatch.setenv("METIER_OUTBOUND_ALLOW", f'["127.0.0.1:{receiver.port}"]')
    run_command("notify", "add", "webhook", receiver.url)
    secret = capsys.readouterr().out.strip()
    run_command("notify", "test", "1")
    run_command("notify", "list")
    with face(own) as found:
        made = found.add_source()
        assert found.http.post("/v1/notifications/1/test").json() == {"arrived": True, "error": None}
        [listed] = found.http.get("/v1/notifications").json()["notifications"]
        assert (listed["address"], listed["failed_in_row"]) == (receiver.url, 0)
        with found.parts.catalog.transaction() as session:
            run_id = runs.start_run(session, made)
            runs.fail_run(session, run_id)
        wait_until(lambda: len(receiver.got) == 3)
        with found.parts.catalog.reading() as session:
            lines = [line.action for line in audit.lines(session) if line.action.startswith("notification.")]
        run_command("notify", "remove", "1")
    headers, body = receiver.got[-1]
    assert signatures.checked(secret, headers, body, int(headers["webhook-timestamp"]), 300)
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["metier.test", "metier.test", "metier.digest"]
    assert lines == ["notification.add", "notification.test", "notification.test"]


def test_there_is_no_message_without_something_to_tell(sqlite_catalog):
    add_target(sqlite_catalog, "https://example.com/x")
    with sqlite_catalog.transaction() as session:
        assert targets.claim(session, 1) is None
    source = add_source(sqlite_catalog)
    ran(sqlite_catalog, source)
    with sqlite_catalog.reading() as session:
        assert targets.due(session) == [1]


# --- Slack ----------------------------------------------------------------------------------------------------


@pytest.fixture
def d(settings, sqlite_url):
    from tests.slack_desk import desk

    with desk(settings(api_token="t" * 32, public_url="https://metier.example")) as made:
        yield made


def in_slack(d, channel, **wanted):
    parts = d.bot.parts
    add_target(parts.catalog, channel, kind="slack", secret=None, **wanted)
    source = add_source(parts.catalog, "hand<!channel>book")
    return ran(parts.catalog, source)


@pytest.mark.network
def test_a_channel_of_slack_is_told_in_one_message_that_only_leads_to_us(d):
    channel = d.slack.add_channel("ops")
    run_id = in_slack(d, channel, language="fr")
    assert sent(d.bot.parts.catalog, notifying.carrier_of(d.bot.parts)) == 1
    assert sent(d.bot.parts.catalog, notifying.carrier_of(d.bot.parts)) == 0

    [message] = d.slack.replies(channel)
    said = json.dumps(list(message.blocks), ensure_ascii=False)
    assert "la synchronisation a échoué" in said
    assert f"<https://metier.example/v1/runs/{run_id}|" in said
    assert "<!channel>" not in said + message.text
    assert "canary" not in said + message.text
    assert (message.unfurl_links, message.unfurl_media) == (False, False)


@pytest.mark.network
def test_many_servers_post_one_message_to_slack(d):
    channel = d.slack.add_channel("ops")
    in_slack(d, channel)
    carrier = notifying.carrier_of(d.bot.parts)
    threads = [threading.Thread(target=sent, args=(d.bot.parts.catalog, carrier)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(d.slack.replies(channel)) == 1


@pytest.mark.network
def test_a_channel_without_the_bot_is_not_told_and_says_why(d):
    channel = d.slack.add_channel("ops", with_bot=False)
    in_slack(d, channel)
    assert sent(d.bot.parts.catalog, notifying.carrier_of(d.bot.parts)) == 0

    assert d.slack.messages(channel) == []
    assert "not in the channel" in (state_of(d.bot.parts.catalog).last_error or "")
    assert state_of(d.bot.parts.catalog).waiting == 1


@pytest.mark.network
def test_a_workspace_that_is_not_connected_is_told_nothing(d):
    channel = d.slack.add_channel("ops")
    in_slack(d, channel, server="T0ANOTHER")
    assert sent(d.bot.parts.catalog, notifying.carrier_of(d.bot.parts)) == 0
    assert "not connected" in (state_of(d.bot.parts.catalog).last_error or "")


@pytest.mark.network
def test_a_channel_is_added_and_tried_over_rest(d):
    channel = d.slack.add_channel("ops")
    made = d.face.http.post("/v1/notifications", json={"kind": "slack", "address": channel})
    assert made.status_code == 201, made.text
    assert d.face.http.post(f"/v1/notifications/{made.json()['id']}/test").json() == {"arrived": True, "error": None}
    assert len(d.slack.replies(channel)) == 1
