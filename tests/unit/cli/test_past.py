"""What `aether db check` says of runs: nothing of those that are ours, however odd their tasks are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aether_protocol import Engine, ExecutionContext, ExecutorType, TaskAssignment, TaskResult
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.ports.executor import Mode
from aether_protocol.service import client_of
from aether_protocol.service.runs.inspect import fault_of

WORKFLOW = """
apiVersion: aether/v1
kind: Workflow
metadata: {name: odd}
spec:
  entrypoint: main
  hooks: {onExit: {template: one}}
  templates:
    - loop: {name: main, body: one, items: [1, 2], concurrency: 1e19}
    - task: {name: one, executor: {type: odd}}
"""


class Odd:
    """Returns what no command would."""

    type = ExecutorType("odd", "For tests.", open_outputs=True)
    mode: Mode = "inline"

    def __init__(self, code: int, message: str, value: object) -> None:
        self.given = code, message, value

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        code, message, value = self.given
        return TaskResult(task.ref, code, message, {"value": value})


@pytest.mark.parametrize("tier", ["snapshot", "state-action-log"])
@pytest.mark.parametrize(
    ("code", "message", "value"),
    [(2**63, "", 10**400), (2, "half \ud800", {"\ud800": ["\udfff"]}), (0, "", ({}, (), [[]], 1e300))],
)
def test_odd_runs_of_ours_are_whole(tmp_path: Path, tier: str, code: int, message: str, value: object) -> None:
    (tmp_path / "flow.yaml").write_text(WORKFLOW)

    async def body() -> None:
        store = open_sqlite(str(tmp_path / "runs.db"), tier=tier)
        async with Engine(store=store, executors=[Odd(code, message, value)]) as engine:
            run = await engine.submit(tmp_path / "flow.yaml")
            assert (await client_of(engine).runs.wait(run)).phase == ("Succeeded" if code == 0 else "Error")
            assert await fault_of(store, run, set(await store.upkeep.artifacts())) is None

    asyncio.run(body())
