"""The rows of one query as documents: PostgreSQL, or a file of SQLite. Nothing is written.

An item is a row. Its uri is the text of the column that identifies it, its version the hash of the document that is
made of the row. A listing reads all rows, a thousand at a time; a fetch asks for one of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import BigInteger, String, Uuid, bindparam, make_url, text
from sqlalchemy.exc import ArgumentError

from indexing.documents import Failure, Item, Page
from indexing.errors import ItemUnreadable, ParseLimit, SourceError
from indexing.sources import Kind
from indexing.sources.folder import short, text_of, uri_of
from indexing.sources.rest import write_document
from indexing.sources.sql_client import Database, database_url, own_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, CursorResult
    from sqlalchemy.engine import URL, RowMapping

    from indexing.documents import RawDocument, SourceRecord
    from indexing.sources import SourceContext

_PAGE = 1000
_LONG = 200  # characters; a longer value is a paragraph
_MOST_FAILURES = 1000
_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Which column is what. ``id``: "" for the first one; the others: "" for none."""

    id: str = ""
    title: str = ""
    modified: str = ""
    readers: str = ""


class SqlSource:
    """The rows of *query*."""

    def __init__(
        self,
        database: Database,
        query: str,
        columns: Columns | None = None,
        *,
        issuer: str = "local",
        most_bytes: int = 200 << 20,
    ) -> None:
        """Remember what to ask; nothing is asked."""
        self._database = database
        self._query = query
        self._columns = columns or Columns()
        self._issuer = issuer
        self._most_bytes = most_bytes
        self._kinds: set[type] = set()  # of the ids that the last listing saw

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- rows have no order to go on from
        """Yield all rows, a thousand at a time. Raises SourceError when the query fails.

        A row without an id, and one whose id came before, is a failure.
        """
        seen: set[bytes] = set()
        self._kinds = set()
        number = refused = 0
        with self._database.reading() as connection:
            for rows in self._parts(connection):
                items: list[Item] = []
                failures: list[Failure] = []
                for row in rows:
                    number += 1
                    identity = row[self._id_of(tuple(row.keys()))]
                    uri = _uri(identity)
                    why = "has no id" if not uri else "has an id that came before" if short(uri) in seen else ""
                    if why:
                        refused += 1
                        if refused <= _MOST_FAILURES:
                            failures.append(_failure(f"row {number}: {uri}", why))
                        continue
                    seen.add(short(uri))
                    self._kinds.add(type(identity))
                    items.append(self._item(uri, row))
                yield Page(tuple(items), tuple(failures), issuer=self._issuer)
        notes = (f"{refused} rows without an id of their own",) if refused > _MOST_FAILURES else ()
        yield Page(notes=notes, issuer=self._issuer)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the row to ``into / "content"``.

        Raises ItemUnreadable when it is gone, shares its id, or has other readers than when it was listed; ParseLimit
        when it is long.
        """
        with self._database.reading() as connection:
            self._database.limit(connection)
            row = self._row(connection, item.uri)
        if row is None:
            raise ItemUnreadable(f"The query has no row {item.uri} any more.", remedy="Nothing to do.")
        if self._columns.readers and item.readers is not None and _names(row[self._columns.readers]) != item.readers:
            raise ItemUnreadable(  # the text of now is not for the readers of then
                f"The row {item.uri} has other readers than when it was listed.", remedy="Run sync again."
            )
        content = self._document(row)
        if len(content.encode()) > self._most_bytes:
            raise ParseLimit(
                f"{item.uri} is longer than METIER_MAX_FILE_MB allows ({self._most_bytes >> 20}).",
                remedy="Raise METIER_MAX_FILE_MB, or leave it out.",
            )
        return write_document(self._item(item.uri, row), content, into, "text/markdown")

    def _parts(self, connection: Connection) -> Iterator[list[RowMapping]]:
        self._database.limit(connection)
        options = {"stream_results": True, "yield_per": _PAGE}
        with connection.execute(text(_literal(self._query)), execution_options=options) as found:
            self._check(_returned(found))
            for rows in found.mappings().partitions(_PAGE):
                yield list(rows)
                self._database.limit(connection)

    def _check(self, names: tuple[str, ...]) -> None:
        """Raise SourceError when the query does not return the columns that it should."""
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SourceError(f"The query returns two columns {twice!r}.", remedy="Give one another name with AS.")
        wanted = (self._columns.id, self._columns.title, self._columns.modified, self._columns.readers)
        missing = [name for name in wanted if name and name not in names]
        if missing:
            raise SourceError(
                f"The query returns no column {missing[0]!r}, only {', '.join(names)}.", remedy="Correct the options."
            )

    def _id_of(self, names: tuple[str, ...]) -> str:
        return self._columns.id or names[0]

    def _row(self, connection: Connection, uri: str) -> RowMapping | None:
        """Return the row whose id is *uri*; None when there is none. Raises ItemUnreadable when there are several."""
        inner = f"({_literal(self._query)}\n) AS q"
        names = _returned(connection.execute(text(f"SELECT * FROM {inner} WHERE 1 = 0")))  # noqa: S608 -- values are bound
        self._check(names)
        quoted = self._id_of(names).replace('"', '""')  # not by SQLAlchemy: it would double a per cent sign twice
        name = _literal(f'q."{quoted}"')
        value: Any = text_of(uri)
        kind: Any = String()
        where = f"CAST({name} AS TEXT) = :id"
        if self._kinds == {int}:
            where, value, kind = f"{name} = :id", _whole(value), BigInteger()
        elif self._kinds == {UUID}:
            where, value, kind = f"{name} = :id", _uuid(value), Uuid()
        elif self._kinds == {str} and connection.dialect.name == "sqlite":
            where = f"{name} = :id"  # a CAST would pass over the index; PostgreSQL's does not
        if value is None:
            return None
        statement = text(f"SELECT * FROM {inner} WHERE {where}").bindparams(bindparam("id", value, kind))  # noqa: S608 -- values are bound
        rows = connection.execute(statement).mappings().fetchmany(2)
        if len(rows) > 1:  # which of them was listed, with which readers, cannot be told
            raise ItemUnreadable(
                f"The query has more than one row {uri}.", remedy="Write a query with one row for each id."
            )
        return rows[0] if rows else None

    def _item(self, uri: str, row: RowMapping) -> Item:
        content = self._document(row).encode()
        readers = _names(row[self._columns.readers]) if self._columns.readers else None
        moment = _moment(row[self._columns.modified]) if self._columns.modified else None
        return Item(uri, hashlib.sha256(content).hexdigest(), moment, len(content), readers)

    def _document(self, row: Mapping[Any, Any]) -> str:
        """Return the row as Markdown."""
        special = {self._id_of(tuple(row)), self._columns.title, self._columns.modified, self._columns.readers}
        title = _shown(row[self._columns.title]) if self._columns.title else ""
        parts: list[str] = [f"# {' '.join(title.split())}\n"] if title.strip() else []
        lines: list[str] = []
        for name, value in row.items():
            shown = "" if name in special else _shown(value)
            if not shown.strip():
                continue
            if len(shown) > _LONG or "\n" in shown:
                if lines:
                    parts.append("\n".join([*lines, ""]))
                    lines = []
                parts.append(f"**{name}**:\n\n{shown}\n")
            else:
                lines.append(f"**{name}**: {shown}")
        if lines:
            parts.append("\n".join([*lines, ""]))
        return "\n".join(parts)


def _returned(found: CursorResult[Any]) -> tuple[str, ...]:
    """Return the columns of a result as the database names them; SQLAlchemy's keys hold each name once."""
    described: Any = found.cursor
    return tuple(column[0] for column in described.description or ()) if described else tuple(found.keys())


