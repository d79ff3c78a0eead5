"""What a user's typed code looks like. It is not run: mypy --strict has to accept it (see test_typing.py)."""

from __future__ import annotations

from typing import assert_type

from aether_protocol import (
    DocumentError,
    Engine,
    ExecutionContext,
    Executor,
    ExecutorType,
    FunctionExecutor,
    LogRecord,
    Plan,
    Report,
    TaskAssignment,
    TaskReport,
    TaskResult,
    UsageError,
    load_plan,
    run,
)
from aether_protocol.service import client_of


class Shout:
    """An executor, as one writes it who has never heard of Literal."""

    type = ExecutorType("shout", "Says it louder.", open_outputs=True)
    mode = "inline"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        return TaskResult(task.ref, outputs={"said": "HELLO"})


class Pause:
    """One that waits."""

    type = ExecutorType("pause", "Waits.")
    mode = "async"

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        await context.sleep(1)
        return TaskResult(task.ref)


class Vault:
    """A secret provider."""

    def get(self, name: str, key: str) -> str | None:
        return None


def show(record: LogRecord) -> None:
    print(record.text)


async def main() -> None:
    own: list[Executor] = [Shout(), Pause()]
    options = {"deploy": {"cluster": "east"}}
    async with Engine(executors=own, concurrency=2, secrets=[Vault(), {"db": {"k": "v"}}], variables=options) as engine:
        engine.log_observers.append(show)
        run_id = await engine.submit("flow.yaml", {"rows": 5})
        assert_type(run_id, str)
        report = await client_of(engine).runs.wait(run_id, or_suspended=True)
        assert_type(report, Report)
        async for event in client_of(engine).runs.events(run_id, follow=True):
            print(event["kind"])
        await client_of(engine).control.resume(run_id, "main.approve", {"approved": True})
        assert_type(report.tasks, tuple[TaskReport, ...])


def sync() -> None:
    plan = load_plan("flow.yaml", library="templates")
    assert_type(plan, Plan)
    try:
        print(run(plan, {"rows": [1, 2]}, executors={"shout": Shout()}).outputs["total"])
        print(run({"apiVersion": "aether/v1"}, executors=FunctionExecutor({"double": lambda x: 2 * x})).phase.upper())
    except DocumentError as error:
        print([(one.code, one.line + one.column, one.path) for one in error.diagnostics])
    except UsageError as error:
        print(error.message, error.hint)
