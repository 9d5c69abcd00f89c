"""Routes of specialists: ``/v1/specialists``, their versions, and who may ask and change each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path

from app import audit, specialists, specialists_access
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import MayCurate, MayOperate, MayRead, PartsHere, asker_of
from app.wire_specialists import (
    SpecialistAccessIn,
    SpecialistAccessOut,
    SpecialistIn,
    SpecialistOut,
    SpecialistsOut,
    SpecialistVersionIn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.specialists import Asker, Specialist

router = APIRouter(prefix="/v1", tags=["specialists"], route_class=JsonRoute)

SpecialistName = Annotated[str, Path(max_length=100, description="Name of the specialist.")]


@router.get("/specialists", operation_id="list_specialists", summary="List specialists")
def list_specialists(parts: PartsHere, who: MayRead) -> SpecialistsOut:
    """Return the specialists that one may ask, in the version that answers; of their sources those one may read."""
    asker = asker_of(parts, who)
    with parts.catalog.reading() as session:
        return _all_out(session, asker, specialists.specialists(session, asker))


@router.post(
    "/specialists", operation_id="create_specialist", status_code=201, summary="Create one", responses=may_fail(409)
)
def create_specialist(body: SpecialistIn, parts: PartsHere, who: MayOperate) -> SpecialistOut:
    """Create a specialist, which its maker and `askers` may ask at once, also as a model of the OpenAI routes."""
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        wanted = specialists.Specialist(**body.model_dump(exclude={"askers"}))
        askers = specialists_access.known(session, body.askers)
        made = specialists.create_specialist(session, asker, wanted, askers)
        audit.record(session, who.id, "specialist.change", f"{made.name}@{made.version}")
        return _out(session, asker, made)


@router.get("/specialists/{name}", operation_id="get_specialist", summary="Read one")
def get_specialist(name: SpecialistName, parts: PartsHere, who: MayRead) -> SpecialistOut:
    """Return the version that answers; of its sources those that one may read."""
    asker = asker_of(parts, who)
    with parts.catalog.reading() as session:
        return _out(session, asker, specialists.specialist(session, asker, name))


@router.delete("/specialists/{name}", operation_id="delete_specialist", status_code=204, summary="Delete one")
def delete_specialist(name: SpecialistName, parts: PartsHere, who: MayOperate) -> None:
    """Delete a specialist with all its versions; the answers that it gave stay."""
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        specialists.delete_specialist(session, asker, name)
        audit.record(session, who.id, "specialist.delete", name)


@router.get("/specialists/{name}/versions", operation_id="list_specialist_versions", summary="List versions")
def list_specialist_versions(name: SpecialistName, parts: PartsHere, who: MayRead) -> SpecialistsOut:
    """Return all versions of one specialist, oldest first; of their sources those that one may read."""
    asker = asker_of(parts, who)
    with parts.catalog.reading() as session:
        return _all_out(session, asker, specialists.versions(session, asker, name))


@router.post(
    "/specialists/{name}/versions", operation_id="add_specialist_version", status_code=201, summary="Add a version"
)
def add_specialist_version(
    name: SpecialistName, body: SpecialistVersionIn, parts: PartsHere, who: MayCurate
) -> SpecialistOut:
    """Store a new version, which answers from now on; earlier ones are kept. For operators and its curators.

    Sources that one may not read can be neither named nor taken away: those of the version before stay.
    """
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        wanted = specialists.Specialist(name=name, **body.model_dump())
        made = specialists.add_version(session, asker, wanted)
        audit.record(session, who.id, "specialist.change", f"{name}@{made.version}")
        return _out(session, asker, made)


@router.post(
    "/specialists/{name}/versions/{version}/promote",
    operation_id="promote_specialist_version",
    summary="Choose the version that answers",
)
def promote_specialist_version(
    name: SpecialistName, version: Annotated[int, Path(ge=1, lt=2**31)], parts: PartsHere, who: MayCurate
) -> SpecialistOut:
    """Make a version the one that answers; a rollback is the promotion of an older one. For operators and curators."""
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        chosen = specialists.promote(session, asker, name, version)
        audit.record(session, who.id, "specialist.promote", f"{name}@{version}")
        return _out(session, asker, chosen)


@router.get(
    "/specialists/{name}/access", operation_id="get_specialist_access", summary="Read who may ask and change it"
)
def get_specialist_access(name: SpecialistName, parts: PartsHere, who: MayCurate) -> SpecialistAccessOut:
    """Return who may ask and who may change a specialist, for operators and its curators."""
    asker = asker_of(parts, who)
    with parts.catalog.reading() as session:
        return SpecialistAccessOut.model_validate(specialists_access.access(session, asker, name))


@router.put("/specialists/{name}/access", operation_id="set_specialist_access", summary="Say who may ask and change it")
def set_specialist_access(
    name: SpecialistName, body: SpecialistAccessIn, parts: PartsHere, who: MayCurate
) -> SpecialistAccessOut:
    """Replace the lists that are given, from the next question on. Its curators may change who asks it, no more."""
    asker = asker_of(parts, who)
    with parts.catalog.transaction() as session:
        changed = specialists_access.change_access(session, asker, name, **body.model_dump())
        audit.record(session, who.id, "specialist.access", name)
        return SpecialistAccessOut.model_validate(changed)


def _out(session: Session, asker: Asker, found: Specialist) -> SpecialistOut:
    return SpecialistOut.model_validate(specialists.shown_to(session, asker, [found])[0])


def _all_out(session: Session, asker: Asker, found: Sequence[Specialist]) -> SpecialistsOut:
    shown = specialists.shown_to(session, asker, found)
    return SpecialistsOut(specialists=tuple(SpecialistOut.model_validate(each) for each in shown))
