"""Statistics over runs: counted page by page, right within 2 %, the same whatever the order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol import Engine
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.service import client_of
from aether_protocol.service.runs import statistics
from aether_protocol.views.periods import Periods
from aether_protocol.views.spread import DurationSpread
from aether_protocol.views.statistics import LONGER, Statistics, usual_of
from tests.unit.service.test_listing import WAITS

SECOND = 1_000_000
DAY = 86_400 * SECOND


def row(made: int, took: float | None, phase: str = "Succeeded", name: str = "flow") -> RunSummary:
    ended = None if took is None else made + round(took * SECOND)
    run_id = f"{name}-{made}"
    return RunSummary(run_id, name, "default", None, {}, phase, "", made, made, ended, took is not None, 5, 1, 2, "d")


def empty(until: int, period: str = "day") -> Statistics:
    return Statistics(0, until, Periods(0, until, period))


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200))
def test_a_median_is_right_within_two_percent(durations: list[float]) -> None:
    spread = DurationSpread()
    for one in durations:
        spread.add(one)
    lower = sorted(durations)[(len(durations) - 1) // 2]
    assert spread.quantile(0.5) == pytest.approx(lower, rel=0.021)
    assert spread.quantile(1.0) == pytest.approx(max(durations), rel=0.021)
    assert DurationSpread().quantile(0.5) is None


def test_runs_are_counted_by_phase_and_over_time() -> None:
    found = empty(14 * DAY)
    for day in range(14):
        found.add(row(day * DAY, 10.0 if day < 7 else 20.0))
    for made, phase in enumerate(("Failed", "Error", "Cancelled", "Timeout")):
        found.add(row(made, 99.0, phase))
    found.add(row(5, None, "Running"))
    found.add(row(6, 1.0, name="other"))
    flow, other = found.most_run()
    assert (flow.workflow, flow.runs, flow.failed, flow.open) == ("flow", 19, 3, 1)
    assert flow.failure_rate == pytest.approx(3 / 17), "a cancelled run is neither good nor bad"
    assert flow.trend == pytest.approx(1.0, abs=0.05), "twice as long"
    assert sorted(took for took, _ in flow.slowest) == [20.0, 99.0, 99.0, 99.0, 99.0]
    assert other.trend is None
    told = found.to_json()
    assert [one["workflow"] for one in told["workflows"]] == ["flow", "other"]
    assert [span["runs"] for span in told["workflows"][0]["spans"]] == [6, *([1] * 13)]
    assert told["workflows"][0]["seconds"]["median"] == pytest.approx(median([10, 10.0]), rel=0.02)


def test_runs_are_counted_by_the_period_in_which_they_were_made() -> None:
    found = Statistics(0, 40 * DAY, Periods(DAY, 40 * DAY, "day"))
    for made, took, phase in ((3, 10.0, "Succeeded"), (3, 99.0, "Failed"), (5, None, "Running"), (5, None, "Suspended")):
        found.add(row(made * DAY + 7, took, phase))
    told = found.to_json()
    assert (told["period"], len(told["periods"])) == ("day", 39), "those without runs, too"
    days = {day["from"]: day for day in told["periods"] if day["runs"]}
    assert {at: day["phases"] for at, day in days.items()} == {
        "1970-01-04T00:00:00Z": {"Failed": 1, "Succeeded": 1}, "1970-01-06T00:00:00Z": {"Open": 2},
    }  # fmt: skip
    assert days["1970-01-04T00:00:00Z"]["medianSeconds"] == pytest.approx(10, rel=0.02), "of those that Succeeded"
    weeks = Periods(0, 40 * DAY, "week")
    weeks.add(6 * DAY, "Succeeded", 1.0)
    assert weeks.to_json()["periods"][0]["from"] == "1970-01-05T00:00:00Z", "a Monday"


@given(st.permutations(range(80)))
def test_what_takes_longer_than_is_usual_is_found_in_any_order(order: list[int]) -> None:
    found = empty(100 * DAY)
    usual = usual_of([row(made, float(made + 1)) for made in range(50)])
    assert usual == 48.0, "two of fifty take longer"
    found.expect(row(0, 1.0), usual)
    for number in order:
        took = None if number < 2 else 60.0 if number >= 10 else 48.0
        found.add(row(number * DAY, took, "Failed" if number % 3 else "Succeeded"))
    assert found.longer_count == 72
    told = found.to_json()["longer"]
    assert len(told) == LONGER
    assert [one["runId"] for one in told[:3]] == [f"flow-{DAY}", "flow-0", f"flow-{79 * DAY}"], "open ones, then the newest"
    assert told[0]["seconds"] == pytest.approx(99 * 86_400, rel=0.005)
    assert usual_of([row(0, 1.0)] * 4) is None, "of so few nothing is usual"


def test_rows_are_read_in_pages_and_the_tasks_of_the_newest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "PAGE", 4)
    document = {
        "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "loops"},
        "spec": {"entrypoint": "main", "templates": [
            {"loop": {"name": "main", "items": [1, 2, 3], "body": "one"}},
            {"task": {"name": "one", "executor": {"type": "noop"}}},
        ]},
    }  # fmt: skip

    async def go() -> None:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db") as engine:
            runs = client_of(engine).runs
            for _ in range(10):
                await runs.wait(await engine.submit(document))
            await engine.submit(WAITS)
            rows = await runs.list()
            until = rows[0].created_at + 1
            found = await statistics.gather_statistics(runs, RunQuery(since=0), until, task_runs=3)
            assert {one.workflow: one.runs for one in found.workflows.values()} == {"loops": 10, "waits": 1}
            assert {path: task.runs for (_, _, path), task in found.tasks.items()} == {"main[]": 9}
            since = rows[4].created_at
            later = await statistics.gather_statistics(runs, RunQuery(name="loops", since=since), until)
            assert [one.runs for one in later.workflows.values()] == [4]
            assert not later.tasks
            assert found.workflows["default", "loops"].usual_s is not None
            newest = await statistics.gather_statistics(runs, RunQuery(since=0), until, most=6)
            assert sum(one.runs for one in newest.workflows.values()) == 6
            assert newest.counted_from == rows[5].created_at
            with pytest.raises(UsageError, match="more than 1000 periods"):
                await statistics.gather_statistics(runs, RunQuery(since=0), until, period="hour")

    asyncio.run(go())
