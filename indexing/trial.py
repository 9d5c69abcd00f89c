"""What a gate is asked, and what it says: the words between a run and whoever judges its candidate.

A run of a source that a gate guards writes what is new and changed as a *candidate*: documents of a hidden twin of the
source, on a list that nobody is on. A *trial* is what the gate may read beside the lists of who asks: the source as it
is served, or as it would be served if the candidate were published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexing.documents import SourceRecord


@dataclass(frozen=True, slots=True)
class Trial:
    """One source, as it is served (no twin) or as its candidate would have it."""

    source_id: int
    source: str  # its name
    twin_id: int | None = None
    replaced: frozenset[int] = frozenset()  # documents that count as not there: the candidate has others for them


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says. ``report`` is kept with the run and shown to operators: it holds no text of any document."""

    closes: bool
    report: Mapping[str, Any] = field(default_factory=dict)


class Gate(Protocol):
    """Decides whether what a run has read may be served."""

    def guards(self, source: SourceRecord) -> bool:
        """Say whether runs of this source have to pass."""
        ...

    def judge(self, served: Trial, candidate: Trial | None, progress: Callable[[int, int], None]) -> Verdict:
        """Compare the two; without a candidate only measure what is served. *progress* may raise, to stop it."""
        ...
