"""Sources by name, as people add and name them. Apart from ``app/ingest.py`` so that naming one loads no pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app import audit
from app.errors import BadRequest, Conflict, NotFound
from indexing import grants, store
from indexing.errors import SourceError, SourceMissing
from indexing.secrets import check_secret_name
from indexing.sources import kind_called
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexing.db import Catalog
    from indexing.documents import SourceRecord

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source that somebody wants: ``options`` as its kind takes them, ``secret`` the name of one."""

    name: str
    kind: str
    location: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None


def add_source(catalog: Catalog, wanted: NewSource, principal_id: int = LOCAL_PRINCIPAL_ID) -> SourceRecord:
    """Store a new source, which its maker and the local user may read; a folder's location becomes absolute.

    Raises BadRequest for a name, kind, location or option that cannot be used, SourceMissing when the folder is not
    there, and Conflict when the name is taken.
    """
    name = wanted.name
    if not _NAME.fullmatch(name):
        remedy = "Use up to 100 letters, digits, dots, hyphens and underscores; begin with a letter or digit."
        raise BadRequest(f"{name!r} cannot name a source.", remedy=remedy)
    location = _checked(wanted)
    with catalog.transaction() as session:
        if store.source_named(session, name) is not None:
            remedy = "Choose another name, or remove that source first."
            raise Conflict(f"There is already a source called {name}.", remedy=remedy)
        readers = grants.interned(session, {LOCAL_PRINCIPAL_ID, principal_id})
        made = store.add_source(
            session, name, wanted.kind, location, readers, options=wanted.options, secret=wanted.secret
        )
        audit.record(session, principal_id, "source.add", made.id)
        return made


def _checked(wanted: NewSource) -> str:
    """Return the location as it is stored. Raises BadRequest, or SourceMissing for a folder that is not there."""
    try:
        kind = kind_called(wanted.kind)
        location = kind.location(wanted.location)
        if wanted.secret is not None:
            check_secret_name(wanted.secret)
    except SourceMissing:
        raise
    except SourceError as exc:
        raise BadRequest(exc.message, remedy=exc.remedy) from exc
    if unknown := sorted(set(wanted.options) - set(kind.options)):
        known = ", ".join(kind.options) or "none"
        raise BadRequest(
            f"A source of the kind {wanted.kind} has no option {', '.join(unknown)}.", remedy=f"Its options: {known}."
        )
    if wanted.secret is not None and not kind.secret:
        raise BadRequest(f"A source of the kind {wanted.kind} takes no secret.", remedy="Leave it out.")
    return location


def source_named(catalog: Catalog, name: str) -> SourceRecord:
    """Return the source called *name*. Raises NotFound, naming those that exist."""
    with catalog.reading() as session:
        found = store.source_named(session, name)
        known = ", ".join(s.name for s in store.sources(session)) or "none so far"
    if found is None:
        raise NotFound(f"There is no source called {name}.", remedy=f"Sources: {known}.")
    return found
