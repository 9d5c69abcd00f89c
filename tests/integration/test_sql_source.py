"""Queries as sources, on PostgreSQL and on files of SQLite: nothing is written, everything is limited."""

from __future__ import annotations

import sqlite3
import tracemalloc
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import make_url

from indexing import store
from indexing.documents import Item
from indexing.errors import ItemUnreadable, OutboundRefused, SourceError
from indexing.outbound_rules import parse_allowed
from indexing.sources import SourceContext, open_source
from indexing.sources.sql import SQL, Columns, SqlSource
from indexing.sources.sql_client import Database, database_url
from indexing.testing import listed
from tests import postgres

pytestmark = pytest.mark.network


@pytest.fixture
def database(postgres_server):
    """Return the address of an empty database, with what makes it."""
    if "host" not in postgres_server.query:
        pytest.skip("the server of METIER_TEST_POSTGRES has no Unix socket")
    with postgres.database(postgres_server) as url:
        yield url


@pytest.fixture
def run(database):
    def ran(statement):
        postgres.execute(database, statement)

    return ran


def opened(url, query, seconds=60, **columns):
    location = url._replace(password=None).render_as_string()
    return SqlSource(
        Database(database_url(location), parse_allowed([]), url.password or "", seconds), query, Columns(**columns)
    )


def fetched(source, item, tmp_path):
    into = tmp_path / f"into{len(list(tmp_path.iterdir()))}"
    into.mkdir()
    raw = source.fetch(item, into)
    return raw, raw.path.read_text()


def test_a_row_is_a_document_with_its_title_time_and_readers(database, run, tmp_path):
    run("CREATE TABLE t (id int, name text, price numeric, open bool, note text, gone text, at timestamp, who text)")
    run("INSERT INTO t VALUES (7, 'A  bolt', 1.50, true, E'two\\nlines', NULL, '2024-05-01 10:00', 'ann, hr,')")
    source = opened(database, "SELECT * FROM t", title="name", modified="at", readers="who")

    (item,) = listed(source).items
    raw, text = fetched(source, item, tmp_path)

    assert text == "# A  bolt\n\n**price**: 1.50\n**open**: true\n\n**note**:\n\ntwo\nlines\n".replace("A  b", "A b")
    assert (item.uri, item.readers, item.modified_at) == ("7", ("ann", "hr"), datetime(2024, 5, 1, 10, tzinfo=UTC))
    assert (raw.version_tag, raw.media_type, item.size_bytes) == (item.version_tag, "text/markdown", raw.size_bytes)


def test_a_row_without_readers_is_for_nobody(database):
    (item,) = listed(opened(database, "SELECT 1 AS id, 'x' AS body, NULL::text AS who", readers="who")).items

    assert item.readers == ()


@pytest.mark.parametrize("value", ["5", "'a/../b'", "'%s :id ''x'", "gen_random_uuid()", "DATE '2024-01-02'", "1.50"])
def test_a_row_is_found_again_by_its_id_whatever_its_type(database, run, tmp_path, value):
    run(f"CREATE TABLE t AS SELECT {value} AS \"My:id %\", 'a:b 10% \\:c' AS body".replace("''x'", "''x'"))
    query = "SELECT *, '1'::text AS one FROM t WHERE body LIKE '%:b 10\\%%' -- the end"
    source = opened(database, query)
    (item,) = listed(source).items

    assert "a:b 10% \\:c" in fetched(source, item, tmp_path)[1]
    assert fetched(opened(database, query), item, tmp_path)[0].version_tag == item.version_tag  # without a listing


