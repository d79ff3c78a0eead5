"""Every expression, placeholder and name of the documents, each judged at its place (SPEC-13, SPEC-14, DATA-4, DATA-12).

Law: a text is judged where it stands; what only a call can tell is kept and judged for each call once all are known.
Texts of a template that nobody calls are judged as far as they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.checks.secrets import Secrets
from aether_protocol.compiler.dag_edges import DagEdges
from aether_protocol.compiler.findings import DID_YOU_MEAN, Finding, Findings, Origin, Path
from aether_protocol.compiler.graph import Ancestry
from aether_protocol.compiler.name_rules import MOST_RIVALS, Depends, Names, Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.strays import strays
from aether_protocol.compiler.symbols import At, Site, Symbol
from aether_protocol.documents.models import (
    Artifact,
    Dag,
    Loop,
    Parameter,
    PhaseConditionsSpec,
    RetrySpec,
    Task,
    ValueFrom,
)
from aether_protocol.expressions import ExpressionError, Name
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Kind

CONDITIONS: Final = ("succeeded", "failed", "error")
MOST_SHARED: Final = 10_000  # faults of order of one template in one dag that are looked at: far more than are told


class Mention(Struct):
    """A name, where it stands, and as what it was judged. `computes`: in an expression."""

    name: Name
    scope: Scope
    origin: Origin
    path: Path
    offset: int
    computes: bool


Reads = list[tuple[Depends, Mention]]  # of other tasks


class NameContext(Struct, frozen=True):
    """What else there is to know: the graphs of dags by id, which inputs are secrets, and whether `valueFrom.path` on an
    output of an executor type is a file (SPEC-6)."""

    wirings: Mapping[int, DagEdges]
    secrets: Secrets
    files: Callable[[str], bool]


class NameChecks:
    """Walks symbol by symbol; `finish` judges what had to wait."""

    def __init__(self, findings: Findings, texts: Texts, names: Names, context: NameContext) -> None:
        self.findings = findings
        self.secrets = context.secrets
        self.files = context.files
        self.texts = texts
        self.names = names
        self.wirings = context.wirings
        names.suggestions = findings.suggestions
        self._reads: Reads | None = None  # collects, where it is set, what is read of other tasks
        self._shared: dict[tuple[int, int], tuple[Symbol, list[int], Reads]] = {}  # what further tasks of a dag read, too
        self._alike: dict[tuple[int, bool], list[tuple[Site, list[int]]]] = {}  # callers of a symbol that see the same
        self._open: dict[int, tuple[Symbol, list[Mention]]] = {}  # what the callers of a symbol decide
        self._ancestries: dict[int, Ancestry] = {}
        self._asked: dict[int, tuple[Symbol, list[tuple[int, Depends, Mention]]]] = {}
        names.depends = lambda dag, task, other: self._ancestry(dag).direct(task, other)

    # --- texts ---

    def expression(self, text: str, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge a text that is an expression."""
        parsed = self.texts.expression(text)
        if isinstance(parsed, ExpressionError):
            self.findings.add(origin, path, Finding("AE301", f"{text[:80]!r}: {parsed.reason}", parsed.hint), parsed.offset)
            return
        for name, offset in zip(parsed.names, parsed.offsets, strict=True):
            self._name(Mention(name, scope, origin, path, offset, True))

    def template(self, value: Json, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge the placeholders in a value."""
        if not isinstance(value, str | list | dict) or (isinstance(value, str) and "{{" not in value):
            return
        parsed = self.texts.template(value)
        if isinstance(parsed, ExpressionError):
            self.findings.add(origin, (*path, *parsed.path), Finding("AE302", parsed.reason), parsed.offset)
            return
        for name, (below, offset) in zip(parsed.names, parsed.places, strict=True):
            if self._reads is not None or not self._fine(name, scope):
                self._name(Mention(name, scope, origin, (*path, *below), offset, False))
        for stray in strays(value, self.texts.namespaces):
            meant = self.texts.name(stray.name)
            fine = isinstance(meant, Name) and self.names.accepts(meant, scope)
            message = f"a placeholder of the unknown namespace {stray.root!r} is left as it stands"
            fault = Finding("AE912", message, f"{DID_YOU_MEAN}{stray.near!r}?" if fine else None)
            self.findings.add(origin, (*path, *stray.path), fault, stray.offset)

    def reference(self, text: str, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge a text that is one name (`valueFrom.parameter`, `from`)."""
        parsed = self.texts.name(text)
        if isinstance(parsed, ExpressionError):
            hint = "write the name without braces" if "{{" in text else None
            self.findings.add(origin, path, Finding("AE303", parsed.reason, hint), parsed.offset)
            return
        if self._reads is not None or not self._fine(parsed, scope):
            self._name(Mention(parsed, scope, origin, path, 0, False))

    def _fine(self, name: Name, scope: Scope) -> bool:
        """Whether a name is fine at a glance, as nearly all are: known, or of a direct dependency."""
        verdict = self.names.check(name, scope)
        if isinstance(verdict, Depends) and scope.dag is not None:
            return self._ancestry(scope.dag).direct(scope.position, verdict.other)
        return verdict is None

    def _ancestry(self, dag: Symbol) -> Ancestry:
        found = self._ancestries.get(id(dag))
        if found is None:
            wiring = self.wirings[id(dag)]
            found = self._ancestries[id(dag)] = Ancestry(wiring.dependencies, wiring.order)
        return found

    def _name(self, mention: Mention) -> None:
        """Judge one name."""
        scope = mention.scope
        verdict = self.names.check(mention.name, scope)
        if verdict is None:
            pass
        elif isinstance(verdict, Finding):
            self.findings.add(mention.origin, mention.path, verdict, mention.offset)
            return
        elif isinstance(verdict, Depends):
            assert scope.dag is not None
            asked = self._asked.setdefault(id(scope.dag), (scope.dag, []))
            asked[1].append((scope.position, verdict, mention))
            if self._reads is not None:
                self._reads.append((verdict, mention))
        else:
            owner = scope.loop or scope.inputs[0]
            self._open.setdefault(id(owner), (owner, []))[1].append(mention)
        if mention.computes and (fault := self.secrets.fault(mention.name, scope)) is not None:
            self.findings.add(mention.origin, mention.path, fault, mention.offset)

    # --- parts ---

    def value_from(self, given: ValueFrom, origin: Origin, path: Path, scope: Scope, *, file: bool = False) -> None:
        """Judge a `valueFrom`; `file`: its `path` names a file."""
        if given.parameter is not None:
            self.reference(given.parameter, origin, (*path, "parameter"), scope)
        elif given.expression is not None:
            self.expression(given.expression, origin, (*path, "expression"), scope)
        elif given.path is not None and not file:
            self.reference(given.path, origin, (*path, "path"), scope)

    def parameters(self, entries: list[Parameter], origin: Origin, path: Path, scope: Scope, *, file: bool = False) -> None:
        """Judge `value` and `valueFrom` of each entry of the list at `path`; `file`: its paths name files."""
        for index, entry in enumerate(entries):
            if entry.value is not None or entry.value_from is not None:
                self.parameter(entry, origin, (*path, index), scope, file=file)

    def parameter(self, entry: Parameter, origin: Origin, path: Path, scope: Scope, *, file: bool = False) -> None:
        """Judge the entry at `path`."""
        if entry.value is not None:
            self.template(entry.value, origin, (*path, "value"), scope)
        if entry.value_from is not None:
            self.value_from(entry.value_from, origin, (*path, "valueFrom"), scope, file=file)

    def artifacts(self, entries: list[Artifact], origin: Origin, path: Path, scope: Scope) -> None:
        """Judge `from` and `source.config` of each entry of the list at `path`."""
        for index, entry in enumerate(entries):
            self.artifact(entry, origin, (*path, index), scope)

    def artifact(self, entry: Artifact, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge the entry at `path`."""
        if entry.from_ is not None:
            self.reference(entry.from_, origin, (*path, "from"), scope)
        if entry.source is not None:
            self.template(entry.source.config, origin, (*path, "source", "config"), scope)

    def conditions(self, given: PhaseConditionsSpec | None, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge `phaseConditions` of the definition or call at `path`."""
        if given is not None:
            for field in CONDITIONS:
                text = getattr(given, field)
                if text is not None:
                    self.expression(text, origin, (*path, "phaseConditions", field), scope)

    def retry(self, given: RetrySpec | None, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge the expression of a `retry`."""
        if given is not None and given.expression is not None:
            self.expression(given.expression, origin, (*path, "retry", "expression"), scope)

    # --- symbols ---

    def symbol(self, symbol: Symbol) -> None:
        """Judge all texts of one definition, and of the calls that it makes."""
        model = symbol.model
        if isinstance(model, Dag):
            self._dag(symbol, model)
        elif isinstance(model, Loop):
            self._loop(symbol, model)
        else:
            scope = Scope(p.CONFIG, (symbol.unit,), (symbol,))
            own = Scope(p.OUTCOME, (symbol.unit,), (symbol,), ending=symbol)
            self._task(symbol, model, scope, own)

    def _task(self, symbol: Symbol, task: Task, config: Scope, own: Scope) -> None:
        origin, path = symbol.unit.origin, symbol.path
        if task.executor is not None and task.executor.config:
            self.template(task.executor.config, origin, (*path, "executor", "config"), config)
        if task.outputs is not None:
            unknown = origin.suppressed((*path, "executor", "type"))
            file = unknown or (task.executor is not None and self.files(task.executor.type))
            self.parameters(task.outputs.parameters, origin, (*path, "outputs", "parameters"), own, file=file)
        self.conditions(task.phase_conditions, origin, path, own)
        self.retry(task.retry, origin, path, own)

    def _declared(self, symbol: Symbol, scope: Scope) -> None:
        """The declared sources of a definition's inputs, as one call sees them."""
        given = symbol.model.inputs
        if given is not None:
            origin, path = symbol.unit.origin, (*symbol.path, "inputs")
            self.parameters(given.parameters, origin, (*path, "parameters"), scope)
            if given.artifacts:
                self.artifacts(given.artifacts, origin, (*path, "artifacts"), scope)

    def _dag(self, symbol: Symbol, dag: Dag) -> None:
        origin, path, units = symbol.unit.origin, symbol.path, (symbol.unit,)
        for site in symbol.sites:
            self._call(symbol, site)
        if dag.outputs is not None:
            scope = Scope(p.DAG_OUTPUTS, units, (symbol,), symbol)
            self.parameters(dag.outputs.parameters, origin, (*path, "outputs", "parameters"), scope)
            self.artifacts(dag.outputs.artifacts, origin, (*path, "outputs", "artifacts"), scope)
        if dag.phase_conditions is not None:
            self.conditions(dag.phase_conditions, origin, path, container_scope(symbol))

    def _call(self, dag: Symbol, site: Site) -> None:
        task, origin, path, target = site.model, site.unit.origin, site.path, site.target
        assert isinstance(task, Task)
        units = (dag.unit,) if target is None or target.unit is dag.unit else (dag.unit, target.unit)
        scope = Scope(p.CALL, units, (dag,), dag, site.position)
        if task.when is not None:
            self.expression(task.when, origin, (*path, "when"), scope)
        if task.arguments is not None:
            self.parameters(task.arguments.parameters, origin, (*path, "arguments", "parameters"), scope)
            if task.arguments.artifacts:
                self.artifacts(task.arguments.artifacts, origin, (*path, "arguments", "artifacts"), scope)
        if target is None:
            return
        if not target.inline:
            if task.phase_conditions is not None or (task.retry is not None and target.kind is Kind.TASK):
                own = outcome_scope(target, site) if target.kind is Kind.TASK else container_scope(target)
                self.conditions(task.phase_conditions, origin, path, own)
                self.retry(task.retry if target.kind is Kind.TASK else None, origin, path, own)
            return
        self._declared(target, scope)
        both = (target, dag)
        config = Scope(p.INLINE_CONFIG, units, both, dag, site.position)
        own = Scope(p.INLINE_OUTCOME, units, both, dag, site.position, own=site.name, ending=target)
        self._task(target, task, config, own)

    def _loop(self, symbol: Symbol, loop: Loop) -> None:
        origin, path, units = symbol.unit.origin, symbol.path, (symbol.unit,)
        items = Scope(p.ITEMS, units, (symbol,), loop=symbol)
        if loop.items is not None:
            self.template(loop.items, origin, (*path, "items"), items)
        if loop.items_from is not None:
            template = self.texts.template(loop.items_from)
            if not isinstance(template, ExpressionError) and template.sole is not None:
                self.template(loop.items_from, origin, (*path, "itemsFrom"), items)
            else:
                self.expression(loop.items_from, origin, (*path, "itemsFrom"), items)
        if loop.repeat_condition is not None:
            scope = Scope(p.REPEAT, units, (symbol,), loop=symbol)
            self.expression(loop.repeat_condition, origin, (*path, "repeatCondition"), scope)
        if loop.arguments is not None:
            scope = body_scope(symbol)
            self.parameters(loop.arguments.parameters, origin, (*path, "arguments", "parameters"), scope)
            self.artifacts(loop.arguments.artifacts, origin, (*path, "arguments", "artifacts"), scope)
        if loop.outputs is not None:
            self._loop_outputs(symbol, loop.outputs.parameters)
        if loop.phase_conditions is not None:
            self.conditions(loop.phase_conditions, origin, path, container_scope(symbol))

    def _loop_outputs(self, symbol: Symbol, entries: list[Parameter]) -> None:
        """`parameter: P` is an aggregated parameter by its bare name (LOOP-6)."""
        scope = Scope(p.LOOP_OUTPUTS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)
        origin = symbol.unit.origin
        for index, entry in enumerate(entries):
            if entry.value_from is not None and entry.value_from.expression is not None:
                path = (*symbol.path, "outputs", "parameters", index, "valueFrom", "expression")
                self.expression(entry.value_from.expression, origin, path, scope)

    # --- calls ---

    def finish(self, symbols: list[Symbol]) -> None:
        """Judge what depends on the calls, then what depends on the dependencies between tasks."""
        for symbol in symbols:
            if symbol.model.inputs is not None:
                self._declared_by_callers(symbol)
        for symbol, mentions in self._open.values():
            for mention in mentions:
                self._judge(mention, symbol)
        for dag, asked in self._asked.values():
            if self.wirings[id(dag)].sound:
                self._judge_order(dag, asked)
        for dag, tasks, reads in self._shared.values():
            if self.wirings[id(dag)].sound:
                self._judge_shared(dag, tasks, reads)

    def _declared_by_callers(self, symbol: Symbol) -> None:
        """The declared sources as each caller sees them: calls of one dag see the same, and differ in what they depend on."""
        alike: dict[object, list[Scope]] = {}
        for site, scope in zip(symbol.callers, _rivals([call_scope(site, symbol) for site in symbol.callers]), strict=True):
            alike.setdefault((id(site.owner), site.at, self._kept(scope.dag, scope.position)), []).append(scope)
        for first, *more in alike.values():
            self._judge_alike(first, [scope.position for scope in more], lambda scope: self._declared(symbol, scope))

    def _kept(self, dag: Symbol | None, position: int) -> bool:
        """Whether a task of a dag is a part of the run (SCHED-2)."""
        kept = self.names.excluded.get(id(dag))
        return kept is None or position < 0 or kept[position]

    def _judge_alike(self, scope: Scope, others: list[int], judge: Callable[[Scope], None]) -> None:
        """Judge for one caller; `others` are the tasks of its dag that see the same and differ in what they depend on, which is
        asked for all at once."""
        self._reads = []
        judge(scope)
        if self._reads and others and scope.dag is not None:
            shared = self._shared.setdefault((id(scope.dag), id(others)), (scope.dag, others, []))
            shared[2].extend(self._reads)
        self._reads = None

    def _judge(self, mention: Mention, symbol: Symbol) -> None:
        """A mention that was deferred, as each caller makes it."""
        if mention.name.root == "hook":
            for site in symbol.callers:
                self._judge_hook(mention, site, symbol)
            return

        def scope_of(site: Site) -> Scope:
            dag, position = _dag_of(site, symbol)
            return replace(mention.scope, called=True, own=site.name, dag=dag, position=position)

        rivals = tuple(map(scope_of, symbol.callers[: MOST_RIVALS + 1]))
        for site, others in self._callers(symbol, p.SELF in mention.scope.place.more):
            scope = scope_of(site)
            scope.rivals = rivals if len(rivals) > 1 else scope.rivals
            self._judge_alike(scope, others, lambda scope: self._name(replace(mention, scope=scope)))

    def _callers(self, symbol: Symbol, by_name: bool) -> list[tuple[Site, list[int]]]:
        """The first of the callers that see the same, with the positions of the others. `by_name`: their own names count."""
        found = self._alike.get((id(symbol), by_name))
        if found is None:
            places: dict[object, tuple[Site, list[int]]] = {}
            for site in symbol.callers:
                dag, position = _dag_of(site, symbol)
                place = (id(dag), self._kept(dag, position), site.name if by_name else None)
                if place in places:
                    places[place][1].append(position)
                else:
                    places[place] = (site, [])
            found = self._alike[id(symbol), by_name] = list(places.values())
        return found

    def _judge_hook(self, mention: Mention, site: Site, symbol: Symbol) -> None:
        if site.at is not At.HOOK:
            caller = f"{site.owner.name!r}" if site.owner is not None else "the entrypoint"
            message = f"{mention.name.text!r} is used outside of a hook: template {symbol.name!r} is called by {caller}"
            fault = Finding("AE303", message, "hook.* is seen in the run of a hook alone")
            self.findings.add(mention.origin, mention.path, fault, mention.offset)

    def _judge_order(self, dag: Symbol, asked: list[tuple[int, Depends, Mention]]) -> None:
        """SPEC-13: a task may read the outputs of those that it depends on."""
        no = self._ancestry(dag).not_above((task, depends.other) for task, depends, _ in asked)
        for task, depends, mention in asked:
            if (task, depends.other) in no:
                self._tell_order(dag, task, depends, mention)

    def _judge_shared(self, dag: Symbol, tasks: list[int], reads: Reads) -> None:
        """`_judge_order` where each of `tasks` makes the same mentions. Of very many faults the first are enough."""
        mentions: dict[int, Reads] = {}
        for depends, mention in reads:
            mentions.setdefault(depends.other, []).append((depends, mention))
        for task, other in islice(self._ancestry(dag).missing(tasks, mentions), MOST_SHARED):
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


def _rivals(scopes: list[Scope]) -> list[Scope]:
    """Scopes that are one place as several callers make it: each knows all of them."""
    for scope in scopes if len(scopes) > 1 else ():
        scope.rivals = tuple(scopes) if len(scopes) <= MOST_RIVALS else tuple(scopes[: MOST_RIVALS + 1])
    return scopes


def _dag_of(site: Site, symbol: Symbol) -> tuple[Symbol | None, int]:
    """The dag whose tasks a loop sees by way of this call, and the position of the call in it."""
    if site.at is At.DAG and symbol.kind is Kind.LOOP:
        return site.owner, site.position
    return None, -1


def container_scope(symbol: Symbol) -> Scope:
    """The conditions of a dag or a loop (SCHED-8)."""
    if symbol.kind is Kind.DAG:
        return Scope(p.DAG_CONDITIONS, (symbol.unit,), (symbol,), symbol, ending=symbol)
    return Scope(p.LOOP_CONDITIONS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)


def outcome_scope(target: Symbol, site: Site) -> Scope:
    """The conditions that a call of a task template sets."""
    return Scope(p.OUTCOME, (target.unit,), (target,), own=site.name, ending=target, called=True)


def body_scope(loop: Symbol) -> Scope:
    """The arguments of a loop and the declared sources of its body."""
    body = loop.sites[0].target
    units = (loop.unit,) if body is None or body.unit is loop.unit else (loop.unit, body.unit)
    return Scope(p.BODY_CALL, units, (loop,), loop=loop)


def call_scope(site: Site, target: Symbol) -> Scope:
    """What the declared sources of `target`'s inputs see, called by `site` (DATA-4)."""
    owner = site.owner
    if site.at is At.DAG and owner is not None:
        units = (owner.unit,) if owner.unit is target.unit else (owner.unit, target.unit)
        return Scope(p.CALL, units, (owner,), owner, site.position)
    if site.at is At.LOOP and owner is not None:
        return body_scope(owner)
    return Scope(p.HOOK_CALL if site.at is At.HOOK else p.ROOT_CALL, (target.unit,), called=True)
