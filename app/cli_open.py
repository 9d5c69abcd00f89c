"""How a command gets at the program's parts: settings with its options, log lines, catalog; closed at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.parts import Parts
    from app.settings import AppSettings
    from app.specialists import Asker, Specialist
    from indexing.db import Catalog
    from indexing.documents import Scope


def load_settings(**options: Any) -> AppSettings:
    """Return the settings of this process; options that were given win. Raises SettingsError."""
    from app.settings import AppSettings

    return AppSettings.load(**{name: value for name, value in options.items() if value is not None})


@contextmanager
def open_catalog_only(settings: AppSettings | None = None) -> Iterator[Catalog]:
    """Open the catalog (created on first use) for a command that needs nothing else."""
    from app.wiring import open_or_create

    catalog = open_or_create(settings or load_settings())
    try:
        yield catalog
    finally:
        catalog.close()


@contextmanager
def open_parts(settings: AppSettings | None = None, **overrides: Any) -> Iterator[Parts]:
    """Open everything; models are loaded when they are first used."""
    from app.wiring import build, close

    parts = build(settings or load_settings(), **overrides)
    try:
        yield parts
    finally:
        close(parts)


def local_scope(catalog: Catalog) -> Scope:
    """Return what the local user may read: whoever can run this command can read the catalog's file anyway."""
    from indexing.access import authorise
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with catalog.reading() as session:
        return authorise(session, LOCAL_PRINCIPAL_ID)


def local_specialist(catalog: Catalog, name: str | None) -> Specialist:
    """Return the specialist, the built-in one for None. Raises NotFound, also for one the local user may not ask."""
    from app import specialists
    from app.auth import ROLES
    from indexing.principals import principal_with_id
    from indexing.tables import LOCAL_PRINCIPAL_ID

    if name is None:
        return specialists.DEFAULT
    scope = local_scope(catalog)
    with catalog.reading() as session:
        found = principal_with_id(session, LOCAL_PRINCIPAL_ID)
        every = found is not None and found.state == "active" and "operate" in ROLES[found.role]
        return specialists.specialist(session, specialists.Asker(scope, every), name)


def local_operator(catalog: Catalog) -> Asker:
    """Return the local user as who may change each specialist: as with sources, whoever can run this command may."""
    from app.specialists import Asker

    return Asker(local_scope(catalog), every=True)


def quiet_logs(level: str = "warning") -> None:
    """Show log lines of at least *level* on standard error; a command's own output says the rest."""
    from app.logs import configure

    configure(level)
