"""Specialists: named, versioned answerers, each for one business function; a version is never changed once written.

The specialist called ``metier`` always exists, without a row, for everyone: all sources that the asker may read, no
instructions of its own. Every other one has two access lists: who may ask it, and who may change it. Whoever is on
neither gets the same answer as for a name that is not there. Functions take a session and never commit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from app.errors import BadRequest, Conflict, NotFound
from app.tables import SpecialistRow, SpecialistVersionRow
from app.tables_golden import GoldenSetRow
from indexing import grants, store
from indexing.tables import SourceRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from indexing.documents import Scope

DEFAULT_NAME = "metier"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
INSTRUCTIONS_CHARS = 8000
TOP_K_MOST = 50
#: Who gets to see the answers: who asks; or everybody, so that they are made from what everyone may read.
AUDIENCES = ("asker", "public")


@dataclass(frozen=True, slots=True)
class Specialist:
    """One version of one specialist. ``None`` means: the server's setting."""

    name: str
    version: int = 0  # 0 until it is stored
    sources: tuple[str, ...] = ()  # names; empty: all that the asker may read
    instructions: str = ""
    generator: str | None = None  # "reader", or the name of the server's generator
    top_k: int | None = None
    threshold: float | None = None  # least confidence for an answer, 0..1
    audience: str = "asker"  # one of AUDIENCES; the specialist's, whichever version answers


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants a specialist: the access lists that count for them. ``every``: may ask and change each of them."""

    scope: Scope
    every: bool


#: The specialist that answers when none is named.
DEFAULT = Specialist(DEFAULT_NAME, version=1)


def may_change(asker: Asker, row: SpecialistRow) -> bool:
    """Return whether the asker may change this specialist: operators, and its curators."""
    return asker.every or row.curators_acl_id in asker.scope.acl_ids


def may_ask(asker: Asker, row: SpecialistRow) -> bool:
    """Return whether the asker may ask this specialist, and so know of it: who is on its list, or may change it."""
    return row.acl_id in asker.scope.acl_ids or may_change(asker, row)


def create_specialist(session: Session, asker: Asker, wanted: Specialist, askers: Collection[int] = ()) -> Specialist:
    """Store *wanted* as version 1 of a new specialist and return it. Its maker and *askers* may ask it, nobody else.

    Raises BadRequest when a field cannot be used and Conflict when the name is taken. Only for who may operate.
    """
    _check(session, asker, wanted)
    if wanted.name == DEFAULT_NAME or _row(session, wanted.name) is not None:
        raise Conflict(f"There is already a specialist called {wanted.name}.", remedy="Choose another name.")
    row = SpecialistRow(
        name=wanted.name,
        version=1,
        acl_id=grants.interned(session, {asker.scope.principal_id, *askers}),
        curators_acl_id=grants.interned(session, ()),
        audience=wanted.audience,
    )
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError as exc:  # someone else took the name between the look and the write
        raise Conflict(f"There is already a specialist called {wanted.name}.", remedy="Choose another name.") from exc
    return _add_version(session, row, wanted, 1)


def add_version(session: Session, asker: Asker, wanted: Specialist) -> Specialist:
    """Store *wanted* as the next version of the specialist of that name, which answers from now on.

    Sources of the version before that the asker may not read are kept: they are neither shown to them nor theirs to
    take away. The audience stays as it is. Raises NotFound for a name that the asker may not change, Conflict for the
    built-in one, BadRequest for an unusable field.
    """
    row = row_to_change(session, asker, wanted.name)
    _check(session, asker, wanted)
    newest = session.scalar(
        select(func.max(SpecialistVersionRow.version)).where(SpecialistVersionRow.specialist_id == row.id)
    )
    version = (newest or 0) + 1
    kept = _hidden_sources(session, asker, _version(session, row, row.version))
    stored = _add_version(session, row, replace(wanted, sources=(*wanted.sources, *kept)), version)
    row.version = version
    session.flush()
    return stored


def promote(session: Session, asker: Asker, name: str, version: int) -> Specialist:
    """Make *version* the one that answers (a rollback is a promotion of an older one) and return it."""
    row = row_to_change(session, asker, name)
    chosen = _version(session, row, version)
    row.version = version
    session.flush()
    return chosen


def specialist(session: Session, asker: Asker, name: str, version: int | None = None) -> Specialist:
    """Return the version that answers, or the given one.

    Raises NotFound for a name that is unknown or that the asker may not ask, and for an unknown version.
    """
    if name == DEFAULT_NAME and version in (None, DEFAULT.version):
        return DEFAULT
    row = _row_to_ask(session, asker, name)
    return _version(session, row, row.version if version is None else version)


def specialists(session: Session, asker: Asker) -> list[Specialist]:
    """Return each specialist that the asker may ask in the version that answers: the built-in one, then by name."""
    rows = session.execute(
        select(SpecialistRow, SpecialistVersionRow)
        .join(
            SpecialistVersionRow,
            (SpecialistVersionRow.specialist_id == SpecialistRow.id)
            & (SpecialistVersionRow.version == SpecialistRow.version),
        )
        .order_by(SpecialistRow.name)
    )
    return [DEFAULT, *(_record(row, version) for row, version in rows if may_ask(asker, row))]


def versions(session: Session, asker: Asker, name: str) -> list[Specialist]:
    """Return all versions of one specialist, oldest first. Raises NotFound, also for one that may not be asked."""
    if name == DEFAULT_NAME:
        return [DEFAULT]
    row = _row_to_ask(session, asker, name)
    found = session.scalars(
        select(SpecialistVersionRow)
        .where(SpecialistVersionRow.specialist_id == row.id)
        .order_by(SpecialistVersionRow.version)
    )
    return [_record(row, each) for each in found]


def delete_specialist(session: Session, asker: Asker, name: str) -> None:
    """Delete a specialist, its versions and its golden set; answers that it gave stay.

    Raises NotFound or Conflict (built in).
    """
    row = row_to_change(session, asker, name)
    session.execute(delete(SpecialistVersionRow).where(SpecialistVersionRow.specialist_id == row.id))
    session.execute(delete(GoldenSetRow).where(GoldenSetRow.specialist == name))
    session.execute(delete(SpecialistRow).where(SpecialistRow.id == row.id))


def row_to_change(session: Session, asker: Asker, name: str) -> SpecialistRow:
    """Return the specialist's row for whoever may change it.

    Raises NotFound, in the same words for one that is not there and for one that the asker may not change; Conflict for
    the built-in one, which nobody may.
    """
    if name == DEFAULT_NAME and asker.every:
        raise Conflict(f"The specialist {DEFAULT_NAME} is built in.", remedy="Create another one and change that.")
    row = _row(session, name)
    if row is None or not may_change(asker, row):
        raise NotFound(f"There is no specialist called {name} that you may change.", remedy=_LISTED)
    return row


_LISTED = "`metier specialist list` and GET /v1/specialists show those that there are."


def _row_to_ask(session: Session, asker: Asker, name: str) -> SpecialistRow:
    row = _row(session, name)
    if row is None or not may_ask(asker, row):
        raise NotFound(f"There is no specialist called {name}.", remedy=_LISTED)
    return row


def _row(session: Session, name: str) -> SpecialistRow | None:
    return session.scalars(select(SpecialistRow).where(SpecialistRow.name == name)).one_or_none()


def _version(session: Session, row: SpecialistRow, version: int) -> Specialist:
    found = session.scalars(
        select(SpecialistVersionRow).where(
            SpecialistVersionRow.specialist_id == row.id, SpecialistVersionRow.version == version
        )
    ).one_or_none()
    if found is None:
        remedy = f"`metier specialist show {row.name}` and GET /v1/specialists/{row.name}/versions list them."
        raise NotFound(f"There is no version {version} of the specialist {row.name}.", remedy=remedy)
    return _record(row, found)


def _readable_sources(session: Session, asker: Asker) -> set[str]:
    return {source.name for source in store.visible_sources(session, asker.scope)}


def shown_to(session: Session, asker: Asker, found: Collection[Specialist]) -> list[Specialist]:
    """Return *found* as the asker may see them: without the names of sources that the asker may not read."""
    readable = _readable_sources(session, asker)
    return [replace(each, sources=tuple(name for name in each.sources if name in readable)) for each in found]


def _hidden_sources(session: Session, asker: Asker, now: Specialist) -> list[str]:
    """Return the sources of a version that exist, and that the asker may not read."""
    existing = set(session.scalars(select(SourceRow.name).where(SourceRow.name.in_(now.sources))))
    hidden = existing - _readable_sources(session, asker)
    return [name for name in now.sources if name in hidden]


def _check(session: Session, asker: Asker, wanted: Specialist) -> None:
    """Raise BadRequest that names the field that cannot be used. A source that one may not read is as none."""
    if not _NAME.fullmatch(wanted.name):
        raise BadRequest(
            f"{wanted.name!r} cannot name a specialist.",
            remedy="Use up to 100 small letters, digits, dots, hyphens and underscores; begin with a letter or digit.",
        )
    if len(wanted.instructions) > INSTRUCTIONS_CHARS:
        raise BadRequest(f"The instructions are longer than {INSTRUCTIONS_CHARS} characters.", remedy="Shorten them.")
    if wanted.top_k is not None and not 1 <= wanted.top_k <= TOP_K_MOST:
        raise BadRequest(f"top_k is {wanted.top_k}.", remedy=f"Use 1 to {TOP_K_MOST}.")
    if wanted.threshold is not None and not 0 <= wanted.threshold <= 1:
        raise BadRequest(f"threshold is {wanted.threshold}.", remedy="Use 0 to 1.")
    check_audience(wanted.audience)
    readable = _readable_sources(session, asker) if wanted.sources else set()
    missing = [name for name in wanted.sources if name not in readable]
    if missing:
        raise BadRequest(f"There is no source called {', '.join(missing)}.", remedy="Name sources that you may read.")


def check_audience(audience: str) -> None:
    """Raise BadRequest unless it is one of AUDIENCES."""
    if audience not in AUDIENCES:
        raise BadRequest(f"There is no audience called {audience!r}.", remedy=f"Use {' or '.join(AUDIENCES)}.")


def _add_version(session: Session, row: SpecialistRow, wanted: Specialist, version: int) -> Specialist:
    stored = SpecialistVersionRow(
        specialist_id=row.id,
        version=version,
        sources=list(wanted.sources),
        instructions=wanted.instructions,
        generator=wanted.generator,
        top_k=wanted.top_k,
        threshold=wanted.threshold,
    )
    session.add(stored)
    session.flush()
    return _record(row, stored)


def _record(row: SpecialistRow, version: SpecialistVersionRow) -> Specialist:
    return Specialist(
        name=row.name,
        version=version.version,
        sources=tuple(version.sources),
        instructions=version.instructions,
        generator=version.generator,
        top_k=version.top_k,
        threshold=version.threshold,
        audience=row.audience,
    )
