"""A list of addresses on a web server. An outage fails each of them, and not the list."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.http import HttpSource
from tests.sources.place import Place
from tests.webs import serving


class Http(Place):
    kind = "http"
    knows_sizes = False  # of what is compressed on the way

    def __init__(self, context, tmp_path, resources):
        self.site = resources.enter_context(serving())
        self.names = {}
        self._list()
        allowed = parse_allowed([f"127.0.0.1:{self.site.port}"])
        self.source = HttpSource(f"{self.site.url}/list.txt", Outbound(allowed), pause_s=0, sleep=lambda seconds: None)

    def _list(self):
        self.site.page("/list.txt", "# what we have\n\n" + "\n".join(self.uri(name) for name in self.names))

    def uri(self, name):
        return f"{self.site.url}/{quote(name)}"

    def write(self, name, content):
        self.site.page(f"/{name}", content)
        self.names[name] = None
        self._list()

    def remove(self, name):
        del self.site.answers[f"/{name}"]
        del self.names[name]
        self._list()

    def rename(self, name, new_name):
        self.site.answers[f"/{new_name}"] = self.site.answers[f"/{name}"]
        self.names[new_name] = None
        self.remove(name)

    @contextlib.contextmanager
    def outage(self):
        before = dict(self.site.answers)
        for path in before:
            if path != "/list.txt":
                self.site.status(path, 500)
        yield
        self.site.answers.update(before)
