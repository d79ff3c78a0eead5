"""Upkeep: what an operator asks of a store, `aether db` above all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class StoreInfo(Struct):
    """What `aether db` shows. `details` are the adapter's own words (path, durability, version of its library)."""

    schema: int
    runs: int
    open_runs: int
    size: int  # bytes
    details: Mapping[str, str]


class UpkeepStore(Protocol):
    """What `aether db` does."""

    async def info(self) -> StoreInfo:
        """Describe the store."""
        ...

    async def check(self) -> list[str]:
        """What is wrong inside, in words; empty if all is well. Reads everything, changes nothing."""
        ...

    async def vacuum(self) -> None:
        """Give unused space back."""
        ...

    async def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date: its version before and after."""
        ...

    async def identity(self) -> str:
        """The name of the store, a text that no other one has and that never changes; empty where it ends with its process."""
        ...

    async def artifacts(self) -> Mapping[tuple[str, str], str]:
        """All artifacts that runs name, (namespace, digest), each with the id of one that does."""
        ...

    async def mend(self, run_id: str) -> bool:
        """Let a run that was set aside be claimed again; False if it was not. The next time that it breaks its engine sets it
        aside again."""
        ...
