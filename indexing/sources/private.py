"""Private copies of what a source holds: what was hashed is then what is parsed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from indexing.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends bytes to a new file at *path*.

    Raises StorageFull when our own disk refuses; errors of the body pass through, because they are the source's.
    """
    try:
        target = path.open("xb")
    except OSError as exc:
        raise _no_room(path, exc) from exc

    def write(piece: bytes) -> None:
        try:
            target.write(piece)
            target.flush()
        except OSError as exc:
            raise _no_room(path, exc) from exc

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):  # each piece was flushed: closing has nothing left to lose
            target.close()


def _no_room(path: Path, exc: OSError) -> StorageFull:
    return StorageFull(f"A document could not be copied to {path.parent}: {exc.strerror}.")
