"""A throw-away PostgreSQL server for the tests, started from the installed programs."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import URL, make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "metier"
PASSWORD = "s3cret-of-the-tests"
OLDEST = 15  # the oldest version that the product supports
TEMPLATE_OF_ALL = "template1"


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs, or None when there is none."""
    found = {int(p.parent.parent.name): p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/postgres")}
    if found:
        return found[max(found)] if max(found) >= OLDEST else None
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def server(bin_folder: Path) -> Iterator[URL]:
    """Yield the address of a server's database "postgres" while it runs, reached by a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="metier-pg-"))  # a socket's path must be short
    try:
        with _running(bin_folder, folder):
            url = make_url(f"postgresql+psycopg://{USER}:{PASSWORD}@/postgres?host={folder}")
            _wait_until_it_answers(url)
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(bin_folder: Path, folder: Path) -> Iterator[None]:
    data = folder / "data"
    run: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == 0:  # which the server refuses to run as
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        run |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    options = ["-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([bin_folder / "initdb", "-D", data, *options], check=True, **run)
    # Nothing outlives the tests, so nothing is forced to disk; synchronous_commit stays as it comes: on.
    without = ("listen_addresses=", "fsync=off", "full_page_writes=off", "autovacuum=off")
    options = ["-k", str(folder), *(word for setting in without for word in ("-c", setting))]
    process = subprocess.Popen([bin_folder / "postgres", "-D", data, *options], **run)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)  # close all connections and stop
        process.wait(timeout=30)


def _wait_until_it_answers(url: URL, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            execute(url, "SELECT 1")
            return
        time.sleep(0.05)
    execute(url, "SELECT 1")


def execute(url: URL, statement: str) -> None:
    """Run a statement outside of any transaction, as CREATE DATABASE needs it."""
    libpq = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def database(server_url: URL, template: str = TEMPLATE_OF_ALL) -> Iterator[URL]:
    """Yield the address of a new database, a copy of *template*, that is dropped in the end."""
    name = f"metier_{uuid.uuid4().hex[:12]}"
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server_url.set(database=name)
    finally:
        execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
