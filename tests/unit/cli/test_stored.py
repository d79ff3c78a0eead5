"""The store as commands see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.cli.stored import ask, ask_new
from aether_protocol.errors import UsageError
from aether_protocol.service.client import Client


def test_what_is_looked_up_is_handed_over_as_it_is(tmp_path: Path) -> None:
    """`asyncio.run` writes a repr of what its coroutine gives: of a long run that takes half a second."""
    path = tmp_path / "a.db"
    asyncio.run(open_sqlite(str(path)).close())
    written: list[str] = []

    class Large:
        def __repr__(self) -> str:
            written.append("large")
            return ""

    async def body(client: Client) -> Large:
        assert (await client.store.info()).runs == 0
        return Large()

    assert isinstance(ask(f"sqlite:{path}", body), Large)
    assert isinstance(ask_new(f"sqlite:{path}", body), Large)
    assert written == []


def test_what_is_refused_makes_no_store(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/new/a.db"

    async def refused(client: Client) -> None:
        raise UsageError(f"refused: {(await client.store.info()).runs} runs")

    with pytest.raises(UsageError, match="refused: 0 runs"):
        ask_new(url, refused)
    assert not (tmp_path / "new").exists()
    ask_new(url, lambda client: client.store.info())
    assert (tmp_path / "new" / "a.db").exists()
