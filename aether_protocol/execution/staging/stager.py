"""The stager: lays input artifacts down before a task starts, and keeps output artifacts after it succeeded (ART-1, ART-2).

Law: content is made ready beside its place and then moved there, so that a failure leaves no half of it, and nothing
outside of an artifact's `path` is touched. What lies at `path` already is replaced file by file; other files stay.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Limits
from aether_protocol.execution.staging.tree import kept_mode
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import ArtifactOutput
from aether_protocol.ports.artifacts import AbsentError, ArtifactFetcher, ArtifactRepository, part_of

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

_USUAL_MODE: Final = 0o644  # of a file that says nothing of it
_USUAL: Final = f"{_USUAL_MODE:04o}"


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

    def within(self, namespace: str) -> LocalStager:
        """The same, over the part of a namespace."""
        return LocalStager(part_of(self._repository, namespace), list(self._fetchers.values()), limits=self._limits)

    def bring(self, artifacts: Mapping[str, Json], folder: Path, scratch: Path, origin: str | None) -> dict[str, Json]:
        """Lay each input artifact down at its `path` below `folder`; what those from sources were. Raises PortError that names
        the artifact."""
        fetched: dict[str, Json] = {}
        for name, value in artifacts.items():
            if value.get("path") is None:
                continue
            try:
                came = self._bring(value, place(folder, value["path"]), scratch, origin)
                if came is not None:
                    fetched[name] = came
            except PortError as fault:
                raise PortError(f"input artifact {name!r}: {fault.message}", hint=fault.hint) from fault
            except (OSError, ValueError) as fault:
                raise PortError(f"input artifact {name!r}: {_why(fault)}") from fault
        return fetched

    def renew(self, fetched: Mapping[str, Json]) -> None:
        """Count what was fetched as put now. Raises PortError."""
        for record in fetched.values():
            self._repository.renew(record["digest"])

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path, scratch: Path) -> dict[str, Json]:
        """Keep what lies at each output's `path` below `folder`: {name: {name, digest, size, archive}}. Raises PortError."""
        kept: dict[str, Json] = {}
        for output in outputs:
            if output.path is None:
                continue
            try:
                kept[output.name] = self._keep(output, place(folder, output.path), scratch)
            except PortError as fault:
                raise PortError(f"output artifact {output.name!r}: {fault.message}", hint=fault.hint) from fault
            except (OSError, ValueError) as fault:
                raise PortError(f"output artifact {output.name!r}: {_why(fault)}") from fault
        return kept

    def _bring(self, value: Mapping[str, Json], target: Path, scratch: Path, origin: str | None) -> Json:
        """Lay one down; what it was, where it comes from a source."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with _folder_in(scratch, "in-") as folder:
            came, unpacked = Path(folder, "came"), Path(folder, "unpacked")
            try:
                fetched = self._get(value, came, origin)
            except AbsentError:
                if not value.get("optional"):
                    raise
                return None
            archive = value.get("archive") or "none"
            if archive == "none":
                if "digest" in value:  # of a source it has the mode already
                    came.chmod(int(value.get("mode", _USUAL), 8) & 0o755)
                move(came, target)
            elif _unpack(came, archive, unpacked, self._limits) and "digest" in value:
                # What a task kept as an archive of one file lies at `path` as that file again.
                move(next(unpacked.iterdir()), target)
            else:
                move(unpacked, target)
        return fetched

    def _get(self, value: Mapping[str, Json], target: Path, origin: str | None) -> Json:
        """The content, from the repository or from its source; a source is asked once, and the run keeps what it gave."""
        source, before = value.get("source"), value.get("fetched")
        if source is None:
            self._repository.get(value["digest"], target)
            return None
        if before is not None and self._again(before, target):
            return None
        fetcher = self._fetchers.get(source["type"])
        if fetcher is None:
            known = ", ".join(sorted(self._fetchers)) or "none"
            raise PortError(f"unknown source type {source['type']!r}", hint=f"known are: {known}")
        more = fetcher.fetch(source.get("config") or {}, target, origin)
        fetched = self._record(target) | ({} if more is None else {"commit": more})
        if before is not None and fetched["digest"] != before["digest"]:
            told = f"source {source['type']} gives something else than before: {_called(before)} then, {_called(fetched)} now"
            raise PortError(told, hint="a new run takes it as it is now")
        return fetched

    def _record(self, came: Path) -> dict[str, Json]:
        """Keep what came from a source; how it is found again."""
        mode = kept_mode(stat.S_IMODE(came.stat().st_mode))
        if not came.is_dir():
            digest, size = self._repository.put(came)
            return {"digest": digest, "size": size, "mode": f"{mode:04o}"}
        packed = came.with_name("packed")
        _pack(came, "tar", packed, self._limits)
        digest, size = self._repository.put(packed)
        packed.unlink()
        return {"digest": digest, "size": size, "packed": "tar"}

    def _again(self, before: Mapping[str, Json], target: Path) -> bool:
        """The same as before, from the repository; False where that does not have it any more."""
        packed = target.with_name("packed") if "packed" in before else target
        try:
            self._repository.get(before["digest"], packed)
        except PortError:
            return False
        if "packed" in before:
            _unpack(packed, before["packed"], target, self._limits)
            packed.unlink()
        else:
            target.chmod(int(before["mode"], 8))
        return True

    def _keep(self, output: ArtifactOutput, source: Path, scratch: Path) -> dict[str, Json]:
        mode = source.stat().st_mode if source.exists() else 0
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise PortError(f"{output.path!r} is missing" if mode == 0 else f"{output.path!r} is not a file or folder")
        more: dict[str, Json] = {}
        archive = output.archive or ("tar.gz" if stat.S_ISDIR(mode) else "none")
        if archive == "none":
            if stat.S_ISDIR(mode):
                raise PortError(f"{output.path!r} is a folder", hint="a folder needs archive tar, tar.gz or zip")
            digest, size = self._repository.put(source)
            if kept_mode(mode) != _USUAL_MODE:
                more["mode"] = f"{kept_mode(mode) & 0o777:04o}"
        else:
            with _folder_in(scratch, "out-") as folder:
                packed = Path(folder, "packed")
                _pack(source, archive, packed, self._limits)
                digest, size = self._repository.put(packed)
        return {"name": output.name, "digest": digest, "size": size, "archive": archive, **more}


def _called(fetched: Mapping[str, Json]) -> str:
    return str(fetched.get("commit") or fetched["digest"])


def place(folder: Path, path: str) -> Path:
    """Where an artifact's `path` is: below the workspace `folder`, or absolute as the document says. Raises PortError for a
    relative one that leads out of the workspace."""
    found = Path(os.path.abspath(folder / path))
    if not os.path.isabs(path) and not found.is_relative_to(folder):
        raise PortError(f"path {path!r} leads out of the workspace", hint="a place elsewhere needs an absolute path")
    return found


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
            _replace(origin, place)


def _replace(source: Path, target: Path) -> None:
    """Move to where nothing or a file is; from one file system to another in a way that shows no half of it."""
    try:
        os.replace(source, target)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        import shutil  # here: most scratch lies on the file system of its workspace

        with _folder_in(target.parent, ".aether-") as folder:
            os.replace(shutil.move(source, Path(folder, "moved")), target)


def _folder_in(place: Path, prefix: str) -> TemporaryDirectory[str]:
    from tempfile import TemporaryDirectory  # here: most runs have no artifacts

    return TemporaryDirectory(prefix=prefix, dir=place)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _why(fault: OSError | ValueError) -> str:
    return (getattr(fault, "strerror", None) or str(fault)).lower()


def _pack(source: Path, archive: str, target: Path, limits: Limits) -> None:
    from aether_protocol.execution.staging.packing import pack  # here: most runs pack nothing

    pack(source, archive, target, limits)


def _unpack(source: Path, archive: str, target: Path, limits: Limits) -> bool:
    from aether_protocol.execution.staging.unpacking import unpack

    return unpack(source, archive, target, limits)
