"""Samba's server on a free port of loopback that shows a folder as ``docs``, to ``nobody`` with a password."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemons import Daemon, program

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "nobody", "secret"
_CONFIG = """
[global]
server role = standalone server
smb ports = {port}
interfaces = 127.0.0.1
bind interfaces only = yes
disable netbios = yes
load printers = no
pid directory = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
private dir = {folder}
ncalrpc dir = {folder}/ncalrpc
passdb backend = tdbsam:{folder}/passdb.tdb
log file = {folder}/log
[docs]
path = {root}
read only = yes
force user = root
"""


class Smbd(Daemon):
    def __init__(self, folder: Path, root: Path) -> None:
        super().__init__(folder)
        self._config = str(folder / "smb.conf")
        Path(self._config).write_text(_CONFIG.format(port=self.port, folder=folder, root=root), encoding="utf-8")
        given = f"{PASSWORD}\n{PASSWORD}\n".encode()
        subprocess.run(
            [program("smbpasswd") or "", "-c", self._config, "-a", "-s", USER],
            input=given, check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def command(self) -> list[str]:
        return [program("smbd") or "", "-F", "--no-process-group", "-s", self._config]


@contextlib.contextmanager
def smbd(folder: Path, root: Path) -> Iterator[Smbd]:
    """Yield a server; its configuration and state are in *folder*. Skips where none is installed."""
    if program("smbd", as_root=True) is None or program("smbpasswd") is None:
        pytest.skip("Samba's server is not installed (Debian: apt-get install samba), or this user is not root")
    server = Smbd(folder, root)
    server.begin()
    try:
        yield server
    finally:
        server.end()
