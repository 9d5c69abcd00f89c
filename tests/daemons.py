"""Servers of the system that tests run as processes of their own, on free ports of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


def program(name: str, *, as_root: bool = False) -> str | None:
    """Return the path of the program; None when it is not installed, or must be *as_root* and we are not."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return None if as_root and os.getuid() != 0 else found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def with_children(process: int) -> list[int]:
    """Return *process* and all that it has begun."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [process, *(found for child in children for found in with_children(int(child)))]


class Daemon:
    """A server that can be ended and begun again on the same port. *folder* holds its files, its ``log`` among them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def begin(self) -> None:
        """Run the server, and wait until it listens."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def end(self) -> None:
        """End the server and its connections."""
        if self._process is not None:
            for process in reversed(with_children(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.wait(60)
            self._process = None
