"""The local client keeps the contract: beside an engine of another owner, and for an engine of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aether_protocol import Engine
from aether_protocol.service.client import Client
from aether_protocol.service.local import client_of, connect
from aether_protocol.testing.contracts.client import ClientContract, Stage


class TestClientOfAStore(ClientContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Stage]:
        url = f"sqlite:{folder}/aether.db"
        async with Engine(store=url) as engine, connect(url) as client:
            checked: Client = client
            yield Stage(checked, engine.recover)


class TestClientOfAnEngine(ClientContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Stage]:
        async with Engine(store=f"sqlite:{folder}/aether.db") as engine, client_of(engine) as client:
            checked: Client = client
            yield Stage(checked, engine.recover)
