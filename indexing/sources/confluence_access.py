"""Who may read a page of Confluence: the space's permissions, and the restrictions of the page and of all above it.

The shapes are those of Atlassian's documents of the REST API v2 ("Space Permissions", "Page", "Folder", "Whiteboard",
"Database", "Smart Link") and v1 ("Content restrictions", "Group", "Users"; v2 has no such requests).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from indexing.errors import OutboundError, SourceError
from indexing.sources.answers import documented, fresh
from indexing.sources.atlassian import Gate, an_id, cursor_of, first_of
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.sources.atlassian import Directory
    from indexing.sources.rest import Rest

PAGE_SIZE = 250
#: What a page may stand below → the requests that tell of it.
_PARENTS = {
    "page": "pages",
    "folder": "folders",
    "whiteboard": "whiteboards",
    "database": "databases",
    "embed": "embeds",
}
#: Classes of access that mean visitors, or all accounts.
_OPEN = frozenset({"anonymous-users", "authenticated-users", "all-licensed-users"})
#: After so many failures in a row the service is taken to be away.
_IN_A_ROW = 3


def entries(rest: Rest, url: str, start: str | None = None) -> Iterator[list[dict[str, Any]]]:
    """Yield the results of a request of v2, a page at a time. *url* ends where a cursor may be added."""
    seen: set[str] = set()
    cursor = start
    while True:
        asked = url if cursor is None else f"{url}&cursor={quote(cursor, safe='')}"
        answer = rest.json(asked)
        with documented(asked):
            found = [dict(entry) for entry in answer["results"]]
            following = (answer.get("_links") or {}).get("next")
        yield found
        if not following:
            return
        cursor = cursor_of(asked, str(following))
        fresh(cursor, seen, url)


@dataclass(frozen=True, slots=True)
class ConfluencePeople:
    """What Confluence tells of people."""

    rest: Rest
    base: str

    def members(self, group: str) -> Iterator[str]:
        """Yield the account ids of the group's members."""
        done = 0
        while True:
            url = f"{self.base}/rest/api/group/{quote(group, safe='')}/membersByGroupId?start={done}&limit=200"
            answer = self.rest.json(url)
            with documented(url):
                found = [an_id(user["accountId"]) for user in answer["results"]]
                more = bool((answer.get("_links") or {}).get("next"))
            yield from found
            done += len(found)
            if not found or not more:
                return

    def group_name(self, group: str) -> str:
        """Return the name of the group with this id."""
        url = f"{self.base}/rest/api/group/by-id?id={quote(group, safe='')}"
        answer = self.rest.json(url)
        with documented(url):
            return str(answer["name"])

    def email(self, account: str) -> str:
        """Return the address of the account, "" when it is not shown."""
        url = f"{self.base}/rest/api/user?accountId={quote(account, safe='')}"
        answer = self.rest.json(url)
        with documented(url):
            return str(answer.get("email") or "")


