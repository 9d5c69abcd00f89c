"""Dovecot on free ports of loopback, for ``ann`` with the password ``secret``; with TLS on one of them."""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemons import free_port, program, with_children

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = r"""
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = {ssl}
{certificates}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_failure_delay = 0
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
mail_fsync = never
mail_location = maildir:{folder}/mail
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  mailbox Trash {{
    auto = create
    special_use = \Trash
  }}
  mailbox Spam {{
    auto = create
    special_use = \Junk
  }}
  mailbox Bücher {{
    auto = create
  }}
}}
"""


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Dovecot:
    """A server that can be ended and begun again on the same port."""

    def __init__(self, folder: Path, tls: bool) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        for name in ("mail", "state", "run"):
            (folder / name).mkdir()
        shutil.chown(folder / "mail", "nobody", "nogroup")
        certificates = ""
        if tls:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                 "-keyout", str(folder / "key"), "-out", str(folder / "certificate")],
                check=True, timeout=20, capture_output=True,
            )  # fmt: skip
            certificates = f"ssl_cert = <{folder}/certificate\nssl_key = <{folder}/key"
        (folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=folder, port=self.port, tls_port=self.tls_port, ssl="yes" if tls else "no",
                certificates=certificates,
            ),
            encoding="utf-8",
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._client: imaplib.IMAP4 | None = None

    @property
    def trust(self):
        return ssl.create_default_context(cafile=str(self.folder / "certificate"))

    def client(self):
        """Return a connection that writes."""
        if self._client is None:
            self._client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
            self._client.login("ann", "secret")
        return self._client

    def begin(self):
        found = program("dovecot")
        assert found
        self._process = subprocess.Popen(
            [found, "-F", "-c", str(self.folder / "dovecot.conf")], stderr=subprocess.DEVNULL
        )
        for _ in range(250):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as made,
            ):
                if made.recv(10).startswith(b"* OK"):
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def end(self):
        """End the server and its connections."""
        if self._client is not None:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                self._client.shutdown()
            self._client = None
        if self._process is not None:
            all_of_it = with_children(self._process.pid)
            for process in all_of_it:  # the one that would begin others first
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.wait(10)
            self._process = None
            for _ in range(250):
                if not any(_runs(process) for process in all_of_it):
                    return
                time.sleep(0.02)

    def append(self, content: bytes, mailbox="INBOX", flags="", date=""):
        answer, data = self.client().append(mailbox, flags, date, content)
        assert answer == "OK", data

    def mark(self, message_id: str, flag="\\Deleted", expunge=True):
        client = self.client()
        client.select("INBOX")
        _, found = client.uid("SEARCH", "HEADER", "Message-ID", f'"{message_id}"')
        client.uid("STORE", found[0].split()[0].decode(), "+FLAGS", f"({flag})")
        if expunge:
            client.expunge()


@contextlib.contextmanager
def dovecot(tls: bool = False) -> Iterator[Dovecot]:
    """Yield the server, running; skip the test where it is not installed."""
    if program("dovecot", as_root=True) is None:
        pytest.skip("Dovecot is not installed, or this is not root (Debian: apt-get install dovecot-imapd)")
    with tempfile.TemporaryDirectory(prefix="dovecot") as name:
        Path(name).chmod(0o755)  # it reads mail as another user
        server = Dovecot(Path(name), tls)
        server.begin()
        try:
            yield server
        finally:
            server.end()
