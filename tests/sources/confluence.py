"""Confluence on loopback. An outage is a second page of a list that answers 500, and pages that do."""

from __future__ import annotations

import contextlib

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.atlassian import credentials, options_of
from indexing.sources.confluence import ConfluenceSource
from indexing.sources.rest import Rest
from tests.sources.confluence_server import ConfluenceServer
from tests.sources.place import Place
from tests.webs import serving


def source_of(server, *, page_size=5, pauses=None, email="bot@example.com", token="token", **options):
    """Return the source that reads *server*; other options as ``metier sources add --option`` gives them."""
    allowed = parse_allowed([f"127.0.0.1:{server.site.port}"])
    slept = (lambda seconds: None) if pauses is None else pauses.append
    return ConfluenceSource(
        server.base,
        Rest(Outbound(allowed), credentials(email, token, "wiki"), slept),
        options_of(options),
        spaces=tuple(filter(None, options.get("spaces", "").split(","))),
        secret="wiki",
        page_size=page_size,
    )


class Confluence(Place):
    kind = "confluence"
    knows_sizes = False
    keeps_identity = True
    has_lists = True
    issuer = "https://login.example"

    def __init__(self, context, tmp_path, resources):
        self.server = ConfluenceServer(resources.enter_context(serving()))
        self.space = self.server.space("HR", "People")
        for who in ("ann", "bob"):
            self.server.permit(self.space, "user", who)
        self.ids = {}
        self.source = source_of(self.server, issuer=self.issuer)

    def uri(self, name):
        return f"{self.server.base}/pages/viewpage.action?pageId={self.ids[name]}"

    def write(self, name, content):
        body = f"<p>{content.decode()}</p>"
        if name in self.ids:
            self.server.edit(self.ids[name], storage=body)
        else:
            self.ids[name] = self.server.page(self.space, name, body)

    def remove(self, name):
        self.server.contents[self.ids[name]]["status"] = "trashed"

    def rename(self, name, new_name):
        self.ids[new_name] = self.ids.pop(name)
        self.server.edit(self.ids[new_name], title=new_name)

    def holds(self, found, content):
        return b"<p>" + content + b"</p>" in found

    def let(self, name, readers):
        self.server.restrictions[self.ids[name]] = (readers, [])

    @contextlib.contextmanager
    def outage(self):
        self.server.down = True
        yield
        self.server.down = False
