"""Three processes look for what is due in one catalog, and are killed and stopped, and clocks jump.

Each moment of a schedule leads to one run that succeeds, and to one change of the document: none is lost, none is
done twice, and a process that wakes up late writes nothing. ``make test EXAMPLES=1000`` has a thousand moments and a
hundred kills and stops for each database.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from indexing import schedules, store
from indexing.db import now
from indexing.tables import Table
from tests.faces import wait_until

TABLES = Table.metadata.tables
RUN, SCHEDULE, CHANGE, DOCUMENT = TABLES["run"], TABLES["schedule"], TABLES["change"], TABLES["document"]
FIRES = int(os.environ.get("METIER_TEST_EXAMPLES") or 16)
SOURCES = max(1, min(10, FIRES // 2))
ROUNDS = max(2, FIRES // SOURCES)
LEASE_S = 2.0
HOUR, DAY = 3600.0, 86_400.0
#: A few days before the clocks of Paris go forward: a long run goes over that and over the way back.
BEGIN = datetime(2027, 3, 26, 6, 30, tzinfo=UTC)
DAILY = schedules.Timing("0 6 * * *", "Europe/Paris")


class Replicas:
    """Three processes, started anew when they are killed."""

    def __init__(self, database, folder, chance):
        self.folder, self.chance = folder, chance
        self.clock(0.0)
        command = [sys.executable, "-m", "tests.replica", database, str(folder), str(LEASE_S)]
        self.parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.input: Any = self.parent.stdin
        self.output: Any = self.parent.stdout
        self.ids = {}

    def start(self, number):
        (self.folder / f"clock-{number}").write_text(str(self.chance.choice((0, HOUR, -HOUR, DAY, -DAY))))
        self.input.write(f"{number}\n")
        self.input.flush()
        self.ids[number] = int(self.output.readline())

    def clock(self, shift):
        """Let the database's clock, which all three see, be wrong by so many seconds."""
        new = self.folder / "clock.new"
        new.write_text(str(shift))
        new.rename(self.folder / "clock")
        self.shift = shift

    def busy(self):
        """Return the replica with the most runs; any when none has one."""
        at_work = self.at_work()
        return max(at_work, key=lambda number: (at_work[number], self.chance.random()))

    def at_work(self):
        return {number: len(list((self.folder / f"replica-{number}" / "work").glob("*-run-*"))) for number in self.ids}

    def send(self, number, signal_number):
        os.kill(self.ids[number], signal_number)

    def kill(self, number):
        self.send(number, signal.SIGKILL)
        self.start(number)

    def stop(self, number, catalog):
        """Stop the process, on SQLite not while it holds the one write lock: nobody could go on until it does."""
        while True:
            self.send(number, signal.SIGSTOP)
            if catalog.engine.dialect.name == "postgresql" or is_writable(catalog):
                return
            self.send(number, signal.SIGCONT)
            time.sleep(0.01)

    def __enter__(self):
        for number in range(3):
            self.start(number)
        return self

    def __exit__(self, *_):
        for number in self.ids:
            self.send(number, signal.SIGKILL)
        self.input.close()
        self.parent.wait()
        self.output.close()


