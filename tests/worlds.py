"""A small world for tests of synchronisation: a real catalog, and fakes for everything around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexing import runs, store
from indexing.access import authorise
from indexing.pipeline import Indexing, sync_source
from indexing.tables import LOCAL_PRINCIPAL_ID
from indexing.testing import FakeParsers, FakeSource, HashEmbedder, kinds_of, listed

if TYPE_CHECKING:
    from indexing.db import Catalog
    from indexing.settings import IndexingSettings
    from indexing.trial import Gate


def only(source):
    """Return the one item that the source lists."""
    (item,) = listed(source).items
    return item


def synchronised(catalog, settings, kind, source):
    """Run *source* into the one record of its kind, made when there is none, and return the report."""
    indexing = Indexing(catalog, HashEmbedder(), FakeParsers(), settings, kinds_of(**{kind: source}))
    with catalog.transaction() as session:
        record = store.source_named(session, kind) or store.add_source(session, kind, kind, "")
    return sync_source(indexing, record)


@dataclass
class World:
    """One source of documents, and all that is needed to synchronise it."""

    catalog: Catalog
    settings: IndexingSettings
    kind: str = "fake"
    location: str = "memory"
    files: FakeSource = field(default_factory=FakeSource)
    embedder: HashEmbedder = field(default_factory=HashEmbedder)
    parsers: FakeParsers = field(default_factory=FakeParsers)
    gate: Gate | None = None

    def __post_init__(self):
        with self.catalog.transaction() as session:
            self.source = store.add_source(session, "docs", self.kind, self.location)

    @property
    def indexing(self):
        return Indexing(
            self.catalog, self.embedder, self.parsers, self.settings, kinds_of(fake=self.files), gate=self.gate
        )

    def sync(self, **options):
        return sync_source(self.indexing, self.source, **options)

    def known(self):
        """Return what is stored, by uri."""
        with self.catalog.reading() as session:
            return store.known_documents(session, self.source.id)

    def failures(self):
        """Return the failures that are recorded, by uri."""
        with self.catalog.reading() as session:
            return {record.failure.uri: record for record in runs.failures(session, self.source.id)}

    def runs(self):
        with self.catalog.reading() as session:
            return runs.runs(session, self.source.id)

    def text(self, uri):
        """Return what the local user can read of a document; None for nothing."""
        with self.catalog.reading() as session:
            found = store.known_document(session, self.source.id, uri)
            return found and store.document_text(session, authorise(session, LOCAL_PRINCIPAL_ID), found.id)

    def indexed(self):
        """Return (uri, text) of every chunk that the indexes would hold."""
        with self.catalog.reading() as session:
            batches = list(store.index_rows(session, self.embedder.fingerprint, None))
        return [row for batch in batches for row in zip(batch.uris, batch.texts, strict=True)]
