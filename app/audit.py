"""The audit log: who asked or changed what, when and through which door; ids, never content.

A line is written in the transaction of what it tells of, so that there is never one without the other. Lines are
numbered without gaps and chained by hashes. Whoever can write to the database could still make the whole chain anew:
against that, a head that was noted elsewhere (the server logs it each day, ``metier audit verify`` prints it) must be
found in the chain again. Functions take a session and never commit, but for ``note``, which says so.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, insert, or_, select, update

from app.tables_audit import AuditHeadRow, AuditRow
from indexing import changelog
from indexing.errors import CatalogError
from indexing.tables import PrincipalRow, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from indexing.db import Catalog

log = structlog.get_logger(__name__)

#: Seconds within which a refusal of the same permission to the same principal is recorded once.
REFUSALS_EVERY_S = 3600.0
OBJECT_CHARS = 200
_CHAINED = ("seq", "at", "principal_id", "about_id", "door", "action", "object", "outcome", "request_id")


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line, with the names that its principals have now."""

    seq: int
    at: datetime
    principal_id: int | None  # who did it; None: the program by itself
    about_id: int | None  # the principal that it concerns
    door: str  # rest | openai | cli | server
    action: str  # kind.verb
    object: str  # the id of what the action's first word names
    outcome: str  # ok | refused | failed | cancelled
    request_id: str | None
    hash: str
    by: str | None
    about: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log, as it can be noted elsewhere. ``seq`` is 0 before the first line."""

    seq: int
    hash: str

    def __str__(self) -> str:
        """Return it in one word."""
        return f"{self.seq}:{self.hash}"


def record(
    session: Session,
    who: int | None,
    action: str,
    thing: object = "",
    *,
    about: int | None = None,
    outcome: str = "ok",
) -> int:
    """Write one line and return its number. Door and request id are those of the request that is being served.

    To be called after the statements that it tells of: from here on until the commit other lines wait.
    """
    context = structlog.contextvars.get_contextvars()
    taken = update(AuditHeadRow).values(seq=AuditHeadRow.seq + 1).returning(AuditHeadRow.seq, AuditHeadRow.hash)
    seq, previous = session.execute(taken).one()
    line = {
        "seq": seq,
        "at": utc_now(),
        "principal_id": who,
        "about_id": about,
        "door": context.get("door", "cli"),
        "action": action,
        "object": str(thing)[:OBJECT_CHARS],
        "outcome": outcome,
        "request_id": context.get("request_id"),
    }
    digest = _chained(previous, *line.values())
    session.execute(insert(AuditRow).values(**line, hash=digest))
    session.execute(update(AuditHeadRow).values(hash=digest))
    return int(seq)


def note(catalog: Catalog, who: int | None, action: str, thing: object = "", *, outcome: str = "ok") -> None:
    """Write one line in a transaction of its own, for what changes nothing: a search, a document that is read.

    A catalog that cannot be written to does not take away what was found: then the log says that the line is missing.
    """
    try:
        with catalog.transaction() as session:
            record(session, who, action, thing, outcome=outcome)
    except CatalogError as exc:
        log.warning("A line of the audit log was lost.", action="audit_lost", what=action, reason=str(exc))


class Refusals:
    """What was refused to whom lately, so that somebody who tries again and again does not fill the disk."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, str], float] = {}

    def note(self, catalog: Catalog, who: int, permission: str) -> None:
        """Record that *who* lacks *permission*, unless that was recorded within the last hour."""
        now = time.monotonic()
        if now - self._last.get((who, permission), -REFUSALS_EVERY_S) < REFUSALS_EVERY_S:
            return
        self._last[who, permission] = now
        note(catalog, who, "permission.use", permission, outcome="refused")


def _chained(previous: str, *fields: object) -> str:
    """Return the hash of a line: it covers the hash before it and every field."""
    plain = [f.isoformat(timespec="microseconds") if hasattr(f, "isoformat") else f for f in fields]
    return hashlib.sha256(json.dumps([previous, *plain], ensure_ascii=False).encode()).hexdigest()


def head(session: Session) -> Head:
    """Return the end of the log."""
    return Head(*session.execute(select(AuditHeadRow.seq, AuditHeadRow.hash)).one())


# --- reading --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines; None: all."""

    principal_id: int | None = None  # who did it, or whom it concerns
    action: str | None = None  # "key.create", or "key" for all that begin with "key."
    since: datetime | None = None


