"""The order of tasks that read each other: what a task reads has to be above it in its dag (SPEC-13).

Law: names are judged elsewhere; what they say of other tasks is collected here and judged once all calls are known, for each
dag at once. Where many tasks make the same mentions these are looked at together.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from aether_protocol.compiler.dag_edges import DagEdges
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.graph import Ancestry
from aether_protocol.compiler.name_rules import Depends, Scope
from aether_protocol.compiler.symbols import Symbol
from aether_protocol.expressions import Name

MOST_SHARED: Final = 10_000  # faults of order of one template in one dag that are looked at: far more than are reported


class Mention(Struct):
    """A name, where it stands, and as what it was judged. `computes`: in an expression."""

    name: Name
    scope: Scope
    origin: Origin
    path: Path
    offset: int
    computes: bool


Reads = list[tuple[Depends, Mention]]  # of other tasks


class OrderChecks:
    """Collects who reads whom; `finish` judges it. `wirings` are the graphs of dags by id."""

    def __init__(self, findings: Findings, wirings: Mapping[int, DagEdges]) -> None:
        self.findings = findings
        self.wirings = wirings
        self._ancestries: dict[int, Ancestry] = {}
        self._asked: dict[int, tuple[Symbol, list[tuple[int, Depends, Mention]]]] = {}
        self._shared: dict[tuple[int, int], tuple[Symbol, list[int], Reads]] = {}  # what further tasks of a dag read, too

    def ancestry(self, dag: Symbol) -> Ancestry:
        """The graph of a dag, to be asked what is above what."""
        found = self._ancestries.get(id(dag))
        if found is None:
            wiring = self.wirings[id(dag)]
            found = self._ancestries[id(dag)] = Ancestry(wiring.dependencies, wiring.order)
        return found

    def direct(self, dag: Symbol, task: int, other: int) -> bool:
        """Whether a task of a dag lists the other one among its dependencies."""
        return self.ancestry(dag).direct(task, other)

    def ask(self, dag: Symbol, task: int, depends: Depends, mention: Mention) -> None:
        """Note that a task mentions another one of its dag."""
        self._asked.setdefault(id(dag), (dag, []))[1].append((task, depends, mention))

    def share(self, dag: Symbol, tasks: list[int], reads: Reads) -> None:
        """Note that each of `tasks`, which is the same list for all that is noted of them, mentions this, too."""
        self._shared.setdefault((id(dag), id(tasks)), (dag, tasks, []))[2].extend(reads)

    def finish(self) -> None:
        """Judge all that was noted, but in dags whose tasks wait for each other."""
        for dag, asked in self._asked.values():
            if self.wirings[id(dag)].sound:
                self._judge_order(dag, asked)
        for dag, tasks, reads in self._shared.values():
            if self.wirings[id(dag)].sound:
                self._judge_shared(dag, tasks, reads)

    def _judge_order(self, dag: Symbol, asked: list[tuple[int, Depends, Mention]]) -> None:
        """SPEC-13: a task may read the outputs of those that it depends on."""
        no = self.ancestry(dag).not_above((task, depends.other) for task, depends, _ in asked)
        for task, depends, mention in asked:
            if (task, depends.other) in no:
                self._tell_order(dag, task, depends, mention)

    def _judge_shared(self, dag: Symbol, tasks: list[int], reads: Reads) -> None:
        """`_judge_order` where each of `tasks` makes the same mentions. Of very many faults the first are enough."""
        mentions: dict[int, Reads] = {}
        for depends, mention in reads:
            mentions.setdefault(depends.other, []).append((depends, mention))
        for task, other in islice(self.ancestry(dag).missing(tasks, mentions), MOST_SHARED):
            for depends, mention in mentions[other]:
                self._tell_order(dag, task, depends, mention)

    def _tell_order(self, dag: Symbol, task: int, depends: Depends, mention: Mention) -> None:
        reader, other = dag.sites[task].name, dag.sites[depends.other].name
        hint = f"add {other!r} to the dependencies of {reader!r}"
        if task == depends.other:
            message = f"task {reader!r} reads itself before it has run ({mention.name.text!r})"
            fault = Finding("AE308", message, "it may in its retry, phaseConditions and outputs")
        elif not depends.outputs:
            message = f"task {reader!r} reads {mention.name.text!r} and does not depend on {other!r}"
            fault = Finding("AE908", message, f"it reads null until {other!r} has ended; {hint}")
        elif depends.other < task:
            message = f"task {reader!r} reads {mention.name.text!r} and does not depend on {other!r}"
            fault = Finding("AE908", message, f"it may start before {other!r} has ended; {hint}")
        else:
            message = f"task {reader!r} reads {mention.name.text!r} and does not depend on {other!r}"
            fault = Finding("AE308", message, hint)
        self.findings.add(mention.origin, mention.path, fault, mention.offset)
