"""What is known of runs, and what a run will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands. ``report`` is a SyncReport as a dictionary; while running, its counts so far."""

    id: int
    source_id: int
    source: str  # the source's name
    state: str  # running | succeeded | held | failed | cancelled
    started_at: datetime
    finished_at: datetime | None
    report: dict[str, Any]
    error: str | None
    trigger: str = "manual"
    due_at: datetime | None = None  # of a scheduled run: when it should have begun
    beat_at: datetime | None = None  # its last sign of life
    holder: str | None = None  # the machine and process that works on it
    progress: dict[str, Any] | None = None  # where it is, or ended: indexing.live
    cancel_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SlowDocument:
    """A document that took long to fetch and parse."""

    uri: str
    seconds: float
    stage: str  # where most of it went: fetch | parse


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take, from and to. docs/runs.md says how it is found, and how wrong it can be."""

    seconds: tuple[float, float]
    energy_wh: tuple[float, float]
    basis: str  # what it was measured on
