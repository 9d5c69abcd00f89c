"""Who is known: users, services and groups. Functions take a session and never commit.

Identity is (issuer, external id): "local" for those added here, the address of an identity provider for others. A
name or an e-mail address is only for showing. Nested groups are followed when somebody asks, by one recursive
statement, so that a change of membership holds from the next question on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from indexing import changelog
from indexing.db import among, insert_missing
from indexing.errors import CatalogError
from indexing.tables import EVERYONE, Table

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import CTE, BindParameter
    from sqlalchemy.orm import Session

PRINCIPAL = Table.metadata.tables["principal"]
MEMBERSHIP = Table.metadata.tables["membership"]

KINDS = ("user", "service", "group")
LOCAL = "local"
#: Issuer of the principals that nobody added: everyone, and who was erased.
PROGRAM = "metier"
ERASED = "erased"
_COLUMNS = tuple(PRINCIPAL.c[name] for name in ("id", "kind", "issuer", "external_id", "display", "state", "role"))


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """One who can be on an access list. ``name`` is unique within its issuer."""

    id: int
    kind: str  # user | service | group | public
    issuer: str
    name: str  # the external id
    display: str
    state: str  # active | suspended | erased
    role: str


def counted_groups(principal_id: int | BindParameter[int]) -> CTE:
    """Return the recursive table ``counted(id)``: the principal if it is active, and its groups, nested ones too.

    A suspended group counts for nobody, and neither do the groups that only it leads to.
    """
    p, m = PRINCIPAL.c, MEMBERSHIP.c
    counted = select(p.id).where(p.id == principal_id, p.state == "active").cte("counted", recursive=True)
    group = PRINCIPAL.alias("its_group")
    further = (
        select(m.group_id)
        .join(counted, m.member_id == counted.c.id)
        .join(group, (group.c.id == m.group_id) & (group.c.state == "active"))
    )
    return counted.union(further)


def add_principal(
    session: Session, kind: str, name: str, *, display: str = "", issuer: str = LOCAL, role: str = "reader"
) -> PrincipalRecord:
    """Return the new principal. Raises CatalogError when issuer and name are taken, or the kind is none of KINDS."""
    changelog.lock(session)
    if kind not in KINDS:
        raise CatalogError(f"There is no kind of principal called {kind!r}.", remedy=f"Use one of {', '.join(KINDS)}.")
    if principal_named(session, name, issuer) is not None or (issuer, name) == (LOCAL, EVERYONE):
        raise CatalogError(f"There is already a principal called {name}.", remedy="Choose another name.")
    row = {"kind": kind, "issuer": issuer, "external_id": name, "display": display or name}
    values = row | {"state": "active", "role": role}
    found = session.execute(insert(PRINCIPAL).values(values).returning(PRINCIPAL.c.id)).scalar_one()
    return PrincipalRecord(int(found), kind, issuer, name, display or name, "active", role)


def principals(session: Session) -> list[PrincipalRecord]:
    """Return all, by kind and name."""
    return [PrincipalRecord(*r) for r in session.execute(select(*_COLUMNS).order_by(_COLUMNS[1], _COLUMNS[3]))]


def some_principals(session: Session, count: int) -> list[int]:
    """Return up to *count* users and services who are active, drawn anew each time."""
    p = PRINCIPAL.c
    query = select(p.id).where(p.kind.in_(("user", "service")), p.state == "active")
    return list(session.execute(query.order_by(func.random()).limit(count)).scalars())


def principal_named(session: Session, name: str, issuer: str = LOCAL) -> PrincipalRecord | None:
    """Return the principal, or None; "everyone" is whoever is known and active."""
    if (issuer, name) == (LOCAL, EVERYONE):
        where = PRINCIPAL.c.kind == "public"
    else:
        where = (PRINCIPAL.c.issuer == issuer) & (PRINCIPAL.c.external_id == name)
    row = session.execute(select(*_COLUMNS).where(where).order_by(PRINCIPAL.c.id)).first()
    return None if row is None else PrincipalRecord(*row)


def principal_called(session: Session, name: str, issuer: str = LOCAL) -> PrincipalRecord | None:
    """Return the principal that *name* means to *issuer*, or None.

    Those of this program may say "issuer|name" for somebody of an identity provider; nobody else speaks for others.
    """
    if issuer == LOCAL:
        of, _, subject = name.rpartition("|")
        return principal_named(session, subject, of or LOCAL)
    return principal_named(session, name, issuer)


def principal_with_id(session: Session, principal_id: int) -> PrincipalRecord | None:
    """Return the principal, or None."""
    row = session.execute(select(*_COLUMNS).where(PRINCIPAL.c.id == principal_id)).one_or_none()
    return None if row is None else PrincipalRecord(*row)


def principals_with_ids(session: Session, ids: Collection[int]) -> dict[int, PrincipalRecord]:
    """Return those of the principals that are there by id, the lowest first."""
    query = select(*_COLUMNS).where(among(session, PRINCIPAL.c.id, ids))
    rows = session.execute(query.order_by(PRINCIPAL.c.id))
    return {row.id: PrincipalRecord(*row) for row in rows}


def set_state(session: Session, principal_id: int, state: str) -> None:
    """Make the principal "active" or "suspended"; it holds from the next request on, on every door."""
    changelog.lock(session)
    session.execute(update(PRINCIPAL).where(PRINCIPAL.c.id == principal_id).values(state=state))


def set_display(session: Session, principal_id: int, display: str) -> None:
    """Give the principal another name to show."""
    session.execute(update(PRINCIPAL).where(PRINCIPAL.c.id == principal_id).values(display=display))


def set_role(session: Session, principal_id: int, role: str) -> None:
    """Give the principal another role."""
    changelog.lock(session)
    session.execute(update(PRINCIPAL).where(PRINCIPAL.c.id == principal_id).values(role=role))


def erase_principal(session: Session, principal_id: int) -> None:
    """Take the principal's name away and end what it may do; its row stays, for what refers to its number."""
    changelog.lock(session)
    nobody = f"erased-{principal_id}"
    values = {"issuer": PROGRAM, "external_id": nobody, "display": nobody, "state": ERASED, "role": "reader"}
    session.execute(update(PRINCIPAL).where(PRINCIPAL.c.id == principal_id).values(values))
    m = MEMBERSHIP.c
    session.execute(delete(MEMBERSHIP).where((m.member_id == principal_id) | (m.group_id == principal_id)))


