from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from indexing.db_errors import masked, translated_errors
from indexing.errors import CatalogError, CatalogUnavailable, StorageFull

URL = make_url("postgresql+psycopg://metier:p%40ss-word@db.example/metier?sslpassword=other-secret")


class DriverError(Exception):
    """What a driver raises; ``sqlstate`` is PostgreSQL's code."""

    def __init__(self, message, sqlstate=None):
        super().__init__(message)
        self.sqlstate = sqlstate


def translated(error):
    with pytest.raises(CatalogError) as caught, translated_errors(URL):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d?password=secret", "postgresql://u@h/d?password=%2A%2A%2A"),
        ("sqlite:////data/catalog.db", "sqlite:////data/catalog.db"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert masked(make_url(address)) == shown


def test_a_password_that_the_driver_repeats_is_masked():
    error = OperationalError("", {}, DriverError('bad connection string "p@ss-word other-secret"'))

    said = str(translated(error))

    assert "p@ss-word" not in said
    assert "other-secret" not in said
    assert "***" in said


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (OperationalError("", {}, DriverError("could not extend file", "53100")), StorageFull),
        (OperationalError("", {}, DriverError("write failed: No space left on device")), StorageFull),
        (OperationalError("", {}, DriverError("connection refused")), CatalogUnavailable),
        (OperationalError("", {}, DriverError("shutting down", "57P01")), CatalogUnavailable),
        (OperationalError("", {}, DriverError("deadlock detected", "40P01")), CatalogUnavailable),
        (OperationalError("", {}, DriverError("index row too large", "54000")), CatalogError),
        (ProgrammingError("", {}, DriverError("no such table", "42P01")), CatalogError),
        (ProgrammingError("", {}, DriverError("gone"), connection_invalidated=True), CatalogUnavailable),
        (PoolTimeout("none left"), CatalogUnavailable),
    ],
)
def test_each_fault_gets_its_own_error(error, ours):
    assert type(translated(error)) is ours
