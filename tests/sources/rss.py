"""A feed on a web server on loopback, of which what drops off is gone. An outage is the feed answering 500."""

from __future__ import annotations

import contextlib
from html import escape

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.rss import RssSource
from tests.sources.place import Place
from tests.webs import serving


def rss(*entries):
    """Return an RSS feed of *entries*, which are dictionaries: element → text."""
    items = "".join(
        f"<item>{''.join(f'<{name}>{escape(text)}</{name}>' for name, text in entry.items())}</item>"
        for entry in entries
    )
    return f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>F</title>{items}</channel></rss>'


class Rss(Place):
    kind = "rss"
    knows_sizes = False  # an entry is made into a document when it is read

    def __init__(self, context, tmp_path, resources):
        self.site = resources.enter_context(serving())
        self.entries = {}
        self._publish()
        self.source = RssSource(
            f"{self.site.url}/feed.xml",
            Outbound(parse_allowed([f"127.0.0.1:{self.site.port}"])),
            keep=False,
            fresh_s=0.0,
            sleep=lambda seconds: None,
        )

    def _publish(self):
        feed = rss(*({"guid": name} | entry for name, entry in self.entries.items()))
        self.site.page("/feed.xml", feed, Content_Type="application/rss+xml")

    def write(self, name, content):
        self.entries[name] = {"title": f"About {name}", "description": content.decode()}
        self._publish()

    def remove(self, name):
        del self.entries[name]
        self._publish()

    def rename(self, name, new_name):
        self.entries[new_name] = self.entries.pop(name)
        self._publish()

    def holds(self, found, content):
        return content in found

    @contextlib.contextmanager
    def outage(self):
        before = dict(self.site.answers)
        self.site.status("/feed.xml", 500)
        yield
        self.site.answers.update(before)
