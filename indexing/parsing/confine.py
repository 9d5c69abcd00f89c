"""What a parser process may not do: grow, run for ever, read or write elsewhere, reach a network or another process.

Several layers, each as far as the kernel has it and without any privilege: limits, a network of its own, the rules on
files (``landlock.py``) and the filter on system calls (``seccomp.py``). All of it is inherited by the programs that a
reader starts (pandoc, tesseract, LibreOffice). What each layer stops is listed in docs/jail.md.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.parsing.landlock import confine_files
from indexing.parsing.seccomp import filter_calls

if TYPE_CHECKING:
    from collections.abc import Collection

    from indexing.parsing.job import Limits

#: The limits are there on every system.
LAYERS = ("limits", "network", "files", "calls")

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 24, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_F_SETSIG = 10
_PROGRAMS = ("soffice", "libreoffice", "tesseract", "pandoc")


def confine(limits: Limits, place: Path, layers: Collection[str] = LAYERS) -> dict[str, str]:
    """Put on the *layers* for the life of this process; return each one that holds now, and what it is.

    Must come before the first thread and the first file. *place* is the private directory, see ``landlock.py``.
    """
    parent = os.getppid()
    limit_resources(memory_mb=limits.memory_mb, file_mb=limits.file_mb)
    found: dict[str, str | None] = {}
    if "network" in layers:
        found["network"] = _leave_the_network()
    found["limits"] = f"memory, file size, processor time, {_drop_privileges()}"
    if "files" in layers:
        programs = (shutil.which(program) for program in _PROGRAMS)
        found["files"] = confine_files(place, [program for program in programs if program])
    if "calls" in layers:
        found["calls"] = filter_calls(parent)
    return {name: what for name, what in found.items() if what}


def gaps(layers: Collection[str]) -> list[str]:
    """Return the layers that are missing among *layers*. Without a network of its own, the filter keeps it out."""
    return [name for name in LAYERS if name not in layers and not (name == "network" and "calls" in layers)]


def limit_resources(*, memory_mb: int, file_mb: int) -> None:
    """Set the limits that hold for the life of this process."""
    memory = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_mb << 20, file_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def limit_cpu(seconds: float) -> None:
    """Allow this process *seconds* of processor time from now on; the kernel ends it after that."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 2, hard))


def _drop_privileges() -> str:
    """Give up what root may do beyond others, and what a set-user-ID program would bring; return that in words."""
    if sys.platform != "linux":
        return "no privileges taken"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    capability = 0
    while libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:  # fails past the last one, or for whoever has none
        capability += 1
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())) != 0:
        return "privileges kept"
    return "no privileges"


def _leave_the_network() -> str | None:
    """Move into a network without any interface, and return that in words; None where it is not allowed.

    It takes a user namespace, which many containers and some distributions refuse.
    """
    if sys.platform != "linux":
        return None
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        return None
    maps = (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"))
    try:
        for name, line in maps:
            Path("/proc/self", name).write_text(line, encoding="ascii")
    except OSError:
        return "a network without interfaces, and a user without a name"  # the map is for programs that print it
    return "a network without interfaces"


def die_with_parent(descriptor: int, *, armed: bool) -> None:
    """Let the kernel kill this whole process group as soon as the parent is gone, the reader of the pipe *descriptor*.

    Used while a file is read, when the parent reads nothing from that pipe. Not the pipe of the requests: the kernel
    tells of what was written into a pipe after its reader may have taken it (pipe_write in fs/pipe.c), so a writer that
    was interrupted there would kill whoever has begun to read the file. The parent-death signal of prctl(2) is no good
    either: it is sent when the *thread* that started this process ends, and pools have many threads.
    """
    if sys.platform != "linux":
        return
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if armed:
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(descriptor, _F_SETSIG, int(signal.SIGKILL))
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_ASYNC)
