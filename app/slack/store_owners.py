"""Who looks after a specialist, as users of a workspace. Functions take a session and never commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.auth import ROLES
from app.slack.records import language_of
from app.tables import SpecialistRow
from app.tables_slack import SlackUserRow
from indexing import grants
from indexing.errors import CatalogError
from indexing.principals import members, principal_named, principal_with_id
from indexing.tables import EVERYONE, PrincipalRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from app.slack.records import Person
    from indexing.principals import PrincipalRecord

_MAY_OPERATE = tuple(role for role, permissions in ROLES.items() if "operate" in permissions)


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who looks after a specialist, and can be reached in Slack."""

    user_id: str
    principal_id: int
    name: str
    language: str  # en | fr


def owners(session: Session, team_id: str, specialist: str) -> list[Owner]:
    """Return the curators of the specialist who are full members of the workspace and linked, by name.

    Where there are none, those who may operate. Members of groups count, nested ones too; of suspended groups nobody.
    """
    curators = _people(session, curators_of(session, specialist))
    return _linked(session, team_id, curators) or _linked(session, team_id, _operators(session))


def curators_of(session: Session, specialist: str) -> frozenset[int]:
    """Return the principals on the specialist's list of curators; nobody for one that is built in or gone."""
    list_id = session.scalar(select(SpecialistRow.curators_acl_id).where(SpecialistRow.name == specialist))
    return frozenset() if list_id is None else grants.on_list(session, list_id)


def askers_of(session: Session, specialist: str) -> frozenset[int] | None:
    """Return the principals on the specialist's list of askers; None for one that is built in or gone."""
    list_id = session.scalar(select(SpecialistRow.acl_id).where(SpecialistRow.name == specialist))
    return None if list_id is None else grants.on_list(session, list_id)


def _people(session: Session, principal_ids: Collection[int]) -> dict[int, PrincipalRecord]:
    """Return the active users among these and in the groups among them."""
    found: dict[int, PrincipalRecord] = {}
    seen: set[int] = set()
    left = list(principal_ids)
    while left:
        each = left.pop()
        if each in seen:
            continue
        seen.add(each)
        who = principal_with_id(session, each)
        if who is None or who.state != "active":
            continue
        if who.kind == "group":
            left += [member.id for member in members(session, who.id)]
        elif who.kind != "public":  # that everyone curates names nobody
            found[who.id] = who
    return found


def _operators(session: Session) -> dict[int, PrincipalRecord]:
    query = select(PrincipalRow.id).where(PrincipalRow.role.in_(_MAY_OPERATE), PrincipalRow.state == "active")
    return _people(session, session.scalars(query).all())


def _linked(session: Session, team_id: str, people: dict[int, PrincipalRecord]) -> list[Owner]:
    u = SlackUserRow
    full = (u.team_id == team_id, u.member.is_(True), u.deleted.is_(False), u.principal_id.is_not(None))
    found = [
        Owner(user_id, principal_id, people[principal_id].display, language_of(locale))
        for user_id, principal_id, locale in session.execute(select(u.user_id, u.principal_id, u.locale).where(*full))
        if principal_id in people
    ]
    return sorted(found, key=lambda each: (each.name, each.user_id))


def recorded_as(session: Session, person: Person) -> int:
    """Return the principal that what the person does is recorded under: everyone for who is anonymous."""
    if person.principal_id is not None:
        return person.principal_id
    everyone = principal_named(session, EVERYONE)
    if everyone is None:
        raise CatalogError("The catalog has no principal for everyone.")
    return everyone.id
