"""The workflows that are known: from runs, stored documents and schedules, with figures of their newest runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.service import client_of, connect
from aether_protocol.service.runs.workflows import KnownWorkflow, list_workflows
from tests.documents import submitted
from tests.unit.server.serving import listening

SECOND = 1_000_000


def row(run_id: str, phase: str, took_s: int | None) -> RunSummary:
    ended = None if took_s is None else took_s * SECOND
    return RunSummary(run_id, "flow", "default", None, {}, phase, "", 0, 0, ended, took_s is not None, 5, 1, 2, "d")


def test_figures_are_of_runs_that_ended_well_or_badly() -> None:
    rows = [row("a", "Running", None), row("b", "Succeeded", 2), row("c", "Failed", 90), row("d", "Cancelled", 50)]
    rows += [row("e", "Succeeded", 4), row("f", "Timeout", 9), row("g", "Succeeded", 30)]
    known = KnownWorkflow("default", "flow", rows)
    assert (known.succeeded, known.judged, known.median_s, known.next_at) == (3, 5, 4.0, None)
    none = KnownWorkflow("default", "flow", [row("a", "Cancelled", 1)])
    assert (none.succeeded, none.judged, none.median_s) == (0, 0, None)


def document(name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    made = submitted({"name": "a", "executor": {"type": "noop"}}, name=name)
    return {**made, "metadata": {"name": name, "namespace": namespace}, **more}


def cron(name: str) -> dict[str, Any]:
    spec = {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "workflowSpec": document(name)["spec"]}
    return document(name, kind="CronWorkflow", spec=spec)


def test_a_server_and_its_client_list_all_that_is_known(tmp_path: Path) -> None:
    async def body() -> None:
        async with listening(tmp_path) as server, connect(server.url) as client:
            await client.documents.apply(json.dumps(document("stored")))
            await client.documents.apply(json.dumps(document("stored", spec=document("x")["spec"] | {"priority": 2})))
            await client.documents.apply(json.dumps(cron("nightly")))
            for run in ("ops-1", "ops-2", "ops-3"):
                await client.runs.wait(await client.control.submit(document("stored", "ops"), run_id=run))
            await client.runs.wait(await client.schedules.trigger("nightly"))
            for one in (client, client_of(server.engine)):
                found = await list_workflows(one, newest=2)
                assert [(known.namespace, known.name, len(known.runs)) for known in found] == [
                    ("default", "nightly", 1), ("default", "stored", 0), ("ops", "stored", 2),
                ]  # fmt: skip
                nightly, stored, ops = found
                assert nightly.schedule is not None
                assert nightly.next_at == nightly.schedule.next_at is not None
                assert (stored.version, ops.version) == (2, None)
                assert [known.run_id for known in ops.runs] == ["ops-3", "ops-2"]
                assert [known.name for known in await list_workflows(one, after=("default", "nightly"), limit=1)] == ["stored"]
                assert [known.namespace for known in await list_workflows(one, "ops")] == ["ops"]
            with pytest.raises(UsageError, match="listed, not pruned"):
                await client.control.prune(RunQuery(newest_of_each=1))
            await _answers(server.url)
            await client.schedules.suspend("nightly")
            (nightly, *_) = await list_workflows(client)
            assert nightly.next_at is None, "it is suspended"
            assert replace(nightly, schedule=None).next_at is None

    asyncio.run(body())


async def _answers(url: str) -> None:
    """What the route says of the same."""
    async with httpx.AsyncClient() as http:
        first = (await http.get(f"{url}/v1/workflows", params={"limit": 2})).json()
        assert [one["name"] for one in first["workflows"]] == ["nightly", "stored"]
        nightly, stored = first["workflows"]
        assert nightly["schedule"]["timezone"] == "Europe/Berlin"
        assert nightly["schedule"]["nextFireAt"].endswith("Z")
        assert (nightly["succeeded"], nightly["judged"], nightly["successRate"]) == (1, 1, 1.0)
        assert (stored["documentVersion"], stored["successRate"], stored["medianSeconds"]) == (2, None, None)
        rest = (await http.get(f"{url}/v1/workflows", params={"page": first["next"]})).json()
        assert [one["runs"][0]["runId"] for one in rest["workflows"]] == ["ops-3"]
        assert rest["next"] is None
        assert (await http.get(f"{url}/v1/workflows", params={"page": "x"})).status_code == 400
        newest = (await http.get(f"{url}/v1/runs", params={"newestOfEach": 1})).json()["runs"]
        assert sorted(run["workflow"]["name"] for run in newest) == ["nightly", "stored"]
