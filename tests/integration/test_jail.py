"""A parser that was taken over does not get out: every escape is stopped, by the layers that docs/jail.md names."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import pytest_socket

from indexing import errors
from indexing.parse import ParserPool
from indexing.parse_place import collect
from indexing.parsing.confine import LAYERS
from indexing.settings import IndexingSettings
from tests.escapes import ESCAPES, SIEGES

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="the layers are those of Linux"),
]
DOCS = Path(__file__).parent.parent.parent / "docs" / "jail.md"


class World:
    """What a parser could reach if nothing held it: a catalog, documents, servers, processes; and one pool."""

    def __init__(self, folder, layers=LAYERS, **settings):
        self.folder = folder / "documents"
        self.folder.mkdir()
        self.catalog, self.document = folder / "catalog.db", self.folder / "secret.txt"
        self.expendable = self.folder / "expendable.txt"
        for path in (self.catalog, self.document, self.expendable):
            path.write_text("secret")
            path.chmod(0o600)
        self.work = folder / "work"
        self.work.mkdir()
        self.secret = os.open(self.document, os.O_RDONLY)
        os.set_inheritable(self.secret, True)
        self.servers = {
            "tcp": listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "tcp6": listening(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "udp": listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": listening(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "s")),
            "abstract": listening(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{secrets.token_hex(8)}"),
            "log": listening(socket.AF_UNIX, socket.SOCK_DGRAM, str(folder / "l")),
        }
        self.victim = subprocess.Popen(["/bin/sleep", "600"])
        self.shared_key = secrets.randbelow(1 << 30)
        self.shared = ctypes.CDLL(None).shmget(self.shared_key, 4096, 0o1600)
        self.pool = ParserPool(
            IndexingSettings(**({"parse_workers": 1, "parse_timeout_s": 20} | settings)),
            ("tests.escapes", ",".join(layers)),
        )

    def close(self):
        self.pool.close()
        ctypes.CDLL(None).shmctl(self.shared, 0, None)
        self.victim.kill()
        self.victim.wait()
        os.close(self.secret)
        for server in self.servers.values():
            server.close()

    def try_out(self, name):
        """Return what the parser says came of the escape: "stopped: …", or "escaped: …"."""
        self.expendable.write_text("secret")
        targets = {
            "escape": name, "catalog": str(self.catalog), "document": str(self.document), "folder": str(self.folder),
            "expendable": str(self.expendable), "parent": os.getpid(), "victim": self.victim.pid, "address": 0x400000,
            "token": secrets.token_hex(4), "shared_key": self.shared_key,
        }  # fmt: skip
        for server, opened in self.servers.items():
            address = opened.getsockname()
            targets[server] = address[1] if isinstance(address, tuple) else os.fsdecode(address)
        path = self.work / "hostile.json"
        path.write_text(json.dumps(targets))
        return self.pool.parse(path, "hostile.json", None, self.work)

    def state(self):
        """Return all that an escape may have changed."""
        paths = (self.catalog, self.document, self.folder)
        return [
            (p.stat().st_mode, p.stat().st_mtime, p.read_text() if p.is_file() else sorted(p.iterdir())) for p in paths
        ]

    def received(self):
        """Return which servers heard anything."""
        return [name for name, server in self.servers.items() if heard(server)]


def listening(family, kind, address):
    server = socket.socket(family, kind)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.setblocking(False)
    return server


def heard(server):
    try:
        if server.type == socket.SOCK_DGRAM:
            server.recv(100)
        else:
            server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="module")
def confined(tmp_path_factory):
    """Return one world for all escapes: what they do, they do to it together."""
    pytest_socket.enable_socket()  # it listens before the first test may
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as stack:
        environment.setenv("METIER_DATABASE_URL", "postgresql://u:hidden@host/db")
        made = World(tmp_path_factory.mktemp("world"))
        stack.callback(made.close)
        yield made


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("METIER_DATABASE_URL", "postgresql://u:hidden@host/db")
    with contextlib.ExitStack() as stack:

        def make(**options):
            made = World(tmp_path, **options)
            stack.callback(made.close)
            return made

        yield make


def holds(layers, layer, name):
    """Return whether *layer* is as strong here as the table assumes: older kernels have less of Landlock."""
    what = layers.get(layer, "")
    if layer == "files" and ("signal" in name or "abstract" in name):
        return "signals" in what
    if layer == "files" and re.search("connect", name):
        return "TCP" in what
    return bool(what)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_parser_that_was_taken_over_does_not_get_out(confined, name):
    w = confined
    layers = w.pool.layers()
    if not any(holds(layers, layer, name) for layer in ESCAPES[name].stopped_by):
        pytest.skip(f"this machine lacks what stops it: {ESCAPES[name].stopped_by}")
    before = w.state()
    said = w.try_out(name).blocks[0].text
    assert said.startswith("stopped:"), said
    assert w.state() == before
    assert w.received() == []
    assert w.victim.poll() is None


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_stops_what_the_table_says(world, layer):
    w = world(layers=("limits", layer))
    layers = w.pool.layers()
    if layer not in layers:
        pytest.skip(f"this machine has no layer {layer}")
    wrong = {}
    for name, escape in ESCAPES.items():
        said = w.try_out(name).blocks[0].text
        expected = {"limits", layer} & set(escape.stopped_by)
        if expected and any(holds(layers, one, name) for one in expected) and said.startswith("escaped"):
            wrong[name] = said
        if not expected and escape.open_without and said.startswith("stopped"):
            wrong[name] = said
    assert wrong == {}


@pytest.mark.parametrize("name", SIEGES)
def test_a_parser_that_besieges_the_service_is_ended_in_time(world, name):
    w = world(parse_timeout_s=2, parse_output_mb=2, max_file_mb=50)
    w.pool.layers()
    (first,) = w.pool.process_ids
    place = Path(f"/proc/{first}/cwd").resolve().parent
    before = w.state()
    started = time.monotonic()
    with pytest.raises(errors.ParseError) as caught:
        w.try_out(name)
    assert time.monotonic() - started < 12  # two seconds, and to remove what it has left on a slow disk
    assert caught.value.remedy
    deadline = time.monotonic() + 3
    while group_of(first) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert group_of(first) == []
    assert w.state() == before
    assert [p.name for p in w.work.iterdir()] == ["hostile.json"]
    assert not place.exists()
    assert w.try_out("read the catalog").blocks[0].text.startswith("stopped:")  # a new parser goes on


def group_of(leader):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            runs = ") Z" not in (process / "stat").read_text()
            if runs and os.getpgid(int(process.name)) == leader:
                found.append(process.name)
    return found


def besiege(world):
    with pytest.raises(errors.ParseError):
        world.try_out("ignore every signal and wait")


def test_healthy_files_beside_a_siege_are_not_delayed(world, tmp_path):
    w = world(parse_workers=2, parse_timeout_s=60)
    for _ in range(2):
        w.try_out("read the catalog")
    siege = threading.Thread(target=besiege, args=(w,))
    siege.start()
    time.sleep(0.3)
    path = tmp_path / "healthy.json"
    path.write_text(json.dumps({"escape": "read the catalog", "catalog": str(w.catalog)}))
    started = time.monotonic()
    for _ in range(10):
        w.pool.parse(path, "healthy.json", None, w.work)
    assert time.monotonic() - started < 20
    assert siege.is_alive()
    for process in w.pool.process_ids:
        os.kill(process, signal.SIGKILL)
    siege.join()


def leave_link(out, beside):
    (out / "a").symlink_to(beside)


def leave_pipe(out, beside):
    os.mkfifo(out / "a")


def leave_second_name(out, beside):
    (out / "a").hardlink_to(beside)


def leave_folder(out, beside):
    (out / "a").mkdir()


def leave_too_much(out, beside):
    (out / "a").write_bytes(bytes(101))


def leave_link_as_folder(out, beside):
    (out / "good").unlink()
    out.rmdir()
    out.symlink_to(beside.parent)


@pytest.mark.parametrize(
    "leave", [leave_link, leave_pipe, leave_second_name, leave_folder, leave_too_much, leave_link_as_folder]
)
def test_what_a_parser_leaves_is_taken_over_only_if_it_is_a_small_file_of_its_own(tmp_path, leave):
    """Also where no layer keeps a parser from making links: on older systems."""
    out, beside = tmp_path / "out", tmp_path / "beside" / "a"
    out.mkdir()
    beside.parent.mkdir()
    beside.write_text("secret")
    (out / "good").write_text("text")
    assert collect(str(out / "good"), out, tmp_path / "good", 100).read_text() == "text"
    leave(out, beside)
    with pytest.raises((OSError, ValueError)):
        collect(str(out / "a"), out, tmp_path / "taken", 100)
    assert not (tmp_path / "taken").exists()


def test_the_page_about_the_jail_lists_exactly_the_escapes_that_are_tried():
    rows = re.findall(r"^\| ((?!it tries)[^|]+) \| ([a-z, ]+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    table = [(e.tries, ", ".join(e.stopped_by)) for e in (*ESCAPES.values(), *SIEGES.values())]
    assert len(table) >= 30
    assert rows == table
