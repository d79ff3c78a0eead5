"""Tasks over all runs: open ones with why they wait, failed ones, by pages of runs; none of what went well."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client
from aether_protocol.service.runs.tasks import OF_A_RUN, TasksFound, find_tasks, read_wanted, tasks_of
from tests.documents import script, submitted

NOOP = {"name": "fine", "executor": {"type": "noop"}}
FAILS = {"name": "breaks", "executor": {"type": "fail", "config": {"message": "no luck"}}}
ASKS = {"name": "approve", "executor": {"type": "await", "config": {"message": "publish?"}}}


async def none(run_id: str) -> Mapping[str, str]:
    return {}


async def found(client: Client, limit: int = 10, text: str = "", phases: tuple[str, ...] = (), **query: Any) -> TasksFound:
    wanted = read_wanted(phases, text)
    return await find_tasks(client.runs, client.inspect, RunQuery(limit=limit, **query), wanted, none)


def told(page: TasksFound) -> list[tuple[str, str, str]]:
    return [(one.row.workflow, task.task["phase"], task.task["path"]) for one in page.runs for task in one.tasks]


def test_open_and_failed_tasks_come_and_what_went_well_does_not(tmp_path: Path) -> None:
    async def go() -> None:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db") as engine:
            client = client_of(engine)
            for name, task in (("well", NOOP), ("bad", FAILS), ("asks", ASKS)):
                document = submitted(NOOP, task | {"name": "last"}, name=name)
                await client.runs.wait(await engine.submit(document), or_suspended=True)
            page = await found(client)
            assert told(page) == [("asks", "Suspended", "main.last"), ("bad", "Failed", "main.last")]
            assert (page.looked_at, page.last) == (2, None)
            assert [task.reason for one in page.runs for task in one.tasks] == ["publish?", ""]
            assert told(await found(client, phases=("Failed",))) == [("bad", "Failed", "main.last")]
            assert told(await found(client, text="FINE")) == []
            assert told(await found(client, name="asks")) == [("asks", "Suspended", "main.last")]
            await client.control.cancel(page.runs[0].row.run_id)
            await client.runs.wait(page.runs[0].row.run_id)
            assert told(await found(client)) == [("bad", "Failed", "main.last")]
            assert told(await found(client, phases=("Cancelled",))) == [("asks", "Cancelled", "main.last")]
            with pytest.raises(UsageError, match="not looked for over all runs"):
                read_wanted(("Succeeded",), "")

    asyncio.run(go())


def test_pages_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    async def go() -> None:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db") as engine:
            client = client_of(engine)
            runs = [await engine.submit(submitted((FAILS, ASKS, NOOP)[number % 3])) for number in range(12)]
            for run in runs:
                await client.runs.wait(run, or_suspended=True)
            seen: list[str] = []
            before = None
            while True:
                page = await found(client, limit=3, before=before)
                seen += [one.row.run_id for one in page.runs]
                if page.last is None:
                    break
                before = (page.last.created_at, page.last.run_id)
            assert seen == [run for number, run in reversed([*enumerate(runs)]) if number % 3 != 2]

    asyncio.run(go())


def test_what_no_process_drives_says_so_and_a_long_run_is_cut(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/aether.db"
    several = [{**FAILS, "name": f"t{number}"} for number in range(OF_A_RUN + 40)]

    async def go() -> None:
        async with Engine(store=url) as engine:
            left = await engine.submit(script("sleep 60"))
            client = client_of(engine)
            await client.runs.wait(await engine.submit(submitted(*several, name="long")))
            page = await found(client, name="long")
            assert page.runs[0].more
            assert len(page.runs[0].tasks) < OF_A_RUN + 1
        async with connect(url) as client:
            [one] = await tasks_of(client.inspect, [await client.runs.get(left)], read_wanted((), ""), none)
            assert one.tasks[0].reason.startswith("no process drives its run")
            assert not one.more

    asyncio.run(go())
