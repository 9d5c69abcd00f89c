"""A server with the Slack bot, as ``metier serve`` runs it, with fakes for the models: for tests that kill such.

    python -m tests.slack_server DATABASE_URL DATA_DIR LEASE_S

Prints "ready" once it listens. Leases are short, so that a test can wait for what a killed one leaves behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from app.logs import configure
from app.server import create_app
from app.settings import AppSettings
from app.slack.running import Pace
from app.testing import WordReader
from app.wiring import build
from indexing.testing import FakeParsers, HashEmbedder


class Announced(uvicorn.Server):
    """Says when it has started."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def main(database: str, data_dir: str, lease_s: str) -> None:
    """Serve until killed."""
    settings = AppSettings.load(database_url=database, data_dir=Path(data_dir), port=0, log_level="error")
    configure(settings.log_level)  # else lines go to standard output, where "ready" is awaited and nobody reads on
    parts = build(settings, embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader())
    app = create_app(parts)
    app.state.slack.pace = Pace(lease=float(lease_s), silent=10, ping=2, look=0.5, periodic=2)
    Announced(uvicorn.Config(app, port=0, log_config=None, access_log=False)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
