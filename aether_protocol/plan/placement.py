"""Read what a task asks of a worker: labels (`extensions.placement.selector`) and amounts (`resources`).

Law: nothing here knows a worker. A selector is parsed once and matched many times; an amount becomes a whole number of its
smallest unit, so that amounts add up without rounding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.plan.model import Resources

__all__ = ["Requirement", "Selector", "parse_amount", "parse_selector", "slots_of"]

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_TERM: Final = re.compile(
    rf"""\s*(?:
      (?P<key>{_NAME})\s*(?:
          (?P<operator>==|=|!=)\s*(?P<value>{_NAME})
        | \s(?P<set>in|notin)\s*\(\s*(?P<values>{_NAME}(?:\s*,\s*{_NAME})*)\s*\)
      )?
      | !\s*(?P<absent>{_NAME})
    )\s*(?P<end>,|$)""",
    re.VERBOSE,
)
_AMOUNT: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>m|[kKMGTP]i?)?")
_UNITS: Final[dict[str | None, Decimal]] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", 1)},
    "K": Decimal(1000),
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", 1)},
}
_SMALLEST: Final = {"cpu": Decimal(1000), "memory": Decimal(1), "gpu": Decimal(1)}  # thousandths of a core, bytes, devices
_MOST: Final = 2**63 - 1

Kind = Literal["cpu", "memory", "gpu"]


class Requirement(Struct, frozen=True, gc=False):
    """One condition on a label: its value is among `values`, or (`negated`) is not; no values: the label is there, or is not.

    A label that a worker does not have fulfils a negated condition.
    """

    key: str
    values: frozenset[str] = frozenset()
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        found = value is not None and (not self.values or value in self.values)
        return found is not self.negated


class Selector(Struct, frozen=True, gc=False):
    """Conditions that all have to be met. The empty selector matches every worker."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a worker with these labels meets all conditions."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Parse a selector such as `region in (eu, us), gpu=a100, !spot`.

    Args:
        text: conditions with commas between them: `key`, `!key`, `key=value`, `key!=value`, `key in (a, b)`,
            `key notin (a, b)`.

    Raises:
        ValueError: where it is not of this form; the message says from which character on.
    """
    found: list[Requirement] = []
    position = 0
    while position < len(text) or not found:
        term = _TERM.match(text, position)
        if term is None or (term["end"] == "," and not text[term.end() :].strip()):
            raise ValueError(f"not a condition on labels from character {position + 1} on: {text[position:]!r}")
        found.append(_requirement(term))
        position = term.end()
    return Selector(tuple(found))


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["absent"], negated=True)
    if term["operator"]:
        return Requirement(term["key"], frozenset({term["value"]}), term["operator"] == "!=")
    if term["set"]:
        return Requirement(term["key"], frozenset(re.split(r"\s*,\s*", term["values"])), term["set"] == "notin")
    return Requirement(term["key"])


def parse_amount(kind: Kind, text: str) -> int:
    """Return an amount in the smallest unit of its kind: cpu in thousandths of a core, memory in bytes, gpu in devices.

    Args:
        kind: what it is an amount of.
        text: a number with an optional unit, as Kubernetes writes it: `500m`, `1.5`, `2Gi`, `512M`.

    Raises:
        ValueError: where it is not of this form, or not a whole number of the smallest unit.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount: a number, and a unit such as m, Ki, Mi, Gi, k, M, G where it has one")
    try:
        amount = Decimal(match["number"]) * _UNITS[match["unit"]] * _SMALLEST[kind]
        whole = int(amount)
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{text!r} is too large") from error
    if whole != amount:
        raise ValueError(f"{text!r} is not a whole number of {_UNIT_NAMES[kind]}")
    if whole > _MOST:
        raise ValueError(f"{text!r} is too large")
    return whole


_UNIT_NAMES: Final = {"cpu": "thousandths of a core", "memory": "bytes", "gpu": "devices"}


def slots_of(resources: Resources | None) -> tuple[tuple[str, int], ...]:
    """Return what an attempt with these resources takes of a worker: (kind, amount) in the order of the kinds' names.

    Every attempt takes one of `tasks`.
    """
    amounts = {"tasks": 1}
    if resources is not None:
        kinds: tuple[Kind, ...] = ("cpu", "memory", "gpu")
        for kind in kinds:
            text = getattr(resources, kind)
            if text is not None:
                amounts[kind] = parse_amount(kind, text)
    return tuple(sorted((kind, amount) for kind, amount in amounts.items() if amount))
