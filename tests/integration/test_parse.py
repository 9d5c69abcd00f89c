"""Hostile, broken and locked files end as the right error, and the pool goes on serving."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from indexing import errors
from indexing.parse import ParserPool
from indexing.settings import IndexingSettings
from tests import samples

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Bench:
    """A pool, and one call that writes bytes to a file and parses it."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.pool = ParserPool(IndexingSettings(**({"parse_workers": 1} | settings)))

    def parse(self, content, name="file.txt"):
        path = self.folder / "content"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.pool.parse(path, name, None, self.work)

    def still_serves(self):
        return self.parse("All is well.").blocks[0].text == "All is well."


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("parse"), parse_timeout_s=20)
    yield bench
    bench.pool.close()


@pytest.fixture
def make_bench(tmp_path):
    benches = []

    def make(**settings):
        benches.append(Bench(tmp_path, **settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.pool.close()


def bomb(name="word/document.xml", megabytes=60):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(megabytes):
            member.write(bytes(1 << 20))
    return buffer.getvalue()


def lying_bomb():
    """Return a zip whose directory claims 10 bytes for a member of 60 MB."""
    data = bytearray(bomb())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    return bytes(data)


def encrypted(build):
    import msoffcrypto

    buffer = io.BytesIO()
    msoffcrypto.OfficeFile(io.BytesIO(build())).encrypt("secret", buffer)
    return buffer.getvalue()


def locked_pdf():
    lock = "<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + "41" * 32 + "> /U <" + "42" * 32 + "> >>"
    return samples.pdf(
        [(50, 700, 11, "secret")], extra={50: lock.encode()}.items(), trailer="/Encrypt 50 0 R /ID [<01> <01>]"
    )


def laughs(depth=12):
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, depth))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha ha ha">{entities}]><a>&l{depth - 1};</a>'


def junk(size=5000):
    return random.Random(7).randbytes(size)