def _literal(query: str) -> str:
    """Return the query so that no colon in it is a parameter."""
    return query.replace(":", "\\:")


def _uri(identity: Any) -> str:
    """Return the uri of the row with this id; "" when it has none."""
    return "" if identity is None else uri_of((_shown(identity),))


def _failure(uri: str, why: str) -> Failure:
    return Failure(
        uri.removesuffix(": "), "list", f"The row {why}.", "Write a query with one row for each id.", "SourceError"
    )


def _shown(value: Any) -> str:
    """Return a value as text; "" for NULL, and for bytes, which are no text."""
    if value is None or isinstance(value, (bytes, memoryview)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, (datetime, date)):
        return str(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).encode("utf-8", "replace").decode().replace("\r\n", "\n")


def _names(value: Any) -> tuple[str, ...]:
    """Return the names in a column of readers. What is no text names nobody."""
    found = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else ()
    return tuple(sorted({name.strip() for name in found if isinstance(name, str) and name.strip()}))


def _moment(value: Any) -> datetime | None:
    """Return the time in a column; None when it holds something else. SQLite knows no times, only texts."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _whole(value: str) -> int | None:
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def sql_query(query: str) -> str:
    """Return the query as it is asked. Raises SourceError for what is not one SELECT; nothing is asked."""
    if not _SELECT.match(query) or ";" in query or "\0" in query:
        raise SourceError(
            "The option query is not one SELECT.", remedy="Write one statement, SELECT or WITH, without a semicolon."
        )
    return query.strip()


def _is_own(url: URL, own: str) -> bool:
    """Return whether *url* is the database of Métier's own catalog."""
    try:
        other = make_url(own)
    except ArgumentError:
        return False
    if url.drivername == "sqlite":
        here, there = Path(url.database or ""), Path(other.database or "")
        return other.get_backend_name() == "sqlite" and here.exists() and there.exists() and here.samefile(there)
    place, its = ((u.host or u.query.get("host"), u.port or 5432, u.database) for u in (url, other))
    return other.drivername.startswith("postgres") and place == its


def _opened(record: SourceRecord, context: SourceContext) -> SqlSource:
    url = database_url(record.location)
    if _is_own(url, context.settings.database):
        raise own_catalog()
    told = record.options
    database = Database(url, context.outbound.allowed, context.secret(record))
    return SqlSource(
        database,
        sql_query(told.get("query", "")),
        Columns(*(told.get(name, "") for name in ("id", "title", "modified", "readers"))),
        issuer=told.get("issuer", "local"),
        most_bytes=context.most_bytes,
    )


def _location(location: str) -> str:
    return database_url(location).render_as_string(hide_password=False)


SQL = Kind(
    _opened,
    _location,
    "a database: postgresql+psycopg://user@host/database, or sqlite:////path/of/the/file.db",
    {
        "query": "one SELECT, whose rows are the documents",
        "id": "the column that identifies a row; without it the first one",
        "title": "the column with the title",
        "modified": "the column with the moment of the last change",
        "readers": "the column with the names of who may read the row, with commas between them",
        "issuer": "whose the names of readers are; local without it",
    },
    "the password of the account",
)
