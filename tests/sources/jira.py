"""Jira on loopback. An outage is a second page of a search that answers 500, and issues that do."""

from __future__ import annotations

import contextlib

from indexing.outbound import Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources.atlassian import credentials, options_of
from indexing.sources.jira import JiraSource, query_of
from indexing.sources.rest import Rest
from tests.sources.jira_server import JiraServer
from tests.sources.place import Place
from tests.webs import serving


def source_of(server, *, page_size=5, pauses=None, email="bot@example.com", token="token", **options):
    """Return the source that reads *server*; other options as ``metier sources add --option`` gives them."""
    allowed = parse_allowed([f"127.0.0.1:{server.site.port}"])
    slept = (lambda seconds: None) if pauses is None else pauses.append
    return JiraSource(
        server.site.url,
        Rest(Outbound(allowed), credentials(email, token, "tracker"), slept),
        options_of(options),
        query_of(options.get("jql", ""), options.get("projects", "" if "jql" in options else "P1")),
        secret="tracker",
        page_size=page_size,
    )


class Jira(Place):
    kind = "jira"
    knows_sizes = False
    keeps_identity = True
    has_lists = True
    issuer = "https://login.example"

    def __init__(self, context, tmp_path, resources):
        self.server = JiraServer(resources.enter_context(serving()))
        self.server.browse["1"] = [{"type": "user", "parameter": who, "value": who} for who in ("ann", "bob")]
        self.ids = {}
        self.source = source_of(self.server, issuer=self.issuer)

    def uri(self, name):
        return f"{self.server.site.url}/issues/?jql=id={self.ids[name]}"

    def write(self, name, content):
        body = f"<p>{content.decode()}</p>"
        if name in self.ids:
            self.server.edit(self.ids[name], body)
        else:
            self.ids[name] = self.server.issue(name, body)

    def remove(self, name):
        del self.server.issues[self.ids[name]]

    def rename(self, name, new_name):
        self.ids[new_name] = self.ids.pop(name)
        self.server.edit(self.ids[new_name], summary=new_name)

    def holds(self, found, content):
        return b"<p>" + content + b"</p>" in found

    def let(self, name, readers):
        self.server.levels["77"] = [{"type": "user", "parameter": who, "value": who} for who in readers]
        self.server.edit(self.ids[name], security={"id": "77", "name": "Secret"})

    @contextlib.contextmanager
    def outage(self):
        self.server.down = True
        yield
        self.server.down = False
