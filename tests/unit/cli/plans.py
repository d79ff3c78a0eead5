"""Small plans made by hand, for renderers that must not depend on the compiler."""

from __future__ import annotations

from aether_protocol.expressions import parse_expression, parse_template
from aether_protocol.plan.model import Call, DagDef, Definition, Kind, LoopDef, Plan, Retry, TaskDef


def task(
    name: str,
    at: int = 0,
    after: tuple[int, ...] = (),
    when: str | None = None,
    retry: int = 0,
    *,
    what: str = "script",
    **config: str,
) -> Call:
    names = frozenset({("workflow", "parameters", "version")})
    target = TaskDef(name, what, parse_template(dict(config), names), False, (), (), None, None)
    condition = parse_expression(when) if when else None
    return Call(
        name, at, Kind.TASK, target, dependencies=after, when=condition, retry=Retry(retry) if retry else None
    )


def dag(name: str, *tasks: Call, at: int = 0, after: tuple[int, ...] = ()) -> Call:
    dependents: list[list[int]] = [[] for _ in tasks]
    for call in tasks:
        for before in call.dependencies:
            dependents[before].append(call.position)
    target: Definition = DagDef(
        name=name,
        tasks=tasks,
        index={call.name: index for index, call in enumerate(tasks)},
        indegree=tuple(len(call.dependencies) for call in tasks),
        dependents=tuple(map(tuple, dependents)),
        roots=tuple(call.position for call in tasks if not call.dependencies),
        outputs=(),
        artifacts=(),
        continue_on=None,
        leaves=sum(call.kind is Kind.TASK for call in tasks),
        library=None,
    )
    return Call(name, at, Kind.DAG, target, dependencies=after)


def loop(name: str, body: Call, items: list[int], at: int = 0, after: tuple[int, ...] = ()) -> Call:
    target = LoopDef(
        name, body, parse_template(items, frozenset()), None, None, 2, None, "list", None, (), (), None
    )
    return Call(name, at, Kind.LOOP, target, dependencies=after)


def plan(root: Call, name: str = "demo") -> Plan:
    return Plan(name, "default", None, {}, {}, root, (), 3_600_000_000, 500, {}, "0" * 64, {})


def everything() -> Plan:
    """A diamond, a nested dag, a loop over three, a long arrow, a condition and a retry."""
    build = dag("build", task("compile"), task("lint", 1), task("pack", 2, (0, 1)), at=1, after=(0,))
    batch = loop("batch", task("work", retry=2), [1, 2, 3], at=2, after=(0,))
    return plan(
        dag(
            "main",
            task("fetch"),
            build,
            batch,
            task("deploy", 3, (1, 2), when='inputs.parameters.env == "<prod>"'),
            task("report", 4, (3, 0)),
        )
    )
