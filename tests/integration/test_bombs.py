"""Files made to break their reader end as errors, in time, and nobody else notices: bombs, mutations, hostile names."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

import pytest

from indexing import errors
from indexing.documents import Attachment
from indexing.errors import SourceError
from indexing.parse import ParserPool
from indexing.parse_place import collect
from indexing.parsing.mail import save_attachment
from indexing.push import refuse_uri
from indexing.reading import _attachment_uris
from indexing.settings import IndexingSettings
from tests import bombs, samples

SECONDS = 2.0
#: Beyond the limit: the pool's own second, and what a busy machine adds.
GRACE = 8.0
#: A run of the suite takes this many; METIER_TEST_EXAMPLES may ask for more.
MUTATIONS = max(300, int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
NAMES = max(10_000, 10 * int(os.environ.get("METIER_TEST_EXAMPLES") or 0))


class Range:
    """A place for tests with explosives: a pool whose children live beneath it, and documents that must not change."""

    def __init__(self, folder, workers, **settings):
        self.temp, self.files, self.canary = folder / "temp", folder / "files", folder / "canary"
        for place in (self.temp, self.files, self.canary):
            place.mkdir()
        (self.canary / "document.txt").write_text("untouched")
        self.pool = ParserPool(
            IndexingSettings(
                **{"parse_workers": workers, "parse_timeout_s": SECONDS, "parse_memory_mb": 768} | settings
            )
        )
        self.number = 0
        self.lock = threading.Lock()

    def parse(self, name, content):
        """Return the error's class, or None when it was read; raises what is no ParseError, or came too late."""
        with self.lock:
            self.number += 1
            path = self.files / f"{self.number}"
        path.write_bytes(content or b" ")
        with tempfile.TemporaryDirectory(dir=self.files) as work:
            started = time.monotonic()
            outcome: object
            try:
                parsed = self.pool.parse(path, name, None, Path(work))
            except errors.ParseError as exc:
                outcome = type(exc) if exc.message and exc.remedy else "an error that says nothing"
            else:
                outcome = None
                assert {a.path.parent for a in parsed.attachments} <= {Path(work)}
            assert outcome != "an error that says nothing"
            took = time.monotonic() - started
        path.unlink()
        assert took < SECONDS + GRACE, f"{name} took {took:.1f} s"
        return outcome

    def untouched(self):
        """Return whether the folder looks as before but for the children's directories, which go with the pool."""
        self.pool.close()
        left = [path for place in (self.temp, self.files) for path in place.iterdir()]
        return left == [] and [p.read_text() for p in self.canary.iterdir()] == ["untouched"]


@pytest.fixture
def make_range(tmp_path, monkeypatch):
    made = []

    def make(workers, **settings):
        made.append(Range(tmp_path, workers, **settings))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
        return made[-1]

    yield make
    for one in made:
        one.pool.close()


def in_threads(count, work, items):
    """Call *work* with each of *items* from *count* threads; return what failed."""
    queue, failures, lock = iter(items), [], threading.Lock()

    def run():
        while True:
            with lock:
                item = next(queue, None)
            if item is None:
                return
            try:
                work(*item)
            except Exception as exc:  # noqa: BLE001 -- collected, so that one bad file does not hide the next
                failures.append((item[0], repr(exc)[:300]))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, failures


@pytest.mark.timeout(1200)
def test_no_bomb_stops_the_service_or_delays_a_healthy_file(make_range):
    place = make_range(3)
    outcomes = {}
    threads, failures = in_threads(2, lambda n, c: outcomes.update({n: place.parse(n, c)}), bombs.bombs())
    waits = []
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        assert place.parse("a.docx", bombs.healthy()["a.docx"]) is None
        waits.append(time.monotonic() - started)
        time.sleep(0.2)
    assert failures == []
    assert len(outcomes) >= 300
    assert sum(outcome is not None for outcome in outcomes.values()) >= 200
    assert len(waits) >= 20
    assert statistics.median(waits) < SECONDS, "healthy files had to wait"
    assert max(waits) < SECONDS + GRACE
    assert place.untouched()


