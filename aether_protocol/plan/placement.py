"""Read what a task asks of a worker: `extensions.placement` with its labels (`selector`, `prefer`), and amounts (`resources`).

Law: nothing here knows a worker. A selector is parsed once and matched many times; an amount becomes a whole number of its
smallest unit, so that amounts add up without rounding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, Plan, Resources

__all__ = [
    "EffectivePlacement",
    "Placement",
    "Placements",
    "Requirement",
    "Selector",
    "is_label",
    "merge_extensions",
    "merge_placements",
    "parse_amount",
    "parse_selector",
    "placement_in",
    "read_placement",
    "slots_of",
]

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
# Compiled with the first placement: few documents have one.
_TERM: Final = (
    rf"""(?x)\s*(?:
      (?P<key>{_NAME})\s*(?:
          (?P<operator>==|=|!=)\s*(?P<value>{_NAME})
        | \s(?P<set>in|notin)\s*\(\s*(?P<values>{_NAME}(?:\s*,\s*{_NAME})*)\s*\)
      )?
      | !\s*(?P<absent>{_NAME})
    )\s*(?P<end>,|$)"""
)
_AMOUNT: Final = r"(?P<number>\d+(?:\.\d+)?)(?P<unit>m|[kKMGTP]i?)?"
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

    def __str__(self) -> str:
        if not self.values:
            return f"!{self.key}" if self.negated else self.key
        if len(self.values) == 1:
            return f"{self.key}{'!=' if self.negated else '='}{min(self.values)}"
        return f"{self.key} {'notin' if self.negated else 'in'} ({', '.join(sorted(self.values))})"


class Selector(Struct, frozen=True, gc=False):
    """Conditions that all have to be met. The empty selector matches every worker."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a worker with these labels meets all conditions."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def contradiction(self) -> str | None:
        """Return the key of a label on which the conditions exclude each other, None where some worker can meet all."""
        absent = {one.key for one in self.requirements if one.negated and not one.values}
        allowed: dict[str, frozenset[str] | None] = {}  # by key that has to be there; None: any value
        for one in self.requirements:
            if not one.negated:
                before = allowed.get(one.key)
                allowed[one.key] = before if not one.values else one.values if before is None else before & one.values
        for one in self.requirements:
            values = allowed.get(one.key)
            if one.negated and values is not None:
                allowed[one.key] = values - one.values
        return next((key for key, values in allowed.items() if key in absent or values == frozenset()), None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.requirements))


def parse_selector(text: str) -> Selector:
    """Parse a selector such as `region in (eu, us), gpu=a100, !spot`.

    Args:
        text: conditions with commas between them: `key`, `!key`, `key=value`, `key!=value`, `key in (a, b)`,
            `key notin (a, b)`.

    Raises:
        ValueError: where it is not of this form; the message says from which character on.
    """
    found: list[Requirement] = []
    pattern, position = re.compile(_TERM), 0
    while position < len(text) or not found:
        term = pattern.match(text, position)
        if term is None or (term["end"] == "," and not text[term.end() :].strip()):
            raise ValueError(f"not a condition on labels from character {position + 1} on: {text[position:]!r}")
        found.append(_requirement(term))
        position = term.end()
    return Selector(tuple(found))


def is_label(text: str) -> bool:
    """Say whether a text can be the key or the value of a label: whether a selector can name it."""
    return re.fullmatch(_NAME, text) is not None


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["absent"], negated=True)
    if term["operator"]:
        return Requirement(term["key"], frozenset({term["value"]}), term["operator"] == "!=")
    if term["set"]:
        return Requirement(term["key"], frozenset(re.split(r"\s*,\s*", term["values"])), term["set"] == "notin")
    return Requirement(term["key"])


# --- extensions.placement --------------------------------------------------------------------------------------------

_LABELS: Final = ("selector", "prefer")


class Placement(Struct, frozen=True, gc=False):
    """What an attempt asks of its worker, by all levels together (EXT-1).

    Selectors are texts, for attempts of equal texts are served as one class; an empty one matches every worker. `pool`: empty
    where no pool is named; `wait_at_most_us`: None without a limit; `sticky`: the worker that last had a task of the run comes
    first; `eager`: offered again as soon as its worker is cut off.
    """

    pool: str = ""
    selector: str = ""
    prefer: str = ""
    sticky: bool = False
    wait_at_most_us: int | None = None
    eager: bool = False


