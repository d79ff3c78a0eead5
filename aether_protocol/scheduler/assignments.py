"""What attempts are given (WIRE-1): makes the assignments of one run.

Law: what the attempts in one container have in common is made once, and copied: a copy of which five fields are set costs a
third of a call with all of them.
"""

from __future__ import annotations

from typing import Any, Final

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, Kind, Plan
from aether_protocol.plan.placement import EffectivePlacement, Placements
from aether_protocol.scheduler.attempts import AttemptRef, TaskAssignment
from aether_protocol.scheduler.nodes import NO_VALUES, Container, HookNode, TaskNode
from aether_protocol.scheduler.state import RunState

_NONE: Final[Any] = object()  # no container, and not the place above the root either


class Assignments:
    """Knows the container that it made an assignment for last: those of one container come one after the other, as a rule."""

    __slots__ = (
        "_around",
        "_epoch",
        "_path",
        "_placements",
        "_plan",
        "_rank",
        "_repeats",
        "_run_id",
        "_scope",
        "_shared",
        "_state",
    )

    def __init__(self, plan: Plan, state: RunState, epoch: int) -> None:
        self._plan = plan
        self._state = state
        self._epoch = epoch
        self._run_id = ""
        self._scope: Container | None = _NONE
        self._shared: Any = None  # what they have in common there
        self._path = ""  # what their paths begin with, as `TaskNode.run_path` makes them
        self._rank: tuple[int, ...] = ()  # and their ranks, as `TaskNode.position` does
        self._repeats = False  # it is a loop
        self._placements = Placements(plan)
        self._around = self._placements.workflow  # what the container asks of workers

    def first(self, node: TaskNode, config: Json) -> TaskAssignment:
        """Make the assignment of a leaf as if nothing were bound to it and nothing had happened to it: inputs, artifacts,
        payloads and retries are the caller's to set."""
        scope = node.parent
        if scope is not self._scope:
            self._enter(scope)
        call = node.call
        made: TaskAssignment = self._shared.__copy__()  # what `copy.copy` calls, at a fifth of its cost
        around = self._around
        if scope is None:
            path = node.run_path
            made.rank = node.position
            if type(node) is HookNode:
                made.hook = node.hook
                made.deadline_us = None
                around = self._around_hook(node)
                made.placement = around.placement
        else:
            path = f"{self._path}[{node.index}]" if self._repeats else self._path + call.name
            made.rank = (*self._rank, node.index)
        made.ref = AttemptRef(self._run_id, path, node.attempt, self._epoch)
        made.call = call
        made.target = call.target  # type: ignore[assignment]
        made.config = config
        if call.extensions is not None:
            made.placement = self._placements.under(around, call).placement
        return made

    def _enter(self, scope: Container | None) -> None:
        plan, header = self._plan, self._state.header
        root: Any = plan.root
        self._scope, self._run_id = scope, header.run_id
        if scope is not None:
            self._repeats = scope.call.kind is Kind.LOOP
            self._path = scope.path if self._repeats else f"{scope.path}."
            self._rank = (0, *scope.order)
        self._around = self._placement_within(scope)
        self._shared = TaskAssignment(
            ref=AttemptRef(header.run_id, "", 0),
            rank=(),
            call=root,
            target=root.target,
            retry_count=0,
            config=None,
            inputs=NO_VALUES,
            artifacts=NO_VALUES,
            payloads=(),
            priority=plan.priority,
            deadline_us=scope.deadline if scope is not None else self._state.deadline,
            secret=False,
            hook=None,
            folder=header.folder,
            trace_context=header.trace_context,
            namespace=plan.namespace,
            placement=self._around.placement,
        )

    def _placement_within(self, scope: Container | None) -> EffectivePlacement:
        """What all around the children of a container ask of workers; None: around the root."""
        calls: list[Call] = []
        while scope is not None:
            if scope.call.extensions is not None:
                calls.append(scope.call)
            scope = scope.parent
        around = self._placements.workflow
        for call in reversed(calls):
            around = self._placements.under(around, call)
        return around

    def _around_hook(self, hook: HookNode) -> EffectivePlacement:
        """What is around its task run: what a task asks for itself, its hooks do not."""
        return self._placement_within(hook.scope.parent if hook.scope is not None else None)
