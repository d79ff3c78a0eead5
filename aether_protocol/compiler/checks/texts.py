"""Every expression, placeholder and name, judged at its place (SPEC-14, DATA-4, DATA-12).

Law: a text is judged where it stands, in the scope that its place has. What only the callers of a template can tell is
deferred; what depends on the order of tasks is left to order.py.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.compiler.checks.order import Mention, OrderChecks, Reads
from aether_protocol.compiler.checks.secrets import Secrets
from aether_protocol.compiler.findings import DID_YOU_MEAN, Finding, Findings, Origin, Path
from aether_protocol.compiler.name_rules import Depends, Names, Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.strays import FOREIGN_ITEM, strays
from aether_protocol.compiler.symbols import Symbol
from aether_protocol.documents.models import Artifact, Parameter, PhaseConditionsSpec, RetrySpec, ValueFrom
from aether_protocol.expressions import ExpressionError, Name
from aether_protocol.expressions.values import Json

_ONE_NAME: Final = "a placeholder holds one name; to compute, use valueFrom.expression"
CONDITIONS: Final = ("succeeded", "failed", "error")


class TextChecks:
    """Judges texts, and the parts of documents that hold them.

    `reads` collects, where it is set, what is read of other tasks; `deferred` is what the callers of a symbol decide, by its
    id.
    """

    def __init__(self, findings: Findings, texts: Texts, names: Names, order: OrderChecks, secrets: Secrets) -> None:
        self.findings = findings
        self.texts = texts
        self.names = names
        self.order = order
        self.secrets = secrets
        self.reads: Reads | None = None
        self.deferred: dict[int, tuple[Symbol, list[Mention]]] = {}
        names.suggestions = findings.suggestions
        names.depends = order.direct

    def expression(self, text: str, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge a text that is an expression."""
        parsed = self.texts.expression(text)
        if isinstance(parsed, ExpressionError):
            self.findings.add(origin, path, Finding("AE301", f"{text[:80]!r}: {parsed.reason}", parsed.hint), parsed.offset)
            return
        for name, offset in zip(parsed.names, parsed.offsets, strict=True):
            self.name(Mention(name, scope, origin, path, offset, True))

    def template(self, value: Json, origin: Origin, path: Path, scope: Scope) -> None:
        """Judge the placeholders in a value."""
        if not isinstance(value, str | list | dict) or (isinstance(value, str) and "{{" not in value):
            return
        parsed = self.texts.template(value)
        if isinstance(parsed, ExpressionError):
            self.findings.add(origin, (*path, *parsed.path), Finding("AE302", parsed.reason, _ONE_NAME), parsed.offset)
            return
        for name, (below, offset) in zip(parsed.names, parsed.places, strict=True):
            if self.reads is not None or not self._fine(name, scope):
                self.name(Mention(name, scope, origin, (*path, *below), offset, False))
        for stray in strays(value, self.texts.namespaces):
            meant = self.texts.name(stray.name)
            fine = isinstance(meant, Name) and self.names.accepts(meant, scope)
            if stray.root == FOREIGN_ITEM and not fine:
                continue  # a script may have an `item` of its own
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
        if self.reads is not None or not self._fine(parsed, scope):
            self.name(Mention(parsed, scope, origin, path, 0, False))

    def _fine(self, name: Name, scope: Scope) -> bool:
        """Whether a name is fine at a glance, as nearly all are: known, or of a direct dependency."""
        verdict = self.names.check(name, scope)
        if isinstance(verdict, Depends) and scope.dag is not None:
            return self.order.direct(scope.dag, scope.position, verdict.other)
        return verdict is None

    def name(self, mention: Mention) -> None:
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
            self.order.ask(scope.dag, scope.position, verdict, mention)
            if self.reads is not None:
                self.reads.append((verdict, mention))
        else:
            owner = scope.loop or scope.inputs[0]
            self.deferred.setdefault(id(owner), (owner, []))[1].append(mention)
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
