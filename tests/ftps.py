"""An FTP server (pyftpdlib) on loopback that shows a folder, to ``ann`` with a password."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ftp:
    """The server. ``commands`` are what it was told, over all connections."""

    def __init__(self, root: Path, password: str) -> None:
        self.root, self.password = root, password
        self.commands: list[str] = []
        self.port = 0
        self.begin()

    def begin(self) -> None:
        """Listen, at the same port as before."""
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

        users = DummyAuthorizer()
        users.add_user("ann", self.password, str(self.root), perm="elr")
        commands = self.commands

        class Handler(FTPHandler):  # type: ignore[misc]  # it has no types
            authorizer = users
            auth_failed_timeout = 0
            log_prefix = ""

            def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
                commands.append(line)
                super().pre_process_command(line, cmd, arg)

            def log(self, *_: Any, **__: Any) -> None:
                """Say nothing: what is tested must not depend on it."""

            logline = log_cmd = log_transfer = log_exception = log

        self._server = FTPServer(("127.0.0.1", self.port), Handler, ioloop=IOLoop())
        self.port = self._server.address[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._server.ioloop.loop(timeout=0.02, blocking=False)
        self._server.close_all()

    def end(self) -> None:
        """End the server and its connections."""
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def ftp(root: Path, password: str = "secret") -> Iterator[Ftp]:
    """Yield the server."""
    served = Ftp(root, password)
    try:
        yield served
    finally:
        served.end()
