"""What a document takes from the machine on which it lies: it cannot be had where others carry the document out (RT-131).

Law: every place is reported where it is written, also in the templates of libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Artifact, Task
from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ExecutorTypes

FOLDER: Final = "AETHER_DOCUMENT_DIR"
LOCAL: Final = "local"  # the artifact source that is a path of this machine

_HINT: Final = "give its files as input artifacts, from an address, from git or from another task"


class PlaceChecks:
    """`types` None: not known, so only types that are always there are looked into."""

    def __init__(self, findings: Findings, types: ExecutorTypes | None) -> None:
        self.findings = findings
        self.types = types

    def symbol(self, symbol: Symbol) -> None:
        """The program and the artifacts of a definition."""
        model, origin, path = symbol.model, symbol.unit.origin, symbol.path
        if isinstance(model, Task) and model.executor is not None and self._runs_programs(model.executor.type):
            self._config(model.executor.config, origin, (*path, "executor", "config"))
        self.artifacts(list(symbol.artifacts.values()), origin, (*path, "inputs", "artifacts"))

    def site(self, site: Site) -> None:
        """The artifacts that a call passes."""
        arguments = site.model.arguments if site.model is not None else None
        if arguments is not None and arguments.artifacts:
            self.artifacts(arguments.artifacts, site.unit.origin, (*site.path, "arguments", "artifacts"))

    def artifacts(self, entries: list[Artifact], origin: Origin, path: Path) -> None:
        """The sources of the artifacts in the list at `path`."""
        for index, entry in enumerate(entries):
            if entry.source is not None and entry.source.type == LOCAL:
                message = "a local source is a path of one machine, and this document may be carried out on any"
                self.findings.add(origin, (*path, index, "source", "type"), Finding("AE407", message, _HINT))

    def _runs_programs(self, type_: str) -> bool:
        known = self.types.get(type_) if self.types is not None else None
        return known.files if known is not None else type_ in ("script", "process")

    def _config(self, config: Json, origin: Origin, path: Path) -> None:
        if isinstance(config, dict) and config.get("workingDir") == "document":
            message = "the folder of the document is not where its tasks are carried out"
            self.findings.add(origin, (*path, "workingDir"), Finding("AE407", message, _HINT))
        for at, text in _texts(config, path):
            if FOLDER in text:
                message = f"{FOLDER} is not set where the tasks of this document are carried out"
                self.findings.add(origin, at, Finding("AE407", message, _HINT))


def _texts(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    """All texts in a value, with where they stand."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _texts(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _texts(entry, (*path, index))
