"""The artifacts that a worker keeps on its disk, by digest: what its attempts need, and what they made.

Law: what is kept was checked by its digest. What came for an attempt of one namespace is not there for those of another
(RT-140): they have to get it from their server. What was not used for longest goes first when there is more than the bound,
but nothing that was used within a minute. Several workers of a machine may share a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Final

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.errors import PortError
from aether_protocol.execution.private import make_private

MOST_BYTES: Final = 5 * 2**30
USED_S: Final = 60.0  # what was used since may be in use
_LOOK_AT: Final = 20  # the folder is looked through when a twentieth of the bound was added


class ArtifactCache:
    """A LocalRepository with a bound. Blocking calls, made in threads.

    Args:
        folder: where it is; made when it is needed.
        most_bytes: how much it keeps.
    """

    def __init__(self, folder: str | Path, most_bytes: int = MOST_BYTES) -> None:
        self.repository = LocalRepository(folder)
        self._most_bytes = most_bytes
        self._added = most_bytes  # since it was looked through; at first that is not known

    def has(self, namespace: str, digest: str) -> bool:
        """Whether a content is there; it counts as used now. Raises PortError."""
        return self.repository.within(namespace).renew(digest) is not None

    def part(self, namespace: str, digest: str) -> Path:
        """The file into which a content is received. Raises PortError."""
        folder = self.repository.within(namespace).folder / "incoming"
        try:
            make_private(folder)
        except OSError as fault:
            raise PortError(f"artifacts cannot be kept in {str(folder)!r}: {(fault.strerror or '').lower()}") from fault
        return folder / f"{digest.removeprefix('sha256:')[:64]}-{os.getpid()}.part"

    def take(self, part: Path, namespace: str, digest: str) -> None:
        """Keep what was received, if it is what it should be; the file is gone afterwards. Raises PortError."""
        try:
            with part.open("rb") as source:
                found = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
            if found != digest:
                raise PortError(f"artifact {digest} came damaged: what the server sent is {found}")
            self._added += self.repository.within(namespace).put(part)[1]
        except OSError as fault:
            raise PortError(f"artifact {digest} cannot be kept: {(fault.strerror or str(fault)).lower()}") from fault
        finally:
            part.unlink(missing_ok=True)
        self.shrink()

    def drop(self, namespace: str, digest: str) -> None:
        """Forget a content: it is damaged. Raises PortError."""
        self.repository.within(namespace).delete(digest, _now() + 1)

    def added(self, file: Path) -> None:
        """Note that an attempt put a content."""
        with contextlib.suppress(OSError):
            self._added += file.stat().st_size
        self.shrink()

    def shrink(self) -> None:
        """Remove what was not used for longest, where there is more than the bound."""
        if self._added < self._most_bytes // _LOOK_AT:
            return
        self._added = 0
        before = _now() - round(USED_S * 1_000_000)
        with contextlib.suppress(PortError):  # the next one does it
            parts = [self.repository.within(namespace) for namespace in self.repository.namespaces()]
            kept = sorted(((one, part) for part in parts for one in part.kept()), key=lambda item: item[0].put_at)
            over = sum(one.size for one, _ in kept) - self._most_bytes
            for one, part in kept:
                if over <= 0:
                    break
                if part.delete(one.digest, before):
                    over -= one.size
            for part in parts:
                part.tidy(_now() - 86_400_000_000)


def _now() -> int:
    return time.time_ns() // 1_000


def usual_cache() -> Path:
    """Return where a worker keeps artifacts by default."""
    home = os.environ.get("XDG_CACHE_HOME") or ""
    if not os.path.isabs(home):  # the XDG rules say that a relative one is to be ignored
        home = os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), ".cache")
    return Path(home, "aether", "artifacts")
