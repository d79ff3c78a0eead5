"""Executor types, their configs, and where artifacts come from and go (SPEC-15, ART).

Law: what a type takes is what it declares; an unknown type is an error where the document is to run, or where a known name
is near, else a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aether_protocol.compiler.findings import DID_YOU_MEAN, Finding, Findings, Near, Origin, Path
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.diagnostics import Severity
from aether_protocol.documents.models import Artifact, ExecutorSpec, Task
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config import check_config, check_fields
from aether_protocol.plan.config_fields import ConfigFault, ConfigField, written_artifacts
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.plan.model import Kind

# Types whose outputs may be files, where the types are not known (SPEC-6).
_FILES: Final = ("script", "process")
_STREAMS: Final = tuple(
    ConfigField(stream, "object", "", fields=(ConfigField("artifact", "string", "", artifact=True),))
    for stream in ("stdout", "stderr")
)


class ExecutorChecks:
    """`types` and `fetchers` None: not known, so nothing is said about them."""

    def __init__(
        self,
        findings: Findings,
        types: ExecutorTypes | None,
        fetchers: Mapping[str, tuple[ConfigField, ...]] | None,
        *,
        strict: bool,
    ) -> None:
        self.findings = findings
        self.types = types
        self.fetchers = fetchers
        self.severity: Severity | None = None if strict else "warning"
        self.missing_modules: Callable[[ExecutorType], Sequence[str]] | None = None

    def files(self, type_: str) -> bool:
        """Whether `valueFrom.path` on an output of this type names a file."""
        known = self.types.get(type_) if self.types is not None else None
        return known.files if known is not None else type_ in _FILES

    def written(self, type_: str, config: Json) -> list[tuple[tuple[str, ...], str]]:
        """The output artifacts that the executor writes itself: where its config names them, and their names."""
        known = self.types.get(type_) if self.types is not None else None
        if known is not None:
            return written_artifacts(known.config, config)
        return written_artifacts(_STREAMS, config) if type_ in _FILES else []

    def symbol(self, symbol: Symbol) -> None:
        """The executor and the artifacts of a definition."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        if isinstance(model, Task) and model.executor is not None and self.types is not None:
            self._executor(model.executor, self.types, origin, (*path, "executor"))
        written: list[str] = []
        if isinstance(model, Task) and model.executor is not None:
            written = self._written(symbol, model.executor, origin, (*path, "executor", "config"))
        if symbol.artifacts:
            self.artifacts(list(symbol.artifacts.values()), origin, (*path, "inputs", "artifacts"))
        if symbol.given_artifacts:
            self._outputs(symbol, written, origin, (*path, "outputs", "artifacts"))

    def site(self, site: Site) -> None:
        """The artifacts that a call passes."""
        arguments = site.model.arguments if site.model is not None else None
        if arguments is not None and arguments.artifacts:
            self.artifacts(arguments.artifacts, site.unit.origin, (*site.path, "arguments", "artifacts"))

    def _executor(self, executor: ExecutorSpec, types: ExecutorTypes, origin: Origin, path: Path) -> None:
        type_ = types.get(executor.type)
        if type_ is None:
            other = "see `aether executors` for those that are installed"
            hint = Near(executor.type, types, other).text(self.findings.suggestions)
            fault = Finding("AE401", f"there is no executor type {executor.type!r}", hint, self._severity(hint))
            self.findings.add(origin, (*path, "type"), fault)
            return
        if type_.disabled:
            fault = Finding("AE406", f"executor {type_.name!r} is turned off", type_.disabled)
            self.findings.add(origin, (*path, "type"), fault)
            return
        if type_.broken:
            fault = Finding("AE405", type_.broken, type_.install or None, self.severity)
            self.findings.add(origin, (*path, "type"), fault)
            return
        missing = self.missing_modules(type_) if self.missing_modules is not None and type_.modules else ()
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            message = f"executor {type_.name!r} needs {', '.join(missing)}, which {verb} not installed"
            self.findings.add(origin, (*path, "type"), Finding("AE405", message, type_.install or None, self.severity))
        self._faults("AE402", check_config(type_, executor.config, placeholders=True), origin, (*path, "config"))

    def _severity(self, hint: str | None) -> Severity | None:
        """A misspelling is one on every machine; what is merely not here may be elsewhere (SPEC-15)."""
        return None if hint is not None and hint.startswith(DID_YOU_MEAN) else self.severity

    def _faults(self, code: str, faults: list[ConfigFault], origin: Origin, path: Path) -> None:
        for fault in faults:
            self.findings.add(origin, (*path, *fault.path), Finding(code, fault.message, fault.hint))

    def artifacts(self, entries: list[Artifact], origin: Origin, path: Path) -> None:
        """The sources of the artifacts in the list at `path`."""
        for index, entry in enumerate(entries):
            if entry.source is None or self.fetchers is None:
                continue
            where = (*path, index, "source")
            fields = self.fetchers.get(entry.source.type)
            if fields is None:
                message = f"there is no artifact source {entry.source.type!r}"
                hint = Near(entry.source.type, self.fetchers).text(self.findings.suggestions)
                fault = Finding("AE403", message, hint, self._severity(hint))
                self.findings.add(origin, (*where, "type"), fault)
                continue
            what = f"artifact source {entry.source.type!r}"
            faults = check_fields(what, fields, entry.source.config, open_=False, placeholders=True)
            self._faults("AE404", faults, origin, (*where, "config"))

    def _written(self, symbol: Symbol, executor: ExecutorSpec, origin: Origin, path: Path) -> list[str]:
        """The output artifacts that the executor writes itself; one that is not declared is reported."""
        names = []
        for place, name in self.written(executor.type, executor.config):
            names.append(name)
            if name not in symbol.given_artifacts and "{{" not in name:
                message = f"{'.'.join(place)} names {name!r}, which is not an output artifact of the task"
                unlike = Near(name, symbol.given_artifacts, f"declare it: outputs: {{artifacts: [{{name: {name}}}]}}")
                self.findings.add(origin, (*path, *place), Finding("AE402", message, unlike))
        return names

    def _outputs(self, symbol: Symbol, written: list[str], origin: Origin, path: Path) -> None:
        for index, entry in enumerate(symbol.given_artifacts.values()):
            if symbol.kind is Kind.TASK and entry.path is None and not any(n == entry.name or "{{" in n for n in written):
                message = f"output artifact {entry.name!r} of a task needs a path"
                self.findings.add(origin, (*path, index), Finding("AE913", message, "name the file or folder to keep"))
            elif symbol.kind is Kind.DAG and entry.from_ is None:
                message = f"output artifact {entry.name!r} of a dag needs `from`"
                hint = "name an artifact of a task, as in tasks.build.outputs.artifacts.report"
                self.findings.add(origin, (*path, index), Finding("AE913", message, hint))
