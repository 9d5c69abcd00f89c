"""IMAP on Dovecot: what is content, what is refused, TLS; and scripted servers that hang, lie or vanish."""

from __future__ import annotations

import contextlib
import imaplib
import os
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.imap import ImapSource
from indexing.sources.imap_client import Account
from indexing.sources.rest import Denied, Gone
from indexing.testing import listed
from tests.dovecots import dovecot
from tests.sources.place import fetched

pytestmark = pytest.mark.network


@pytest.fixture
def fetch(tmp_path):
    return partial(fetched, tmp_path)


@pytest.fixture(scope="module")
def server():
    with dovecot(tls=True) as found:
        yield found


@pytest.fixture
def mailbox(server):
    """Return the name of a new mailbox, which is empty."""
    name = f"m{time.monotonic_ns()}"
    server.client().create(name)
    return name


@pytest.fixture
def source(server, mailbox):
    """Return a function that makes a source; names of an account replace what is right."""

    def made(since_days=0, most_bytes=4 << 20, batch=300, **told):
        right = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "ann",
            "password": "secret",
            "mailbox": mailbox,
            "encrypted": False,
            "outbound": Outbound(
                parse_allowed(["127.0.0.1:" + str(told.get("port", server.port))]), Limits(silent_s=30)
            ),
            "tls": server.trust,
        }
        return ImapSource(Account(**(right | told)), since_days=since_days, most_bytes=most_bytes, batch=batch)

    return made


def mail(key="", text="text"):
    head = f"Message-ID: <{key}>\r\n" if key else ""
    return f"{head}From: bob@example.com\r\nSubject: s\r\n\r\n{text}".encode()


def uris(source):
    return [item.uri for item in listed(source).items]


# --- what is content -----------------------------------------------------------------------------------------------


def test_what_is_marked_as_deleted_and_drafts_are_no_content_and_are_said(server, mailbox, source):
    server.append(mail("a@x"), mailbox)
    server.append(mail("b@x"), mailbox, "(\\Deleted)")
    server.append(mail("c@x"), mailbox, "(\\Draft)")

    listing = listed(source())

    assert [item.uri for item in listing.items] == ["mid:a@x"]
    assert listing.notes == ("1 messages marked as deleted skipped", "1 drafts skipped")


def test_a_message_that_was_marked_as_deleted_after_it_was_listed_is_gone(server, mailbox, source, fetch):
    server.append(mail("a@x"), mailbox)
    opened = source()
    (item,) = listed(opened).items
    client = server.client()
    client.select(mailbox)
    client.store("1", "+FLAGS", "(\\Deleted)")

    with pytest.raises(ItemUnreadable, match="gone"):
        fetch(opened, item)


def test_a_forged_message_takes_the_place_of_no_other(server, mailbox, source, fetch):
    server.append(mail("a@x", "true"), mailbox)
    server.append(mail("a@x", "forged"), mailbox)
    opened = source()

    first, second = listed(opened).items

    assert (first.uri, second.uri.startswith("uid:")) == ("mid:a@x", True)
    assert fetch(opened, first).path.read_bytes().endswith(b"true")
    assert fetch(opened, second).path.read_bytes().endswith(b"forged")


@pytest.mark.parametrize("key", ["", "x" * 300 + "@x", "no id"])
def test_a_message_without_an_id_of_use_is_known_by_its_number(key, server, mailbox, source, fetch):
    server.append(mail(key), mailbox)
    opened = source()

    (item,) = listed(opened).items

    assert item.uri == f"uid:{item.version_tag}"
    assert fetch(opened, item).path.read_bytes() == mail(key)


@pytest.mark.parametrize("key", ["a/../b!/c@x", 'q"\\uote@x', "%41@x", "*@x"])
def test_an_id_of_any_signs_becomes_a_plain_uri_that_leads_back_to_it(key, server, mailbox, source, fetch):
    server.append(mail(key, "old"), mailbox)
    opened = source()
    (item,) = listed(opened).items
    server.append(mail(key, "new"), mailbox)
    client = server.client()
    client.select(mailbox)
    client.store("1", "+FLAGS", "(\\Deleted)")
    client.expunge()

    raw = fetch(opened, item)

    assert re.fullmatch(r"mid:[A-Za-z0-9.%@_~+=$-]+", item.uri)
    assert raw.path.read_bytes() == mail(key, "new")
    assert raw.version_tag == listed(opened).items[0].version_tag != item.version_tag


def test_only_what_arrived_of_late_is_listed(server, mailbox, source):
    old = datetime.now(UTC) - timedelta(days=40)
    server.append(mail("old@x"), mailbox, date=imaplib.Time2Internaldate(old))
    server.append(mail("new@x"), mailbox)

    listing = listed(source(since_days=30))

    assert [item.uri for item in listing.items] == ["mid:new@x"]
    assert listing.notes == ("1 messages older than 30 days skipped",)
    (first,) = [item for item in listed(source()).items if item.uri == "mid:old@x"]
    assert first.modified_at is not None
    assert abs(first.modified_at - old) < timedelta(seconds=2)


