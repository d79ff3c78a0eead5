"""The store of a server (`client.StoreControl`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Final

from aether_protocol.ports.store import RunSummary, StoreInfo
from aether_protocol.service.feed import ChangeBatch
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.runs.delete import Freed
from aether_protocol.service.store_check import SchemaVersions, StoreFindings, StoreSizes
from aether_protocol.service.wire import inspections as wire
from aether_protocol.service.wire.feeds import ChangePage, read_change
from aether_protocol.service.wire.runs import RunBody, read_row

CHECKED_S: Final = 600.0  # a store is read as a whole
WAIT_S: Final = 30.0  # that one request waits


class RemoteStore:
    """See `client.StoreControl`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def info(self) -> StoreInfo:
        return wire.read_store(await self._calls.get(path_of("store"), wire.StoreBody))

    async def check(self) -> StoreFindings:
        found = await self._calls.get(path_of("store", "check"), wire.FindingsBody, wait_s=CHECKED_S)
        return wire.read_findings(found)

    async def changes(self, after: int | None = None, *, wait_s: float = 0.0) -> ChangeBatch:
        while True:
            waits = min(wait_s, WAIT_S)
            parameters = [("after", after), ("waitSeconds", waits)]
            page = await self._calls.get(path_of("changes"), ChangePage, parameters, wait_s=waits)
            wait_s -= waits
            if page.changes or wait_s <= 0:
                return ChangeBatch([read_change(one) for one in page.changes], page.cursor)

    async def free_artifacts(self, *, dry_run: bool = False) -> Freed:
        path = path_of("store", "free-artifacts")
        return wire.read_freed((await self._calls.send("POST", path, {"dryRun": dry_run}, wire.FreedBody, CHECKED_S))[1])

    async def export(self, run: str) -> AsyncIterator[str]:
        async for line in self._calls.lines(path_of("store", "archives", run)):
            yield line

    async def import_run(self, lines: Iterable[str], name: str = "the archive") -> RunSummary:
        return read_row(await self._calls.put(path_of("store", "archives"), _chunks(lines), RunBody, [("name", name)]))

    async def migrate(self) -> SchemaVersions:
        _, made = await self._calls.send("POST", path_of("store", "migrate"), {}, wire.ChangedBody, CHECKED_S)
        return SchemaVersions(made.before, made.after)

    async def vacuum(self) -> StoreSizes:
        _, made = await self._calls.send("POST", path_of("store", "vacuum"), {}, wire.ChangedBody, CHECKED_S)
        return StoreSizes(made.before, made.after)


async def _chunks(lines: Iterable[str]) -> AsyncGenerator[bytes, None]:
    for line in lines:
        yield line.encode("utf-8", "surrogateescape")
