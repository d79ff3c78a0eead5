"""Schedules from Python: a CronWorkflow is applied, its scheduler starts what is due, on a virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import DocumentError, Engine, UsageError
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of
from aether_protocol.testing.clock import DEFAULT_START_US, ManualClock
from aether_protocol.testing.contracts.store.tools import put_document
from aether_protocol.testing.settling import settled

HOUR = 3_600_000_000

pytestmark = pytest.mark.rule("CRON-6", "TMPL-2")


def cron(**spec: Any) -> dict[str, Any]:
    templates = [{"dag": {"name": "main", "tasks": [{"name": "a", "executor": {"type": "noop"}}]}}]
    return {
        "apiVersion": "aether/v1",
        "kind": "CronWorkflow",
        "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 * * * *", "workflowSpec": {"entrypoint": "main", "templates": templates}, **spec},
    }


def engine(store: str, clock: ManualClock) -> Engine:
    return Engine(store=store, clock=clock, lease_s=None, owner="me")


@pytest.mark.parametrize("url", ["memory", "sqlite"])
def test_a_schedule_is_applied_and_its_fires_are_started(url: str, tmp_path: Path) -> None:
    async def body() -> None:
        clock = ManualClock()
        async with engine(f"sqlite:{tmp_path}/a.db" if url == "sqlite" else url, clock) as here:
            made = (await client_of(here).schedules.apply(cron())).applied[0].overview.schedule
            assert (made.name, made.next_at) == ("nightly", DEFAULT_START_US)
            scheduler = here.scheduler()
            assert await scheduler.tick() == ["nightly.20260101T000000Z"]
            assert await scheduler.tick() == []
            report = await client_of(here).runs.wait("nightly.20260101T000000Z")
            assert report.phase == "Succeeded"
            clock.advance(DEFAULT_START_US + HOUR)
            assert await scheduler.tick() == ["nightly.20260101T010000Z"]
            again = (await client_of(here).schedules.apply(cron(suspend=True))).applied[0].overview.schedule
            assert (again.version > made.version, again.next_at) == (True, None)
            clock.advance(DEFAULT_START_US + 2 * HOUR)
            assert await scheduler.tick() == []

    asyncio.run(body())


def test_serving_starts_what_is_due_until_it_is_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        clock = ManualClock()
        async with engine(f"sqlite:{tmp_path}/a.db", clock) as here:
            await client_of(here).schedules.apply(cron(schedule="* * * * *"))
            stopping = asyncio.Event()
            serving = asyncio.create_task(here.scheduler().serve(stopping))
            while clock.now() < DEFAULT_START_US + HOUR // 20:  # three minutes
                await settled(here)
                await asyncio.sleep(0)
                clock.step()
            stopping.set()
            await serving
            rows = await here.store.runs.rows(RunQuery())
            assert [row.run_id for row in rows][-1] == "nightly.20260101T000000Z"
            assert len(rows) == 3, "successfulJobsHistoryLimit"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (cron(schedule="0 0 31 2 *"), "never fires"),
        (cron(timezone="Mars/Olympus"), "not a time zone"),
        (cron(workflowSpec={"entrypoint": "nope", "templates": [{"dag": {"name": "main", "tasks": []}}]}), "the list is empty"),
    ],
)
def test_what_is_invalid_is_not_stored(document: dict[str, Any], told: str) -> None:
    async def body() -> None:
        async with engine("memory", ManualClock()) as here:
            with pytest.raises(DocumentError, match=told):
                await client_of(here).schedules.apply(document)
            assert await here.store.schedules.find() == []

    asyncio.run(body())


def test_what_could_not_be_started_is_not_stored() -> None:
    needy = cron()
    needy["spec"]["workflowSpec"]["arguments"] = {"parameters": [{"name": "day", "type": "string"}]}
    flow = {**cron(), "kind": "Workflow"}
    flow["spec"] = cron()["spec"]["workflowSpec"]

    async def body() -> None:
        async with engine("memory", ManualClock()) as here:
            with pytest.raises(DocumentError, match="'day' has no value"):
                await client_of(here).schedules.apply(needy)
            with pytest.raises(UsageError, match="no CronWorkflow"):
                await client_of(here).schedules.apply(flow)
            with pytest.raises(DocumentError, match="endAt is in the past"):
                await client_of(here).schedules.apply(cron(endAt="2025-12-31T23:59:59Z"))
            assert await here.store.schedules.find() == []

    asyncio.run(body())


def test_templates_of_the_store_are_resolved_when_it_is_applied() -> None:
    library = """
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: { name: lib }
spec: { templates: [ { task: { name: work, executor: { type: noop } } } ] }
"""
    tasks = [{"name": "a", "templateRef": {"name": "lib", "template": "work"}}]
    spec = {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": tasks}}]}

    async def body() -> None:
        async with engine("memory", ManualClock()) as here:
            store = here.store
            with pytest.raises(DocumentError, match="lib"):
                await client_of(here).schedules.apply(cron(workflowSpec=spec))
            await put_document(store, "WorkflowTemplate", "default", "lib", library, 1)
            await client_of(here).schedules.apply(cron(workflowSpec=spec))
            await store.library.remove([("WorkflowTemplate", "default", "lib")])
            [run] = await here.scheduler().tick()
            assert (await client_of(here).runs.wait(run)).phase == "Succeeded"

    asyncio.run(body())