# --- groups ---------------------------------------------------------------------------------------------------


def join_group(session: Session, group: PrincipalRecord, member: PrincipalRecord) -> None:
    """Put *member* into *group*; once is enough. Raises CatalogError when it is no group, or would hold itself."""
    changelog.lock(session)
    if group.kind != "group":
        raise CatalogError(f"{group.name} is a {group.kind}, not a group.", remedy="Name the group first.")
    if member.kind == "public":
        raise CatalogError("Everyone cannot be a member of a group.", remedy="Grant access to everyone instead.")
    if member.id in _above(session, group.id):
        remedy = f"Take {group.name} out of {member.name} first."
        raise CatalogError(f"{member.name} holds {group.name}: a group cannot hold itself.", remedy=remedy)
    session.execute(insert_missing(session, MEMBERSHIP).values(group_id=group.id, member_id=member.id))


def leave_group(session: Session, group_id: int, member_id: int) -> None:
    """Take the member out of the group; nothing happens when it is not in it."""
    changelog.lock(session)
    m = MEMBERSHIP.c
    session.execute(delete(MEMBERSHIP).where(m.group_id == group_id, m.member_id == member_id))


def members(session: Session, group_id: int) -> list[PrincipalRecord]:
    """Return who is in the group itself, by name."""
    query = select(*_COLUMNS).join(MEMBERSHIP, MEMBERSHIP.c.member_id == PRINCIPAL.c.id)
    query = query.where(MEMBERSHIP.c.group_id == group_id).order_by(PRINCIPAL.c.external_id)
    return [PrincipalRecord(*row) for row in session.execute(query)]


def groups_of(session: Session, principal_id: int) -> list[PrincipalRecord]:
    """Return the groups that count for the principal, nested ones too, by name; none when it is suspended."""
    counted = counted_groups(principal_id)
    query = select(*_COLUMNS).join(counted, counted.c.id == PRINCIPAL.c.id).where(PRINCIPAL.c.id != principal_id)
    return [PrincipalRecord(*row) for row in session.execute(query.order_by(PRINCIPAL.c.external_id))]


def counting(session: Session, principal_id: int) -> frozenset[int]:
    """Return the principal, its groups and everyone: whoever on an access list lets it read; nobody if not active."""
    counted = counted_groups(principal_id)
    found = frozenset(session.execute(select(counted.c.id)).scalars())
    public = select(PRINCIPAL.c.id).where(PRINCIPAL.c.kind == "public", PRINCIPAL.c.state == "active")
    return found | frozenset(session.execute(public).scalars()) if found else found


def groups_holding(session: Session, principal_id: int) -> list[PrincipalRecord]:
    """Return the groups that the principal itself is in, by name, suspended ones too."""
    query = select(*_COLUMNS).join(MEMBERSHIP, MEMBERSHIP.c.group_id == PRINCIPAL.c.id)
    query = query.where(MEMBERSHIP.c.member_id == principal_id).order_by(PRINCIPAL.c.external_id)
    return [PrincipalRecord(*row) for row in session.execute(query)]


def _above(session: Session, principal_id: int) -> set[int]:
    """Return the principal and every group around it, suspended or not."""
    above = select(PRINCIPAL.c.id).where(PRINCIPAL.c.id == principal_id).cte("above", recursive=True)
    above = above.union(select(MEMBERSHIP.c.group_id).join(above, MEMBERSHIP.c.member_id == above.c.id))
    return set(session.execute(select(above.c.id)).scalars())
