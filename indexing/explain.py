"""Why a run is as it is, in plain words: ``metier runs explain``. Pure: all that it says is stored in the catalog."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from indexing.pace import HISTORY, documents_read, number, reading_s, stages_of
from indexing.runs import BEAT_S, HELD, LEASE_S, RUNNING
from indexing.tally import SLOW_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexing.run_records import RunRecord

#: A stage is slow when one unit of its work takes so many times the median of earlier runs, and so many seconds in all.
SLOW_TIMES = 2.0
_SLOW_LEAST_S = 5.0
_SLOW_LEAST_UNITS = 10  # of fewer, loading the model is most of the time
#: Without anything finished for so long, a run that goes on is said to hang on something.
HANGING_S = 60.0
_LATE_S = 60.0
_SLOWEST_NAMED = 3
#: stage → what it does, the count that its time is measured by, and what one of these is called.
_STAGES = {
    "list": ("listing", "listed", "document"),
    "compare": ("comparing", "listed", "document"),
    "fetch": ("fetching", "documents_read", "document"),
    "parse": ("parsing", "documents_read", "document"),
    "chunk": ("chunking", "documents_read", "document"),
    "embed": ("embedding", "chunks_embedded", "chunk"),
    "store": ("storing", "documents_read", "document"),
}
_DOING = {
    "list": "listing the source",
    "compare": "comparing the listing with what is stored",
    "read": "reading documents",
    "embed": "embedding chunks",
    "store": "storing documents",
    "gate": "asking the golden questions",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to know of a run."""

    about: str  # state | now | stuck | waiting | paused | next | time | pace | slow | failures | documents | remedy
    text: str


@dataclass(frozen=True, slots=True)
class Around:
    """What explains a run besides its own row. ``history``: its source's earlier runs that ended, newest first."""

    now: datetime
    history: tuple[RunRecord, ...] = ()
    other_run: int | None = None  # a run of the same source that goes on
    paused: bool = False  # its source's schedule
    next_at: datetime | None = None
    failed_in_row: int = 0


def explain(run: RunRecord, around: Around, *, names_holder: bool = True) -> tuple[Line, ...]:
    """Return what there is to know of the run, the most pressing first; *names_holder*: also which machine has it."""
    parts = _going(run, around, names_holder=names_holder) if run.state == RUNNING else _ended(run, around)
    return (*parts, *_time(run), *_pace(run, around.history), *_failures(run), *_documents(run))


# --- a run that goes on ---------------------------------------------------------------------------------------


def _going(run: RunRecord, around: Around, *, names_holder: bool) -> Iterator[Line]:
    silent_s = _ago(run.beat_at, around.now)
    holder = f" by {run.holder}" if names_holder and run.holder else ""
    yield Line("state", f"Run {run.id} of {run.source} is going on since {_moment(run.started_at)}{holder}.")
    if silent_s is None or silent_s >= LEASE_S:
        since = "it never gave a sign of life" if silent_s is None else f"no sign of life for {span(silent_s)}"
        yield Line("stuck", f"lost: {since}; its process ended or was cut off. What it stored stays.")
        yield Line("remedy", f"The next run takes over: `metier runs resume {run.id}` starts it.")
        return
    if silent_s > 2 * BEAT_S:
        text = f"stuck: no sign of life for {span(silent_s)}; it is taken over at {LEASE_S:.0f} s."
        yield Line("stuck", f"{text} Look at its process{holder}.")
    if run.cancel_asked_at is not None:
        asked = f"It was asked to stop at {_moment(run.cancel_asked_at)}"
        yield Line("waiting", f"{asked}; it ends after the documents that are being read.")
    yield from _where(run, around.now, silent_s)
    yield from _late(run)


