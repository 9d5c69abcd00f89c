"""What database drivers raise, as our errors: without the password, and without the rows, which are documents."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from indexing.errors import CatalogError, CatalogUnavailable, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

#: Below this an I/O error is reported as a full disk: SQLite cannot always tell.
FULL_DISK_BYTES = 64 * 1024

#: SQLite's primary result codes that mean: not now, or not from here.
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_PERM,
}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def masked(url: URL) -> str:
    """Return the URL as text without its password, wherever in it the password is."""
    hidden = {key: "***" for key in url.query if "password" in key}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _without_password(message: str, url: URL) -> str:
    secrets = [url.password, *(v for k, v in url.query.items() if "password" in k)]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            message = message.replace(secret, "***")
    return message


@contextmanager
def translated_errors(url: URL) -> Iterator[None]:
    """Raise what the database driver raises as one of the catalog errors, password masked."""
    try:
        yield
    except PoolTimeout as exc:
        raise CatalogUnavailable(f"All connections to the catalog {masked(url)} are in use.") from exc
    except DBAPIError as exc:
        raise _translated(exc, url) from exc


def _translated(exc: DBAPIError, url: URL) -> CatalogError:
    where = masked(url)
    # PostgreSQL's whole message can hold the row that was refused; its first line does not.
    primary = getattr(getattr(exc.orig, "diag", None), "message_primary", None)
    said = _without_password(" ".join((primary or str(exc.orig)).split()), url)
    code = getattr(exc.orig, "sqlite_errorcode", None)
    if code is not None:
        return _translated_sqlite(code & 0xFF, said, url)
    state = getattr(exc.orig, "sqlstate", None) or ""
    if state == "53100" or "No space left on device" in said:  # disk_full
        return StorageFull(f"The disk of the catalog {where} is full.")
    beyond_a_limit = state.startswith("54")  # a value too long for an index, say: no outage, though "operational"
    if exc.connection_invalidated or (isinstance(exc, OperationalError | InterfaceError) and not beyond_a_limit):
        return CatalogUnavailable(f"The catalog {where} cannot be reached: {said}.")
    return _refused(where, said)


def _translated_sqlite(code: int, said: str, url: URL) -> CatalogError:
    where = masked(url)
    if code == sqlite3.SQLITE_FULL or (code in _SQLITE_UNAVAILABLE and _disk_is_full(url)):
        return StorageFull(f"The disk of the catalog {where} is full.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return CatalogUnavailable(
            f"The catalog {where} is locked by another process.", remedy="Wait for it to finish, then try again."
        )
    if code in _SQLITE_UNAVAILABLE:
        return CatalogUnavailable(f"The catalog {where} cannot be used: {said}.", remedy="Check the file and its disk.")
    if code in _SQLITE_DAMAGED:
        return CatalogError(f"The catalog {where} is damaged: {said}.", remedy="Restore it from a backup.")
    if code == sqlite3.SQLITE_READONLY:
        return CatalogError(f"The catalog {where} cannot be written.", remedy="Check the permissions of its folder.")
    return _refused(where, said)


def _refused(where: str, said: str) -> CatalogError:
    return CatalogError(
        f"The catalog {where} refused a statement: {said}.",
        remedy="Nothing was written. If it happens again, report it with the program's log.",
    )


def _disk_is_full(url: URL) -> bool:
    folder = Path(url.database or "").parent
    return folder.is_dir() and shutil.disk_usage(folder).free < FULL_DISK_BYTES
