"""Reading is not driving: a report of a large run holds up nothing that the loop has to do (ports point 7)."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.assembly.stores import open_store
from aether_protocol.errors import PortError
from aether_protocol.scheduler.state import RunState
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client
from aether_protocol.service.local.apart import SWITCH_S, considerate, read_apart
from aether_protocol.views.report import make_report
from tests.documents import submitted

TASKS = 20_000
BEATS = 100  # that the loop must have come to while one report was made; made in the loop, a report leaves it a few


def fan_out(size: int) -> dict[str, Any]:
    return submitted(*({"name": f"t{number}", "executor": {"type": "noop"}} for number in range(size)))


async def beats_beside(client: Client, run: str) -> int:
    """How often the loop came round while a report was made."""
    beats = 0
    reading = asyncio.ensure_future(client.runs.report(run))
    while not reading.done():
        beats += 1
        await asyncio.sleep(0)
    assert len(reading.result().tasks) == TASKS + 1
    return beats


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "driven"])
def test_a_beat_beside_reports_of_20_000_tasks(tmp_path: Path, ended: bool) -> None:
    """From memory of an ended run, from the store of one that is driven, and by a client without an engine."""

    async def go() -> None:
        url = f"sqlite:{tmp_path}/aether.db"
        document = fan_out(TASKS)
        if not ended:
            document["spec"]["templates"][0]["dag"]["tasks"][0]["executor"] = {"type": "await"}
        async with Engine(store=url, library=()) as engine, connect(url) as other:
            run = await engine.submit(document)
            await client_of(engine).runs.wait(run, or_suspended=True)
            for client in (client_of(engine), other):
                assert await beats_beside(client, run) >= BEATS

    asyncio.run(go())


def test_a_beat_beside_reports_of_a_run_that_is_in_memory_alone() -> None:
    """A copy of the state is written at once, and all else is made of it in a thread."""

    async def go() -> None:
        document = fan_out(TASKS)
        document["spec"]["templates"][0]["dag"]["tasks"][0]["executor"] = {"type": "await"}
        async with Engine(store="memory", library=()) as engine:
            run = await engine.submit(document)
            client = client_of(engine)
            await client.runs.wait(run, or_suspended=True)
            assert await beats_beside(client, run) >= BEATS
            expected = make_report(engine.driven.state(run)).to_json()
            assert (await client.runs.report(run)).to_json() == expected

    asyncio.run(go())


def test_threads_come_to_their_work_while_anything_is_read_apart() -> None:
    """Python's own interval comes back with the last reader, and the collector with it."""
    before = sys.getswitchinterval()
    with considerate:
        with considerate:
            assert (sys.getswitchinterval(), gc.isenabled()) == (pytest.approx(SWITCH_S), False)
        assert (sys.getswitchinterval(), gc.isenabled()) == (pytest.approx(SWITCH_S), False)
    assert (sys.getswitchinterval(), gc.isenabled()) == (before, True)


def test_an_interval_that_is_shorter_already_stays() -> None:
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.0002)
        with considerate:
            assert sys.getswitchinterval() == pytest.approx(0.0002, rel=0.02)
        assert sys.getswitchinterval() == pytest.approx(0.0002, rel=0.02)
    finally:
        sys.setswitchinterval(before)


def test_a_plan_is_decoded_once_in_a_process_whatever_store_reads_it(tmp_path: Path) -> None:
    """Also by a store that was opened after it: that is how a large run is read apart."""
    url = f"sqlite:{tmp_path}/aether.db"

    async def go() -> None:
        async with Engine(store=url, library=()) as engine:
            run = await engine.submit(fan_out(3))
            await client_of(engine).runs.wait(run)
        plans = []
        for _ in range(2):
            store = open_store(url)
            plans.append((await store.runs.load(run)).plan)
            await store.close()
        assert plans[0] is plans[1]

    asyncio.run(go())


def test_a_plan_that_is_known_does_not_hide_a_damaged_text(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/aether.db"

    async def go() -> None:
        async with Engine(store=url, library=()) as engine:
            run = await engine.submit(fan_out(3))
            await client_of(engine).runs.wait(run)
        with closing(sqlite3.connect(tmp_path / "aether.db")) as connection, connection:
            connection.execute("UPDATE plans SET text = replace(text, 't2', 't9')")
        store = open_store(url)
        with pytest.raises(PortError, match=r"the plan of .* is damaged"):
            await store.runs.load(run)
        await store.close()

    asyncio.run(go())


def test_what_was_read_apart_is_freed_piece_by_piece(tmp_path: Path) -> None:
    """The nodes are gone when the reader returns, and what it made of them is whole."""
    seen: list[RunState] = []

    def make(state: RunState) -> int:
        seen.append(state)
        return len(state.nodes)

    async def go() -> str:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db", library=()) as engine:
            run = await engine.submit(fan_out(1_000))
            await client_of(engine).runs.wait(run)
            return run

    run = asyncio.run(go())
    assert read_apart(tmp_path / "aether.db", run, make, None) == 1_001
    assert seen[0].nodes == []
