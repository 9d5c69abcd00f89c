from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from indexing import changelog, db, store
from indexing.errors import CatalogError, CatalogUnavailable, StorageFull
from indexing.tables import Table
from tests import postgres
from tests.catalogs import put
from tests.postgres import PASSWORD

ROOT = Path(__file__).parent.parent.parent


def sqlite_file(url):
    return Path(make_url(url).database or "")


# --- transactions ---------------------------------------------------------------------------------------------


def test_what_a_transaction_wrote_is_there_after_it(catalog):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "folder", "/handbook")

    with catalog.reading() as session:
        assert store.source_named(session, "handbook") is not None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_a_transaction_that_fails_leaves_nothing(catalog, error):
    with pytest.raises(error), catalog.transaction() as session:  # noqa: PT012 -- the error comes after the work
        store.add_source(session, "handbook", "folder", "/handbook")
        raise error

    with catalog.reading() as session:
        assert store.sources(session) == []


def test_a_reader_sees_one_state_while_others_write(catalog):
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
    with catalog.reading() as reader:
        before = changelog.state(reader)
        with catalog.transaction() as session:
            put(session, source.id, "a.txt", "Hello.")

        assert changelog.state(reader) == before
        assert changelog.changed_documents(reader, 0) == set()
    with catalog.reading() as reader:
        assert changelog.state(reader).seq == before.seq + 1


def test_a_reader_cannot_write(catalog):
    with pytest.raises(CatalogError), catalog.reading() as session:
        store.add_source(session, "handbook", "folder", "/handbook")

    with catalog.transaction() as session:  # and the connection that it had is as good as new
        store.add_source(session, "handbook", "folder", "/handbook")


