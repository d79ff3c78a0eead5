"""One event's turn: the facts and commands that it leads to, and the few moves that all rules share.

Law: `emit` is the only way from a rule to the state, and each fact is applied as it is emitted. Hooks are asked for here
and fired by the machine when the rules have spoken, so rules and hooks do not call each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions import Expression, ExpressionError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent, PhaseConditions, Plan
from aether_protocol.scheduler.commands import ClearTimer, Command, StopTask
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.scheduler.evolve import APPLY, apply_node_ended
from aether_protocol.scheduler.facts import ContainerPhase, Fact, NodeEnded, Reported
from aether_protocol.scheduler.name_resolution import Resolver
from aether_protocol.scheduler.nodes import NEVER, Container, Node, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import (
    CANCELLED,
    CREATED,
    ERROR,
    FAILED,
    READY,
    RUNNING,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    Phase,
)

ENGINE_ERROR: Final = 3  # the code of an Error that the engine gives
ENGINE_TIMEOUT: Final = 4

END_EVENTS: Final = {
    SUCCEEDED: HookEvent.ON_SUCCESS,
    FAILED: HookEvent.ON_FAILURE,
    ERROR: HookEvent.ON_ERROR,
    TIMEOUT: HookEvent.ON_ERROR,
    CANCELLED: HookEvent.ON_CANCEL,
}

Verdict = tuple[Phase, int | None, str]  # how a container ends: phase, code, message


class StepBuilder:
    """`wanted` are the hooks to fire: (event, scope or None for the workflow, trigger)."""

    def __init__(self, plan: Plan, state: RunState) -> None:
        self.plan = plan
        self.state = state
        self.facts: list[Fact] = []
        self.commands: list[Command] = []
        self.requested_hooks: list[tuple[HookEvent, Node | None, Node | None]] = []
        self.refused: str | None = None
        self.cause = 0  # the number of the step that is being made

    def emit(self, fact: Fact) -> None:
        self.facts.append(fact)
        APPLY[type(fact)](self.state, fact)

    def request_hook(self, event: HookEvent, scope: Node | None, trigger: Node | None) -> None:
        """Ask for a hook, where one is declared."""
        if event in (scope.call.hooks if scope is not None else self.plan.hooks):
            self.requested_hooks.append((event, scope, trigger))

    def report(self, node: Node, message: str) -> None:
        self.emit(Reported(node.id, message))

    def end(
        self,
        node: Node,
        phase: Phase,
        code: int | None,
        message: str,
        outputs: Mapping[str, Json] | None = None,
        artifacts: Mapping[str, Json] | None = None,
    ) -> None:
        """Give `node` its terminal phase: its timers go, a worker is told to stop, its hooks are asked for.

        The container above is not looked at: that is `container.settle`. Outputs left out stay as they are.
        """
        if node.timeout_due != NEVER:
            self.clear_timeout(node)
        if outputs is None:
            outputs, artifacts = node.outputs, node.artifacts
        fact = NodeEnded(node.id, phase, code, message, outputs, artifacts if artifacts is not None else {})
        self.facts.append(fact)
        apply_node_ended(self.state, fact)
        if node.call.hooks and node.hook is None:
            self.request_end_hooks(node)

    def request_end_hooks(self, node: Node) -> None:
        """HOOK-1: the hook of the phase, then onExit; nothing for Skipped."""
        event = END_EVENTS.get(node.phase)
        if event is not None:
            self.request_hook(event, node, node)
            self.request_hook(HookEvent.ON_EXIT, node, node)

    def clear_timeout(self, node: Node) -> None:
        self.commands.append(ClearTimer(node.id, TimerKind.TIMEOUT, self.cause))

    def stop(self, node: TaskNode) -> None:
        """Tell whoever has or awaits the current attempt that it is over."""
        if node.phase is READY or node.phase is RUNNING:
            self.commands.append(StopTask(node.id, node.attempt, self.cause))
        elif node.phase is CREATED and node.backoff_due != NEVER:
            self.commands.append(ClearTimer(node.id, TimerKind.BACKOFF, self.cause))

    def refresh(self, scope: Container | None) -> None:
        """SCHED-6: a container in which nothing but suspended work is left is Suspended, and Running again after that."""
        while scope is not None and scope.ended_at is None:
            stuck = scope.live > 0 and scope.suspended == scope.live and not scope.queued
            if stuck and scope.phase is not SUSPENDED:
                self.emit(ContainerPhase(scope.id, SUSPENDED))
                self.request_hook(HookEvent.ON_SUSPEND, scope, scope)
            elif not stuck and scope.phase is SUSPENDED:
                self.emit(ContainerPhase(scope.id, RUNNING))
                self.request_hook(HookEvent.ON_RESUME, scope, scope)
            else:
                return
            scope = scope.parent

    def override(self, node: Node, conditions: PhaseConditions | None, phase: Phase, resolver: Resolver) -> Phase:
        """SCHED-8: `succeeded`, then `failed`, then `error`; the first that is true wins; a failing one counts as false."""
        if conditions is None:
            return phase
        table: tuple[tuple[str, Expression | None, Phase], ...] = (
            ("succeeded", conditions.succeeded, SUCCEEDED),
            ("failed", conditions.failed, FAILED),
            ("error", conditions.error, ERROR),
        )
        for name, condition, given in table:
            if condition is None:
                continue
            try:
                if condition.condition(resolver):
                    return given
            except ExpressionError as error:
                self.report(node, f"phaseConditions.{name} {condition.text!r}: {error.reason}")
        return phase
