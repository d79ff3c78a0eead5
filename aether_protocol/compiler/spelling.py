"""Plain scalars of YAML that are meant as text keep their spelling, and others that lose theirs are reported (DOC-10).

Law: this runs before anything looks at a value, so that checks, plan and snapshot see one and the same. What takes text by the
schema alone was settled as the document was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.symbols import Site, Symbol, Unit
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import Arguments, ExecutorSpec, Inputs, Loop, Outputs, Parameter, Task
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorTypes

_SPELT: Final = (int, float, bool)
_LOOSE: Final = ("any", "object", "array")  # types with room for numbers without being asked for them
_ANY: Final = Parameter(name="any")


class Spellings:
    """`types` None: what executors take is not known, so that their configs are left alone."""

    def __init__(self, findings: Findings, types: ExecutorTypes | None) -> None:
        self.findings = findings
        self.types = types
        self._restored: dict[int, list[tuple[Path, str]]] = {}  # by id of the document

    def tree(self, document: LoadedDocument) -> Json:
        """The tree of `document` with all that was restored."""
        restored = self._restored.get(id(document))
        if restored is None:
            return document.tree
        tree = json_copy(document.tree)
        for path, text in restored:
            node = tree
            for segment in path[:-1]:
                node = node[segment]
            node[path[-1]] = text
        return tree

    # --- values ---

    def parameter(self, entry: Parameter, type_: str, origin: Origin, path: Path) -> Parameter:
        """`entry`, which stands at `path`, as a parameter of type `type_`."""
        if type_ == "string":
            return self._text_parameter(entry, origin, path)
        if type_ in _LOOSE:
            for field in ("value", "default", "enum") if origin.document.places.spelt else ():
                if getattr(entry, field) is not None:
                    self._tell(origin, (*path, field))
        return entry

    def _text_parameter(self, entry: Parameter, origin: Origin, path: Path) -> Parameter:
        changed: dict[str, Any] = {}
        for field in ("value", "default"):
            given = getattr(entry, field)
            if (text := self._text(given, origin, (*path, field))) is not given:
                changed[field] = text
        members = entry.enum
        if members is not None and any(type(member) in _SPELT for member in members):
            changed["enum"] = [self._text(member, origin, (*path, "enum", index)) for index, member in enumerate(members)]
        return entry.changed(**changed) if changed else entry

    def _text(self, value: Json, origin: Origin, path: Path) -> Json:
        """`value`, which stands at `path` where text is meant."""
        if type(value) not in _SPELT or (text := origin.document.spelling(path)) is None:
            return value
        self._restored.setdefault(id(origin.document), []).append((path, text))
        return text

    def _tell(self, origin: Origin, path: Path, restored: AbstractSet[Path] = frozenset()) -> None:
        """Warn of numbers at or below `path` whose spelling is lost."""
        document = origin.document
        if not document.places.spelt or origin.suppressed(path):
            return
        for written, text, value in document.places.respelt(document.written(path)):
            where = (*path, *written[len(path) :])
            if where in restored:
                continue
            message = f"{text} is read as the number {value!r}"
            hint = f"put it in quotes if it is meant as text: '{text}'"
            self.findings.add(origin, where, Finding("AE915", message, hint))

    # --- definitions and calls ---

    def settle(self, symbols: Iterable[Symbol], libraries: Iterable[Unit]) -> None:
        """Every definition and the calls that it makes, and the arguments of `libraries`. Only YAML has spellings to keep."""
        symbols = [symbol for symbol in symbols if symbol.unit.origin.document.places.plain]
        for unit in libraries:
            path = (*unit.origin.base, "arguments", "parameters")
            unit.parameters = {
                name: self.parameter(entry, entry.resolved_type, unit.origin, (*path, index))
                for index, (name, entry) in enumerate(unit.parameters.items())
            }
        for symbol in symbols:
            self._symbol(symbol)
            for site in symbol.sites:
                if site.target is not None and site.target.inline:
                    self._symbol(site.target)
                    site.model = site.target.model if isinstance(site.target.model, Task) else site.model
        for symbol in symbols:
            for site in symbol.sites:
                self._site(symbol, site)

    def _symbol(self, symbol: Symbol) -> None:
        origin, path, model = symbol.unit.origin, symbol.path, symbol.model
        changed: dict[str, Any] = {}
        for field, given in (("inputs", model.inputs), ("outputs", model.outputs)):
            if given is not None and (settled := self._declared(given, origin, (*path, field))) is not given:
                changed[field] = settled
        if isinstance(model, Task) and model.executor is not None and model.executor.config:
            executor = self._executor(model.executor, origin, (*path, "executor", "config"))
            if executor is not model.executor:
                changed["executor"] = executor
        if changed:
            symbol.remodel(model.changed(**changed))

    def _declared(self, given: Inputs | Outputs, origin: Origin, path: Path) -> Inputs | Outputs:
        entries = [
            self.parameter(entry, entry.resolved_type, origin, (*path, "parameters", index))
            for index, entry in enumerate(given.parameters)
        ]
        if all(new is old for new, old in zip(entries, given.parameters, strict=True)):
            return given
        return given.changed(parameters=entries)

    def _site(self, symbol: Symbol, site: Site) -> None:
        model, target = site.model, site.target
        if model is None:
            return
        inputs = target.inputs if target is not None else {}
        changed: dict[str, Any] = {}
        if model.arguments is not None and model.arguments.parameters:
            arguments = self._arguments(model.arguments, inputs, site)
            if arguments is not model.arguments:
                changed["arguments"] = arguments
        if isinstance(model, Loop) and isinstance(model.items, list):
            items = self._items(model, inputs, site)
            if items is not None:
                changed["items"] = items
        if changed:
            site.model = model.changed(**changed)
            if isinstance(site.model, Loop):
                symbol.remodel(site.model)

    def _arguments(self, given: Arguments, inputs: Mapping[str, Parameter], site: Site) -> Arguments:
        origin, path = site.unit.origin, (*site.path, "arguments", "parameters")
        entries = [
            self.parameter(entry, inputs.get(entry.name, _ANY).resolved_type, origin, (*path, index))
            if entry.value is not None
            else entry
            for index, entry in enumerate(given.parameters)
        ]
        if all(new is old for new, old in zip(entries, given.parameters, strict=True)):
            return given
        return given.changed(parameters=entries)

    def _items(self, loop: Loop, inputs: Mapping[str, Parameter], site: Site) -> list[Json] | None:
        """The items with the fields that fill inputs of type string (LOOP-7) as text; None where nothing changes."""
        named = {entry.name for entry in loop.arguments.parameters} if loop.arguments is not None else set()
        texts = [name for name, entry in inputs.items() if entry.type == "string" and name not in named]
        items: list[Json] = list(loop.items or ())
        origin, path = site.unit.origin, (*site.path, "items")
        done: set[Path] = set()
        for index, item in enumerate(items) if texts else ():
            if not isinstance(item, dict):
                continue
            spelt = {
                name: self._text(item[name], origin, (*path, index, name)) for name in texts if type(item.get(name)) in _SPELT
            }
            if spelt:
                items[index] = item | spelt
                done.update((*path, index, name) for name in spelt)
        self._tell(origin, path, done)
        return items if done else None

    def _executor(self, executor: ExecutorSpec, origin: Origin, path: Path) -> ExecutorSpec:
        known = self.types.get(executor.type) if self.types is not None else None
        config = self._config(known.config if known is not None else (), executor.config, origin, path)
        return executor if config is executor.config else executor.changed(config=config)

    def _config(self, fields: Iterable[ConfigField], config: dict[str, Json], origin: Origin, path: Path) -> dict[str, Json]:
        """A config, or an object in one, which takes `fields`; it is the same one where nothing changes."""
        known = {field.name: field for field in fields}
        changed: dict[str, Json] = {}
        for name, value in config.items():
            settled = self._config_value(known.get(name), value, origin, (*path, name))
            if settled is not value:
                changed[name] = settled
        return config | changed if changed else config

    def _config_value(self, field: ConfigField | None, value: Json, origin: Origin, path: Path) -> Json:
        """A value of a config, which `field` takes."""
        if field is None:
            self._tell(origin, path)
        elif field.type == "string":
            return self._text(value, origin, path)
        elif field.fields and isinstance(value, dict):
            return self._config(field.fields, value, origin, path)
        elif field.text or field.items == "string":
            return self._texts(value, origin, path)
        elif field.type in _LOOSE and field.items not in ("integer", "number"):
            self._tell(origin, path)
        return value

    def _texts(self, value: Json, origin: Origin, path: Path) -> Json:
        """An array or object whose entries are text."""
        if isinstance(value, dict) and any(type(entry) in _SPELT for entry in value.values()):
            return {key: self._text(entry, origin, (*path, key)) for key, entry in value.items()}
        if isinstance(value, list) and any(type(entry) in _SPELT for entry in value):
            return [self._text(entry, origin, (*path, index)) for index, entry in enumerate(value)]
        return value
