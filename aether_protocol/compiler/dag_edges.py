"""Dependencies between the tasks of each dag, and nesting between templates (SPEC-11, SPEC-12, SCHED-2).

Law: what is said about order and reach comes from graph.py, on integers; this file turns names into them and faults back
into names. A dag on whose graph something is wrong gives no follow-up faults.
"""

from __future__ import annotations

from msgspec import Struct

from aether_protocol.compiler import graph
from aether_protocol.compiler.findings import Finding, Findings, Near, Path
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Dag, Task
from aether_protocol.plan.model import Kind


class DagEdges(Struct):
    """The graph of one dag. `kept`: the tasks that its entrypoints leave in the run; None for all (SCHED-2)."""

    dependencies: list[tuple[int, ...]]
    dependents: list[list[int]]
    order: list[int]
    kept: list[bool] | None

    @property
    def sound(self) -> bool:
        """Without cycles."""
        return len(self.order) == len(self.dependencies)


def edges_of(symbol: Symbol, findings: Findings) -> DagEdges:
    """The graph of a dag, its faults reported: unknown dependencies and entrypoints, cycles."""
    dag = symbol.model
    assert isinstance(dag, Dag)
    dependencies = [
        _dependencies(symbol, position, task, findings) if task.dependencies else () for position, task in enumerate(dag.tasks)
    ]
    dependents = graph.reverse(dependencies)
    order = graph.topological(dependencies, dependents)
    for cycle in graph.cycles(dependencies, dependents, order):
        names = " -> ".join(dag.tasks[task].name for task in cycle)
        path = (*symbol.path, "tasks", cycle[0], "dependencies")
        fault = Finding("AE206", f"tasks wait for each other: {names}", "take away one of these dependencies")
        findings.add(symbol.unit.origin, path, fault)
    return DagEdges(dependencies, dependents, order, _kept(symbol, dag, dependents, findings))


def _dependencies(symbol: Symbol, position: int, task: Task, findings: Findings) -> tuple[int, ...]:
    known = symbol.tasks
    found: dict[int, None] = {}
    for index, name in enumerate(task.dependencies):
        other = known.get(name)
        if other is not None:
            found[other] = None
        elif not symbol.unit.origin.uncertain((*symbol.path, "tasks")):
            path = (*symbol.path, "tasks", position, "dependencies", index)
            fault = Finding("AE205", f"there is no task {name!r} in dag {symbol.name!r}", Near(name, known))
            findings.add(symbol.unit.origin, path, fault)
    return tuple(found)


def _kept(symbol: Symbol, dag: Dag, dependents: graph.Edges, findings: Findings) -> list[bool] | None:
    if dag.entrypoints is None:
        return None
    names = [dag.entrypoints] if isinstance(dag.entrypoints, str) else dag.entrypoints
    roots = []
    for index, name in enumerate(names):
        position = symbol.tasks.get(name)
        if position is not None:
            roots.append(position)
        elif not symbol.unit.origin.uncertain((*symbol.path, "tasks")):
            path: Path = (*symbol.path, "entrypoints")
            path = path if isinstance(dag.entrypoints, str) else (*path, index)
            fault = Finding("AE207", f"there is no task {name!r} in dag {symbol.name!r}", Near(name, symbol.tasks))
            findings.add(symbol.unit.origin, path, fault)
    return graph.downstream(dependents, roots)


# --- nesting --------------------------------------------------------------------------------------------------------


def check_nesting(symbols: list[Symbol], entry: Symbol | None, limit: int, findings: Findings) -> None:
    """SPEC-12: no template runs itself, and from `entry` at most `limit` dags and loops stand inside each other."""
    containers = [symbol for symbol in symbols if symbol.kind is not Kind.TASK]
    number = {id(symbol): index for index, symbol in enumerate(containers)}
    inside: list[list[int]] = []  # the containers that each container runs, each once
    for symbol in containers:
        targets = dict.fromkeys(number.get(id(site.target), -1) for site in symbol.sites)
        targets.pop(-1, None)
        inside.append(list(targets))
    around = graph.reverse(inside)
    order = graph.topological(inside, around)  # the innermost first
    if len(order) < len(containers):
        first = _Sites()
        for cycle in graph.cycles(around, inside, order):
            names = " -> ".join(containers[index].name for index in cycle)
            origin, path = first.site(containers[cycle[0]], containers[cycle[1]])
            fault = Finding("AE209", f"templates run each other without end: {names}", "a template may not run itself")
            findings.add(origin.unit.origin, path, fault)
        return
    if entry is not None and id(entry) in number:
        _check_depth(containers, inside, order[::-1], number[id(entry)], limit, findings)


def _check_depth(
    containers: list[Symbol], inside: list[list[int]], order: list[int], entry: int, limit: int, findings: Findings
) -> None:
    depth = {entry: 1}
    above: dict[int, int] = {}
    for index in order:
        if index not in depth:
            continue
        for inner in inside[index]:
            if depth[index] + 1 > depth.get(inner, 0):
                depth[inner] = depth[index] + 1
                above[inner] = index
    first = _Sites()
    for inner in order:
        if depth.get(inner) != limit + 1:
            continue
        chain = [inner]
        while chain[-1] in above:
            chain.append(above[chain[-1]])
        names = " -> ".join(containers[index].name for index in reversed(chain))
        owner, path = first.site(containers[above[inner]], containers[inner])
        fault = Finding(
            "AE208",
            f"{limit + 1} dags and loops stand inside each other: {names}; maxNestedDepth is {limit}",
            "raise spec.maxNestedDepth (at most 10) or nest less",
        )
        findings.add(owner.unit.origin, path, fault)


class _Sites:
    """The first call of each template in each container."""

    def __init__(self) -> None:
        self._known: dict[int, dict[int, Site]] = {}

    def site(self, owner: Symbol, target: Symbol) -> tuple[Symbol, Path]:
        """The first call of `target` in `owner`, as the path of the name that makes it."""
        known = self._known.get(id(owner))
        if known is None:
            known = self._known[id(owner)] = {}
            for site in owner.sites:
                known.setdefault(id(site.target), site)
        site = known[id(target)]
        if owner.kind is Kind.LOOP:
            return owner, (*site.path, "body")
        reference = "template" if isinstance(site.model, Task) and site.model.template is not None else "templateRef"
        return owner, (*site.path, reference)