def _where(run: RunRecord, now: datetime, silent_s: float) -> Iterator[Line]:
    """Yield where the run is, by its last word."""
    progress = run.progress
    if not progress:
        yield Line("now", f"It has just begun, or an earlier version runs it; last sign of life {span(silent_s)} ago.")
        return
    stage, done, total = str(progress.get("stage")), number(progress, "done"), number(progress, "total")
    counted = f": {done:.0f} of {total:.0f}" if total else f": {done:.0f} so far" if done else ""
    since_s, moved_s = (_ago(_parsed(progress.get(name)), now) for name in ("since", "moved_at"))
    since = "" if since_s is None else f", for {span(since_s)} at this stage"
    doing = _DOING.get(stage, stage)
    yield Line("now", f"It is {doing}{counted}{since}; last sign of life {span(silent_s)} ago.")
    if progress.get("waiting"):
        yield Line("waiting", "The server asks us to wait; it is asked again then.")
    elif moved_s is not None and moved_s > HANGING_S:
        text = f"Nothing was finished for {span(moved_s)}"
        yield Line("stuck", f"{text}: {_HANGING.get(stage, 'a large document, or a slow service')}.")
    left = progress.get("seconds_left")
    if isinstance(left, (int, float)):
        yield Line("now", f"About {span(left)} are left.")


_HANGING = {
    "list": "the source answers slowly, or holds very much",
    "read": "a large document, or a source that answers slowly; parsing one ends after METIER_PARSE_TIMEOUT_S",
    "embed": "a document with very many chunks, or a processor that others use",
    "store": "the database is slow, or somebody else writes to it",
}


def _late(run: RunRecord) -> Iterator[Line]:
    if run.due_at is not None and (late_s := (run.started_at - run.due_at).total_seconds()) > _LATE_S:
        why = "no server was running, or the run before had not ended"
        yield Line("waiting", f"It began {span(late_s)} after its schedule wanted it: {why}.")


# --- a run that has ended -------------------------------------------------------------------------------------


def _ended(run: RunRecord, around: Around) -> Iterator[Line]:
    ended = f" at {_moment(run.finished_at)}" if run.finished_at else ""
    took = number(run.report, "seconds")
    yield Line("state", f"Run {run.id} of {run.source}: {run.state}{ended}{f', after {span(took)}' if took else ''}.")
    if run.error:
        yield Line("remedy", f"{run.state}: {run.error}")
    stage = str((run.progress or {}).get("stage", ""))
    if run.state not in {"succeeded", HELD}:
        at = f"It was {_DOING.get(stage, stage)}. " if stage else ""
        yield Line("now", f"{at}What it stored stays, and is neither read nor embedded again.")
    yield from _late(run)
    if around.other_run is not None:
        yield Line("waiting", f"waiting: run {around.other_run} of this source goes on.")
    elif run.state == HELD:
        force = f"`metier publish {run.source} --force`"
        yield Line("remedy", f"`metier gate {run.id}` shows which questions got worse; {force} serves it all the same.")
    elif run.state != "succeeded":
        yield Line("remedy", f"`metier runs resume {run.id}` goes on where it stopped.")
    if around.paused:
        yield Line("paused", "paused: the schedule of this source is paused, so nothing begins by itself.")
    elif around.next_at is not None:
        failed = f", after {around.failed_in_row} failed runs in a row" if around.failed_in_row else ""
        yield Line("next", f"The next run begins at {_moment(around.next_at)}{failed}, if a server runs then.")


# --- figures --------------------------------------------------------------------------------------------------


