"""How a database is asked: one read-only connection at a time, to a checked address, with a limit on time."""

from __future__ import annotations

import ipaddress
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from indexing.errors import SourceError
from indexing.outbound_rules import check_host, check_url_text
from indexing.outbound_sockets import lookup, reachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from indexing.outbound_rules import Allowed
    from indexing.outbound_sockets import Resolve

REMEDY = "Write postgresql+psycopg://user@host/database or sqlite:////path/of/the/file.db."
_CONNECT_S = 10
_PORT = 5432
_OWN_TABLES = ("catalog", "chunk", "embedding")
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
#: SQLSTATE of PostgreSQL → what it means here, and what to do.
_MEANINGS = {
    "57014": ("The query took longer than {limit} seconds.", "Make it faster, or let it return less."),
    "25006": ("The query would write, and a source is read only.", "Write a query that only reads."),
    "0A000": ("The query cannot be read row by row: {said}", "Write one SELECT that only reads."),
    "42P01": ("A table is not there: {said}", "Correct the query, or wait until the table is back."),
    "42703": ("A column is not there: {said}", "Correct the query."),
    "42501": ("The account may not read that: {said}", "Grant it SELECT."),
}
_SIGN_IN = ("password authentication failed", "no password supplied", "authentication failed", 'role "')


def database_url(location: str) -> URL:
    """Return the address of a database. Raises SourceError for one that cannot be used; nothing is asked."""
    try:
        url = make_url(location.strip())
    except (ArgumentError, ValueError) as exc:
        raise SourceError("The location is no address of a database.", remedy=REMEDY) from exc
    if url.password is not None:
        raise SourceError("The address holds a password.", remedy="Store it with `metier sources secret`.")
    if url.drivername == "sqlite":
        if url.host or url.username or url.query or not Path(url.database or "").is_absolute():
            raise SourceError("The location names no file by its whole path.", remedy=REMEDY)
        return url
    if url.drivername != "postgresql+psycopg":
        raise SourceError(f"Databases of {url.drivername} cannot be read.", remedy=REMEDY)
    if not url.username or not url.database or not (url.username + url.database).isprintable():
        raise SourceError("The location names no user and database.", remedy=REMEDY)
    if not url.host:
        folder = url.query.get("host")
        if set(url.query) != {"host"} or not isinstance(folder, str) or not Path(folder).is_absolute() or "," in folder:
            raise SourceError("The location names no host, and no folder of a socket.", remedy=REMEDY)
        return url
    if url.query:
        raise SourceError("The location has parameters after a question mark.", remedy=REMEDY)
    host = f"[{url.host}]" if ":" in url.host else url.host
    check_url_text(f"https://{host}/")
    check_host(url.host)
    return url


@dataclass(frozen=True)
class Database:
    """A database that is read. ``password`` never stands in a message."""

    url: URL
    allowed: Allowed
    password: str = field(default="", repr=False)
    seconds: float = 60  # for one statement, or one page of its rows
    resolve: Resolve = lookup

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that cannot write. Raises SourceError, also for what the body gets from the database."""
        engine = self._engine()
        try:
            with self._translated(), engine.connect() as connection:
                self._refuse_own(connection)
                yield connection
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        if self.url.drivername == "sqlite":
            return create_engine("sqlite://", creator=self._file, poolclass=NullPool)
        told: dict[str, Any] = {
            "connect_timeout": _CONNECT_S,
            "options": f"-c default_transaction_read_only=on -c statement_timeout={int(self.seconds * 1000)}",
            "application_name": "metier",
            "passfile": "/nonexistent",  # only the secret of the source counts
            "password": self.password,
            "gssencmode": "disable",
        }
        url = URL.create(self.url.drivername, self.url.username, database=self.url.database)
        if self.url.host:
            port = self.url.port or _PORT
            found = reachable(self.url.host, port, self.allowed, self.resolve)
            here = all(ipaddress.ip_address(address).is_loopback for address in found)
            told["host"] = ",".join([self.url.host] * len(found))
            told["hostaddr"] = ",".join(found)
            told["port"] = ",".join([str(port)] * len(found))
            told["sslmode"] = "prefer" if here else "require"
        else:
            told["host"] = self.url.query["host"]
        engine = create_engine(url, connect_args=told, poolclass=NullPool, hide_parameters=True)
        return engine.execution_options(postgresql_readonly=True)

    def _file(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(self.url.database or '')}?mode=ro", uri=True, timeout=_CONNECT_S, check_same_thread=False
        )
        connection.text_factory = lambda found: found.decode("utf-8", "replace")
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def limit(self, connection: Connection) -> None:
        """Give the next statement, or the next rows, their time. PostgreSQL does so by itself."""
        if self.url.drivername == "sqlite":
            end = time.monotonic() + self.seconds
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS)

    def _refuse_own(self, connection: Connection) -> None:
        """Raise SourceError when the database holds a catalog of Métier's: its texts are not for everybody."""
        names = ", ".join(f"'{name}'" for name in _OWN_TABLES)
        if self.url.drivername == "sqlite":
            found = f"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ({names})"  # noqa: S608 -- names of ours
        else:
            found = (
                "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM pg_catalog.pg_class "  # noqa: S608 -- names of ours
                f"WHERE relkind IN ('r', 'p') AND relname IN ({names}) GROUP BY relnamespace) AS found"
            )
        if connection.execute(text(found)).scalar_one() == len(_OWN_TABLES):
            raise own_catalog()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as exc:
            raise self._error(exc) from exc

    def _error(self, exc: DBAPIError) -> SourceError:
        said = (str(exc.orig).strip().splitlines() or [type(exc.orig).__name__])[0]
        if self.password:
            said = said.replace(self.password, "***")
        state = getattr(exc.orig, "sqlstate", None)
        if self.url.drivername == "sqlite":
            state = {"interrupted": "57014", "attempt to write a readonly database": "25006"}.get(said, state)
            state = "42P01" if said.startswith("no such table") else state
        if state in _MEANINGS:
            message, remedy = _MEANINGS[state]
            return SourceError(message.format(said=said, limit=f"{self.seconds:g}"), remedy=remedy)
        if state in {"28P01", "28000"} or (state is None and any(sign in str(exc.orig) for sign in _SIGN_IN)):
            return SourceError(
                f"The database does not let us in as {self.url.username}: {said}",
                remedy="Correct the user in the location, or the secret of the source.",
            )
        return SourceError(f"The database cannot be read: {said}")


def own_catalog() -> SourceError:
    """Return the error of a source that would read a catalog of Métier's."""
    return SourceError(
        "This database is a catalog of Métier's, whose texts have readers of their own.", remedy="Read another one."
    )
