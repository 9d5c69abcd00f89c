"""The private directory of a parser: made and locked, handed a file, relieved of attachments, watched, removed.

::

    metier-parser-…/
        owner.lock   held by the service as long as it lives
        stderr
        inbox/       the file to read: written by the service, read by the parser
        work/        all that the parser can write, its current directory
            out-N/   attachments of its Nth file

Whatever the parser left there is taken for hostile: no link is followed, and nothing but regular files is opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import IO

#: Names of the directories, and of the file in each that its owner keeps locked.
_PREFIX = "metier-parser-"
_LOCK = "owner.lock"
#: A reader with LibreOffice needs about 10 processes and 300 files; a parser past these numbers is not reading.
_MOST_PROCESSES = 64
_MOST_FILES = 20_000
_SPARE_MB = 256


def private_directory() -> tuple[Path, IO[bytes]]:
    """Return a new directory and the lock on it, which the kernel frees when this process ends, however it ends."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        try:
            lock = (directory / _LOCK).open("xb")
        except FileNotFoundError:  # another service took it for stale before it was locked, here and below
            continue
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (directory / _LOCK).exists():
                (directory / "inbox").mkdir()
                (directory / "work").mkdir()
                return directory, lock
        lock.close()


def remove_stale_directories() -> None:
    """Remove the directories of services that were killed while a child was reading: nobody holds their lock."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is gone by now, or not ours to touch
            if directory.is_symlink() or directory.lstat().st_uid != os.geteuid():
                continue
            if not (directory / _LOCK).exists():
                directory.rmdir()  # fails unless it is empty: its owner ended before it could lock it
                continue
            with (directory / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
                remove(directory)


def remove(directory: Path) -> None:
    """Remove *directory* and all in it, however deep it is; nothing where it is gone.

    Not by ``shutil.rmtree``: thousands of levels, made to this end, would take as many of the service's descriptors.
    """
    with contextlib.suppress(OSError):
        directory.rmdir()
        return
    subprocess.run(["rm", "-rf", "--", str(directory)], stderr=subprocess.DEVNULL, check=False)  # noqa: S607 -- /bin is not everywhere


def hand_over(path: Path, directory: Path, number: int) -> tuple[Path, Path]:
    """Copy the file at *path* into the inbox; return the copy, and a new folder for what is attached to it.

    The parser sees the copy and no other document. Raises OSError.
    """
    copy, out = directory / "inbox" / "document", directory / "work" / f"out-{number}"
    out.mkdir()  # fails when a parser has put something there
    shutil.copyfile(path, copy)
    return copy, out


def take_back(directory: Path, number: int) -> None:
    """Remove the file that was handed over, and what is left in the folder of attachments."""
    (directory / "inbox" / "document").unlink(missing_ok=True)
    remove(directory / "work" / f"out-{number}")


def collect(file: str, out: Path, target: Path, most_bytes: int) -> Path:
    """Copy *file*, which the parser says is in *out*, to *target*, and return that. Raises OSError or ValueError.

    ValueError: it is not a regular file directly in *out*, or it has more than *most_bytes*.
    """
    name = Path(file).name
    if file != str(out / name):
        raise ValueError(file)
    folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as source:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > most_bytes:
            raise ValueError(file)
        with target.open("xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    return target


def trespass(group: int, directory: Path, file_mb: int) -> str | None:
    """Return what is too much about the parser in process group *group*, in words; None when nothing is.

    Counts its processes where /proc tells them, and what lies in its directory.
    """
    if _processes(group) > _MOST_PROCESSES:
        return f"more than {_MOST_PROCESSES} processes"
    most_mb = 4 * file_mb + _SPARE_MB
    files, size = _usage(directory)
    if files > _MOST_FILES:
        return f"more than {_MOST_FILES} files"
    return f"more than {most_mb} MB of disk" if size > most_mb << 20 else None


def _processes(group: int) -> int:
    count = 0
    with contextlib.suppress(FileNotFoundError), os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended by now
                    count += os.getpgid(int(entry.name)) == group
    return count


def _usage(directory: Path) -> tuple[int, int]:
    """Return how many entries there are beneath *directory*, and the bytes that they take; stops past the limit."""
    count = size = 0
    folders = [str(directory)]
    while folders and count <= _MOST_FILES:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                if count > _MOST_FILES:
                    break
    return count, size
