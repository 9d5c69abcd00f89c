"""Private copies of what a source holds: what was hashed is then what is parsed."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from indexing.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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


def saved(pieces: Iterable[bytes], path: Path) -> tuple[str, int]:
    """Write *pieces* to a file at *path*, in place of an earlier attempt's; return their sha256 and how many bytes.

    Raises StorageFull, and what *pieces* raises.
    """
    digest, size = hashlib.sha256(), 0
    path.unlink(missing_ok=True)
    with private_file(path) as write:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            write(piece)
    return digest.hexdigest(), size


def _no_room(path: Path, exc: OSError) -> StorageFull:
    return StorageFull(f"A document could not be copied to {path.parent}: {exc.strerror}.")
