"""Hooks (HOOK-1..3): when asked for, a hook's task template runs once, beside the task tree.

Law: a hook changes no phase and blocks nothing but the closing of the run. onExit is the last hook of its scope and is fired
once: when the scope has ended, no other hook of it is asked for, and none of them is live. So it is fired either with the end
of the scope or with the end of the last of them; one that ends before its dispatch makes no difference.
"""

from __future__ import annotations

from collections import Counter

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent
from aether_protocol.scheduler import tasks
from aether_protocol.scheduler.binding import BindError, bind_inputs
from aether_protocol.scheduler.containers import decider
from aether_protocol.scheduler.facts import HookFired, InputsBound
from aether_protocol.scheduler.name_resolution import of_config
from aether_protocol.scheduler.nodes import HookNode, Node
from aether_protocol.scheduler.state import WORKFLOW
from aether_protocol.scheduler.step_builder import ENGINE_ERROR, StepBuilder
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.scheduler.transitions import ERROR, SKIPPED


def fire_requested(step: StepBuilder) -> None:
    """Fire the hooks that the rules asked for, in their order, and those that follow from their ends."""
    state = step.state
    while step.requested_hooks:
        requested, step.requested_hooks = step.requested_hooks, []
        others = Counter(_id(scope) for event, scope, _ in requested if event is not HookEvent.ON_EXIT)  # still to be fired
        for event, scope, trigger in requested:
            key = _id(scope)
            if event is not HookEvent.ON_EXIT:
                others[key] -= 1
            elif key in state.exits or others[key] or state.hooks_live.get(key):
                continue  # it was fired, or the last of the others asks for it when it ends
            _fire(step, event, scope, trigger)


def ended(step: StepBuilder, hook: HookNode) -> None:
    """A hook's run has ended: onExit of its scope may be due now."""
    scope = hook.scope
    key = _id(scope)
    state = step.state
    if state.hooks_live.get(key) or key in state.exits:
        return
    node = scope if scope is not None else state.root
    if node is not None and node.ended_at is not None and node.phase is not SKIPPED:
        step.request_hook(HookEvent.ON_EXIT, scope, scope if scope is not None else decider(node))


def _id(scope: Node | None) -> int:
    return scope.id if scope is not None else WORKFLOW


def _fire(step: StepBuilder, event: HookEvent, scope: Node | None, trigger: Node | None) -> None:
    state = step.state
    context = _context(step, event, scope, trigger)
    id_ = len(state.nodes)
    step.emit(HookFired(id_, event, _id(scope), trigger.id if trigger is not None else -1, context))
    node = state.nodes[id_]
    assert isinstance(node, HookNode)
    call = node.call
    resolver = of_config(state, node)
    try:
        bound = bind_inputs(resolver, call.inputs, call.artifacts)
    except BindError as error:
        step.end(node, ERROR, ENGINE_ERROR, str(error))
        ended(step, node)
        return
    if bound.inputs or bound.artifacts:
        step.emit(InputsBound(id_, bound.inputs, bound.refs, bound.artifacts, bound.secret))
    tasks.dispatch(step, node)
    if node.ended_at is not None:
        ended(step, node)


def _context(step: StepBuilder, event: HookEvent, scope: Node | None, trigger: Node | None) -> dict[str, Json]:
    """The `hook.*` names that are fixed when the hook fires (HOOK-2); parameters and outputs are read from the run."""
    state = step.state
    duration = (state.now - state.header.created_at) / SECOND
    return {
        "event": str(event),
        "scope": "workflow" if scope is None else "task",
        "workflow": {
            "name": step.plan.name,
            "id": state.header.run_id,
            "phase": str(state.phase),
            "duration": int(duration) if duration.is_integer() else duration,
        },
        "trigger": {
            "node": trigger.path if trigger is not None else "",
            "phase": str(trigger.phase) if trigger is not None else "",
            "code": trigger.code if trigger is not None else "",
            "msg": trigger.message if trigger is not None else "",
        },
    }
