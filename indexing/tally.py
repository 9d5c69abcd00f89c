"""The counts of a run while it goes on; they become its report."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from indexing.documents import SyncReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexing.documents import Failure

#: Failures in a report; the catalog holds all of them.
MOST_FAILURES = 100


class Tally:
    """Counts under the names that ``SyncReport`` has for them, seconds by stage, failures and notes."""

    def __init__(self, run_id: int, source: str) -> None:
        """Start at zero, now."""
        self._run_id = run_id
        self._source = source
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}
        self._failures: list[Failure] = []
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

    def report(self, state: str, error: str | None = None) -> SyncReport:
        """Return the counts so far as a report."""
        return SyncReport(
            run_id=self._run_id,
            source=self._source,
            state=state,
            **self._counts,
            seconds=round(time.monotonic() - self._started, 3),
            seconds_by_stage={stage: round(spent, 3) for stage, spent in sorted(self._seconds.items())},
            error=error,
            failures=tuple(self._failures),
            notes=tuple(self.notes),
            gives_lists=self.gives_lists,
        )
