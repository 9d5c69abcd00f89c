"""Histories of changes that run beside each other: what a switch can have been while somebody looked.

A change has happened at some moment between its call and its return, nobody knows when. So a switch has, for whoever
looked from one moment to another, one value or two; a rule over switches is certainly true, certainly false, or either.
(The weak form of Herlihy and Wing, "Linearizability", TOPLAS 1990: each switch for itself.)
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

now = time.monotonic_ns


class Change(NamedTuple):
    """One that was called and has returned, committed."""

    called: int
    returned: int
    value: bool


@dataclass
class Switch:
    """Something that is on or off, changed by one thread only; its changes do not overlap."""

    value: bool
    history: list[Change] = field(default_factory=list)

    def __post_init__(self):
        self.first = self.value

    def change(self, apply):
        """Turn it over: *apply* commits that."""
        called = now()
        apply(not self.value)
        self.value = not self.value
        self.history.append(Change(called, now(), self.value))

    def possible(self, start, end):
        """Return the values that it can have had between two moments."""
        done = bisect_left(self.history, start, key=lambda change: change.returned)
        values = {self.history[done - 1].value if done else self.first}
        for change in self.history[done:]:
            if change.called > end:
                break
            values.add(change.value)
        return values
