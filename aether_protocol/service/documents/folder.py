"""A folder (or a checkout) whose documents are applied, and followed.

Theory of operation. `look` compares the folder with how it was applied last, by the places, sizes and times of its files; a
symbolic link that is switched (as Kubernetes does with a ConfigMap) shows as another file behind the same name. What has
changed is applied once two looks in a row find the same, so a checkout or a file that is still being written is not taken
half. All documents of the folder are applied together. Where that fails, the files that are at fault are left out and the
others applied without them, so that one faulty file holds up none of the rest: what it held before keeps counting. Nothing is
ever removed: a document whose file is gone stays, and is marked so. What became of each document is marked in the store
(`DocumentMark`), where all who list documents see it, also after a restart.

Law: the folder is only read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from aether_protocol.assembly.files import FileBytes, document_paths, is_document, read_file
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.errors import AetherError, DocumentError, PortError, UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import DocumentMark, LibraryStore
from aether_protocol.ports.store.library import APPLIED, FAULTY, GONE
from aether_protocol.service.client import Client
from aether_protocol.service.documents.changes import DocumentChange
from aether_protocol.service.documents.texts import DocumentText

FOLLOW_S: Final = 1.0  # between two looks at a folder that is followed

Stamps = Mapping[str, tuple[int, ...]]  # of each file: what tells another content from the one that is known
_Key = tuple[str, str, str, str]


class FolderReport(Struct, frozen=True):
    """What came of a look that found changes: what was applied, and by file what is wrong with it (with its place)."""

    changes: Sequence[DocumentChange]
    faults: Mapping[str, str]


class DocumentFolder:
    """See above.

    Args:
        path: the folder.
        client: applies; its caller may do so in all namespaces.
        library: where documents are marked.
        clock: says when.
        report: called with what came of each look that found changes.
    """

    def __init__(
        self, path: str, client: Client, library: LibraryStore, clock: Clock, report: Callable[[FolderReport], None]
    ) -> None:
        self._path = os.path.abspath(path)
        self._client = client
        self._library = library
        self._clock = clock
        self._report = report
        self._applied: Stamps | None = None
        self._seen: Stamps | None = None

    async def begin(self) -> None:
        """Apply what is there now. Raises PortError where the store cannot be used."""
        stamps = await asyncio.to_thread(_stamps, self._path)
        await self._apply(stamps)

    async def look(self) -> bool:
        """Apply what has changed, once it is the same as at the look before; whether something was applied.

        Raises PortError where the store cannot be used; the next look tries again.
        """
        stamps = await asyncio.to_thread(_stamps, self._path)
        settled = stamps == self._seen
        self._seen = stamps
        if stamps == self._applied or not settled:
            return False
        return await self._apply(stamps)

    async def _apply(self, stamps: Stamps) -> bool:
        files, unread = await asyncio.to_thread(_read_all, self._path)
        if await asyncio.to_thread(_stamps, self._path) != stamps:
            return False  # it changes at this moment: look again
        changes, faults = await self._apply_all(files)
        faults |= unread
        await self._mark(changes, faults)
        self._applied = self._seen = stamps
        if faults or any(one.action != "unchanged" for one in changes):
            self._report(FolderReport([one for one in changes if one.action != "unchanged"], faults))
        return True

    async def _apply_all(self, files: Mapping[str, str]) -> tuple[list[DocumentChange], dict[str, str]]:
        """Apply all files together, without those that are at fault; what became of them, and by file the faults."""
        faults: dict[str, str] = {}
        left = dict(files)
        while left:
            try:
                return await self._apply_some(left), faults
            except DocumentError as error:
                found = {
                    one.file: _place(one) for one in reversed(error.diagnostics) if one.severity == "error" and one.file in left
                }
                if not found:  # a stored document would break: by which file cannot be said
                    break
                faults |= found
                left = {name: text for name, text in left.items() if name not in found}
            except UsageError as error:
                return [], {**faults, **dict.fromkeys(left, error.message)}
        changes: list[DocumentChange] = []
        for name, text in left.items():
            try:
                changes += await self._apply_some({name: text})
            except (DocumentError, UsageError) as error:
                faults[name] = _why(name, error)
        return changes, faults

    async def _apply_some(self, files: Mapping[str, str]) -> list[DocumentChange]:
        texts = [DocumentText(name, text, os.path.dirname(os.path.join(self._path, name))) for name, text in files.items()]
        return list((await self._client.documents.apply(texts, replaces=True)).changes)

    # --- marks ---

    async def _mark(self, changes: Sequence[DocumentChange], faults: Mapping[str, str]) -> None:
        """Mark what became of each document, in the store."""
        at = self._clock.wall()
        before = {_key(one): one for one in await self._library.marks()}
        now: dict[_Key, DocumentMark] = {}
        for change in changes:
            made = _mark(change.file, APPLIED, at, about=(change.kind, change.namespace, change.name))
            now[_key(made)] = made
        held = {key[1:] for key in now}
        for key, one in before.items():
            if key in now or (one.name and key[1:] in held):
                continue
            if one.file in faults and one.name:
                now[key] = _mark(one.file, FAULTY, at, about=key[1:], detail=faults[one.file])
            elif one.name and await self._is_kept(key[1:]):
                now[key] = one if one.state == GONE else _mark(one.file, GONE, at, about=key[1:])
        marked = {one.file for one in now.values() if one.state == FAULTY}
        for file, detail in faults.items():
            if file not in marked:
                made = _mark(file, FAULTY, at, about=("", "", ""), detail=detail)
                now[_key(made)] = made
        changed = [one for key, one in now.items() if key not in before or not _same(before[key], one)]
        await self._library.mark(changed, [one for key, one in before.items() if key not in now])

    async def _is_kept(self, about: tuple[str, str, str]) -> bool:
        """Whether the store still has a document that is marked."""
        kind, namespace, name = about
        if kind == "CronWorkflow":
            return any(one.schedule.name == name for one in await self._client.schedules.list(namespace))
        return await self._library.get(kind, namespace, name) is not None


def _stamps(path: str) -> dict[str, tuple[int, ...]]:
    """What the files of a folder are, as far as can be seen from outside."""
    found: dict[str, tuple[int, ...]] = {}
    for place, name in _names(path):
        try:
            status = os.stat(place)
        except OSError:  # it is gone again, or its link leads nowhere
            continue
        found[name] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _read_all(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of all documents, and what cannot be read with its reason; by their names in the folder."""
    texts: dict[str, str] = {}
    unread: dict[str, str] = {}
    for place, name in _names(path):
        try:
            file = read_file(place)
            if is_document(FileBytes(name, file.data)):
                texts[name] = file.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = file.data[: error.start].count(b"\n") + 1
            unread[name] = f"{name}:{line}: it is not UTF-8 text"
        except (UsageError, PortError) as error:
            unread[name] = f"{name}: {error.message}"
    return texts, unread


def _names(path: str) -> Iterator[tuple[str, str]]:
    """Each file, and its name in the folder."""
    for place in document_paths(Path(path)):
        yield place, Path(os.path.relpath(place, path)).as_posix()


def _place(one: Diagnostic) -> str:
    return f"{one.file}:{one.line}:{one.column}: {one.message} ({one.code})"


def _why(name: str, error: AetherError) -> str:
    if isinstance(error, DocumentError):
        errors = [one for one in error.diagnostics if one.severity == "error"]
        if errors:
            return _place(errors[0]) if errors[0].file == name else f"{name}: {_place(errors[0])}"
    return f"{name}: {error.message}"


def _key(mark: DocumentMark) -> _Key:
    return mark.file, mark.kind, mark.namespace, mark.name


def _mark(file: str, state: str, at: int, *, about: tuple[str, str, str], detail: str = "") -> DocumentMark:
    kind, namespace, name = about
    return DocumentMark(file=file, kind=kind, namespace=namespace, name=name, state=state, detail=detail, at=at)


def _same(one: DocumentMark, other: DocumentMark) -> bool:
    return (one.state, one.detail) == (other.state, other.detail)
