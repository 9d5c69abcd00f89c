"""A folder behind a server, read by a library of fsspec. An outage ends the server and its connections."""

from __future__ import annotations

from typing import Any

from indexing.outbound import Limits
from indexing.sources.files import FilesSource
from tests import smbs
from tests.ftps import ftp
from tests.sources.place import Ended, OnDisk


class Fsspec(Ended, OnDisk):
    kind = "fsspec"
    server: Any

    def __init__(self, context, tmp_path, resources):
        super().__init__(context, tmp_path, resources)
        location, options = self.begun(tmp_path, resources)
        from indexing.sources.fsspec_client import FsspecFiles

        files = FsspecFiles(location, options, limits=Limits())
        self.source = FilesSource(files, sleep=lambda seconds: None)

    def begun(self, tmp_path, resources):
        """Start the server, and return where it is and the options of the library."""
        raise NotImplementedError


class Ftp(Fsspec):
    """pyftpdlib's server."""

    def begun(self, tmp_path, resources):
        self.server = resources.enter_context(ftp(self.root))
        return f"ftp://127.0.0.1:{self.server.port}", {"username": "ann", "password": "secret"}


class Smb(Fsspec):
    """Samba's server."""

    def begun(self, tmp_path, resources):
        (tmp_path / "smbd").mkdir()
        self.server = resources.enter_context(smbs.smbd(tmp_path / "smbd", self.root))
        return f"smb://{smbs.USER}@127.0.0.1:{self.server.port}/docs", {"password": smbs.PASSWORD}
