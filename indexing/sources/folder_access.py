"""Who may read a folder, said in the folder: ``.metier-access.toml`` with ``readers = ["staff", "ann"]``.

It holds for the folder and all that is below, until another one does. What cannot be understood means nobody: a typo
must not open a folder.
"""

from __future__ import annotations

import errno
import os
import stat
import tomllib

from indexing.documents import Failure

ACCESS_FILE = ".metier-access.toml"
_MOST_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def readers_of(
    folder: int, uri: str, above: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, tuple[Failure, ...]]:
    """Return who may read what is in the open *folder*, and what is wrong with its file, if anything is.

    Without a file it is *above*, what holds for the folder around it. *uri* is the file's, for the failure, which is
    shown to those who may read the folder around it.
    """
    try:
        return _named(_content(folder)), ()
    except FileNotFoundError:
        return above, ()
    except (OSError, ValueError) as exc:
        why = "it is a symbolic link" if isinstance(exc, OSError) and exc.errno == errno.ELOOP else str(exc)
        reason = f"It cannot be understood who may read this folder: {why}. Nobody may."
        remedy = 'Write one line: readers = ["staff", "ann"]'
        return (), (Failure(uri, "list", reason, remedy, type(exc).__name__, readers=above),)


def _content(folder: int) -> str:
    """Return the text of the folder's file. Raises OSError, ValueError when it is no text of a reasonable length."""
    descriptor = os.open(ACCESS_FILE, _READ, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too long")
    return content.decode()


def _named(text: str) -> tuple[str, ...]:
    """Return the names in *text*, each once. Raises ValueError unless it holds ``readers`` and nothing else."""
    told = tomllib.loads(text)
    readers = told.pop("readers", None)
    if told:
        raise ValueError(f"it says {', '.join(sorted(told))}, which means nothing")
    if not isinstance(readers, list) or not all(isinstance(name, str) and name.strip() for name in readers):
        raise ValueError("it names no readers")
    return tuple(sorted(set(readers)))
