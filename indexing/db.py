"""The catalog's database: opening, transactions, migrations, and what SQLite and PostgreSQL do differently.

Everything that a database driver raises leaves this module as one of the catalog errors (``db_errors``).
"""

from __future__ import annotations

import io
import json
import sqlite3
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    NullPool,
    Text,
    any_,
    create_engine,
    event,
    func,
    inspect,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from indexing.db_errors import masked, translated_errors
from indexing.errors import CatalogError, CatalogTooNew, CatalogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from alembic.config import Config
    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_S = 30
TURN_S = 5
SCRUB_MS = 1000
MIGRATION_TIMEOUT_S = 600  # the second of two runners waits for the first
CONNECT_TIMEOUT_S = 5
#: A process that stops in the middle of a transaction must not hold PostgreSQL's locks for ever: ours are short.
IDLE_TRANSACTION_S = 60
#: "METIER" in ASCII: the advisory lock of whoever migrates a PostgreSQL catalog.
MIGRATION_LOCK = 0x4D4554494552


@dataclass(frozen=True)
class Catalog:
    """An open catalog. ``url`` has its password masked: it is for messages."""

    engine: Engine
    url: str
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that commits at the end and rolls back on any error.

        On SQLite it holds the write lock from the start (BEGIN IMMEDIATE). Raises StorageFull,
        CatalogUnavailable or CatalogError; then nothing was written.
        """
        with self._in_turn(), self._session(self.engine.execution_options(metier_writes=True)) as session:
            yield session
            session.commit()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Queue the writers of this process for SQLite's one write lock.

        SQLite itself lets them try again after ever longer pauses: one of several can wait for seconds. Who does not
        get its turn tries nevertheless, and is told by SQLite that it is busy.
        """
        mine = self.engine.dialect.name == "sqlite" and self._turn.acquire(timeout=TURN_S)
        try:
            yield
        finally:
            if mine:
                self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one consistent state of the catalog, and that cannot write."""
        options: dict[str, Any] = {"metier_writes": False}
        if self.engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._session(self.engine.execution_options(**options)) as session:
            yield session

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        with translated_errors(engine.url), Session(engine, expire_on_commit=False) as session:
            session.connection()  # begins now: a lock that cannot be had is an error before any work is done
            yield session

    def scrub(self) -> bool:
        """Empty SQLite's write-ahead log, so that no file holds what was deleted, and return whether that was done.

        It is not while somebody reads. PostgreSQL sees to its files by itself: True.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with translated_errors(self.engine.url):
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                (patience_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
                cursor.execute(f"PRAGMA busy_timeout = {SCRUB_MS}")  # writers wait as long as this waits for readers
                (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                cursor.execute(f"PRAGMA busy_timeout = {patience_ms}")
            finally:
                connection.close()
        return not busy

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self.engine.dispose()


def open_catalog(settings_url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Catalog:
    """Return the open catalog at *settings_url* (as in ``settings.database``).

    On SQLite a transaction waits *busy_timeout_s* for another writer before it fails.

    Raises CatalogUnavailable when it cannot be reached, CatalogTooNew when a newer Métier wrote it, and
    CatalogError when it was never migrated, or not to this version.
    """
    url = _parsed(settings_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise _not_migrated(f"There is no catalog at {url.database}.")
    engine = _engine(url, busy_timeout_s)
    try:
        with translated_errors(url), engine.connect() as connection:
            _check_revision(connection, url)
            _check_durability(connection)
    except BaseException:
        engine.dispose()
        raise
    return Catalog(engine, masked(url))


def migrate(settings_url: str, scripts: Path | None = None) -> None:
    """Bring the catalog to this version's schema, creating it when there is none; then nothing is left to do.

    One runner at a time; others wait, and find the work done. All or nothing: a migration that fails
    leaves the catalog as it was. Raises CatalogTooNew (and changes nothing) or the errors of ``open_catalog``.
    *scripts* is another folder of migrations than the installed one.
    """
    from alembic import command

    _run_migration(settings_url, scripts, lambda config: command.upgrade(config, "head"))


def downgrade(settings_url: str, revision: str, scripts: Path | None = None) -> None:
    """Take the catalog back to *revision* ("base": no tables at all), under the same rules as ``migrate``."""
    from alembic import command

    _run_migration(settings_url, scripts, lambda config: command.downgrade(config, revision))


def among(
    session: Session, column: ColumnElement[Any], values: Collection[int] | Collection[str]
) -> ColumnElement[bool]:
    """Return the condition that *column* is one of *values*, as a single parameter however many there are.

    With no values it is true for no row. (A list of parameters ends at 32,766 on SQLite.)
    """
    items = sorted(values)
    if session.get_bind().dialect.name == "postgresql":
        kind = Text() if column.type.python_type is str else BigInteger()
        return column == any_(literal(items, ARRAY(kind)))
    return column.in_(select(func.json_each(json.dumps(items)).table_valued("value").c.value))


def now(session: Session) -> datetime:
    """Return the moment by the database's clock, which all machines share; on SQLite that is this machine's."""
    if session.get_bind().dialect.name == "postgresql":
        return cast("datetime", session.execute(select(func.clock_timestamp())).scalar_one())
    return datetime.now(UTC)


def insert_missing(session: Session, table: SqlTable) -> Any:
    """Return an INSERT into *table* that passes over rows whose key is already there."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


# --- addresses ------------------------------------------------------------------------------------------------


def _parsed(settings_url: str) -> URL:
    """Return the URL with the driver that we use. Raises CatalogError for a database that we do not support."""
    try:
        url = make_url(settings_url)
        backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    except (ArgumentError, ValueError) as exc:
        raise CatalogError(
            "METIER_DATABASE_URL is not a database URL.",
            remedy="Write it as postgresql+psycopg://user:password@host/name; special characters as %40.",
        ) from exc
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise CatalogError(f"METIER_DATABASE_URL names {backend}, which is neither PostgreSQL nor SQLite.")
    if not url.database or url.database == ":memory:":
        raise CatalogError("METIER_DATABASE_URL names no file: a catalog in memory would be lost.")
    return url.set(drivername="sqlite")


# --- engines --------------------------------------------------------------------------------------------------


def _engine(url: URL, busy_timeout_s: float, *, migrating: bool = False) -> Engine:
    """Return an engine; nothing is connected yet."""
    pool: dict[str, Any] = {"poolclass": NullPool} if migrating else {"pool_size": 5, "max_overflow": 27}
    if url.get_backend_name() == "postgresql":
        defaults: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "metier"}
        if not migrating:
            defaults["options"] = f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_S}s"
        arguments = {key: value for key, value in defaults.items() if key not in url.query}
        # The ping finds connections that a restart of the server has cut.
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments, **pool)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_timeout_s}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        try:
            _prepare_sqlite(connection, foreign_keys=not migrating)
        except BaseException:
            connection.close()  # the pool never gets it
            raise

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("metier_writes", migrating)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _prepare_sqlite(connection: sqlite3.Connection, *, foreign_keys: bool) -> None:
    """Set what SQLite forgets with each connection, and WAL, which it remembers."""
    connection.isolation_level = None  # the driver begins no transactions: the engine's "begin" does
    # NORMAL, the usual companion of WAL, loses committed documents at a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, also when pages are rearranged
    connection.execute("PRAGMA cache_size = -16000")  # KiB, for each of at most five lasting connections
    connection.execute("PRAGMA journal_size_limit = 67108864")  # a WAL that grew under a long read shrinks again
    _switch_to_wal(connection)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Set write-ahead logging. The switch ignores the busy timeout, so two first users need this loop."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise CatalogError(
                f"SQLite cannot keep a write-ahead log here (it answers {mode!r}).",
                remedy="Put METIER_DATA_DIR on a local disk; network file systems lose data under SQLite.",
            )
        return


def _check_durability(connection: Connection) -> None:
    """Raise CatalogError when PostgreSQL was told to acknowledge commits before they are on disk."""
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(text("SHOW synchronous_commit")).scalar_one() == "off":
        raise CatalogError(
            "PostgreSQL has synchronous_commit = off: documents that were acknowledged can be lost.",
            remedy="Set it to on for this database (ALTER DATABASE … SET synchronous_commit = on).",
        )


# --- migrations -----------------------------------------------------------------------------------------------


def scripts_folder() -> Path:
    """Return the folder of migrations: beside the package in a checkout, else where a wheel puts it.

    Raises CatalogError when it is in neither place.
    """
    candidates = [Path(__file__).parent.parent / "alembic", Path(sys.prefix) / "share" / "metier" / "alembic"]
    for folder in candidates:
        if (folder / "env.py").is_file() and (folder / "versions").is_dir():  # not the library of the same name
            return folder
    places = " or ".join(str(folder) for folder in candidates)
    raise CatalogError(f"The catalog's migrations are not at {places}.", remedy="Install Métier again.")


def _config(scripts: Path | None) -> Config:
    from alembic.config import Config

    config = Config(stdout=io.StringIO())  # our standard output may be somebody's JSON
    config.set_main_option("script_location", str(scripts or scripts_folder()).replace("%", "%%"))
    return config


def _run_migration(settings_url: str, scripts: Path | None, run: Callable[[Config], None]) -> None:
    url = _parsed(settings_url)
    config = _config(scripts)
    if url.get_backend_name() == "sqlite":
        _make_folder(Path(url.database or ""))
    engine = _engine(url, MIGRATION_TIMEOUT_S, migrating=True)
    with translated_errors(url), engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        _known_revision(connection, url, config)
        config.attributes["connection"] = connection
        run(config)
        if connection.dialect.name == "sqlite" and (
            bad := connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        ):
            raise CatalogError(f"The migration would leave rows of {bad[0]} that refer to nothing; it was undone.")


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds the text of every document
    except OSError as exc:
        raise CatalogUnavailable(
            f"The folder {file.parent} cannot be made: {exc.strerror}.", remedy="Set METIER_DATA_DIR to another folder."
        ) from exc


def _known_revision(connection: Connection, url: URL, config: Config) -> str | None:
    """Return the catalog's revision, None for a database without tables. Raises CatalogTooNew if unknown to us."""
    from alembic.script import ScriptDirectory

    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise CatalogTooNew(f"The catalog {masked(url)} has schema {revision}, which this version does not know.")
    return revision


def _check_revision(connection: Connection, url: URL) -> None:
    from alembic.script import ScriptDirectory

    config = _config(None)
    revision = _known_revision(connection, url, config)
    if revision is None:
        raise _not_migrated(f"The database {masked(url)} holds no catalog.")
    if revision != ScriptDirectory.from_config(config).get_current_head():
        raise _not_migrated(f"The catalog {masked(url)} has the older schema {revision}.")


def _not_migrated(message: str) -> CatalogError:
    return CatalogError(message, remedy="Run `metier migrate`.")
