"""Secrets in expressions, as far as it can be seen that a name is one (DATA-12).

Law: a parameter that comes from a secretKeyRef travels as a reference, from call to call, and no expression ever sees the
text. What is wired on is followed here through all calls; what tasks give is not, since it is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aether_protocol.compiler.findings import Finding
from aether_protocol.compiler.name_rules import Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.symbols import At, Site, Symbol, Unit
from aether_protocol.documents.models import Parameter
from aether_protocol.expressions import Name, Template


class Secrets:
    """The workflow parameters and inputs that are secrets."""

    def __init__(self, texts: Texts, parameters: Mapping[str, Parameter], definitions: Iterable[Symbol]) -> None:
        self._texts = texts
        self._parameters = {name for name, entry in parameters.items() if _direct(entry)}
        self._inputs: dict[int, set[str]] = {}  # by id of the definition
        symbols = list(definitions)
        if self._parameters or any(_begins(symbol) for symbol in symbols):
            self._spread(symbols)

    def fault(self, name: Name, scope: Scope) -> Finding | None:
        """The fault of `name` in an expression at `scope`, if it is a secret."""
        if not self._is_secret(name, scope.inputs, scope.units):
            return None
        message = f"{name.text!r} is a secret, which an expression may not use"
        return Finding("AE310", message, "hand it on by valueFrom.parameter or put it into text with a placeholder")

    def _is_secret(self, name: Name, inputs: Iterable[Symbol], units: Iterable[Unit]) -> bool:
        segments = name.segments
        if segments[0] == "workflow":
            at = 2 if len(segments) > 1 and segments[1] == "arguments" else 1
            if len(segments) < at + 2 or segments[at] != "parameters":
                return False
            wanted = segments[at + 1]
            libraries = (unit.parameters.get(wanted) for unit in units if unit.library)  # type: ignore[arg-type]
            return wanted in self._parameters or any(entry is not None and _direct(entry) for entry in libraries)
        if segments[0] != "inputs" or len(segments) < 3 or segments[1] != "parameters":
            return False
        owner = next((symbol for symbol in inputs if segments[2] in symbol.inputs or segments[2] in symbol.extras), None)
        return owner is not None and segments[2] in self._inputs.get(id(owner), ())

    def _spread(self, symbols: Iterable[Symbol]) -> None:
        """Follow every call once, and once more the calls of what turned out to take a secret."""
        todo = [(symbol, site) for symbol in symbols for site in symbol.callers]
        for symbol, site in todo:  # grows while it is walked
            if self._takes(symbol, site):
                todo += [(below.target, below) for below in symbol.sites if below.target is not None]

    def _takes(self, symbol: Symbol, site: Site) -> bool:
        """Whether one call brings a secret into an input that held none."""
        arguments = site.model.arguments if site.model is not None else None
        given = {entry.name: entry for entry in arguments.parameters} if arguments is not None else {}
        held = self._inputs.setdefault(id(symbol), set())
        before = len(held)
        for name in dict.fromkeys((*symbol.inputs, *given)):
            entry = given.get(name) or symbol.inputs[name]
            own = site.at is At.ROOT and name in self._parameters  # DATA-14
            if name not in held and (own or self._gives_secret(entry, site)):
                held.add(name)
        return len(held) > before

    def _gives_secret(self, entry: Parameter, site: Site) -> bool:
        """Whether the first source of `entry` is a secret, or text with one in it."""
        if _direct(entry):
            return True
        names: Iterable[Name] = ()
        if entry.value is not None:
            template = self._texts.template(entry.value)
            names = template.names if isinstance(template, Template) else ()
        elif entry.value_from is not None and (text := entry.value_from.parameter or entry.value_from.path):
            name = self._texts.name(text)
            names = (name,) if isinstance(name, Name) else ()
        owner = (site.owner,) if site.owner is not None else ()
        return any(self._is_secret(name, owner, (site.unit,)) for name in names)


def _direct(entry: Parameter) -> bool:
    return entry.value_from is not None and entry.value_from.secret_key_ref is not None and entry.value is None


def _begins(symbol: Symbol) -> bool:
    """Whether a secretKeyRef stands among the inputs of a definition, or in a call of it."""
    if any(map(_direct, symbol.inputs.values())):
        return True
    lists = (site.model.arguments for site in symbol.callers if site.model is not None)
    return any(_direct(entry) for given in lists if given is not None for entry in given.parameters)
