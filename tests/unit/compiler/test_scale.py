"""Big documents: the cost follows their size, and nothing recurses over a graph (SPEC-11, SCHED-13)."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.compiler.compile import Compiled, compile_document
from aether_protocol.documents.load import load_value
from aether_protocol.plan.model import DagDef

SIZE = 10_000


def compiled(tasks: list[dict[str, Any]]) -> Compiled:
    step = {
        "name": "step",
        "inputs": {"parameters": [{"name": "x", "default": 1}]},
        "executor": {"type": "noop"},
        "outputs": {"parameters": [{"name": "x"}]},
    }
    templates = [{"task": step}, {"dag": {"name": "main", "tasks": tasks}}]
    spec = {"entrypoint": "main", "templates": templates}
    file = load_value({"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "w"}, "spec": spec})
    assert file.diagnostics == ()
    return compile_document(file.documents[0])


def task(name: str, dependencies: list[str], reads: list[str]) -> dict[str, Any]:
    arguments = [{"name": f"{one}-x", "valueFrom": {"parameter": f"tasks.{one}.outputs.parameters.x"}} for one in reads]
    return {"name": name, "template": "step", "dependencies": dependencies, "arguments": {"parameters": arguments}}


@pytest.mark.rule("SPEC-11", "SCHED-13")
def test_a_chain_whose_tasks_read_far_back() -> None:
    tasks = [task("t0", [], [])]
    tasks += [
        task(f"t{i}", [f"t{i - 1}"], [f"t{i - 1}", f"t{i * 7919 % i}"][: 1 + (i * 7919 % i != i - 1)]) for i in range(1, SIZE)
    ]
    result = compiled(tasks)
    assert result.diagnostics == ()
    assert result.plan is not None
    dag = result.plan.root.target
    assert isinstance(dag, DagDef)
    assert (len(dag.tasks), dag.roots, dag.leaves) == (SIZE, (0,), SIZE)


@pytest.mark.rule("SCHED-13")
def test_one_task_that_reads_all_others() -> None:
    size = SIZE // 4
    names = [f"t{i}" for i in range(size)]
    result = compiled([*(task(name, [], []) for name in names), task("last", names, names)])
    assert result.diagnostics == ()
    assert result.plan is not None
    assert len(result.plan.root.target.tasks[-1].inputs) == size + 1  # type: ignore[union-attr]


def test_as_many_faults_as_tasks() -> None:
    size = 2000
    result = compiled([task(f"t{i}", [f"t{(i + 1) % size}", f"t{i}x"], ["missing"]) for i in range(size)])
    assert len(result.diagnostics) == 1000
    assert result.diagnostics[-1].hint == f"there are {2 * size + 1 - 1000} more findings; only the first 1000 are shown"
    assert result.plan is None
