"""OpenSSH's server on a free port of loopback, for this user, with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemons import Daemon, program

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication yes
Subsystem sftp internal-sftp
"""


class Sshd(Daemon):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.user = getpass.getuser()
        for name in ("host", "user"):
            if not (folder / name).exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=20
                )
        (folder / "sshd_config").write_text(_CONFIG.format(port=self.port, folder=folder))

    @property
    def host_key(self):
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    @property
    def private_key(self):
        return (self.folder / "user").read_text()

    def command(self):
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks its unprivileged part in
        return [program("sshd") or "", "-D", "-e", "-f", str(self.folder / "sshd_config")]


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Yield a server; its keys and configuration are written to *folder*. Skips where none is installed."""
    if program("sshd") is None:
        pytest.skip("OpenSSH's server is not installed (Debian: apt-get install openssh-server)")
    server = Sshd(folder)
    server.begin()
    try:
        yield server
    finally:
        server.end()
