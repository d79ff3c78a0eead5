"""Words of JSON Schema that jsonschema takes unbounded time for, again in bounded time.

Law: what they find is what jsonschema-rs finds, whose patterns are matched in linear time (or give up); without it they are
Python's, with a bound on the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

_LONGEST_WITHOUT: Final = 20  # characters that Python's own patterns are tried on; a longer text is taken as found


def bounded(validator: Any, schema: Mapping[str, Any]) -> Any:
    """Make a class of jsonschema one whose patterns and comparisons of entries are bounded.

    Args:
        validator: the class.
        schema: the one that it is for.
    """
    from jsonschema.validators import extend

    has_patterns = "patternProperties" in repr(schema)  # then what is not evaluated is found with Python's patterns
    with_words: Any = extend  # it has no types
    return with_words(validator, {**_WORDS, "unevaluatedProperties": _not_explained} if has_patterns else _WORDS)


@lru_cache(maxsize=256)
def _finder(pattern: str) -> Callable[[str], bool]:
    try:
        from jsonschema_rs import Draft202012Validator
    except ImportError:
        search = re.compile(pattern).search
        return lambda text: len(text) > _LONGEST_WITHOUT or search(text) is not None
    return Draft202012Validator({"pattern": pattern}).is_valid


def is_found(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text."""
    return _finder(pattern)(text)


def _pattern(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not is_found(rule, value):
        yield ValidationError(f"{value!r} does not match {rule!r}")


def _pattern_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Any]:
    for pattern, below in rule.items() if isinstance(value, dict) else ():
        for name, one in value.items():
            if is_found(pattern, name):
                yield from validator.descend(one, below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [name for name in value if name not in known and not any(is_found(one, name) for one in patterns)]
    if isinstance(rule, dict):
        for name in extras:
            yield from validator.descend(value[name], rule, path=name)
    elif not rule and extras:
        yield ValidationError(f"additional properties are not allowed: {', '.join(map(repr, extras))}")


def _unique_items(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if rule and isinstance(value, list) and not _are_unique(value):
        yield ValidationError("has an entry twice")


def _are_unique(entries: list[Any]) -> bool:
    try:
        from jsonschema_rs import Draft202012Validator
    except ImportError:
        seen = {repr(one) for one in entries}  # near enough without it: 1 and 1.0 are two
        return len(seen) == len(entries)
    return bool(Draft202012Validator({"uniqueItems": True}).is_valid(entries))


def _not_explained(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Any]:
    """Leave it to the verdict."""
    yield from ()


_WORDS: Final[dict[str, Callable[..., Iterator[Any]]]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
