"""The local artifact repository: content in files named by their digest.

Law: what is kept is never changed. A file appears under its digest in one step, complete and synced, or not at all; and
nothing is copied out before its digest was checked. Equal contents are kept once; the time of a file is that of the last
time that it was put. All of it is its owner's alone. Each namespace but `default` has a folder of its own in it, as if it were
another repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.private import make_private
from aether_protocol.ports.artifacts import KeptArtifact
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE

_CHUNK: Final = 262_144  # bytes that are read at once
_DIGEST: Final = r"sha256:([0-9a-f]{64})"
_NAMESPACES: Final = "namespaces"
_STORES: Final = "stores"  # whose artifacts they are: a file for each
_NAMESPACE: Final = r"[A-Za-z0-9._-]{1,63}"
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}  # folders of namespaces whose names are paths


class LocalRepository:
    """A NamespacedRepository in a folder, which is made when it is first needed. Several processes may share it."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    def within(self, namespace: str) -> LocalRepository:
        """The part of a namespace. Raises PortError: that is not a namespace."""
        if namespace == DEFAULT_NAMESPACE:
            return self
        if not re.fullmatch(_NAMESPACE, namespace):
            raise PortError(f"{namespace!r} is not a namespace")
        return LocalRepository(self._folder / _NAMESPACES / _DOTS.get(namespace, namespace))

    def namespaces(self) -> list[str]:
        """The namespaces that have a folder, and `default`. Raises PortError."""
        names = {folder: name for name, folder in _DOTS.items()}
        try:
            found = sorted(names.get(one.name, one.name) for one in _entries(self._folder / _NAMESPACES) if one.is_dir())
        except OSError as fault:
            raise PortError(f"the artifacts in {str(self._folder)!r} cannot be listed: {_why(fault)}") from fault
        return [DEFAULT_NAMESPACE, *(one for one in found if re.fullmatch(_NAMESPACE, one))]

    def claim(self, store: str) -> list[str]:
        """Note a store whose runs name what is kept here, unless its name is empty; gives the files that name others. Raises
        PortError."""
        folder = self._folder / _STORES
        try:
            if store and not (folder / store).exists():
                make_private(folder)
                (folder / store).touch()
            return sorted(one.path for one in _entries(folder) if one.name != store)
        except OSError as fault:
            raise PortError(f"{str(folder)!r} cannot be used: {_why(fault)}") from fault

    def path_of(self, digest: str) -> Path:
        """Return where a content is, if it is there. Raises PortError: that is not a digest."""
        return self._path(digest)

    def put(self, file: Path) -> tuple[str, int]:
        """Keep the content of `file`; gives (`sha256:<hex>`, size in bytes). Raises PortError."""
        try:
            digest, size = _digest(file)
            if not self._renew(self._path(digest), size):
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
            os.replace(temporary, target)
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be written to {str(target)!r}: {_why(fault)}") from fault
        finally:
            temporary.unlink(missing_ok=True)

    def open(self, digest: str) -> IO[bytes]:
        """Open the file of a digest; what is read is not checked. Raises PortError."""
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise PortError(f"artifact {digest} is not in the repository") from None
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be read: {_why(fault)}") from fault

    def renew(self, digest: str) -> int | None:
        """Count a content as put now; gives its size, None where it is not there. Raises PortError."""
        kept = self._path(digest)
        try:
            return kept.stat().st_size if self._renew(kept, None) else None
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be read: {_why(fault)}") from fault

    def sound(self, digest: str) -> bool:
        """Whether the file of a digest has that digest. Raises PortError."""
        try:
            return _digest(self._path(digest))[0] == digest
        except FileNotFoundError:
            return False
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be read: {_why(fault)}") from fault

    def kept(self) -> Iterator[KeptArtifact]:
        """Every file that is kept under a digest. Raises PortError."""
        try:
            for folder in _entries(self._folder / "sha256"):
                for name in _entries(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                    digest = f"sha256:{folder.name}{name.name}"
                    with suppress(FileNotFoundError):
                        found = name.stat(follow_symlinks=False)
                        if re.fullmatch(_DIGEST, digest) and name.is_file(follow_symlinks=False):
                            yield KeptArtifact(digest, found.st_size, found.st_mtime_ns // 1_000)
        except OSError as fault:
            raise PortError(f"the artifacts in {str(self._folder)!r} cannot be listed: {_why(fault)}") from fault

    def delete(self, digest: str, before: int) -> bool:
        """Remove the file of a digest if it was put last before the instant `before`. Raises PortError."""
        kept = self._path(digest)
        try:
            if not kept.exists():
                return False
            with self._locked(fcntl.LOCK_EX):
                if kept.stat().st_mtime_ns // 1_000 >= before:
                    return False
                kept.unlink()
                with suppress(OSError):  # others are in it
                    kept.parent.rmdir()
            return True
        except FileNotFoundError:
            return False
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be deleted: {_why(fault)}") from fault

    def tidy(self, before: int) -> None:
        """Remove files that were being written to when their process died, and have not changed since `before`."""
        with suppress(OSError):  # the next one does it
            for item in _entries(self._folder / "incoming"):
                if item.stat(follow_symlinks=False).st_mtime_ns // 1_000 < before:
                    os.unlink(item.path)

    def _renew(self, kept: Path, size: int | None) -> bool:
        """Whether a content of this size (None: of any) is kept already; it counts as put now."""
        if not kept.is_file():
            return False
        with self._locked(fcntl.LOCK_SH):  # against a `delete` that has looked at its time and has not deleted it yet
            if not (kept.is_file() and size in (None, kept.stat().st_size)):
                return False
            os.utime(kept)
        return True

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    def _path(self, digest: str) -> Path:
        match = re.fullmatch(_DIGEST, digest)
        if match is None:
            raise PortError(f"{digest!r} is not a digest", hint="a digest is sha256: and 64 hexadecimal digits")
        name = match.group(1)
        return self._folder / "sha256" / name[:2] / name[2:]

    def _keep(self, file: Path) -> tuple[str, int]:
        incoming = self._folder / "incoming"
        make_private(incoming)
        temporary, digest, size = _copy(file, incoming)
        try:
            kept = self._path(digest)
            temporary.chmod(0o400)
            with self._locked(fcntl.LOCK_SH):  # against a `delete` of what was there, damaged
                os.utime(temporary)
                make_private(kept.parent)
                os.replace(temporary, kept)
            _sync_folder(kept.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size


class TemporaryRepository(LocalRepository):
    """A LocalRepository that is gone with its process, for runs that end with it."""

    def __init__(self) -> None:
        import shutil  # here: most repositories outlive their process
        import tempfile

        folder = Path(tempfile.gettempdir(), f"aether-artifacts-{os.getpid()}-{os.urandom(6).hex()}")
        super().__init__(folder)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing where there is none."""
    try:
        with os.scandir(folder) as found:
            yield from found
    except FileNotFoundError:
        return


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
        return f"sha256:{digest.hexdigest()}", source.tell()


def _copy(file: Path, folder: Path) -> tuple[Path, str, int]:
    """Copy `file` to a new, synced file in `folder`; gives its path, digest and size."""
    import tempfile  # here: most runs keep no artifact

    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as source:
        handle, name = tempfile.mkstemp(prefix=".aether-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as sink:
                while chunk := source.read(_CHUNK):
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


def repository_of_url(url: str) -> LocalRepository:
    """Make the repository of `folder:PATH`. Raises UsageError without a path."""
    path = url.partition(":")[2]
    if not path:
        raise UsageError(f"the artifact repository {url!r} has no path", hint="like 'folder:artifacts'")
    return LocalRepository(path)
