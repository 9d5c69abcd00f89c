"""The counts of a run while it goes on; they become its report."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from indexing.documents import SyncReport
from indexing.run_records import SlowDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexing.documents import Failure
    from indexing.energy import Meter

#: Failures in a report; the catalog holds all of them.
MOST_FAILURES = 100
MOST_NOTES = 100
#: A document that takes longer than this to fetch and parse is slow; so many of them are named.
SLOW_S = 10.0
MOST_SLOW = 5


class Tally:
    """Counts under the names that ``SyncReport`` has for them, seconds by stage, failures and notes."""

    def __init__(self, run_id: int, source: str, meter: Meter) -> None:
        """Start at zero, now; *meter* tells what it costs."""
        self._meter = meter
        self._run_id = run_id
        self._source = source
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}
        self._failures: list[Failure] = []
        self._slowest: list[SlowDocument] = []
        self.notes: list[str] = []
        self.gives_lists = False
        self.held = False  # the gate is closed

    def add(self, counts: Mapping[str, int], failures: Iterable[Failure] = ()) -> None:
        """Add *counts*, and keep the first failures."""
        self._counts.update(counts)
        self._failures.extend(list(failures)[: MOST_FAILURES - len(self._failures)])

    def spend(self, seconds: Mapping[str, float]) -> None:
        """Add seconds by stage. Stages overlap, so their sum is more than the run's duration."""
        for stage, spent in seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + spent

    def took(self, uri: str, seconds: Mapping[str, float]) -> None:
        """Count a document that was read, and keep it if it is one of the slowest."""
        self.add({"documents_read": 1})
        whole = sum(seconds.values())
        if whole > SLOW_S:
            self.add({"slow": 1})
            self._slowest.append(SlowDocument(uri, round(whole, 1), max(seconds, key=seconds.__getitem__)))
            self._slowest = sorted(self._slowest, key=lambda one: -one.seconds)[:MOST_SLOW]

    def report(self, state: str, error: str | None = None) -> SyncReport:
        """Return the counts so far as a report."""
        used = self._meter.used()
        return SyncReport(
            run_id=self._run_id,
            source=self._source,
            state=state,
            **self._counts,
            seconds=round(time.monotonic() - self._started, 3),
            seconds_by_stage={stage: round(spent, 3) for stage, spent in sorted(self._seconds.items())},
            error=error,
            failures=tuple(self._failures),
            notes=tuple(self.notes[:MOST_NOTES]),
            slowest=tuple(self._slowest),
            cpu_seconds=round(used.cpu_seconds, 2),
            energy_wh=(round(used.energy_wh[0], 4), round(used.energy_wh[1], 4)),
            energy_method=used.method,
            gives_lists=self.gives_lists,
        )
