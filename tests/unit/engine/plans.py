"""Small plans made by hand, so that the engine's tests depend on neither reader nor compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import force_setattr

from aether_protocol.expressions import NAMESPACES, parse_template
from aether_protocol.plan.model import (
    ArtifactBinding,
    ArtifactOutput,
    Call,
    DagDef,
    HookEvent,
    InputBinding,
    Kind,
    Literal,
    Plan,
    Retry,
    SecretRef,
    TaskDef,
)

SECOND = 1_000_000


def value(name: str, given: Any, type_: str = "any") -> InputBinding:
    return InputBinding(name, type_, True, (Literal(given),))


def secret(name: str, of: str, key: str) -> InputBinding:
    return InputBinding(name, "string", True, (SecretRef(of, key),))


def task(
    name: str,
    type_: str = "noop",
    config: Any = None,
    *inputs: InputBinding,
    after: tuple[int, ...] = (),
    keeps: tuple[ArtifactOutput, ...] = (),
    needs: tuple[ArtifactBinding, ...] = (),
    **call: Any,
) -> Call:
    """A call with an inline executor. `after` are positions; `timeout_us`, `retry`, `hooks` go to the call."""
    target = TaskDef(name, type_, parse_template(config or {}, NAMESPACES), True, (), keeps, None, None)
    return Call(name, 0, Kind.TASK, target, inputs=inputs, artifacts=needs, dependencies=after, **call)


def dag(*tasks: Call, name: str = "main", **call: Any) -> Call:
    placed = tuple(_at(one, position) for position, one in enumerate(tasks))
    dependents: list[list[int]] = [[] for _ in placed]
    for one in placed:
        for before in one.dependencies:
            dependents[before].append(one.position)
    target = DagDef(
        name=name,
        tasks=placed,
        index={one.name: one.position for one in placed},
        indegree=tuple(len(one.dependencies) for one in placed),
        dependents=tuple(map(tuple, dependents)),
        roots=tuple(one.position for one in placed if not one.dependencies),
        outputs=(),
        artifacts=(),
        continue_on=None,
        leaves=sum(one.kind is Kind.TASK for one in placed),
        library=None,
    )
    return Call(name, 0, Kind.DAG, target, **call)


def _at(call: Call, position: int) -> Call:
    force_setattr(call, "position", position)
    return call


def plan(
    root: Call,
    *,
    parameters: tuple[InputBinding, ...] = (),
    timeout_us: int = 3600 * SECOND,
    priority: int = 500,
    hooks: Mapping[HookEvent, Call] | None = None,
) -> Plan:
    return Plan("demo", "default", None, {}, {}, root, parameters, timeout_us, priority, hooks or {}, "0" * 64, {})


def retry(limit: int, seconds: int = 1) -> Retry:
    return Retry(limit, duration_us=seconds * SECOND)