def lines(
    session: Session, wanted: Wanted | None = None, *, after: int = 0, limit: int | None = None, newest: bool = False
) -> Iterator[AuditLine]:
    """Yield the lines numbered above *after*, oldest first; with *newest* the newest first."""
    query = _query(wanted or Wanted()).where(AuditRow.seq > after)
    query = query.order_by(AuditRow.seq.desc() if newest else AuditRow.seq).limit(limit)
    with session.execute(query.execution_options(yield_per=1000)) as rows:
        for row in rows.mappings():
            yield AuditLine(**row)


def _query(wanted: Wanted) -> Select[Any]:
    by, about = PrincipalRow.__table__.alias("by"), PrincipalRow.__table__.alias("about")
    columns = (*(getattr(AuditRow, name) for name in _CHAINED), AuditRow.hash)
    query = select(*columns, by.c.external_id.label("by"), about.c.external_id.label("about"))
    query = query.outerjoin(by, by.c.id == AuditRow.principal_id).outerjoin(about, about.c.id == AuditRow.about_id)
    if wanted.principal_id is not None:
        either = (AuditRow.principal_id == wanted.principal_id, AuditRow.about_id == wanted.principal_id)
        query = query.where(or_(*either))
    if wanted.action is not None:
        query = query.where(or_(AuditRow.action == wanted.action, AuditRow.action.startswith(f"{wanted.action}.")))
    return query if wanted.since is None else query.where(AuditRow.at >= wanted.since)


# --- checking -------------------------------------------------------------------------------------------------


def verify(session: Session, noted: Head | None = None) -> int | None:
    """Return the number of the first line that was altered, removed or added, or None when the log is intact.

    A head that was *noted* earlier must be in the log again; one of a line that was forgotten since tells nothing.
    """
    columns = (AuditHeadRow.seq, AuditHeadRow.hash, AuditHeadRow.start_seq, AuditHeadRow.start_hash)
    end, end_hash, start, start_hash = session.execute(select(*columns)).one()
    if start_hash != _start_hash(session, start):
        return int(start) + 1
    seq, digest = start, start_hash
    query = select(*(getattr(AuditRow, name) for name in _CHAINED), AuditRow.hash).order_by(AuditRow.seq)
    with session.execute(query.execution_options(yield_per=5000)) as rows:
        for _, *fields, written in rows:
            seq += 1
            digest = _chained(digest, seq, *fields)
            if digest != written or (noted and noted.seq == seq and noted.hash != digest):
                return int(seq)
    if (seq, digest) != (end, end_hash):
        return int(min(seq, end)) + (seq != end)
    return int(end) + 1 if noted and noted.seq > end else None


def _start_hash(session: Session, start: int) -> str | None:
    """Return the hash that the chain begins with, by what is on record: the catalog's own, or the line that says it."""
    if start == 0:
        return first_hash(changelog.state(session).uuid)
    said = select(AuditRow.object).where(AuditRow.action == FORGET).order_by(AuditRow.seq.desc()).limit(1)
    seq, _, digest = (session.execute(said).scalar_one_or_none() or "").partition(":")
    return digest if seq == str(start) else None


def first_hash(uuid: str) -> str:
    """Return the hash that the chain of this catalog begins with."""
    return hashlib.sha256(f"audit {uuid}".encode()).hexdigest()


# --- forgetting -----------------------------------------------------------------------------------------------

FORGET = "audit.forget"


def forget(session: Session, before: datetime) -> int:
    """Delete the lines from the front that are all older than *before* and return how many.

    The number and hash of the last of them become the start of the chain, and are recorded as a line of it.
    """
    kept = select(AuditRow.seq).where(AuditRow.at >= before).order_by(AuditRow.seq).limit(1)
    first_kept = session.execute(kept).scalar_one_or_none()
    last = head(session).seq if first_kept is None else first_kept - 1
    digest = session.execute(select(AuditRow.hash).where(AuditRow.seq == last)).scalar_one_or_none()
    if digest is None:
        return 0
    session.execute(update(AuditHeadRow).values(start_seq=last, start_hash=digest))
    gone = session.execute(delete(AuditRow).where(AuditRow.seq <= last).returning(AuditRow.seq)).all()
    record(session, None, FORGET, Head(last, digest))
    return len(gone)
