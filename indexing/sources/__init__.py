"""Where documents come from. A new kind of source is one file here and one line in ``SOURCES``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from indexing.errors import SourceError
from indexing.sources.folder import FolderSource
from indexing.sources.push import PushSource
from indexing.sources.web import WebSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from indexing.db import Catalog
    from indexing.documents import Item, Listing, RawDocument, SourceRecord
    from indexing.settings import IndexingSettings


class Source(Protocol):
    """Something that lists items and hands out their bytes.

    Both methods may be called from several threads, ``fetch`` at the same time for different items.
    """

    def listing(self) -> Listing:
        """Return everything the source holds now.

        What could not be looked into makes the listing incomplete, so that nothing is deleted for it.
        Raises SourceError (SourceMissing) when it cannot be listed at all.
        """
        ...

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the item's bytes to a new file in the directory *into*, and return it with their hash.

        The bytes are those of one moment. Raises ItemUnreadable, or StorageFull when *into* has no room.
        """
        ...


#: kind → how to open a source of that kind.
SOURCES: Mapping[str, Callable[[SourceRecord, Catalog], Source]] = {
    "folder": FolderSource.opened,
    "push": PushSource.opened,
    "web": WebSource.opened,
}


def sources_with(settings: IndexingSettings) -> Mapping[str, Callable[[SourceRecord, Catalog], Source]]:
    """Return ``SOURCES`` with those that read the network held to *settings*."""
    return {**SOURCES, "web": partial(WebSource.opened, settings=settings)}


def open_source(
    record: SourceRecord,
    catalog: Catalog,
    kinds: Mapping[str, Callable[[SourceRecord, Catalog], Source]] = SOURCES,
) -> Source:
    """Return the source of *record*. Raises SourceError for a kind that this version does not know."""
    try:
        opened = kinds[record.kind]
    except KeyError as exc:
        raise SourceError(
            f"Source {record.name} is of the kind {record.kind!r}, which this version does not know.",
            remedy=f"Known kinds: {', '.join(sorted(kinds))}.",
        ) from exc
    return opened(record, catalog)
