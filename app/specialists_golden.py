"""Golden sets that are kept with specialists: they guard the sources that these answer from. For operators.

Functions take a session and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from app.errors import BadRequest, NotFound
from app.golden import GoldenSet, golden_lines, golden_of
from app.specialists import DEFAULT_NAME, Asker, Specialist, row_to_change, specialist
from app.tables_golden import GoldenSetRow
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

#: More would make each run of a source wait for too long.
QUESTIONS_MOST = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A golden set as it is kept with a specialist."""

    specialist: str
    golden: GoldenSet
    tolerance: float
    floors: Mapping[str, float]


def keep(
    session: Session, asker: Asker, name: str, golden: GoldenSet, *, tolerance: float, floors: Mapping[str, float]
) -> Kept:
    """Keep *golden* with the specialist, in place of an older one; its sources are guarded from the next run on.

    Raises NotFound when there is no such specialist, and BadRequest for a set that is too long.
    """
    if name != DEFAULT_NAME:
        row_to_change(session, asker, name)
    if len(golden.questions) > QUESTIONS_MOST:
        raise BadRequest(
            f"{golden.name} has {len(golden.questions)} questions.",
            remedy=f"Keep at most {QUESTIONS_MOST}: each run of the sources asks them all, twice.",
        )
    session.execute(delete(GoldenSetRow).where(GoldenSetRow.specialist == name))
    session.add(
        GoldenSetRow(
            specialist=name,
            name=golden.name[:255],
            sha256=golden.sha256,
            questions=golden_lines(golden.questions),
            tolerance=tolerance,
            floors=dict(floors),
            stored_at=utc_now(),
        )
    )
    session.flush()
    return Kept(name, golden, tolerance, dict(floors))


def kept(session: Session, name: str) -> Kept:
    """Return the specialist's golden set. Raises NotFound when it has none."""
    row = session.scalars(select(GoldenSetRow).where(GoldenSetRow.specialist == name)).one_or_none()
    if row is None:
        raise NotFound(f"No golden set is kept with {name}.", remedy="`metier specialist golden NAME FILE` keeps one.")
    return _record(row)


def forget(session: Session, name: str) -> bool:
    """Return whether a golden set was kept with the specialist; there is none now, and it guards nothing."""
    gone = delete(GoldenSetRow).where(GoldenSetRow.specialist == name).returning(GoldenSetRow.specialist)
    return session.execute(gone).one_or_none() is not None


def guards(session: Session, asker: Asker, source: str) -> list[tuple[Specialist, Kept]]:
    """Return the specialists that have a golden set and answer from *source*, in the version that answers, by name.

    One without sources of its own answers from all.
    """
    found = []
    for row in session.scalars(select(GoldenSetRow).order_by(GoldenSetRow.specialist)):
        chosen = specialist(session, asker, row.specialist)
        if not chosen.sources or source in chosen.sources:
            found.append((chosen, _record(row)))
    return found


def _record(row: GoldenSetRow) -> Kept:
    floors: dict[str, Any] = row.floors
    return Kept(row.specialist, golden_of(row.name, row.sha256, row.questions), row.tolerance, floors)
