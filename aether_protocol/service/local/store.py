"""The store itself (`client.StoreControl`)."""

from __future__ import annotations

from aether_protocol.ports.store import StoreInfo
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.runs.delete import Freed, free_artifacts
from aether_protocol.service.store_check import StoreFindings, check_store


class LocalStore:
    """See `client.StoreControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def info(self) -> StoreInfo:
        return await self._context.store.upkeep.info()

    async def check(self) -> StoreFindings:
        return await check_store(self._context.store)

    async def free_artifacts(self, *, dry_run: bool = False) -> Freed:
        return await free_artifacts(self._context.store, self._context.clock.wall(), dry_run=dry_run)
