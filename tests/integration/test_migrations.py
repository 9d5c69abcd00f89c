from __future__ import annotations

import re
import shutil
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, inspect, make_url, text

import app.tables
import indexing.tables
from indexing import changelog, db, store
from indexing.access import authorise
from indexing.errors import CatalogError, CatalogTooNew
from indexing.tables import LOCAL_ACL_ID, LOCAL_PRINCIPAL_ID
from tests import postgres
from tests.catalogs import MODEL, chunk_ids, put

ROOT = Path(__file__).parent.parent.parent
METADATA = indexing.tables.Table.metadata
assert "answer" in METADATA.tables, app.tables


@pytest.fixture
def scripts(tmp_path):
    """Return a copy of the migrations, to which a test may add."""
    return shutil.copytree(ROOT / "alembic", tmp_path / "alembic 100%", ignore=shutil.ignore_patterns("__pycache__"))


def add_revision(scripts, upgrade, downgrade="pass"):
    newest = max(p.name for p in (scripts / "versions").glob("*.py"))[:4]
    (scripts / "versions" / "9999_test.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = '9999', '{newest}', None, None\n"
        f"def upgrade():\n    {upgrade}\n"
        f"def downgrade():\n    {downgrade}\n",
        encoding="utf-8",
    )


@contextmanager
def connected(url):
    engine = create_engine(make_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def schema(connection):
    """Return all that the database tells of its tables."""
    found = inspect(connection)
    return {
        table: (
            {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table)},
            found.get_pk_constraint(table),
            sorted(map(str, found.get_foreign_keys(table))),
            sorted(map(str, found.get_indexes(table))),
            sorted(map(str, found.get_unique_constraints(table))),
            sorted(map(str, found.get_check_constraints(table))),
        )
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def whole(url):
    """Return every row of every table."""
    with connected(url) as connection:
        tables = sorted(inspect(connection).get_table_names())
        return {t: sorted(map(str, connection.execute(text(f'SELECT * FROM "{t}"')))) for t in tables}


def filled(url):
    """Put a mail with an attachment into the catalog, and return what it then holds."""
    catalog = db.open_catalog(url)
    with catalog.transaction() as session:
        source = store.add_source(session, "mail", "folder", "/mail")
        mail = put(session, source.id, "a.eml", "Dear all,", "the plan is attached.")
        put(session, source.id, "a.eml!/plan.pdf", "The plan.", parent_id=mail)
    catalog.close()
    return whole(url)


@pytest.fixture
def empty_url_beside(request, tmp_path):
    """Return a function from the URL of a catalog to that of a database of the same kind without tables."""
    with ExitStack() as stack:

        def make(url):
            if url.startswith("sqlite"):
                return f"sqlite:///{tmp_path}/modelled.db"
            server = request.getfixturevalue("postgres_server")
            return stack.enter_context(postgres.database(server)).render_as_string(hide_password=False)

        yield make


# --- migrations are the models --------------------------------------------------------------------------------


def test_migrations_make_the_models_and_nothing_else(catalog):
    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, METADATA) == []


def test_migrations_make_the_same_schema_as_the_models_would(catalog_url, empty_url_beside):
    """More than Alembic compares: constraints' names, conditions and what happens on delete."""
    with connected(empty_url_beside(catalog_url)) as modelled, connected(catalog_url) as migrated:
        METADATA.create_all(modelled)

        assert schema(migrated) == schema(modelled)


def test_on_sqlite_migrations_write_the_same_statements_as_the_models_would(sqlite_catalog, tmp_path):
    """AUTOINCREMENT, which never gives an id out twice, shows nowhere else."""

    def statements(connection):
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
        clauses = {
            name: sorted(c.strip().replace('"', "") for c in re.split(r",\s*\n|\(\n|\n\)", sql) if c.strip())
            for name, sql in rows
        }
        return {name: c for name, c in clauses.items() if name != "alembic_version"}

    with connected(f"sqlite:///{tmp_path}/modelled.db") as modelled, sqlite_catalog.engine.connect() as migrated:
        METADATA.create_all(modelled)

        assert statements(migrated) == statements(modelled)
        assert sum("AUTOINCREMENT" in str(c) for c in statements(migrated).values()) >= 9


def test_a_new_catalog_has_its_own_identity_and_one_local_reader(catalog, migrated_file):
    with catalog.reading() as session:
        state = changelog.state(session)

        assert uuid.UUID(state.uuid).version == 4
        assert (state.seq, state.log_hash) == (0, changelog.first_hash(state.uuid))
        assert authorise(session, LOCAL_PRINCIPAL_ID).acl_ids == {LOCAL_ACL_ID}


