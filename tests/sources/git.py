"""A repository behind git's own server program. An outage is a server that fails."""

from __future__ import annotations

import contextlib

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.git import basic
from tests.gits import TOKEN, Repository, git_server
from tests.sources.place import Place


class Git(Place):
    kind = "git"

    def __init__(self, context, tmp_path, resources):
        from indexing.sources.git_client import Clone
        from indexing.sources.git_files import GitSource

        (tmp_path / "served").mkdir()
        self.repository = Repository(tmp_path / "served" / "docs.git")
        self.server = resources.enter_context(git_server(tmp_path / "served"))
        clone = Clone(
            tmp_path / "clone",
            f"{self.server.url}/docs.git",
            "",
            headers=basic("x-access-token", TOKEN),
            outbound=Outbound(parse_allowed([f"127.0.0.1:{self.server.port}"])),
        )
        self.source = GitSource(clone, fresh_s=0.0)

    def write(self, name, content):
        self.repository.write(name, content)

    def remove(self, name):
        self.repository.remove(name)

    def rename(self, name, new_name):
        blob = self.repository.git("rev-parse", f"main:{name}").decode()
        self.repository.change(f"0 {'0' * 40}\t{name}", f"100644 {blob}\t{new_name}")

    @contextlib.contextmanager
    def outage(self):
        self.server.fault = lambda environ: ("500 Internal Server Error", {}, b"")
        yield
        self.server.fault = lambda environ: None
