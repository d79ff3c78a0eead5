"""Lists of runs: ids that are short to type mean their run and no other, and what no process drives is found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of, connect
from aether_protocol.service.runs.listing import ListedRun, _beginnings, list_runs, short_ids

WAITS: dict[str, Any] = {
    "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "waits"},
    "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "await"}}}]},
}


@given(st.sets(st.text("0123456789abcdef-", min_size=12, max_size=20), min_size=1, max_size=30))
def test_a_beginning_is_that_of_one_id_alone(ids: set[str]) -> None:
    found = _beginnings(ids)
    assert set(found) == ids
    for run_id, short in found.items():
        whole = [other for other in ids if other.startswith(short)]
        assert run_id in whole
        assert whole == [run_id] or short == run_id, "one that is the beginning of another has its own id alone"
        assert len(short) >= 8


def test_short_ids_mean_their_runs_and_retries_too(tmp_path: Path) -> None:
    async def go() -> None:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db") as engine:
            client = client_of(engine)
            ids = [await engine.submit(WAITS) for _ in range(5)] + [await engine.submit(WAITS, run_id="chosen-by-me-2026")]
            for run in ids[:2]:
                await client.control.cancel(run)
                await client.runs.wait(run)
            ids += [await client.control.retry(ids[0]), await client.control.retry(ids[1]), await client.control.retry(ids[0])]
            short = await short_ids(client.runs, ids)
            assert [short.get(run, run).count(".") for run in ids] == [0] * 6 + [1] * 3
            assert "chosen-by-me-2026" not in short, "what a person chose stays"
            for run in ids:
                assert (await client.runs.get(short.get(run, run))).run_id == run
            assert all(len(text) < 20 for text in short.values())
            with pytest.raises(UsageError, match="beginning of several"):
                await client.runs.get(ids[0][:4])

    asyncio.run(go())


def test_what_no_process_drives_is_found_page_by_page(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/aether.db"

    async def go() -> None:
        async with connect(url) as client:
            for number in range(230):
                await client.control.submit(WAITS, run_id=f"left-{number}")
        async with Engine(store=url) as engine, connect(url) as client:
            mine = await engine.submit(WAITS, run_id="driven")
            listed = await list_runs(client.runs, RunQuery(limit=1), 0)
            assert [(one.row.run_id, one.driven) for one in listed] == [(mine, True)]
            left = await list_runs(client.runs, RunQuery(limit=300), 0, undriven=True)
            assert len(left) == 230
            assert {one.driven for one in left} == {False}
            assert len(await list_runs(client.runs, RunQuery(limit=7), 0, undriven=True)) == 7
            assert await list_runs(client.runs, RunQuery(), 0, broken=True) == []
            await client.control.cancel(mine)
            await client.runs.wait(mine)
            row = await client.runs.get(mine)
            assert [one.driven for one in await list_runs(client.runs, RunQuery(limit=1), 0)] == [None], "it has ended"
        asleep = replace(row, closed=False, wake_at=50)
        assert [ListedRun(asleep, False).is_left(now) for now in (49, 50)] == [False, True]
        assert not ListedRun(replace(asleep, broken="x"), False).is_left(50)
        assert not ListedRun(asleep, True).is_left(50)

    asyncio.run(go())
