"""Who may read an item of SharePoint or OneDrive, by its sharing permissions. Pure functions.

Shapes: https://learn.microsoft.com/graph/api/resources/permission and …/resources/sharepointidentityset. Only what is
understood counts: a kind of permission, role or link that is not known here opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.principals import LOCAL
from indexing.sources.answers import has_ended, reader
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROLES = frozenset({"read", "write", "owner"})
#: Links whose named people have access by them; one without a scope is for specific people.
_NAMED_LINKS = frozenset({"users", "organization", None})


@dataclass(frozen=True, slots=True)
class Directory:
    """Whose the names are, and whether a link for the whole organization is one for whoever is known here."""

    issuer: str = LOCAL
    org_links: bool = False


def readers_of(permissions: Sequence[Any], site: str, directory: Directory) -> tuple[str, ...]:
    """Return the names of who may read an item of the site *site* that has these *permissions*, sorted."""
    found = (name for each in permissions if isinstance(each, dict) for name in _granted(each, site, directory))
    return tuple(sorted(set(found)))


def _granted(permission: dict[str, Any], site: str, directory: Directory) -> Iterator[str]:
    roles = permission.get("roles")
    if not isinstance(roles, list) or not any(role in _ROLES for role in roles if isinstance(role, str)):
        return
    if has_ended(permission.get("expirationDateTime")):
        return
    link = permission.get("link")
    if link is None:
        yield from _names(permission.get("grantedToV2"), site, directory)
        return
    scope = link.get("scope") if isinstance(link, dict) else "unknown"
    if not (scope is None or isinstance(scope, str)) or scope not in _NAMED_LINKS:
        return  # anonymous, existingAccess, and what is not known yet
    if scope == "organization" and directory.org_links:
        yield EVERYONE
    named = permission.get("grantedToIdentitiesV2")
    for identity in named if isinstance(named, list) else ():
        yield from _names(identity, site, directory)


def _names(identity: Any, site: str, directory: Directory) -> Iterator[str]:
    """Yield the names of one identity set: it holds the same one under several keys.

    A group of SharePoint itself is numbered within its site, so the site belongs to its name.
    """
    told = identity if isinstance(identity, dict) else {}
    ids = {key: each.get("id") for key, each in told.items() if isinstance(each, dict)}
    found = [reader(ids.get("user"), directory.issuer), reader(ids.get("group"), directory.issuer, group=True)]
    if "sharePointGroup" in ids:
        found.append(reader(ids["sharePointGroup"], directory.issuer, group=True))
    elif site and isinstance(ids.get("siteGroup"), str):
        found.append(reader(f"{site}:{ids['siteGroup']}", directory.issuer, group=True))
    yield from (name for name in found if name is not None)
