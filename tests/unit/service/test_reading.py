"""Reading is not driving: a report of a large run holds up nothing that the loop has to do (ports point 7)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client

TASKS = 20_000
BEATS = 100  # that the loop must have come to while one report was made; made in the loop, a report leaves it a few


def fan_out(size: int) -> dict[str, Any]:
    tasks = [{"name": f"t{number}", "executor": {"type": "noop"}} for number in range(size)]
    return {
        "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "wide"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": tasks}}]},
    }


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
