"""Attempts that are lost: which losses count, and what the last blamed one is."""

from __future__ import annotations

import pytest

from aether_protocol.scheduler import events as e
from aether_protocol.scheduler.attempts import AttemptRef, TaskResult
from aether_protocol.scheduler.commands import DispatchTask, StopTask
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.nodes import TaskNode
from tests.unit.engine.plans import dag, plan, retry, task


class Run:
    """A run of some tasks side by side; the attempts are ours to start, end and lose."""

    def __init__(self, *names: str, type_: str = "script") -> None:
        self.machine = Machine(plan(dag(*(task(name, type_, retry=retry(3)) for name in names))))
        self.handle(e.Submitted(0, e.RunHeader("run", 0, None, {}, {}, 0), "test"))

    def handle(self, event: e.Event) -> list[tuple[str, int]]:
        """What it dispatches."""
        made = self.machine.handle(event).commands
        return [(one.assignment.path, one.assignment.attempt) for one in made if isinstance(one, DispatchTask)]

    def node(self, name: str) -> TaskNode:
        found = self.machine.state.find(f"main.{name}")
        assert isinstance(found, TaskNode)
        return found

    def start(self, name: str) -> None:
        self.handle(e.TaskStarted(0, self.node(name).id, 1, "test"))

    def lose(self, name: str, *, blamed: bool) -> list[tuple[str, int]]:
        node = self.node(name)
        return self.handle(e.AttemptLost(0, node.id, node.attempt, "test", blamed))


@pytest.mark.rule("SCHED-9", "RT-22")
@pytest.mark.parametrize("begun", [True, False])
def test_the_third_blamed_loss_is_an_error_and_no_retry(begun: bool) -> None:
    run = Run("a", "b")
    for number in range(1, 3):
        if begun:
            run.start("a")
        assert run.lose("a", blamed=True) == [("main.a", 1)], "under the same number"
        assert (run.node("a").losses, run.node("a").phase, run.node("b").losses) == (number, "Ready", 0)
    if begun:
        run.start("a")
    assert run.lose("a", blamed=True) == []
    assert (run.node("a").phase, run.node("a").code, run.node("a").retries) == ("Error", 3, 0)
    assert run.node("a").message == "its process died 3 times in a row"
    assert run.node("b").phase == "Ready"


@pytest.mark.rule("SCHED-9", "RT-22")
@pytest.mark.parametrize("type_", ["script", "sleep"])
@pytest.mark.parametrize("begun", [True, False])
def test_losses_without_blame_are_repeated_for_ever(type_: str, begun: bool) -> None:
    run = Run("a", "b", type_=type_)
    for _ in range(30):
        if begun:
            run.start("a")
        assert run.lose("a", blamed=False) == [("main.a", 1)]
    assert [(run.node(name).phase, run.node(name).losses) for name in "ab"] == [("Ready", 0), ("Ready", 0)]


@pytest.mark.rule("RT-22")
def test_losses_without_blame_do_not_end_the_row() -> None:
    run = Run("a")
    for _ in range(2):
        run.lose("a", blamed=True)
        run.lose("a", blamed=False)
    assert (run.node("a").phase, run.node("a").losses) == ("Ready", 2)
    run.lose("a", blamed=True)
    assert run.node("a").phase == "Error"


@pytest.mark.rule("SCHED-9", "RT-22")
def test_another_attempt_begins_to_count_anew() -> None:
    run = Run("a", "b")
    for _ in range(2):
        run.lose("a", blamed=True)
    node = run.node("a")
    run.handle(e.TaskFinished(0, node.id, TaskResult(AttemptRef("run", "main.a", 1), 3), "test"))
    run.handle(e.TimerFired(node.backoff_due, node.id, e.TimerKind.BACKOFF, node.backoff_due, "test"))
    assert (node.attempt, node.losses, node.phase) == (2, 0, "Ready")


@pytest.mark.rule("RT-22")
@pytest.mark.parametrize(
    ("most", "reason", "message"),
    [
        (1, "signal 9", "its process died once (signal 9)"),
        (2, "signal 11\none\ntwo", "its process died 2 times in a row (signal 11)\none\ntwo"),
        (5, "", "its process died 5 times in a row"),
    ],
)
def test_the_number_is_a_setting_and_the_message_has_the_last_lines(most: int, reason: str, message: str) -> None:
    run = Run("a", "b")
    for number in range(1, most + 1):
        assert run.node("a").phase == "Ready"
        node = run.node("a")
        made = run.machine.handle(e.AttemptLost(0, node.id, 1, "test", True, False, reason, most)).commands
        assert any(isinstance(one, StopTask) for one in made) is (number == most), "nothing is kept of it"
    assert (run.node("a").phase, run.node("a").message) == ("Error", message)
    assert run.node("b").phase == "Ready"


@pytest.mark.rule("RT-22")
def test_a_loss_without_blame_is_never_the_last_one_whatever_the_number_became() -> None:
    run = Run("a")
    run.lose("a", blamed=True)
    run.lose("a", blamed=True)
    node = run.node("a")
    run.handle(e.AttemptLost(0, node.id, 1, "test", False, False, "", 1))
    assert (node.phase, node.losses) == ("Ready", 2)
