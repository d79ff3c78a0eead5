"""The stager: lays input artifacts down before a task starts, and keeps output artifacts after it succeeded (ART-1, ART-2).

Law: content is made ready beside its place and then moved there, so that a failure leaves no half of it, and nothing
outside of an artifact's `path` is touched. What lies at `path` already is replaced file by file; other files stay.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Limits
from aether_protocol.execution.staging.packing import pack
from aether_protocol.execution.staging.unpacking import unpack
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import ArtifactOutput
from aether_protocol.ports.artifacts import ArtifactFetcher, ArtifactRepository


class LocalStager:
    """A Stager over a repository and fetchers."""

    def __init__(
        self,
        repository: ArtifactRepository,
        fetchers: Sequence[ArtifactFetcher] = (),
        *,
        limits: Limits | None = None,
    ) -> None:
        self._repository = repository
        self._fetchers = {fetcher.name: fetcher for fetcher in fetchers}
        self._limits = limits or Limits()

    def bring(self, artifacts: Mapping[str, Json], folder: Path) -> None:
        """Lay each input artifact down at its `path` below `folder`. Raises PortError that names the artifact."""
        for name, value in artifacts.items():
            if value.get("path") is None:
                continue
            try:
                self._bring(value, place(folder, value["path"]))
            except PortError as fault:
                raise PortError(f"input artifact {name!r}: {fault.message}", hint=fault.hint) from fault
            except (OSError, ValueError) as fault:
                raise PortError(f"input artifact {name!r}: {_why(fault)}") from fault

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path) -> dict[str, Json]:
        """Keep what lies at each output's `path` below `folder`: {name: {name, digest, size, archive}}. Raises PortError."""
        kept: dict[str, Json] = {}
        for output in outputs:
            if output.path is None:
                continue
            try:
                kept[output.name] = self._keep(output, place(folder, output.path))
            except PortError as fault:
                raise PortError(f"output artifact {output.name!r}: {fault.message}", hint=fault.hint) from fault
            except (OSError, ValueError) as fault:
                raise PortError(f"output artifact {output.name!r}: {_why(fault)}") from fault
        return kept

    def _bring(self, value: Mapping[str, Json], target: Path) -> None:
        beside = target if stat.S_ISDIR(_mode(target)) else target.parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".aether-", dir=beside) as folder:
            came, unpacked = Path(folder, "came"), Path(folder, "unpacked")
            self._get(value, came)
            archive = value.get("archive") or "none"
            if archive == "none":
                if value.get("executable") is True and came.is_file():
                    came.chmod(0o700)
                move(came, target)
            elif unpack(came, archive, unpacked, self._limits) and "digest" in value:
                # What a task kept as an archive of one file lies at `path` as that file again.
                move(next(unpacked.iterdir()), target)
            else:
                move(unpacked, target)

    def _get(self, value: Mapping[str, Json], target: Path) -> None:
        source = value.get("source")
        if source is None:
            self._repository.get(value["digest"], target)
            return
        fetcher = self._fetchers.get(source["type"])
        if fetcher is None:
            known = ", ".join(sorted(self._fetchers)) or "none"
            raise PortError(f"unknown source type {source['type']!r}", hint=f"known are: {known}")
        fetcher.fetch(source.get("config") or {}, target)

    def _keep(self, output: ArtifactOutput, source: Path) -> dict[str, Json]:
        mode = source.stat().st_mode if source.exists() else 0
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise PortError(f"{output.path!r} is missing" if mode == 0 else f"{output.path!r} is no file or folder")
        archive = output.archive or ("tar.gz" if stat.S_ISDIR(mode) else "none")
        if archive == "none":
            if stat.S_ISDIR(mode):
                raise PortError(f"{output.path!r} is a folder", hint="a folder needs archive tar, tar.gz or zip")
            digest, size = self._repository.put(source)
        else:
            with tempfile.TemporaryDirectory(prefix="aether-") as folder:
                packed = Path(folder, "packed")
                pack(source, archive, packed, self._limits)
                digest, size = self._repository.put(packed)
        kept: dict[str, Json] = {"name": output.name, "digest": digest, "size": size, "archive": archive}
        return {**kept, "executable": True} if archive == "none" and mode & 0o111 else kept


def place(folder: Path, path: str) -> Path:
    """Where an artifact's `path` is: relative to the workspace `folder`, or absolute as the document says."""
    return Path(os.path.abspath(folder / path))


def move(source: Path, target: Path) -> None:
    """Move a file or folder to `target`. A folder that is there is filled; no link that is there is followed."""
    todo = [(source, target)]
    while todo:
        origin, place = todo.pop()
        moving, there = _mode(origin), _mode(place)
        if stat.S_ISDIR(moving) and stat.S_ISDIR(there):
            todo.extend((child, place / child.name) for child in origin.iterdir())
        elif there and (stat.S_ISDIR(moving) or stat.S_ISDIR(there)):
            raise PortError(f"{str(place)!r} is in the way: it is {'a' if stat.S_ISDIR(there) else 'no'} folder")
        else:
            os.replace(origin, place)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _why(fault: OSError | ValueError) -> str:
    return (getattr(fault, "strerror", None) or str(fault)).lower()
