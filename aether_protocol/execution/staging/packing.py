"""Packing: a file or folder becomes one archive, the same bytes for the same content (ART-1).

Law: an archive depends on names, contents, links and modes alone: entries are sorted, times and owners are fixed. Of a mode
counts what its owner may do, and what others may read and execute: nothing becomes wider on its way. A folder's archive begins
with an entry for the folder itself, which tells it from the archive of a single file.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import CHUNK, Budget, Limits
from aether_protocol.execution.staging.tree import check_link, kept_mode

ARCHIVES: Final = ("tar", "tar.gz", "zip", "none")

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip knows


class ArchiveEntry(Struct, frozen=True):
    """What is packed: `name` inside of the archive; `link` is a symbolic link's target."""

    name: str
    path: Path
    mode: int
    size: int = 0
    link: str | None = None


class _Sink(Protocol):
    def add(self, entry: ArchiveEntry) -> None: ...


def pack(source: Path, archive: str, target: Path, limits: Limits) -> None:
    """Pack the file or folder `source` into the new file `target` as `tar`, `tar.gz` or `zip`. Raises PortError."""
    try:
        with target.open("wb") as file:
            if archive == "zip":
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as box:
                    _fill(_Zip(box), source, limits)
            elif archive == "tar":
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    _fill(_Tar(tar), source, limits)
            elif archive == "tar.gz":
                with (
                    gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
                    tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
                ):
                    _fill(_Tar(tar), source, limits)
            else:
                raise PortError(f"unknown archive type {archive!r}", hint=f"one of {', '.join(ARCHIVES)}")
    except (OSError, ValueError, tarfile.TarError, zipfile.LargeZipFile) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise PortError(f"cannot pack {str(source)!r}: {why.lower()}") from fault


def _fill(sink: _Sink, source: Path, limits: Limits) -> None:
    budget = Budget(limits)
    for entry in _entries(source):
        budget.entry()
        budget.take(entry.size)
        sink.add(entry)


def _entries(source: Path) -> Iterator[ArchiveEntry]:
    """All entries in an order that depends on their names alone; links are not followed, but `source` itself may be one."""
    info = source.stat()
    if not stat.S_ISDIR(info.st_mode):
        yield _entry(source.name, source, info)
        return
    yield ArchiveEntry("./", source, info.st_mode)
    folders: list[tuple[str, Path]] = [("", source)]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as scan:
            children = sorted(scan, key=lambda child: os.fsencode(child.name))
        below: list[tuple[str, Path]] = []
        for child in children:
            name, path, info = prefix + child.name, Path(child.path), child.stat(follow_symlinks=False)
            yield _entry(name, path, info)
            if stat.S_ISDIR(info.st_mode):
                below.append((f"{name}/", path))
        folders.extend(reversed(below))


def _entry(name: str, path: Path, info: os.stat_result) -> ArchiveEntry:
    mode = info.st_mode
    if stat.S_ISLNK(mode):
        target = os.readlink(path)
        check_link(name, target)
        return ArchiveEntry(name, path, mode, link=target)
    if stat.S_ISDIR(mode):
        return ArchiveEntry(f"{name}/", path, mode)
    if not stat.S_ISREG(mode):
        raise PortError(f"{str(path)!r} is neither a file nor a folder nor a link")
    return ArchiveEntry(name, path, mode, info.st_size)


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, entry: ArchiveEntry) -> None:
        info = tarfile.TarInfo(entry.name)
        if entry.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            self._tar.addfile(info)
        elif stat.S_ISDIR(entry.mode):
            info.type, info.mode = tarfile.DIRTYPE, kept_mode(entry.mode)
            self._tar.addfile(info)
        else:
            info.size, info.mode = entry.size, kept_mode(entry.mode)
            with entry.path.open("rb") as content:
                self._tar.addfile(info, content)


class _Zip:
    def __init__(self, box: zipfile.ZipFile) -> None:
        self._box = box

    def add(self, entry: ArchiveEntry) -> None:
        info = zipfile.ZipInfo(entry.name, _EPOCH)
        info.create_system = 3  # the modes are those of Unix
        if entry.link is not None:
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            self._box.writestr(info, entry.link)
        elif stat.S_ISDIR(entry.mode):
            info.external_attr = (stat.S_IFDIR | kept_mode(entry.mode)) << 16
            self._box.writestr(info, b"")
        else:
            info.external_attr = (stat.S_IFREG | kept_mode(entry.mode)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = entry.size
            with entry.path.open("rb") as content, self._box.open(info, "w") as sink:
                while chunk := content.read(CHUNK):
                    sink.write(chunk)
