"""What a parser process may not do: grow, run for ever, write large files, dump core, or reach a network.

All of it is inherited by the programs that a reader starts (pandoc, tesseract, LibreOffice).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import signal
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_DENY = 0x00050000 | 13  # EACCES
#: machine → (audit architecture, number of socket(2), number of ptrace(2)), from the kernel's headers.
_SYSCALLS = {"x86_64": (0xC000003E, 41, 101), "aarch64": (0xC00000B7, 198, 117)}
_AF_UNIX = 1
_IO_URING_SETUP = 425  # the same number everywhere; it could open a socket past the filter
_FIRST_X32_CALL = 0x40000000  # the x32 numbers of x86_64 would get past it too
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_F_SETSIG = 10


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


def deny_network() -> bool:
    """Make every socket but Unix ones fail, here and in all descendants; return whether the kernel took it.

    A seccomp filter (seccomp(2), BPF mode): it needs no privilege, and nothing can take it off again.
    ptrace is refused too, so that a parser cannot reach into another process of the same user.
    """
    syscalls = _SYSCALLS.get(platform.machine())
    if sys.platform != "linux" or syscalls is None:
        return False
    architecture, socket_number, ptrace_number = syscalls
    program = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _DENY),  # 32-bit calls on a 64-bit kernel: they have other numbers
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 6, 0, _FIRST_X32_CALL),
        (_EQUAL, 5, 0, _IO_URING_SETUP),
        (_EQUAL, 4, 0, ptrace_number),
        (_EQUAL, 0, 2, socket_number),
        (_LOAD, 0, 0, 16),  # its first argument: the address family
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0)


def die_with_parent(descriptor: int, *, armed: bool) -> None:
    """Let the kernel kill this whole process group as soon as the pipe at *descriptor* is closed by the parent.

    Used while a file is read, when nothing else can arrive on that pipe. The parent-death signal of prctl(2) is no
    good here: it is sent when the *thread* that started this process ends, and pools have many threads.
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
