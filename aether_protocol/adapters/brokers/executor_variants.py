"""The executors that workers offer, where workers offer one of the same name in different ways: other versions, other configs.

Law: an attempt goes to a worker whose declaration its config fits. Where all declare an executor alike, nothing is checked
here: the process that carries it out does so anyway, and a check costs as much as a tenth of a delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.plan.config import check_config
from aether_protocol.plan.config_schema import config_schema, text_fields, without_conditions
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.ports.wire import TaskAssignment
from aether_protocol.ports.worker import ExecutorOffer

_UNKNOWN: Final = "{{secret}}"  # in place of a secret: text that is not known yet
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def type_of_offer(offer: ExecutorOffer) -> ExecutorType:
    """Return a type that is known by what a worker says alone. One of this package says in what it declares that text with a
    placeholder fits everywhere."""
    schema = offer.config or {}
    inner = schema.get("else")
    if isinstance(inner, dict):
        schema = inner
    told = f"carried out by workers alone (version {offer.version})" if offer.version else "carried out by workers alone"
    if not schema:
        return ExecutorType(offer.name, told, open_config=True, open_outputs=True)
    plain = without_conditions(schema)
    assert isinstance(plain, dict)
    declared = ExecutorType.of_schema(offer.name, told, plain, open_outputs=True)
    texts = {field.name: field for field in text_fields(schema)}
    return replace(declared, config=(*(one for one in declared.config if one.name not in texts), *texts.values()))


def either(type_: ExecutorType, before: ExecutorType | None) -> ExecutorType:
    """Return a type whose configs fit `type_` or what was declared before it, which is described as `type_`."""
    if before is None:
        return type_
    found = [replace(type_, alternatives=())]
    for one in (*type_.alternatives, replace(before, alternatives=()), *before.alternatives):
        if not any(_alike(one, other) for other in found):
            found.append(one)
    return replace(type_, alternatives=tuple(found[1:]))


def _alike(one: ExecutorType, other: ExecutorType) -> bool:
    return (one.config, one.schema, one.open_config) == (other.config, other.schema, other.open_config)


def variant_of(offer: ExecutorOffer) -> str:
    """Return what tells an offer from others of its name: its version, and the digest of its config."""
    return f"{offer.version}/{sha256(_encode(offer.config)).hexdigest()[:16]}"


class ExecutorVariants:
    """What the workers of a broker declare, by name and variant. `installed`: the types that documents are checked against,
    whatever workers declare."""

    def __init__(self) -> None:
        self.installed: ExecutorTypes = {}
        self._types: dict[str, dict[str, ExecutorType]] = {}
        self._own: dict[str, str | None] = {}  # the variants of installed types

    def note(self, offers: Iterable[ExecutorOffer]) -> Mapping[str, str]:
        """Note what a worker offers; the variant of each, by name."""
        variants: dict[str, str] = {}
        for offer in offers:
            variant = variants[offer.name] = variant_of(offer)
            known = self._types.setdefault(offer.name, {})
            if variant not in known:
                known[variant] = type_of_offer(offer)
        return variants

    def why_not(self, assignment: TaskAssignment, variant: str) -> str | None:
        """Say why the config of an attempt does not fit a variant; None: it does, or there is only one."""
        known = self._types.get(assignment.executor_type, {})
        type_ = known.get(variant)
        if type_ is None or not self._is_mixed(assignment.executor_type, known):
            return None
        faults = check_config(type_, _plain(assignment.config), placeholders=True)
        return faults[0].message if faults else None

    def _is_mixed(self, name: str, known: Mapping[str, ExecutorType]) -> bool:
        if name not in self._own:
            type_ = self.installed.get(name)
            offer = None if type_ is None else ExecutorOffer(name=name, version=type_.version, config=config_schema(type_))
            self._own[name] = None if offer is None else variant_of(offer)
        own = self._own[name]
        return len(known) > 1 or (own is not None and own not in known)


def _plain(value: Json) -> Json:
    """A value with text that is not known yet in place of secrets."""
    if isinstance(value, SecretValue):
        return _UNKNOWN
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
