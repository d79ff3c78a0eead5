"""Checks a config against the fields that an executor type (or an artifact source) declares (SPEC-15).

Law: the same function checks a document and, with every placeholder filled in, the config of each dispatch. It only looks:
defaults are the executor's affair.
"""

from __future__ import annotations

from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.sizes import parse_size
from aether_protocol.expressions.values import ABSENT, Json, SecretValue, as_text, equal, fit, has_secret, type_name
from aether_protocol.plan.config_fields import ConfigFault, ConfigField
from aether_protocol.plan.executors import ExecutorType


def check_config(type_: ExecutorType, config: Json, *, placeholders: bool) -> list[ConfigFault]:
    """All faults of `config`. `placeholders`: text with `{{` in it is not known yet and fits every field."""
    found = _check_one(type_, config, placeholders=placeholders)
    for other in type_.alternatives if found else ():
        if not _check_one(other, config, placeholders=placeholders):
            return []
    return found


def _check_one(type_: ExecutorType, config: Json, *, placeholders: bool) -> list[ConfigFault]:
    what = f"executor {type_.name!r}"
    if type_.schema is not None:
        if placeholders and _unknown_yet(config):
            return []
        from aether_protocol.plan.schema_check import check_schema  # only such types need it

        return check_schema(what, type_.schema, config, placeholders=placeholders)
    return check_fields(what, type_.config, config, open_=type_.open_config, placeholders=placeholders)


def check_fields(
    what: str, fields: tuple[ConfigField, ...], config: Json, *, open_: bool, placeholders: bool
) -> list[ConfigFault]:
    """All faults of `config` of `what`, which takes `fields` and, where `open_`, any others too."""
    if config is None:
        config = {}
    if placeholders and _unknown_yet(config):
        return []
    if not isinstance(config, dict):
        return [ConfigFault((), f"the config of {what} must be an object, not {_kind(config)}")]
    return _check_object(what, fields, config, open_=open_, placeholders=placeholders)


def _check_object(
    what: str, fields: tuple[ConfigField, ...], config: dict[str, Json], *, open_: bool, placeholders: bool
) -> list[ConfigFault]:
    if not (fields or config):
        return []
    known = {field.name: field for field in fields}
    faults: list[ConfigFault] = []
    suggestions = Suggestions(500)
    meant = set()  # by misspelt names: they are reported once, and not as missing too
    for name, value in config.items():
        field = known.get(name)
        if field is not None:
            if value is not None and not (placeholders and _unknown_yet(value)):
                faults.extend(_check_value(field, value, placeholders))
        elif not open_:
            near = suggestions.nearest(name, known)
            if near is not None:
                meant.add(near)
            hint = f"did you mean {near!r}?" if near is not None else f"it takes {', '.join(known) or 'no config'}"
            faults.append(ConfigFault((name,), f"{what} has no config field {name!r}", hint))
    faults.extend(
        ConfigFault((), f"{what} needs the config field {field.name!r}", field.description)
        for field in fields
        if field.required and config.get(field.name) is None and field.name not in meant
    )
    return faults


def _unknown_yet(value: Json) -> bool:
    return isinstance(value, str) and "{{" in value


def _check_value(field: ConfigField, value: Json, placeholders: bool) -> list[ConfigFault]:
    if field.words and value in field.words:
        return []
    reason = _misfit(field.type, value)
    if reason is not None:
        words = "".join(f"{word!r} or " for word in field.words)
        return [ConfigFault((field.name,), f"{field.name!r} must be {words}{reason}", field.description)]
    if field.fields:
        within = _check_object(f"{field.name!r}", field.fields, value, open_=False, placeholders=placeholders)
        return [ConfigFault((field.name, *fault.path), fault.message, fault.hint) for fault in within]
    if field.enum is not None and not any(equal(value, member) for member in field.enum):
        allowed = ", ".join(map(as_text, field.enum))
        return [ConfigFault((field.name,), f"{field.name!r} must be one of {allowed}, not {_shown(value)}")]
    if field.minimum is not None and isinstance(value, int | float) and value < field.minimum:
        return [ConfigFault((field.name,), f"{field.name!r} must be {field.minimum:g} or more, not {value!r}")]
    if field.maximum is not None and isinstance(value, int | float) and value > field.maximum:
        return [ConfigFault((field.name,), f"{field.name!r} must be {field.maximum:g} or less, not {value!r}")]
    if not isinstance(value, list):
        return []
    if field.minimum is not None and len(value) < field.minimum:
        return [ConfigFault((field.name,), f"{field.name!r} must have {field.minimum:g} or more entries", field.description)]
    if field.items is None:
        return []
    return [
        ConfigFault((field.name, index), f"{field.name}[{index}] must be {reason}", field.description)
        for index, item in enumerate(value)
        if not (placeholders and _unknown_yet(item)) and (reason := _misfit(field.items, item)) is not None
    ]


def _misfit(type_: str, value: Json) -> str | None:
    """What a value of `type_` would be and what it is, or None where it fits."""
    if type_ == "duration":
        if isinstance(value, SecretValue):
            return None
        if not isinstance(value, str):
            return f"a duration such as '30s', not {_kind(value)}"
        try:
            parse_duration(value)
        except ValueError:
            return f"a duration such as '30s', not {value!r}"
        return None
    if type_ == "size":
        if isinstance(value, SecretValue):
            return None
        try:
            parse_size(value)
        except ValueError:
            return f"a size such as '512Mi', not {_shown(value)}"
        return None
    return f"{type_}, not {_kind(value)}" if fit(value, type_) is ABSENT else None


def _kind(value: Json) -> str:
    return "a secret" if isinstance(value, SecretValue) else type_name(value)


def _shown(value: Json) -> str:
    return "a value with a secret" if has_secret(value) else as_text(value)[:200]
