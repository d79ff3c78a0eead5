"""Fields that are accepted and do nothing where they stand (SPEC-3, SPEC-6): each is a warning that says where it would act.

Law: what the public schema accepts is never refused here; a retry in vain alone is an error for `--strict` (SPEC-3). A field
that nothing reads stands in one of the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import UNSET, Struct

from aether_protocol.compiler.effective_spec import EffectiveSpec
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.sources import literal_of
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Arguments, Artifact, Loop, Parameter, Task
from aether_protocol.expressions.values import ABSENT
from aether_protocol.plan.model import Kind


class _Field(Struct, frozen=True):
    """A field by attribute and by its name in documents, and what to do instead."""

    attribute: str
    name: str
    hint: str


_AT_THE_CALL: Final = "set it where it is called"
_IN_THE_TEMPLATE: Final = "declare it in the template"
OF_CALLS: Final = tuple(
    _Field(attribute, name, _AT_THE_CALL)
    for attribute, name in (
        ("dependencies", "dependencies"),
        ("when", "when"),
        ("continue_on", "continueOn"),
        ("arguments", "arguments"),
        ("hooks", "hooks"),
    )
)
OF_DEFINITIONS: Final = tuple(_Field(name, name, _IN_THE_TEMPLATE) for name in ("inputs", "outputs", "resources"))

OF_THE_ENGINE: Final = ("phase", "code", "msg", "metrics", "progress")  # SPEC-6: what `outputs` may name, in vain
_READABLE: Final = ("phase", "code", "msg")

_KEPT: Final = "a task keeps the file or folder at its `path`"
_PASSED_ON: Final = "a dag passes on the artifact that `from` names, as it is"
_TASK_ARTIFACT: Final = (
    _Field("from_", "from", _KEPT),
    _Field("source", "source", _KEPT),
    _Field("optional", "optional", "an output that is missing is an Error; `optional` belongs to the input that takes it"),
)
_DAG_ARTIFACT: Final = (
    _Field("path", "path", _PASSED_ON),
    _Field("archive", "archive", _PASSED_ON),
    _Field("source", "source", _PASSED_ON),
    _Field("optional", "optional", "one that is absent is left out; `optional` belongs to the input that takes it"),
)
_ARGUMENT: Final = (
    _Field("default", "default", "the template declares defaults"),
    _Field("type", "type", "the template declares types"),
    _Field("enum", "enum", "the template declares what is allowed"),
)


class EffectChecks:
    """Walks definitions and calls. `pedantic`: a retry in vain is an error (SPEC-3)."""

    def __init__(self, findings: Findings, texts: Texts, files: Callable[[str], bool], *, pedantic: bool) -> None:
        self.findings = findings
        self.texts = texts
        self.files = files
        self.pedantic = pedantic

    def _add(self, origin: Origin, path: Path, what: str, hint: str | None) -> None:
        self.findings.add(origin, path, Finding("AE902", what, hint))

    def _fields(self, part: Task | Artifact, fields: Iterable[_Field], where: str, origin: Origin, path: Path) -> None:
        """Those of `fields` that `part`, which stands at `path`, has."""
        for field in fields:
            if getattr(part, field.attribute):
                self._add(origin, (*path, field.name), f"{field.name} has no effect on {where}", field.hint)

    # --- what a workflow is given ---

    def workflow(self, spec: EffectiveSpec, entry: Symbol | None) -> None:
        """The parameters and artifacts of the workflow; `entry` is its entrypoint."""
        for name, parameter in spec.parameters.items():
            at = spec.parameters_at[name]
            self._sources(parameter, at.origin, at.path)
        for name in spec.artifacts if entry is not None else ():
            if entry is not None and name not in entry.artifacts and not entry.unit.origin.uncertain((*entry.path, "inputs")):
                at = spec.artifacts_at[name]
                what = f"artifact {name!r} of the workflow has no effect: {entry.name!r}, the entrypoint, has no such input"
                self._add(at.origin, at.path, what, f"declare it: inputs: {{artifacts: [{{name: {name}}}]}}")

    def _sources(self, entry: Parameter, origin: Origin, path: Path, *, file: bool = False) -> None:
        """Sources that a `value` before them always hides (DATA-1). `file`: valueFrom.path is what the executor reads."""
        if entry.value is None:
            return
        hidden = [name for name, given in (("default", entry.default_written is not UNSET),) if given]
        if entry.value_from is not None and not (file and entry.value_from.path is not None):
            hidden.insert(0, "valueFrom")
        for name in hidden:
            self._add(origin, (*path, name), f"{name} has no effect beside a value", "take one of the two away")

    # --- definitions ---

    def symbol(self, symbol: Symbol) -> None:
        """A definition: what it declares."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        if isinstance(model, Task) and not symbol.inline:
            self._fields(model, OF_CALLS, "a task template, which is called", origin, path)
        if model.inputs is not None:
            for index, entry in enumerate(model.inputs.parameters):
                self._sources(entry, origin, (*path, "inputs", "parameters", index))
        if model.outputs is not None:
            for name in OF_THE_ENGINE:
                if model.outputs.wrote(name):
                    what = f"{name} has no effect among outputs: the engine gives it"
                    hint = f"read it as tasks.NAME.{name}" if name in _READABLE else None
                    self._add(origin, (*path, "outputs", name), what, hint)
            if isinstance(model, Loop):
                self._loop_outputs(model, origin, (*path, "outputs"))
            else:
                self._outputs(symbol, origin, (*path, "outputs"))

    def _outputs(self, symbol: Symbol, origin: Origin, path: Path) -> None:
        model = symbol.model
        file = isinstance(model, Task) and model.executor is not None and self.files(model.executor.type)
        assert model.outputs is not None
        for index, entry in enumerate(model.outputs.parameters):
            self._sources(entry, origin, (*path, "parameters", index), file=file)
        of_task = symbol.kind is Kind.TASK
        fields, owner = (_TASK_ARTIFACT, "task") if of_task else (_DAG_ARTIFACT, "dag")
        for index, artifact in enumerate(model.outputs.artifacts):
            self._fields(artifact, fields, f"an output artifact of a {owner}", origin, (*path, "artifacts", index))

    def _loop_outputs(self, loop: Loop, origin: Origin, path: Path) -> None:
        assert loop.outputs is not None
        for index, entry in enumerate(loop.outputs.parameters):
            for name in ("value", "default"):
                if getattr(entry, name) is not None:
                    hint = "its outputs come from the aggregate; see valueFrom"
                    self._add(origin, (*path, "parameters", index, name), f"{name} has no effect on an output of a loop", hint)
        if loop.outputs.artifacts:
            self._add(origin, (*path, "artifacts"), "artifacts have no effect on a loop", "loops pass no artifacts on")

    # --- calls ---

    def site(self, site: Site) -> None:
        """A call of a dag, or that of a loop's body."""
        model, target, origin = site.model, site.target, site.unit.origin
        if model is None:
            return
        if model.arguments is not None:
            self._arguments(model.arguments, target, origin, (*site.path, "arguments"))
        if not isinstance(model, Task) or model.executor is not None or target is None:
            return
        self._fields(model, OF_DEFINITIONS, "a call", origin, site.path)
        if model.retry is not None and target.kind is not Kind.TASK:
            what = f"retry has no effect on the call of a {target.kind.name.lower()}"
            fault = Finding("AE902", what, "set it on the tasks inside", "error" if self.pedantic else None)
            self.findings.add(origin, (*site.path, "retry"), fault)

    def _arguments(self, given: Arguments, target: Symbol | None, origin: Origin, path: Path) -> None:
        for index, entry in enumerate(given.parameters):
            if entry.default_written is not UNSET or entry.type_written is not UNSET or entry.enum is not None:
                for field in _ARGUMENT:
                    if entry.wrote(field.attribute):
                        where = (*path, "parameters", index, field.name)
                        self._add(origin, where, f"{field.name} has no effect on an argument", field.hint)
            if entry.value is not None and entry.value_from is not None and literal_of(entry.value, self.texts) is not ABSENT:
                where = (*path, "parameters", index, "valueFrom")
                self._add(origin, where, "valueFrom has no effect beside a value", "take one of the two away")
        declared: Mapping[str, Artifact] = target.artifacts if target is not None else {}
        for index, artifact in enumerate(given.artifacts):
            if artifact.path is not None and artifact.name in declared:
                where = (*path, "artifacts", index, "path")
                self._add(origin, where, "path has no effect on an argument", "the template declares where the artifact lies")
