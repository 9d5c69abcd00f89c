"""Who is known and why they may read something: what the command line and the keys' routes do with principals.

Functions take a session and never commit.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import audit
from app.auth import ROLES
from app.errors import BadRequest, Conflict, NotFound
from indexing import access, changelog, grants, principals, store, store_lists
from indexing.principals import LOCAL, PrincipalRecord
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.documents import SourceRecord
    from indexing.principals import PrincipalRecord

#: An import that takes more than this share of the memberships away asks first: a cut file must not empty groups.
MOST_LOST = 0.3


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import of groups came to."""

    users: int  # added
    groups: int  # added
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a principal may read a document, and by which entries of its access lists."""

    allowed: bool
    document: str  # its uri
    source: str
    through: tuple[str, ...]  # names on the source's list that count for the principal: itself, groups, everyone
    on_list: tuple[str, ...]  # of the source
    suspended: bool
    own_list: tuple[str, ...] | None  # that came with the document; None: the source's list alone decides
    through_own: tuple[str, ...]
    hidden: bool  # the source's permissions are too old


def principal(session: Session, name: str) -> PrincipalRecord:
    """Return the principal called *name*, or "issuer|name" for one of an identity provider. Raises NotFound."""
    found = principals.principal_called(session, name)
    if found is None or found.state == principals.ERASED:
        raise NotFound(f"There is nobody called {name}.", remedy="`metier people list` shows who is known.")
    return found


def full_name(found: PrincipalRecord) -> str:
    """Return the name by which :func:`principal` finds it again."""
    return found.name if found.issuer == LOCAL or found.kind == "public" else f"{found.issuer}|{found.name}"


def checked_role(role: str) -> str:
    """Return *role*. Raises BadRequest for one that there is not."""
    if role not in ROLES:
        raise BadRequest(f"There is no role called {role!r}.", remedy=f"Use one of {', '.join(ROLES)}.")
    return role


def grant(session: Session, source: SourceRecord, names: Sequence[str]) -> int:
    """Let these read the source, beside those who may already, and return how many documents it concerns."""
    changelog.lock(session)  # the list is read and written: of two who change it at once the second sees the first
    added = {principal(session, name).id for name in names}
    concerned = grants.set_readers(session, source.id, grants.readers(session, source.id) | added)
    for each in sorted(added):
        audit.record(session, LOCAL_PRINCIPAL_ID, "source.grant", source.id, about=each)
    return concerned


def revoke(session: Session, source: SourceRecord, names: Sequence[str]) -> int:
    """Let these read the source no more and return how many documents it concerns.

    Raises BadRequest for one who is not on the list: who reads through a group is taken out of the group.
    """
    changelog.lock(session)
    gone = {principal(session, name) for name in names}
    before = grants.readers(session, source.id)
    if strangers := sorted(each.name for each in gone if each.id not in before):
        remedy = f"`metier access show {source.name}` shows the list; take members of a group out of the group."
        raise BadRequest(f"Not on the list of {source.name}: {', '.join(strangers)}.", remedy=remedy)
    concerned = grants.set_readers(session, source.id, before - {each.id for each in gone})
    for each in sorted(each.id for each in gone):
        audit.record(session, LOCAL_PRINCIPAL_ID, "source.revoke", source.id, about=each)
    return concerned


def explain(session: Session, who: PrincipalRecord, document_id: int) -> Explanation:
    """Return why *who* may or may not read the document. Raises NotFound when there is no such document."""
    found = store.access_list_of(session, document_id)
    if found is None:
        raise NotFound(f"There is no document {document_id}.", remedy="`metier search` shows the ids.")
    uri, source, acl_id = found
    within, own = store_lists.sides(session, acl_id)
    on_list, through = _entries(session, who, within)
    own_list, through_own = (None, ()) if own is None else _entries(session, who, own)
    record = store.source_named(session, source)
    return Explanation(
        allowed=acl_id in access.authorise(session, who.id).acl_ids,
        document=uri,
        source=source,
        through=through,
        on_list=on_list,
        suspended=who.state != "active",
        own_list=own_list,
        through_own=through_own,
        hidden=record is not None and store_lists.is_stale(record.acl_synced_at, record.acl_max_age_minutes),
    )


def counting(session: Session, who: PrincipalRecord, acl_id: int) -> tuple[str, ...]:
    """Return the names on an access list that count for *who*: itself, its groups, everyone; none when suspended."""
    return _entries(session, who, acl_id)[1]


def _entries(session: Session, who: PrincipalRecord, acl_id: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names on a list, and those of them that count for *who*."""
    counting = principals.counting(session, who.id)
    entries = principals.principals_with_ids(session, grants.on_list(session, acl_id)).values()
    return tuple(each.name for each in entries), tuple(each.name for each in entries if each.id in counting)


def read_groups(path: Path) -> dict[str, set[str]]:
    """Return the members of each group from a CSV file with the columns ``group`` and ``member``.

    Raises BadRequest that names the line: a file that is half understood would take people's access away.
    """
    found: dict[str, set[str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"group", "member"} <= set(rows.fieldnames or ()):
                raise BadRequest(f"{path} has no columns group and member.", remedy="Begin it with: group,member")
            for row in rows:
                group, member = (row["group"] or "").strip(), (row["member"] or "").strip()
                if not group or not member:
                    raise BadRequest(f"{path}, line {rows.line_num}: the group or the member is empty.")
                found.setdefault(group, set()).add(member)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadRequest(f"{path} cannot be read: {exc}.", remedy="Save it as CSV in UTF-8.") from exc
    return found


def import_groups(session: Session, groups: dict[str, set[str]], *, confirmed: bool = False) -> Imported:
    """Give each of the groups exactly these members, adding who is not known yet; other groups stay as they are.

    A member that is itself a key of *groups* is a group. Raises Conflict when more than MOST_LOST of the memberships
    of these groups would go, unless *confirmed*.
    """
    changelog.lock(session)
    had = {name: _member_names(session, name) for name in groups}
    lost, before = sum(len(had[name] - wanted) for name, wanted in groups.items()), sum(map(len, had.values()))
    if lost > MOST_LOST * before and not confirmed:
        message = f"{lost} of {before} memberships would go."
        raise Conflict(message, remedy="If the file is complete, say so with --yes.")
    new_groups = _add_missing(session, "group", groups.keys())
    new_users = _add_missing(session, "user", set().union(*groups.values()) - groups.keys())
    joined = left = 0
    by = LOCAL_PRINCIPAL_ID
    for name, wanted in groups.items():
        group = principal(session, name)
        for member in sorted(had[name] - wanted):
            gone = principal(session, member)
            principals.leave_group(session, group.id, gone.id)
            audit.record(session, by, "group.leave", group.id, about=gone.id)
            left += 1
        for member in sorted(wanted - had[name]):
            new = principal(session, member)
            principals.join_group(session, group, new)
            audit.record(session, by, "group.join", group.id, about=new.id)
            joined += 1
    return Imported(new_users, new_groups, joined, left)


def _member_names(session: Session, group: str) -> set[str]:
    found = principals.principal_named(session, group)
    return set() if found is None else {member.name for member in principals.members(session, found.id)}


def _add_missing(session: Session, kind: str, names: Collection[str]) -> int:
    missing = [name for name in sorted(names) if principals.principal_named(session, name) is None]
    for name in missing:
        made = principals.add_principal(session, kind, name)
        audit.record(session, LOCAL_PRINCIPAL_ID, "principal.add", kind, about=made.id)
    return len(missing)