def test_a_writer_that_waits_too_long_for_another_process_says_that_the_catalog_is_locked(sqlite_url):
    catalog = db.open_catalog(sqlite_url, busy_timeout_s=0.1)
    other = sqlite3.connect(sqlite_file(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(CatalogUnavailable, match="locked by another process"), catalog.transaction():
            pytest.fail("the lock was not taken")
        with catalog.reading() as session:  # readers do not wait for writers
            assert changelog.state(session).seq == 0
    finally:
        other.close()
        catalog.close()


# --- durability -----------------------------------------------------------------------------------------------


def test_every_sqlite_connection_writes_ahead_and_syncs_fully(sqlite_catalog):
    connections = [sqlite_catalog.engine.connect() for _ in range(12)]
    try:
        for connection in connections:
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert found == ["wal", 2, 1]  # 2 is FULL
    finally:
        for connection in connections:
            connection.close()


def test_postgresql_that_acknowledges_before_it_is_on_disk_is_refused(postgres_catalog_url):
    catalog = db.open_catalog(postgres_catalog_url)
    with catalog.reading() as session:
        assert session.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    with catalog.transaction() as session:
        name = make_url(postgres_catalog_url).database
        session.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    catalog.close()

    with pytest.raises(CatalogError, match="synchronous_commit = off"):
        db.open_catalog(postgres_catalog_url)


# --- faults ---------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(sqlite_catalog):
    with sqlite_catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
        kept = put(session, source.id, "kept.txt", "Kept.")
    with pytest.raises(StorageFull, match="disk of the catalog"), sqlite_catalog.transaction() as session:  # noqa: PT012
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()
        session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        put(session, source.id, "large.txt", "word " * 100_000)
    sqlite_catalog.close()  # the next connections have space again

    with sqlite_catalog.transaction() as session:
        assert set(store.known_documents(session, source.id)) == {"kept.txt"}
        changelog.verify(session)
        assert put(session, source.id, "large.txt", "word " * 100_000) > kept


def test_a_postgresql_that_is_not_there_is_unavailable_and_the_password_is_not_told(tmp_path):
    url = f"postgresql://metier:{PASSWORD}@/metier?host={tmp_path}&sslpassword={PASSWORD}"
    for attempt in (db.open_catalog, db.migrate):
        with pytest.raises(CatalogUnavailable, match="cannot be reached") as caught:
            attempt(url)

        told = "".join(traceback.format_exception(caught.value)) + str(caught.value) + repr(caught.value)
        assert PASSWORD not in told
        assert "metier:***@" in str(caught.value)


def test_a_connection_cut_in_a_transaction_is_unavailable_and_the_next_one_works(postgres_catalog_url):
    catalog = db.open_catalog(postgres_catalog_url)
    with pytest.raises(CatalogUnavailable), catalog.transaction() as session:  # noqa: PT012 -- cut half-way
        store.add_source(session, "lost", "folder", "/lost")
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with catalog.transaction() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        store.add_source(session, "lost too", "folder", "/lost")

    with catalog.transaction() as session:
        assert store.sources(session) == []
    catalog.close()


def test_a_restart_of_the_database_is_noticed_before_the_next_transaction_begins(postgres_catalog_url):
    catalog = db.open_catalog(postgres_catalog_url)
    with catalog.reading() as session, catalog.reading() as other:  # two connections, idle afterwards
        assert store.sources(session) == store.sources(other) == []
    ours = "datname = current_database() AND pid <> pg_backend_pid()"
    cut = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}"
    postgres.execute(make_url(postgres_catalog_url), cut)

    with catalog.transaction() as session:
        store.add_source(session, "handbook", "folder", "/handbook")
    with catalog.reading() as session:
        assert store.source_named(session, "handbook") is not None
    catalog.close()


def test_the_catalog_shows_its_address_without_the_password(postgres_catalog_url):
    catalog = db.open_catalog(postgres_catalog_url)
    catalog.close()

    assert PASSWORD in postgres_catalog_url
    assert PASSWORD not in repr(catalog) + str(catalog.engine) + catalog.url


def test_a_refused_row_is_not_told(catalog):
    """It may be a document, and errors are logged."""
    change = Table.metadata.tables["change"]
    row = {"seq": 1, "kind": "put", "document_id": 1, "content_hash": "CONTENT", "hash": None}
    with pytest.raises(CatalogError, match="refused a statement") as caught, catalog.transaction() as session:
        session.execute(change.insert().values(row))

    assert not isinstance(caught.value, CatalogUnavailable)
    assert "CONTENT" not in str(caught.value)
    assert "parameters hidden" in str(caught.value.__cause__)


def test_a_value_beyond_a_limit_of_postgresql_is_refused_and_not_taken_for_an_outage(postgres_catalog_url):
    """Its indexes hold at most 2,704 bytes; who takes it for an outage stops a whole run for one document."""
    catalog = db.open_catalog(postgres_catalog_url)
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
    with pytest.raises(CatalogError, match="refused a statement") as caught, catalog.transaction() as session:
        put(session, source.id, random.Random(1).randbytes(4000).hex(), "Hello.")
    catalog.close()

    assert type(caught.value) is CatalogError


def test_a_file_that_is_not_a_database_is_damaged_and_stays_as_it_is(tmp_path):
    file = tmp_path / "catalog.db"
    file.write_text("These are not the tables you are looking for. " * 100, encoding="utf-8")
    before = file.read_bytes()
    for attempt in (db.open_catalog, db.migrate):
        with pytest.raises(CatalogError, match="damaged"):
            attempt(f"sqlite:///{file}")

    assert file.read_bytes() == before


def test_there_is_no_catalog_before_it_is_migrated_and_opening_makes_none(empty_url):
    with pytest.raises(CatalogError, match="metier migrate"):
        db.open_catalog(empty_url)

    if empty_url.startswith("sqlite"):
        assert not sqlite_file(empty_url).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CatalogUnavailable, match="METIER_DATA_DIR"):
        db.migrate(f"sqlite:///{tmp_path}/file/data/catalog.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("no url", "is not a database URL"),
        ("postgresql://u:p@host:port/x", "is not a database URL"),
        ("mysql://root:p@localhost/x", "neither PostgreSQL nor SQLite"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_an_address_that_cannot_be_a_catalog_is_refused(url, said):
    with pytest.raises(CatalogError, match=said):
        db.open_catalog(url)


def test_an_error_that_is_not_the_databases_passes_unchanged(sqlite_catalog):
    with pytest.raises(ZeroDivisionError), sqlite_catalog.transaction():
        _ = 1 / 0


def test_the_drivers_own_error_is_kept_as_the_cause(sqlite_catalog):
    with pytest.raises(CatalogError) as caught, sqlite_catalog.transaction() as session:
        session.execute(text("SELECT nonsense FROM nowhere"))

    assert isinstance(caught.value.__cause__, OperationalError)
    assert not isinstance(caught.value, CatalogUnavailable)


# --- where the migrations are ---------------------------------------------------------------------------------

MIGRATE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
sys.prefix = sys.argv[2]
from indexing import db
assert Path(db.__file__).is_relative_to(sys.argv[1]), db.__file__
try:
    db.migrate("sqlite:///" + sys.argv[3])
    db.open_catalog("sqlite:///" + sys.argv[3]).close()
except db.CatalogError as exc:
    sys.exit(str(exc))
"""


def installed_like_a_wheel(tmp_path):
    """Copy the packages to where no checkout is, as a wheel does."""
    for package in ("indexing", "app"):
        shutil.copytree(ROOT / package, tmp_path / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "prefix").mkdir()
    command = [sys.executable, "-c", MIGRATE, tmp_path / "site", tmp_path / "prefix", tmp_path / "catalog.db"]
    return lambda: subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_a_wheel_finds_its_migrations_under_share_and_prints_nothing(tmp_path):
    run = installed_like_a_wheel(tmp_path)
    shutil.copytree(ROOT / "alembic", tmp_path / "prefix" / "share" / "metier" / "alembic")

    result = run()

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_installation_without_migrations_says_where_it_looked(tmp_path):
    result = installed_like_a_wheel(tmp_path)()

    assert result.returncode == 1
    assert "share/metier/alembic" in result.stderr
    assert "Install Métier again" in result.stderr
