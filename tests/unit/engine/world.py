"""An engine on virtual time, with executors made of functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.echo import EchoExecutor
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.executors.wait import AwaitExecutor, SleepExecutor
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.api import RunEngine
from aether_protocol.ports.executor import ExecutionContext, Executor, Mode
from aether_protocol.ports.store import Store
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.testing.clock import ManualClock, pass_time
from aether_protocol.testing.contracts.broker import Tool

Function = Callable[[TaskAssignment, ExecutionContext], Any]


class Ids:
    """run-1, run-2, ..."""

    def __init__(self) -> None:
        self.made = 0

    def run_id(self, now_us: int) -> str:
        self.made += 1
        return f"run-{self.made}"

    def seed(self) -> int:
        return 7


class World:
    """What a test may look at: the engine, its clock, and what was logged."""

    def __init__(
        self,
        tools: Mapping[str, tuple[Mode, Function]] | None = None,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        store: Store | None = None,
        concurrency: int | None = None,
        stager: Any = None,
        variables: Sequence[Any] = (),
    ) -> None:
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.logs: list[tuple[str, str, str]] = []
        self.steps: list[Any] = []
        made: list[Executor] = [Tool(name, mode, function) for name, (mode, function) in (tools or {}).items()]
        builtin: list[Executor] = [NoopExecutor(), EchoExecutor(), SleepExecutor(), AwaitExecutor()]
        providers = [MappingSecrets(dict(secrets or {}))]
        self.broker = LocalBroker([*builtin, *made], self.clock, concurrency=concurrency, stager=stager, secrets=providers)
        self.engine = RunEngine(
            store=store or MemoryStore(),
            broker=self.broker,
            clock=self.clock,
            ids=Ids(),
            secrets=providers,
            variables=variables,
            observers=[lambda run_id, state, step: self.steps.append(step)],
            log_observers=[lambda record: self.logs.append((record.path, record.stream, record.text))],
        )

    async def pass_time(self, seconds: float | None = None) -> None:
        """Let everything happen until the clock stands at `seconds` after the beginning, or nothing is left to happen."""
        end = None if seconds is None else self.begin + round(seconds * 1_000_000)
        await pass_time(self.clock, self.engine, until_us=end)

    def elapsed(self) -> float:
        return (self.clock.now() - self.begin) / 1_000_000


def play(world: World, body: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """Run `body`; every law of the state holds at the end for every run that is not broken."""

    async def go() -> None:
        async with world.engine:
            await body(world)
            await world.engine.settled()
            for run_id in world.engine.run_ids:
                run = world.engine._run(run_id)
                if run.error is None:
                    check(run.state)

    asyncio.run(go())
    return world


def succeed(task: TaskAssignment, context: object = None, **outputs: Any) -> TaskResult:
    return TaskResult(task.ref, 0, "", outputs)
