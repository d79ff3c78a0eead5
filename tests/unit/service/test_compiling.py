"""Large documents are compiled apart from the event loop, small ones at once."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from aether_protocol import DocumentError, Engine
from aether_protocol.expressions.values import Json
from aether_protocol.service import client_of
from aether_protocol.service.documents.compiling import LARGE_TEXT, LARGE_VALUES, compile_apart, is_large
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, StoredWorkflow

_Given = ParamSpec("_Given")

HEAD = """\
apiVersion: aether/v1
kind: Workflow
metadata: {name: big}
spec:
  entrypoint: main
  templates:
    - task: {name: work, executor: {type: await}}
    - dag:
        name: main
        tasks:
"""


def text_of(tasks: int, template: str = "work") -> str:
    return HEAD + "".join(f"          - {{name: t{n}, template: {template}}}\n" for n in range(tasks))


def value_of(tasks: int) -> dict[str, Json]:
    dag: dict[str, Json] = {"name": "main", "tasks": [{"name": f"t{n}", "template": "work"} for n in range(tasks)]}
    work: Json = {"task": {"name": "work", "executor": {"type": "await"}}}
    spec: Json = {"entrypoint": "main", "templates": [work, {"dag": dag}]}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "big"}, "spec": spec}


def in_a_loop(test: Callable[_Given, Awaitable[None]]) -> Callable[_Given, None]:
    @functools.wraps(test)
    def run(*arguments: _Given.args, **keywords: _Given.kwargs) -> None:
        async def go() -> None:
            await test(*arguments, **keywords)

        asyncio.run(go())

    return run


class Loop:
    """Counts how often the event loop comes round while something is awaited."""

    def __init__(self) -> None:
        self.rounds = 0

    async def during(self, work: Awaitable[Any]) -> Any:
        self.rounds = 0
        counting = asyncio.create_task(self._count())
        try:
            return await work
        finally:
            counting.cancel()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0.002)
            self.rounds += 1


@in_a_loop
async def test_the_loop_goes_round_while_large_documents_are_compiled(tmp_path: Path) -> None:
    loop = Loop()
    async with Engine(store=f"sqlite:{tmp_path}/a.db") as engine:
        client = client_of(engine, elsewhere=True)
        large = [DocumentText("a.yaml", text_of(1_500))]
        assert [one.code for one in await loop.during(client.documents.check(large))] == ["AE904"]
        assert loop.rounds > 5, "check of a text"
        assert [one.code for one in await loop.during(client.documents.check(value_of(9_000)))] == ["AE904"]
        assert loop.rounds > 5, "check of a dict"
        (change,) = (await loop.during(client.documents.apply(large))).changes
        assert (change.name, change.action) == ("big", "created")
        assert loop.rounds > 5, "apply"
        run = await loop.during(client.control.submit(StoredWorkflow("big")))
        assert loop.rounds > 5, "a stored workflow"
        await client.control.cancel(run)
        await loop.during(client.control.submit(value_of(9_000)))
        assert loop.rounds > 5, "a submission"


@in_a_loop
async def test_what_is_wrong_with_a_large_document_is_reported_as_with_a_small_one() -> None:
    async with Engine() as engine:
        client = client_of(engine, elsewhere=True)
        for tasks in (2, 1_000):
            wrong = text_of(tasks).replace("{name: t1, template: work}", "{name: t1, template: wrok}")
            with pytest.raises(DocumentError) as refused:
                await client.control.submit(wrong)
            assert [(one.code, one.line) for one in refused.value.diagnostics] == [("AE904", 7), ("AE204", 12)]
            found = await client.documents.check([DocumentText("a.yaml", wrong)])
            assert {(one.code, one.line, one.file) for one in found} == {("AE904", 7, "a.yaml"), ("AE204", 12, "a.yaml")}


def test_large_is_what_takes_a_few_milliseconds() -> None:
    assert not is_large("x" * LARGE_TEXT)
    assert is_large("x" * (LARGE_TEXT + 1))
    half = DocumentText("a", "x" * (LARGE_TEXT // 2 + 1))
    assert not is_large([half])
    assert is_large([half, half])
    assert is_large("", [LibraryTexts("l", [half, half])])
    assert not is_large(value_of(100))
    assert is_large(value_of(LARGE_VALUES))
    assert is_large({"a": list(range(LARGE_VALUES))})


@in_a_loop
async def test_small_documents_stay_in_the_thread_and_large_ones_leave_it() -> None:
    here = threading.get_ident()
    assert await compile_apart(False, threading.get_ident) == here
    assert await compile_apart(True, threading.get_ident) != here