@pytest.mark.parametrize(
    "query",
    [
        "WITH new AS (INSERT INTO t VALUES (2) RETURNING id) SELECT * FROM new",
        "SELECT nextval('numbers')",
        "SELECT id FROM t FOR UPDATE",
        "SELECT set_config('transaction_read_only', 'off', false), nextval('numbers')",
        "SELECT added(5)",
    ],
)
def test_a_query_that_writes_is_refused(database, run, query):
    run("CREATE TABLE t (id int)")
    run("CREATE SEQUENCE numbers")
    run("CREATE FUNCTION added(int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES ($1) RETURNING id'")
    source = opened(database, query)

    with pytest.raises(SourceError):
        listed(source)
    with pytest.raises(SourceError):
        source.fetch(Item("2", ""), None)
    with psycopg.connect(database.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        assert connection.execute("SELECT count(*), (SELECT is_called FROM numbers) FROM t").fetchone() == (0, False)


def test_fifty_thousand_rows_come_in_pages(database):
    source = opened(database, "SELECT n AS id, repeat('x', 1000) AS body FROM generate_series(1, 50000) AS n")
    tracemalloc.start()
    sizes = [len(page.items) for page in source.pages(None)]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sum(sizes) == 50_000
    assert max(sizes) == 1000
    assert most < 30 << 20


def test_rows_without_an_id_or_with_one_that_came_before_are_failures(database):
    query = "SELECT * FROM (VALUES (1, 'first'), (NULL, 'none'), (1, 'second'), (2, 'other')) AS v (id, body)"
    found = listed(opened(database, query))

    assert [item.uri for item in found.items] == ["1", "2"]
    assert [(failure.uri, failure.stage) for failure in found.failures] == [("row 2", "list"), ("row 3: 1", "list")]
    assert found.complete


def test_a_slow_query_ends_with_what_to_do(database):
    with pytest.raises(SourceError, match=r"longer than 0\.2 seconds"):
        listed(opened(database, "SELECT pg_sleep(30)", seconds=0.2))


def test_an_unknown_user_and_a_table_that_is_gone_are_said(database, run, tmp_path):
    run("CREATE TABLE t AS SELECT 1 AS id")
    source = opened(database, "SELECT id FROM t")
    (item,) = listed(source).items
    run("DROP TABLE t")

    with pytest.raises(SourceError, match="nobody_known") as caught:
        listed(opened(database.set(username="nobody_known"), "SELECT 1"))
    assert "secret" in caught.value.remedy
    assert postgres.PASSWORD not in str(caught.value)
    for asked in (lambda: listed(source), lambda: source.fetch(item, tmp_path)):
        with pytest.raises(SourceError, match="table is not there") as caught:
            asked()
        assert not isinstance(caught.value, ItemUnreadable)


def test_columns_that_are_not_there_or_twice_are_said(database):
    with pytest.raises(SourceError, match="no column 'titel'"):
        listed(opened(database, "SELECT 1 AS id", title="titel"))
    with pytest.raises(SourceError, match="two columns 'id'"):
        listed(opened(database, "SELECT 1 AS id, 2 AS id"))


@pytest.mark.parametrize(
    "query", ["", "DROP TABLE t", "SELECT 1; DROP TABLE t", "SELECT 1;", "UPDATE t SET a = 1", "selected"]
)
def test_what_is_no_select_is_refused_before_anything_is_asked(sqlite_catalog, settings, query):
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "s", "sql", "postgresql+psycopg://u@127.0.0.1/d", options={"query": query})

    with pytest.raises(SourceError, match="not one SELECT"):
        open_source(record, SourceContext(sqlite_catalog, settings()))


@pytest.mark.parametrize(
    "location",
    [
        "postgresql+psycopg://u:secret@db/d",
        "postgresql+psycopg://u@db/d?options=-cfoo",
        "postgresql+psycopg://u@db/d?host=/tmp",
        "postgresql+psycopg://u@/d?host=db",
        "postgresql+psycopg://u@/d?host=/a,db",
        "postgresql+psycopg://u@/d?host=/a&host=/b",
        "postgresql+psycopg://u@db,other/d",
        "postgresql+psycopg://u@db/dbname=x%0a",
        "postgresql+psycopg://db/d",
        "postgresql://u@db/d",
        "mysql://u@db/d",
        "sqlite:///relative.db",
        "sqlite://",
        "sqlite:////a.db?mode=rw",
        "nothing",
    ],
)
def test_a_location_that_is_not_plain_is_refused(location):
    with pytest.raises(SourceError) as caught:
        SQL.location(location)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("location", ["postgresql+psycopg://u@db:5433/d", "sqlite:////srv/a.db"])
