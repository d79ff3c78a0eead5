"""Results that do not count, as the machine takes them: the engine holds most of them back before, so cases cannot show it."""

from __future__ import annotations

import pytest

from aether_protocol.scheduler import events as e
from aether_protocol.scheduler.attempts import AttemptRef, TaskResult
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.nodes import TaskNode
from tests.unit.engine.plans import SECOND, dag, plan, retry, task

FAILED, ERROR = 2, 3


class Run:
    """A run of one task with two retries, each after a second."""

    def __init__(self) -> None:
        self.machine = Machine(plan(dag(task("a", "script", retry=retry(2)))))
        self.machine.handle(e.Submitted(0, e.RunHeader("run", 0, None, {}, {}, 0), "test"))

    @property
    def node(self) -> TaskNode:
        found = self.machine.state.find("main.a")
        assert isinstance(found, TaskNode)
        return found

    def finish(self, at: int, attempt: int, code: int = 0) -> e.TaskFinished:
        event = e.TaskFinished(at, self.node.id, TaskResult(AttemptRef("run", "main.a", attempt), code), "test")
        self.machine.handle(event)
        return event

    def backoff_ends(self, at: int) -> None:
        self.machine.handle(e.TimerFired(at, self.node.id, e.TimerKind.BACKOFF, at, "test"))


@pytest.mark.rule("SCHED-12")
def test_a_result_of_an_earlier_or_later_attempt_changes_nothing() -> None:
    run = Run()
    run.finish(0, 1, ERROR)
    run.backoff_ends(SECOND)
    assert (run.node.attempt, run.node.phase) == (2, "Ready")
    before = run.machine.state.fingerprint()
    for attempt in (1, 3, 0):
        run.finish(SECOND, attempt)
        assert (run.node.attempt, run.node.phase, run.node.retries) == (2, "Ready", 1), attempt
    assert run.machine.state.fingerprint()["nodes"] == before["nodes"]
    run.finish(SECOND, 2)
    assert run.node.phase == "Succeeded"


@pytest.mark.rule("SCHED-12")
def test_a_result_between_two_attempts_changes_nothing() -> None:
    run = Run()
    run.finish(0, 1, ERROR)
    waiting = run.node.phase
    assert waiting not in ("Ready", "Running")
    run.finish(0, 1)
    assert (run.node.phase, run.node.retries) == (waiting, 1)
    run.backoff_ends(SECOND)
    assert (run.node.attempt, run.node.phase) == (2, "Ready")


@pytest.mark.rule("SCHED-12")
def test_a_result_after_the_end_changes_nothing() -> None:
    run = Run()
    run.finish(0, 1)
    assert run.node.phase == "Succeeded"
    run.finish(SECOND, 1, FAILED)
    assert (run.node.phase, run.node.ended_at) == ("Succeeded", 0)
    assert run.machine.state.phase == "Succeeded"
