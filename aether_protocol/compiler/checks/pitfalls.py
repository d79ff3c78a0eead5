"""Warnings: documents that are valid and yet will surprise their author (SPEC-5, SCHED-10 and the habits of other systems).

Law: nothing here is an error, and everything here names what to do. Fields that do nothing where they stand: no_effect.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import UNSET

from aether_protocol.compiler.effective_spec import EffectiveSpec
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.symbols import At, Site, Symbol
from aether_protocol.documents.models import Backoff, Dag, ExecutorSpec, Parameter, RetrySpec, Task
from aether_protocol.expressions import Template
from aether_protocol.expressions.durations import parse_duration

_DEFAULT_TIMEOUT_US: Final = 3_600_000_000
_DEFAULT_BACKOFF: Final = Backoff()


class PitfallChecks:
    """Walks definitions and calls. `runs`: it is a workflow, whose timeout is known."""

    def __init__(
        self, findings: Findings, texts: Texts, files: Callable[[str], bool], settings: EffectiveSpec, *, runs: bool
    ) -> None:
        self.findings = findings
        self.texts = texts
        self.files = files
        self.hourly = not settings.timeout_given  # the workflow has the default timeout of one hour
        self.timeout = settings.timeout
        known = runs and not settings.own.suppressed((*settings.own.base, "timeout"))
        self.timeout_us = _duration_us(settings.timeout) if known else None
        self.own = settings.own.document
        self.default_retry = settings.retry
        if settings.retry is not None:
            self._policy(settings.retry, None, settings.retry_at.origin, settings.retry_at.path)

    def symbol(self, symbol: Symbol) -> None:
        """What a definition has that may surprise."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        late = False
        if isinstance(model, Task) and model.executor is not None:
            if model.retry is not None:
                self._policy(model.retry, self.default_retry, origin, (*path, "retry"))
                self._retry(model.retry, model.executor.type, origin, path)
            late = self._waits(symbol, model.executor, model.timeout)
        elif isinstance(model, Dag):
            self._dag(model, origin, path)
        if model.timeout is not None and not late and not any(site.at is At.HOOK for site in symbol.callers):
            self._timeout(model.timeout, origin, (*path, "timeout"))
        for side, given in (("inputs", model.inputs), ("outputs", model.outputs)):
            if given is not None:
                self._defaults(given.parameters, origin, (*path, side, "parameters"))

    def _waits(self, symbol: Symbol, executor: ExecutorSpec, timeout: str | None) -> bool:
        """Report a task that waits for an answer longer than its workflow by default; whether it is one."""
        suspends = executor.type == "await" or (executor.type == "echo" and executor.config.get("suspend") is True)
        if not self.hourly or not suspends:
            return False
        longest = _duration_us(timeout)
        if longest is not None and longest <= _DEFAULT_TIMEOUT_US:
            return False
        message = f"{symbol.name!r} waits for an answer, and the workflow ends after its default timeout of one hour"
        self.findings.add(symbol.unit.origin, (*symbol.path, "executor"), Finding("AE904", message, "set spec.timeout"))
        return True

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
        if task.executor is not None or target is None:
            return
        if task.timeout is not None:
            self._timeout(task.timeout, origin, (*path, "timeout"))
        if task.phase_conditions is not None:
            message = "phaseConditions on a call work here, and other runtimes refuse them"
            fault = Finding("AE917", message, "set them in the template, for a document that runs everywhere")
            self.findings.add(origin, (*path, "phaseConditions"), fault)
        if task.retry is None:
            return
        if isinstance(target.model, Task) and target.model.executor is not None:
            self._policy(task.retry, target.model.retry or self.default_retry, origin, (*path, "retry"))
            self._retry(task.retry, target.model.executor.type, origin, path)

    def _timeout(self, text: str, origin: Origin, path: Path) -> None:
        """SCHED-10: a timeout of which the workflow's, which ends the run first, leaves nothing."""
        given = _duration_us(text)
        if self.timeout_us is None or given is None or given <= self.timeout_us or origin.document is not self.own:
            return
        which = "default timeout" if self.hourly else "timeout"
        message = f"a timeout of {text} never acts: the {which} of the workflow, {self.timeout}, ends the run before"
        self.findings.add(origin, path, Finding("AE920", message, f"set spec.timeout to more than {text}"))

    def _policy(self, retry: RetrySpec, over: RetrySpec | None, origin: Origin, path: Path) -> None:
        """A retry that repeats nothing, and waits that are cut short (SPEC-5); `over` is the retry that it replaces."""
        self._idle(retry, over, origin, path)
        backoff = retry.backoff
        if backoff is None or origin.touched((*path, "backoff")):
            return
        first, longest = _duration_us(backoff.duration), _duration_us(backoff.max_duration)
        if first is not None and longest is not None and first > longest:
            which = "the default of maxDuration" if backoff.max_duration == _DEFAULT_BACKOFF.max_duration else "maxDuration"
            message = f"a first wait of {backoff.duration} is cut to {backoff.max_duration}, {which}"
            hint = f"set maxDuration to {backoff.duration} or more"
            self.findings.add(origin, (*path, "backoff", "duration"), Finding("AE919", message, hint))

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


def _duration_us(text: str | None) -> int | None:
    """A duration in microseconds; None where there is none, or the reader has reported it."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError:
        return None
