"""Why a run is as it is: one line of the table for each thing that can be the matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from indexing.explain import Around, explain
from indexing.run_records import RunRecord

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
READ = {"stage": "read", "done": 12, "total": 40, "seconds_left": 75.0}


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def run(state="running", number=7, **values):
    report = {"cpu_seconds": 1.0} | values.pop("report", {})
    ended = {} if state == "running" else {"finished_at": ago(5)}
    row = {"started_at": ago(300), "finished_at": None, "error": None, "beat_at": ago(4), "holder": "host-1, process 9"}
    return RunRecord(number, 1, "docs", state, report=report, **{**row, **ended, **values})


def read(documents, chunks, embed_s, *, number=1, fetch_s=1.0):
    stages = {"list": 2.0, "embed": embed_s, "fetch": fetch_s}
    counts = {"documents_read": documents, "chunks_embedded": chunks, "chunks_written": chunks, "bytes_read": 5_000_000}
    report = {**counts, "seconds": embed_s + 2.0, "seconds_by_stage": stages}
    return run("succeeded", number, report=report)


def said(record, around=None, **options):
    return [line.text for line in explain(record, around or Around(NOW), **options)]


FAILED = {"failed": 3, "failures": [{"uri": "a.pdf", "error": "EncryptedDocument", "remedy": "Save a copy."}] * 3}
SLOW = {"slow": 4, "slowest": [{"uri": f"{n}.pdf", "seconds": 90.0 - n, "stage": "parse"} for n in range(4)]}

TABLE = {
    "holder": (run(), Around(NOW), "going on since 2026-03-02 08:55:00 UTC by host-1, process 9"),
    "stage": (
        run(progress=READ | {"since": ago(180).isoformat()}),
        Around(NOW),
        "reading documents: 12 of 40, for 3 min",
    ),
    "sign of life": (run(progress=READ), Around(NOW), "last sign of life 4.0 s ago"),
    "left": (run(progress=READ), Around(NOW), "About 75 s are left."),
    "listing": (run(progress={"stage": "list", "done": 1200}), Around(NOW), "listing the source: 1200 so far"),
    "begun": (run(), Around(NOW), "It has just begun"),
    "stuck": (run(beat_at=ago(90)), Around(NOW), "stuck: no sign of life for 90 s; it is taken over at 120 s."),
    "lost": (run(beat_at=ago(121)), Around(NOW), "lost: no sign of life for 2 min"),
    "lost, remedy": (run(beat_at=ago(121)), Around(NOW), "`metier runs resume 7`"),
    "never alive": (run(beat_at=None), Around(NOW), "lost: it never gave a sign of life"),
    "hanging": (run(progress=READ | {"moved_at": ago(300).isoformat()}), Around(NOW), "Nothing was finished for 5 min"),
    "server": (run(progress=READ | {"waiting": True}), Around(NOW), "The server asks us to wait"),
    "asked": (run(cancel_asked_at=ago(1)), Around(NOW), "It was asked to stop at 2026-03-02 08:59:59 UTC"),
    "late": (run(trigger="schedule", due_at=ago(900)), Around(NOW), "It began 10 min after its schedule wanted it"),
    "failed": (run("failed", error="It is gone. Mount it."), Around(NOW), "failed: It is gone. Mount it."),
    "resume": (run("failed"), Around(NOW), "`metier runs resume 7` goes on where it stopped."),
    "where": (run("cancelled", progress=READ), Around(NOW), "It was reading documents. What it stored stays"),
    "waiting": (run("failed"), Around(NOW, other_run=12), "waiting: run 12 of this source goes on."),
    "paused": (
        run("succeeded"),
        Around(NOW, paused=True, next_at=NOW),
        "paused: the schedule of this source is paused",
    ),
    "next": (run("failed"), Around(NOW, next_at=NOW, failed_in_row=3), "09:00:00 UTC, after 3 failed runs in a row"),
    "time": (read(10, 100, 6.0), Around(NOW), "embedding 6.0 s (67%), listing 2.0 s (22%), fetching 1.0 s (11%)"),
    "energy": (run("succeeded", report={"energy_wh": [0.5, 2.5]}), Around(NOW), "0.5 to 2.5 Wh (by cpu time"),
    "rapl": (
        run("succeeded", report={"energy_wh": [0.5, 0.5], "energy_method": "rapl"}),
        Around(NOW),
        "0.5 Wh (by rapl",
    ),
    "pace": (read(12, 120, 6.0), Around(NOW, (read(60, 600, 6.0),)), "Pace: 2 documents/s"),
    "median": (read(12, 120, 6.0), Around(NOW, (read(60, 600, 6.0),)), "median of the last run: 10, 0.833, 100."),
    "slow": (
        read(10, 100, 40.0),
        Around(NOW, tuple(read(10, 100, 10.0) for _ in range(6))),
        "slow: embedding takes 4.0 times longer per chunk than in the last 5 runs.",
    ),
    "slow fetch": (
        read(10, 100, 10.0, fetch_s=60.0),
        Around(NOW, (read(10, 100, 10.0, fetch_s=6.0),)),
        "slow: fetching takes 10.0 times longer per document than in the last run.",
    ),
    "failures": (
        run("succeeded", report=FAILED),
        Around(NOW),
        "3 documents failed; `metier failures docs` lists them.",
    ),
    "remedy": (run("succeeded", report=FAILED), Around(NOW), "3 of them EncryptedDocument: Save a copy."),
    "slowest": (
        run("succeeded", report=SLOW),
        Around(NOW),
        "4 documents took more than 10 s; the slowest: 0.pdf (parse, 90 s), 1.pdf (parse, 89 s), 2.pdf (parse, 88 s).",
    ),
    "unnamed": (run("succeeded", report=SLOW | {"slowest": []}), Around(NOW), "4 documents took more than 10 s."),
    "no report": (
        RunRecord(7, 1, "docs", "failed", NOW, NOW, {}, "The process ended before the run did."),
        Around(NOW),
        "It left no report",
    ),
    "old report": (
        RunRecord(7, 1, "docs", "succeeded", NOW, NOW, {"added": 3, "seconds": 2.0}, None),
        Around(NOW),
        "Its report is of an earlier version: it tells less.",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_the_matter_is_said(case):
    record, around, expected = TABLE[case]

    text = "\n".join(said(record, around))

    assert expected in text


SILENT = {
    "a good run is not slow": (read(10, 100, 10.0), (read(10, 100, 9.0),), "slow:"),
    "a short stage is never slow": (read(10, 100, 4.0), (read(10, 100, 0.1),), "slow:"),
    "without earlier runs nothing is slow": (read(10, 100, 40.0), (), "slow:"),
    "runs that read nothing are no history": (read(10, 100, 40.0), (read(0, 0, 1.0),), "median"),
    "a good run needs no resuming": (read(10, 100, 10.0), (), "resume"),
    "a run that is well is not stuck": (run(progress=READ, beat_at=ago(20)), (), "stuck"),
}


@pytest.mark.parametrize("case", SILENT)
def test_what_is_not_the_matter_is_not_said(case):
    record, history, unexpected = SILENT[case]

    assert unexpected not in "\n".join(said(record, Around(NOW, history)))


def test_the_machine_is_told_only_to_who_may_know():
    record = run(beat_at=ago(90), progress=READ)

    assert "host-1" in "\n".join(said(record))
    assert "host-1" not in "\n".join(said(record, names_holder=False))


@pytest.mark.parametrize(
    "report",
    [
        {"seconds_by_stage": None, "seconds": "x", "failed": "many", "failures": None, "slowest": 3, "energy_wh": 7},
        {"seconds_by_stage": {"embed": None, "new": 1.0}, "documents_read": -1, "slow": 2, "slowest": 3},
        {"failed": 2, "failures": ["x", {"uri": 1}], "energy_wh": [None, "x"]},
    ],
    ids=["types", "stages", "failures"],
)
@pytest.mark.parametrize("state", ["running", "succeeded", "failed", "held"])
def test_a_report_that_no_version_wrote_breaks_nothing(report, state):
    odd = {"stage": 3, "done": "x", "since": "yesterday", "seconds_left": "soon"}

    assert said(RunRecord(7, 1, "docs", state, NOW, None, report, None, progress=odd))
