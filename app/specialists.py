"""Specialists: named, versioned answerers, each for one business function; a version is never changed once written.

The specialist called ``metier`` always exists, without a row: all sources that the asker may read, no
instructions of its own. Functions take a session and never commit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from app.errors import BadRequest, Conflict, NotFound
from app.tables import SpecialistRow, SpecialistVersionRow
from indexing.tables import SourceRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

DEFAULT_NAME = "metier"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
INSTRUCTIONS_CHARS = 8000
TOP_K_MOST = 50


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


#: The specialist that answers when none is named.
DEFAULT = Specialist(DEFAULT_NAME, version=1)


def create_specialist(session: Session, wanted: Specialist) -> Specialist:
    """Store *wanted* as version 1 of a new specialist and return it.

    Raises BadRequest when a field cannot be used and Conflict when the name is taken.
    """
    _check(session, wanted)
    if wanted.name == DEFAULT_NAME or _row(session, wanted.name) is not None:
        raise Conflict(f"There is already a specialist called {wanted.name}.", remedy="Choose another name.")
    row = SpecialistRow(name=wanted.name, version=1)
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError as exc:  # someone else took the name between the look and the write
        raise Conflict(f"There is already a specialist called {wanted.name}.", remedy="Choose another name.") from exc
    return _add_version(session, row, wanted, 1)


def add_version(session: Session, wanted: Specialist) -> Specialist:
    """Store *wanted* as the next version of the specialist of that name, which answers from now on.

    Raises NotFound for an unknown name, Conflict for the built-in one, BadRequest for an unusable field.
    """
    _check(session, wanted)
    row = _existing(session, wanted.name)
    newest = session.scalar(
        select(func.max(SpecialistVersionRow.version)).where(SpecialistVersionRow.specialist_id == row.id)
    )
    version = (newest or 0) + 1
    stored = _add_version(session, row, wanted, version)
    session.execute(update(SpecialistRow).where(SpecialistRow.id == row.id).values(version=version))
    return stored


def promote(session: Session, name: str, version: int) -> Specialist:
    """Make *version* the one that answers (a rollback is a promotion of an older one) and return it."""
    row = _existing(session, name)
    chosen = specialist(session, name, version)
    session.execute(update(SpecialistRow).where(SpecialistRow.id == row.id).values(version=version))
    return chosen


def specialist(session: Session, name: str, version: int | None = None) -> Specialist:
    """Return the version that answers, or the given one. Raises NotFound for an unknown name or version."""
    if name == DEFAULT_NAME and version in (None, DEFAULT.version):
        return DEFAULT
    wanted = SpecialistRow.version if version is None else version
    found = session.scalars(
        select(SpecialistVersionRow)
        .join(SpecialistRow, SpecialistRow.id == SpecialistVersionRow.specialist_id)
        .where(SpecialistRow.name == name, SpecialistVersionRow.version == wanted)
    ).one_or_none()
    if found is None:
        what = f"specialist called {name}" if version is None else f"version {version} of a specialist called {name}"
        raise NotFound(f"There is no {what}.", remedy="`metier specialist list` shows those that exist.")
    return _record(name, found)


def specialists(session: Session) -> list[Specialist]:
    """Return every specialist in the version that answers, the built-in one first, then by name."""
    rows = session.execute(
        select(SpecialistRow.name, SpecialistVersionRow)
        .join(
            SpecialistVersionRow,
            (SpecialistVersionRow.specialist_id == SpecialistRow.id)
            & (SpecialistVersionRow.version == SpecialistRow.version),
        )
        .order_by(SpecialistRow.name)
    )
    return [DEFAULT, *(_record(name, row) for name, row in rows)]


def versions(session: Session, name: str) -> list[Specialist]:
    """Return all versions of one specialist, oldest first. Raises NotFound for an unknown name."""
    if name == DEFAULT_NAME:
        return [DEFAULT]
    row = _existing(session, name)
    found = session.scalars(
        select(SpecialistVersionRow)
        .where(SpecialistVersionRow.specialist_id == row.id)
        .order_by(SpecialistVersionRow.version)
    )
    return [_record(name, each) for each in found]


def delete_specialist(session: Session, name: str) -> None:
    """Delete a specialist and its versions; answers that it gave stay. Raises NotFound or Conflict (built in)."""
    row = _existing(session, name)
    session.execute(delete(SpecialistVersionRow).where(SpecialistVersionRow.specialist_id == row.id))
    session.execute(delete(SpecialistRow).where(SpecialistRow.id == row.id))


def _row(session: Session, name: str) -> SpecialistRow | None:
    return session.scalars(select(SpecialistRow).where(SpecialistRow.name == name)).one_or_none()


def _existing(session: Session, name: str) -> SpecialistRow:
    if name == DEFAULT_NAME:
        raise Conflict(f"The specialist {DEFAULT_NAME} is built in.", remedy="Create another one and change that.")
    row = _row(session, name)
    if row is None:
        raise NotFound(f"There is no specialist called {name}.", remedy="`metier specialist list` shows those.")
    return row


def _check(session: Session, wanted: Specialist) -> None:
    """Raise BadRequest that names the field that cannot be used."""
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
    known = set(session.scalars(select(SourceRow.name).where(SourceRow.name.in_(wanted.sources))))
    refuse_unknown(wanted.sources, known)


def refuse_unknown(names: Collection[str], known: Collection[str]) -> None:
    """Raise BadRequest for names of sources that are not among the *known*."""
    missing = [name for name in names if name not in known]
    if missing:
        raise BadRequest(f"There is no source called {', '.join(missing)}.", remedy="`metier sources list` shows them.")


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
    return _record(wanted.name, stored)


def _record(name: str, row: SpecialistVersionRow) -> Specialist:
    return Specialist(
        name=name,
        version=row.version,
        sources=tuple(row.sources),
        instructions=row.instructions,
        generator=row.generator,
        top_k=row.top_k,
        threshold=row.threshold,
    )
