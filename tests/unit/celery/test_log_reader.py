"""Logs on their way from the table in Redis into the store of an engine: in order, each once, also where the store refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aether_protocol.adapters.brokers.celery import log_reader
from aether_protocol.adapters.brokers.celery.address import read_address
from aether_protocol.adapters.brokers.celery.log_reader import LogReader
from aether_protocol.adapters.brokers.celery.table import AttemptTable, LogPiece, log_call
from aether_protocol.ports.broker import LogPart
from tests.e2e.worker_place import until
from tests.redis_server import needs_redis, shared_server

KEY = "run-1/main.t"

pytestmark = pytest.mark.rule("RT-149")


class Store:
    """A sink that keeps what it gets; `refuses`: how many pieces it does not store."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parts: list[LogPart] = []
        self.refuses = 0
        self.is_slow = False

    def logged(self, ref: Any, stream: str, text: str, offset: int | None = None, *, part: LogPart) -> None:
        if self.is_slow:
            self.parts.append(part)
        elif self.refuses:
            self.refuses -= 1
            part.lost()
        else:
            self.texts.append(text)
            part.stored()


def piece(number: int) -> LogPiece:
    return LogPiece("a1", 0, 1, "stdout", number, 1, str(number))


def on_log(body: Callable[[AttemptTable, LogReader, Store], Awaitable[None]]) -> None:
    needs_redis()
    server = shared_server()
    server.command("FLUSHDB", database=2)

    async def go() -> None:
        table = AttemptTable(read_address(f"celery+{server.url(2)}"))
        reader, store = LogReader(table), Store()
        reader.sink = store  # type: ignore[assignment]
        try:
            await body(table, reader, store)
        finally:
            await reader.close()
            await table.close()

    asyncio.run(go())


def test_a_long_log_comes_in_order_and_leaves_the_table() -> None:
    async def body(table: AttemptTable, reader: LogReader, store: Store) -> None:
        for start in range(0, 1000, 250):
            await table.run([log_call(KEY, piece(number)) for number in range(start, start + 250)])
            reader.read(KEY)
            await until(lambda start=start: len(store.texts) == start + 250)  # type: ignore[misc]
        assert store.texts == [str(number) for number in range(1000)]
        await until(lambda: not reader._readers)
        assert await table.pieces(KEY, 0, 10) == []

    on_log(body)


def test_what_the_store_refuses_comes_again_before_what_follows_it() -> None:
    async def body(table: AttemptTable, reader: LogReader, store: Store) -> None:
        store.refuses = 1
        await table.run([log_call(KEY, piece(number)) for number in range(3)])
        reader.read(KEY)
        await until(lambda: len(store.texts) >= 4)
        assert store.texts == ["1", "2", "0", "1", "2"][: len(store.texts)]

    on_log(body)


def test_what_is_never_stored_does_not_lie_there_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(table: AttemptTable, reader: LogReader, store: Store) -> None:
        store.refuses = 1000
        await table.run([log_call(KEY, piece(0))])
        reader.read(KEY)
        await until(lambda: not reader._readers)
        assert (store.refuses, await table.pieces(KEY, 0, 1)) == (1000 - 4, [])

    monkeypatch.setattr(log_reader, "RETRY_S", 0.01)
    monkeypatch.setattr(log_reader, "TRIES", 3)
    on_log(body)


def test_what_comes_after_redis_was_emptied_is_not_taken_for_what_was_stored() -> None:
    async def body(table: AttemptTable, reader: LogReader, store: Store) -> None:
        store.is_slow = True
        await table.run([log_call(KEY, piece(number)) for number in range(3)])
        reader.read(KEY)
        await until(lambda: len(store.parts) == 3)
        await table._redis.flushdb()
        store.is_slow = False
        await table.run([log_call(KEY, piece(number)) for number in range(3, 6)])
        for part in store.parts:
            part.stored()
        await until(lambda: store.texts == ["3", "4", "5"])

    on_log(body)
