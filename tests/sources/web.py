"""A web site on loopback. An outage is one page that answers 500, and then the others."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.web import WebSource
from tests.sources.place import Place
from tests.webs import serving


class Web(Place):
    kind = "web"
    knows_sizes = False  # of what is compressed on the way

    def __init__(self, context, tmp_path, resources):
        self.site = resources.enter_context(serving())
        self.pages = {}
        self.site.sitemap({})
        allowed = parse_allowed([f"127.0.0.1:{self.site.port}"])
        self.source = WebSource(self.site.url, Outbound(allowed), pause_s=0, sleep=lambda seconds: None)

    def uri(self, name):
        return f"{self.site.url}/{quote(name)}"

    def write(self, name, content):
        self.site.page(f"/{name}", content)
        self.pages[self.uri(name)] = None
        self.site.sitemap(self.pages)

    def remove(self, name):
        del self.site.answers[f"/{name}"]
        del self.pages[self.uri(name)]
        self.site.sitemap(self.pages)

    def rename(self, name, new_name):
        self.site.answers[f"/{new_name}"] = self.site.answers[f"/{name}"]
        self.pages[self.uri(new_name)] = None
        self.remove(name)

    @contextlib.contextmanager
    def outage(self):
        before = dict(self.site.answers)
        for path in before:
            if path != "/sitemap.xml":
                self.site.status(path, 500)
        yield
        self.site.answers.update(before)
