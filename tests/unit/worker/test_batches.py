"""Batches of inline attempts: shared out, carried out, and what becomes of them where their child dies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from aether_protocol.ports.worker import SecretName, SecretText
from aether_protocol.worker.artifacts import Move
from aether_protocol.worker.batches import MOST_IN_BATCH, InlineBatches
from aether_protocol.worker.pool import STOPPED

Message = dict[str, Any]


pytestmark = pytest.mark.rule("RT-134")


def assignment(number: int, **more: Any) -> Message:
    return {"executorType": "noop", "taskRunId": f"run/t{number}", "artifacts": {"inputs": {}, "outputs": []}, **more}


class Observer:
    def __init__(self) -> None:
        self.results: list[str] = []
        self.returns: list[tuple[str, str]] = []
        self.lines: list[str] = []

    def started(self, token: str) -> None:
        raise AssertionError("a result implies it")

    def logged(self, token: str, stream: Literal["stdout", "stderr"], offset: int, text: str) -> None:
        self.lines.append(text)

    def progressed(self, token: str, details: Any) -> None:
        raise AssertionError("inline executors say nothing")

    def finished(self, token: str, result: Message) -> None:
        self.results.append(token)

    def died(self, token: str, reason: str) -> None:
        raise AssertionError("none of a batch is blamed")

    def returned(self, token: str, reason: str) -> None:
        self.returns.append((token, reason))

    async def artifact(self, token: str, move: Move, digest: str) -> None:
        raise AssertionError("there are none")

    async def secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        raise AssertionError("there are none")


class Child:
    """Carries batches out at once; dies before the one that has `poison`."""

    def __init__(self, poison: str | None) -> None:
        self.poison = poison
        self.batches: list[list[str]] = []
        self.inbox: asyncio.Queue[Message | None] = asyncio.Queue()

    def send(self, message: Message) -> None:
        self.batches.append([token for token, _ in message["items"]])
        self.inbox.put_nowait(message)

    def kill(self) -> None:
        self.inbox.put_nowait(None)

    async def live(self, hear: Callable[[Message], None]) -> None:
        while (message := await self.inbox.get()) is not None:
            said = [
                {"say": "logged", "token": token, "stream": "stdout", "offset": 0, "text": token}
                for token, _ in message["items"]
            ]
            said += [{"say": "finished", "token": token, "result": {}} for token, _ in message["items"]]
            if any(token == self.poison for token, _ in message["items"]):
                return
            hear({"say": "several", "all": said})


class Stage:
    def __init__(self, poison: str | None = None) -> None:
        self.children: list[Child] = []
        self.poison = poison
        self.observer = Observer()
        self.batches = InlineBatches(frozenset({"noop"}), self._spawn, lambda child, hear: child.live(hear))
        self.batches.observer = self.observer

    async def _spawn(self) -> Child:
        await asyncio.sleep(0)
        self.children.append(Child(self.poison))
        return self.children[-1]

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def test_many_attempts_share_few_children_and_each_gives_its_result() -> None:
    async def go() -> None:
        stage = Stage()
        for number in range(500):
            stage.batches.begin(f"t{number}", assignment(number))
        await stage.settle()
        assert sorted(stage.observer.results) == sorted(f"t{number}" for number in range(500))
        assert len(stage.children) <= (os.cpu_count() or 1)
        assert max(len(one) for child in stage.children for one in child.batches) <= MOST_IN_BATCH
        assert len(stage.observer.lines) == 500
        assert not stage.batches.has("t1")
        stage.batches.close()

    asyncio.run(go())


def test_where_a_child_dies_its_batch_is_returned_and_is_carried_out_alone_from_then_on() -> None:
    async def go() -> None:
        stage = Stage(poison="t3")
        for number in range(10):
            stage.batches.begin(f"t{number}", assignment(number))
        await stage.settle()
        assert [token for token, _ in stage.observer.returns] == [f"t{number}" for number in range(10)]
        assert stage.observer.results == []
        assert not stage.batches.takes(assignment(3)), "its own child is to blame for it, and no other"
        assert stage.batches.takes(assignment(11))
        stage.batches.begin("t11", assignment(11))
        await stage.settle()
        assert stage.observer.results == ["t11"], "by a new child"
        stage.batches.close()

    asyncio.run(go())


NOT_FOR_BATCHES = [
    {"executorType": "script"},
    {"secrets": [{"name": "db", "key": "password"}]},
    {"artifacts": {"inputs": {"a": {"name": "a"}}, "outputs": []}},
    {"artifacts": {"inputs": {}, "outputs": [{"name": "a"}]}},
]


@pytest.mark.parametrize("more", NOT_FOR_BATCHES)
def test_what_has_to_wait_for_something_is_none_for_a_batch(more: Message) -> None:
    assert not Stage().batches.takes(assignment(1, **more))


def test_what_waits_can_be_stopped() -> None:
    async def go() -> None:
        stage = Stage()
        stage.batches.begin("t1", assignment(1))
        stage.batches.stop("t1", 1.0)
        await stage.settle()
        assert (stage.observer.returns, stage.observer.results) == ([("t1", STOPPED)], [])

    asyncio.run(go())