def circular_pdf():
    """Return a PDF whose cross-reference table names itself as the one before it, and whose pages are their own."""
    whole = samples.pdf([(50, 700, 11, "x")]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")
    start = whole.rindex(b"xref\n0")
    return whole.replace(b"/Root 1 0 R ", b"/Root 1 0 R /Prev %d " % start)


#: A service that ends while its parser, stopped here, has a file in hand: nobody is left to tidy up.
KILLED_WHILE_READING = """
import os, signal, sys, threading, time
from pathlib import Path
from indexing.parse import ParserPool
from indexing.settings import IndexingSettings

folder = Path(sys.argv[1])
pool = ParserPool(IndexingSettings(parse_workers=1))
pool.parse(folder / "a.txt", "a.txt", None, folder)
(folder / "b.json").write_text("[" + '{"a": 1},' * 3_000_000 + "{}]")
threading.Thread(target=pool.parse, args=(folder / "b.json", "b.json", None, folder), daemon=True).start()
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


#: What is wrong with it → how to make it, its name, and the error that it must end as.
HOSTILE = {
    "empty": (lambda: b"", "a.txt", errors.EmptyDocument),
    "blank": (lambda: b" \n\t\n", "a.txt", errors.EmptyDocument),
    "zeros": (lambda: bytes(4096), "a.docx", errors.ParseError),
    "random bytes": (junk, "a.pdf", errors.UnsupportedFormat),
    "random bytes after a PDF mark": (lambda: b"%PDF-1.7\n" + junk(), "a.pdf", errors.ParseError),
    "a zip archive": (lambda: samples.zipped({"a.txt": "x"}), "a.zip", errors.UnsupportedFormat),
    "a program": (lambda: b"\x7fELF" + junk(), "a.docx", errors.UnsupportedFormat),
    "half a Word file": (lambda: samples.docx()[:9000], "a.docx", errors.ParseError),
    "half a workbook": (lambda: samples.xlsx()[:3000], "a.xlsx", errors.ParseError),
    "half a message": (lambda: samples.msg()[:1500], "a.msg", errors.ParseError),
    "half a picture": (lambda: samples.picture()[:200], "a.png", errors.ParseError),
    "a locked PDF": (locked_pdf, "a.pdf", errors.EncryptedDocument),
    "a locked Word file": (lambda: encrypted(samples.docx), "a.docx", errors.EncryptedDocument),
    "a locked workbook": (lambda: encrypted(samples.xlsx), "a.xlsx", errors.EncryptedDocument),
    "an encrypted mail": (
        lambda: b"From: a@b\nTo: c@d\nMIME-Version: 1.0\nContent-Type: application/pkcs7-mime\n\nMIIB",
        "a.eml", errors.EncryptedDocument,
    ),
    "a zip bomb": (bomb, "a.docx", errors.ParseLimit),
    "a workbook that is a zip bomb": (lambda: bomb("xl/workbook.xml"), "a.xlsx", errors.ParseLimit),
    "a book that is a zip bomb": (lambda: bomb("META-INF/container.xml"), "a.epub", errors.ParseLimit),
    "a zip bomb that lies about its size": (lying_bomb, "a.docx", errors.ParseError),
    "a zip of very many members": (
        lambda: samples.zipped({"word/document.xml": "x"} | {str(n): "" for n in range(21_000)}),
        "a.docx", errors.ParseLimit,
    ),
    "billion laughs": (laughs, "a.xml", errors.ParseLimit),
    "a PDF that refers to itself": (circular_pdf, "a.pdf", errors.ParseError),
    "a PDF without a page": (lambda: samples.pdf(count=0), "a.pdf", errors.ParseError),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_file_ends_as_the_right_error_and_the_next_is_read(shared, case):
    make, name, expected = HOSTILE[case]
    content = make()
    started = time.monotonic()
    with pytest.raises(errors.ParseError) as caught:
        shared.parse(content, name)
    assert isinstance(caught.value, expected)
    assert name in caught.value.message
    assert caught.value.remedy
    assert time.monotonic() - started < 20
    assert shared.still_serves()


def test_a_pdf_that_claims_100000_pages_is_read_as_far_as_it_goes(shared):
    parsed = shared.parse(samples.pdf([(50, 700, 11, "The only page")], count=100_000), "a.pdf")
    assert parsed.blocks[0].text == "The only page"
    assert shared.still_serves()


def test_deep_nesting_neither_kills_nor_loses_text(shared):
    assert shared.parse("<div>" * 5000 + "deep" + "</div>" * 5000, "a.html").blocks[-1].text == "deep"
    with pytest.raises(errors.ParseError):
        shared.parse("[" * 200_000, "a.json")
    assert shared.still_serves()


@pytest.mark.parametrize("name", ["a\x00.txt", "..\\..\\a", "x" * 5000, "\udcff.txt", "\u202etxt.exe", "", "-rf"])
def test_any_name_will_do(shared, name):
    assert shared.parse("words", name).blocks[0].text == "words"


@pytest.mark.parametrize("name", ["a.xml", "a.html", "a.docx"])
def test_external_entities_stay_closed(shared, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("TOP-SECRET")
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY s SYSTEM "file://{secret}">]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
        "<w:t>open &s;</w:t></w:r></w:p></w:body></w:document>"
    )
    content = samples.zipped({"word/document.xml": xml}) if name == "a.docx" else xml
    text = " ".join(block.text for block in shared.parse(content, name).blocks)
    assert "open" in text
    assert "SECRET" not in text


def test_text_past_the_output_limit_is_refused(make_bench):
    bench = make_bench(parse_output_mb=1)
    with pytest.raises(errors.ParseLimit, match="1 MB of text"):
        bench.parse("word " * 500_000)
    assert bench.still_serves()


def test_a_file_past_the_size_limit_is_not_even_opened(make_bench):
    bench = make_bench(max_file_mb=1)
    with pytest.raises(errors.ParseLimit, match="limit is 1 MB"):
        bench.parse(b"x" * (2 << 20))
    assert bench.pool.process_ids == frozenset()


def test_memory_past_the_limit_is_refused(make_bench):
    bench = make_bench(parse_memory_mb=512)
    with pytest.raises(errors.ParseError) as caught:
        bench.parse("[" + "{}," * 8_000_000 + "{}]", "a.json")
    assert isinstance(caught.value, errors.ParseLimit)
    assert bench.still_serves()


def test_a_file_that_is_gone_is_an_error_of_its_own(shared):
    with pytest.raises(errors.ParseError, match="cannot be opened"):
        shared.pool.parse(Path("/nowhere/a.txt"), "a.txt", None, shared.work)


@linux_only
def test_a_parser_that_hangs_is_killed_and_replaced(make_bench):
    bench = make_bench(parse_timeout_s=1)
    bench.still_serves()
    (first,) = bench.pool.process_ids
    os.kill(first, signal.SIGSTOP)  # as a parser that sleeps for ever looks from outside
    started = time.monotonic()
    with pytest.raises(errors.ParseLimit, match="longer than 1 s"):
        bench.parse("words")
    assert time.monotonic() - started < 20
    assert not Path(f"/proc/{first}").exists()
    assert bench.still_serves()
    assert first not in bench.pool.process_ids


@linux_only
def test_a_parser_that_crashes_names_its_signal_and_is_replaced(make_bench):
    bench = make_bench()
    bench.still_serves()
    (first,) = bench.pool.process_ids
    os.kill(first, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (first, signal.SIGSEGV)).start()
    threading.Timer(0.6, os.kill, (first, signal.SIGCONT)).start()
    with pytest.raises(errors.ParseError, match="SIGSEGV"):
        bench.parse("words")
    assert bench.still_serves()


@linux_only
def test_a_parser_that_died_while_idle_is_replaced_unseen(make_bench):
    bench = make_bench()
    bench.still_serves()
    (first,) = bench.pool.process_ids
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert bench.still_serves()


@linux_only
def test_a_parser_knows_nothing_of_the_service_and_reaches_no_network(make_bench, monkeypatch):
    monkeypatch.setenv("METIER_DATABASE_URL", "postgresql://u:hidden@host/db")
    secret = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(secret, True)
    bench = make_bench(database_url="postgresql://u:hidden@host/db")
    bench.still_serves()
    (child,) = bench.pool.process_ids
    assert b"hidden" not in Path(f"/proc/{child}/environ").read_bytes()
    assert b"hidden" not in Path(f"/proc/{child}/cmdline").read_bytes()
    assert len(list(Path(f"/proc/{child}/fd").iterdir())) <= 6  # the two pipes, statm, and three standard ones
    status = Path(f"/proc/{child}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    os.close(secret)


@linux_only
@pytest.mark.parametrize("busy", [False, True])
def test_no_parser_outlives_the_service(tmp_path, busy):
    (tmp_path / "a.txt").write_text("words")
    code = (
        "import os, signal, sys, threading, time; from pathlib import Path\n"
        "from indexing.parse import ParserPool; from indexing.settings import IndexingSettings\n"
        "pool = ParserPool(IndexingSettings(parse_workers=1)); folder = Path(sys.argv[1])\n"
        "def parse(): pool.parse(folder / 'a.txt', 'a.txt', None, folder)\n"
        "parse(); (child,) = pool.process_ids\n"
        "if sys.argv[2] == 'True':\n"
        "    (folder / 'a.txt').write_text('[' + '{\"a\": 1},' * 3_000_000 + '{}]')\n"
        "    threading.Thread(target=parse).start(); time.sleep(0.5)\n"
        "print(child, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(busy)], capture_output=True, text=True, check=False
    )
    child = int(done.stdout)
    deadline = time.monotonic() + 3
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(child)


@linux_only
def test_what_the_kernel_tells_late_of_a_request_kills_no_parser(make_bench):
    """Who writes into a pipe may be interrupted before its reader is told of it, and the reader goes on meanwhile.

    A space that is sent while a file is read looks the same to the parser; it belongs to the next request.
    """
    bench = make_bench()
    bench.still_serves()
    (child,) = bench.pool._idle
    late = threading.Timer(0.3, os.write, (child.process.stdin.fileno(), b" "))
    late.start()
    bench.parse("[" + '{"a": 1},' * 300_000 + "{}]", "a.json")
    late.join()
    assert bench.still_serves()
    assert bench.pool.process_ids == {child.process.pid}


def _runs(process_id):
    try:
        return ") Z" not in Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return False


def test_threads_share_the_parsers(make_bench, tmp_path):
    bench = make_bench(parse_workers=2)
    found, seen = [], set()

    def read(number):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"text {number}")
        found.append(bench.pool.parse(path, path.name, None, bench.work).blocks[0].text)
        seen.update(bench.pool.process_ids)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"text {n}" for n in range(12))
    assert len(seen) <= 2


def test_nothing_starts_before_the_first_file_and_nothing_stays_after_close(make_bench):
    bench = make_bench()
    assert bench.pool.process_ids == frozenset()
    with bench.pool:
        bench.still_serves()
        (child,) = bench.pool.process_ids
    assert not _runs(child)
    with pytest.raises(errors.ParseError, match="closed"):
        bench.parse("words")


def test_a_service_removes_what_a_killed_one_left_and_nothing_that_is_in_use(tmp_path):
    temp, work = tmp_path / "temp", tmp_path / "work"
    temp.mkdir()
    work.mkdir()
    (work / "a.txt").write_text("words")
    (temp / "metier-parser-someone").mkdir()
    (temp / "metier-parser-someone" / "notes").write_text("not made by a pool: it has no lock")
    (temp / "metier-parser-unlocked").mkdir()  # killed before it could lock it
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_READING, str(work)],
        env={"TMPDIR": str(temp)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(temp.glob("metier-parser-*/owner.lock"))) == 1
    code = (
        "import os, sys; from pathlib import Path\n"
        "from indexing.parse import ParserPool; from indexing.settings import IndexingSettings\n"
        "folder, temp = Path(sys.argv[1]), Path(sys.argv[2]); settings = IndexingSettings(parse_workers=1)\n"
        "one, two = ParserPool(settings), ParserPool(settings)\n"
        "for pool in (one, two, one): pool.parse(folder / 'a.txt', 'a.txt', None, folder)\n"
        "print(len(list(temp.glob('metier-parser-*/owner.lock')))); one.close(); two.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(work), str(temp)],
        env={"TMPDIR": str(temp)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "2\n"
    assert [path.name for path in temp.glob("metier-parser-*")] == ["metier-parser-someone"]
