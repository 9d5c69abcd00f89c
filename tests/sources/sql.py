"""A table in a file of SQLite. An outage is a file that is not there."""

from __future__ import annotations

import contextlib
import sqlite3

from indexing import store
from indexing.sources import open_source
from tests.sources.place import Place


class Sql(Place):
    kind = "sql"
    knows_sizes = False  # of the document that is made of a row, not of the text in it
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.file = tmp_path / "rows.db"
        self.run("CREATE TABLE note (name TEXT PRIMARY KEY, body TEXT, readers TEXT)")
        told = {"query": "SELECT name, body, readers FROM note", "readers": "readers"}
        with context.catalog.transaction() as session:
            self.record = store.add_source(session, "rows", "sql", f"sqlite:///{self.file}", options=told)
        self.source = open_source(self.record, context)

    def run(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement, values)

    def write(self, name, content):
        self.run(
            "INSERT INTO note (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
            name,
            content.decode(),
        )

    def remove(self, name):
        self.run("DELETE FROM note WHERE name = ?", name)

    def rename(self, name, new_name):
        self.run("UPDATE note SET name = ? WHERE name = ?", new_name, name)

    def holds(self, found, content):
        return found == b"**body**: " + content + b"\n"

    def let(self, name, readers):
        self.run("UPDATE note SET readers = ? WHERE name = ?", ", ".join(readers), name)

    @contextlib.contextmanager
    def outage(self):
        away = self.file.with_name("away.db")
        self.file.rename(away)
        yield
        away.rename(self.file)
