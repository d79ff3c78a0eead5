"""The artifact ports (ART): a repository that keeps content by digest, and sources that fetch from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ConfigField


class ArtifactRepository(Protocol):
    """Blocking calls; the engine makes them in a thread. Raises PortError."""

    def put(self, file: Path) -> tuple[str, int]:
        """Keep this file's content; gives (`sha256:<hex>`, size in bytes)."""
        ...

    def get(self, digest: str, target: Path) -> None:
        """Write the content to `target`. An unknown or damaged digest is a PortError."""
        ...


class ArtifactFetcher(Protocol):
    """A type of `source` (SPEC-6): `http`, `local`."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> tuple[ConfigField, ...]: ...

    def fetch(self, config: Mapping[str, Json], target: Path) -> None:
        """Bring the file to `target`. Raises PortError."""
        ...
