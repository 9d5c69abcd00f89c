"""The audit log's tables, and the triggers by which the database itself keeps it append-only.

Lines go in one after the other and come out at the front only: first the head says up to where the log was forgotten,
then those lines, and no others, may be deleted. A column of names there is not: who it was is told by the principal's
row, so that a person can be erased without touching a line. It is no foreign key, because a check of one would wait
for whoever is changing that person.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Integer, String, event
from sqlalchemy.orm import Mapped, mapped_column

from indexing.tables import Id, Table

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy import Table as SqlTable


class AuditRow(Table):
    """One line: who did what, when, through which door; ids, never content."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    principal_id: Mapped[int | None] = mapped_column(Id, index=True)  # who did it; None: the program by itself
    about_id: Mapped[int | None] = mapped_column(Id, index=True)  # the principal that it concerns, if any
    door: Mapped[str] = mapped_column(String(16))  # rest | openai | cli | server
    action: Mapped[str] = mapped_column(String(32))  # kind.verb: key.create
    object: Mapped[str] = mapped_column(String(200))  # the id of what the action's first word names
    outcome: Mapped[str] = mapped_column(String(16))  # ok | refused | failed | cancelled
    request_id: Mapped[str | None] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))  # of the hash before it and every other column


class AuditHeadRow(Table):
    """One row: the end of the log, and the last line that was forgotten."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(Id)
    hash: Mapped[str] = mapped_column(String(64))
    start_seq: Mapped[int] = mapped_column(Id)  # 0 while nothing was forgotten
    start_hash: Mapped[str] = mapped_column(String(64))


_SQLITE = {
    "audit": (
        (
            "CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        ),
        (
            "CREATE TRIGGER audit_goes_from_the_front BEFORE DELETE ON audit "
            "WHEN OLD.seq > (SELECT start_seq FROM audit_head) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        ),
        (
            "CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit "
            "WHEN NEW.seq IS NOT (SELECT seq FROM audit_head) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is numbered without gaps'); END"
        ),
    ),
    "audit_head": (
        (
            "CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON audit_head "
            "WHEN NEW.seq < OLD.seq OR NEW.start_seq < OLD.start_seq OR NEW.start_seq > NEW.seq "
            "BEGIN SELECT RAISE(ABORT, 'the head of the audit log only grows'); END"
        ),
        (
            "CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head "
            "BEGIN SELECT RAISE(ABORT, 'the audit log has one head'); END"
        ),
    ),
}
_POSTGRESQL = {
    "audit": (
        (
            "CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT start_seq FROM audit_head) THEN RETURN OLD; END IF; "
            "IF TG_OP = 'INSERT' AND NEW.seq = (SELECT seq FROM audit_head) THEN RETURN NEW; END IF; "
            "RAISE EXCEPTION 'the audit log is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER audit_is_append_only BEFORE INSERT OR UPDATE OR DELETE ON audit "
            "FOR EACH ROW EXECUTE FUNCTION audit_guard()"
        ),
        (
            "CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()"
        ),
    ),
    "audit_head": (
        (
            "CREATE FUNCTION audit_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF TG_OP = 'UPDATE' AND NEW.seq >= OLD.seq AND NEW.start_seq >= OLD.start_seq "
            "AND NEW.start_seq <= NEW.seq THEN RETURN NEW; END IF; "
            "RAISE EXCEPTION 'the head of the audit log only grows'; END $$"
        ),
        (
            "CREATE TRIGGER audit_head_only_grows BEFORE UPDATE OR DELETE ON audit_head "
            "FOR EACH ROW EXECUTE FUNCTION audit_head_guard()"
        ),
    ),
}


@event.listens_for(Table.metadata.tables["audit"], "after_create")
@event.listens_for(Table.metadata.tables["audit_head"], "after_create")
def _guard(table: SqlTable, connection: Connection, **_options: object) -> None:
    """Give the table its triggers, where it is made from these classes instead of by the migration."""
    for statement in (_SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL)[table.name]:
        connection.exec_driver_sql(statement)
