"""What an event costs does not grow with the run (SCHED-13), counted in calls and not in seconds."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_value
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler import commands as c
from aether_protocol.scheduler import events as e
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.machine import START_LIMIT, Machine
from aether_protocol.scheduler.snapshot import restore, snapshot
from aether_protocol.scheduler.state import RunState

pytestmark = pytest.mark.rule("SCHED-13")

Json = dict[str, Any]
FINISH = {"executor": {"type": "noop"}}


def plan_of(*templates: Json, **spec: Any) -> Plan:
    """The plan of a workflow whose entrypoint is `main`."""
    document = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"entrypoint": "main", "templates": list(templates), **spec},
    }
    compiled = compile_document(load_value(document).documents[0], TemplateLibrary(), CompileOptions())
    assert compiled.plan is not None, compiled.diagnostics
    return compiled.plan


def drive(plan: Plan, code: int = 0, cancel_after: int | None = None) -> RunState:
    """Answer every assignment at once, `started` first, without recursion; stop nothing early."""
    machine = Machine(plan)
    todo = list(machine.handle(e.Submitted(0, e.RunHeader("r", 0, None, {}, {}, 1), "test")).commands)
    answered = 0
    at = 0
    while at < len(todo):
        command = todo[at]
        at += 1
        if isinstance(command, c.DispatchTask):
            node, attempt = command.node, command.assignment.attempt
            todo += machine.handle(e.TaskStarted(0, node, attempt, "test")).commands
            answered += 1
            if answered == cancel_after:
                machine.handle(e.CancelRequested(0, "test"))
                break
            outputs = {"n": answered}
            finished = e.TaskFinished(0, node, TaskResult(command.assignment.ref, code, "", outputs), "test")
            todo += machine.handle(finished).commands
        elif isinstance(command, c.Continue):
            todo += machine.handle(e.Continued(0, "test")).commands
    assert machine.state.closed
    return machine.state


def calls_of(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, `work` calls."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def task(name: str, *dependencies: str, **more: Any) -> Json:
    return {"name": name, "template": "work", "dependencies": list(dependencies), **more}


WORK: Json = {"task": {"name": "work", **FINISH}}


def wide(n: int) -> Plan:
    return plan_of({"dag": {"name": "main", "tasks": [task(f"t{i}") for i in range(n)]}}, WORK)


def chain(n: int) -> Plan:
    tasks = [task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, n))]
    return plan_of({"dag": {"name": "main", "tasks": tasks}}, WORK)


def funnel(n: int) -> Plan:
    """One before all, one after all."""
    middle = [f"t{i}" for i in range(n)]
    tasks = [task("first"), *(task(name, "first") for name in middle), task("last", *middle)]
    return plan_of({"dag": {"name": "main", "tasks": tasks}}, WORK)


def wired(n: int) -> Plan:
    """A chain in which each task reads the one before and has a condition, a timeout and a hook."""
    taken = {"name": "work", "inputs": {"parameters": [{"name": "n", "default": 0}]}, **FINISH}
    tasks = [task("t0")]
    for i in range(1, n):
        argument = {"name": "n", "value": f"{{{{tasks.t{i - 1}.outputs.parameters.n}}}}"}
        extras: Json = {"timeout": "5m", "hooks": {"onExit": {"template": "tell"}}}
        reads = {"arguments": {"parameters": [argument]}, "when": f"tasks.t{i - 1}.phase == 'Succeeded'"}
        tasks.append(task(f"t{i}", f"t{i - 1}", **extras, **reads))
    tell = {"task": {"name": "tell", **FINISH}}
    return plan_of({"dag": {"name": "main", "tasks": tasks}}, {"task": taken}, tell)


def loop(n: int, **fields: Any) -> Plan:
    return plan_of({"loop": {"name": "main", "body": "work", "aggregate": {"strategy": "list"}, **fields}}, WORK)


def one_by_one(n: int) -> Plan:
    return loop(n, items=list(range(n)))


def at_once(n: int) -> Plan:
    return loop(n, items=list(range(n)), concurrency=0)


def a_few_at_once(n: int) -> Plan:
    return loop(n, items=list(range(n)), concurrency=7)


def until(n: int) -> Plan:
    return loop(n, repeatCondition="loop_iter.index >= 0", maxIterations=n)


def nested(n: int) -> Plan:
    """Many small dags inside of one loop."""
    body = {"dag": {"name": "body", "tasks": [task("a"), task("b", "a")]}}
    rounds = {"loop": {"name": "main", "body": "body", "items": list(range(n)), "concurrency": 3}}
    return plan_of(rounds, body, WORK)


def opened_at_once(n: int) -> Plan:
    """Many small dags, all opened before the first task of one of them starts."""
    body = {"dag": {"name": "body", "tasks": [task("a"), task("b")]}}
    rounds = {"loop": {"name": "main", "body": "body", "items": list(range(n)), "concurrency": 0}}
    return plan_of(rounds, body, WORK)


SHAPES = [wide, chain, funnel, wired, one_by_one, at_once, a_few_at_once, until, nested, opened_at_once]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code", [0, 2])
def test_ten_times_the_tasks_are_ten_times_the_calls(shape: Callable[[int], Plan], code: int) -> None:
    small, big = shape(200), shape(2000)
    few = calls_of(lambda: drive(small, code))
    many = calls_of(lambda: drive(big, code))
    assert many < 10.5 * few


@pytest.mark.parametrize("shape", [wide, at_once, nested, opened_at_once])
def test_a_cancel_costs_what_it_ends(shape: Callable[[int], Plan]) -> None:
    small, big = shape(200), shape(2000)
    few = calls_of(lambda: drive(small, cancel_after=5))
    many = calls_of(lambda: drive(big, cancel_after=5))
    assert many < 10.5 * few


def test_the_laws_are_checked_without_a_walk_along_the_queue_for_each_container() -> None:
    machine = Machine(opened_at_once(300))
    machine.handle(e.Submitted(0, e.RunHeader("r", 0, None, {}, {}, 1), "test"))
    for _ in range(300 // START_LIMIT + 1):
        machine.handle(e.Continued(0, "test"))
    walks: list[int] = []

    class Queue(deque[Any]):
        def __iter__(self) -> Iterator[Any]:
            walks.append(len(self))
            return super().__iter__()

    state = machine.state
    state.ready = Queue(state.ready)
    check(state)
    assert len(state.ready) >= 300
    assert len(walks) < 5


def test_what_a_container_had_queued_further_down_does_not_start_after_its_end() -> None:
    items = list(range(START_LIMIT + 36))
    loops = [{"name": name, "body": "work", "items": items, "concurrency": 0} for name in ("stays", "late")]
    calls = [{"name": "first", "template": "stays"}, {"name": "second", "template": "late", "timeout": "1s"}]
    plan = plan_of({"dag": {"name": "main", "tasks": calls, "failFast": False}}, *({"loop": one} for one in loops), WORK)
    machine = Machine(plan)
    machine.handle(e.Submitted(0, e.RunHeader("r", 0, None, {}, {}, 1), "test"))
    state = machine.state
    late = state.find("main.second")
    assert late is not None
    machine.handle(e.TimerFired(1_000_000, late.id, e.TimerKind.TIMEOUT, 1_000_000, "test"))
    check(state)
    assert late.phase == "Timeout"
    assert {scope.path for scope, _ in state.waiting} == {"main.first"}
    again = restore(plan, snapshot(state))
    assert again.fingerprint() == state.fingerprint()
    for one in (machine, Machine(plan, again)):
        step = one.handle(e.Continued(1_000_000, "test"))
        made = [command for command in step.commands if isinstance(command, c.DispatchTask)]
        assert len(made) == 38  # 64 were made before: two loops and 62 tasks
        assert not one.state.ready
        assert not [command for command in step.commands if isinstance(command, c.Continue)]
        check(one.state)


def test_ten_thousand_in_a_chain_and_in_loops_without_recursion() -> None:
    plans = [chain(10_000), one_by_one(10_000), at_once(10_000), until(10_000)]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_depth() + 80)
    try:
        states = [drive(plan) for plan in plans]
    finally:
        sys.setrecursionlimit(limit)
    assert [len(state.nodes) for state in states] == [10_001] * 4
    assert {state.phase for state in states} == {"Succeeded"}


def test_a_hundred_thousand_in_one_dag() -> None:
    state = drive(wide(100_000))
    assert (state.phase, len(state.nodes), state.leaves_ended) == ("Succeeded", 100_001, 100_000)


def _depth() -> int:
    frame: FrameType | None = sys._getframe()
    depth = 0
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def test_a_node_has_no_dict_of_its_own() -> None:
    """It would be a second object a task for the collector: Python knows also the fields that nodes get later."""
    for node in drive(wide(200)).nodes:
        assert not any(isinstance(one, dict) and "created_at" in one for one in gc.get_referents(node)), node.path
