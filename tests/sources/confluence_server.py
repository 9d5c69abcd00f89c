"""A small Confluence Cloud on loopback: the requests that the source makes, in the shapes that Atlassian documents."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from tests.webs import Site

TOKEN = "Basic " + base64.b64encode(b"bot@example.com:token").decode()


@dataclass
class ConfluenceServer:
    """What the site holds. ``site`` is one of tests.webs; everything below /wiki is answered from here."""

    site: Site
    spaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, dict[str, Any]] = field(default_factory=dict)  # pages, blog posts and folders, by id
    attachments: dict[str, dict[str, Any]] = field(default_factory=dict)
    permissions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by space
    restrictions: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)  # users, ids of groups
    groups: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # id → name, members
    emails: dict[str, str] = field(default_factory=dict)
    down: bool = False  # from the second page of any list on, and for single things
    status: dict[str, int] = field(default_factory=dict)  # part of a path → what is answered instead
    headers: dict[str, str] = field(default_factory=dict)  # sent with such a status
    next_base: str = ""  # put before links to next pages
    ignores_status: bool = False  # lists what is in the trash too, as no server should
    _number: int = 100

    def __post_init__(self):
        self.site.answers["*"] = self._answer

    @property
    def base(self):
        return f"{self.site.url}/wiki"

    def new_id(self):
        self._number += 1
        return str(self._number)

    def space(self, key, name=None, *principals):
        number = self.new_id()
        self.spaces[number] = {"id": number, "key": key, "name": name or key, "type": "global", "status": "current"}
        self.permissions[number] = []
        for kind, who in principals:
            self.permit(number, kind, who)
        return number

    def permit(self, space, kind, who, key="read", target="space"):
        entry = {"principal": {"type": kind, "id": who}, "operation": {"key": key, "targetType": target}}
        self.permissions[space].append({"id": self.new_id(), **entry})

    def page(self, space, title, body="", parent=None, kind="page", status="current"):
        number = self.new_id()
        above = self.contents[parent] if parent else None
        self.contents[number] = {
            "id": number,
            "status": status,
            "title": title,
            "spaceId": space,
            "parentId": parent,
            "parentType": above and above["kind"],
            "kind": kind,
            "version": {"number": 1, "createdAt": "2026-01-02T03:04:05.000Z", "message": "", "minorEdit": False},
            "storage": body,
        }
        return number

    def edit(self, number, **changes):
        thing = self.contents.get(number) or self.attachments[number]
        thing |= changes
        thing["version"] = thing["version"] | {"number": thing["version"]["number"] + 1}

    def attach(self, page, title, content, media_type="text/plain", status="current"):
        number = f"att{self.new_id()}"
        self.attachments[number] = {
            "id": number,
            "status": status,
            "title": title,
            "pageId": page,
            "mediaType": media_type,
            "fileSize": len(content),
            "version": {"number": 1, "createdAt": "2026-01-02T03:04:05.000Z"},
            "content": content,
        }
        return number

    # --- answering -------------------------------------------------------------------------------------------------

    def _answer(self, request):
        url = urlsplit(request.path)
        query = {name: found[-1] for name, found in parse_qs(url.query).items()}
        for part, status in self.status.items():
            if part in request.path:
                return sent(request, status, {"message": "told to"}, self.headers)
        if request.headers.get("Authorization") != TOKEN:
            return sent(request, 401, {"message": "Unauthorized"})
        path = url.path.removeprefix("/wiki").strip("/").split("/")
        if self.down and ("cursor" in query or path[:3] in (["api", "v2", "pages"], ["rest", "api", "content"])):
            return sent(request, 500, {"message": "down"})
        found = self._v2(path[2:], query, request.path) if path[:2] == ["api", "v2"] else self._v1(path[2:], query)
        if isinstance(found, bytes):
            return sent_bytes(request, 200, found, {"Content-Type": "text/plain"})
        if found is None:
            return sent(request, 404, {"errors": [{"status": 404, "code": "NOT_FOUND", "title": "Not Found"}]})
        return sent(request, 200, found)

    def _v2(self, path, query, asked):  # noqa: PLR0911 -- one for each request
        match path:
            case ["spaces"]:
                keys = parse_qs(urlsplit(asked).query).get("keys", [])
                found = [space for space in self.spaces.values() if not keys or space["key"] in keys]
                return self._paged(found, query, asked)
            case ["spaces", number]:
                return self.spaces.get(number)
            case ["spaces", number, "permissions"]:
                return self._paged(self.permissions[number], query, asked)
            case ["spaces", number, "pages"]:
                return self._paged(self._in(number, "page", query), query, asked)
            case ["blogposts"]:
                return self._paged(self._in(query["space-id"], "blogpost", query), query, asked)
            case ["pages" | "blogposts", number, "attachments"]:
                found = [each for each in self.attachments.values() if each["pageId"] == number]
                return self._paged([_shown(each) for each in self._with_status(found, query)], query, asked)
            case ["attachments", number]:
                return (number in self.attachments and _shown(self.attachments[number])) or None
            case [("pages" | "blogposts" | "folders") as kind, number]:
                content = self.contents.get(number)
                if content is None or f"{content['kind']}s" != kind:
                    return None
                body = {"storage": {"representation": "storage", "value": content["storage"]}}
                return _shown(content) | ({"body": body} if "body-format" in query else {"body": {}})
        return None

    def _in(self, space, kind, query):
        found = [each for each in self.contents.values() if (each["spaceId"], each["kind"]) == (space, kind)]
        found = [{**_shown(each), "body": {}} for each in self._with_status(found, query)]
        if kind == "blogpost":
            for each in found:
                del each["parentId"], each["parentType"]
        return found

    def _with_status(self, found, query):
        return [each for each in found if self.ignores_status or each["status"] == query.get("status", "current")]

    def _paged(self, found, query, asked):
        limit, start = int(query.get("limit", 25)), int(query.get("cursor", "0").removeprefix("c/"))
        links = {"base": self.base}
        if start + limit < len(found):
            path, _, rest = asked.partition("?")
            kept = "&".join(part for part in rest.split("&") if not part.startswith("cursor="))
            links["next"] = f"{self.next_base}{path}?{kept}&cursor=c%2F{start + limit}"
        return {"results": found[start : start + limit], "_links": links}

    def _v1(self, path, query):  # noqa: PLR0911 -- one for each request
        match path:
            case ["user", "current"]:
                return {"type": "known", "accountId": "bot", "accountType": "atlassian", "displayName": "Bot"}
            case ["user"]:
                who = query["accountId"]
                return {"type": "known", "accountId": who, "email": self.emails.get(who, ""), "displayName": who}
            case ["group", "by-id"]:
                found = self.groups.get(query["id"])
                return found and {"type": "group", "name": found[0], "id": query["id"]}
            case ["group", number, "membersByGroupId"]:
                members, start, limit = self.groups[number][1], int(query["start"]), 2
                results = [{"type": "known", "accountId": who} for who in members[start : start + limit]]
                links = {"base": self.base, "context": "/wiki"}
                if start + limit < len(members):
                    links["next"] = f"/rest/api/group/{number}/membersByGroupId?start={start + limit}"
                return {"results": results, "start": start, "limit": limit, "size": len(results), "_links": links}
            case ["content", number, "restriction", "byOperation", "read"]:
                users, groups = self.restrictions.get(number, ([], []))
                start, limit = int(query["start"]), min(int(query["limit"]), 3)
                told = {
                    "user": [{"type": "known", "accountId": who, "displayName": who} for who in users],
                    "group": [{"type": "group", "name": self.groups[who][0], "id": who} for who in groups],
                }
                shown = {
                    kind: {"results": entries[start : start + limit], "start": start, "limit": limit}
                    | {"size": len(entries[start : start + limit])}
                    for kind, entries in told.items()
                }
                return {"operation": "read", "restrictions": shown, "_links": {}, "_expandable": {"content": ""}}
            case ["content", _, "child", "attachment", number, "download"]:
                attached = self.attachments.get(number)
                return attached["content"] if attached else None
        return None


def _shown(thing):
    return {name: value for name, value in thing.items() if name not in ("storage", "content", "kind")}


def sent(request, status, body, headers=None):
    sent_bytes(request, status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def sent_bytes(request, status, content, headers):
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
