"""Checks a config against the JSON Schema that an executor type declares (SPEC-15).

The verdict is jsonschema-rs's where it can be imported; jsonschema looks only at what was refused, and says what is wrong and
where, so that a valid config never pays for explanations. While placeholders are not filled in, every value may be a
text with `{{` in it: `opened` makes such a schema, which is never stricter than the one that it is made of.

Law: a schema is foreign (a worker declares it), and so is the config, so no pair of them takes more time than their sizes
allow: patterns are matched in linear time, and a schema whose references unfold too far is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NoReturn

from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.sizes import parse_size
from aether_protocol.expressions.values import Json, as_text, has_secret, type_name
from aether_protocol.plan.config_fields import ConfigFault
from aether_protocol.plan.schema_extent import check_extent

UNKNOWN: Final = {"type": "string", "pattern": r"\{\{"}  # a text that is not known yet

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]


def check_schema(what: str, schema: Schema, config: Json, *, placeholders: bool) -> list[ConfigFault]:
    """All faults of `config`, which is that of `what`. `placeholders`: text with `{{` in it is not known yet and fits anywhere.

    A schema that cannot be used is a fault, too: it is foreign.
    """
    config = {} if config is None else config
    if has_secret(config):
        config = redacted(config)
    try:
        judge = _judge_of(schema, placeholders=placeholders)
        if judge.accepts(config):
            return []
        return list(_Explainer(what, judge.schema).faults(judge.errors(config))) or [judge.verdict(what, config)]
    except RecursionError:
        return [ConfigFault((), f"the config of {what} is nested too deeply")]
    except Exception as error:
        return [ConfigFault((), f"the schema that {what} declares cannot be used: {error}"[:300])]


def opened(schema: Json) -> Json:
    """The schema in which each property and each entry of a list may be an unknown text, too. References stay as they are."""
    if isinstance(schema, list):
        return [opened(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    open_: dict[str, Json] = {}
    for word, value in schema.items():
        if word in _NAMED:
            open_[word] = {name: _or_unknown(below) if word != "$defs" else opened(below) for name, below in value.items()}
        elif word in _VALUES:
            open_[word] = [_or_unknown(one) for one in value] if isinstance(value, list) else _or_unknown(value)
        elif word == "oneOf":  # an unknown text may fit several
            open_.setdefault("allOf", []).append({"anyOf": opened(value)})
        elif word == "allOf":
            open_.setdefault("allOf", []).extend(opened(value))
        elif word == "anyOf":
            open_[word] = opened(value)
        elif word not in _DEEP:
            open_[word] = value
    return open_


_DEEP: Final = frozenset(  # what these say may depend on a value that is not known yet
    {
        *("if", "then", "else", "not", "dependentSchemas", "propertyNames"),
        *("uniqueItems", "contains", "minContains", "maxContains"),
    }
)


_NAMED: Final = frozenset({"properties", "patternProperties", "$defs"})
_VALUES: Final = frozenset({"additionalProperties", "items", "prefixItems", "unevaluatedProperties", "unevaluatedItems"})


def _or_unknown(schema: Json) -> Json:
    return schema if isinstance(schema, bool) else {"if": UNKNOWN, "else": opened(schema)}


# --- the verdict ----------------------------------------------------------------------------------------------------


class _Judge:
    """One schema, ready to be asked. `errors` loads jsonschema."""

    def __init__(self, schema: Schema) -> None:
        check_extent(schema)
        self.schema = schema
        self._rust = _rust_validator(schema)
        self.accepts: Callable[[Json], bool] = self._python_verdict() if self._rust is None else self._rust.is_valid
        self._validator: Any = None

    def errors(self, config: Json) -> Sequence[Any]:
        if self._validator is None:
            self._validator = _python_validator(self.schema)
        return list(self._validator.iter_errors(config))

    def verdict(self, what: str, config: Json) -> ConfigFault:
        """What is wrong, where only the verdict knows: of words that are not explained."""
        first = None if self._rust is None else next(iter(self._rust.iter_errors(config)), None)
        if first is None:
            return ConfigFault((), f"the config of {what} does not fit its schema")
        return ConfigFault(tuple(first.instance_path), f"the config of {what} does not fit: {first.message}"[:300])

    def _python_verdict(self) -> Callable[[Json], bool]:
        verdict: Callable[[Json], bool] = _python_validator(self.schema).is_valid
        return verdict


_MOST_KNOWN: Final = 256
_MOST_SAID: Final = 50  # names or values in one message
_known: dict[tuple[int, bool], tuple[Schema, _Judge]] = {}  # by identity: the schema is held, so its id stays its own


def _judge_of(schema: Schema, *, placeholders: bool) -> _Judge:
    key = id(schema), placeholders
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:  # workers come and go, and each declares anew
            del _known[next(iter(_known))]
        _known[key] = schema, _Judge(opened(schema) if placeholders else schema)
    return _known[key][1]


def _no_retrieval(uri: str) -> NoReturn:
    raise LookupError(f"{uri!r} is not read: a schema refers to itself alone")


def _is_duration(value: Json) -> bool:
    try:
        return not isinstance(value, str) or parse_duration(value) is not None
    except ValueError:
        return False


def _is_size(value: Json) -> bool:
    try:
        return not isinstance(value, str) or parse_size(value) is not None
    except ValueError:
        return False


_FORMATS: Final[Mapping[str, Callable[[Json], bool]]] = {"aether-duration": _is_duration, "aether-size": _is_size}


def _rust_validator(schema: Schema) -> Any:
    try:
        from jsonschema_rs import Draft202012Validator
    except ImportError:
        return None
    formats = dict(_FORMATS)
    return Draft202012Validator(dict(schema), retriever=_no_retrieval, formats=formats, validate_formats=True)


def _python_validator(schema: Schema) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing import Registry

    from aether_protocol.plan.schema_words import bounded

    checker = FormatChecker(())
    for name, fits in _FORMATS.items():
        checker.checks(name)(fits)
    registry: Any = Registry(retrieve=_no_retrieval)  # type: ignore[call-arg]  # an attrs class with an alias
    Draft202012Validator.check_schema(schema)
    return bounded(Draft202012Validator, schema)(schema, registry=registry, format_checker=checker)


# --- what is wrong --------------------------------------------------------------------------------------------------


class _Explainer:
    """Says in the words of this package what jsonschema found."""

    def __init__(self, what: str, schema: Schema) -> None:
        self._what = what
        self._schema = schema
        self._suggestions = Suggestions(500)
        self._meant: set[tuple[Path, str]] = set()  # by misspelt names: they are reported once, and not as missing too

    def faults(self, errors: Sequence[Any]) -> Iterator[ConfigFault]:
        """The faults, in the order of their places, without those that are said twice."""
        found: dict[tuple[Path, str], ConfigFault] = {}
        leaves = [leaf for error in errors for leaf in self._leaves(error)]
        for error in sorted(leaves, key=lambda one: one.validator != "additionalProperties"):  # misspelt names first
            for fault in self._fault(error):
                found.setdefault((fault.path, fault.message), fault)
        yield from sorted(found.values(), key=lambda fault: [str(step) for step in fault.path])

    def _leaves(self, error: Any) -> Iterator[Any]:
        """The faults of the branch that was most likely meant; the choice itself where none is likely."""
        if error.validator not in ("anyOf", "oneOf") or not error.context:
            yield error
            return
        branches: dict[Any, list[Any]] = {}
        for below in error.context:
            branches.setdefault(below.relative_schema_path[0], []).append(below)
        likely = [one for one in branches.values() if not any(_is_other_kind(below) for below in one)]
        if not likely:
            yield error
            return
        for below in min(likely, key=_unlikeness):
            yield from self._leaves(below)

    def _fault(self, error: Any) -> Iterator[ConfigFault]:
        path: Path = tuple(error.absolute_path)
        word, rule, value = error.validator, error.validator_value, error.instance
        if word in ("additionalProperties", "unevaluatedProperties") and isinstance(value, dict):
            yield from self._unknown(path, error.schema, value)
        elif word == "required":
            yield from self._missing(path, error.schema, value)
        elif word in ("anyOf", "oneOf") and (kinds := _kinds(error.context)):
            yield ConfigFault(path, f"{self._label(path)} must be {' or '.join(kinds)}, not {type_name(value)}")
        else:
            said = _WORDS.get(word)
            message = f"must {said(rule, value)}" if said is not None else f"does not fit: {error.message}"[:300]
            yield ConfigFault(path, f"{self._label(path)} {message}", error.schema.get("description"))

    def _unknown(self, path: Path, schema: Schema, value: dict[str, Json]) -> Iterator[ConfigFault]:
        from aether_protocol.plan.schema_words import is_found

        known = schema.get("properties") or {}
        patterns = schema.get("patternProperties") or ()
        for name in value:
            if name in known or any(is_found(pattern, name) for pattern in patterns):
                continue
            near = self._suggestions.nearest(name, known)
            if near is not None:
                self._meant.add((path, near))
            hint = f"did you mean {near!r}?" if near is not None else f"it takes {_some(known) or 'no fields'}"
            yield ConfigFault((*path, name), f"{self._holder(path)} has no config field {name!r}", hint)

    def _missing(self, path: Path, schema: Schema, value: Json) -> Iterator[ConfigFault]:
        properties = schema.get("properties") or {}
        for name in schema.get("required") or ():
            if name not in value and (path, name) not in self._meant:
                hint = properties.get(name, {})
                about = hint.get("else", hint).get("description") if isinstance(hint, Mapping) else None
                yield ConfigFault(path, f"{self._holder(path)} needs the config field {name!r}", about)

    def _holder(self, path: Path) -> str:
        return self._label(path) if path else self._what

    def _label(self, path: Path) -> str:
        """`'retries'`, `steps[0]`; the config itself where the path is empty."""
        if not path:
            return f"the config of {self._what}"
        numbers: list[str] = []
        for step in reversed(path):
            if isinstance(step, str):
                return f"{step}{''.join(reversed(numbers))}" if numbers else repr(step)
            numbers.append(f"[{step}]")
        return f"entry {''.join(reversed(numbers))}"


def _is_other_kind(error: Any) -> bool:
    """Whether it says that the value itself is of another type, so that this branch was not meant."""
    return not error.relative_path and error.validator == "type"


def _unlikeness(errors: Sequence[Any]) -> tuple[int, int]:
    """How little a branch was meant: fields that choose it and say something else, then all faults."""
    return sum(error.validator in ("const", "enum") for error in errors), len(errors)


def _kinds(errors: Sequence[Any]) -> list[str]:
    """The types that a choice takes, where it says nothing else."""
    kinds: list[str] = []
    for error in errors:
        if error.validator == "type" and not error.relative_path:
            rule = error.validator_value
            kinds += [rule] if isinstance(rule, str) else rule
    return list(dict.fromkeys(kinds))


def _say(value: Json) -> str:
    return as_text(value)[:200]


def _some(values: Collection[Json]) -> str:
    """The first of a list that may be long, for people."""
    said = ", ".join(map(_say, islice(values, _MOST_SAID)))
    return said if len(values) <= _MOST_SAID else f"{said}, ... ({len(values)} in all)"


def _number(rule: Json) -> str:
    return f"{rule:g}"


_FORMAT_WORDS: Final[Mapping[str, str]] = {
    "aether-duration": "a duration such as '30s'",
    "aether-size": "a size such as '512Mi'",
}
_WORDS: Final[Mapping[str, Callable[[Any, Any], str]]] = {
    "type": lambda rule, value: f"be {rule if isinstance(rule, str) else ' or '.join(rule)}, not {type_name(value)}",
    "enum": lambda rule, value: f"be one of {_some(rule)}, not {_say(value)}",
    "const": lambda rule, value: f"be {_say(rule)}, not {_say(value)}",
    "minimum": lambda rule, value: f"be {_number(rule)} or more, not {value!r}",
    "maximum": lambda rule, value: f"be {_number(rule)} or less, not {value!r}",
    "exclusiveMinimum": lambda rule, value: f"be more than {_number(rule)}, not {value!r}",
    "exclusiveMaximum": lambda rule, value: f"be less than {_number(rule)}, not {value!r}",
    "multipleOf": lambda rule, value: f"be a multiple of {_number(rule)}, not {value!r}",
    "minLength": lambda rule, value: f"have {rule} or more characters, not {len(value)}",
    "maxLength": lambda rule, value: f"have {rule} or fewer characters, not {len(value)}",
    "pattern": lambda rule, value: f"match {_say(rule)}, not be {_say(value)!r}",
    "format": lambda rule, value: f"be {_FORMAT_WORDS.get(rule, rule)}, not {_say(value)!r}",
    "minItems": lambda rule, value: f"have {rule} or more entries, not {len(value)}",
    "maxItems": lambda rule, value: f"have {rule} or fewer entries, not {len(value)}",
    "uniqueItems": lambda rule, value: "have no entry twice",
    "minProperties": lambda rule, value: f"have {rule} or more fields, not {len(value)}",
    "maxProperties": lambda rule, value: f"have {rule} or fewer fields, not {len(value)}",
    "dependentRequired": lambda rule, value: "; ".join(
        f"have {_some(needed)} beside {name!r}" for name, needed in rule.items() if name in value
    ),
}
