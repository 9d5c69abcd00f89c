"""Documents that were pushed over the API. Nobody else has their bytes, so the catalog keeps them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from indexing import store
from indexing.documents import Listing, RawDocument
from indexing.errors import ItemUnreadable
from indexing.sources.private import private_file

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.db import Catalog
    from indexing.documents import Item, SourceRecord


class PushSource:
    """The originals of one source. Their version tag is the content hash."""

    def __init__(self, source_id: int, catalog: Catalog) -> None:
        """Remember where to look."""
        self._source_id = source_id
        self._catalog = catalog

    @classmethod
    def opened(cls, record: SourceRecord, catalog: Catalog) -> Self:
        """Return the source that *record* describes."""
        return cls(record.id, catalog)

    def listing(self) -> Listing:
        """Return everything that was pushed and not deleted, sorted by uri."""
        with self._catalog.reading() as session:
            return Listing(tuple(store.originals(session, self._source_id)))

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the pushed bytes to ``into / "content"``. Raises ItemUnreadable when they were deleted meanwhile."""
        with self._catalog.reading() as session:
            original = store.original_content(session, self._source_id, item.uri)
        if original is None:
            raise ItemUnreadable(f"{item.uri} was deleted after it was listed.", remedy="Nothing to do.")
        digest = hashlib.sha256(original.content).hexdigest()
        if digest != original.content_hash:
            raise ItemUnreadable(f"The stored bytes of {item.uri} are damaged.", remedy="Push the document again.")
        with private_file(into / "content") as write:
            write(original.content)
        return RawDocument(
            uri=item.uri,
            path=into / "content",
            content_hash=digest,
            size_bytes=len(original.content),
            media_type=original.media_type,
            version_tag=digest,
            modified_at=item.modified_at,
        )
