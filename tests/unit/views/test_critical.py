"""The critical path: what a run had to wait for, one task after the other."""

from __future__ import annotations

import asyncio
from typing import Any

from aether_protocol import Engine
from aether_protocol.service import client_of
from tests.documents import submitted


def sleeps(name: str, seconds: float, *after: str) -> dict[str, Any]:
    return {"name": name, "dependencies": list(after), "executor": {"type": "sleep", "config": {"duration": f"{seconds}s"}}}


def critical(document: dict[str, Any]) -> list[str]:
    async def body() -> list[str]:
        async with Engine() as engine:
            client = client_of(engine)
            run = await client.control.submit(document)
            await client.runs.wait(run)
            assert (await client.inspect.step(run, 1)).critical == []  # it had not ended then
            return list((await client.inspect.step(run)).critical)

    return asyncio.run(body())


def test_it_follows_what_ended_last_of_what_was_waited_for() -> None:
    document = submitted(
        sleeps("a", 0.02), sleeps("b", 0.2), sleeps("c", 0.02, "a", "b"), sleeps("d", 0.01, "a"), sleeps("e", 0.02, "c", "d"),
    )
    assert critical(document) == ["main.b", "main.c", "main.e"]


def test_it_goes_through_iterations_one_after_the_other() -> None:
    document = submitted(sleeps("a", 0.01), {"name": "each", "dependencies": ["a"], "template": "each"})
    document["spec"]["templates"] += [
        {"loop": {"name": "each", "body": "one", "items": [1, 2, 3], "concurrency": 1}},
        {"task": {"name": "one", "executor": {"type": "sleep", "config": {"duration": "0.02s"}}}},
    ]
    assert critical(document) == ["main.a", "main.each[0]", "main.each[1]", "main.each[2]"]
