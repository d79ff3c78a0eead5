"""Build the step of one event: collect its facts and commands, and offer the few moves that all rules share.

Law: a rule changes the state by facts alone, and each is applied as it is recorded: by `emit`, or by one of the five shorter
ways that the package's docstring names. Hooks are requested here and fired by the machine after the rules, so that rules and
hooks do not call each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions import Expression, ExpressionError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent, PhaseConditions, Plan
from aether_protocol.scheduler.assignments import Assignments
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
    """The facts and commands of the step that is being made.

    `requested_hooks` are the hooks to fire: (event, scope or None for the workflow, trigger). `cause` is the number that the
    step will have, `epoch` that of its attempts.
    """

    def __init__(self, plan: Plan, state: RunState, epoch: int) -> None:
        self.plan = plan
        self.state = state
        self.epoch = epoch
        self.facts: list[Fact] = []
        self.commands: list[Command] = []
        self.requested_hooks: list[tuple[HookEvent, Node | None, Node | None]] = []
        self.refused: str | None = None
        self.cause = 0
        self.assignments = Assignments(plan, state, epoch)

    def emit(self, fact: Fact) -> None:
        """Record `fact` and apply it to the state."""
        self.facts.append(fact)
        APPLY[type(fact)](self.state, fact)

    def request_hook(self, event: HookEvent, scope: Node | None, trigger: Node | None) -> None:
        """Request the hook of `event`, where one is declared."""
        if event in (scope.call.hooks if scope is not None else self.plan.hooks):
            self.requested_hooks.append((event, scope, trigger))

    def report(self, node: Node, message: str) -> None:
        """Record a note for people about `node`; it changes nothing else."""
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
        """Give `node` its terminal phase, clear its timeout and request its hooks.

        The container above is not looked at: that is `containers.settle`. Outputs that are left out stay as they are.
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
        """Request the hook of the phase, then onExit; nothing for Skipped (HOOK-1)."""
        event = END_EVENTS.get(node.phase)
        if event is not None:
            self.request_hook(event, node, node)
            self.request_hook(HookEvent.ON_EXIT, node, node)

    def clear_timeout(self, node: Node) -> None:
        """Clear the timer of the node's own timeout."""
        self.commands.append(ClearTimer(node.id, TimerKind.TIMEOUT, self.cause))

    def stop(self, node: TaskNode) -> None:
        """Stop the current attempt: dispatched, or waiting for its backoff."""
        if node.phase is READY or node.phase is RUNNING:
            self.commands.append(StopTask(node.id, node.attempt, self.cause))
        elif node.phase is CREATED and node.backoff_due != NEVER:
            self.commands.append(ClearTimer(node.id, TimerKind.BACKOFF, self.cause))

    def refresh(self, scope: Container | None) -> None:
        """Make a container Suspended when only suspended work is left in it, and Running again after that (SCHED-6)."""
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
        """Return the phase that `conditions` give in place of `phase` (SCHED-8).

        `succeeded`, then `failed`, then `error`: the first that is true wins; one that fails is reported and counts as false.
        """
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
