"""Documents that were pushed over the API. Nobody else has their bytes, so the catalog keeps them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from indexing import store
from indexing.documents import Page, RawDocument
from indexing.errors import ItemUnreadable
from indexing.sources import Kind
from indexing.sources.private import private_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.db import Catalog
    from indexing.documents import Item, SourceRecord
    from indexing.sources import SourceContext


class PushSource:
    """The originals of one source. Their version tag is the content hash."""

    def __init__(self, source_id: int, catalog: Catalog) -> None:
        """Remember where to look."""
        self._source_id = source_id
        self._catalog = catalog

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> Self:
        """Return the source that *record* describes."""
        return cls(record.id, context.catalog)

    def pages(self, checkpoint: str | None) -> Iterator[Page]:  # noqa: ARG002 -- one statement lists them all
        """Yield everything that was pushed and not deleted."""
        with self._catalog.reading() as session:
            items = tuple(store.originals(session, self._source_id))
        yield Page(items)

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


PUSH = Kind(PushSource.opened, about="nothing: documents come through the REST API")
