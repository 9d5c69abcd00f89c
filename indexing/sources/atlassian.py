"""What Confluence and Jira share: as whom they are asked, and how conditions on readers become one list of names.

Who reads must pass every condition: a space and each restricted page above, or a project and a level of security. A
list of names can only say "one of these", so the names on it are those that pass all conditions by themselves: groups
that every condition names, and people whom each condition names or has in one of its groups. What could not be read or
understood lets nobody pass.

Maintained connectors (unstructured-ingest, atlassian-python-api) were looked at: they map no permissions, and bring
their own HTTP client past ``indexing/outbound.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from indexing.errors import OutboundError, OutboundRefused, SourceError
from indexing.outbound import joined_url, origin, parsed_url
from indexing.sources.rest import Denied, Gone, Rest, basic_auth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

_HEADER = re.compile(r"[\x21-\x7e]+")
_LOCAL = "local"
_NAMED = 10
#: What ids of the service look like; anything else is not put into an address.
_ID = re.compile(r"[A-Za-z0-9:._-]{1,200}")

OPTIONS: Mapping[str, str] = {
    "email": "the account that the API token belongs to; without it the secret is sent as a bearer token",
    "issuer": "whose the names of readers are; the issuer of sign-in, when people have names from there",
    "names": "account_id (the default) or email: by what people are called in Métier",
    "anyone": "the name of who may read what is open to visitors or to all accounts; without it that is nobody",
}
SHOWN = "the API token of the account, or a personal access token"


@dataclass(frozen=True, slots=True)
class Gate:
    """Whom one condition lets pass. An empty one lets nobody pass."""

    users: frozenset[str] = frozenset()  # account ids
    groups: frozenset[str] = frozenset()  # group ids
    open: bool = False  # visitors, or all accounts

    def __or__(self, other: Gate) -> Gate:
        """Return the gate that lets pass whom either lets pass."""
        return Gate(self.users | other.users, self.groups | other.groups, self.open or other.open)


NOBODY = Gate()


class People(Protocol):
    """What a service tells of people. Each raises SourceError: Denied or Gone when it does not tell."""

    def members(self, group: str) -> Iterator[str]:
        """Yield the account ids of the group's members."""
        ...

    def group_name(self, group: str) -> str:
        """Return the name of the group with this id."""
        ...

    def email(self, account: str) -> str:
        """Return the address of the account, "" when it is not shown."""
        ...


@dataclass
class Directory:
    """Turns gates into names. One for each listing: what it has asked it remembers."""

    people: People
    issuer: str = _LOCAL
    by_email: bool = False
    anyone: str = ""
    notes: dict[str, None] = field(default_factory=dict)
    _members: dict[str, frozenset[str]] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _readers: dict[frozenset[Gate], tuple[str, ...]] = field(default_factory=dict)

    def readers(self, gates: Iterable[Gate]) -> tuple[str, ...]:
        """Return the names that pass all of *gates*, sorted; () when there is no gate."""
        asked = frozenset(gates)
        if asked not in self._readers:
            self._readers[asked] = self._passing(asked)
        return self._readers[asked]

    def _passing(self, gates: frozenset[Gate]) -> tuple[str, ...]:
        closed = [gate for gate in gates if not (gate.open and self.anyone)]
        if not closed:
            return (self.anyone,) if gates else ()
        if NOBODY in closed:
            return ()
        common = frozenset.intersection(*(gate.groups for gate in closed))
        people = {user for gate in closed for user in gate.users | self._all_members(gate.groups - common)}
        for gate in closed:
            unnamed = people - gate.users
            people -= unnamed - self._all_members(gate.groups) if unnamed else set()
        names = {self._name("group", group) for group in common} | {self._name("user", user) for user in people}
        return tuple(sorted(names - {""}))

    def _all_members(self, groups: Iterable[str]) -> frozenset[str]:
        return frozenset().union(*(self._members_of(group) for group in groups))

    def _members_of(self, group: str) -> frozenset[str]:
        if group not in self._members:
            try:
                self._members[group] = frozenset(self.people.members(group))
            except (Denied, Gone):
                self.notes["The members of some groups may not be read: nobody passes because of them."] = None
                self._members[group] = frozenset()
        return self._members[group]

    def _name(self, kind: str, key: str) -> str:
        """Return what the group or account is called; "" when that is not known, or cannot be said."""
        if (kind, key) not in self._names:
            self._names[kind, key] = self._safe(self._asked_name(kind, key))
        return self._names[kind, key]

    def _asked_name(self, kind: str, key: str) -> str:
        if kind == "user" and not self.by_email:
            return key
        try:
            return self.people.group_name(key) if kind == "group" else self.people.email(key).lower()
        except (Denied, Gone):
            self.notes["The names of some groups or accounts may not be read: they count for nobody."] = None
            return ""

    def _safe(self, name: str) -> str:
        """Return *name*; "" for one with which the service would speak for others (``principals.principal_called``)."""
        if self.issuer == _LOCAL and ("|" in name or name == "everyone"):
            self.notes["A group is called like people of another issuer, or like everyone: it counts for nobody."] = (
                None
            )
            return ""
        return name


