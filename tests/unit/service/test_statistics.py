"""Statistics over runs: counted page by page, right within 2 %, the same whatever the order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol import Engine
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.service import client_of
from aether_protocol.service.runs import statistics
from aether_protocol.views.statistics import DurationSpread, Statistics
from tests.unit.service.test_listing import WAITS

SECOND = 1_000_000
DAY = 86_400 * SECOND


def row(made: int, took: float | None, phase: str = "Succeeded", name: str = "flow") -> RunSummary:
    ended = None if took is None else made + round(took * SECOND)
    run_id = f"{name}-{made}"
    return RunSummary(run_id, name, "default", None, {}, phase, "", made, made, ended, took is not None, 5, 1, 2, "d")


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
    found = Statistics(0, 14 * DAY)
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
            assert {path: task.runs for path, task in found.tasks.items()} == {"main[]": 9}
            since = rows[4].created_at
            later = await statistics.gather_statistics(runs, RunQuery(name="loops", since=since), until)
            assert [one.runs for one in later.workflows.values()] == [4]
            assert not later.tasks

    asyncio.run(go())
