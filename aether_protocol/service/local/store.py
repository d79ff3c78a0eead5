"""The store itself (`client.StoreControl`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunSummary, StoreInfo
from aether_protocol.service.feed import ChangeBatch
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.runs.delete import Freed, free_artifacts
from aether_protocol.service.store_check import SchemaVersions, StoreFindings, StoreSizes, check_store


class LocalStore:
    """See `client.StoreControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def info(self) -> StoreInfo:
        return await self._context.store.upkeep.info()

    async def check(self) -> StoreFindings:
        return await check_store(self._context.store)

    async def changes(self, after: int | None = None, *, wait_s: float = 0.0) -> ChangeBatch:
        feed = self._context.store.changes
        position = await feed.newest() if after is None else after  # of the feed: the newest may be one that is not seen
        if after is not None and wait_s > 0:
            await feed.wait(after, wait_s)
        found = await feed.after(max(position - 1, 0) if after is None else after)
        return ChangeBatch(found, found[-1].cursor if found else position)

    async def free_artifacts(self, *, dry_run: bool = False) -> Freed:
        return await free_artifacts(self._context.store, self._context.clock.wall(), dry_run=dry_run)

    async def export(self, run: str) -> AsyncIterator[str]:
        from aether_protocol.service.archive import archive_lines

        async for line in archive_lines(self._context.store, (await self._context.row(run)).run_id):
            yield line

    async def import_run(self, lines: Iterable[str], name: str = "the archive") -> RunSummary:
        from aether_protocol.service.archive import read_archive

        archive = read_archive(lines, name)
        try:
            await self._context.store.runs.import_run(archive.run)
        except UsageError as error:
            hint = "'aether rm' deletes the one that is there; --store names another place"
            raise UsageError(error.message, hint=error.hint or hint) from None
        await self._context.store.logs.write(archive.logs)
        return archive.run.row

    async def migrate(self) -> SchemaVersions:
        return SchemaVersions(*await self._context.store.upkeep.migrate())

    async def vacuum(self) -> StoreSizes:
        upkeep = self._context.store.upkeep
        before = (await upkeep.info()).size
        await upkeep.vacuum()
        return StoreSizes(before, (await upkeep.info()).size)
