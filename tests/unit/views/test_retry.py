"""What a retry would keep is what it keeps: the preview against the retry itself, of runs of every shape."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.errors import ConflictError, NotFoundError
from aether_protocol.service import client_of
from aether_protocol.service.client import Client
from tests.documents import submitted


def noop(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dependencies": list(after), "executor": {"type": "noop"}, **more}


def fails(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {**noop(name, *after, **more), "executor": {"type": "fail", "config": {"message": "no"}}}


def loop() -> dict[str, Any]:
    document = submitted(noop("a"), {"name": "loop", "dependencies": ["a"], "template": "each"}, noop("z", "loop"))
    document["spec"]["templates"] += [
        {"loop": {"name": "each", "body": "one", "items": [1, 2, 3],
                  "arguments": {"parameters": [{"name": "n", "value": "{{iterator.item}}"}]}}},
        {"task": {"name": "one", "inputs": {"parameters": [{"name": "n", "type": "integer"}]}, "executor": {
            "type": "script", "config": {"runtime": "sh", "source": "test {{inputs.parameters.n}} -ne 2"}}}},
    ]
    return document


SHAPES = {
    "dag": submitted(noop("a"), fails("b", "a"), noop("c", "b"), noop("d", "a")),
    "skipped": submitted(noop("a"), noop("b", "a", when="1 == 2"), fails("c", "b"), noop("e", "c")),
    "loop": loop(),
}


async def carried_out(client: Client, run: str) -> set[str]:
    """The paths of what a run dispatched itself."""
    return {
        str(record["path"])
        async for batch in client.runs.events(run).batches()
        for record in batch
        if record["kind"] == "TaskDispatched"
    }


@pytest.mark.parametrize(("shape", "start"), [
    ("dag", None), ("dag", "b"), ("dag", "d"), ("dag", "c"), ("skipped", None), ("skipped", "b"), ("loop", None),
    ("loop", "main.loop"), ("loop", "main.loop[0]"), ("loop", "z"),
])
def test_it_is_what_the_retry_does(shape: str, start: str | None) -> None:
    async def body() -> None:
        async with Engine() as engine:
            client = client_of(engine)
            run = await client.control.submit(SHAPES[shape])
            assert (await client.runs.wait(run)).phase == "Failed"
            preview = await client.extracts.retry_preview(run, start)
            retry = await client.control.retry(run, start)
            report = await client.runs.wait(retry)
            dispatched = await carried_out(client, retry)
        kept, again = ({one.path for one in part} for part in (preview.kept, preview.again))
        leaves = {task.path for task in report.tasks if task.template_type == "task"}
        assert kept
        assert kept.isdisjoint(again)
        assert kept <= leaves - dispatched
        assert dispatched <= again
        assert leaves <= kept | again

    asyncio.run(body())


def test_what_cannot_be_retried_is_said_as_the_retry_says_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with Engine() as engine:
            client = client_of(engine)
            fine = await client.control.submit(submitted(noop("a")))
            await client.runs.wait(fine)
            for start, error in ((None, ConflictError), ("nothing", NotFoundError)):
                with pytest.raises(error) as previewed:
                    await client.extracts.retry_preview(fine, start)
                with pytest.raises(error) as retried:
                    await client.control.retry(fine, start)
                assert previewed.value.message == retried.value.message

    asyncio.run(body())
