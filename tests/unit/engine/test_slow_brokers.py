"""A broker that does not answer holds up nothing: RT-116."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aether_protocol.engine.dispatch import deliveries
from aether_protocol.errors import PortError
from aether_protocol.execution.bounded import bounded
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from tests.unit.engine.plans import dag, plan, task
from tests.unit.engine.test_engine_site import RecordingBroker, Scene, play


async def answer(*steps: float) -> str:
    for seconds in steps:
        await asyncio.sleep(seconds)
    return "done"


def test_an_answer_comes_through_at_once_or_after_a_while() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def times_out() -> None:
        raise TimeoutError("its own")

    async def go() -> None:
        assert await bounded(answer(), 1, "it") == "done"
        assert await bounded(answer(0, 0.001, 0), 1, "it") == "done"
        with pytest.raises(ValueError, match="no"):
            await bounded(fails(), 1, "it")
        with pytest.raises(TimeoutError, match="its own"):
            await bounded(times_out(), 1, "it")
        with pytest.raises(PortError, match=r"^it did not answer within 0\.01 s$"):
            await bounded(answer(60), 0.01, "it")

    asyncio.run(go())


def test_a_cancel_from_outside_goes_through() -> None:
    async def go() -> None:
        waiting = asyncio.ensure_future(asyncio.wait_for(bounded(answer(60), 60, "it"), 0.01))
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(go())


@pytest.mark.rule("RT-116")
def test_a_broker_that_hangs_counts_as_away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What it was offered is offered again, uncounted, and other runs go their way meanwhile."""
    monkeypatch.setattr(deliveries, "ANSWER_S", 0.02)

    class Hanging(RecordingBroker):
        hangs = True

        async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
            if self.hangs:
                await asyncio.get_running_loop().create_future()
            return await super().dispatch(batch)

        async def stop(self, refs: Sequence[AttemptRef]) -> None:
            if self.hangs:
                await asyncio.get_running_loop().create_future()
            await super().stop(refs)

    broker = Hanging()

    async def body(scene: Scene) -> None:
        run = await scene.engine.submit(plan(dag(task("a", "noop"))))
        other = await scene.engine.submit(plan(dag(task("ask", "await"))))
        await scene.pass_time(2)
        assert (scene.phase(other), broker.taken) == ("Suspended", [])
        broker.hangs = False
        await scene.pass_time(20)
        assert broker.names() == ["a"]
        node: Any = scene.engine.driven.state(run).find("main.a")
        assert (node.attempt, node.losses) == (1, 0)

    play(Scene(broker=broker), body)
    assert "did not answer within 0.02 s" in caplog.text
