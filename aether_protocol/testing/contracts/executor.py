"""What every executor must keep (the Executor port, SCHED-7, WIRE-2), and the tools to try one without an engine.

Law: subclass `ExecutorContract`, give `make` and the attempts in `samples`; every test here then holds for them.
Nothing in this file knows a particular executor, so that other packages can hold theirs against it.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from aether_protocol.errors import PortError
from aether_protocol.execution.masking import Masker
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.expressions import parse_template
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.plan.model import Call, Kind, OutputBinding, TaskDef
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.notifier import Notification, Notifier
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult

FIELD_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "any", "duration", "size"})


class Sample(Struct):
    """One attempt to try: what `assignment` takes."""

    config: Json = None
    inputs: Mapping[str, Json] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    payloads: Sequence[Mapping[str, Json]] = ()


class RecordingNotifier:
    """See `ports.notifier.Notifier`. `sent` is what it was given; while `away` is set it refuses with that text."""

    def __init__(self) -> None:
        self.sent: list[Notification] = []
        self.away = ""

    def notify(self, notification: Notification) -> None:
        """Keep it. Raises PortError while it is away."""
        if self.away:
            raise PortError(self.away)
        self.sent.append(notification)


class RecordingContext:
    """A context that writes down what an executor does with it. Sleeping takes no time, but for ever is for ever.

    `secrets` are what `mask` hides. `notifiers` are made as they are asked for."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self.notifiers: dict[str, RecordingNotifier] = {}
        self._masker = Masker()
        self._masker.learn(secrets)
        self.logged: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.stop_s = 0.0
        self._home = Workspaces()
        self._workspace = self._home.of(assignment("any", Sample()))

    def log(self, text: str, stream: Literal["stdout", "stderr"] = "stdout") -> None:
        self.logged.append((stream, text))

    def text(self, stream: str) -> str:
        """All that was logged to this stream."""
        return "".join(text for name, text in self.logged if name == stream)

    @property
    def workspace(self) -> Path:
        return self._workspace.folder

    @property
    def scratch(self) -> Path:
        return self._workspace.scratch

    @property
    def shared(self) -> Path:
        return self._workspace.shared

    def close(self) -> None:
        self._workspace.close()
        self._home.close()

    def mask(self, text: str) -> str:
        return self._masker.text(text)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if math.isinf(seconds):
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def notifier(self, name: str = "default") -> Notifier:
        return self.notifiers.setdefault(name, RecordingNotifier())

    def stops_within(self, seconds: float) -> None:
        self.stop_s = seconds

    def cancelled(self) -> bool:
        return False


def assignment(
    type_: str,
    sample: Sample,
    *,
    retry_count: int = 0,
    timeout_us: int | None = None,
    bindings: tuple[OutputBinding, ...] = (),
) -> TaskAssignment:
    """An assignment as the engine would dispatch it. `sample.outputs` are declared outputs by name and type."""
    declared = tuple(OutputBinding(name, type_name, ()) for name, type_name in sample.outputs.items()) + bindings
    config = parse_template(sample.config, frozenset())
    target = TaskDef(
        name="task",
        executor_type=type_,
        config=config,
        inline=False,
        outputs=declared,
        artifacts=(),
        resources=None,
        library=None,
    )
    return TaskAssignment(
        ref=AttemptRef("run-1", "main.task", 1 + len(sample.payloads) + retry_count),
        rank=(0, 0),
        call=Call("task", 0, Kind.TASK, target, timeout_us=timeout_us),
        target=target,
        retry_count=retry_count,
        config=sample.config,
        inputs=sample.inputs,
        artifacts={},
        payloads=sample.payloads,
        priority=500,
        deadline_us=None,
        secret=False,
        hook=None,
    )


async def attempt(executor: Executor, task: TaskAssignment, context: RecordingContext | None = None) -> TaskResult:
    """Carry out one attempt as a broker would: on the loop, or in a thread."""
    context = context or RecordingContext()
    try:
        if executor.mode == "thread":
            given = await asyncio.to_thread(executor.execute, task, context)
        else:
            given = executor.execute(task, context)
        return await given if isinstance(given, Awaitable) else given
    finally:
        context.close()


class ExecutorContract:
    """Subclass it as `TestMyExecutor`; pytest then collects the tests below."""

    samples: Sequence[Sample] = (Sample(),)

    def make(self) -> Executor:
        """A new executor. The tests call it without arguments, as the engine does."""
        raise AssertionError("a contract needs `make`")

    def attempts(self) -> list[tuple[TaskAssignment, TaskResult]]:
        """Each sample with what it gave."""
        executor = self.make()
        tasks = [assignment(executor.type.name, sample) for sample in self.samples]
        return [(task, asyncio.run(attempt(executor, task))) for task in tasks]

    def test_the_type_is_described(self) -> None:
        type_: ExecutorType = self.make().type
        assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", type_.name)
        assert type_.description.endswith(".")
        groups: list[Sequence[ConfigField | OutputField]] = [type_.config, type_.outputs]
        while groups:
            group = groups.pop()
            assert len({part.name for part in group}) == len(group)
            for part in group:
                assert part.type in FIELD_TYPES, part.name
                assert part.description.endswith("."), part.name
                if isinstance(part, ConfigField) and part.fields:
                    assert part.type == "object", part.name
                    groups.append(part.fields)

    def test_defaults_fit_their_fields(self) -> None:
        for part in self.make().type.config:
            assert not (part.required and part.default is not None), part.name
            if part.enum is not None and part.default is not None:
                assert part.default in part.enum, part.name

    def test_mode_says_how_execute_is_called(self) -> None:
        executor = self.make()
        execute: Callable[..., Any] = executor.execute
        assert executor.mode in ("inline", "async", "thread")
        assert inspect.iscoroutinefunction(execute) == (executor.mode == "async")

    def test_a_result_names_its_attempt(self) -> None:
        for task, result in self.attempts():
            assert result.ref == task.ref
            assert type(result.code) is int
            assert type(result.message) is str

    def test_outputs_are_json(self) -> None:
        for _task, result in self.attempts():
            assert json.loads(json.dumps(dict(result.outputs), allow_nan=False)) == dict(result.outputs)

    def test_outputs_are_those_of_the_table(self) -> None:
        type_ = self.make().type
        if not type_.open_outputs:
            for _task, result in self.attempts():
                assert set(result.outputs) <= {part.name for part in type_.outputs}

    def test_the_assignment_stays_as_it_was(self) -> None:
        executor = self.make()
        for sample in self.samples:
            before = copy.deepcopy((sample.config, dict(sample.inputs), list(sample.payloads)))
            asyncio.run(attempt(executor, assignment(executor.type.name, sample)))
            assert (sample.config, dict(sample.inputs), list(sample.payloads)) == before

    def test_attempts_run_side_by_side(self) -> None:
        executor = self.make()
        tasks = [assignment(executor.type.name, sample) for sample in self.samples for _ in range(3)]

        async def together() -> list[TaskResult]:
            return await asyncio.gather(*(attempt(executor, task) for task in tasks))

        results = asyncio.run(together())
        assert [result.ref for result in results] == [task.ref for task in tasks]
