"""A mailbox of Dovecot. An outage ends the server and its connections."""

from __future__ import annotations

from urllib.parse import quote

from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.imap import ImapSource
from indexing.sources.imap_client import Account
from tests.dovecots import dovecot
from tests.sources.place import Ended, Place


class Imap(Ended, Place):
    kind = "imap"
    knows_sizes = False  # of the message, not of its text
    keeps_identity = True  # by the Message-ID

    def __init__(self, context, tmp_path, resources):
        self.server = resources.enter_context(dovecot())
        self.ids = {}  # name → Message-ID
        self.texts = {}
        account = Account(
            host="127.0.0.1",
            port=self.server.port,
            user="ann",
            password="secret",
            mailbox="INBOX",
            encrypted=False,
            outbound=Outbound(parse_allowed([f"127.0.0.1:{self.server.port}"]), Limits(silent_s=30)),
        )
        self.source = ImapSource(account, batch=5)

    def uri(self, name):
        return f"mid:{quote(self.ids[name], safe='@')}"

    def write(self, name, content):
        known = name in self.ids
        self.ids.setdefault(name, f"{len(self.ids)}/{quote(name)}@example.com")
        self.texts[self.ids[name]] = content
        if known:
            self.server.mark(self.ids[name])
        self._append(name)

    def _append(self, name):
        key = self.ids[name]
        subject = f"Message-ID: <{key}>\r\nSubject: A document\r\n"
        self.server.append(f"{subject}Content-Type: text/plain; charset=utf-8\r\n\r\n".encode() + self.texts[key])

    def remove(self, name):
        self.server.mark(self.ids[name])

    def rename(self, name, new_name):
        self.ids[new_name] = self.ids.pop(name)

    def holds(self, found, content):
        return found.endswith(b"\r\n\r\n" + content)
