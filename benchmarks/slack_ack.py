"""How soon what Slack sends is acknowledged, while the workers are busy.

    python -m benchmarks.slack_ack [EVENTS]

For SQLite and, where its programs are installed, PostgreSQL: a server's bot with Socket Mode, then over HTTP; EVENTS
questions (500 by default), one every 20 ms, from the fake Slack on loopback; each job keeps a worker busy for a
moment and writes to the catalog. Slack waits for 3 s; the aim is that 99 of 100 are acknowledged within 500 ms.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.logs import configure
from app.settings import AppSettings
from app.slack import store_inbox
from app.testing.slack import FakeSlack
from indexing import db
from tests import postgres, slacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

EVERY_S = 0.02
BUSY_S = 0.05


class Busy(slacks.Notes):
    """Computes for a moment, then writes, as an answer does."""

    def handle(self, bot: Any, job: Any) -> None:
        """Keep a core busy."""
        until = time.perf_counter() + BUSY_S
        while time.perf_counter() < until:
            sum(range(1000))
        with bot.parts.catalog.transaction() as session:
            store_inbox.begun(session, job, f"{job.id}.0")
        self.handled.append(job)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    events = int(arguments[0]) if arguments else 500
    configure("warning")
    with tempfile.TemporaryDirectory() as folder, catalogs() as new_catalog:
        for name, transport in itertools.product(new_catalog, ("socket", "http")):
            data_dir = Path(folder) / f"{name}-{transport}"
            data_dir.mkdir()
            with new_catalog[name](data_dir) as url:
                db.migrate(url)
                taken = sorted(acks(AppSettings.load(data_dir=data_dir, database_url=url, port=0), transport, events))
            p50, p99 = (1000 * taken[int(len(taken) * share)] for share in (0.5, 0.99))
            print(
                f"{name:10} {transport:6} {len(taken)} acknowledged: "
                f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {1000 * taken[-1]:.0f} ms",
                flush=True,
            )


@contextlib.contextmanager
def catalogs() -> Iterator[dict[str, Callable[[Path], AbstractContextManager[str]]]]:
    """Yield, by name, what makes an empty database and yields its address."""
    found: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"SQLite": sqlite}
    programs = postgres.programs()
    if programs is None:
        yield found
        return
    with postgres.server(programs) as server:

        @contextlib.contextmanager
        def postgresql(_: Path) -> Iterator[str]:
            with postgres.database(server) as made:
                yield made.render_as_string(hide_password=False)

        yield found | {"PostgreSQL": postgresql}


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield the address of a file in the folder."""
    yield f"sqlite:///{folder}/catalog.db"


def acks(settings: Any, transport: str, events: int) -> list[float]:
    """Return the seconds that each acknowledgement took."""
    notes = Busy()
    with FakeSlack() as slack:
        where = slacks.installed(slack, transport)
        ann = slack.add_user("ann")
        if transport == "http":
            with slacks.listening(settings, notes, where) as address:
                slack.deliver_to(f"{address}/slack/events")
                send(slack, notes, ann, events)
        else:
            with slacks.replicas(settings, notes, where):
                slack.wait(lambda: slack.connections == 1, 30)
                send(slack, notes, ann, events)
        assert not slack.lost
        return slack.acks


def send(slack: FakeSlack, notes: Busy, ann: str, events: int) -> None:
    """Let ann write to the bot, and wait for the last acknowledgement."""
    direct = slack.direct(ann)
    for number in range(events):
        slack.say(ann, direct, f"question {number}?")
        time.sleep(EVERY_S)
    slack.wait(lambda: len(slack.acks) >= events, 60)
    assert notes.handled


if __name__ == "__main__":
    main(sys.argv[1:])
