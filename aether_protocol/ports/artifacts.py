"""The artifact ports (ART): a repository that keeps content by digest, and sources that fetch from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ConfigField
from aether_protocol.plan.model import ArtifactOutput


class ArtifactRepository(Protocol):
    """Content by digest. Blocking calls, made in a thread. Raises PortError."""

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


class Stager(Protocol):
    """Puts artifacts where executors work, and keeps what they leave there. Whoever runs executors is given one.

    Blocking calls, made in a thread. Raises PortError whose message names the artifact.
    """

    def bring(self, artifacts: Mapping[str, Json], folder: Path) -> None:
        """Lay each input artifact down, unpacked, at its `path` below `folder` (ART-2); one without a path is only passed on.

        Values are {name, path, archive} with `digest` and `size`, or with `source` {type, config}.
        """
        ...

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path) -> dict[str, Json]:
        """Keep what lies at each output's `path` below `folder` (ART-1): {name: {name, digest, size, archive}}."""
        ...
