"""Three processes look for what is due in one catalog, and are killed and paused: each moment leads to one run.

``make test EXAMPLES=1000`` has a thousand moments and a hundred kills for each database.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from indexing import schedules, store
from indexing.db import now
from indexing.tables import Table
from tests.faces import wait_until

RUN, SCHEDULE = Table.metadata.tables["run"], Table.metadata.tables["schedule"]
FIRES = int(os.environ.get("METIER_TEST_EXAMPLES") or 16)
SOURCES = 4
LEASE_S = 4.0


class Replicas:
    """Three processes, started anew when they are killed."""

    def __init__(self, database, folder):
        self.command = [sys.executable, "-m", "tests.replica", database, "{}", str(LEASE_S)]
        self.folder = folder
        self.processes = [self.started(number) for number in range(3)]

    def started(self, number):
        command = [each.format(self.folder / f"replica-{number}") for each in self.command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def send(self, number, signal_number):
        self.processes[number].send_signal(signal_number)

    def kill(self, number):
        self.send(number, signal.SIGKILL)
        self.end(number)
        self.processes[number] = self.started(number)

    def end(self, number):
        process = self.processes[number]
        process.kill()
        process.wait()
        process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in range(len(self.processes)):
            self.end(number)


@pytest.mark.network
@pytest.mark.timeout(60 + 10 * FIRES)
def test_each_moment_leads_to_one_good_run_whoever_is_killed_or_paused(catalog, catalog_url, tmp_path):
    chance = random.Random(str(FIRES))
    folders = [tmp_path / f"docs-{number}" for number in range(SOURCES)]
    with catalog.transaction() as session:
        for folder in folders:
            folder.mkdir()
            source = store.add_source(session, folder.name, "folder", str(folder))
            schedules.set_schedule(session, source.id, schedules.Timing("0 6 1 1 *"))
    expected = dict.fromkeys(range(1, SOURCES + 1), 0)
    kills = 0
    with Replicas(catalog_url, tmp_path) as replicas:
        for fire in range(FIRES // SOURCES):
            for source_id, folder in enumerate(folders, start=1):
                (folder / "a.txt").write_text(f"Words of moment {fire} in {folder.name}.")
                expected[source_id] += 1
            with catalog.transaction() as session:
                session.execute(update(SCHEDULE).values(next_at=now(session)))
            if chance.random() < 0.1 * SOURCES or fire == 1:
                number = chance.randrange(3)
                time.sleep(chance.random() * 0.1)
                paused = chance.random() < 0.3
                if paused:  # for longer than its lease: another takes over, and this one wakes up later
                    replicas.send(number, signal.SIGSTOP)
                    if catalog.engine.dialect.name == "postgresql":
                        wait_until(lambda: good_runs(catalog) == expected, within_s=60)
                    else:  # it may have stopped with SQLite's one write lock, and then nobody can go on
                        time.sleep(LEASE_S * 1.5)
                    replicas.send(number, signal.SIGCONT)
                else:
                    replicas.kill(number)
                kills += 1
            wait_until(lambda: good_runs(catalog) == expected, within_s=60)
            assert texts(catalog) == {f"Words of moment {fire} in {folder.name}." for folder in folders}
        time.sleep(0.5)

    assert good_runs(catalog) == expected
    assert kills >= FIRES // SOURCES * 0.1
    assert overlaps(catalog) == []


def good_runs(catalog):
    with catalog.reading() as session:
        found = session.execute(select(RUN.c.source_id).where(RUN.c.state == "succeeded")).scalars().all()
    return {source_id: found.count(source_id) for source_id in range(1, SOURCES + 1)}


def texts(catalog):
    document = Table.metadata.tables["document"]
    with catalog.reading() as session:
        return set(session.execute(select(document.c.text)).scalars())


def overlaps(catalog):
    """Pairs of runs of one source of which the second began before the first had ended, by the database's clock."""
    with catalog.reading() as session:
        found = session.execute(select(RUN.c.source_id, RUN.c.started_at, RUN.c.finished_at).order_by(RUN.c.id)).all()
    by_source = {source_id: [r for r in found if r.source_id == source_id] for source_id in range(1, SOURCES + 1)}
    return [(a, b) for each in by_source.values() for a, b in pairwise(each) if b.started_at < a.finished_at]
