"""Where documents come from. A new kind of source is one file here and one line in ``BUILT_IN``.

A package of somebody else adds one by an entry point of the group ``metier.sources``: its name is the kind, and it
leads to a ``Kind``. docs/write-a-source.md has a worked example.
"""

from __future__ import annotations

import pkgutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

from indexing.errors import SourceError
from indexing.outbound_rules import parse_allowed
from indexing.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from indexing.db import Catalog
    from indexing.documents import Item, Page, RawDocument, SourceRecord
    from indexing.outbound import Outbound
    from indexing.settings import IndexingSettings

GROUP = "metier.sources"


class Source(Protocol):
    """Something that lists items and hands out their bytes.

    Both methods may be called from several threads, ``fetch`` at the same time for different items.
    """

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield everything the source holds now, in parts, so that a long listing needs little memory.

        *checkpoint* is that of an earlier listing's last part which was taken in: what came before it need not be
        listed again. What could not be looked into makes its part incomplete, so that nothing is deleted for it.
        Raises SourceError (SourceMissing) when it cannot be listed at all, or no further.
        """
        ...

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Copy the item's bytes to a new file in the directory *into*, and return it with their hash.

        The bytes are those of one moment. Raises ItemUnreadable, or StorageFull when *into* has no room.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may use."""

    catalog: Catalog
    settings: IndexingSettings

    @property
    def outbound(self) -> Outbound:
        """What asks other machines, within METIER_OUTBOUND_ALLOW."""
        from indexing.outbound import Outbound

        return Outbound(parse_allowed(self.settings.outbound_allow))

    @property
    def most_bytes(self) -> int:
        """The longest item, by METIER_MAX_FILE_MB."""
        return self.settings.max_file_mb << 20

    def known(self, record: SourceRecord) -> dict[str, str]:
        """Return the version tags that are stored of the source's items, by uri."""
        from indexing import store

        with self.catalog.reading() as session:
            return {stored.uri: stored.version_tag for stored in store.stored_versions(session, record.id)}

    def secret(self, record: SourceRecord) -> str:
        """Return the secret of the source; "" when it names none. Raises SourceError when it cannot be read."""
        return read_secret(self.settings.secret_folders, record.secret) if record.secret else ""


@contextmanager
def needing(extra: str, who: str) -> Iterator[None]:
    """Raise SourceError, which names the extra to install, when what the body imports is not there.

    *who*: the beginning of what is said, "SFTP needs".
    """
    try:
        yield
    except ImportError as exc:
        remedy = f"Install it: pip install 'metier[{extra}]'."
        raise SourceError(f"{who} a library: {exc}.", remedy=remedy) from exc


def _as_given(location: str) -> str:
    return location


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    ``opened`` returns the source of a record and asks nothing yet. ``location`` returns a location as it is to be
    stored, and raises SourceError for one that cannot be used; it asks nothing over the network.
    """

    opened: Callable[[SourceRecord, SourceContext], Source]
    location: Callable[[str], str] = _as_given
    about: str = ""  # what the location is, in one line
    options: Mapping[str, str] = field(default_factory=dict)  # name → what it is for, in one line
    secret: str = ""  # what its secret is, in one line; "" when it takes none


#: kind → where its ``Kind`` is. Read when it is used: a source loads its libraries then.
BUILT_IN: Mapping[str, str] = {
    "confluence": "indexing.sources.confluence:CONFLUENCE",
    "folder": "indexing.sources.folder:FOLDER",
    "fsspec": "indexing.sources.fsspec:FSSPEC",
    "gdrive": "indexing.sources.gdrive:GDRIVE",
    "git": "indexing.sources.git:GIT",
    "http": "indexing.sources.http:HTTP",
    "imap": "indexing.sources.imap:IMAP",
    "jira": "indexing.sources.jira:JIRA",
    "notion": "indexing.sources.notion:NOTION",
    "push": "indexing.sources.push:PUSH",
    "rss": "indexing.sources.rss:RSS",
    "s3": "indexing.sources.s3:S3",
    "sftp": "indexing.sources.sftp:SFTP",
    "sharepoint": "indexing.sources.sharepoint:SHAREPOINT",
    "sql": "indexing.sources.sql:SQL",
    "web": "indexing.sources.web:WEB",
    "webdav": "indexing.sources.webdav:WEBDAV",
}


@cache
def kind_names() -> tuple[str, ...]:
    """Return the kinds that can be used, sorted."""
    return tuple(sorted({*BUILT_IN, *(found.name for found in metadata.entry_points(group=GROUP))}))


@cache
def kind_called(name: str) -> Kind:
    """Return the kind of source called *name*. Raises SourceError for one that is not known, or cannot be loaded."""
    if name in BUILT_IN:
        found: Any = pkgutil.resolve_name(BUILT_IN[name])
    else:
        try:
            (entry,) = metadata.entry_points(group=GROUP, name=name)
        except ValueError as exc:
            raise SourceError(
                f"There is no kind of source called {name!r}.", remedy=f"Known kinds: {', '.join(kind_names())}."
            ) from exc
        try:
            found = entry.load()
        except (ImportError, AttributeError) as exc:
            raise SourceError(
                f"The kind of source {name!r} cannot be loaded from {entry.value}: {exc}.",
                remedy="Install the package that brings it anew, or remove it.",
            ) from exc
    if not isinstance(found, Kind):
        raise SourceError(f"The kind of source {name!r} is no indexing.sources.Kind.", remedy="Correct its package.")
    return found


def open_source(record: SourceRecord, context: SourceContext, kinds: Callable[[str], Kind] = kind_called) -> Source:
    """Return the source of *record*. Raises SourceError for a kind that is not known, or a secret that is not there."""
    return kinds(record.kind).opened(record, context)
