"""A folder behind OpenSSH's server. An outage ends the server and its connections."""

from __future__ import annotations

from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.files import FilesSource
from indexing.sources.sftp import host_key
from tests.sources.place import Ended, OnDisk
from tests.sshd import sshd


class Sftp(Ended, OnDisk):
    kind = "sftp"

    def __init__(self, context, tmp_path, resources):
        from indexing.sources.sftp_client import SftpFiles

        super().__init__(context, tmp_path, resources)
        (tmp_path / "sshd").mkdir()
        self.server = resources.enter_context(sshd(tmp_path / "sshd"))
        self.files = SftpFiles(
            ("127.0.0.1", self.server.port),
            str(self.root),
            user=self.server.user,
            secret=self.server.private_key,
            key=host_key(self.server.host_key),
            outbound=Outbound(parse_allowed([f"127.0.0.1:{self.server.port}"]), Limits(silent_s=30)),
        )
        self.source = FilesSource(self.files, sleep=lambda seconds: None)
