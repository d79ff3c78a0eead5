"""What a document asks of workers: labels and amounts that can be read, before anything waits for a worker that has them.

Law: what is read here is read by the same functions when an attempt is offered to workers (`plan.placement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Task
from aether_protocol.expressions.values import Json
from aether_protocol.plan.placement import Kind, Selector, parse_amount, parse_selector

_LABELS: Final = ("selector", "prefer")
_AMOUNTS: Final[tuple[Kind, ...]] = ("cpu", "memory", "gpu")
_LABEL_HINT: Final = "conditions with commas between them, such as 'region in (eu, us), gpu=a100, !spot'"
_EITHER_HINT: Final = "one of several values is `key in (a, b)`"
_AMOUNT_HINT: Final = "such as 500m or 2 for cpu, 512Mi for memory, 1 for gpu"


class PlacementChecks:
    """`extensions.placement` wherever it may stand, and the resources of tasks."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def symbol(self, symbol: Symbol) -> None:
        """Those of a definition, and what its task needs."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        self.extensions(model.extensions, origin, (*path, "extensions"))
        if isinstance(model, Task) and model.resources is not None:
            for kind in _AMOUNTS:
                given = getattr(model.resources, kind)
                if given is not None:
                    self._read(parse_amount, (kind, str(given)), origin, (*path, "resources", kind), _AMOUNT_HINT)

    def site(self, site: Site) -> None:
        """Those of a call."""
        if site.model is not None:
            self.extensions(site.model.extensions, site.unit.origin, (*site.path, "extensions"))

    def extensions(self, extensions: Mapping[str, Json] | None, origin: Origin, path: Path) -> None:
        """Those at `path`."""
        placement = (extensions or {}).get("placement")
        if isinstance(placement, dict):
            for name in _LABELS:
                text = placement.get(name)
                if isinstance(text, str):
                    self._read(parse_selector, (text,), origin, (*path, "placement", name), _LABEL_HINT)

    def _read(self, read: object, given: tuple[str, ...], origin: Origin, path: Path, hint: str) -> None:
        try:
            found = read(*given)  # type: ignore[operator]
        except ValueError as error:
            self.findings.add(origin, path, Finding("AE408", str(error), hint))
            return
        key = found.contradiction() if isinstance(found, Selector) else None
        if key is not None:
            said = ", ".join(str(one) for one in found.requirements if one.key == key)
            self.findings.add(origin, path, Finding("AE408", f"no worker can meet all of {said!r}", _EITHER_HINT))
