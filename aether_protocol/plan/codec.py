"""A plan as JSON and back: what a durable run keeps, so that it goes on as it was submitted.

Law: `decode_plan(encode_plan(plan))` runs exactly as `plan` does, in this version and in later ones: fields are named or
stand at fixed positions, new ones are added with a default, and none changes its meaning. Templates, expressions and
definitions are written once each and referred to by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aether_protocol.errors import BrokenInvariant
from aether_protocol.expressions import NAMESPACES, Expression, Template, parse_expression, parse_name, parse_template
from aether_protocol.expressions.values import Json
from aether_protocol.plan import model as m

VERSION: Final = 1

# The letter of each kind of source in a record.
_LETTERS: Final[dict[type, str]] = {
    m.Literal: "L",
    m.Templated: "T",
    m.Reference: "R",
    m.Computed: "C",
    m.SecretRef: "S",
    m.ItemField: "I",
}


class _Writer:
    """Collects templates, expressions, libraries and definitions, each once by identity."""

    def __init__(self) -> None:
        self.templates: list[Json] = []
        self.expressions: list[str] = []
        self.libraries: list[Json] = []
        self.definitions: list[Json] = []
        self._held: dict[int, int] = {}

    def once(self, item: object, table: list[Any], make: Callable[[], Json]) -> int:
        index = self._held.get(id(item))
        if index is None:
            record = make()
            index = self._held[id(item)] = len(table)
            table.append(record)
        return index

    def template(self, template: Template | None) -> int | None:
        return None if template is None else self.once(template, self.templates, lambda: template.raw)

    def expression(self, expression: Expression | None) -> int | None:
        return None if expression is None else self.once(expression, self.expressions, lambda: expression.text)

    def library(self, library: m.Library | None) -> int | None:
        if library is None:
            return None
        given = library.parameters.values()
        return self.once(
            library, self.libraries, lambda: [library.name, library.namespace, [self.input(item) for item in given]]
        )

    def source(self, source: m.Source) -> Json:
        letter = _LETTERS[type(source)]
        if isinstance(source, m.Literal):
            return [letter, source.value]
        if isinstance(source, m.Templated):
            return [letter, self.template(source.template), source.optional]
        if isinstance(source, m.Reference):
            return [letter, source.name.text]
        if isinstance(source, m.Computed):
            return [letter, self.expression(source.expression)]
        if isinstance(source, m.SecretRef):
            return [letter, source.name, source.key]
        return [letter, source.field]

    def sources(self, sources: Sequence[m.Source]) -> Json:
        return [self.source(source) for source in sources]

    def input(self, item: m.InputBinding) -> Json:
        return [item.name, item.type, item.declared, self.sources(item.sources), _listed(item.enum)]

    def output(self, item: m.OutputBinding) -> Json:
        return [item.name, item.type, self.sources(item.sources), _listed(item.enum), item.file]

    def artifact_input(self, item: m.ArtifactBinding) -> Json:
        source = [item.source.type, self.template(item.source.config)] if item.source is not None else None
        from_ = item.from_.text if item.from_ is not None else None
        return [item.name, item.path, item.archive, from_, source, *([True] if item.optional else [])]

    def conditions(self, item: m.PhaseConditions) -> Json:
        return [self.expression(item.succeeded), self.expression(item.failed), self.expression(item.error)]

    def retry(self, item: m.Retry) -> Json:
        plain = [item.limit, item.duration_us, item.factor, item.max_us, item.jitter]
        return [*plain, self.expression(item.expression)]

    def call(self, call: m.Call) -> Json:
        """`[name, definition]`, and what differs from a bare call under its field's name."""
        more: dict[str, Json] = {}
        if call.inputs:
            more["inputs"] = [self.input(item) for item in call.inputs]
        if call.artifacts:
            more["artifacts"] = [self.artifact_input(item) for item in call.artifacts]
        if call.dependencies:
            more["dependencies"] = list(call.dependencies)
        if call.when is not None:
            more["when"] = self.expression(call.when)
        if call.continue_on is not None:
            more["continueOn"] = _flags(call.continue_on)
        if call.timeout_us is not None:
            more["timeout"] = call.timeout_us
        if call.retry is not None:
            more["retry"] = self.retry(call.retry)
        if call.phase_conditions is not None:
            more["phaseConditions"] = self.conditions(call.phase_conditions)
        if call.hooks:
            more["hooks"] = self.hooks(call.hooks)
        target = self._held.get(id(call.target))
        if target is None:
            target = self.once(call.target, self.definitions, lambda: self.definition(call.target))
        return [call.name, target, more] if more else [call.name, target]

    def hooks(self, hooks: Mapping[m.HookEvent, m.Call]) -> Json:
        return {str(event): self.call(call) for event, call in hooks.items()}

    def definition(self, target: m.Definition) -> Json:
        outputs = [self.output(item) for item in target.outputs]
        common = {"name": target.name, "outputs": outputs, "library": self.library(target.library)}
        if isinstance(target, m.TaskDef):
            resources = [target.resources.cpu, target.resources.memory, target.resources.gpu] if target.resources else None
            own = {"executor": target.executor_type, "config": self.template(target.config), "inline": target.inline}
            return {"kind": "task", **common, **own, "artifacts": _artifacts(target.artifacts), "resources": resources}
        if isinstance(target, m.DagDef):
            tolerates = _flags(target.continue_on) if target.continue_on is not None else None
            rest = {"continueOn": tolerates, "outside": sorted(target.outside), "artifacts": _artifacts(target.artifacts)}
            return {"kind": "dag", **common, "tasks": [self.call(call) for call in target.tasks], **rest}
        items_from = target.items_from
        return {
            "kind": "loop",
            **common,
            "body": self.call(target.body),
            "items": self.template(target.items),
            "itemsFrom": self.template(items_from) if isinstance(items_from, Template) else None,
            "itemsOf": self.expression(items_from) if isinstance(items_from, Expression) else None,
            "repeat": self.expression(target.repeat),
            "concurrency": target.concurrency,
            "maxIterations": target.max_iterations,
            "strategy": target.strategy,
            "parameters": _listed(target.parameters),
            "bodyOutputs": list(target.body_outputs),
        }


