"""The plans that are measured: calls of one no-op task template, side by side or one after the other.

Compiling is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aether_protocol.expressions import NAMESPACES, parse_template
from aether_protocol.plan.model import Call, DagDef, HookEvent, Kind, Plan, TaskDef

HOUR_US = 3_600_000_000


def _plan(calls: list[Call], dependents: list[tuple[int, ...]]) -> Plan:
    target = DagDef(
        name="main",
        tasks=tuple(calls),
        index={call.name: call.position for call in calls},
        indegree=tuple(len(call.dependencies) for call in calls),
        dependents=tuple(dependents),
        roots=tuple(call.position for call in calls if not call.dependencies),
        outputs=(),
        artifacts=(),
        continue_on=None,
        leaves=len(calls),
        library=None,
    )
    root = Call("main", 0, Kind.DAG, target)
    return Plan("bench", "default", None, {}, {}, root, (), HOUR_US, 500, {}, "0" * 64, {})


NO_HOOKS: Mapping[HookEvent, Call] = MappingProxyType({})  # shared, as the compiler does
NOOP = TaskDef("noop-task", "noop", parse_template({}, NAMESPACES), False, (), (), None, None)


def _task(position: int, after: tuple[int, ...]) -> Call:
    return Call(f"t{position}", position, Kind.TASK, NOOP, dependencies=after, hooks=NO_HOOKS)


def fan_out(count: int) -> Plan:
    """`count` tasks without dependencies."""
    return _plan([_task(i, ()) for i in range(count)], [()] * count)


def chain(count: int) -> Plan:
    """`count` tasks, each after the one before."""
    calls = [_task(i, (i - 1,) if i else ()) for i in range(count)]
    return _plan(calls, [(i + 1,) if i + 1 < count else () for i in range(count)])
