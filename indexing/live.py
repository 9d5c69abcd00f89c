"""A run while it goes on: where it is, told to who watches and to its row, and whether it shall stop."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from indexing import runs, runs_live
from indexing.documents import Progress
from indexing.energy import Meter
from indexing.pace import BEFORE, Pace, seconds_left
from indexing.tables import utc_now
from indexing.waits import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from indexing.db import Catalog

T = TypeVar("T")

#: How often the row is looked at: whoever asks a run to stop is heard within this.
LOOK_S = 1.0
#: How often its progress is stored at most.
TELL_S = 2.0
#: Waits that are told: shorter ones are a server's ordinary manners.
_LONG_WAIT_S = 3.0
_SLICE_S = 0.2


class Cancelled(Exception):
    """The run was cancelled; what was stored until then stays."""


class Stop(threading.Event):
    """Set when it is set itself, or the event of whoever started the run: that one may be for more runs than this."""

    def __init__(self, given: threading.Event | None) -> None:
        """Begin unset, unless *given* is set."""
        super().__init__()
        self._given = given

    def is_set(self) -> bool:
        """Say whether to stop."""
        return super().is_set() or (self._given is not None and self._given.is_set())


class Live:
    """Where one run of this process is. Its own thread stores that, while others go on with the work."""

    def __init__(self, on_progress: Callable[[Progress], None], cancel: threading.Event | None) -> None:
        """Begin now, with the listing."""
        self.cancel = Stop(cancel)
        self.meter = Meter()
        self.pace = Pace()
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._began = self._reading_since = time.monotonic()
        self._progress = Progress("list", 0, 0)
        self._since = self._moved_at = utc_now().isoformat()
        self._waiting = False
        self._told: dict[str, Any] | None = None
        self._told_at = self._beat_at = self._began

    def show(self, progress: Progress) -> None:
        """Tell where the run is, with an estimate of what is left."""
        with self._lock:
            now = time.monotonic()
            if progress.stage != self._progress.stage:
                self._since = utc_now().isoformat()
                self._reading_since = now if self._progress.stage in BEFORE else self._reading_since
            began = self._began if progress.stage in BEFORE else self._reading_since
            left = seconds_left(self.pace, progress, now - began)
            self._progress = replace(progress, seconds_left=None if left is None else round(left, 1))
            self._moved_at = utc_now().isoformat()
            shown = self._progress
        self._on_progress(shown)

    def enter(self, stage: str) -> None:
        """Tell that the run is at another stage, with its counts as they are."""
        self.show(replace(self._progress, stage=stage, uri=""))

    def wait(self, seconds: float) -> None:
        """Wait because a server asked us to, and tell; return at once when the run shall stop."""
        until = time.monotonic() + seconds
        if seconds >= _LONG_WAIT_S:
            self._waiting = True
        try:
            while (left := until - time.monotonic()) > 0 and not self.cancel.is_set():
                time.sleep(min(left, _SLICE_S))
        finally:
            self._waiting = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Let what waits in the body, and in the threads that it starts, wait in the name of this run."""
        token = waiting.set(self.wait)
        try:
            yield
        finally:
            waiting.reset(token)

    def until_cancelled(self, things: Iterable[T]) -> Iterator[T]:
        """Yield *things*. Raises Cancelled as soon as the run shall stop."""
        for thing in things:
            self.raise_if_cancelled()
            yield thing

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled when the run shall stop."""
        if self.cancel.is_set():
            raise Cancelled

    def row(self) -> dict[str, Any]:
        """Return what the catalog is told. No names: not all who see the run may read all of its documents."""
        with self._lock:
            p = self._progress
            counts = {"done": p.done, "total": p.total, "bytes_done": p.bytes_done, "bytes_total": p.bytes_total}
            times = {"since": self._since, "moved_at": self._moved_at, "waiting": self._waiting}
            return {"stage": p.stage, **counts, "seconds_left": p.seconds_left, **times}

    def look(self, catalog: Catalog, run_id: int) -> None:
        """Store where the run is if that is due, and hear whether it shall stop. Raises RunLost and CatalogError."""
        self.meter.look()
        row, now = self.row(), time.monotonic()
        moved = row != self._told and now - self._told_at >= TELL_S
        if moved or now - self._beat_at >= runs.BEAT_S:
            with catalog.transaction() as session:
                asked = runs_live.tell(session, run_id, row)
            self._told, self._told_at, self._beat_at = row, now, now
        else:
            with catalog.reading() as session:
                asked = runs_live.cancel_asked(session, run_id)
        if asked:
            self.cancel.set()
