"""Write values as records (JSON text) and read them back: what log entries, headers, snapshots and plans have in common.

A record is a msgspec struct whose first field is its version, so one typed decode both parses a record and checks every shape
in it. What does not fit is a PortError, because records come from outside: a store, a file, another version.

Law: `decode(encode(x)) == x`. A secret travels as a reference, and only a record that says of itself that it is escaped can
hold one: in such a record `{"$secret": parts}` is a secret, and a key of the data that begins with `$` has one `$` more. No
output of a task can therefore forge a secret. Text with half of a surrogate pair, which UTF-8 cannot hold, is written as an
escape (two halves that make a character come back as that character). NaN and infinity are refused where values enter
(json_copy): a record has no spelling for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from aether_protocol.errors import PortError
from aether_protocol.expressions import Expression, Name, Template
from aether_protocol.expressions.values import Json, SecretValue

VERSION: Final = 2  # of all records; 1 was never released

Record = TypeVar("Record", bound=Struct)

_MARK: Final = "$secret"
_Parts = tuple[str | tuple[str, str], ...]


class SecretInRecordError(Exception):
    """The value to be written holds a secret: it has to be written escaped."""


def _to_json(value: object) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Template):
        return value.raw
    if isinstance(value, Expression | Name):
        return value.text
    if isinstance(value, SecretValue):
        raise SecretInRecordError
    raise TypeError(f"a value of type {type(value).__name__} has no place in a record")


_encoder: Final = msgspec.json.Encoder(enc_hook=_to_json)
_encode: Final = _encoder.encode


def encode(record: object) -> str:
    """Write `record`, a struct or a tuple in the form of one, as JSON text in one line.

    Raises:
        SecretInRecordError: a secret stands somewhere in it.
    """
    try:
        return _encode(record).decode()
    except UnicodeEncodeError:
        builtins = msgspec.to_builtins(record, enc_hook=_to_json)
        return json.dumps(builtins, separators=(",", ":"), allow_nan=False)


def encode_lines(records: Sequence[object]) -> str:
    """Write several as `encode` does, a line for each, in half the time; there is at least one.

    Raises:
        SecretInRecordError: a secret stands somewhere in one of them.
        UnicodeEncodeError: half of a surrogate pair does, which `encode` can write.
    """
    return _encoder.encode_lines(records)[:-1].decode()


def decode(kind: type[Record], text: str) -> Record:
    """Read a record of this kind.

    Raises:
        PortError: `text` is damaged, or was written by another version.
    """
    try:
        record: Record = _decoder(kind).decode(text)
        return record
    except (msgspec.MsgspecError, RecursionError) as error:
        return _decode_odd(kind, text, error)


@cache  # made when the first record is read: it costs the annotations of all that is in one, and many processes read none
def _decoder(kind: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _decode_odd(kind: type[Record], text: str, error: Exception) -> Record:
    """Read a record that holds half characters; say of any other why it cannot be read."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, TypeError, RecursionError):
        raise damaged(error) from error
    require_version(found)
    if isinstance(error, msgspec.ValidationError):
        raise damaged(error) from error
    try:
        record: Record = msgspec.convert(found, kind)
        return record
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise damaged(fault) from fault


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} has no place in a record")


def require_version(found: Json) -> None:
    """Refuse the JSON of a record whose version is not VERSION. Raises PortError."""
    version = found[:1] if isinstance(found, list) else [found.get("v")] if isinstance(found, dict) else []
    if not version or type(version[0]) is not int:
        raise PortError("a record is damaged: it has no version")
    if version[0] > VERSION:
        raise PortError(f"a record has version {version[0]}, this is version {VERSION}", hint="use a newer version")
    if version[0] < VERSION:
        told = f"a record has version {version[0]}, which is older than any that was released; this is version {VERSION}"
        raise PortError(told, hint="use the version that wrote it")


def damaged(error: Exception) -> PortError:
    """Make what is raised for a record that cannot be read because of `error`."""
    return PortError(f"a record is damaged: {error or type(error).__name__}")


def escape(value: Any) -> Any:
    """Copy `value` with secrets, and keys that look like one, in their escaped form; a struct field by field."""
    if isinstance(value, SecretValue):
        return {_MARK: [part if isinstance(part, str) else list(part) for part in value.parts]}
    if isinstance(value, Mapping):
        return {f"${key}" if key.startswith("$") else key: escape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape(item) for item in value]
    if isinstance(value, Struct):
        return type(value)(*map(escape, astuple(value)))
    return value


def unescape(value: Any) -> Any:
    """Return what `escape` was given; the fields of a struct are put back in place. Raises PortError."""
    if isinstance(value, dict):
        if _MARK in value:
            return _secret(value[_MARK])
        return {key[1:] if key.startswith("$") else key: unescape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unescape(item) for item in value]
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            setattr(value, name, unescape(getattr(value, name)))
    return value


def _secret(parts: Json) -> SecretValue:
    try:
        return SecretValue(msgspec.convert(parts, _Parts))
    except msgspec.ValidationError as error:
        raise damaged(error) from error