def _listed(items: Sequence[Any] | None) -> list[Any] | None:
    return None if items is None else list(items)


def _flags(item: m.ContinueOn) -> list[bool]:
    return [item.failed, item.error, item.timeout]


def _artifacts(items: Sequence[m.ArtifactOutput]) -> Json:
    return [[item.name, item.path, item.archive, item.from_.text if item.from_ is not None else None] for item in items]


def encode_plan(plan: m.Plan) -> Json:
    """`plan` as JSON values; shared with it, not copied."""
    writer = _Writer()
    root = writer.call(plan.root)
    hooks = writer.hooks(plan.hooks)
    parameters = [writer.input(item) for item in plan.parameters]
    return {
        "v": VERSION,
        "name": plan.name,
        "namespace": plan.namespace,
        "version": plan.version,
        "labels": dict(plan.labels),
        "annotations": dict(plan.annotations),
        "timeout": plan.timeout_us,
        "priority": plan.priority,
        "digest": plan.digest,
        "namespaces": sorted(plan.namespaces),
        "snapshot": plan.snapshot,
        "root": root,
        "hooks": hooks,
        "parameters": parameters,
        "templates": writer.templates,
        "expressions": writer.expressions,
        "libraries": writer.libraries,
        "definitions": writer.definitions,
    }