def is_writable(catalog):
    with contextlib.closing(catalog.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 300")
        cursor.execute("PRAGMA query_only = OFF")
        try:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 -- of the driver: somebody has the lock
            return False
        finally:
            cursor.execute("PRAGMA busy_timeout = 30000")
        return True


@pytest.mark.network
@pytest.mark.timeout(90 + 30 * ROUNDS)
def test_each_moment_has_one_effect_whoever_is_killed_or_stopped_and_whatever_the_clocks_do(
    catalog, catalog_url, tmp_path
):
    chance = random.Random(str(ROUNDS))
    folders = {}
    with catalog.transaction() as session:
        begin = (BEGIN - now(session)).total_seconds()
        for number in range(1, SOURCES + 1):
            folder = tmp_path / f"docs-{number}"
            folder.mkdir()
            source = store.add_source(session, folder.name, "folder", str(folder))
            schedules.set_schedule(session, source.id, DAILY)
            folders[source.id] = folder
        session.execute(update(SCHEDULE).values(next_at=BEGIN + timedelta(days=1)))
    watch_overlaps(catalog)
    written: dict[int, list[str]] = {source_id: [] for source_id in folders}
    done = {"kills": 0, "stops": 0, "jumps": 0}

    with Replicas(catalog_url, tmp_path, chance) as replicas:
        replicas.clock(begin)
        for number in range(ROUNDS):
            for source_id, folder in folders.items():
                content = f"Words of moment {number} in {folder.name}."
                (folder / "a.txt").write_text(content)
                written[source_id].append(hashlib.sha256(content.encode()).hexdigest())
            # A day later, or after an outage of three days: whatever was missed, one run follows.
            replicas.clock(replicas.shift + chance.choice((DAY, DAY, 3 * DAY)))
            done["jumps"] += 1
            disturb(replicas, catalog, written, done, number)
            wait_until(lambda: is_done(catalog, written), within_s=180)
            if number % 10 == 9:
                sys.stdout.write(f"{catalog.engine.dialect.name}: {figures(catalog, written)}, {done}\n")
        time.sleep(LEASE_S)

    sys.stdout.write(f"{catalog.engine.dialect.name}: {figures(catalog, written)}, {done}\n")
    assert effects(catalog) == written
    assert good_runs(catalog) == dict.fromkeys(folders, ROUNDS)
    assert overlaps(catalog) == 0
    assert done["kills"] + done["stops"] >= 2 * ROUNDS


def disturb(replicas, catalog, written, done, number):
    """Kill one, and another, or stop one for longer than its lease; and put the clock back for a moment."""
    chance = replicas.chance
    for turn in range(2):
        wait_until(lambda: any(replicas.at_work().values()) or is_done(catalog, written), within_s=180)
        time.sleep(chance.random() * 0.3)
        victim = replicas.busy()
        if (number + turn) % 4 == 1:
            replicas.stop(victim, catalog)
            if turn and catalog.engine.dialect.name == "postgresql":  # it wakes up when others have done its work
                wait_until(lambda: is_done(catalog, written), within_s=180)
            else:
                time.sleep(LEASE_S * 1.3)
            replicas.send(victim, signal.SIGCONT)
            done["stops"] += 1
        else:
            replicas.kill(victim)
            done["kills"] += 1
    if number % 3 == 1:
        wait_until(lambda: all_have_begun(catalog, replicas), within_s=180)
        true = replicas.shift
        replicas.clock(true - chance.choice((HOUR, DAY)))
        time.sleep(0.5)
        replicas.clock(true)
        done["jumps"] += 2
    elif number % 3 == 2:
        replicas.clock(replicas.shift + HOUR)
        done["jumps"] += 1


def good_runs(catalog):
    query = select(RUN.c.source_id, func.count()).where(RUN.c.state == "succeeded").group_by(RUN.c.source_id)
    with catalog.reading() as session:
        return dict(session.execute(query).all())


def effects(catalog):
    """Return, for each source, the contents that its document got, in order: a stale or second write would be seen."""
    query = select(DOCUMENT.c.source_id, CHANGE.c.content_hash).join(DOCUMENT, DOCUMENT.c.id == CHANGE.c.document_id)
    found: dict[int, list[str]] = {}
    with catalog.reading() as session:
        for source_id, content_hash in session.execute(query.where(CHANGE.c.kind == "put").order_by(CHANGE.c.seq)):
            found.setdefault(source_id, []).append(content_hash)
    return found


def is_done(catalog, written):
    expected = {source_id: len(contents) for source_id, contents in written.items()}
    found = good_runs(catalog)
    twice = [source_id for source_id, count in expected.items() if found.get(source_id, 0) > count]
    assert not twice, f"a moment had two effects: {last_runs(catalog, twice[0])}"
    return found == expected


def last_runs(catalog, source_id):
    r = RUN.c
    query = select(r.id, r.state, r.started_at, r.due_at, r.finished_at).where(r.source_id == source_id)
    with catalog.reading() as session:
        return "\n".join(map(str, session.execute(query.order_by(r.id.desc()).limit(6))))


def all_have_begun(catalog, replicas):
    """Say whether a run of each source has begun since the day began: before that a clock put back is just the time."""
    with catalog.reading() as session:
        midnight = (now(session) + timedelta(seconds=replicas.shift)).replace(hour=0, minute=0)
        begun = select(func.count(RUN.c.source_id.distinct())).where(RUN.c.started_at >= midnight)
        return session.execute(begun).scalar_one() == SOURCES


def watch_overlaps(catalog):
    """Let the database itself note each run that begins while another of its source goes on."""
    other = "EXISTS (SELECT 1 FROM run WHERE source_id = NEW.source_id AND state = 'running' AND id <> NEW.id)"
    with catalog.transaction() as session:
        session.execute(text("CREATE TABLE overlap (run_id bigint)"))
        if catalog.engine.dialect.name == "sqlite":
            session.execute(
                text(
                    f"CREATE TRIGGER watch AFTER INSERT ON run WHEN {other} "
                    "BEGIN INSERT INTO overlap VALUES (NEW.id); END"
                )
            )
            return
        session.execute(
            text(
                f"CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {other} "
                "THEN INSERT INTO overlap VALUES (NEW.id); END IF; RETURN NEW; END $$"
            )
        )
        session.execute(text("CREATE TRIGGER watch AFTER INSERT ON run FOR EACH ROW EXECUTE FUNCTION noted()"))


def overlaps(catalog):
    with catalog.reading() as session:
        return session.execute(text("SELECT count(*) FROM overlap")).scalar_one()


def figures(catalog, written):
    with catalog.reading() as session:
        states = session.execute(select(RUN.c.state)).scalars().all()
    counts = {state: states.count(state) for state in sorted(set(states))}
    made = sum(len(each) for each in effects(catalog).values())
    wanted = sum(len(each) for each in written.values())
    return f"{made} effects of {wanted} moments, runs {counts}, {overlaps(catalog)} overlaps"
