"""What a reader is given: one file and the limits that hold for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. All of it comes from the settings."""

    timeout_s: float
    memory_mb: int
    output_mb: int
    file_mb: int
    ocr_languages: str
    ocr_timeout_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """One file to read. ``name`` is what its owner calls it: a label and a hint, never a path to open."""

    path: Path
    name: str
    media_type: str | None
    workdir: Path  # attachments go here
    scratch: Path  # private to the parser, emptied after each file
    limits: Limits
    deadline: float  # time.monotonic() at which the parser is killed
    format: str = ""  # what ``detect`` found

    @property
    def seconds_left(self) -> float:
        """Seconds until the parser is killed, less a margin to hand over what there is; never below 0."""
        return max(0.0, self.deadline - time.monotonic() - min(5.0, self.limits.timeout_s / 10))

    @property
    def suffix(self) -> str:
        """The extension of the name, lower case, without the dot; "" when there is none."""
        stem, dot, suffix = self.name.rpartition(".")
        return suffix.lower() if dot and stem and len(suffix) <= 10 else ""