def placement_in(extensions: Mapping[str, Json] | None) -> Mapping[str, Json]:
    """Return `placement` as it is written in extensions, empty where they have none."""
    found = extensions.get("placement") if extensions is not None else None
    return found if isinstance(found, dict) else {}


def merge_placements(outer: Mapping[str, Json], inner: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return two placements as one: key by key the inner one wins, and in selectors label by label.

    Raises:
        ValueError: a selector that both have cannot be parsed.
    """
    if not outer or not inner:
        return inner or outer
    merged = {**outer, **inner}
    for key in _LABELS:
        if key in outer and key in inner:
            merged[key] = _merge_selectors(str(outer[key]), str(inner[key]))
    return merged


def _merge_selectors(outer: str, inner: str) -> str:
    nearer = parse_selector(inner).requirements
    keys = {one.key for one in nearer}
    kept = tuple(one for one in parse_selector(outer).requirements if one.key not in keys)
    return str(Selector(kept + nearer))


def merge_extensions(outer: Mapping[str, Json] | None, inner: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
    """Return two extensions as one: key by key the inner ones win, and placements are merged (EXT-1)."""
    if not outer or not inner:
        return inner or outer or None
    merged = {**outer, **inner}
    placement = merge_placements(placement_in(outer), placement_in(inner))
    return {**merged, "placement": dict(placement)} if placement else merged


def read_placement(asked: Mapping[str, Json]) -> Placement:
    """Return a placement as it is written as a value."""
    longest = asked.get("waitAtMost")
    return Placement(
        pool=str(asked.get("pool") or ""),
        selector=str(asked.get("selector") or ""),
        prefer=str(asked.get("prefer") or ""),
        sticky=asked.get("sticky") == "run",
        wait_at_most_us=parse_duration(longest) if isinstance(longest, str) else None,
        eager=asked.get("redeliver") == "on-disconnect",
    )


class EffectivePlacement(Struct, frozen=True, eq=False, gc=False):
    """What levels ask together: as documents write it, and as a value (None where they ask nothing)."""

    asked: Mapping[str, Json]
    placement: Placement | None


_NOTHING_ASKED: Final = EffectivePlacement({}, None)


class Placements:
    """What the calls of a plan ask of workers together with all that is around them (RT-136).

    Law: each combination is made once, and equal ones are one object: what is kept is bounded by what the document says,
    and not by how many containers a run makes.
    """

    __slots__ = ("_by_value", "_found", "workflow")

    def __init__(self, plan: Plan) -> None:
        self._found: dict[tuple[int, int], EffectivePlacement] = {}  # by ids of what is around and of the call, both kept alive
        self._by_value: dict[Placement, EffectivePlacement] = {}
        self.workflow = self._merge(_NOTHING_ASKED, placement_in(plan.extensions))  # around the root

    def under(self, around: EffectivePlacement, call: Call) -> EffectivePlacement:
        """Return what a call and all around it ask together."""
        key = (id(around), id(call))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._merge(around, placement_in(call.extensions))
        return found

    def _merge(self, around: EffectivePlacement, own: Mapping[str, Json]) -> EffectivePlacement:
        if not own:
            return around
        asked = merge_placements(around.asked, own)
        placement = read_placement(asked)
        return self._by_value.setdefault(placement, EffectivePlacement(asked, placement))


# --- resources -------------------------------------------------------------------------------------------------------


def parse_amount(kind: Kind, text: str) -> int:
    """Return an amount in the smallest unit of its kind: cpu in thousandths of a core, memory in bytes, gpu in devices.

    Args:
        kind: what it is an amount of.
        text: a number with an optional unit, as Kubernetes writes it: `500m`, `1.5`, `2Gi`, `512M`.

    Raises:
        ValueError: where it is not of this form, or not a whole number of the smallest unit.
    """
    match = re.fullmatch(_AMOUNT, text.strip())
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
