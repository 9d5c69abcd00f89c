"""Notion's API on loopback, in the shapes of its documentation. An outage begins at the second part of a search."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from indexing import store
from indexing.secrets import store_secret
from indexing.sources.notion import opened
from tests.sources.loopback import Answer, serving
from tests.sources.place import Place

PAGE = 5
TOKEN = "ntn_313233"


def rich(text):
    """Return rich text, as the documentation shows it."""
    plain = {"bold": False, "italic": False, "strikethrough": False, "underline": False, "code": False}
    told = {"type": "text", "text": {"content": text, "link": None}, "plain_text": text, "href": None}
    return [told | {"annotations": plain | {"color": "default"}}] if text else []


def block(kind, text="", *below, **value):
    """Return a block, and remember what lies below it under "below", which the API does not show."""
    told = {"rich_text": rich(text)} | value
    return {"object": "block", "id": str(uuid.uuid4()), "type": kind, kind: told, "below": list(below)} | {
        "has_children": bool(below),
        "archived": False,
        "in_trash": False,
    }


@dataclass
class NotionPage:
    """A page: *properties* besides its title, and *extra*, which overrides what is said of it."""

    number: str
    title: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    edited: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Workspace:
    """What the service knows."""

    def __init__(self):
        self.pages: dict[str, NotionPage] = {}
        self.down = False
        self.unfound: set[str] = set()  # names of pages that the search leaves out
        self.cursor = None  # what a search claims to go on with

    def put(self, name, *blocks, **more):
        known = self.pages.get(name) or NotionPage(str(uuid.uuid4()), name)
        edited = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:00.000Z")
        self.pages[name] = replace(known, **{"blocks": list(blocks), "edited": edited} | more)
        return self.pages[name]

    def shown(self, page):
        title = {"id": "title", "type": "title", "title": rich(page.title)}
        return {
            "object": "page",
            "id": page.number,
            "created_time": "2022-10-24T22:54:00.000Z",
            "last_edited_time": page.edited,
            "parent": {"type": "workspace", "workspace": True},
            "archived": False,
            "in_trash": False,
            "properties": {"title": title} | page.properties,
            "url": f"https://www.notion.so/{page.number}",
        } | page.extra

    def __call__(self, asked):
        if asked.token != TOKEN or not asked.headers.get("notion-version"):
            return refusal(401, "unauthorized")
        if asked.path == "/v1/search":
            return self.found(json.loads(asked.body))
        if self.down:
            return refusal(500, "internal_server_error")
        number = asked.path.split("/")[3]
        page = next(
            (page for page in self.pages.values() if page.number.replace("-", "") == number.replace("-", "")), None
        )
        if asked.path.endswith("/children"):
            return self.children(page, number, asked)
        return Answer(self.shown(page)) if page else refusal(404, "object_not_found")

    def found(self, asked):
        assert asked["filter"] == {"property": "object", "value": "page"}
        first = int(asked.get("start_cursor", 0))
        if first and self.down:
            return refusal(500, "internal_server_error")
        pages = [self.shown(page) for name, page in self.pages.items() if name not in self.unfound]
        return self.part(pages, first, self.cursor)

    def children(self, page, number, asked):
        blocks = page.blocks if page else self.below(number)
        if blocks is None:
            return refusal(404, "object_not_found")
        shown = [{name: value for name, value in each.items() if name != "below"} for each in blocks]
        return self.part(shown, int(asked.query.get("start_cursor", 0)))

    def below(self, number):
        waiting = [each for page in self.pages.values() for each in page.blocks]
        while waiting:
            each = waiting.pop()
            if each["id"] == number:
                return each["below"]
            waiting += each["below"]
        return None

    def part(self, things, first, cursor=None):
        more = first + PAGE < len(things)
        following = (cursor or str(first + PAGE)) if more else None
        told = {"object": "list", "results": things[first : first + PAGE], "next_cursor": following, "has_more": more}
        return Answer(told)


def refusal(status, code, **headers):
    told = {"object": "error", "status": status, "code": code, "message": "It is refused."}
    return Answer(told, status, {name.replace("_", "-"): value for name, value in headers.items()})


@contextlib.contextmanager
def workspace(context, waits=None, secret=TOKEN):
    """Yield the service, its server, and a source on it."""
    service = Workspace()
    store_secret(context.settings.data_dir, "notion", secret)
    with serving(service) as site:
        settings = context.settings.model_copy(update={"outbound_allow": (f"127.0.0.1:{site.port}",)})
        with context.catalog.transaction() as session:
            record = store.add_source(session, "place", "notion", "https://www.notion.so/")
        record = replace(record, options={"api": site.url}, secret="notion")
        sleep = (lambda seconds: None) if waits is None else waits.append
        yield service, site, opened(record, replace(context, settings=settings), sleep)


class Notion(Place):
    kind = "notion"
    knows_sizes = False
    keeps_identity = True

    def __init__(self, context, tmp_path, resources):
        self.service, _, self.source = resources.enter_context(workspace(context))
        self.numbers = {}

    def uri(self, name):
        return f"https://www.notion.so/{self.numbers[name].replace('-', '')}"

    def write(self, name, content):
        self.numbers[name] = self.service.put(name, block("paragraph", content.decode())).number

    def remove(self, name):
        self.service.pages[name].extra = {"archived": True, "in_trash": True}

    def rename(self, name, new_name):
        page = self.service.pages.pop(name)
        self.service.pages[new_name] = replace(page, title=new_name)
        self.numbers[new_name] = page.number

    def holds(self, found, content):
        return found.startswith(b"# ") and content in found

    @contextlib.contextmanager
    def outage(self):
        self.service.down = True
        yield
        self.service.down = False
