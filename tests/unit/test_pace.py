"""How long a run takes and what it costs, judged by earlier runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from indexing.documents import Progress
from indexing.energy import WATTS_PER_CORE, Meter, cpu_seconds, estimated_wh
from indexing.pace import MEASURED, Pace, Sample, estimate, pace_of, seconds_left
from indexing.run_records import RunRecord

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def run(documents, megabytes, seconds, *, state="succeeded", list_s=0.0, cpu=0.0):
    report = {"documents_read": documents, "bytes_read": int(megabytes * 1e6), "seconds": seconds + list_s}
    report |= {"seconds_by_stage": {"list": list_s}, "cpu_seconds": cpu}
    return RunRecord(1, 1, "docs", state, NOW, None if state == "running" else NOW, report, None)


def test_the_estimate_goes_from_the_quickest_to_the_slowest_of_the_earlier_runs():
    pace = pace_of([run(10, 1, 20.0), run(10, 2, 10.0)])

    # by documents 2 s and 1 s each, by megabytes 20 s and 5 s each
    assert pace.seconds_for(10, 1_000_000) == (5.0, 20.0)
    assert pace.basis == "the last 2 runs of this source"


def test_listing_is_no_reading_and_comes_on_top():
    pace = pace_of([run(10, 0, 20.0, list_s=3.0)])

    assert pace.seconds_for(5, 0) == (10.0, 10.0)
    assert estimate(pace, 5, 0).seconds == (13.0, 13.0)
    assert estimate(pace, 0, 0).seconds == (3.0, 3.0)


def test_a_run_that_read_far_less_than_others_tells_nothing():
    assert pace_of([run(1, 0, 60.0), run(100, 0, 100.0)]).seconds_for(10, 0) == (10.0, 10.0)


@pytest.mark.parametrize(
    "nothing", [run(0, 0, 5.0), run(10, 1, 5.0, state="running")], ids=["read nothing", "going on"]
)
def test_a_run_that_read_nothing_or_goes_on_is_no_basis(nothing):
    assert pace_of([nothing], [run(1, 1, 2.0)]).basis == "the last run of all sources"
    assert pace_of([nothing]).samples == MEASURED


def test_without_any_run_it_rests_on_what_was_measured():
    found = estimate(Pace(), 1383, 116_000_000)

    assert found.seconds[0] <= 592 <= found.seconds[1]
    assert found.basis == "measurements on two cores"


def test_an_older_report_counts_by_its_documents():
    old = RunRecord(1, 1, "docs", "succeeded", NOW, NOW, {"added": 4, "failed": 1, "seconds": 10.0}, None)

    assert pace_of([old]).seconds_for(1, 0) == (2.0, 2.0)


def test_the_energy_is_of_the_processor_time_from_and_to():
    found = estimate(pace_of([run(10, 0, 3600.0, cpu=7200.0)]), 10, 0)

    assert found.energy_wh == (2 * WATTS_PER_CORE[0], 2 * WATTS_PER_CORE[1])


def test_what_is_left_comes_from_earlier_runs_then_from_the_run_itself():
    pace = Pace((Sample(10, 0, 100.0),), whole_s=50.0)

    assert seconds_left(pace, Progress("list", 0, 0), 20.0) == 30.0
    assert seconds_left(pace, Progress("list", 0, 0), 70.0) == 0.0
    assert seconds_left(pace, Progress("read", 0, 10), 0.0) == 100.0
    assert seconds_left(pace, Progress("read", 1, 10), 1.0) == pytest.approx(0.4 * 9 + 0.6 * 90)
    assert seconds_left(pace, Progress("read", 5, 10), 5.0) == 5.0
    assert seconds_left(pace, Progress("store", 10, 10), 9.0) == 0.0
    assert seconds_left(pace, Progress("read", 0, 0), 9.0) == 0.0
    assert seconds_left(Pace(), Progress("list", 0, 0), 9.0) is None


# --- energy ---------------------------------------------------------------------------------------------------


def test_processor_time_counts_what_is_spent():
    before = cpu_seconds()
    meter = Meter()
    while cpu_seconds() - before < 0.05:
        sum(range(10_000))

    used = meter.used()
    assert 0.03 <= used.cpu_seconds < 5
    assert (used.method, used.energy_wh) == ("cpu time", estimated_wh((used.cpu_seconds, used.cpu_seconds)))


@pytest.fixture
def powercap(tmp_path):
    for name, energy in (("intel-rapl:0", 100), ("intel-rapl:0:0", 1), ("intel-rapl:1", 900)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{energy}000000\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000000\n")
    return tmp_path


def test_rapl_counts_each_package_once_and_its_counters_turn_over(powercap):
    meter = Meter(powercap)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("3700000000\n")  # 3600 J more
    (powercap / "intel-rapl:0:0" / "energy_uj").write_text("9000000000\n")  # a part of the same package
    meter.look()
    (powercap / "intel-rapl:1" / "energy_uj").write_text("100000000\n")  # 900 J, then over at 1000 J: 200 J more

    used = meter.used()
    assert used.method == "rapl"
    assert used.energy_wh[0] == used.energy_wh[1] == pytest.approx(3800 / 3600)


def test_counters_that_may_not_be_read_are_not_there(powercap):
    for file in powercap.glob("*/energy_uj"):
        file.unlink()

    assert Meter(powercap).used().method == "cpu time"
