"""A process that starts scheduled runs, as a server does, with fakes for the models: for tests that kill such.

    python -m tests.replica DATABASE_URL DATA_DIR LEASE_S

Leases and retries are short, so that a test can wait for them.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from pathlib import Path

from app import scheduling
from app.ingest import Synchronizations
from app.settings import AppSettings
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build
from indexing import db, runs, schedules
from indexing.testing import FakeParsers, HashEmbedder


def main(database_url: str, data_dir: str, lease_s: str) -> None:
    """Look for what is due until killed."""
    runs.LEASE_S, runs.BEAT_S = float(lease_s), float(lease_s) / 8
    schedules.FIRST_RETRY, schedules.RETRIES = timedelta(milliseconds=20), 12  # a slow machine loses many leases
    scheduling.LOOK_S = 0.05
    db.IDLE_TRANSACTION_S = int(float(lease_s))
    settings = AppSettings.load(data_dir=Path(data_dir), database_url=database_url)
    fakes = {
        "embedder": HashEmbedder(),
        "parsers": FakeParsers(),
        "reads": WordReader(),
        "generator": ScriptedGenerator(),
    }
    parts = build(settings, **fakes)
    print("ready", flush=True)  # noqa: T201 -- the test waits for it
    scheduling.keep_schedules(parts.catalog, Synchronizations(parts), threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
