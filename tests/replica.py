"""Processes that start scheduled runs, as servers do, with fakes for the models: for tests that kill such.

    python -m tests.replica DATABASE_URL FOLDER LEASE_S

For each line "NUMBER" on standard input a replica begins, whose process id is the answer: a fork of this process, so
that one that was killed is soon there again. Leases and retries are short, so that a test can wait for them. The file
FOLDER/clock holds the seconds by which the database's clock is wrong, and FOLDER/clock-NUMBER those of one replica's.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import indexing.tables
from app import scheduling
from app.ingest import Synchronizations
from app.settings import AppSettings
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build
from indexing import db, runs, schedules
from indexing.errors import CatalogUnavailable
from indexing.testing import FakeParsers, HashEmbedder

if TYPE_CHECKING:
    from app.parts import Parts


class SlowParsers(FakeParsers):
    """Takes a moment for each file, in which a process can be killed or stopped."""

    def parse(self, path, name, media_type, workdir):
        time.sleep(random.random() * 0.3)
        return super().parse(path, name, media_type, workdir)


def shift_in(file: Path) -> timedelta:
    """Return by how much a clock is wrong."""
    return timedelta(seconds=float(file.read_text()))


def put_clocks_wrong(folder: Path, number: int) -> None:
    """Let leases and schedules see the database's wrong clock, and all else the one of this replica."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + shift_in(folder / f"clock-{number}")

    def now(session):
        return db.now(session) + shift_in(folder / "clock")

    indexing.tables.datetime = Shifted  # type: ignore[attr-defined]
    runs.now = schedules.now = now  # type: ignore[attr-defined]


def replica(database_url: str, folder: Path, number: int) -> None:
    """Look for what is due until killed."""
    put_clocks_wrong(folder, number)
    settings = AppSettings.load(data_dir=folder / f"replica-{number}", database_url=database_url)
    fakes = {
        "embedder": HashEmbedder(),
        "parsers": SlowParsers(),
        "reads": WordReader(),
        "generator": ScriptedGenerator(),
    }
    parts = begun(settings, fakes)
    scheduling.keep_schedules(parts.catalog, Synchronizations(parts), threading.Event())


def begun(settings: AppSettings, fakes: dict[str, Any]) -> Parts:
    """Return the parts of a server; one that PostgreSQL turned away is begun anew, as by whoever runs servers.

    It does so when the process is stopped, while it opens the catalog, for longer than an idle transaction may last.
    """
    while True:
        try:
            return build(settings, **fakes)
        except CatalogUnavailable:
            time.sleep(0.1)


def main(database_url: str, folder: str, lease_s: str) -> None:
    """Begin a replica for each line."""
    runs.LEASE_S, runs.BEAT_S = float(lease_s), float(lease_s) / 4
    schedules.FIRST_RETRY, schedules.RETRIES = timedelta(microseconds=1), 26  # a slow machine loses many leases
    scheduling.LOOK_S = 0.2
    db.IDLE_TRANSACTION_S = int(float(lease_s))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for one that was killed
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what it logs is no answer
            replica(database_url, Path(folder), int(line))
        print(process, flush=True)  # noqa: T201 -- the test waits for it


if __name__ == "__main__":
    main(*sys.argv[1:])
