"""The public door: documents of any shape in, reports out."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

import aether_protocol
from aether_protocol import DocumentError, Engine, FunctionExecutor, Report, UsageError, load_plan, run
from aether_protocol.assembly import build_engine, workspace
from aether_protocol.assembly.artifacts import fetcher_types
from aether_protocol.assembly.executors import executor_types
from aether_protocol.assembly.variables import system_variables
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.service import client_of
from tests.documents import submitted


def step(name: str, type_: str = "noop", /, **config: Any) -> dict[str, Any]:
    return {"name": name, "executor": {"type": type_, "config": config}}


def echo(**values: Any) -> dict[str, Any]:
    return step("say", "echo", outputs=[{"name": name, "value": value} for name, value in values.items()])


def test_a_document_may_be_a_dict_a_path_or_text(tmp_path: Path) -> None:
    document = submitted(echo(x=1))
    file = tmp_path / "flow.json"
    text = json.dumps(document)
    file.write_text(text)
    for given in (document, [document], file, str(file), text, load_plan(document)):
        report = run(given)
        assert report.phase == "Succeeded"
        assert report.tasks[1].outputs == {"x": 1}


def test_arguments_go_in_and_faults_of_theirs_come_out() -> None:
    rows = {"parameters": [{"name": "rows", "type": "integer"}]}
    document = submitted(echo(x="{{workflow.parameters.rows}}"), arguments=rows)
    assert run(document, {"rows": 3}).tasks[1].outputs == {"x": 3}
    with pytest.raises(UsageError, match="'rows' has no value"):
        run(document)


def test_an_invalid_document_tells_all_of_its_faults() -> None:
    with pytest.raises(DocumentError) as told:
        run(submitted(step("a", "nop"), {"name": "b", "template": "nowhere"}, echo(x=1), entrypoint="man"))
    assert told.value.exit_code == 3
    assert len([one for one in told.value.diagnostics if one.severity == "error"]) >= 3


def test_which_workflow_is_meant(tmp_path: Path) -> None:
    two = [submitted(echo(x=1), name="one"), submitted(echo(x=2), name="two")]
    with pytest.raises(UsageError, match="several workflows"):
        load_plan(two)
    assert load_plan(two, name="two").name == "two"
    with pytest.raises(UsageError, match="no workflow named 'three'"):
        load_plan(two, name="three")
    with pytest.raises(UsageError, match="there is no file"):
        load_plan(str(tmp_path / "missing.yaml"))


def test_templates_come_from_libraries(tmp_path: Path) -> None:
    template = {
        "apiVersion": "aether/v1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "shared"},
        "spec": {"templates": [{"task": {"name": "hello", "executor": {"type": "echo"}}}]},
    }
    document = submitted({"name": "a", "templateRef": {"name": "shared", "template": "hello"}})
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "shared.json").write_text(json.dumps(template))
    for library in ([template], [tmp_path], [str(tmp_path / "deep" / "shared.json")]):
        assert run(document, library=library).phase == "Succeeded"
    with pytest.raises(DocumentError):
        run(document)


def test_a_run_that_nobody_can_resume_is_given_back() -> None:
    assert run(submitted(step("ask", "await"))).phase == "Suspended"


def test_run_belongs_outside_of_event_loops() -> None:
    async def inside() -> None:
        run(submitted(step("a")))

    with pytest.raises(UsageError, match="event loop"):
        asyncio.run(inside())


def test_functions_and_executors_of_ones_own() -> None:
    class Shout:
        type = ExecutorType("shout", "Says it louder.", open_outputs=True)
        mode = "inline"

        def execute(self, task: TaskAssignment, context: object) -> TaskResult:
            return TaskResult(task.ref, outputs={"said": "HELLO"})

    functions = FunctionExecutor({"double": lambda x: x * 2})
    report = run(
        submitted(step("a", "shout"), step("b", "function", name="double", arguments={"x": 21})),
        executors=[Shout(), functions],
    )
    assert [one.outputs for one in report.tasks[1:]] == [{"said": "HELLO"}, {"result": 42}]


def test_variables_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"name": "p", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    call = {**step("a", "echo"), "inputs": {"parameters": [secret, {"name": "v", "value": "{{deploy.cluster}}"}]}}
    document = submitted(call)
    variables = {"deploy": {"cluster": "east"}}
    file = tmp_path / "secrets.json"
    file.write_text('{"db": {"password": "hunter2"}}')
    for given in ({"db": {"password": "hunter2"}}, str(file), [file]):
        report = run(document, variables=variables, secrets=given)
        assert report.tasks[1].outputs == {"p": "***", "v": "east"}
    monkeypatch.setenv("AETHER_SECRET_DB_PASSWORD", "hunter2")
    assert run(document, variables=variables).tasks[1].outputs == {"p": "***", "v": "east"}


@pytest.mark.rule("ART-1", "ART-2")
def test_artifacts_go_from_task_to_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make = {
        **step("make", "script", source="mkdir -p out && echo hello > out/a.txt"),
        "outputs": {"artifacts": [{"name": "folder", "path": "out"}]},
    }
    use = {
        **step("use", "script", source="cat came/a.txt"),
        "dependencies": ["make"],
        "inputs": {
            "artifacts": [
                {"name": "folder", "from": "tasks.make.outputs.artifacts.folder", "path": "came", "archive": {"type": "tar.gz"}}
            ]
        },
    }
    report = run(submitted(make, use))
    assert report.phase == "Succeeded", [one.message for one in report.tasks]
    assert report.tasks[2].outputs["stdout"] == "hello"
    assert not (tmp_path / ".aether").exists(), "a store in memory leaves no files"


@pytest.mark.rule("ART-1")
def test_a_missing_artifact_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make = {**step("make", "script", source="true"), "outputs": {"artifacts": [{"name": "gone", "path": "out"}]}}
    report = run(submitted(make))
    assert report.tasks[1].phase == "Error"
    assert "'gone'" in report.tasks[1].message


def test_an_open_engine_runs_several_documents() -> None:
    async def go() -> None:
        engine = await build_engine(concurrency=2)
        try:
            runs = [await engine.submit(submitted(echo(x=n))) for n in range(3)]
            assert [(await client_of(engine).runs.wait(one)).tasks[1].outputs["x"] for one in runs] == [0, 1, 2]
        finally:
            await engine.close()

    asyncio.run(go())


def test_unknown_stores_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown store 'memry'") as told:
        Engine(store="memry")
    assert told.value.hint == "did you mean 'memory'?"


def test_types_of_executors_and_sources() -> None:
    types = executor_types()
    assert "nope" not in types
    assert types.get("nope") is None
    assert types["noop"].name == "noop"
    assert set(fetcher_types()) == {"git", "http", "local", "raw"}


@pytest.mark.rule("DATA-4")
def test_system_variables_speak_the_protocols_names() -> None:
    assert system_variables()["os"] in ("linux", "darwin", "windows")
    assert system_variables()["arch"] in ("amd64", "arm64")


def test_the_public_names_are_there_and_few() -> None:
    assert len(aether_protocol.__all__) <= 25
    for name in aether_protocol.__all__:
        assert getattr(aether_protocol, name) is not None
    assert aether_protocol.__version__
    with pytest.raises(AttributeError):
        _ = aether_protocol.nothing


def one_for_all(task: TaskAssignment, context: object) -> TaskResult:
    return TaskResult(task.ref)


class Ours:
    """A small executor."""

    type = ExecutorType("ours", "Made for a test.", open_config=True)
    mode = "inline"

    def execute(self, task: TaskAssignment, context: object) -> TaskResult:
        return TaskResult(task.ref)


@pytest.mark.parametrize("executors", [[Ours()], (Ours(),), {"ours": Ours()}, Ours()])
def test_executors_come_as_a_list_a_mapping_or_alone(executors: Any) -> None:
    assert run(submitted(step("a", "ours")), executors=executors).phase == "Succeeded"


@pytest.mark.parametrize(
    "options",
    [
        {"executors": [None]},
        {"executors": [Ours]},
        {"executors": [one_for_all]},
        {"executors": 5},
        {"concurrency": -1},
        {"concurrency": "2"},
        {"concurrency": True},
        {"store": 5},
        {"store": "sqlite9"},
        {"secrets": 5},
        {"variables": 5},
        {"variables": {"deploy": 5}},
        {"arguments": [1]},
        {"arguments": "x"},
        {"library": "no-such-folder"},
    ],
)
def test_what_cannot_be_used_is_told_before_anything_runs(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        run(submitted(step("a")), **options)


def test_a_library_may_be_a_single_path(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("apiVersion: aether/v1\nkind: WorkflowTemplate\nmetadata: {nam: x}\n")
    with pytest.raises(DocumentError, match="spec"):
        run(submitted(step("a")), library=str(tmp_path))


def test_an_engine_is_used_where_and_as_it_was_entered() -> None:
    engine = Engine()

    async def enter() -> None:
        await engine.__aenter__()
        await engine.submit(submitted(step("a", "await")), run_id="x")
        for wrong in (
            engine.submit(submitted(step("a")), run_id=5),  # type: ignore[arg-type]
            client_of(engine).control.resume("x", "main.a", [1]),  # type: ignore[arg-type]
            client_of(engine).runs.wait(["x"]),  # type: ignore[arg-type]
        ):
            with pytest.raises(UsageError):
                await wrong
        with pytest.raises(UsageError):
            engine.deliver(TaskResult(("x", "a", 1)))  # type: ignore[arg-type]
        await client_of(engine).runs.wait("x", or_suspended=True)

    async def elsewhere() -> None:
        client = client_of(engine)
        asked = (client.runs.wait("x"), client.control.cancel("x"), client.control.resume("x", "main.a"))
        for wrong in (*asked, engine.submit(submitted(step("a")))):
            with pytest.raises(UsageError, match="another event loop"):
                await wrong

    with asyncio.Runner() as runner:
        runner.run(enter())
        asyncio.run(elsewhere())
        runner.run(engine.close())


def test_a_report_is_not_written_down_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.run` writes a repr of what its coroutine gives: of a long run that takes seconds."""
    written: list[str] = []
    monkeypatch.setattr(Report, "__repr__", lambda report: written.append(report.run_id) or "")
    assert run(submitted(step("a"))).phase == "Succeeded"
    assert written == []


def test_what_a_program_has_frozen_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server freezes what its start has made, and to count that is a walk over all of it: not with each document."""
    walks: list[None] = []

    def walk() -> int:
        walks.append(None)
        return 1

    monkeypatch.setattr(workspace, "_is_frozen", False)
    monkeypatch.setattr(gc, "get_freeze_count", walk)
    for _ in range(3):
        Engine().plan(submitted(step("say", "echo")))
    assert len(walks) == 1


def test_after_a_document_the_next_collection_does_not_walk_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that was little, and the program nearly had to collect: its imports are the most of it."""
    monkeypatch.setattr(workspace, "_is_frozen", False)
    gc.unfreeze()
    Engine().plan(submitted(step("say", "echo")))
    assert gc.get_count()[0] < 1_000, "what is young now was made since"
