"""How long a run takes, judged by earlier ones. Pure; docs/runs.md tells the method and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any

from indexing.energy import estimated_wh
from indexing.run_records import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from indexing.documents import Progress
    from indexing.run_records import RunRecord

#: Earlier runs that are looked at.
HISTORY = 5
#: A run that read less than this share of what the largest of them read tells little of the pace.
_TELLING = 0.1
#: Stages that come before the first document is read.
BEFORE = ("list", "compare")
#: From this share of the work on, only the run itself counts.
_OWN_FROM = 0.25


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run read, and what that took."""

    documents: float
    megabytes: float
    seconds: float
    cpu_seconds: float = 0.0

    def seconds_for(self, documents: int, size_bytes: int) -> list[float]:
        """Return what so much would take at this run's pace: by documents, and by bytes where both are known."""
        found = [documents * self.seconds / self.documents]
        if size_bytes and self.megabytes:
            found.append(size_bytes / 1e6 * self.seconds / self.megabytes)
        return found


#: docs/quality.md, "Incremental synchronisation": two virtual cores, packaged model, both cores busy.
MEASURED = (Sample(1383, 116.0, 592.0, 1184.0), Sample(195, 5.6, 345.0, 690.0))


@dataclass(frozen=True, slots=True)
class Pace:
    """What is expected of a run. ``whole_s`` is how long a whole run took; None when there was none."""

    samples: tuple[Sample, ...] = MEASURED
    basis: str = "measurements on two cores"
    before_s: float = 0.0  # until the first document is read
    whole_s: float | None = None

    def seconds_for(self, documents: int, size_bytes: int) -> tuple[float, float]:
        """Return the seconds, from and to, of reading so much; 0 for nothing."""
        if not documents:
            return 0.0, 0.0
        found = [seconds for one in self.samples for seconds in one.seconds_for(documents, size_bytes)]
        return min(found), max(found)


def pace_of(own: Sequence[RunRecord], others: Sequence[RunRecord] = ()) -> Pace:
    """Return the pace of a source with these earlier runs, newest first; by *others* if they read nothing.

    Without any it is what was measured for docs/quality.md.
    """
    ended = [run for run in own if run.state == "succeeded"][:HISTORY]
    before = [sum(stages_of(run.report).get(stage, 0.0) for stage in BEFORE) for run in ended]
    before_s = median_low(before) if before else 0.0
    whole_s = median_low([number(run.report, "seconds") for run in ended]) if ended else None
    for runs, of in ((own, "this source"), (others, "all sources")):
        samples = telling([sample for run in runs if (sample := sample_of(run))])
        if samples:
            basis = f"the last {len(samples)} runs of {of}" if len(samples) > 1 else f"the last run of {of}"
            return Pace(tuple(samples), basis, before_s, whole_s)
    return Pace(before_s=before_s, whole_s=whole_s)


def sample_of(run: RunRecord) -> Sample | None:
    """Return what the run read and what that took; None for one that goes on, or read nothing."""
    documents, seconds = documents_read(run.report), reading_s(run.report)
    if run.finished_at is None or documents <= 0 or seconds <= 0:
        return None
    return Sample(documents, number(run.report, "bytes_read") / 1e6, seconds, number(run.report, "cpu_seconds"))


def telling(samples: Sequence[Sample]) -> list[Sample]:
    """Return the newest samples, without those that are far smaller than the largest."""
    newest = samples[:HISTORY]
    most = max((sample.documents for sample in newest), default=0.0)
    return [sample for sample in newest if sample.documents >= most * _TELLING]


def documents_read(report: Mapping[str, Any]) -> float:
    """Return how many items the run read; of an earlier version's report, as far as its counts tell."""
    if "documents_read" in report:
        return number(report, "documents_read")
    return sum(number(report, name) for name in ("added", "changed", "touched", "failed"))


def reading_s(report: Mapping[str, Any]) -> float:
    """Return the seconds that the run spent on documents: all but listing and comparing."""
    stages = stages_of(report)
    return max(0.0, number(report, "seconds") - sum(stages.get(stage, 0.0) for stage in BEFORE))


def stages_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds by stage; {} for a report without."""
    found = report.get("seconds_by_stage")
    return {str(stage): number(found, stage) for stage in found} if isinstance(found, dict) else {}


def number(report: Mapping[str, Any], name: str) -> float:
    """Return a number of a report; 0 where there is none."""
    value = report.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def estimate(pace: Pace, documents: int, size_bytes: int) -> Estimate:
    """Return what a run that reads so much will take; *size_bytes* is 0 where it is not known."""
    low, high = pace.seconds_for(documents, size_bytes)
    cores = [sample.cpu_seconds / sample.seconds for sample in pace.samples if sample.cpu_seconds]
    busy = (min(cores), max(cores)) if cores else (1.0, 2.0)
    energy = estimated_wh((low * busy[0], high * busy[1]))
    return Estimate((round(low + pace.before_s, 1), round(high + pace.before_s, 1)), _rounded(energy), pace.basis)


def _rounded(energy_wh: tuple[float, float]) -> tuple[float, float]:
    low, high = (round(value, 4) for value in energy_wh)
    return low, high


def seconds_left(pace: Pace, progress: Progress, elapsed_s: float) -> float | None:
    """Return the seconds that are left of a run, or None while nothing is known of it.

    *elapsed_s* is since it began to read, and before that since it began. At first earlier runs count, then more and
    more the run itself: from a quarter of the work on it alone.
    """
    if progress.stage in BEFORE:
        return None if pace.whole_s is None else max(0.0, pace.whole_s - elapsed_s)
    if not progress.total:
        return 0.0
    shares = [progress.done / progress.total]
    if progress.bytes_total:
        shares.append(progress.bytes_done / progress.bytes_total)
    done = sum(shares) / len(shares)
    expected = sum(pace.seconds_for(progress.total, progress.bytes_total)) / 2 * (1 - done)
    if not done:
        return max(0.0, expected - elapsed_s)
    own = min(1.0, done / _OWN_FROM)
    return own * elapsed_s * (1 - done) / done + (1 - own) * expected