class _Reader:
    """The tables of a record; what they hold is parsed when it is first asked for."""

    def __init__(self, record: Json) -> None:
        self.record = record
        self.namespaces = NAMESPACES | frozenset(record["namespaces"])
        self._templates: dict[int, Template] = {}
        self._expressions: dict[int, Expression] = {}
        self._libraries: dict[int, m.Library] = {}
        self.definitions: list[m.Definition] = []
        for item in record["definitions"]:  # what a definition calls stands before it
            self.definitions.append(_DEFINITIONS[item["kind"]](self, item))

    def template(self, index: int | None) -> Template:
        assert index is not None
        if index not in self._templates:
            self._templates[index] = parse_template(self.record["templates"][index], self.namespaces)
        return self._templates[index]

    def expression(self, index: int | None) -> Expression:
        assert index is not None
        if index not in self._expressions:
            self._expressions[index] = parse_expression(self.record["expressions"][index], self.namespaces)
        return self._expressions[index]

    def maybe(self, index: int | None) -> Expression | None:
        return None if index is None else self.expression(index)

    def library(self, index: int | None) -> m.Library | None:
        if index is None:
            return None
        if index not in self._libraries:
            name, namespace, inputs = self.record["libraries"][index]
            self._libraries[index] = m.Library(name, namespace, {item[0]: self.input(item) for item in inputs})
        return self._libraries[index]

    def sources(self, items: Json) -> tuple[m.Source, ...]:
        return tuple(_SOURCES[item[0]](self, *item[1:]) for item in items)

    def input(self, item: Json) -> m.InputBinding:
        name, type_, declared, sources, enum = item
        return m.InputBinding(name, type_, declared, self.sources(sources), _tupled(enum))

    def output(self, item: Json) -> m.OutputBinding:
        name, type_, sources, enum, file = item
        return m.OutputBinding(name, type_, self.sources(sources), _tupled(enum), file)

    def outputs(self, item: Json) -> tuple[m.OutputBinding, ...]:
        return tuple(self.output(output) for output in item["outputs"])

    def artifact_input(self, item: Json) -> m.ArtifactBinding:
        name, path, archive, from_, source, *optional = item
        fetched = m.ArtifactSource(source[0], self.template(source[1])) if source is not None else None
        return m.ArtifactBinding(name, path, archive, parse_name(from_) if from_ is not None else None, fetched, bool(optional))

    def call(self, item: Json, position: int = 0) -> m.Call:
        target = self.definitions[item[1]]
        kind = _KINDS[type(target)]
        if len(item) == 2:  # the bare one, with everything where it belongs: by name it takes a fifth longer
            return m.Call(item[0], position, kind, target, (), (), (), None, None, None, None, None, _NO_HOOKS)
        given = {name: _CALL[name](self, value) for name, value in item[2].items()}
        given.setdefault("hooks", _NO_HOOKS)
        return m.Call(item[0], position, kind, target, **{_ATTRIBUTES.get(name, name): v for name, v in given.items()})

    def hooks(self, item: Json) -> dict[m.HookEvent, m.Call]:
        return {m.HookEvent(event): self.call(call) for event, call in item.items()}

    def conditions(self, item: Json) -> m.PhaseConditions:
        return m.PhaseConditions(*(self.maybe(index) for index in item))

    def retry(self, item: Json) -> m.Retry:
        limit, duration_us, factor, max_us, jitter, expression = item
        return m.Retry(limit, self.maybe(expression), duration_us, factor, max_us, jitter)

    def task(self, item: Json) -> m.TaskDef:
        return m.TaskDef(
            item["name"],
            item["executor"],
            self.template(item["config"]),
            item["inline"],
            self.outputs(item),
            _artifact_outputs(item["artifacts"]),
            m.Resources(*item["resources"]) if item["resources"] is not None else None,
            self.library(item["library"]),
        )

    def dag(self, item: Json) -> m.DagDef:
        tasks = tuple([self.call(call, position) for position, call in enumerate(item["tasks"])])  # it may be 100 000
        dependents: dict[int, list[int]] = {}
        for call in tasks:
            for above in call.dependencies:
                dependents.setdefault(above, []).append(call.position)
        return m.DagDef(
            item["name"],
            tasks,
            {call.name: call.position for call in tasks},
            tuple([len(call.dependencies) for call in tasks]),
            tuple([tuple(dependents.get(position, ())) for position in range(len(tasks))]),
            tuple([call.position for call in tasks if not call.dependencies]),
            self.outputs(item),
            _artifact_outputs(item["artifacts"]),
            m.ContinueOn(*item["continueOn"]) if item["continueOn"] is not None else None,
            len([call for call in tasks if call.kind is m.Kind.TASK]),
            self.library(item["library"]),
            frozenset(item["outside"]),
        )

    def loop(self, item: Json) -> m.LoopDef:
        items_from: Template | Expression | None = self.maybe(item["itemsOf"])
        if item["itemsFrom"] is not None:
            items_from = self.template(item["itemsFrom"])
        return m.LoopDef(
            item["name"],
            self.call(item["body"]),
            self.template(item["items"]) if item["items"] is not None else None,
            items_from,
            self.maybe(item["repeat"]),
            item["concurrency"],
            item["maxIterations"],
            item["strategy"],
            _tupled(item["parameters"]),
            tuple(item["bodyOutputs"]),
            self.outputs(item),
            self.library(item["library"]),
        )


