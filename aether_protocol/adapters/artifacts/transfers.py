"""Artifacts on their way from and to other machines: received in pieces, resumed where they broke off, kept when whole.

Law: a content is of one namespace; whether another has it, too, makes no difference to anything here (RT-140). Nothing reaches
the repository but a content that has the digest under which it was announced. What was received of one stays in a file of its
own, by digest and by who sends it, until it is whole, is found to be wrong, or is a day old. Never more than one block of a
content is in memory.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final, Literal
from weakref import WeakValueDictionary

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.errors import PortError
from aether_protocol.execution.private import make_private
from aether_protocol.ports.artifacts import ArtifactRepository, part_of

BLOCK: Final = 2**20
MOST_BYTES: Final = 8 * 2**30  # of one artifact
OLD_S: Final = 86_400.0  # then what was received of one that never became whole is removed
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Reason = Literal["artifact-offset", "artifact-digest", "artifact-too-large", "artifact-invalid", "disk-full"]


class TransferError(PortError):
    """A content was not taken. `code` says why to programs; `offset` is how much of it is there."""

    def __init__(self, code: Reason, message: str, *, offset: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.offset = offset


class _Upload:
    """What was received of one content. The newest sender owns it: an earlier one has lost its connection."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.owner: object = None


class ArtifactTransfers:
    """Receives contents for a repository, and gives them out.

    Args:
        repository: keeps what is whole.
        folder: where parts are; that of a LocalRepository, or one that ends with the process, unless given.
        most_bytes: the largest artifact that is taken.
    """

    def __init__(self, repository: ArtifactRepository, folder: Path | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self.repository = repository
        self._most_bytes = most_bytes
        self._uploads: WeakValueDictionary[Path, _Upload] = WeakValueDictionary()
        self._folder = folder or _folder_beside(repository, self)

    async def size(self, namespace: str, digest: str) -> int | None:
        """Count a content of a namespace as put now; gives its size, None where it is not there. Raises PortError."""
        return await asyncio.to_thread(part_of(self.repository, namespace).renew, digest)

    def offset(self, digest: str, sender: str) -> int:
        """How many bytes of a content have come from this sender. Raises TransferError: that is not a digest."""
        try:
            return self._part(digest, sender).stat().st_size
        except OSError:
            return 0

    async def receive(
        self,
        digest: str,
        sender: str,
        pieces: AsyncIterator[bytes],
        *,
        namespace: str,
        offset: int = 0,
        total: int | None = None,
    ) -> int | None:
        """Take in a content, or a part of it.

        Args:
            digest: that of the whole content.
            sender: who sends it: parts of two senders do not meet.
            pieces: the bytes; they may break off, and what came is kept.
            namespace: that of the run.
            offset: how many bytes of the content come before them.
            total: how many it has; None: it ends where the pieces end.

        Returns:
            The size, once it is kept; None where more is to come.

        Raises:
            TransferError: it is not taken; see `code`.
            PortError: the repository cannot keep it.
        """
        part = self._part(digest, sender)
        upload = self._uploads.setdefault(part, _Upload())
        owner = upload.owner = object()
        if (total or offset) > self._most_bytes:
            raise self._too_large()
        try:
            async with upload.lock:
                file = await asyncio.to_thread(self._open, part, offset)
            try:
                size = await self._write(file, upload, owner, pieces, offset)
            finally:
                await asyncio.to_thread(file.close)
            if total is not None and size < total:
                return None
            if total is not None and size > total:
                part.unlink(missing_ok=True)
                raise TransferError("artifact-invalid", f"{size} bytes came of an artifact that was said to have {total}")
            async with upload.lock:
                return await asyncio.to_thread(self._keep, part, digest, part_of(self.repository, namespace))
        except OSError as fault:
            raise _failed(fault) from fault

    async def read(self, namespace: str, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Give the bytes of a content of a namespace from `start` on (up to `end`), a block at a time. Raises PortError."""
        source = await asyncio.to_thread(part_of(self.repository, namespace).open, digest)
        try:
            await asyncio.to_thread(source.seek, start)
            left = BLOCK if end is None else end - start
            while left > 0 and (block := await asyncio.to_thread(source.read, min(BLOCK, left))):
                left -= 0 if end is None else len(block)
                yield block
        finally:
            source.close()

    # --- parts ------------------------------------------------------------------------------------------------------

    def _part(self, digest: str, sender: str) -> Path:
        match = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
        if match is None:
            hint = "a digest is sha256: and 64 hexadecimal digits"
            raise TransferError("artifact-invalid", f"{digest[:100]!r} is not a digest", hint=hint)
        return self._folder / f"{match[1]}-{hashlib.sha256(sender.encode()).hexdigest()[:16]}.part"

    def _open(self, part: Path, offset: int) -> IO[bytes]:
        """The file to write to, cut off at `offset`."""
        make_private(self._folder)
        self._tidy()
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file = os.fdopen(handle, "r+b")
        there = file.seek(0, os.SEEK_END)
        if offset > there:
            file.close()
            told = f"the artifact continues at byte {offset}, and {there} bytes of it are here"
            raise TransferError("artifact-offset", told, offset=there, hint=f"send it from byte {there} on")
        file.truncate(offset)
        file.seek(offset)
        return file

    async def _write(self, file: IO[bytes], upload: _Upload, owner: object, pieces: AsyncIterator[bytes], offset: int) -> int:
        """Write all that comes, a block at a time; gives how far it goes now."""

        async def flush() -> None:
            async with upload.lock:
                if upload.owner is not owner:
                    raise TransferError("artifact-offset", "the same sender began to send this artifact anew", offset=offset)
                await asyncio.to_thread(_write_all, file, bytes(block))
            block.clear()

        block = bytearray()
        try:
            async for piece in pieces:
                block += piece
                offset += len(piece)
                if offset > self._most_bytes:
                    raise self._too_large()
                if len(block) >= BLOCK:
                    await flush()
        except Exception as error:
            if block and not isinstance(error, TransferError | OSError):  # the connection broke: what came is kept
                await flush()
            raise
        if block:
            await flush()
        return offset

    @staticmethod
    def _keep(part: Path, digest: str, repository: ArtifactRepository) -> int:
        with part.open("rb") as source:
            found = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
        try:
            if found != digest:
                raise TransferError("artifact-digest", f"what came as {digest} is {found}: nothing of it is kept")
            return repository.put(part)[1]
        finally:
            part.unlink(missing_ok=True)

    def _too_large(self) -> TransferError:
        return TransferError("artifact-too-large", f"an artifact may have {self._most_bytes} bytes here")

    def _tidy(self) -> None:
        before = time.time() - OLD_S
        with os.scandir(self._folder) as found:
            for entry in found:
                if entry.name.endswith(".part") and entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink(missing_ok=True)


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _failed(fault: OSError) -> PortError:
    if fault.errno in FULL:
        hint = "make space on the server's disk; it is sent again from where it broke off"
        return TransferError("disk-full", "the disk is full: the artifact was not taken", hint=hint)
    return PortError(f"the artifact cannot be written: {(fault.strerror or str(fault)).lower()}")


def _folder_beside(repository: ArtifactRepository, owner: object) -> Path:
    if isinstance(repository, LocalRepository):
        return repository.folder / "uploads"
    import shutil  # here: most repositories are folders
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="aether-uploads-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