def _time(run: RunRecord) -> Iterator[Line]:
    """Yield where the time went. Stages overlap: shares are of what all of them took together."""
    stages = {stage: seconds for stage, seconds in stages_of(run.report).items() if seconds > 0}
    whole = sum(stages.values())
    if not run.report:
        if run.state != RUNNING:
            yield Line("time", "It left no report: its process ended before it could, or an earlier version ran it.")
    elif whole:
        ranked = sorted(stages.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{_name(stage)} {span(s)} ({s / whole:.0%})" for stage, s in ranked)
        yield Line("time", f"Where the time went: {shares}. Documents are read side by side, so these overlap.")
    if run.report and "cpu_seconds" not in run.report:
        yield Line("time", "Its report is of an earlier version: it tells less.")
    energy = run.report.get("energy_wh")
    if isinstance(energy, (list, tuple)) and len(energy) == 2 and all(isinstance(e, float) and e for e in energy):
        amount = f"{energy[0]:.3g}" if energy[0] == energy[1] else f"{energy[0]:.2g} to {energy[1]:.2g}"
        method = run.report.get("energy_method") or "cpu time"
        cpu = span(number(run.report, "cpu_seconds"))
        yield Line("time", f"It used {cpu} of processor time, {amount} Wh (by {method}; docs/runs.md).")


def _pace(run: RunRecord, history: Sequence[RunRecord]) -> Iterator[Line]:
    """Yield the throughput, beside that of earlier runs, and each stage that is slower than it was."""
    earlier = [one for one in history if documents_read(one.report) > 0 and reading_s(one.report) > 0][:HISTORY]
    now = _throughput(run.report)
    if now is None:
        return
    before = [rates for one in earlier if (rates := _throughput(one.report)) is not None]
    documents, megabytes, chunks = now
    text = f"{documents:.3g} documents/s, {megabytes:.3g} MB/s, {chunks:.3g} chunks/s"
    if before:
        was = [median(rates) for rates in zip(*before, strict=True)]
        text += f"; median of {_runs(len(before))}: {was[0]:.3g}, {was[1]:.3g}, {was[2]:.3g}"
    yield Line("pace", f"Pace: {text}.")
    for stage, (doing, _, unit) in _STAGES.items():
        costs = [cost for one in earlier if (cost := _cost(one.report, stage))]
        cost = _cost(run.report, stage)
        long = stages_of(run.report).get(stage, 0.0) >= _SLOW_LEAST_S
        if not costs or not cost or not long or _units(run.report, stage) < _SLOW_LEAST_UNITS:
            continue
        times = cost / median(costs)
        if times >= SLOW_TIMES:
            than = f"than in {_runs(len(costs))}"
            yield Line("slow", f"slow: {doing} takes {times:.1f} times longer per {unit} {than}.")


def _throughput(report: dict[str, Any]) -> tuple[float, float, float] | None:
    """Return documents, megabytes and chunks by second; None for a run that read nothing."""
    documents, seconds = documents_read(report), reading_s(report)
    if not documents or not seconds:
        return None
    return documents / seconds, number(report, "bytes_read") / 1e6 / seconds, number(report, "chunks_written") / seconds


def _cost(report: dict[str, Any], stage: str) -> float:
    """Return the seconds that one unit of the stage's work took; 0 where that cannot be told."""
    units = _units(report, stage)
    return stages_of(report).get(stage, 0.0) / units if units else 0.0


def _units(report: dict[str, Any], stage: str) -> float:
    _, count, _ = _STAGES[stage]
    return documents_read(report) if count == "documents_read" else number(report, count)


def _failures(run: RunRecord) -> Iterator[Line]:
    """Yield how many documents failed, most often why, and what to do. The report holds the first of them."""
    failed = number(run.report, "failed")
    if not failed:
        return
    yield Line("failures", f"{failed:.0f} documents failed; `metier failures {run.source}` lists them.")
    kept = _records(run.report, "failures")
    kinds = Counter(str(one.get("error")) for one in kept)
    for kind, count in kinds.most_common(2):
        remedy = next(str(one.get("remedy", "")) for one in kept if str(one.get("error")) == kind)
        yield Line("remedy", f"{count} of them {kind}: {remedy}")


def _documents(run: RunRecord) -> Iterator[Line]:
    """Yield the slowest documents: by name only where the report has names for whoever asks."""
    slow = number(run.report, "slow")
    if not slow:
        return
    named = _records(run.report, "slowest")[:_SLOWEST_NAMED]
    names = ", ".join(f"{one.get('uri')} ({one.get('stage')}, {span(number(one, 'seconds'))})" for one in named)
    yield Line(
        "documents", f"{slow:.0f} documents took more than {span(SLOW_S)}{f'; the slowest: {names}' if names else ''}."
    )


def _records(report: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = report.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, (list, tuple)) else []


# --- words ----------------------------------------------------------------------------------------------------


def _runs(count: int) -> str:
    return "the last run" if count == 1 else f"the last {count} runs"


def _name(stage: str) -> str:
    return _STAGES[stage][0] if stage in _STAGES else stage


def _ago(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _parsed(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"


def span(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
