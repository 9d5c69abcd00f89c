"""Runs migrations on the connection that ``indexing.db.migrate`` hands over.

Called by the alembic command instead (to write a new revision), it opens the URL of ``-x url=…``, else that of
the settings.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, create_engine

import app.tables
import indexing.tables
from indexing.settings import IndexingSettings

TABLES = (indexing.tables, app.tables)  # both modules fill the same metadata


def render_item(kind: str, item: Any, _autogen_context: Any) -> str | Literal[False]:
    """A revision must not import our code, which goes on changing: it spells our types out."""
    if kind == "type" and isinstance(item, indexing.tables.UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=indexing.tables.Table.metadata,
        render_as_batch=True,  # SQLite alters most things by making the table again
        transactional_ddl=True,
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Migrations read the database, so they cannot be written as SQL only.")

given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url") or IndexingSettings.load().database
    engine = create_engine(url)
    with engine.begin() as connection:
        run(connection)
    engine.dispose()
