"""OpenSSH's server on a free port of loopback, for this user, with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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


def program() -> str | None:
    """Return the path of the server; None when it is not installed."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """A server that can be ended and begun again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        for name in ("host", "user"):
            if not (folder / name).exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=20
                )
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        (folder / "sshd_config").write_text(_CONFIG.format(port=self.port, folder=folder))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host_key(self):
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    @property
    def private_key(self):
        return (self.folder / "user").read_text()

    def begin(self):
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks its unprivileged part in
        found = program()
        assert found
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen([found, "-D", "-e", "-f", str(self.folder / "sshd_config")], stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def end(self):
        """End the server and its connections."""
        if self._process is not None:
            for process in reversed(with_children(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.wait(10)
            self._process = None


def with_children(process: int) -> list[int]:
    """Return *process* and all that it has begun: each connection is served by two of them."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [process, *(found for child in children for found in with_children(int(child)))]


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Yield a server; its keys and configuration are written to *folder*. Skips where none is installed."""
    if program() is None:
        pytest.skip("OpenSSH's server is not installed (Debian: apt-get install openssh-server)")
    server = Sshd(folder)
    server.begin()
    try:
        yield server
    finally:
        server.end()
