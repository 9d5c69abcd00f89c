"""From the thread that produces an answer to the one that yields it, with deadlines and a way to stop.

A plain generator that waits inside ``next()`` cannot be closed, so a client that leaves would hold the model
until its next token. Whoever reads a relay therefore gets an empty piece twice a second while nothing else
happens: the moment at which it can be closed.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.errors import GeneratorError, GeneratorTimeout

if TYPE_CHECKING:
    from app.generator import Deadlines, Pieces

AIR_S = 0.5  # seconds between empty pieces


@dataclass(frozen=True, slots=True)
class _End:
    reason: str = "stop"
    error: Exception | None = None


@dataclass
class Relay:
    """A one-way channel of pieces of text. The producer looks at ``cancelled`` wherever it can stop."""

    deadlines: Deadlines
    cancelled: threading.Event = field(default_factory=threading.Event)
    _items: queue.SimpleQueue[str | _End] = field(default_factory=queue.SimpleQueue)

    def put(self, piece: str) -> None:
        """Hand over one piece; an empty one is dropped."""
        if piece:
            self._items.put(piece)

    def finish(self, reason: str = "stop") -> None:
        """Say that no more pieces come, and why: "stop" or "length"."""
        self._items.put(_End(reason))

    def fail(self, error: Exception) -> None:
        """Say that no more pieces come, and let the reader raise *error*."""
        self._items.put(_End(error=error))

    def pieces(self) -> Pieces:
        """Yield the pieces in order, "" while waiting, and return the reason of the end.

        Raises what the producer failed with, or GeneratorTimeout past a deadline. However it ends, ``cancelled``
        is set.
        """
        started = False
        try:
            while True:
                left_s = self.deadlines.left_s(started=started)
                try:
                    item = self._items.get(timeout=min(AIR_S, left_s))
                except queue.Empty:
                    yield ""
                    continue
                if isinstance(item, _End):
                    if item.error is not None:
                        raise _ours(item.error, self.deadlines, started=started) from item.error
                    return item.reason
                started = True
                yield item
        finally:
            self.cancelled.set()


def _ours(error: Exception, deadlines: Deadlines, *, started: bool) -> GeneratorError:
    """Return *error* as the reader raises it: a vendor's timeout near our deadline is our timeout."""
    if isinstance(error, GeneratorTimeout):
        deadlines.left_s(started=started)  # raises with the setting to raise, when it was our deadline
    return error if isinstance(error, GeneratorError) else GeneratorError(f"The generator failed: {error}")


def first_line(error: Exception) -> str:
    """Return what a vendor's error says, shortened: it may quote a whole page."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
