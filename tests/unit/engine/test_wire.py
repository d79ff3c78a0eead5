"""WIRE-1, WIRE-2: the messages as JSON, held against their published schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import pytest
from jsonschema import Draft202012Validator

from aether_protocol.plan.model import ArtifactOutput, HookEvent
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import decode_result, encode_assignment, encode_result
from aether_protocol.service import client_of
from aether_protocol.testing.harness import EngineWorld, run_on, succeed
from tests.unit.engine.plans import SECOND, dag, plan, secret, task, value

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


class StoredLibrary:
    """A stager that has everything and keeps nothing."""

    def within(self, namespace: str) -> Self:
        return self

    def bring(self, artifacts: Any, folder: Path, scratch: Path, origin: str | None) -> dict[str, Any]:
        """All of it is there."""
        return {}

    def keep(self, outputs: Any, folder: Path, scratch: Path) -> dict[str, Any]:
        return {output.name: {"name": output.name, "digest": "sha256:0", "size": 1} for output in outputs}


def assignments() -> list[TaskAssignment]:
    seen: list[TaskAssignment] = []

    def look(given: TaskAssignment, context: object) -> TaskResult:
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        take = world.broker.dispatch

        async def dispatch(batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
            seen.extend(map(copy, batch))  # as the broker has them, before their secrets are filled in
            return await take(batch)

        world.broker.dispatch = dispatch  # type: ignore[method-assign]
        full = task(
            "full",
            "look",
            {"deep": ["{{inputs.parameters.rows}}"]},
            value("rows", [1]),
            secret("password", "db", "password"),
            keeps=(ArtifactOutput("result", "out.txt", None, None),),
            timeout_us=90 * SECOND,
        )
        await client_of(world.engine).runs.wait(await world.engine.submit(plan(dag(task("bare", "look"), full))))

    run_on(EngineWorld({"look": ("inline", look)}, secrets={"db": {"password": "x"}}, stager=StoredLibrary()), body)
    return seen


@pytest.mark.rule("WIRE-1")
def test_assignments_fit_their_schema() -> None:
    made = [encode_assignment(one) for one in assignments()]
    made = json.loads(json.dumps(made))
    for one in made:
        validator("task-assignment").validate(one)
    full = next(one for one in made if one["taskName"] == "full")
    assert full["config"] == {"deep": [[1]]}
    assert full["secrets"] == [{"name": "db", "key": "password"}]
    assert full["timeout"] == "1m30s"
    assert full["deadline"] == "2026-01-01T01:00:00Z"
    assert (full["taskRunId"], full["idempotencyKey"]) == ("run-1/main.full", "run-1:main.full")
    assert full["artifacts"]["outputs"] == [{"name": "result", "path": "out.txt", "archive": None}]


@pytest.mark.rule("WIRE-1", "HOOK-2")
def test_each_run_of_a_hook_has_a_name_of_its_own() -> None:
    seen: list[TaskAssignment] = []

    def look(given: TaskAssignment, context: object) -> TaskResult:
        seen.append(given)
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        hooks = {HookEvent.ON_SUSPEND: task("tell", "look"), HookEvent.ON_RESUME: task("tell", "look")}
        run = await world.engine.submit(plan(dag(task("a", "await"), task("b", "await")), hooks=hooks))
        await world.pass_time(1)
        await client_of(world.engine).control.resume(run, "main.a")
        await world.pass_time(2)
        assert (await client_of(world.engine).runs.report(run)).phase == "Suspended"

    run_on(EngineWorld({"look": ("inline", look)}), body)
    names = [one.task_run_id.partition("/")[2] for one in seen]
    assert sorted(names) == ["!onResume#1", "!onSuspend#1", "!onSuspend#2"]
    assert {one.path for one in seen} == {""}
    assert len({one.idempotency_key for one in seen}) == 3


@pytest.mark.rule("WIRE-1")
def test_the_schema_names_exactly_what_is_written() -> None:
    schema = json.loads((SCHEMAS / "task-assignment.schema.json").read_text("utf-8"))
    written = set(encode_assignment(assignments()[0]))
    assert written == set(schema["properties"]) == set(schema["required"])


@pytest.mark.rule("WIRE-2")
def test_results_go_there_and_back() -> None:
    ref = AttemptRef("run-1", "main.a[3].b!onExit#2", 2, 7)
    digest = {"digest": "sha256:0", "size": 1}
    result = TaskResult(ref, 3, "no", {"a": [1]}, {"f": {"name": "f", **digest}}, ("odd",), {"f": digest})
    message = encode_result(result)
    validator("task-result").validate(message)
    assert set(message) == set(json.loads((SCHEMAS / "task-result.schema.json").read_text("utf-8"))["properties"])
    assert decode_result(message) == result


@pytest.mark.rule("WIRE-2")
def test_what_is_empty_is_left_out() -> None:
    message = encode_result(TaskResult(AttemptRef("r", "main", 1)))
    assert message == {"taskRunId": "r/main", "workflowRunId": "r", "attempt": 1, "epoch": 0, "code": 0}
    validator("task-result").validate(message)
    assert decode_result(message) == TaskResult(AttemptRef("r", "main", 1))


@pytest.mark.rule("WIRE-2")
def test_an_absent_code_is_success() -> None:
    bare = {"taskRunId": "r/main", "workflowRunId": "r", "attempt": 1}
    validator("task-result").validate(bare)
    assert decode_result(bare) == TaskResult(AttemptRef("r", "main", 1))


@pytest.mark.rule("WIRE-2")
def test_a_task_run_has_one_name_however_often_it_goes_back() -> None:
    for epoch in (0, 7):
        message = encode_result(TaskResult(AttemptRef("r", "main.a", 2, epoch)))
        validator("task-result").validate(message)
        assert (message["taskRunId"], message["epoch"]) == ("r/main.a", epoch)


@pytest.mark.rule("WIRE-2")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"taskRunId": "other/main"}, "does not name a task run of 'r'"),
        ({"taskRunId": "r/"}, "does not name a task run of 'r'"),
        ({"taskRunId": "r"}, "does not name a task run of 'r'"),
        ({"epoch": -1}, ">= 0.*epoch"),
        ({"epoch": "1"}, "Expected `int`, got `str`.*epoch"),
        ({"attempt": 0}, ">= 1.*attempt"),
        ({"attempt": True}, "Expected `int`, got `bool`.*attempt"),
        ({"code": "0"}, "Expected `int`, got `str`.*code"),
        ({"message": 5}, "Expected `str`, got `int`.*message"),
        ({"parameters": []}, "Expected `object`, got `array`.*parameters"),
        ({"parameters": {"a": float("inf")}}, "not JSON"),
        ({"artifacts": {"f": {}}}, "artifact 'f'"),
        ({"workflowRunId": None}, "Expected `str`, got `null`.*workflowRunId"),
        ({"exitCode": 0}, "unknown field `exitCode`"),
    ],
)
def test_faulty_results_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        decode_result({"taskRunId": "r/main", "workflowRunId": "r", "attempt": 1, **change})


@pytest.mark.rule("WIRE-2")
@pytest.mark.parametrize("message", [None, [], "x", {}])
def test_what_is_no_result_is_refused(message: Any) -> None:
    with pytest.raises(ValueError):
        decode_result(message)
