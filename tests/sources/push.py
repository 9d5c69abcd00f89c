"""What was pushed. An outage is a catalog that cannot be reached."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, cast

from indexing import store
from indexing.documents import OriginalContent
from indexing.errors import CatalogUnavailable
from indexing.sources.push import PushSource
from tests.sources.place import Place

if TYPE_CHECKING:
    from indexing.db import Catalog


class Push(Place):
    kind = "push"
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.catalog = context.catalog
        self.down = False
        with self.catalog.transaction() as session:
            self.record = store.add_source(session, "place", "push", "")
        self.source = PushSource(self.record.id, cast("Catalog", self))

    @contextlib.contextmanager
    def reading(self):
        """Stand in for the catalog, which cannot be reached during an outage."""
        if self.down:
            raise CatalogUnavailable("The catalog is away.")
        with self.catalog.reading() as session:
            yield session

    def write(self, name, content):
        digest = hashlib.sha256(content).hexdigest()
        with self.catalog.transaction() as session:
            store.put_original(session, self.record.id, name, OriginalContent(content, None, digest))

    def remove(self, name):
        with self.catalog.transaction() as session:
            store.delete_original(session, self.record.id, name)

    def rename(self, name, new_name):
        with self.catalog.reading() as session:
            found = store.original_content(session, self.record.id, name)
        assert found is not None
        self.remove(name)
        self.write(new_name, found.content)

    def let(self, name, readers):
        with self.catalog.transaction() as session:
            store.set_original_readers(session, self.record.id, name, readers)

    @contextlib.contextmanager
    def outage(self):
        self.down = True
        yield
        self.down = False