@pytest.mark.parametrize("name", ["Trash", "Spam"])
def test_the_mailboxes_for_trash_and_junk_are_refused(name, source):
    with pytest.raises(SourceError, match=name):
        listed(source(mailbox=name))


def test_a_mailbox_that_is_not_there_is_an_error(source):
    with pytest.raises(Gone, match="Nowhere"):
        listed(source(mailbox="Nowhere"))


def test_a_mailbox_with_accents_in_its_name_is_read(server, source):
    server.append(mail("a@x"), "B&APw-cher")

    assert "mid:a@x" in uris(source(mailbox="Bücher"))


def test_nothing_is_marked_as_read(server, mailbox, source, fetch):
    server.append(mail("a@x"), mailbox)
    opened = source()
    (item,) = listed(opened).items

    fetch(opened, item)

    client = server.client()
    client.select(mailbox, readonly=True)
    assert b"\\Seen" not in client.fetch("1", "(FLAGS)")[1][0]


def test_a_message_comes_with_what_the_parser_of_mail_needs(server, mailbox, source, fetch):
    server.append(mail("a@x"), mailbox)
    opened = source()

    raw = fetch(opened, listed(opened).items[0])

    assert (raw.media_type, raw.name.endswith(".eml")) == ("message/rfc822", True)


def test_a_mailbox_is_listed_in_batches(server, mailbox, source):
    for number in range(7):
        server.append(mail(f"{number}@x"), mailbox)

    pages = list(source(batch=3).pages(None))

    assert [len(page.items) for page in pages] == [3, 3, 1, 0]
    assert all(page.complete for page in pages)


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_a_long_message_is_read_piece_by_piece_or_refused_by_its_size(server, mailbox, source, fetch, tmp_path):
    content = mail("a@x", "\r\n".join(os.urandom(30).hex() for _ in range(40_000)))
    server.append(content, mailbox)
    (item,) = listed(source()).items

    with pytest.raises(ParseLimit):
        fetch(source(most_bytes=1 << 20), item)
    assert list(tmp_path.rglob("content")) == []  # no byte of it was asked for
    assert fetch(source(), item).path.read_bytes() == content


# --- signing in ----------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_said_and_not_shown(source):
    with pytest.raises(Denied) as caught:
        listed(source(password="wr0ng"))
    assert "wr0ng" not in str(caught.value)


def test_an_encrypted_connection_is_made_to_a_server_that_is_trusted_only(server, mailbox, source):
    server.append(mail("a@x"), mailbox)

    assert uris(source(port=server.tls_port, encrypted=True)) == ["mid:a@x"]
    for port, encrypted in ((server.tls_port, True), (server.port, False)):
        with pytest.raises(OutboundError, match="certificate"):
            listed(source(port=port, encrypted=encrypted, tls=None))


def test_a_host_that_is_not_allowed_is_not_asked(source):
    with pytest.raises(OutboundRefused):
        listed(source(outbound=Outbound()))


def test_a_source_is_opened_from_its_record_with_its_secret(sqlite_catalog, settings):
    with dovecot() as plain:
        plain.append(mail("a@x"))
        told = settings(outbound_allow=[f"127.0.0.1:{plain.port}"])
        store_secret(told.data_dir, "mail", "secret")
        location = kind_called("imap").location(f"imap://ann@127.0.0.1:{plain.port}/inbox")
        with sqlite_catalog.transaction() as session:
            record = store.add_source(session, "mail", "imap", location, options={"since_days": "9"}, secret="mail")

        assert uris(open_source(record, SourceContext(sqlite_catalog, told))) == ["mid:a@x"]


# --- servers that hang, lie or vanish ------------------------------------------------------------------------------


_GOOD = {
    "CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK x\r\n",
    "AUTHENTICATE": "+ \r\n{tag} OK x\r\n",
    "LIST": '* LIST () "/" INBOX\r\n{tag} OK x\r\n',
    "EXAMINE": "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n{tag} OK x\r\n",
    "FETCH": (
        '* 1 FETCH (UID 1 FLAGS () INTERNALDATE "01-Jan-2026 00:00:00 +0000" RFC822.SIZE 9 '
        'BODY[HEADER.FIELDS (MESSAGE-ID)] "Message-ID: <a@x>")\r\n'
        "* 2 FETCH (RFC822.SIZE 9 UID 2 BODY[HEADER.FIELDS (MESSAGE-ID)] {{21}}\r\n"
        "Message-ID: <b@x>\r\n\r\n FLAGS ())\r\n"
        "{tag} OK x\r\n"
    ),
}


