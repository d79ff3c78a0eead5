"""JSON values as YAML that people read, and that YAML readers read back as the same values.

Law: what could be read as another type, or cannot be printed, is quoted as in JSON; text of several lines is a block where it
comes back as it was. Nothing here loads a YAML library: this is a small part of YAML, and the same on every machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aether_protocol.expressions.values import Json

_REST: Final = r"""(?:[A-Za-z0-9_./()+;=$<>@%~'"?!&*|,^\\{}\[\]-]|:(?=[A-Za-z0-9_/]))"""
_PLAIN: Final = re.compile(rf"[A-Za-z_/]{_REST}*(?: {_REST}+)*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_BLOCK: Final = re.compile(r"[^\s#][^\n]*(?:\n+[^\n]*)*\n?")  # it begins with a word, so that its indentation is plain
_ODD: Final = re.compile("[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def to_yaml(value: Json) -> str:
    """Write a value, with a line feed at its end."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Json) -> Iterator[str]:
    """The lines of a value that stands by itself."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _entry(f"{_scalar(str(name))}:", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for inner in value:
            lines = list(_lines(inner)) if _nested(inner) else list(_entry("", inner))
            yield f"- {lines[0].lstrip(' ') if not _nested(inner) else lines[0]}"
            yield from (f"  {line}" if line else line for line in lines[1:])
    else:
        yield from _entry("", value)


def _entry(head: str, value: Json) -> Iterator[str]:
    """A name with its value: beside it where that is a scalar, else indented below."""
    if _nested(value):
        yield head
        yield from (f"  {line}" if line else line for line in _lines(value))
    elif isinstance(value, str) and _is_block(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"  {line}" if line else line for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _nested(value: Json) -> bool:
    return bool(value) and isinstance(value, Mapping | list | tuple)


def _is_block(text: str) -> bool:
    """Whether a text of several lines comes back as it was from a literal block."""
    if "\n" not in text.removesuffix("\n") or text.endswith("\n\n") or _ODD.search(text) is not None:
        return False
    return _BLOCK.fullmatch(text) is not None and not any(line != line.rstrip() for line in text.split("\n"))


def _scalar(value: Json) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS:
        return value
    return _ODD.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(odd: re.Match[str]) -> str:
    return f"\\u{ord(odd[0]):04x}"
