"""Literal values against declared types and enums, and inputs that nothing fills (SPEC-13, DATA-1..3, LOOP-7).

Law: only what is known before a run is judged; a value with a placeholder in it is not. Paths lead to the value that is
wrong, or to the call that leaves an input open.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import UNSET

from aether_protocol.compiler.findings import Finding, Findings, Near, Origin, Path
from aether_protocol.compiler.name_rules import Names
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.sources import literal_of
from aether_protocol.compiler.symbols import At, Site, Symbol
from aether_protocol.documents.models import Artifact, Loop, Parameter, Task
from aether_protocol.expressions.values import ABSENT, Json, as_text, equal, fit, type_name
from aether_protocol.plan.executors import input_variable
from aether_protocol.plan.model import Kind

_ANY: Final = ""  # counts the items that may have any field; no parameter has this name
NAME_END: Final = r"[.\[]"  # where the bare name of an aggregated parameter ends


class ValueChecks:
    """Walks definitions and calls."""

    def __init__(self, findings: Findings, texts: Texts) -> None:
        self.findings = findings
        self.texts = texts
        self._required: dict[int, tuple[list[str], list[str]]] = {}
        self._declared_variables: dict[int, Mapping[str, str]] = {}
        self._near: dict[tuple[int, str], str | None] = {}
        self._fields: dict[int, Counter[str]] = {}  # by id of a loop: in how many of its items each field stands
        self._members: dict[int, frozenset[tuple[bool, Json]]] = {}  # by id of a declaration: the plain members of its enum

    # --- declarations ---

    def declared(self, entries: Iterable[Parameter], origin: Origin, path: Path) -> None:
        """Each entry's own literals: enum members, `value`, `default`."""
        for index, entry in enumerate(entries):
            if entry.type != "any" or entry.enum is not None:
                self.parameter(entry, origin, (*path, index))

    def parameter(self, entry: Parameter, origin: Origin, path: Path) -> None:
        """The literals of the entry at `path`."""
        for position, member in enumerate(entry.enum or ()):
            if fit(member, entry.resolved_type) is ABSENT:
                message = f"{as_text(member)} does not fit {entry.resolved_type}, the declared type of {entry.name!r}"
                self.findings.add(origin, (*path, "enum", position), Finding("AE215", message))
        value = literal_of(entry.value, self.texts)
        if value is not ABSENT and value is not None:
            self.fits(value, entry, origin, (*path, "value"))
        if entry.default_written is not UNSET:
            self.fits(entry.default, entry, origin, (*path, "default"))

    def fits(self, value: Json, declared: Parameter, origin: Origin, path: Path) -> None:
        """A literal against a declaration."""
        type_ = declared.resolved_type
        if fit(value, type_) is ABSENT:
            message = f"{declared.name!r} must be {type_}, not {type_name(value)} {_shown(value)}"
            self.findings.add(origin, path, Finding("AE213", message, _advice(value, type_)))
        elif declared.enum and not self._member(value, declared, declared.enum):
            allowed = _listed(declared.enum)
            message = f"{declared.name!r} must be one of {allowed}, not {_shown(value)}"
            self.findings.add(origin, path, Finding("AE214", message))

    def _member(self, value: Json, declared: Parameter, enum: list[Json]) -> bool:
        """Whether `value` is in an enum; plain values of a long one are looked up."""
        if len(enum) > 8 and not isinstance(value, list | dict):
            members = self._members.get(id(declared))
            if members is None:
                plain = ((isinstance(one, bool), one) for one in enum if not isinstance(one, list | dict))
                members = self._members[id(declared)] = frozenset(plain)
            return (isinstance(value, bool), value) in members
        return any(equal(value, member) for member in enum)

    def symbol(self, symbol: Symbol) -> None:
        """The declarations of a definition."""
        origin, path = symbol.unit.origin, symbol.path
        inputs, outputs = symbol.model.inputs, symbol.model.outputs
        if inputs is not None:
            self.declared(inputs.parameters, origin, (*path, "inputs", "parameters"))
            if symbol.kind is Kind.TASK and len(inputs.parameters) > 1:
                self._variables(inputs.parameters, {}, origin, (*path, "inputs", "parameters"))
        if outputs is not None:
            self.declared(outputs.parameters, origin, (*path, "outputs", "parameters"))

    def _variables(self, entries: list[Parameter], taken: Mapping[str, str], origin: Origin, path: Path) -> None:
        """DOC-4: the inputs of a task that no program could tell apart; `taken` are inputs by variable, declared elsewhere."""
        seen: dict[str, str] = {}
        for index, entry in enumerate(entries):
            variable = input_variable(entry.name)
            other = taken.get(variable) or seen.setdefault(variable, entry.name)
            if other != entry.name:
                message = f"inputs {other!r} and {entry.name!r} both become the environment variable {variable}"
                self.findings.add(origin, (*path, index, "name"), Finding("AE217", message, "rename one of them"))

    # --- calls ---

    def site(self, site: Site) -> None:
        """The arguments of a call against the inputs of what it calls."""
        target = site.target
        if target is None:
            return
        arguments = site.model.arguments if site.model is not None else None
        given: Mapping[str, Parameter] = {}
        if arguments is not None:
            given = {entry.name: entry for entry in arguments.parameters}
            self._arguments(site, arguments.parameters, given, target)
            if target.kind is Kind.TASK and not given.keys() <= target.inputs.keys():
                path = (*site.path, "arguments", "parameters")
                self._variables(arguments.parameters, self._taken(target), site.unit.origin, path)
        if not target.inputs and not target.artifacts:
            return
        names, artifacts = self.required(target)
        if site.at is At.ROOT:
            return  # workflow parameters fill them; see `entry`
        for name in names:
            entry = given.get(name)
            if entry is None or (entry.value is None and entry.value_from is None):
                self._missing(site, target, name, entry is not None)
        if artifacts:
            passed = {a.name for a in arguments.artifacts if has_origin(a)} if arguments is not None else set()
            for name in artifacts:
                if name not in passed:
                    self._open(site, target, f"input artifact {name!r}", "give it in arguments.artifacts")

    def _taken(self, symbol: Symbol) -> Mapping[str, str]:
        """The declared inputs by the environment variable that they become."""
        found = self._declared_variables.get(id(symbol))
        if found is None:
            found = self._declared_variables[id(symbol)] = {input_variable(name): name for name in symbol.inputs}
        return found

    def required(self, symbol: Symbol) -> tuple[list[str], list[str]]:
        """The declared inputs (parameters, artifacts) that no declared source fills."""
        found = self._required.get(id(symbol))
        if found is None and symbol.unit.origin.touched((*symbol.path, "inputs")):
            found = self._required[id(symbol)] = ([], [])  # what the reader dropped may have filled them
        if found is None:
            found = self._required[id(symbol)] = (
                [name for name, entry in symbol.inputs.items() if not has_source(entry)],
                [name for name, entry in symbol.artifacts.items() if not (has_origin(entry) or entry.optional)],
            )
        return found

    def entry(self, target: Symbol, parameters: Mapping[str, Parameter], artifacts: Iterable[str]) -> None:
        """The entrypoint's inputs take workflow parameters of the same name (DATA-14)."""
        names, wanted = self.required(target)
        given = set(artifacts)
        path = (*target.path, "inputs")
        for noun, field, missing in (
            ("input", "parameters", [name for name in names if name not in parameters]),
            ("input artifact", "artifacts", [name for name in wanted if name not in given]),
        ):
            origin = target.unit.origin
            if origin.uncertain((*origin.base, "arguments", field)):
                continue
            places = {entry.name: index for index, entry in enumerate(getattr(target.model.inputs, field) if missing else ())}
            for name in missing:
                index = places[name]
                fault = Finding(
                    "AE212",
                    f"{noun} {name!r} of the entrypoint {target.name!r} gets no value",
                    f"declare {name!r} in spec.arguments.{field} or give it a default",
                )
                self.findings.add(origin, (*path, field, index), fault)

    def _arguments(self, site: Site, entries: list[Parameter], given: Collection[str], target: Symbol) -> None:
        origin = site.unit.origin
        for index, entry in enumerate(entries):
            declared = target.inputs.get(entry.name)
            if declared is None:
                if target.inputs and not target.unit.origin.uncertain((*target.path, "inputs", "parameters")):
                    self._undeclared(site, given, index, entry.name, target)
                continue
            if declared.type != "any" or declared.enum is not None:
                value = literal_of(entry.value, self.texts)
                if value is not ABSENT and value is not None:
                    self.fits(value, declared, origin, (*site.path, "arguments", "parameters", index, "value"))

    def _undeclared(self, site: Site, given: Collection[str], index: int, name: str, target: Symbol) -> None:
        """An argument that may be meant for a declared input, which this call does not give otherwise."""
        key = (id(target), name)
        if key not in self._near:
            self._near[key] = self.findings.suggestions.nearest(name, target.inputs, 0.75)
        meant = self._near[key]
        if meant is not None and meant not in given:
            message = f"{target.name!r} declares no input {name!r}; it is passed on as it is"
            path = (*site.path, "arguments", "parameters", index, "name")
            self.findings.add(site.unit.origin, path, Finding("AE905", message, f"did you mean {meant!r}?"))

    def _missing(self, site: Site, target: Symbol, name: str, empty: bool) -> None:
        if site.at is At.HOOK:
            message = f"input {name!r} of {target.name!r} gets no value in a hook, which has no arguments"
            hint = "give it a default, or a valueFrom that names hook.*"
            self.findings.add(site.unit.origin, (*site.path, "template"), Finding("AE906", message, hint))
            return
        if isinstance(site.model, Loop) and not empty and self._filled_by_items(site.model, site, target.inputs[name]):
            return
        hint = "null is not a value" if empty else "add it to the arguments or give the input a default"
        self._open(site, target, f"input {name!r}", hint)

    def _open(self, site: Site, target: Symbol, what: str, hint: str) -> None:
        path = (*site.path, "arguments") if site.model is not None and site.model.arguments is not None else site.path
        origin = site.unit.origin
        if origin.uncertain(site.path) or origin.touched((*site.path, "arguments")):
            return
        called = "" if isinstance(site.model, Task) and target.inline else f" of {target.name!r}"
        caller = f"loop {site.owner.name!r}" if site.at is At.LOOP and site.owner is not None else f"task {site.name!r}"
        self.findings.add(origin, path, Finding("AE212", f"{caller} gives no value for {what}{called}", hint))

    def _filled_by_items(self, loop: Loop, site: Site, declared: Parameter) -> bool:
        """LOOP-7: whether fields of the items may fill an input. Says itself what is wrong with literal items."""
        if loop.repeat_condition is not None:
            return False
        name = declared.name
        if not isinstance(loop.items, list):
            message = f"input {name!r} of {site.name!r} is given only where every item is an object with that field"
            fault = Finding("AE907", message, f"name {name!r} in the arguments of the loop, if that is not meant")
            self.findings.add(site.unit.origin, (*site.path, "body"), fault)
            return True
        found = self._fields.get(id(loop))
        if found is None:
            found = self._fields[id(loop)] = Counter(key for item in loop.items if isinstance(item, dict) for key in item)
            found[_ANY] = sum(map(_unknown, loop.items))
        return found[name] + found[_ANY] == len(loop.items)

    def items(self, site: Site) -> None:
        """Fields of literal items against the inputs of the body that they fill."""
        loop, target = site.model, site.target
        if not isinstance(loop, Loop) or target is None or not isinstance(loop.items, list) or not target.inputs:
            return
        named = {entry.name for entry in loop.arguments.parameters} if loop.arguments is not None else set()
        filled = {name: entry for name, entry in target.inputs.items() if name not in named}
        for index, item in enumerate(loop.items):
            for name in item if isinstance(item, dict) else ():
                entry = filled.get(name)
                value = literal_of(item[name], self.texts) if entry is not None else ABSENT
                if entry is not None and value is not ABSENT:
                    self.fits(value, entry, site.unit.origin, (*site.path, "items", index, name))


