"""Which files a parser process may touch: Landlock (landlock(7)), the kernel's own file sandbox for anybody.

Needs no privilege, cannot be taken off, and holds for every program that is started from here. Written with ctypes:
three system calls, for which the bindings on the registry are first versions of single authors, and one of them
starts a compiler to find the C library.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
_VERSION_ONLY = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK = 1 << 7, 1 << 8, 1 << 9
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
#: What a rule on a file, not on a directory, may grant.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_KEEP = _READ | _WRITE_FILE | _TRUNCATE | _REFER | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK
#: Version of the interface → all rights on files that it knows; denied wherever no rule grants them.
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11  # bind and connect, from version 4
_SCOPES = 0b11  # abstract Unix sockets and signals stay inside, from version 6

#: What programs need of the system, besides Python itself. No home, no /etc as a whole, no /proc, no /var.
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew",
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/alternatives", "/etc/fonts", "/etc/libreoffice",
    "/etc/locale.alias", "/etc/localtime", "/etc/mime.types", "/etc/timezone",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems", "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu",
    "/var/cache/fontconfig", "/var/lib/libreoffice", "/var/spool/libreoffice",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("granted", ctypes.c_uint64), ("directory", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, 0, _VERSION_ONLY)))


def confine_files(place: Path, programs: Iterable[str]) -> str | None:
    """Let this process and its descendants touch nothing but *place*, Python, and the system's *programs*.

    They may read ``place/inbox``, write ``place/work``, and only remove the rest of *place*. Returns what is denied,
    in words; None where the kernel has no Landlock. Wants no_new_privs to be set.
    """
    abi = version()
    if abi == 0:
        return None
    handled = _HANDLED[min(abi, 5)]
    sizes = 8 if abi < 4 else 16 if abi < 6 else 24  # how much of the structure that kernel knows
    rules = _Rules(handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    ruleset = _libc().syscall(_CREATE_RULESET, ctypes.byref(rules), sizes, 0)
    if ruleset < 0:
        return None
    grants = [(path, _READ) for path in {*_SYSTEM, *python_paths(), *installations(programs)}]
    grants += [(path, _READ_FILE | _WRITE_FILE) for path in _DEVICES]
    grants += [(str(place), _READ_DIR | _REMOVE_DIR | _REMOVE_FILE)]
    grants += [(str(place / "inbox"), _READ), (str(place / "work"), _KEEP)]
    try:
        for path, rights in grants:
            _grant(ruleset, path, rights & handled)
        if _libc().syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            return None
    finally:
        os.close(ruleset)
    also = "" if abi < 4 else ", TCP" if abi < 6 else ", TCP, signals"
    return f"Landlock {abi}: files{also}"


def _grant(ruleset: int, path: str, rights: int) -> None:
    """Grant *rights* on *path* and all beneath; nothing where it does not exist."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            rights &= _OF_FILES
        rule = _Beneath(rights, descriptor)
        if _libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock takes no rule for {path}")
    finally:
        os.close(descriptor)


def python_paths() -> set[str]:
    """Return where Python and its libraries are. Of a source checkout only the package: data may lie beside it."""
    package = Path(__file__).resolve().parent.parent
    root = package.parent
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, str(package)}
    installed = any(root.glob("*.dist-info"))
    paths |= {path for path in sys.path if path and (installed or Path(path).resolve() != root)}
    return {path for path in paths if Path(path).resolve() != Path("/")}


def installations(programs: Iterable[str]) -> set[str]:
    """Return the directories of those *programs* (paths) that are links to places like /opt/libreoffice24.2."""
    real = {Path(program).resolve() for program in programs}
    return {str(Path(*path.parts[:3])) for path in real if path.parts[:2] == ("/", "opt") and len(path.parts) > 3}


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
