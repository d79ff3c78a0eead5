"""Unpacking archives that may be hostile (ART-2).

Law: every entry goes through `Tree`; nothing is written elsewhere, no matter what the archive says. Sizes are bounded as
the bytes come. Files, folders and links that stay inside are unpacked; anything else is an error, never left out in
silence.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import CHUNK, Budget, Limits
from aether_protocol.execution.staging.tree import MAX_NAME, Tree

_MAX_READ: Final = 1_048_576  # no header of a real archive is as long as that
_FAULTS: Final = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
    *(NotImplementedError, RuntimeError, KeyError, IndexError, OverflowError, struct.error),
)  # what the two libraries raise for bytes that are no archive


def unpack(file: Path, archive: str, target: Path, limits: Limits) -> bool:
    """Unpack `file` (`tar`, `tar.gz` or `zip`) into the folder `target`.

    Gives whether it is the archive of a single file: one file at its top and no entry for the folder (see packing).
    Raises PortError; `target` may then hold a part.
    """
    tree = Tree(target, Budget(limits))
    try:
        single = _unzip(file, tree, limits) if archive == "zip" else _untar(file, archive, tree, limits)
        tree.finish()
    except PortError:
        raise
    except _FAULTS as fault:
        if isinstance(fault, OSError) and fault.errno is not None:
            raise PortError(f"cannot unpack {file.name!r}: {(fault.strerror or '').lower()}") from fault
        raise PortError(f"cannot unpack {file.name!r}: it is not a {archive} archive, or damaged") from fault
    return single


class _Bounded(io.RawIOBase):
    """A decompressed stream that only goes forward, up to a bounded size.

    `headers` is what may still be read before the next entry's content begins: the library keeps headers in memory, so
    an archive of nothing but header must not be read to its end. None: content is being read.
    """

    def __init__(self, source: IO[bytes], limits: Limits) -> None:
        self._source = source
        # Headers and padding come on top of the content, which is counted where it is written.
        self._budget = Budget(Limits(limits.size + limits.count * 4096 + _MAX_READ))
        self._position = 0
        self.headers: int | None = _MAX_READ

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise PortError("the archive has a header that is too large")
        if self.headers is not None:
            self.headers -= size
            if self.headers < 0:
                raise PortError("the archive has a header that is too large")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._budget.take(len(data))
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence != 0 or offset < self._position:
            raise PortError("the archive is not in order")
        while self._position < offset:
            if not self._read(min(CHUNK, offset - self._position)):
                break
        return self._position


def _untar(file: Path, archive: str, tree: Tree, limits: Limits) -> bool:
    if archive not in ("tar", "tar.gz"):
        raise PortError(f"unknown archive type {archive!r}")
    names: list[tuple[str, bool]] = []
    opener = gzip.open if archive == "tar.gz" else open
    with opener(file, "rb") as plain:
        stream = _Bounded(plain, limits)  # type: ignore[arg-type]  # both give a binary file
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                stream.headers = None
                _tar_entry(tar, member, tree)
                stream.headers = _MAX_READ
                tar.members.clear()  # type: ignore[attr-defined]  # the library would keep them all
                if len(names) < 2:
                    names.append((member.name, member.isreg()))
    return _is_single(names)


def _tar_entry(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree) -> None:
    if member.issym():
        tree.link(member.name, member.linkname)
    elif member.islnk():
        tree.copy(member.name, member.linkname)
    elif member.isdir():
        tree.folder(member.name, member.mode)
    elif member.isreg() and not member.issparse():
        content = tar.extractfile(member)
        assert content is not None  # it is a regular file
        tree.file(member.name, content, member.mode)
    else:
        raise PortError(f"entry {member.name!r} is neither a file nor a folder nor a link")


def _unzip(file: Path, tree: Tree, limits: Limits) -> bool:
    names: list[tuple[str, bool]] = []
    _check_table(file, limits)
    with zipfile.ZipFile(file) as box:
        for info in box.filelist:
            attributes = info.external_attr >> 16 if info.create_system == 3 else 0
            kind, mode = stat.S_IFMT(attributes), stat.S_IMODE(attributes)
            if info.filename.endswith("/"):
                tree.folder(info.filename, mode or 0o755)
            elif kind == stat.S_IFLNK:
                with box.open(info) as content:
                    tree.link(info.filename, content.read(MAX_NAME + 1).decode())
            elif kind in (0, stat.S_IFREG):
                with box.open(info) as content:
                    tree.file(info.filename, content, mode or 0o644)
            else:
                raise PortError(f"entry {info.filename!r} is neither a file nor a folder nor a link")
            if len(names) < 2:
                names.append((info.filename, kind in (0, stat.S_IFREG)))
    return _is_single(names)


def _check_table(file: Path, limits: Limits) -> None:
    """The table of contents is small enough to be read: the library reads all of it into memory at once."""
    with file.open("rb") as source:
        end = source.seek(0, io.SEEK_END)
        source.seek(max(end - 66_000, 0))
        tail = source.read()
    at = tail.rfind(b"PK\5\6")
    wide = tail.rfind(b"PK\6\6", 0, max(at, 0))
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile
    size = struct.unpack_from("<I", tail, at + 12)[0]
    if wide >= 0 and len(tail) >= wide + 56:
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, wide + 40)[0])
    if size > limits.count * 256:
        raise PortError(f"the artifact has more than {limits.count} entries")


def _is_single(names: list[tuple[str, bool]]) -> bool:
    return len(names) == 1 and names[0][1] and "/" not in names[0][0].rstrip("/") and not names[0][0].endswith("/")
