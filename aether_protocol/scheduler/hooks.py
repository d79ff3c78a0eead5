"""Hooks (HOOK-1..3): when asked for, a hook's task template runs once, beside the task tree.

Law: a hook changes no phase and blocks nothing but the closing of the run. onExit is the last hook of its scope and is fired
once: when the scope has ended, no other hook of it is asked for, and none of them is live. So it is fired either with the end
of the scope or with the end of the last of them; one that ends before its dispatch makes no difference.
"""

from __future__ import annotations

from collections import Counter

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent
from aether_protocol.scheduler import tasks as leaf
from aether_protocol.scheduler.binding import BindError, bind_inputs
from aether_protocol.scheduler.containers import decider
from aether_protocol.scheduler.facts import HookFired, InputsBound
from aether_protocol.scheduler.name_resolution import of_config
from aether_protocol.scheduler.nodes import HookNode, Node
from aether_protocol.scheduler.state import WORKFLOW
from aether_protocol.scheduler.step_builder import ENGINE_ERROR, StepBuilder
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.scheduler.transitions import ERROR, SKIPPED


def fire_wanted(turn: StepBuilder) -> None:
    """Fire the hooks that the rules asked for, in their order, and those that follow from their ends."""
    state = turn.state
    while turn.wanted:
        wanted, turn.wanted = turn.wanted, []
        others = Counter(_id(scope) for event, scope, _ in wanted if event is not HookEvent.ON_EXIT)  # still to be fired
        for event, scope, trigger in wanted:
            key = _id(scope)
            if event is not HookEvent.ON_EXIT:
                others[key] -= 1
            elif key in state.exits or others[key] or state.hooks_live.get(key):
                continue  # it was fired, or the last of the others asks for it when it ends
            _fire(turn, event, scope, trigger)


def ended(turn: StepBuilder, hook: HookNode) -> None:
    """A hook's run has ended: onExit of its scope may be due now."""
    scope = hook.scope
    key = _id(scope)
    state = turn.state
    if state.hooks_live.get(key) or key in state.exits:
        return
    node = scope if scope is not None else state.root
    if node is not None and node.ended_at is not None and node.phase is not SKIPPED:
        turn.want(HookEvent.ON_EXIT, scope, scope if scope is not None else decider(node))


def _id(scope: Node | None) -> int:
    return scope.id if scope is not None else WORKFLOW


def _fire(turn: StepBuilder, event: HookEvent, scope: Node | None, trigger: Node | None) -> None:
    state = turn.state
    context = _context(turn, event, scope, trigger)
    id_ = len(state.nodes)
    turn.emit(HookFired(id_, event, _id(scope), trigger.id if trigger is not None else -1, context))
    node = state.nodes[id_]
    assert isinstance(node, HookNode)
    call = node.call
    lookup = of_config(state, node)
    try:
        bound = bind_inputs(lookup, call.inputs, call.artifacts)
    except BindError as error:
        turn.end(node, ERROR, ENGINE_ERROR, str(error))
        ended(turn, node)
        return
    if bound.inputs or bound.artifacts:
        turn.emit(InputsBound(id_, bound.inputs, bound.refs, bound.artifacts, bound.secret))
    leaf.dispatch(turn, node)
    if node.ended_at is not None:
        ended(turn, node)


def _context(turn: StepBuilder, event: HookEvent, scope: Node | None, trigger: Node | None) -> dict[str, Json]:
    """The `hook.*` names that are fixed when the hook fires (HOOK-2); parameters and outputs are read from the run."""
    state = turn.state
    duration = (state.now - state.header.created_at) / SECOND
    return {
        "event": str(event),
        "scope": "workflow" if scope is None else "task",
        "workflow": {
            "name": turn.plan.name,
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
