"""The messages of `ports.worker` as protobuf, and back.

Law: both forms have the same fields by the same names; a field of type `bytes` is JSON in UTF-8. What comes in is checked by
the same shapes as what comes as JSON over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from aether_protocol.ports.wire_json import WireError
from aether_protocol.ports.worker import decode

_Shape = TypeVar("_Shape", bound=msgspec.Struct)
_Reader = Callable[[Any], Any]

_to_json: Final = msgspec.json.Encoder().encode
_of_json: Final = msgspec.json.Decoder().decode


def read_message(message: Message, shape: type[_Shape], *, without: frozenset[str] = frozenset()) -> _Shape:
    """Read a message for workers.

    Args:
        message: as it came.
        shape: that of `ports.worker` that it has to fit.
        without: fields that are not part of the shape, as the session of a call.

    Raises:
        WireError: it does not fit; the text names the field.
    """
    return decode(_read(message, without), shape)  # type: ignore[type-var]


def write_message(value: msgspec.Struct, message: Any) -> Any:
    """Write a message of `ports.worker` into a new `message`, and return that."""
    for field, is_map in _fields(message.DESCRIPTOR):
        given = getattr(value, field.name, None)
        if given is None:
            continue
        name = field.name
        if is_map:
            getattr(message, name).update(given)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in given:
                write_message(one, getattr(message, name).add())
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, name, _to_json(given))
        elif field.is_repeated:
            getattr(message, name).extend(given)
        else:
            setattr(message, name, given)
    return message


@cache
def _fields(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, bool], ...]:
    """The fields of a message, and whether each is a map."""
    return tuple((field, _is_map(field)) for field in descriptor.fields)


def _is_map(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE and bool(field.message_type.GetOptions().map_entry)


def _read(message: Message, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for field, is_map in _fields(message.DESCRIPTOR):
        name = field.name
        if name in without or (field.has_presence and not message.HasField(name)):
            continue
        value = getattr(message, name)
        if is_map:
            value = dict(value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            value = [_read(one) for one in value] if field.is_repeated else _read(value)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            if not value:
                continue
            value = read_json(value, name)
        elif field.is_repeated:
            value = list(value)
        read[field.json_name] = value
    return read


def read_json(text: bytes, name: str) -> Any:
    """Read the JSON of a field. Raises WireError."""
    try:
        return _of_json(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{name} is not JSON: {error}") from None
