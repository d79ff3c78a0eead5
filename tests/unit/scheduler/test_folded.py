"""What nearly always happens at once is one fact; for those that look on it is told apart."""

from __future__ import annotations

from aether_protocol.scheduler import events as e
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.attempts import AttemptRef, TaskResult
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.transitions import SUCCEEDED
from aether_protocol.views.event_feed import step_records
from tests.unit.engine.plans import dag, plan, task, value


def kinds(facts: list[f.Fact]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def start(*tasks: object) -> tuple[Machine, list[f.Fact]]:
    machine = Machine(plan(dag(*tasks)))
    return machine, machine.handle(e.Submitted(0, e.RunHeader("run", 0, None, {}, {}, 0), "test")).facts


def finished(machine: Machine, node: int, path: str, code: int = 0) -> list[f.Fact]:
    return machine.handle(e.TaskFinished(5, node, TaskResult(AttemptRef("run", path, 1), code), "test")).facts


def test_a_leaf_with_nothing_to_bind_is_made_and_dispatched_in_one_fact() -> None:
    _, facts = start(task("a"), task("b", "noop", None, value("x", 1)))
    assert f.NodeCreated(1, 0, 0, 1) in facts
    assert f.NodeCreated(2, 0, 1) in facts  # its inputs come between
    assert kinds(facts)[-3:] == ["NodeCreated", "InputsBound", "TaskDispatched"]


def test_a_result_that_is_the_first_word_of_the_start_says_both() -> None:
    machine, _ = start(task("a"), task("b"), task("c"))
    first = finished(machine, 1, "main.a")
    assert kinds(first) == ["TaskRunning", "ContainerPhase", "NodeEnded"]  # the dag begins with it
    assert finished(machine, 2, "main.b") == [f.NodeEnded(2, SUCCEEDED, 0, "", {}, {}, started=True)]
    node = machine.state.nodes[2]
    assert (node.started_at, node.ended_at) == (5, 5)
    assert kinds(finished(machine, 3, "main.c", code=2))[:2] == ["TaskRunning", "NodeEnded"]  # what did not go well: as ever


def test_a_start_that_was_confirmed_keeps_its_instant() -> None:
    machine, _ = start(task("a"), task("b"))
    finished(machine, 1, "main.a")
    machine.handle(e.TaskStarted(3, 2, 1, "test"))
    assert finished(machine, 2, "main.b")[0] == f.NodeEnded(2, SUCCEEDED, 0, "", {}, {})
    assert machine.state.nodes[2].started_at == 3


def test_those_that_look_on_see_each_change_by_itself() -> None:
    machine, _ = start(task("a"), task("b"))
    finished(machine, 1, "main.a")
    entry = machine.handle(e.TaskFinished(5, 2, TaskResult(AttemptRef("run", "main.b", 1)), "test"))
    told = [(record["kind"], record["index"], record.get("phase")) for record in step_records(machine.state, entry)]
    assert told[:2] == [("TaskRunning", 0, "Running"), ("NodeEnded", 1, "Succeeded")]
    made = list(f.unfold([f.NodeCreated(1, 0, 0, 1)]))
    assert made == [f.NodeCreated(1, 0, 0), f.TaskDispatched(1, 1)]
