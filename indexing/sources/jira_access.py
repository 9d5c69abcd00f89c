"""Who may read an issue of Jira: who may browse its project, and the members of its level of security.

The shapes are those of Atlassian's document of the Jira Cloud REST API v3 ("Project permission schemes", "Permission
schemes": the holder object, "Project roles", "Projects", "Issue security schemes", "Groups", "Users").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from indexing.sources.answers import documented
from indexing.sources.atlassian import NOBODY, Gate, an_id, first_of
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from indexing.sources.atlassian import Directory
    from indexing.sources.rest import Rest

_PAGE_SIZE = 100


def values(rest: Rest, url: str, of: str = "values") -> Iterator[dict[str, Any]]:
    """Yield the entries of a request that counts with ``startAt``. *url* ends where a parameter may be added."""
    done = 0
    while True:
        asked = f"{url}&startAt={done}&maxResults={_PAGE_SIZE}"
        answer = rest.json(asked)
        with documented(asked):
            found = [dict(entry) for entry in answer[of]]
            total = answer.get("total")
            last = answer.get("isLast", total is not None and done + len(found) >= int(total))
        yield from found
        done += len(found)
        if last or not found:
            return


@dataclass(frozen=True, slots=True)
class JiraPeople:
    """What Jira tells of people."""

    rest: Rest
    base: str

    def members(self, group: str) -> Iterator[str]:
        """Yield the account ids of the group's members."""
        url = f"{self.base}/rest/api/3/group/member?groupId={quote(group, safe='')}"
        for user in values(self.rest, url):
            with documented(url):
                found = an_id(user["accountId"])
            yield found

    def group_name(self, group: str) -> str:
        """Return the name of the group with this id. Raises Gone when there is none."""
        url = f"{self.base}/rest/api/3/group/bulk?groupId={quote(group, safe='')}"
        answer = self.rest.json(url)
        with documented(url):
            found = [str(each["name"]) for each in answer["values"] if each["groupId"] == group]
        if len(found) != 1:
            raise Gone(f"{url} knows no such group.")
        return found[0]

    def email(self, account: str) -> str:
        """Return the address of the account, "" when it is not shown."""
        url = f"{self.base}/rest/api/3/user?accountId={quote(account, safe='')}"
        answer = self.rest.json(url)
        with documented(url):
            return str(answer.get("emailAddress") or "")


@dataclass
class Access:
    """Who may read what, for one listing: what it has asked it remembers."""

    rest: Rest
    base: str
    directory: Directory
    _holders: dict[tuple[str, str], tuple[tuple[str, str], ...] | None] = field(default_factory=dict)
    _gates: dict[tuple[str, str], Gate] = field(default_factory=dict)
    _unknown: dict[str, str] = field(default_factory=dict)  # what nobody may read for now → why

    def readers(self, fields: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of who may read the issue with these *fields*; () when that is not known."""
        with documented("The list of issues"):
            project = an_id(fields["project"]["id"])
            level = an_id(fields["security"]["id"]) if fields.get("security") else None
            people = {
                who: an_id(fields[who]["accountId"]) if fields.get(who) else "" for who in ("reporter", "assignee")
            }
        holders = [self._told(("project", project), self._browsing)]
        if level is not None:
            holders.append(self._told(("level", level), self._on_level))
        gates = []
        for told in holders:
            if told is None:
                return ()
            gates.append(self._gate(told, project, people))
        return self.directory.readers(gates)

    def notes(self) -> tuple[str, ...]:
        """Return what a run should say of what could not be read."""
        told = tuple(self.directory.notes)
        if not self._unknown:
            return told
        first = first_of(self._unknown)
        return (f"Who may read could not be read, so nobody may read the issues of: {first}", *told)

    def _told(
        self, key: tuple[str, str], ask: Callable[[str], Iterator[tuple[str, str]]]
    ) -> tuple[tuple[str, str], ...] | None:
        """Return the holders (type, value) that *ask* yields; None when they may not be read."""
        if key not in self._holders:
            try:
                self._holders[key] = tuple(ask(key[1]))
            except (Denied, Gone) as exc:
                self._unknown[" ".join(key)] = exc.message
                self._holders[key] = None
        return self._holders[key]

    def _browsing(self, project: str) -> Iterator[tuple[str, str]]:
        url = f"{self.base}/rest/api/3/project/{project}/permissionscheme?expand=permissions"
        answer = self.rest.json(url)
        with documented(url):
            grants = [dict(grant) for grant in answer["permissions"]]
            yield from _holders([grant["holder"] for grant in grants if grant["permission"] == "BROWSE_PROJECTS"])

    def _on_level(self, level: str) -> Iterator[tuple[str, str]]:
        url = f"{self.base}/rest/api/3/issuesecurityschemes/level/member?levelId={level}"
        for member in values(self.rest, url):
            with documented(url):
                if str(member["issueSecurityLevelId"]) == level:
                    yield from _holders([member["holder"]])

    def _gate(self, holders: Sequence[tuple[str, str]], project: str, people: dict[str, str]) -> Gate:
        gate = NOBODY
        for kind, value in holders:
            if kind == "user":
                gate |= Gate(users=frozenset({value}))
            elif kind == "group":
                gate |= Gate(groups=frozenset({value}))
            elif kind in people:
                gate |= Gate(users=frozenset({people[kind]} - {""}))
            elif kind == "projectRole":
                gate |= self._kept((project, value), self._role)
            elif kind == "projectLead":
                gate |= self._kept((project, ""), self._lead)
            elif kind == "anyone" or (kind == "applicationRole" and not value):
                gate |= Gate(open=True)
        return gate

    def _kept(self, key: tuple[str, str], ask: Callable[[str, str], Gate]) -> Gate:
        """Return the gate that *ask* gives; one that lets nobody pass when it may not be read."""
        if key not in self._gates:
            try:
                self._gates[key] = ask(*key)
            except (Denied, Gone) as exc:
                self._unknown[f"project {key[0]}, role {key[1]}".removesuffix(", role ")] = exc.message
                self._gates[key] = NOBODY
        return self._gates[key]

    def _role(self, project: str, role: str) -> Gate:
        url = f"{self.base}/rest/api/3/project/{project}/role/{role}"
        answer = self.rest.json(url)
        with documented(url):
            actors = answer["actors"]
            return Gate(
                frozenset(an_id(each["actorUser"]["accountId"]) for each in actors if each.get("actorUser")),
                frozenset(an_id(each["actorGroup"]["groupId"]) for each in actors if each.get("actorGroup")),
            )

    def _lead(self, project: str, _role: str) -> Gate:
        url = f"{self.base}/rest/api/3/project/{project}"
        answer = self.rest.json(url)
        with documented(url):
            return Gate(users=frozenset({an_id(answer["lead"]["accountId"])}))


def _holders(told: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield type and value of each holder. Of a group only the id counts: its name may be given to another one."""
    for holder in told:
        kind, value = str(holder["type"]), holder.get("value")
        if value is None and kind not in ("group", "applicationRole"):
            value = holder.get("parameter")
        if kind == "applicationRole":
            value = holder.get("parameter") or value
        if kind in ("group", "user", "projectRole"):
            if value is not None:
                yield kind, an_id(value)
        else:
            yield kind, str(value or "")
