"""The store as commands see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.cli.stored import look
from aether_protocol.ports.store import Store


def test_what_is_looked_up_is_handed_over_as_it_is(tmp_path: Path) -> None:
    """`asyncio.run` writes a repr of what its coroutine gives: of a long run that takes half a second."""
    path = tmp_path / "a.db"
    asyncio.run(open_sqlite(str(path)).close())
    written: list[str] = []

    class Large:
        def __repr__(self) -> str:
            written.append("large")
            return ""

    async def body(store: Store) -> Large:
        assert (await store.upkeep.info()).runs == 0
        return Large()

    assert isinstance(look(f"sqlite:{path}", body), Large)
    assert written == []
