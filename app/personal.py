"""A person's data: all that is kept of a user or service, exported or erased.

Which tables hold such data is not listed but found: every table that refers to ``principal``. So a table that is added
is exported and erased with the others. Functions take a session and never commit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from app import audit
from app.errors import BadRequest
from indexing import changelog, grants, principals
from indexing.tables import LOCAL_PRINCIPAL_ID, SourceRow, Table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy import Table as SqlTable
    from sqlalchemy.orm import Session

    from indexing.principals import PrincipalRecord

#: Told in other words than their rows': groups and lists by name.
TOLD_APART = {"membership", "acl_entry"}
#: Columns whose name holds one of these are left out of an export.
SECRET = ("secret", "token", "password")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure came to."""

    principal_id: int
    deleted: dict[str, int]  # rows by table
    lists: int  # access lists that the person was on
    line: audit.Head  # of the audit log, which says that it was done


def personal_tables() -> list[tuple[SqlTable, ColumnElement[int]]]:
    """Return each table that refers to a principal with the columns that do, those that refer to others first."""
    of = Table.metadata.tables["principal"].c.id
    found = []
    for table in reversed(Table.metadata.sorted_tables):
        columns = [column for column in table.columns if any(key.column is of for key in column.foreign_keys)]
        found += [(table, column) for column in columns]
    return found


def _of(session: Session, who: PrincipalRecord) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for table, column in personal_tables():
        if table.name in TOLD_APART:
            continue
        shown = [each for each in table.columns if not any(word in each.name for word in SECRET)]
        found = session.execute(select(*shown).where(column == who.id)).mappings()
        rows.setdefault(table.name, []).extend(dict(row) for row in found)
    return rows


def export_person(session: Session, who: PrincipalRecord, by: int = LOCAL_PRINCIPAL_ID) -> dict[str, Any]:
    """Return all that is kept of *who*, without secrets, and record that it was exported.

    Raises BadRequest for a group or everyone, which are no person.
    """
    _require_person(who)
    audit.record(session, by, "principal.export", about=who.id)
    lines = [asdict(line) for line in audit.lines(session, audit.Wanted(who.id))]
    for line in lines:  # who else was involved is told by number: their names are their own data
        del line["by"], line["about"]
    sources = session.execute(select(SourceRow.id, SourceRow.name).order_by(SourceRow.name))
    return {
        "principal": asdict(who),
        "groups": [group.name for group in principals.groups_of(session, who.id)],
        "sources": [name for source_id, name in sources if who.id in grants.readers(session, source_id)],
        "kept": _of(session, who),
        "audit": lines,
    }


def erase_person(session: Session, who: PrincipalRecord, by: int = LOCAL_PRINCIPAL_ID) -> Receipt:
    """Delete all rows that refer to *who*, take the name away, and return the receipt, which is a line of the log.

    The principal's row stays under a number for a name, and so do the lines of the audit log, which hold numbers only.
    Raises BadRequest for a group, for everyone, and for the local user.
    """
    _require_person(who)
    if who.id == LOCAL_PRINCIPAL_ID:
        raise BadRequest("The local user cannot be erased: it stands for whoever runs this program.")
    changelog.lock(session)
    deleted = {table.name: 0 for table, _ in personal_tables()}
    for table, column in personal_tables():
        counted = select(func.count()).select_from(table).where(column == who.id)
        deleted[table.name] += session.scalar(counted) or 0
    principals.erase_principal(session, who.id)  # first: an answer that is being written waits for it, and is dropped
    lists = grants.take_off_all(session, who.id)
    for table, column in personal_tables():
        session.execute(delete(table).where(column == who.id))
    audit.record(session, by, "principal.erase", about=who.id)
    return Receipt(who.id, deleted, lists, audit.head(session))


def _require_person(who: PrincipalRecord) -> None:
    if who.kind not in ("user", "service"):
        raise BadRequest(f"{who.name} is a {who.kind}, not a person.", remedy="Name a user or a service.")
