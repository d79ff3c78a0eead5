"""Secrets on the wire: references apart from the data (DATA-12), so that data that looks like a reference stays data.

A message holds null where a text with secrets belongs, and says in `secretPlaces` what comes there: the JSON pointer (RFC 6901)
of the place, and the pieces of the text, each of them literal text or the {name, key} of a secret. Nothing in the data is ever
read as a reference, whatever it looks like; and nothing that is sent holds the text of a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aether_protocol.expressions.values import Json, SecretValue

Places = dict[str, list[Json]]

ROOTS: Final = ("config", "inputs", "artifacts", "payloads")  # the fields of an assignment in which secrets may stand


def lift_secrets(value: Json, pointer: str, places: Places) -> Json:
    """`value` with null for each text with secrets in it; what belongs there goes into `places`."""
    if isinstance(value, SecretValue):
        places[pointer] = [part if isinstance(part, str) else {"name": part[0], "key": part[1]} for part in value.parts]
        return None
    if isinstance(value, Mapping):
        return {key: lift_secrets(item, f"{pointer}/{_escape(key)}", places) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [lift_secrets(item, f"{pointer}/{index}", places) for index, item in enumerate(value)]
    return value


def place_secrets(message: dict[str, Json], places: Mapping[str, Sequence[Json]]) -> None:
    """Put the texts with secrets where they belong in `message`, whose containers are the caller's own.

    Raises ValueError for a place that is not in it, or that is not null.
    """
    for pointer, pieces in places.items():
        steps = [_unescape(step) for step in pointer.split("/")]
        if len(steps) < 2 or steps[0] or steps[1] not in ROOTS:
            raise ValueError(f"secretPlaces: {pointer!r} does not lead into {', '.join(ROOTS)}")
        holder: Json = message
        for step in steps[1:-1]:
            holder = holder[_key(holder, step, pointer)]
        last = _key(holder, steps[-1], pointer)
        if holder[last] is not None:
            raise ValueError(f"secretPlaces: {pointer!r} is not null, as it must be where a secret belongs")
        holder[last] = SecretValue(tuple(part if isinstance(part, str) else (part["name"], part["key"]) for part in pieces))


def _key(holder: Json, step: str, pointer: str) -> str | int:
    if isinstance(holder, dict) and step in holder:
        return step
    if isinstance(holder, list) and step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(holder):
        return int(step)
    raise ValueError(f"secretPlaces: there is nothing at {pointer!r}")


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