def _tupled(items: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if items is None else tuple(items)


def _artifact_outputs(items: Json) -> tuple[m.ArtifactOutput, ...]:
    return tuple(
        m.ArtifactOutput(name, path, archive, parse_name(from_) if from_ is not None else None)
        for name, path, archive, from_ in items
    )


_NO_HOOKS: Final[Mapping[m.HookEvent, m.Call]] = MappingProxyType({})  # shared by all calls that have none
_KINDS: Final[dict[type, m.Kind]] = {m.TaskDef: m.Kind.TASK, m.DagDef: m.Kind.DAG, m.LoopDef: m.Kind.LOOP}
_DEFINITIONS: Final[dict[str, Callable[[_Reader, Json], m.Definition]]] = {
    "task": _Reader.task,
    "dag": _Reader.dag,
    "loop": _Reader.loop,
}
_SOURCES: Final[dict[str, Callable[..., m.Source]]] = {
    "L": lambda reader, value: m.Literal(value),
    "T": lambda reader, index, optional: m.Templated(reader.template(index), optional),
    "R": lambda reader, text: m.Reference(parse_name(text)),
    "C": lambda reader, index: m.Computed(reader.expression(index)),
    "S": lambda reader, name, key: m.SecretRef(name, key),
    "I": lambda reader, field: m.ItemField(field),
}
_ATTRIBUTES: Final = {"continueOn": "continue_on", "timeout": "timeout_us", "phaseConditions": "phase_conditions"}
_CALL: Final[dict[str, Callable[[_Reader, Json], Any]]] = {
    "inputs": lambda reader, items: tuple(reader.input(item) for item in items),
    "artifacts": lambda reader, items: tuple(reader.artifact_input(item) for item in items),
    "dependencies": lambda reader, items: tuple(items),
    "when": _Reader.expression,
    "continueOn": lambda reader, item: m.ContinueOn(*item),
    "timeout": lambda reader, item: item,
    "retry": _Reader.retry,
    "phaseConditions": _Reader.conditions,
    "hooks": _Reader.hooks,
}


def decode_plan(record: Json) -> m.Plan:
    """The inverse of `encode_plan`. Raises BrokenInvariant for a record of a newer version."""
    if record["v"] != VERSION:
        told = f"a stored plan has version {record['v']}, this is version {VERSION}"
        raise BrokenInvariant(told, hint="use the version of Aether Protocol that wrote it, or a newer one")
    reader = _Reader(record)
    return m.Plan(
        record["name"],
        record["namespace"],
        record["version"],
        record["labels"],
        record["annotations"],
        reader.call(record["root"]),
        tuple(reader.input(item) for item in record["parameters"]),
        record["timeout"],
        record["priority"],
        reader.hooks(record["hooks"]),
        record["digest"],
        record["snapshot"],
        frozenset(record["namespaces"]),
    )