@contextlib.contextmanager
def scripted(**answers):
    """Yield the port of a server that gives these answers: texts, lists of them, or functions that end the talk."""
    told = _GOOD | answers

    def talk(connection):
        with connection, contextlib.suppress(OSError):
            connection.sendall(told.get("greeting", "* OK x\r\n").encode())
            given = {name: iter(answer) for name, answer in told.items() if isinstance(answer, list)}
            last: dict[str, Any] = {}
            for line in connection.makefile("rb"):
                words = line.decode().split()
                if len(words) < 2:
                    continue
                name = words[1] if words[1] != "UID" else f"UID_{words[2]}"
                answer = told.get(name, "{tag} BAD x\r\n")
                if name in given:  # one after the other, and then the last one again
                    answer = last[name] = next(given[name], last.get(name))
                if callable(answer):
                    answer(connection)
                    return
                connection.sendall(answer.format(tag=words[0]).encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=[listening.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def account(port, limits):
    return Account(
        host="127.0.0.1", port=port, user="ann", password="secret", mailbox="INBOX", encrypted=False,
        outbound=Outbound(parse_allowed([f"127.0.0.1:{port}"]), limits),
    )  # fmt: skip


def scripted_listing(limits=None, **answers):
    with scripted(**answers) as port:
        return listed(ImapSource(account(port, limits or Limits(silent_s=10))))


def test_answers_in_any_order_and_shape_are_understood():
    listing = scripted_listing()

    assert [item.uri for item in listing.items] == ["mid:a@x", "mid:b@x"]
    assert (listing.complete, listing.items[0].version_tag) == (True, "7-1")


def test_messages_that_are_counted_and_not_described_make_the_listing_incomplete():
    listing = scripted_listing(EXAMINE="* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n{tag} OK x\r\n")

    assert (len(listing.items), listing.complete) == (2, False)


def silent(_connection):
    time.sleep(1.5)


def drips(connection):
    with contextlib.suppress(OSError):
        for _ in range(200):
            connection.sendall(b"*")
            time.sleep(0.05)


def floods(connection):
    with contextlib.suppress(OSError):
        for _ in range(400):
            connection.sendall(b"* 1 FETCH (FLAGS ())\r\n" * 4000)


def vanishes(connection):
    connection.sendall(b'* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 9 BODY[HEADER.FIELDS (MESSAGE-ID)] "")\r\n')


def announces_much(connection):
    connection.sendall(b"* 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {99999999999}\r\nx")
    time.sleep(1)


@pytest.mark.parametrize("fault", [silent, drips, floods, vanishes, announces_much])
def test_a_server_that_hangs_or_vanishes_or_has_no_end_is_an_outage(fault):
    begun = time.monotonic()

    with pytest.raises(OutboundError):
        scripted_listing(Limits(seconds=0.5, silent_s=0.25), FETCH=fault)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    "answers",
    [
        {"greeting": "HTTP/1.1 200 OK\r\n"},
        {"greeting": "* BYE x\r\n"},
        {"EXAMINE": "{tag} OK x\r\n"},
        {"EXAMINE": "* x EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n{tag} OK x\r\n"},
        {"EXAMINE": "* 2 EXISTS\r\n{tag} OK x\r\n"},
        {"FETCH": "{tag} BAD x\r\n"},
        {"LIST": "{tag} BAD x\r\n"},
        {"CAPABILITY": "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK x\r\n"},
    ],
)
def test_what_is_no_answer_of_use_is_an_error(answers):
    with pytest.raises(SourceError):
        scripted_listing(**answers)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("* 1 FETCH (UID 1 BODY[]<0> {{1048577}}\r\n" + "x" * 1048577 + ")\r\n{tag} OK x\r\n", ItemUnreadable),
        ("* 1 FETCH (UID 1 BODY[]<0> {{99999999999}}\r\nx", ItemUnreadable),
        ("{tag} OK x\r\n", ItemUnreadable),
        (
            "* 1 FETCH (UID 1 BODY[]<0> {{1048576}}\r\n" + "x" * 1048576 + ")\r\n{tag} OK x\r\n",
            ParseLimit,
        ),  # without end
    ],
)
def test_a_server_that_lies_about_length_fills_nothing(answer, error, fetch):
    with scripted(UID_FETCH=[_GOOD["FETCH"], answer]) as port:
        opened = ImapSource(account(port, Limits(silent_s=10)), most_bytes=3 << 20)
        item = listed(opened).items[0]
        with pytest.raises(error):
            fetch(opened, item)


# --- the kind ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    ["", "mail.example", "pop3://ann@mail.example/", "imaps://mail.example/", "imaps://ann:pass@mail.example/",
     "imaps://ann@/INBOX", "imaps://ann@127.1/", "imaps://ann@mail.example:99999/", "imaps://ann@mail.example\\@evil/",
     "imaps://ann@mail.example/a%0d%0ab", "imaps://a%0ab@mail.example/", "imaps://ann@mail.example/*",
     "imaps://ann@mail.example/%25", "imaps://ann@x.example@mail.example/",
     "imaps://ann@mail.example/x?y"],
)  # fmt: skip
def test_what_is_no_place_is_refused(given):
    with pytest.raises(SourceError) as caught:
        kind_called("imap").location(given)
    assert "pass@" not in str(caught.value)
