"""What is wrong with the fields of a document, all at once (DOC-5, DOC-7), and a repaired tree to look further into.

Law: this walks the published schema itself, so it finds a fault exactly where the schema does; a property test keeps both
verdicts equal. A fault is reported once, where it is: what was repaired, filled in or dropped is `repaired`, and
what follows from it is not reported. An unknown field whose near neighbour is missing is read as that neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.documents.messages import ARTICLES, FORMS, NAME, VALUE_NAME, Path, listed, nearest, shown
from aether_protocol.documents.models import ONE_OF
from aether_protocol.documents.schema import REF, Schema
from aether_protocol.documents.tree import FAULTY, MERGE
from aether_protocol.expressions.values import Json

Report = Callable[[str, Path, str, str | None, bool], None]
"""code, path as written, message, hint, and whether the key (and not the value) is at fault."""

_TYPES: Final[dict[str, Callable[[Json], bool]]] = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}


_OTHERS: Final = "; keys of other programs have a dot"
_HOLDERS: Final = ("Inputs", "Outputs", "Arguments")  # all that they hold is the lists below: a field in vain may be one


class Repaired(Struct):
    """The result: the tree, the paths in it whose content is not what was written, and where entries have moved.

    `repaired`: fields that were filled in, dropped or read as something else. `incomplete`: lists and mappings of which
    entries were dropped, so that what is not in them may well have been meant. `moved`: by path of a container in the
    repaired tree, what each of its segments was when written.
    """

    tree: Json = None
    repaired: set[Path] = field(default_factory=set)
    incomplete: set[Path] = field(default_factory=set)
    moved: dict[Path, dict[str | int, str | int]] = field(default_factory=dict)


class _Place(Struct, frozen=True):
    """Where a value stands: in the repaired tree, and as written."""

    path: Path
    written: Path

    def below(self, segment: str | int, written: str | int) -> _Place:
        return _Place((*self.path, segment), (*self.written, written))


def explain(schema: Schema, tree: Json, report: Report) -> Repaired:
    """Check `tree` against `schema`, report every fault, and repair it. A tree of no known kind stays without a spec."""
    walk = _Walk(schema["$defs"], report)
    root = {**schema, "properties": {**schema["properties"], "spec": {}}}
    document = walk.value(root, tree, _Place((), ()))
    result = walk.result
    if type(document) is not dict:
        return result
    if ("kind",) in walk.filled:
        if ("apiVersion",) in walk.filled:
            return result  # a document of another kind of system: one finding is enough
        document["kind"] = _likely_kind(document["spec"])
    branch = next(b for b in schema["allOf"] if b["if"]["properties"]["kind"]["const"] == document["kind"])
    written = result.moved.get((), {}).get("spec", "spec")
    spec = branch["then"]["properties"]["spec"]
    if ("spec",) in result.repaired:
        document["spec"] = walk.filler(spec, ("spec",))
    else:
        fixed = walk.value(spec, document["spec"], _Place(("spec",), (written,)))
        document["spec"] = walk.filler(spec, ("spec",)) if fixed is FAULTY else fixed
    result.tree = document
    return result


def _likely_kind(spec: Json) -> str:
    """What a document without a usable kind probably is, so that the rest of it can be checked all the same."""
    fields = spec if type(spec) is dict else {}
    if "workflowSpec" in fields or "schedule" in fields:
        return "CronWorkflow"
    return "Workflow" if "entrypoint" in fields or "workflowTemplateRef" in fields else "WorkflowTemplate"


def ill_formed(schema: Schema, value: str) -> str | None:
    """What `value` is instead of the kind of text that `schema` asks for."""
    fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    if not fits or not _matches(schema["pattern"], value):
        return f"not {schema['title']}"
    unwanted = schema.get("not")
    return "zero, and a duration is longer" if unwanted and _matches(unwanted["pattern"], value) else None


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value) is not None


class _Walk:
    """One walk over one document."""

    def __init__(self, definitions: Schema, report: Report) -> None:
        self._definitions = definitions
        self._report = report
        self._unnamed = 0
        self.filled: set[Path] = set()
        self.result = Repaired()

    def value(self, schema: Schema, value: Json, place: _Place) -> Json:
        """The repaired value, or FAULTY where nothing is left of it."""
        if value is FAULTY:
            self.result.repaired.add(place.path)
            return FAULTY
        name = ""
        while "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            schema = self._definitions[name]
        if "type" in schema.get("if", ()):
            schema = schema["then"] if _TYPES[schema["if"]["type"]](value) else self._alternative(schema, value)
            return self.value(schema, value, place)
        kind = schema.get("type")
        if kind is not None and not _TYPES[kind](value):
            return self._wrong_type(schema, value, place)
        if (allowed := schema.get("enum") or ([schema["const"]] if "const" in schema else None)) is not None:
            return self._choice(allowed, value, place)
        if kind == "object":
            return self._object(schema, name, value, place)
        if kind == "array":
            return self._array(schema, value, place)
        if kind == "string":
            return self._text(schema, value, place)
        if kind is not None:
            return self._number(schema, value, place)
        return self._scrub(value, place)

    def _alternative(self, schema: Schema, value: Json) -> Schema:
        """The other branch of a choice by type; where the value has neither type, one that names both."""
        first, second = schema["if"]["type"], self._target(schema["else"])
        if _TYPES[second["type"]](value):
            return second
        return {"type": second["type"], "expected": f"{ARTICLES[first]} or {ARTICLES[second['type']]}"}

    def _say(self, code: str, place: _Place, message: str, hint: str | None, *, key: bool = False) -> None:
        self._report(code, place.written, message, hint, key)

    def _drop(self, place: _Place) -> Json:
        self.result.repaired.add(place.path)
        return FAULTY

    def _wrong_type(self, schema: Schema, value: Json, place: _Place) -> Json:
        title = schema.get("title")
        wanted = schema.get("expected") or (title if title in FORMS else ARTICLES[schema["type"]])
        hint = None
        if value is None:
            hint = "give it a value (indented further than the field), or leave the field out"
        elif schema["type"] == "string" and type(value) in (bool, int, float):
            fits = "pattern" not in schema or _matches(schema["pattern"], str(value))
            hint = "put it in quotes" if fits or title not in FORMS else FORMS[title]
        elif schema["type"] == "array":
            hint = "write it as a list" if type(value) is not dict else "write it as a list: each entry begins with `- `"
        elif schema["type"] == "object" and schema.get("properties"):
            hint = f"give it fields: {', '.join(schema['properties'])}"
        self._say("AE122", place, f"expected {wanted}, found {shown(value)}", hint)
        return self._drop(place)

    def _choice(self, allowed: list[Json], value: Json, place: _Place) -> Json:
        if type(value) is str and value in allowed:
            return value
        near = nearest(value, allowed) if type(value) is str else None
        hint = f"did you mean {near!r}?" if near else None
        expected = f"one of {listed(allowed, 'or')}" if len(allowed) > 1 else repr(allowed[0])
        self._say("AE123", place, f"expected {expected}, found {shown(value)}", hint)
        self.result.repaired.add(place.path)
        return near if near is not None else FAULTY

    def _text(self, schema: Schema, value: str, place: _Place) -> Json:
        """Ill-formed text is kept: an ill-formed name is still what others refer to, or what they would if it were right."""
        if "pattern" in schema and (fault := ill_formed(schema, value)):
            self._say("AE124", place, f"{shown(value)} is {fault}", FORMS[schema["title"]])
            if schema["title"] not in (NAME, VALUE_NAME):
                self.result.repaired.add(place.path)
            elif place.path[-1] == "name":
                self.result.incomplete.update(place.path[:-up] for up in (2, 3) if type(place.path[-up:][0]) is int)
        return value

    def _number(self, schema: Schema, value: Any, place: _Place) -> Json:
        least, most = schema.get("minimum"), schema.get("maximum")
        if (least is not None and value < least) or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            self._say("AE125", place, f"{shown(value)} is out of bounds", f"give a number {bounds}")
            return self._drop(place)
        return value

    def _array(self, schema: Schema, value: list[Json], place: _Place) -> Json:
        if not value and schema.get("minItems"):
            self._say("AE125", place, "the list is empty", "give at least one entry")
            self.result.repaired.add(place.path)
        kept: list[Json] = []
        moved: dict[str | int, str | int] = {}
        for index, entry in enumerate(value):
            fixed = self.value(schema["items"], entry, place.below(len(kept), index))
            if fixed is FAULTY:
                self._forget((*place.path, len(kept)))  # the next entry takes this place
                self.result.incomplete.add(place.path)
            else:
                if index != len(kept):
                    moved[len(kept)] = index
                kept.append(fixed)
        if moved:
            self.result.moved[place.path] = moved
        return kept

    def _object(self, schema: Schema, name: str, value: dict[str, Json], place: _Place) -> Json:
        fields: Schema = schema.get("properties", {})
        others = schema.get("additionalProperties", False)
        dotted = "patternProperties" in schema  # the only pattern is that of keys with a dot
        meant = self._spelling(fields, value, place, dotted=dotted) if others is False else {key: key for key in value}
        if name in _HOLDERS and len(meant) < len(value):
            self.result.incomplete.add(place.path)
        result: dict[str, Json] = {}
        for known, written in meant.items():
            schema_below: Any = fields.get(known, {} if dotted else others)
            fixed = self.value({} if schema_below is True else schema_below, value[written], place.below(known, written))
            if fixed is not FAULTY:
                result[known] = fixed
        whole = MERGE not in value
        if whole:
            self._presence(schema, ONE_OF.get(name, ()), result, meant, place)
        else:
            self.result.incomplete.add(place.path)
        for required in schema.get("required", ()):
            if required not in result:
                if required not in meant and whole:
                    constant = fields[required].get("const")
                    about = f"write {required}: {constant}" if constant else self._description(fields[required])
                    self._say("AE121", place, f"missing field {required!r}", about, key=True)
                result[required] = self.filler(fields[required], (*place.path, required))
        return FAULTY if name == "TemplateSpec" and not result else result

    def _spelling(self, fields: Schema, value: dict[str, Json], place: _Place, *, dotted: bool) -> dict[str, str]:
        """What each field is meant to be: known name -> as written. Unknown ones are reported here, but for `dotted` keys."""
        meant = {key: key for key in value if key in fields or (dotted and "." in key)}
        for key in value:
            if key in meant or key == MERGE:
                continue
            near = nearest(key, fields)
            known = f"known fields here: {', '.join(fields)}{_OTHERS if dotted else ''}"
            hint = f"did you mean {near!r}?" if near is not None else known
            self._say("AE120", place.below(key, key), f"unknown field {shown(key)}", hint, key=True)
            if near is not None and near not in meant and self._could_be(fields[near], value[key]):
                meant[near] = key
                self.result.moved.setdefault(place.path, {})[near] = key
        return meant

    def _could_be(self, schema: Schema, value: Json) -> bool:
        """Whether `value` has the type that `schema` asks for, as far as it asks for one."""
        schema = self._target(schema)
        return "type" not in schema or value is FAULTY or _TYPES[schema["type"]](value)

    def _target(self, schema: Schema) -> Schema:
        """`schema`, or the definition that it refers to."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix(REF)]
        return schema

    def _presence(
        self, schema: Schema, names: tuple[str, ...], result: Json, meant: dict[str, str], place: _Place
    ) -> None:
        """The rules over which fields are given; exactly one of `names` where there are any."""
        for given, needed in schema.get("dependentRequired", {}).items():
            for other in needed if given in meant else ():
                if other not in meant:
                    message, hint = f"missing field {other!r}", f"it is needed with {given!r}"
                    self._say("AE121", place, message, hint, key=True)
                    self.result.repaired.add((*place.path, other))
        for given, below in schema.get("dependentSchemas", {}).items():
            for other in below["properties"] if given in meant else ():
                if other in meant:
                    message = f"field {other!r} does not go with {given!r}"
                    self._say("AE127", place.below(other, meant[other]), message, "remove one of them", key=True)
                    self._drop(place.below(other, other))
                    result.pop(other, None)
        if not names:
            return
        given_names = [name for name in meant if name in names]
        if len(given_names) != 1:
            found = listed(given_names, "and") if given_names else "none"
            message = f"expected exactly one of {listed(names, 'and')}, found {found}"
            if given_names or not any(name in schema.get("required", ()) for name in names):
                self._say("AE126", place, message, "keep one of them" if given_names else "add one of them", key=True)
            self.result.repaired.update((*place.path, name) for name in names)
            for extra in given_names[1:]:
                result.pop(extra, None)

    def _forget(self, path: Path) -> None:
        """Nothing at `path` or below it is in the repaired tree."""
        size = len(path)
        for known in (self.result.repaired, self.result.incomplete):
            known.difference_update([other for other in known if other[:size] == path])
        for other in [other for other in self.result.moved if other[:size] == path]:
            del self.result.moved[other]

    def filler(self, schema: Schema, path: Path) -> Json:
        """A value for a field that is needed and not there."""
        self.result.repaired.add(path)
        self.filled.add(path)
        name = schema.get("$ref", "").removeprefix(REF)
        target = self._definitions[name] if name else schema
        if name in ("Name", "ValueName"):
            self._unnamed += 1
            return f"unnamed-{self._unnamed}"
        if "enum" in target or "const" in target:
            return target["enum"][0] if "enum" in target else target["const"]
        kind = target.get("type")
        if kind == "object":
            fields = target["properties"]
            return {key: self.filler(fields[key], (*path, key)) for key in target.get("required", ())}
        return {"array": [], "string": ""}.get(str(kind))

    def _description(self, schema: Schema) -> str | None:
        text: str | None = schema.get("description")
        return text and text[0].lower() + text[1:].removesuffix(".")

    def _scrub(self, value: Json, place: _Place) -> Json:
        """A value of any kind: only what could not be read is taken out."""
        if type(value) is dict:
            return {key: None if (fixed := self._scrub(entry, place)) is FAULTY else fixed for key, entry in value.items()}
        if type(value) is list:
            return [None if (fixed := self._scrub(entry, place)) is FAULTY else fixed for entry in value]
        if value is FAULTY:
            self.result.repaired.add(place.path)
        return value
