"""A small Jira Cloud on loopback: the requests that the source makes, in the shapes that Atlassian documents."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.sources.confluence_server import TOKEN, sent

if TYPE_CHECKING:
    from tests.webs import Site


@dataclass
class JiraServer:
    """What the site holds. ``site`` is one of tests.webs."""

    site: Site
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id
    comments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by issue
    browse: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # project → holders
    levels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # level → holders
    roles: dict[tuple[str, str], tuple[list[str], list[str]]] = field(default_factory=dict)  # users, ids of groups
    groups: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # id → name, members
    emails: dict[str, str] = field(default_factory=dict)
    lead: str = "boss"
    down: bool = False  # from the second page of a search on, and for single issues
    status: dict[str, int] = field(default_factory=dict)  # part of a path → what is answered instead
    headers: dict[str, str] = field(default_factory=dict)  # sent with such a status
    searched: list[dict[str, Any]] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)  # tokens that are not good any more
    _number: int = 10000

    def __post_init__(self):
        self.site.answers["*"] = self._answer

    def new_id(self):
        self._number += 1
        return str(self._number)

    def now(self):
        return f"2026-01-02T03:04:05.{int(self.new_id()) % 1000:03d}+0000"

    def issue(self, summary, description="", project="1", **fields):
        number = self.new_id()
        self.issues[number] = {
            "id": number,
            "key": f"P{project}-{number}",
            "self": f"{self.site.url}/rest/api/3/issue/{number}",
            "fields": {
                "summary": summary,
                "updated": self.now(),
                "project": {"id": project, "key": f"P{project}"},
                "security": None,
                "reporter": None,
                "assignee": None,
                "status": {"name": "Open"},
                "issuetype": {"name": "Task"},
                **fields,
            },
            "html": description,
        }
        self.comments[number] = []
        return number

    def edit(self, number, description=None, **fields):
        issue = self.issues[number]
        issue["fields"] |= {"updated": self.now(), **fields}
        issue["html"] = issue["html"] if description is None else description

    def comment(self, number, text, **more):
        self.comments[number].append(
            {
                "id": self.new_id(),
                "author": {"accountId": "ann", "displayName": "Ann"},
                "body": {"type": "doc", "version": 1, "content": []},
                "renderedBody": text,
                "created": "2026-01-02T03:04:05.000+0000",
                "updated": "2026-01-02T03:04:05.000+0000",
                "jsdPublic": True,
                **more,
            }
        )
        self.edit(number)

    # --- answering -------------------------------------------------------------------------------------------------

    def _answer(self, request):
        url = urlsplit(request.path)
        query = {name: found[-1] for name, found in parse_qs(url.query).items()}
        body = json.loads(request.rfile.read(int(request.headers.get("Content-Length") or 0)) or "{}")
        for part, status in self.status.items():
            if part in request.path:
                return sent(request, status, {"errorMessages": ["told to"]}, self.headers)
        if request.headers.get("Authorization") != TOKEN:
            return sent(request, 401, {"errorMessages": ["Client must be authenticated"]})
        path = url.path.removeprefix("/rest/api/3").strip("/").split("/")
        if self.down and ("nextPageToken" in body or path[0] == "issue"):
            return sent(request, 500, {"errorMessages": ["down"]})
        if body.get("nextPageToken") in self.expired:
            return sent(request, 400, {"errorMessages": ["The token is expired"]})
        found = self._search(body) if path == ["search", "jql"] else self._found(path, query)
        if found is None:
            return sent(request, 404, {"errorMessages": ["It does not exist or you do not have permission"]})
        return sent(request, 200, found)

    def _search(self, body):
        self.searched.append(body)
        start, limit = int(body.get("nextPageToken", "t0")[1:]), body["maxResults"]
        found = list(self.issues.values())
        issues = [
            {"id": each["id"], "key": each["key"], "self": each["self"]}
            | {"fields": {name: each["fields"].get(name) for name in body["fields"]}}
            for each in found[start : start + limit]
        ]
        last = start + limit >= len(found)
        return {"issues": issues, "isLast": last} | ({} if last else {"nextPageToken": f"t{start + limit}"})

    def _found(self, path, query):  # noqa: C901, PLR0911 -- one for each request
        match path:
            case ["myself"]:
                return {"accountId": "bot", "accountType": "atlassian", "active": True, "displayName": "Bot"}
            case ["issue", number]:
                issue = self.issues.get(number)
                return issue and {
                    **{name: issue[name] for name in ("id", "key", "self", "fields")},
                    "renderedFields": {"description": issue["html"], "summary": None},
                }
            case ["issue", number, "comment"]:
                return (number in self.issues and _counted(self.comments[number], query, "comments")) or None
            case ["project", number, "permissionscheme"]:
                grants = [{"id": 1, "permission": "EDIT_ISSUES", "holder": {"type": "user", "value": "editor"}}]
                holders = self.browse.get(number, [])
                grants += [{"id": 2, "permission": "BROWSE_PROJECTS", "holder": holder} for holder in holders]
                return {"id": 10000, "name": "Scheme", "permissions": grants}
            case ["project", number]:
                return {"id": number, "key": f"P{number}", "lead": {"accountId": self.lead}}
            case ["project", number, "role", role]:
                users, groups = self.roles[number, role]
                actors = [
                    {"id": 1, "type": "atlassian-user-role-actor", "actorUser": {"accountId": who}} for who in users
                ]
                actors += [
                    {"id": 2, "type": "atlassian-group-role-actor"}
                    | {"actorGroup": {"name": self.groups[who][0], "groupId": who}}
                    for who in groups
                ]
                return {"id": int(role), "name": "Role", "actors": actors}
            case ["issuesecurityschemes", "level", "member"]:
                level = query["levelId"]
                found = [
                    {"id": "1", "issueSecurityLevelId": level, "issueSecuritySchemeId": "9", "holder": holder}
                    for holder in self.levels.get(level, [])
                ]
                return _counted(found, query)
            case ["group", "member"]:
                members = self.groups[query["groupId"]][1]
                return _counted([{"accountId": who, "active": True} for who in members], query)
            case ["group", "bulk"]:
                name = self.groups.get(query["groupId"], (None,))[0]
                return _counted([{"name": name, "groupId": query["groupId"]}] if name else [], query)
            case ["user"]:
                return {"accountId": query["accountId"], "emailAddress": self.emails.get(query["accountId"])}
        return None


def _counted(found, query, of="values"):
    """Return a part of *found*: never more than two entries, whatever is asked for, as the service may."""
    start, limit = int(query.get("startAt", 0)), min(2, int(query.get("maxResults", 50)))
    told = {"startAt": start, "maxResults": limit, "total": len(found), of: found[start : start + limit]}
    return told | ({} if of == "comments" else {"isLast": start + limit >= len(found)})
