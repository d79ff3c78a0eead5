"""How faults of fields are put into words: names, types and forms of values.

Law: messages are lower-case fragments with the values in them; advice goes into hints.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.expressions.values import Json, type_name

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys and indices from its root."""

# What the types of JSON Schema, and the kinds of text by their title, look like.
ARTICLES: Final[dict[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
NAME: Final = "a DNS-1123 label"
VALUE_NAME: Final = "the name of a parameter or artifact"
FORMS: Final[dict[str, str]] = {
    NAME: "use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
    VALUE_NAME: "use 1 to 63 letters, digits, `_` and `-`, beginning with a letter or `_`",
    "a namespace": "use 1 to 63 letters, digits, `.`, `_` and `-`",
    "a duration": "write it as 30s, 5m, 1h30m or 500ms; more than zero",
    "a semantic version": "write it as 1.2.3, without a leading v",
    "an RFC 3339 instant": "write it as 2026-01-01T00:00:00Z",
    "a schedule": "give five fields (minute hour day month weekday) of numbers, names, *, lists, ranges and steps, "
    "without any of L W # ? R H; or @hourly, @daily, @weekly, @monthly, @yearly",
    "a time zone": "give an IANA name such as Europe/Vienna",
    "one placeholder": "give a list, or one placeholder such as {{inputs.parameters.files}}",
    "text": "give one line of text that is not empty",
}


def shown(value: Json) -> str:
    """`value` in a message, cut short."""
    if isinstance(value, dict | list):
        return ARTICLES[type_name(value)] if value else f"an empty {'mapping' if isinstance(value, dict) else 'list'}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}..."


def listed(names: Collection[str], conjunction: str) -> str:
    """`'a', 'b' and 'c'`."""
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    if len(name) > 100:
        return None
    plain = {_plain(other): other for other in known}
    if (found := plain.get(_plain(name))) is not None:
        return found
    close = suggest(_plain(name), plain)
    return plain[close] if close is not None else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def format_path(path: Path) -> str:
    """`spec.templates[0].dag.tasks[1].template`; keys that are no plain words stand in quotes and brackets."""
    parts: list[str] = []
    for segment in path:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif segment.replace("-", "a").replace("_", "a").isalnum():
            parts.append(f".{segment}" if parts else segment)
        else:
            parts.append(f"[{segment[:80]!r}]")
    return "".join(parts)
