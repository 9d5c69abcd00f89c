"""Who may ask a specialist, who may change it, who gets to see its answers; and why. Functions take a session.

Two access lists, interned like those of sources: the askers and the curators. Nothing here commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app import people
from app.auth import ROLES
from app.errors import BadRequest, Forbidden, NotFound
from app.specialists import DEFAULT_NAME, Asker, check_audience, may_ask, may_change, row_to_change
from indexing import grants, principals
from indexing.access import authorise
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from app.tables import SpecialistRow
    from indexing.principals import PrincipalRecord

#: What the two lists are called, and the column of each.
Which = Literal["askers", "curators"]
_COLUMNS: dict[Which, str] = {"askers": "acl_id", "curators": "curators_acl_id"}


@dataclass(frozen=True, slots=True)
class SpecialistAccess:
    """The two lists of a specialist, as names, and its audience."""

    askers: tuple[str, ...]
    curators: tuple[str, ...]
    audience: str


@dataclass(frozen=True, slots=True)
class SpecialistExplanation:
    """Whether a principal may ask and change a specialist, and by which entries of its lists."""

    specialist: str
    may_ask: bool
    may_change: bool
    through: tuple[str, ...]  # entries that count for the principal, and its role where that opens the specialist
    askers: tuple[str, ...]
    curators: tuple[str, ...]
    suspended: bool


def access(session: Session, asker: Asker, name: str) -> SpecialistAccess:
    """Return the lists, for who may change the specialist. Raises NotFound for everybody else."""
    return _access(session, row_to_change(session, asker, name))


def change_access(
    session: Session,
    asker: Asker,
    name: str,
    *,
    askers: Sequence[str] | None = None,
    curators: Sequence[str] | None = None,
    audience: str | None = None,
) -> SpecialistAccess:
    """Give the specialist exactly these askers, curators and this audience; what is None stays. Return the lists.

    A curator decides who may ask. Who curates, and who gets to see the answers, only an operator changes: Forbidden.
    Raises NotFound for who may not change the specialist, BadRequest for a name of nobody.
    """
    row = row_to_change(session, asker, name)
    before = (row.curators_acl_id, row.audience)
    if askers is not None:
        row.acl_id = grants.interned(session, known(session, askers))
    if curators is not None:
        row.curators_acl_id = grants.interned(session, known(session, curators))
    if audience is not None:
        check_audience(audience)
        row.audience = audience
    if not asker.every and (row.curators_acl_id, row.audience) != before:
        raise Forbidden("Only an operator changes the curators and the audience of a specialist.")
    session.flush()
    return _access(session, row)


def put_on_list(session: Session, asker: Asker, name: str, which: Which, names: Sequence[str]) -> SpecialistAccess:
    """Put these on one of the lists, beside those who are on it, and return both."""
    row = row_to_change(session, asker, name)
    return _set(session, row, which, _listed(session, row, which) | known(session, names))


def take_off_list(session: Session, asker: Asker, name: str, which: Which, names: Sequence[str]) -> SpecialistAccess:
    """Take these off one of the lists and return both.

    Raises BadRequest for one who is not on it: who is counted through a group is taken out of the group.
    """
    row = row_to_change(session, asker, name)
    before = _listed(session, row, which)
    gone = known(session, names)
    if strangers := gone - before:
        remedy = f"`metier specialist access {name}` shows the list; take members of a group out of the group."
        raise BadRequest(f"Not on the list: {', '.join(_names(session, strangers))}.", remedy=remedy)
    return _set(session, row, which, before - gone)


def known(session: Session, names: Collection[str]) -> frozenset[int]:
    """Return the ids of these principals. Raises BadRequest for a name of nobody."""
    try:
        return frozenset(people.principal(session, name).id for name in names)
    except NotFound as exc:
        raise BadRequest(exc.message, remedy=exc.remedy) from exc


def explain(session: Session, who: PrincipalRecord, name: str) -> SpecialistExplanation:
    """Return why *who* may or may not ask and change the specialist. Raises NotFound when there is no such one."""
    active = who.state == "active"
    if name == DEFAULT_NAME:
        everyone = (EVERYONE,)
        return SpecialistExplanation(name, active, False, everyone if active else (), everyone, (), not active)
    anybody = Asker(authorise(session, who.id), every=True)
    row = row_to_change(session, anybody, name)
    asker = Asker(anybody.scope, every=active and "operate" in ROLES[who.role])
    entries = [people.counting(session, who, each) for each in (row.acl_id, row.curators_acl_id)]
    through = tuple(dict.fromkeys(name for each in entries for name in each))
    lists = _access(session, row)
    return SpecialistExplanation(
        specialist=row.name,
        may_ask=may_ask(asker, row),
        may_change=may_change(asker, row),
        through=(*through, f"the role {who.role}") if asker.every else through,
        askers=lists.askers,
        curators=lists.curators,
        suspended=not active,
    )


def _access(session: Session, row: SpecialistRow) -> SpecialistAccess:
    askers, curators = (_names(session, _listed(session, row, which)) for which in _COLUMNS)
    return SpecialistAccess(askers, curators, row.audience)


def _set(session: Session, row: SpecialistRow, which: Which, principal_ids: Collection[int]) -> SpecialistAccess:
    setattr(row, _COLUMNS[which], grants.interned(session, principal_ids))
    session.flush()
    return _access(session, row)


def _listed(session: Session, row: SpecialistRow, which: Which) -> frozenset[int]:
    return grants.on_list(session, getattr(row, _COLUMNS[which]))


def _names(session: Session, principal_ids: Collection[int]) -> tuple[str, ...]:
    """Return the names, as they can be given back: issuer|name for one of an identity provider."""
    found = principals.principals_with_ids(session, principal_ids).values()
    return tuple(sorted(people.full_name(each) for each in found))