def test_a_plain_location_is_stored_as_it_is(location):
    assert SQL.location(f" {location} ") == location


def test_a_machine_that_is_not_allowed_is_not_asked():
    source = SqlSource(Database(database_url("postgresql+psycopg://u@127.0.0.1:1/d"), parse_allowed([])), "SELECT 1")

    with pytest.raises(OutboundRefused):
        listed(source)


def test_the_connection_goes_to_the_address_that_was_checked():
    url = database_url("postgresql+psycopg://u@db.example:1/d")
    source = SqlSource(
        Database(url, parse_allowed(["db.example:1", "127.0.0.1:1"]), "hidden", resolve=lambda *_: ["127.0.0.1"]),
        "SELECT 1",
    )

    with pytest.raises(SourceError, match=r"127\.0\.0\.1") as caught:
        listed(source)
    assert "hidden" not in str(caught.value)


# --- Métier's own catalog, and files -------------------------------------------------------------------------------


def test_a_catalog_is_not_read_as_a_source(postgres_catalog_url, sqlite_url, sqlite_catalog, settings):
    url = database_url("postgresql+psycopg://u@db/d").set(database="d")
    with sqlite_catalog.transaction() as session:
        told = {"query": "SELECT id, text FROM chunk"}
        record = store.add_source(session, "s", "sql", sqlite_url, options=told)
        other = store.add_source(session, "t", "sql", url.render_as_string(), options=told)
    with pytest.raises(SourceError, match="catalog of Métier"):
        open_source(record, SourceContext(sqlite_catalog, settings()))
    with pytest.raises(SourceError, match="catalog of Métier"):
        open_source(other, SourceContext(sqlite_catalog, settings(database_url="postgresql+psycopg://m:p@db:5432/d")))

    with pytest.raises(SourceError, match="catalog of Métier"):
        listed(SqlSource(Database(database_url(sqlite_url), parse_allowed([])), "SELECT id, text FROM chunk"))
    made = make_url(postgres_catalog_url)
    if "host" in made.query:
        with pytest.raises(SourceError, match="catalog of Métier"):
            listed(opened(made, "SELECT id, text FROM chunk"))


def test_a_file_of_sqlite_is_not_written_and_a_slow_query_on_it_ends(tmp_path):
    file = tmp_path / "a ?#%.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, body TEXT)")
        connection.execute("INSERT INTO t VALUES (1, CAST(x'e9' AS TEXT))")
    url = database_url("sqlite:////x").set(database=str(file))
    endless = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT max(id) FROM n"

    assert [item.uri for item in listed(SqlSource(Database(url, parse_allowed([])), "SELECT * FROM t")).items] == ["1"]
    with pytest.raises(SourceError, match="longer than"):
        listed(SqlSource(Database(url, parse_allowed([]), seconds=0.2), endless))
    with pytest.raises(SourceError, match="writ"):
        listed(SqlSource(Database(url, parse_allowed([])), "WITH a AS (SELECT 1) DELETE FROM t RETURNING id"))


def test_a_row_is_fetched_only_while_one_row_has_its_id_and_its_readers_are_as_listed(tmp_path):
    file = tmp_path / "a.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (id TEXT, body TEXT, who TEXT)")
        connection.execute("CREATE INDEX i ON t (id, who)")  # so that a fetch finds ann's first, and a listing zoe's
        connection.execute("INSERT INTO t VALUES ('1', 'for zoe', 'zoe'), ('1', 'for ann', 'ann'), ('2', 'x', 'zoe')")
    url = database_url("sqlite:////x").set(database=str(file))
    source = SqlSource(Database(url, parse_allowed([])), "SELECT id, body, who FROM t", Columns(readers="who"))
    twice, once = listed(source).items

    with pytest.raises(ItemUnreadable, match="more than one row"):
        source.fetch(twice, tmp_path)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE t SET body = 'for ann', who = 'ann' WHERE id = '2'")
    with pytest.raises(ItemUnreadable, match="other readers"):
        source.fetch(once, tmp_path)
    assert not (tmp_path / "content").exists()
