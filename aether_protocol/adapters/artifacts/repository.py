"""The local artifact repository: content in files named by their digest.

Law: what is kept is never changed. A file appears under its digest in one step, complete and synced, or not at all; and
nothing is handed out before its digest was checked. Equal contents are kept once.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import CHUNK

_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class LocalRepository:
    """An ArtifactRepository in a folder, which is made when it is first needed. Several processes may share it."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def put(self, file: Path) -> tuple[str, int]:
        """Keep the content of `file`; gives (`sha256:<hex>`, size in bytes). Raises PortError."""
        try:
            digest, size = _digest(file)
            kept = self._path(digest)
            if not (kept.is_file() and kept.stat().st_size == size):
                # The file may change while it is copied: what was copied is what counts.
                digest, size = self._keep(file)
        except OSError as fault:
            raise PortError(f"artifact {file.name!r} cannot be kept: {_why(fault)}") from fault
        return digest, size

    def get(self, digest: str, target: Path) -> None:
        """Write the content to `target`, replacing a file that is there. Raises PortError, and `target` is untouched."""
        kept = self._path(digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary, found, _ = _copy(kept, target.parent)
        except FileNotFoundError:
            raise PortError(f"artifact {digest} is not in the repository") from None
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be read: {_why(fault)}") from fault
        try:
            if found != digest:
                raise PortError(f"artifact {digest} is damaged", hint="delete it and run the task that made it again")
            temporary.chmod(0o644)
            os.replace(temporary, target)
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be written to {str(target)!r}: {_why(fault)}") from fault
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise PortError(f"{digest[:100]!r} is not a digest", hint="a digest is sha256: and 64 hexadecimal digits")
        name = match.group(1)
        return self._folder / "sha256" / name[:2] / name[2:]

    def _keep(self, file: Path) -> tuple[str, int]:
        incoming = self._folder / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        temporary, digest, size = _copy(file, incoming)
        try:
            kept = self._path(digest)
            kept.parent.mkdir(parents=True, exist_ok=True)
            temporary.chmod(0o444)
            os.replace(temporary, kept)
            _sync_folder(kept.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
        return f"sha256:{digest.hexdigest()}", source.tell()


def _copy(file: Path, folder: Path) -> tuple[Path, str, int]:
    """Copy `file` to a new, synced file in `folder`; gives its path, digest and size."""
    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as source:
        handle, name = tempfile.mkstemp(prefix=".aether-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as sink:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    size += sink.write(chunk)
                sink.flush()
                os.fsync(sink.fileno())
        except BaseException:
            os.unlink(name)
            raise
    return Path(name), f"sha256:{digest.hexdigest()}", size


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(fault: OSError) -> str:
    return (fault.strerror or str(fault)).lower()
