"""A folder behind a WebDAV server. An outage is a server that fails."""

from __future__ import annotations

import contextlib

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.files import FilesSource
from indexing.sources.rest import Rest
from indexing.sources.webdav import WebdavFiles, basic
from tests.davs import dav
from tests.sources.place import OnDisk

MOST_BYTES = 1 << 20


class Webdav(OnDisk):
    kind = "webdav"

    def __init__(self, context, tmp_path, resources):
        super().__init__(context, tmp_path, resources)
        self.server = resources.enter_context(dav(self.root))
        outbound = Outbound(parse_allowed([f"127.0.0.1:{self.server.port}"]))
        rest = Rest(outbound, basic("ann:secret"), sleep=lambda seconds: None)
        files = WebdavFiles(f"{self.server.url}/files/", rest, MOST_BYTES)
        self.source = FilesSource(files, most_bytes=MOST_BYTES, sleep=lambda seconds: None)

    @contextlib.contextmanager
    def outage(self):
        self.server.fault = lambda environ: ("500 Internal Server Error", {}, b"")
        yield
        self.server.fault = lambda environ: None