def test_two_catalogs_are_never_the_same(tmp_path):
    seen = set()
    for name in ("a", "b"):
        db.migrate(f"sqlite:///{tmp_path}/{name}.db")
        catalog = db.open_catalog(f"sqlite:///{tmp_path}/{name}.db")
        with catalog.reading() as session:
            seen.add(changelog.state(session).uuid)
        catalog.close()

    assert len(seen) == 2


# --- up and down ----------------------------------------------------------------------------------------------


def test_migrating_again_changes_nothing_and_prints_nothing(catalog_url, capfd):
    before = filled(catalog_url)

    db.migrate(catalog_url)

    assert whole(catalog_url) == before
    assert capfd.readouterr() == ("", "")


def test_down_to_nothing_and_up_again_works(catalog_url):
    filled(catalog_url)

    db.downgrade(catalog_url, "base")
    with connected(catalog_url) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    db.migrate(catalog_url)

    with_reader = db.open_catalog(catalog_url)
    with with_reader.reading() as session:
        assert authorise(session, LOCAL_PRINCIPAL_ID).acl_ids == {LOCAL_ACL_ID}
    with_reader.close()


def test_up_and_down_keeps_every_row_also_where_a_table_is_made_anew(catalog_url, scripts):
    """SQLite alters a table by copying and dropping it: with foreign keys on, what refers to it would go too."""
    before = filled(catalog_url)
    batch = "with op.batch_alter_table('document') as batch: batch.alter_column('title', type_=sa."
    add_revision(
        scripts,
        f"{batch}Unicode()); batch.add_column(sa.Column('note', sa.Text()))",
        f"{batch}Text()); batch.drop_column('note')",
    )

    db.migrate(catalog_url, scripts)
    upgraded = whole(catalog_url)
    db.downgrade(catalog_url, "-1", scripts)

    assert whole(catalog_url) == before
    assert {t: len(rows) for t, rows in upgraded.items()} == {t: len(rows) for t, rows in before.items()}
    catalog = db.open_catalog(catalog_url)
    with catalog.transaction() as session:
        assert len(chunk_ids(session)) == 3
        assert store.count_index_rows(session, MODEL) == 3
        changelog.verify(session)
    catalog.close()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(catalog_url, scripts):
    before = filled(catalog_url)
    add_revision(scripts, "op.drop_table('failure'); op.create_table('half', sa.Column('x', sa.Text())); 1 / 0")

    with pytest.raises(ZeroDivisionError):
        db.migrate(catalog_url, scripts)

    assert whole(catalog_url) == before


def test_a_migration_that_would_orphan_rows_is_undone(sqlite_url, scripts):
    """PostgreSQL checks each statement; on SQLite the checks are off while tables are made anew."""
    before = filled(sqlite_url)
    add_revision(scripts, "op.execute('DELETE FROM document')")

    with pytest.raises(CatalogError, match="refer to nothing"):
        db.migrate(sqlite_url, scripts)

    assert whole(sqlite_url) == before


# --- newer and older ------------------------------------------------------------------------------------------


def test_a_catalog_of_a_newer_version_is_refused_and_not_changed(catalog_url, scripts):
    filled(catalog_url)
    add_revision(scripts, "op.add_column('document', sa.Column('note', sa.Text()))")
    db.migrate(catalog_url, scripts)
    before = whole(catalog_url)

    for attempt in (db.open_catalog, db.migrate, lambda url: db.downgrade(url, "base")):
        with pytest.raises(CatalogTooNew, match="9999") as caught:
            attempt(catalog_url)

        assert "Install that version or a later one" in str(caught.value)
    assert whole(catalog_url) == before


def test_a_catalog_of_an_older_version_asks_for_migrate(catalog_url):
    with connected(catalog_url) as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        connection.commit()

    with pytest.raises(CatalogError, match="metier migrate"):
        db.open_catalog(catalog_url)


def test_processes_that_migrate_at_once_all_end_well_and_make_one_catalog(empty_url):
    code = "import sys; from indexing import db; db.migrate(sys.argv[1]); db.open_catalog(sys.argv[1]).close()"
    runners = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], cwd=ROOT, stdout=-1, stderr=-1, text=True)
        for _ in range(3)
    ]

    assert [(*runner.communicate(), runner.returncode) for runner in runners] == [("", "", 0)] * 3
    rows = whole(empty_url)
    assert [len(rows[table]) for table in ("catalog", "principal", "acl", "acl_entry")] == [1, 2, 1, 1]


def test_the_alembic_command_finds_the_catalog_in_the_settings(sqlite_url, tmp_path, monkeypatch):
    """How a developer writes the next revision: autogenerate against a migrated catalog finds nothing to do."""
    monkeypatch.setenv("METIER_DATABASE_URL", sqlite_url)

    result = subprocess.run(
        [sys.executable, "-m", "alembic", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "No new upgrade operations detected" in result.stdout, result.stderr
