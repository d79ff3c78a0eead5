"""Attempts that are lost with their engine: which losses count, and what the tenth in a row is."""

from __future__ import annotations

import pytest
from msgspec.structs import force_setattr

from aether_protocol.scheduler import events as e
from aether_protocol.scheduler.commands import DispatchTask
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.outstanding import suspects, under_way
from tests.unit.engine.plans import dag, plan, retry, task


class Run:
    """A run of some tasks side by side; the attempts are ours to start, end and lose."""

    def __init__(self, *names: str, type_: str = "script") -> None:
        self.machine = Machine(plan(dag(*(task(name, type_, retry=retry(3)) for name in names))))
        self.handle(e.Submitted(0, e.RunHeader("run", 0, None, {}, {}, 0), "test"))

    def handle(self, event: e.Event) -> list[tuple[str, int]]:
        """What it hands over."""
        made = self.machine.handle(event).commands
        return [(one.assignment.path, one.assignment.attempt) for one in made if isinstance(one, DispatchTask)]

    def node(self, name: str) -> TaskNode:
        found = self.machine.state.find(f"main.{name}")
        assert isinstance(found, TaskNode)
        return found

    def start(self, name: str) -> None:
        self.handle(e.TaskStarted(0, self.node(name).id, 1, "test"))

    def end(self, name: str) -> None:
        self.handle(e.TaskFinished(0, self.node(name).id, 1, 0, "", {}, {}, "test"))

    def lose_the_engine(self) -> None:
        out = under_way(self.machine.state)
        blamed = suspects(self.machine.state, out)
        for node in out:
            given = self.handle(e.AttemptLost(0, node.id, node.attempt, "test", node in blamed))
            assert given in ([], [(node.path, 1)]), "under the same number"


@pytest.mark.rule("SCHED-9")
def test_the_tenth_loss_of_what_had_begun_is_an_error_and_no_retry() -> None:
    run = Run("a", "b")
    for _ in range(9):
        run.start("a")
        run.lose_the_engine()
    assert (run.node("a").losses, run.node("a").phase, run.node("b").losses) == (9, "Ready", 0)
    run.start("a")
    run.lose_the_engine()
    assert (run.node("a").phase, run.node("a").retries) == ("Error", 0)
    assert run.node("a").message == "attempt 1 was lost 10 times in a row"
    assert run.node("b").phase == "Ready"


@pytest.mark.rule("SCHED-9")
def test_where_nothing_had_begun_all_are_suspected() -> None:
    run = Run("a", "b")
    for _ in range(10):
        run.lose_the_engine()
    assert [run.node(name).phase for name in "ab"] == ["Error", "Error"]


@pytest.mark.rule("SCHED-9")
def test_as_long_as_others_end_meanwhile_nobody_is_suspected_that_had_not_begun() -> None:
    names = [f"t{number}" for number in range(30)]
    run = Run(*names)
    for name in names:
        run.lose_the_engine()
        run.end(name)
    assert {run.node(name).phase for name in names} == {"Succeeded"}


@pytest.mark.rule("SCHED-9")
def test_a_new_attempt_begins_to_count_anew() -> None:
    run = Run("a", "b")
    for _ in range(9):
        run.start("a")
        run.lose_the_engine()
    node = run.node("a")
    run.handle(e.TaskFinished(0, node.id, 1, 3, "", {}, {}, "test"))
    due = node.backoff_due
    if due >= 0:
        run.handle(e.TimerFired(due, node.id, e.TimerKind.BACKOFF, due, "test"))
    assert (node.attempt, node.losses, node.phase) == (2, 0, "Ready")


@pytest.mark.rule("SCHED-9", "EXEC-2")
@pytest.mark.parametrize("type_", ["sleep", "await", "noop", "echo", "fail"])
@pytest.mark.parametrize("begun", [True, False])
def test_what_cannot_end_a_process_is_never_blamed(type_: str, begun: bool) -> None:
    run = Run("a", "b", type_=type_)
    for _ in range(30):
        if begun:
            run.start("a")
        run.lose_the_engine()
    assert [(run.node(name).phase, run.node(name).losses) for name in "ab"] == [("Ready", 0), ("Ready", 0)]


@pytest.mark.rule("SCHED-9")
def test_beside_a_sleep_that_has_begun_what_only_waits_for_its_turn_is_not_blamed() -> None:
    run = Run("a", "b")
    force_setattr(run.node("a").target, "executor_type", "sleep")
    for _ in range(30):
        run.start("a")
        run.lose_the_engine()
    assert [(run.node(name).phase, run.node(name).losses) for name in "ab"] == [("Ready", 0), ("Ready", 0)]