def mutated(content, chance):
    """Return *content* with a few bytes changed, removed, doubled or moved."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"<>\"'"))
            case 2:
                del data[at : at + chance.randrange(1, 64)]
            case 3:
                data[at:at] = data[max(0, at - chance.randrange(1, 512)) : at]
            case 4:
                data[at : at + 8] = chance.randbytes(8)
            case _:
                other = chance.randrange(len(data))
                data[at : at + 16] = data[other : other + 16]
        data = data or bytearray(b" ")
    return bytes(data)


def mutations(count):
    chance = random.Random(17)  # the same files in each run: a failure can be looked at
    names = sorted(bombs.healthy())
    for number in range(count):
        name = names[number % len(names)]
        yield name, mutated(bombs.healthy()[name], chance)


@pytest.mark.timeout(3600)
def test_no_mutation_of_a_good_file_stops_the_service(make_range):
    place = make_range(2)
    outcomes = []
    threads, failures = in_threads(2, lambda n, c: outcomes.append(place.parse(n, c)), mutations(MUTATIONS))
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(outcomes) == MUTATIONS
    assert any(outcome is None for outcome in outcomes)
    assert any(outcome is not None for outcome in outcomes)
    assert place.parse("a.txt", samples.MARK.encode()) is None
    assert place.untouched()


PIECES = [
    "..", ".", "/", "\\", "a", "é", "\0", "\n", "\r", "\u202e", "\u2066", "\u2028", "\udcff", "\ud800", "~", "$HOME",
    "`id`", "%2e%2e%2f", "..\\..\\", "../../../", "/etc/passwd", "C:\\", "con", "nul.txt", "aux", ":", "*", "?", "<",
    ">", "|", '"', "'", ";", "-rf", " ", "  ", "!/", "x" * 300, ".txt", ".exe", "file://", "\ufeff", "\u0301", "😀",
]  # fmt: skip


def hostile_names(count):
    chance = random.Random(23)
    for _ in range(count):
        name = "".join(chance.choice(PIECES) for _ in range(chance.choice((1, 2, 3, 6, 40))))
        yield name[: chance.choice((10, 255, 4_096))]


def snapshot(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.timeout(1200)
def test_no_hostile_name_is_a_path(tmp_path):
    """The three places where a name from outside meets a file: an attachment written, taken over, and given its uri."""
    inside, out, beside = tmp_path / "in", tmp_path / "out", tmp_path / "beside"
    for folder in (inside, out, beside):
        folder.mkdir()
    (beside / "document.txt").write_text("untouched")
    before = snapshot(tmp_path)
    for name in hostile_names(NAMES):
        written = save_attachment(inside, 0, name, b"x")
        assert written.path == inside / "attachment-0000"
        (uri,) = _attachment_uris("mail.eml", [Attachment(name, written.path)])
        label = uri.removeprefix("mail.eml!/")
        assert label
        assert not set(label) & set("/\\\0\n\r")
        assert label.encode()
        with contextlib.suppress(SourceError):
            refuse_uri(name)
            assert name.isprintable()
        with pytest.raises((ValueError, OSError)):
            collect(str(out / name), out, beside / "taken", 1 << 20)
    assert set(snapshot(tmp_path)) - set(before) == {"in/attachment-0000"}
    assert (beside / "document.txt").read_text() == "untouched"


def test_hostile_names_of_attachments_archive_members_and_files_leave_nothing_outside(make_range):
    place = make_range(1, parse_timeout_s=20)
    for name in hostile_names(60):
        storable = name.encode("utf-8", "replace").decode()
        mail = samples.eml(name="placeholder.csv").replace(
            b"placeholder.csv", storable.encode().replace(b"\n", b"").replace(b'"', b"")
        )
        place.parse("a.eml", mail)
        place.parse("a.docx", samples.zipped({storable.replace("\0", "") or "a": "x", "word/document.xml": "<a/>"}))
        place.parse(name, b"words")
    assert place.untouched()
