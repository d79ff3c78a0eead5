"""Plain YAML scalars become JSON values, by the core schema of YAML 1.2 (DOC-1).

Law: nothing but null, booleans, whole numbers of 64 bits and finite numbers is anything else than text: no dates, no
octal by a leading zero, no yes and no. What only looks like a number but is none of JSON's is refused, not changed.
"""

from __future__ import annotations

import re
from typing import Final

from aether_protocol.expressions.values import Json

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_WORDS: Final[dict[str, Json]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_STARTS: Final = frozenset("-+.0123456789")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_BASES: Final = {"0o": 8, "0x": 16}


class NotJsonError(ValueError):
    """The scalar means something that JSON does not have."""


def resolve(text: str) -> Json:
    """The value of a plain scalar. Raises NotJsonError."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS:
        return text
    if _INTEGER.fullmatch(text):
        return integer(text)
    if _FLOAT.fullmatch(text):
        return number(text)
    if re.fullmatch(_NOT_FINITE, text):
        raise NotJsonError(f"{text!r} is not a number of JSON")
    return text


def spelling_of(text: str, value: Json) -> str | None:
    """`text`, where it gives a number or boolean that JSON writes differently (DOC-10), as 3.10 and True do; else None."""
    return text if value is not None and type(value) is not str and usual(value) != text else None


def usual(value: float | bool) -> str:
    """How JSON writes a number or boolean."""
    return ("true" if value else "false") if value is True or value is False else repr(value)


def integer(text: str) -> int:
    """The whole number that `text` writes. Raises NotJsonError beyond 64 bits."""
    if len(text) <= 80:  # beyond, Python itself may refuse; nothing with that many leading zeros is meant as a number
        value = int(text[2:], _BASES[text[:2]]) if text[:2] in _BASES else int(text)
        if INT_MIN <= value <= INT_MAX:
            return value
    shown = text if len(text) <= 40 else f"{text[:30]}..."
    raise NotJsonError(f"whole number {shown} has more than 64 bits")


def number(text: str) -> float:
    """The finite number that `text` writes. Raises NotJsonError."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        shown = text if len(text) <= 40 else f"{text[:30]}..."
        raise NotJsonError(f"number {shown} is too large")
    return value


def tagged(tag: str, text: str) -> Json:
    """The value of a scalar with a tag of the core schema. Raises NotJsonError (wrong text for it) or KeyError (unknown)."""
    if tag in ("!", "tag:yaml.org,2002:str"):
        return text
    kinds = _TAGS[tag]
    value = resolve(text)
    if tag == "tag:yaml.org,2002:float" and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        raise NotJsonError(f"{text!r} does not fit its tag !!{tag.rpartition(':')[2]}")
    return value


_TAGS: Final[dict[str, tuple[type, ...]]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float,),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
