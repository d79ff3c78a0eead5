"""What a server says of many runs at once: tasks over all runs, and what was counted, as `aether stats` counts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2 as httpx
from msgspec import json

from aether_protocol.ports.store import RunQuery
from aether_protocol.service import connect
from aether_protocol.service.client import Client
from aether_protocol.service.runs.statistics import gather_statistics
from aether_protocol.service.wire.statistics import InsightsBody
from aether_protocol.service.wire.tasks import TasksBody
from aether_protocol.service.wire.values import read_instant
from tests.unit.server.serving import ASKS, FAILS, HELLO, listening

SINCE, UNTIL = "2026-01-01T00:00:00Z", "2044-01-01T00:00:00Z"


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[tuple[httpx.AsyncClient, Client]]:
    """A client for requests, and one of ours."""
    async with httpx.AsyncClient(base_url=url) as client, connect(url) as remote:
        yield client, remote


def test_what_is_counted_is_what_aether_stats_counts(tmp_path: Path) -> None:
    async def go() -> None:
        async with listening(tmp_path) as server, asking(server.url) as (client, remote):
            for document in (HELLO, HELLO, FAILS, ASKS, *[HELLO] * 5):
                run = await remote.control.submit(document)
                await remote.runs.wait(run, or_suspended=True)
            asked = {"since": SINCE, "until": UNTIL, "tasksOf": "4", "by": "week"}
            answer = (await client.get("/v1/insights", params=asked)).json()
            since, until = read_instant(SINCE), read_instant(UNTIL)
            query = RunQuery(since=since, until=until)
            counted = (await gather_statistics(remote.runs, query, until, task_runs=4)).to_json()
            assert answer == counted
            body = json.decode(json.encode(answer), type=InsightsBody)
            assert [(one.workflow, one.runs, one.usual_seconds is None) for one in body.workflows] == [
                ("hello", 7, False), ("asks", 1, True), ("fails", 1, True),
            ]  # fmt: skip
            assert sum(one.runs for one in body.tasks) == 4
            [week] = [one for one in body.periods if one.runs]
            assert week.phases == {"Failed": 1, "Open": 1, "Succeeded": 7}
            alone = (await client.get("/v1/insights", params={"workflow": "fails"})).json()
            assert [one["runs"] for one in alone["workflows"]] == [1]
            refused = await client.get("/v1/insights", params={"since": SINCE, "by": "minute"})
            assert refused.status_code == 400

    asyncio.run(go())


def test_tasks_over_all_runs_are_as_described_and_can_be_asked_for_by_run(tmp_path: Path) -> None:
    async def go() -> None:
        async with listening(tmp_path) as server, asking(server.url) as (client, remote):
            runs = [await remote.control.submit(document) for document in (HELLO, FAILS, ASKS)]
            for run in runs:
                await remote.runs.wait(run, or_suspended=True)
            text = (await client.get("/v1/tasks", params={"limit": "1"})).content
            page = json.decode(text, type=TasksBody, strict=True)
            assert [(one.run.workflow.name, one.tasks[0].phase) for one in page.runs] == [("asks", "Suspended")]
            assert page.next is not None
            rest = (await client.get("/v1/tasks", params={"page": page.next})).json()
            assert [one["tasks"][0]["message"] for one in rest["runs"]] == ["no"]
            assert rest["next"] is None
            asked = {"run": [runs[0], runs[1], "is-not-there"]}
            those = (await client.get("/v1/tasks", params=asked)).json()
            assert [one["run"]["runId"] for one in those["runs"]] == [runs[1]]
            refused = await client.get("/v1/tasks", params={"phase": "Succeeded"})
            assert (refused.status_code, "not looked for" in refused.json()["detail"]) == (400, True)

    asyncio.run(go())
