"""What every test may use: settings, catalogs on SQLite and PostgreSQL, a clean environment, and no network."""

from __future__ import annotations

import os
import shutil

import hypothesis
import pytest
import pytest_socket
import structlog
from sqlalchemy import make_url

from app.logs import configure as configure_logs
from app.settings import AppSettings
from indexing import db
from indexing.settings import ENV_PREFIX, NOT_SETTINGS
from tests import postgres

DATABASES = ["sqlite", "postgresql"]

if examples := os.environ.get("METIER_TEST_EXAMPLES"):  # the long version: make test EXAMPLES=10000
    hypothesis.settings.register_profile("long", max_examples=int(examples), deadline=None)
    hypothesis.settings.load_profile("long")
else:
    hypothesis.settings.load_profile("ci")  # the same draws in each run: a change fails for what it did


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No setting of the developer's own reaches a test, and no hub is ever asked."""
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX) and name not in NOT_SETTINGS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def no_network(request):
    """Sockets are denied; ``@pytest.mark.network`` allows loopback, nothing allows more."""
    if request.node.get_closest_marker("network"):
        pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    else:
        pytest_socket.disable_socket(allow_unix_socket=True)  # event loops talk to themselves through one


@pytest.fixture
def log_lines():
    """Return a function for the lines of every level logged so far, as dictionaries."""
    configure_logs("error")  # else the list that is captured is dropped by the first command that does so
    with structlog.testing.capture_logs() as captured:
        yield lambda: [dict(line) | {"level": line.get("level", line["log_level"])} for line in captured]


@pytest.fixture
def settings(tmp_path):
    """Return a factory of settings whose data directory is this test's own."""

    def make(**overrides):
        return AppSettings.load(**({"data_dir": tmp_path / "data"} | overrides))

    return make


# --- SQLite ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    db.migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(tmp_path, migrated_file):
    """Return the URL of a new, migrated, empty SQLite catalog: the one that ``settings()`` finds."""
    file = tmp_path / "data" / "catalog.db"
    file.parent.mkdir(exist_ok=True)
    shutil.copy(migrated_file, file)
    return f"sqlite:///{file}"


@pytest.fixture
def sqlite_catalog(sqlite_url):
    catalog = db.open_catalog(sqlite_url)
    yield catalog
    catalog.close()


# --- PostgreSQL -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server():
    """Return the address of a server: METIER_TEST_POSTGRES when it is set, else a throw-away one."""
    if given := os.environ.get("METIER_TEST_POSTGRES"):
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL 15 or newer is not installed (Debian: apt-get install postgresql)")
    with postgres.server(programs) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """Return the name of a migrated database; a copy of it takes a fraction of the time that migrating takes."""
    with postgres.database(postgres_server) as url:
        db.migrate(url.render_as_string(hide_password=False))
        yield url.database


@pytest.fixture
def postgres_catalog_url(postgres_server, postgres_template):
    """Return the URL of a migrated, empty PostgreSQL catalog."""
    with postgres.database(postgres_server, postgres_template) as url:
        yield url.render_as_string(hide_password=False)


# --- both -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=DATABASES)
def empty_url(request, tmp_path):
    """Return the URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty/catalog.db"
        return
    with postgres.database(request.getfixturevalue("postgres_server")) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=DATABASES)
def catalog_url(request):
    """Return the URL of a migrated, empty catalog."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url")
    return request.getfixturevalue("postgres_catalog_url")


@pytest.fixture
def catalog(catalog_url):
    opened = db.open_catalog(catalog_url)
    yield opened
    opened.close()