def check_aggregate(loop: Symbol, names: Names, findings: Findings) -> None:
    """LOOP-6: what is aggregated is an output of the body, and what is declared is aggregated, as far as can be known."""
    model, origin = loop.model, loop.unit.origin
    body = loop.sites[0].target
    assert isinstance(model, Loop)
    gives = names.gives(body) if body is not None else None
    if body is not None and gives is not None and body.unit.origin.uncertain((*body.path, "outputs", "parameters")):
        gives = None
    chosen = model.aggregate.parameters if model.aggregate is not None else None
    for index, name in enumerate(chosen or ()):
        if gives is not None and name not in gives:
            fault = Finding("AE216", f"the body {model.body!r} has no output {name!r}", Near(name, gives))
            findings.add(origin, (*loop.path, "aggregate", "parameters", index), fault)
    known = frozenset(chosen) if chosen is not None else gives
    lists = ((*loop.path, "aggregate", "parameters"), (*loop.path, "outputs", "parameters"))
    if known is None or model.outputs is None or any(origin.uncertain(list_) for list_ in lists):
        return
    for index, entry in enumerate(model.outputs.parameters):
        path, given = (*loop.path, "outputs", "parameters", index), entry.value_from
        if given is None:
            if entry.name not in known:
                message = f"loop {loop.name!r} aggregates nothing named {entry.name!r}"
                hint = Near(entry.name, known, "add a valueFrom, or take it into aggregate.parameters")
                findings.add(origin, path, Finding("AE216", message, hint))
            continue
        for field, text in (("parameter", given.parameter), ("path", given.path)):
            if text is not None and re.split(NAME_END, text.strip(), maxsplit=1)[0] not in known:
                message = f"loop {loop.name!r} aggregates nothing named {text!r}"
                hint = Near(text, known, "name an aggregated parameter by its bare name")
                findings.add(origin, (*path, "valueFrom", field), Finding("AE216", message, hint))


def has_source(entry: Parameter) -> bool:
    """Whether a declaration says where its value may come from (DATA-1)."""
    return entry.value is not None or entry.value_from is not None or entry.default_written is not UNSET


def has_origin(entry: Artifact) -> bool:
    """Whether an artifact says where it comes from (ART-2)."""
    return entry.from_ is not None or entry.source is not None


def _listed(enum: list[Json]) -> str:
    more = f" and {len(enum) - 20} more" if len(enum) > 20 else ""
    return ", ".join(map(as_text, enum[:20])) + more


def _unknown(item: Json) -> bool:
    return isinstance(item, str) and "{{" in item


def _shown(value: Json) -> str:
    text = as_text(value)
    return repr(value)[:80] if isinstance(value, str) else text[:80]


def _advice(value: Json, type_: str) -> str | None:
    if isinstance(value, str) and type_ in ("integer", "number", "boolean"):
        return "take the quotes away"
    return "put it in quotes" if type_ == "string" and isinstance(value, int | float) else None
