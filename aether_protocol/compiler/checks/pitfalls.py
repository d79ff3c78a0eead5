"""Warnings: documents that are valid and yet will surprise who wrote them (SPEC-3 and the habits of other systems).

Law: nothing here is an error, and everything here names what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import UNSET

from aether_protocol.compiler.effective_spec import EffectiveSpec
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Dag, Loop, Parameter, RetrySpec, Task
from aether_protocol.expressions import Template
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.plan.model import Kind

# SPEC-3: (attribute, field) that belong to the other side
OF_CALLS: Final = (
    ("dependencies", "dependencies"),
    ("when", "when"),
    ("continue_on", "continueOn"),
    ("arguments", "arguments"),
    ("hooks", "hooks"),
)
OF_DEFINITIONS: Final = (("inputs", "inputs"), ("outputs", "outputs"), ("resources", "resources"))

OF_THE_ENGINE: Final = ("phase", "code", "msg", "metrics", "progress")  # SPEC-6: what `outputs` may name, in vain

_READABLE: Final = ("phase", "code", "msg")
_DEFAULT_TIMEOUT_US: Final = 3_600_000_000


class PitfallChecks:
    """Walks definitions and calls. `pedantic`: a retry in vain is an error (SPEC-3)."""

    def __init__(
        self, findings: Findings, texts: Texts, files: Callable[[str], bool], settings: EffectiveSpec, *, pedantic: bool
    ) -> None:
        self.findings = findings
        self.texts = texts
        self.files = files
        self.hourly = not settings.timeout_given  # the workflow has the default timeout of one hour
        self.default_retry = settings.retry
        self.pedantic = pedantic
        if settings.retry is not None:
            self._idle(settings.retry, None, settings.retry_at.origin, settings.retry_at.path)

    def symbol(self, symbol: Symbol) -> None:
        """What a definition has that may surprise."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        if isinstance(model, Task):
            self._task(symbol, model, origin, path)
        elif isinstance(model, Loop):
            self._loop(model, origin, path)
        else:
            self._dag(model, origin, path)
        for side, given in (("inputs", model.inputs), ("outputs", model.outputs)):
            if given is not None:
                self._defaults(given.parameters, origin, (*path, side, "parameters"))
        if model.outputs is not None:
            for field in OF_THE_ENGINE:
                if model.outputs.wrote(field):
                    message = f"{field} has no effect among outputs: the engine gives it"
                    fault = Finding("AE902", message, f"read it as tasks.NAME.{field}" if field in _READABLE else None)
                    self.findings.add(origin, (*path, "outputs", field), fault)

    def _task(self, symbol: Symbol, task: Task, origin: Origin, path: Path) -> None:
        if not symbol.inline:
            self._without_effect(task, OF_CALLS, "a task template, which is called", "set it where it is called", origin, path)
        executor = task.executor
        if executor is None:
            return
        if task.retry is not None:
            self._idle(task.retry, self.default_retry, origin, (*path, "retry"))
            self._retry(task.retry, executor.type, origin, path)
        suspends = executor.type == "await" or (executor.type == "echo" and executor.config.get("suspend") is True)
        if self.hourly and suspends and not _soon(task.timeout):
            message = f"{symbol.name!r} waits for an answer, and the workflow ends after its default timeout of one hour"
            self.findings.add(origin, (*path, "executor"), Finding("AE904", message, "set spec.timeout"))

    def _loop(self, loop: Loop, origin: Origin, path: Path) -> None:
        if loop.outputs is None:
            return
        for index, entry in enumerate(loop.outputs.parameters):
            where = (*path, "outputs", "parameters", index)
            for attribute, field in (("value", "value"), ("default", "default")):
                if getattr(entry, attribute) is not None:
                    message = f"{field} has no effect on an output of a loop"
                    hint = "its outputs come from the aggregate; see valueFrom"
                    self.findings.add(origin, (*where, field), Finding("AE902", message, hint))
        if loop.outputs.artifacts:
            fault = Finding("AE902", "artifacts have no effect on a loop", "loops pass no artifacts on")
            self.findings.add(origin, (*path, "outputs", "artifacts"), fault)

    def _dag(self, dag: Dag, origin: Origin, path: Path) -> None:
        for index, entry in enumerate(dag.outputs.parameters if dag.outputs is not None else ()):
            if entry.value is None and entry.value_from is None and entry.default_written is UNSET:
                message = f"output {entry.name!r} of a dag is read from nowhere and will be left out"
                fault = Finding("AE910", message, "give it a valueFrom, such as tasks.NAME.outputs.parameters.NAME")
                self.findings.add(origin, (*path, "outputs", "parameters", index), fault)

    def _defaults(self, entries: Iterable[Parameter], origin: Origin, path: Path) -> None:
        for index, entry in enumerate(entries):
            default = entry.default
            if isinstance(default, str) and "{{" in default:
                template = self.texts.template(default)
                if isinstance(template, Template) and not template.literal:
                    message = f"the default of {entry.name!r} holds a placeholder, which is not read there"
                    fault = Finding("AE911", message, "use value or valueFrom")
                    self.findings.add(origin, (*path, index, "default"), fault)

    def site(self, site: Site) -> None:
        """What a call of a dag has that may surprise."""
        task, target = site.model, site.target
        if not isinstance(task, Task):
            return
        origin, path = site.unit.origin, site.path
        if task.arguments is not None:
            for index, entry in enumerate(task.arguments.parameters):
                where = (*path, "arguments", "parameters", index)
                if entry.default is not None:
                    fault = Finding("AE902", "default has no effect on an argument", "the template declares defaults")
                    self.findings.add(origin, (*where, "default"), fault)
        if task.executor is not None or target is None:
            return
        self._without_effect(task, OF_DEFINITIONS, "a call", "declare it in the template", origin, path)
        if task.phase_conditions is not None:
            message = "phaseConditions on a call work here, and other runtimes refuse them"
            fault = Finding("AE917", message, "set them in the template, for a document that runs everywhere")
            self.findings.add(origin, (*path, "phaseConditions"), fault)
        if task.retry is None:
            return
        if target.kind is not Kind.TASK:
            kind = target.kind.name.lower()
            message = f"retry has no effect on the call of a {kind}"
            fault = Finding("AE902", message, "set it on the tasks inside", "error" if self.pedantic else None)
            self.findings.add(origin, (*path, "retry"), fault)
        elif isinstance(target.model, Task) and target.model.executor is not None:
            self._idle(task.retry, target.model.retry or self.default_retry, origin, (*path, "retry"))
            self._retry(task.retry, target.model.executor.type, origin, path)

    def _without_effect(
        self, task: Task, fields: Iterable[tuple[str, str]], where: str, hint: str, origin: Origin, path: Path
    ) -> None:
        for attribute, field in fields:
            if getattr(task, attribute):
                self.findings.add(origin, (*path, field), Finding("AE902", f"{field} has no effect on {where}", hint))

    def _idle(self, retry: RetrySpec, over: RetrySpec | None, origin: Origin, path: Path) -> None:
        """SPEC-5: a retry that repeats nothing. `limit: 0` alone is how a call or template turns off the retry `over` it."""
        alone = retry.wrote("limit") and retry.expression is None and retry.backoff is None
        if retry.limit == 0 and not (alone and over is not None and over.limit):
            told = "with limit 0" if retry.wrote("limit") else "without a limit"
            self.findings.add(origin, path, Finding("AE918", f"retry {told} repeats nothing", "add limit, such as `limit: 3`"))

    def _retry(self, retry: RetrySpec, type_: str, origin: Origin, path: Path) -> None:
        if retry.expression is None and retry.limit and self.files(type_):
            message = f"a {type_} that exits with a failure is Failed, which retry without an expression does not repeat"
            hint = "add expression: \"phase != 'Succeeded'\""
            self.findings.add(origin, (*path, "retry"), Finding("AE903", message, hint))

    def unused(self, symbols: Iterable[Symbol], reached: set[int]) -> None:
        """Templates of a workflow that nothing runs."""
        for symbol in symbols:
            if id(symbol) not in reached and not symbol.unit.library:
                message = f"template {symbol.name!r} is never run"
                path = (*symbol.path, "name")
                self.findings.add(symbol.unit.origin, path, Finding("AE901", message, "call it or take it away"))


def _soon(timeout: str | None) -> bool:
    try:
        return timeout is not None and parse_duration(timeout) <= _DEFAULT_TIMEOUT_US
    except ValueError:
        return True  # the reader has reported it
