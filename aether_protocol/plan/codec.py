"""A plan as a record and back: what a durable run keeps, so that it is recovered as it was submitted (see `records`).

Law: `decode_plan(encode_plan(plan))` runs exactly as `plan` does, in this version and in later ones: new fields are added
with a default, and none changes its meaning. Definitions and libraries are written once each and referred to by number; what
a definition calls stands before it. What follows from the rest (edges by index, roots, counts) is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict

from aether_protocol.expressions import (
    NAMESPACES,
    Expression,
    ExpressionError,
    Name,
    Template,
    parse_expression,
    parse_name,
    parse_template,
)
from aether_protocol.expressions.values import Json
from aether_protocol.plan import model as m
from aether_protocol.plan.records import VERSION, damaged, decode, encode

# --- the record ------------------------------------------------------------------------------------------------------


class _Details(Struct, omit_defaults=True, gc=False):
    """What a call says beside its name and what it calls; the fields of `model.Call`, in their order."""

    inputs: tuple[m.InputBinding, ...] = ()
    artifacts: tuple[m.ArtifactBinding, ...] = ()
    dependencies: tuple[int, ...] = ()
    when: Expression | None = None
    continue_on: m.ContinueOn | None = None
    timeout_us: int | None = None
    retry: m.Retry | None = None
    phase_conditions: m.PhaseConditions | None = None
    hooks: dict[m.HookEvent, _Call] = {}
    extensions: dict[str, Json] | None = None


class _Call(Struct, array_like=True, gc=False):
    name: str
    definition: int
    details: _Details | None = None


class _Library(Struct, array_like=True, gc=False):
    name: str
    namespace: str
    parameters: list[m.InputBinding]


class _Task(Struct, array_like=True, tag="task", gc=False):
    name: str
    executor_type: str
    config: Template
    inline: bool
    outputs: tuple[m.OutputBinding, ...]
    artifacts: tuple[m.ArtifactOutput, ...]
    resources: m.Resources | None
    library: int | None


class _Dag(Struct, array_like=True, tag="dag", gc=False):
    name: str
    tasks: list[_Call]
    outputs: tuple[m.OutputBinding, ...]
    artifacts: tuple[m.ArtifactOutput, ...]
    continue_on: m.ContinueOn | None
    library: int | None
    outside: list[str]


class _Loop(Struct, array_like=True, tag="loop", gc=False):
    name: str
    body: _Call
    items: Template | None
    items_from: Template | None
    items_of: Expression | None
    repeat: Expression | None
    concurrency: int
    max_iterations: int | None
    strategy: str
    parameters: tuple[str, ...] | None
    body_outputs: tuple[str, ...]
    outputs: tuple[m.OutputBinding, ...]
    library: int | None


_Definition = _Task | _Dag | _Loop


class _Body(Struct, gc=False):
    """All that holds templates, expressions and names."""

    root: _Call
    hooks: dict[m.HookEvent, _Call]
    parameters: tuple[m.InputBinding, ...]
    libraries: list[_Library]
    definitions: list[_Definition]


class _Plan(Struct, gc=False):
    """`namespaces` are needed to read the body, which is therefore read after the rest."""

    v: Literal[2]
    name: str
    namespace: str
    version: str | None
    labels: dict[str, str]
    annotations: dict[str, str]
    timeout: int
    priority: int
    digest: str
    namespaces: list[str]
    snapshot: Json
    body: Raw
    extensions: dict[str, Json] | None = None


_BARE: Final = _Details()
_NO_HOOKS: Final[Mapping[m.HookEvent, m.Call]] = MappingProxyType({})  # shared by all calls that have none
_KINDS: Final[dict[type, m.Kind]] = {m.TaskDef: m.Kind.TASK, m.DagDef: m.Kind.DAG, m.LoopDef: m.Kind.LOOP}


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """Collects libraries and definitions, each once by identity."""

    def __init__(self) -> None:
        self.libraries: list[_Library] = []
        self.definitions: list[_Definition] = []
        self._numbers: dict[int, int] = {}

    def call(self, call: m.Call) -> _Call:
        number = self._numbers.get(id(call.target))
        if number is None:
            record = self._definition(call.target)
            number = self._numbers[id(call.target)] = len(self.definitions)
            self.definitions.append(record)
        details = _Details(
            inputs=call.inputs,
            artifacts=call.artifacts,
            dependencies=call.dependencies,
            when=call.when,
            continue_on=call.continue_on,
            timeout_us=call.timeout_us,
            retry=call.retry,
            phase_conditions=call.phase_conditions,
            hooks=self.hooks(call.hooks),
            extensions=None if call.extensions is None else dict(call.extensions),
        )
        return _Call(call.name, number, None if details == _BARE else details)

    def hooks(self, hooks: Mapping[m.HookEvent, m.Call]) -> dict[m.HookEvent, _Call]:
        return {event: self.call(call) for event, call in hooks.items()} if hooks else {}

    def _library(self, library: m.LibraryDef | None) -> int | None:
        if library is None:
            return None
        number = self._numbers.get(id(library))
        if number is None:
            number = self._numbers[id(library)] = len(self.libraries)
            self.libraries.append(_Library(library.name, library.namespace, list(library.parameters.values())))
        return number

    def _definition(self, target: m.Definition) -> _Definition:
        library = self._library(target.library)
        if isinstance(target, m.TaskDef):
            return _Task(**{**asdict(target), "library": library})
        if isinstance(target, m.DagDef):
            return _Dag(
                name=target.name,
                tasks=[self.call(call) for call in target.tasks],
                outputs=target.outputs,
                artifacts=target.artifacts,
                continue_on=target.continue_on,
                library=library,
                outside=sorted(target.outside),
            )
        given = target.items_from
        return _Loop(
            name=target.name,
            body=self.call(target.body),
            items=target.items,
            items_from=given if isinstance(given, Template) else None,
            items_of=given if isinstance(given, Expression) else None,
            repeat=target.repeat,
            concurrency=target.concurrency,
            max_iterations=target.max_iterations,
            strategy=target.strategy,
            parameters=target.parameters,
            body_outputs=target.body_outputs,
            outputs=target.outputs,
            library=library,
        )


def encode_plan(plan: m.Plan) -> str:
    """Write `plan` as a record."""
    writer = _Writer()
    root, hooks = writer.call(plan.root), writer.hooks(plan.hooks)
    body = _Body(root, hooks, plan.parameters, writer.libraries, writer.definitions)
    record = {
        "v": VERSION,
        "name": plan.name,
        "namespace": plan.namespace,
        "version": plan.version,
        "labels": plan.labels,
        "annotations": plan.annotations,
        "timeout": plan.timeout_us,
        "priority": plan.priority,
        "digest": plan.digest,
        "namespaces": sorted(plan.namespaces),
        "snapshot": plan.snapshot,
        "extensions": plan.extensions,
        "body": body,
    }
    return encode(record)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """The definitions of a record, in their order."""

    def __init__(self, body: _Body) -> None:
        self._libraries = [
            m.LibraryDef(library.name, library.namespace, {item.name: item for item in library.parameters})
            for library in body.libraries
        ]
        self._definitions: list[m.Definition] = []
        for record in body.definitions:
            self._definitions.append(self._definition(record))

    def call(self, record: _Call, position: int = 0) -> m.Call:
        if record.definition < 0:
            raise LookupError(f"definition {record.definition}")
        target = self._definitions[record.definition]
        kind = _KINDS[type(target)]
        details = record.details
        if details is None:
            return m.Call(record.name, position, kind, target, hooks=_NO_HOOKS)
        more = asdict(details)
        more["hooks"] = self.hooks(details.hooks) if details.hooks else _NO_HOOKS
        return m.Call(record.name, position, kind, target, **more)

    def hooks(self, records: Mapping[m.HookEvent, _Call]) -> dict[m.HookEvent, m.Call]:
        return {event: self.call(record) for event, record in records.items()}

    def _definition(self, record: _Definition) -> m.Definition:
        library = None if record.library is None else self._libraries[record.library]
        if isinstance(record, _Task):
            return m.TaskDef(**{**asdict(record), "library": library})
        if isinstance(record, _Dag):
            return self._dag(record, library)
        return m.LoopDef(
            name=record.name,
            body=self.call(record.body),
            items=record.items,
            items_from=record.items_of if record.items_from is None else record.items_from,
            repeat=record.repeat,
            concurrency=record.concurrency,
            max_iterations=record.max_iterations,
            strategy=record.strategy,
            parameters=record.parameters,
            body_outputs=record.body_outputs,
            outputs=record.outputs,
            library=library,
        )

    def _dag(self, record: _Dag, library: m.LibraryDef | None) -> m.DagDef:
        tasks = tuple([self.call(call, position) for position, call in enumerate(record.tasks)])  # it may be 100 000
        dependents: dict[int, list[int]] = {}
        for call in tasks:
            for above in call.dependencies:
                dependents.setdefault(above, []).append(call.position)
        return m.DagDef(
            name=record.name,
            tasks=tasks,
            index={call.name: call.position for call in tasks},
            indegree=tuple([len(call.dependencies) for call in tasks]),
            dependents=tuple([tuple(dependents.get(position, ())) for position in range(len(tasks))]),
            roots=tuple([call.position for call in tasks if not call.dependencies]),
            outputs=record.outputs,
            artifacts=record.artifacts,
            continue_on=record.continue_on,
            leaves=len([call for call in tasks if call.kind is m.Kind.TASK]),
            library=library,
            outside=frozenset(record.outside),
        )


def decode_plan(text: str) -> m.Plan:
    """Read a plan. Raises PortError."""
    record = decode(_Plan, text)
    try:
        body = _body_decoder(frozenset(record.namespaces)).decode(record.body)
        reader = _Reader(body)
        root, hooks = reader.call(body.root), reader.hooks(body.hooks)
    except (msgspec.MsgspecError, LookupError, RecursionError) as error:
        raise damaged(error) from error
    return m.Plan(
        name=record.name,
        namespace=record.namespace,
        version=record.version,
        labels=record.labels,
        annotations=record.annotations,
        root=root,
        parameters=body.parameters,
        timeout_us=record.timeout,
        priority=record.priority,
        hooks=hooks,
        digest=record.digest,
        snapshot=record.snapshot,
        namespaces=frozenset(record.namespaces),
        extensions=record.extensions,
    )


@lru_cache(maxsize=8)  # nearly all plans have the same; to make one costs the types of all records
def _body_decoder(injected: frozenset[str]) -> msgspec.json.Decoder[_Body]:
    return msgspec.json.Decoder(_Body, dec_hook=_text_reader(NAMESPACES | injected))


def _text_reader(namespaces: frozenset[str]) -> Callable[[type, Any], Any]:
    """Make the hook that reads templates, expressions and names, which a record holds as their authors wrote them."""
    parsers: dict[type, Callable[[Any], Any]] = {
        Template: lambda raw: parse_template(raw, namespaces),
        Expression: lambda text: parse_expression(text, namespaces),
        Name: parse_name,
    }
    parse_text = lru_cache(maxsize=1024)(lambda kind, text: parsers[kind](text))  # many tasks share one condition

    def read(kind: type, value: Any) -> Any:
        try:
            if isinstance(value, str):
                return parse_text(kind, value)
            if kind is Template:
                return parse_template(value, namespaces)
        except ExpressionError as error:
            raise ValueError(error.reason) from None  # msgspec says where
        raise ValueError(f"expected text, got {type(value).__name__}")

    return read