@dataclass(frozen=True, slots=True)
class Options:
    """The options that both kinds take, checked."""

    issuer: str
    by_email: bool
    anyone: str

    def directory(self, people: People) -> Directory:
        """Return a directory for one listing."""
        return Directory(people, self.issuer, self.by_email, self.anyone)


def options_of(given: Mapping[str, str]) -> Options:
    """Return the options that both kinds take. Raises SourceError for a value that cannot be used."""
    names = given.get("names", "account_id")
    if names not in ("account_id", "email"):
        raise SourceError(f"{names!r} is no value of the option names.", remedy="Say account_id or email.")
    return Options(given.get("issuer", _LOCAL), names == "email", given.get("anyone", ""))


def listed_words(text: str, pattern: str, option: str) -> tuple[str, ...]:
    """Return what stands between the commas of an option. Raises SourceError for a word that is not as *pattern*."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if bad := [word for word in words if not re.fullmatch(pattern, word)]:
        raise SourceError(f"{bad[0]!r} cannot stand in the option {option}.", remedy="Give keys, with commas between.")
    return words


def site_address(location: str, example: str) -> str:
    """Return *location* as it is stored. Raises OutboundRefused for what is no plain https address."""
    try:
        parsed = parsed_url(location.strip())
    except OutboundRefused as exc:
        raise OutboundRefused(exc.message, remedy=f"Give an address such as {example}.") from exc
    if parsed.scheme != "https" or parsed.query:
        raise OutboundRefused(f"{location!r} is no plain https address.", remedy=f"Give one such as {example}.")
    return str(parsed).rstrip("/")


def asking(record: SourceRecord, context: SourceContext) -> Rest:
    """Return what asks the service as the account of *record*. Raises SourceError when the secret cannot be used."""
    return Rest(context.outbound, credentials(record.options.get("email", ""), context.secret(record), record.secret))


def credentials(email: str, token: str, secret: str | None) -> dict[str, str]:
    """Return the header that says who asks; none without a token. Raises SourceError, which never shows the token."""
    if not token:
        return {}
    if email:
        return basic_auth(email, token)
    if not _HEADER.fullmatch(token):
        raise SourceError(f"The secret {secret} holds blanks or signs that no token has.", remedy="Store it anew.")
    return {"Authorization": f"Bearer {token}"}


def refused(exc: Denied, secret: str | None) -> Denied:
    """Return *exc* with the name of the secret that it is about."""
    shown = f"the secret {secret} is wrong, ran out, or its account may not do this" if secret else "no secret is given"
    return Denied(f"{exc.message} Perhaps {shown}.")


def an_id(value: Any) -> str:
    """Return an id out of an answer. Raises ValueError for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not _ID.fullmatch(str(value)):
        raise ValueError(value)
    return str(value)


def cursor_of(url: str, following: str) -> str:
    """Return the cursor in the link to the next page. Raises OutboundRefused for a link to another machine."""
    joined = joined_url(url, following)
    there = parsed_url(joined)
    if origin(parsed_url(url)) != origin(there):
        raise OutboundRefused(f"{url} has its next page on another machine, {there.host}.", remedy="Tell its owner.")
    found = parse_qs(urlsplit(joined).query).get("cursor", [])
    if len(found) != 1:
        raise OutboundError(f"{url} has a next page without a cursor.")
    return found[0]


def first_of(unknown: Mapping[str, str]) -> str:
    """Return the first of what is *unknown* (what → why), and why that is, for a note."""
    named = ", ".join(list(unknown)[:_NAMED]) + (" …" if len(unknown) > _NAMED else "")
    return f"{named}. {next(iter(unknown.values()))}"
