"""Sources by name, as people add and name them. Apart from ``app/ingest.py`` so that naming one loads no pipeline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from app import audit
from app.errors import BadRequest, Conflict, NotFound
from indexing import grants, store
from indexing.errors import OutboundRefused, SourceMissing
from indexing.sources import SOURCES
from indexing.sources.web_pages import canonical
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from indexing.db import Catalog
    from indexing.documents import SourceRecord

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def add_source(
    catalog: Catalog, name: str, kind: str, location: str, principal_id: int = LOCAL_PRINCIPAL_ID
) -> SourceRecord:
    """Store a new source, which its maker and the local user may read; a folder's location becomes absolute.

    Raises BadRequest for a name or kind that cannot be used, SourceMissing when the folder is not there, and
    Conflict when the name is taken.
    """
    if not _NAME.fullmatch(name):
        remedy = "Use up to 100 letters, digits, dots, hyphens and underscores; begin with a letter or digit."
        raise BadRequest(f"{name!r} cannot name a source.", remedy=remedy)
    if kind not in SOURCES:
        raise BadRequest(f"There is no kind of source called {kind!r}.", remedy=f"Use one of: {', '.join(SOURCES)}.")
    if kind == "folder":
        location = str(existing_folder(location))
    if kind == "web":
        location = web_address(location)
    with catalog.transaction() as session:
        if store.source_named(session, name) is not None:
            remedy = "Choose another name, or remove that source first."
            raise Conflict(f"There is already a source called {name}.", remedy=remedy)
        readers = grants.interned(session, {LOCAL_PRINCIPAL_ID, principal_id})
        made = store.add_source(session, name, kind, location, readers)
        audit.record(session, principal_id, "source.add", made.id)
        return made


def existing_folder(location: str) -> Path:
    """Return *location* as an absolute path. Raises SourceMissing when it is not a folder that can be read."""
    try:
        folder = Path(location).expanduser().resolve()
        if location.strip() and folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError) as exc:  # a loop of links, a name with NUL, an unknown user
        raise SourceMissing(f"The folder {location!r} cannot be used: {exc}.", remedy="Check the path.") from exc
    raise SourceMissing(f"There is no folder {location or '(empty path)'}.", remedy="Check the path, or create it.")


def web_address(location: str) -> str:
    """Return *location* as the address of a web source. Raises BadRequest; nothing is asked over the network."""
    try:
        return canonical(location.strip())
    except OutboundRefused as exc:
        raise BadRequest(exc.message, remedy="Give an address such as https://docs.example.com/sitemap.xml.") from exc


def source_named(catalog: Catalog, name: str) -> SourceRecord:
    """Return the source called *name*. Raises NotFound, naming those that exist."""
    with catalog.reading() as session:
        found = store.source_named(session, name)
        known = ", ".join(s.name for s in store.sources(session)) or "none so far"
    if found is None:
        raise NotFound(f"There is no source called {name}.", remedy=f"Sources: {known}.")
    return found