@dataclass
class Access:
    """Who may read what, for one listing: what it has asked it remembers."""

    rest: Rest
    base: str
    directory: Directory
    _restrictions: dict[str, Gate | str | None] = field(default_factory=dict)  # a text: why they cannot be read
    _unknown: dict[str, str] = field(default_factory=dict)  # what nobody may read for now → why
    _parents: dict[tuple[str, str], tuple[str, str] | None] = field(default_factory=dict)
    _failures: int = 0

    def space(self, space: str) -> Gate | None:
        """Return who may read the space; None when that could not be read."""
        gate = Gate()
        url = f"{self.base}/api/v2/spaces/{space}/permissions?limit={PAGE_SIZE}"
        try:
            for page in entries(self.rest, url):
                with documented(url):
                    for entry in page:
                        operation = entry["operation"]
                        if (operation["key"], operation["targetType"]) == ("read", "space"):
                            gate |= _principal(entry["principal"])
        except (Denied, Gone) as exc:
            self._unknown[f"space {space}"] = exc.message
            return None
        return gate

    def readers(self, space: Gate | None, kind: str, content: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of who may read *content*, an entry of a listing; () when that is not known."""
        key = str(content["id"])
        if space is None:
            return ()
        gates = [space]
        try:
            if kind == "page":
                self._parents["page", key] = _parent_of(content)
            found = (self._restriction(above) for _, above in self._upwards(kind, key))
            gates += [gate for gate in found if gate is not None]
        except (Denied, Gone, OutboundError) as exc:
            self._unknown[f"{kind} {key}"] = exc.message
            return ()
        return self.directory.readers(gates)

    def notes(self) -> tuple[str, ...]:
        """Return what a run should say of what could not be read."""
        told = tuple(self.directory.notes)
        if not self._unknown:
            return told
        count, first = len(self._unknown), first_of(self._unknown)
        return (f"Who may read {count} of the entries could not be read, so nobody may: {first}", *told)

    def _upwards(self, kind: str, content: str) -> Iterator[tuple[str, str]]:
        """Yield *content* and all that it stands below. Raises OutboundError when it is above itself."""
        passed: set[tuple[str, str]] = set()
        here: tuple[str, str] | None = (kind, content)
        while here is not None:
            if here in passed:
                raise OutboundError(f"{kind} {content} stands below itself.")
            passed.add(here)
            yield here
            here = self._parent(*here)

    def _restriction(self, content: str) -> Gate | None:
        """Return who may read by the restrictions of this very content; None when it has none.

        Raises Gone when they cannot be read, and SourceError when nothing answers any more.
        """
        if content not in self._restrictions:
            try:
                self._restrictions[content] = self._asked_restriction(content)
                self._failures = 0
            except (Denied, Gone) as exc:
                self._restrictions[content] = exc.message
            except OutboundError as exc:
                self._restrictions[content] = exc.message
                self._failures += 1
                if self._failures >= _IN_A_ROW:
                    raise SourceError(f"Restrictions cannot be read: {exc.message}", remedy=exc.remedy) from exc
        found = self._restrictions[content]
        if isinstance(found, str):
            raise Gone(found)
        return found

    def _asked_restriction(self, content: str) -> Gate | None:
        users: set[str] = set()
        groups: set[str] = set()
        restricted, start = False, 0
        while True:
            url = (
                f"{self.base}/rest/api/content/{content}/restriction/byOperation/read"
                f"?expand=restrictions.user,restrictions.group&start={start}&limit=200"
            )
            answer = self.rest.json(url)
            with documented(url):
                told = answer["restrictions"]
                user, group = told["user"], told["group"]
                found = max(len(user["results"]), len(group["results"]))
                # A list that is said to have entries and shows none is a restriction that we cannot see.
                restricted = restricted or found > 0 or int(user["size"]) > 0 or int(group["size"]) > 0
                users |= {an_id(each["accountId"]) for each in user["results"] if each.get("accountId")}
                groups |= {an_id(each["id"]) for each in group["results"] if each.get("id")}
                most = min(int(user.get("limit", 200)), int(group.get("limit", 200)))
            start += found
            if not found or found < most:
                break
        return Gate(frozenset(users), frozenset(groups)) if restricted else None

    def _parent(self, kind: str, content: str) -> tuple[str, str] | None:
        """Return what is directly above; None at the top of a space, and for what is in no tree."""
        if kind == "blogpost":
            return None
        if (kind, content) not in self._parents:
            if kind not in _PARENTS:
                raise OutboundError(f"{kind} {content} is of a kind that is not known.")
            url = f"{self.base}/api/v2/{_PARENTS[kind]}/{content}"
            answer = self.rest.json(url)
            with documented(url):
                self._parents[kind, content] = _parent_of(answer)
        return self._parents[kind, content]


def _parent_of(content: dict[str, Any]) -> tuple[str, str] | None:
    """Return kind and id of what *content* stands directly below. Raises OutboundError when it does not tell."""
    with documented("The service"):
        above, kind = content["parentId"], content["parentType"]
        return None if above is None else (str(kind), an_id(above))


def _principal(principal: dict[str, Any]) -> Gate:
    """Return whom an entry of a space's permissions lets in; nobody when it is of a kind that is not known."""
    kind, key = principal["type"], principal["id"]
    if kind == "user":
        return Gate(users=frozenset({an_id(key)}))
    if kind == "group":
        return Gate(groups=frozenset({an_id(key)}))
    return Gate(open=kind == "access-class" and key in _OPEN)
