"""The PostgreSQL store while its server says nothing: connections through a wire that stops without a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.postgres.link import Link
from aether_protocol.adapters.stores.postgres.store import PostgresStore, open_postgres
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.errors import PortError
from aether_protocol.ports.store import RunQuery
from aether_protocol.testing.contracts.store.tools import SECOND, all_well, more, new_run
from tests.postgres import database_url
from tests.postgres_wire import Wire
from tests.unit.engine.plans import dag, plan, task

PATIENCE_S = 9.0  # a third of it for the first try


Body = Callable[[PostgresStore, Wire, PostgresStore], Coroutine[Any, Any, None]]


def play(body: Body, patience_s: float = PATIENCE_S) -> None:
    """Run `body` with a store behind a wire, the wire, and the same store without one."""

    async def go() -> None:
        dsn, _, schema = database_url().partition("?schema=")
        port = int(dsn.rpartition(":")[2].partition("/")[0])
        async with Wire(port).open() as wire:
            behind = open_postgres(wire.url, schema=schema, patience_s=patience_s)
            direct = open_postgres(dsn, schema=schema)
            try:
                await body(behind, wire, direct)
            finally:
                await behind.close()
                await direct.close()

    asyncio.run(asyncio.wait_for(go(), 100))


@pytest.mark.rule("RT-155")
@pytest.mark.parametrize("where", ["stop_before", "stop_after"])
@pytest.mark.parametrize("kind", ["steps", "several", "with a row", "in a transaction"])
def test_an_append_whose_server_falls_silent_is_written_once(where: str, kind: str) -> None:
    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        runs = ["a", "b"] if kind == "several" else ["a"]
        for run in runs:
            await store.runs.create(new_run(run))
            assert await all_well(store, more(run, 0, "before", progress=0))
        setattr(wire, where, b"the silent one")
        options: dict[str, Any] = {"progress": None if kind == "with a row" else 0, "saves": kind == "in a transaction"}
        begun = time.monotonic()
        assert await all_well(store, *(more(run, 1, "the silent one", **options) for run in runs))
        assert 2 < time.monotonic() - begun < PATIENCE_S
        assert wire.stops == 1
        for run in runs:
            assert [number for number, _ in await direct.runs.lines(run)] == [1, 2]
            assert await all_well(store, more(run, 2, "after", progress=0))
        assert await direct.upkeep.check() == []

    play(body)


@pytest.mark.rule("RT-155")
def test_what_a_silent_connection_had_locked_is_free_before_it_is_tried_again() -> None:
    """Law: what the try before was doing is over, or else a retry waits for itself."""

    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        await store.runs.create(new_run("a"))
        wire.stop_after = b"FOR NO KEY UPDATE"  # within a transaction, which holds the row of the run from then on
        assert await all_well(store, more("a", 0, saves=True))
        assert wire.stops == 1
        holding = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        assert (await direct.connections.insist(lambda link, _: link.run(holding))).rows == [(0,)]

    play(body)


@pytest.mark.rule("RT-155")
def test_a_server_that_stays_silent_is_given_up_after_the_patience_and_used_again_later() -> None:
    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        await store.runs.create(new_run("a"))
        wire.stop(for_new=True)
        for call in (
            lambda: store.runs.append([more("a", 0, progress=0)]),
            lambda: store.runs.row("a"),
            lambda: store.leases.claim("me", 60 * SECOND),
            lambda: store.mailbox.requests("me"),
            lambda: store.changes.newest(),
        ):
            begun = time.monotonic()
            with pytest.raises(PortError, match="does not answer any more"):
                await call()
            assert time.monotonic() - begun < 3 + 2
        wire.resume()
        assert await store.runs.rows(RunQuery()) == await direct.runs.rows(RunQuery())
        assert await all_well(store, more("a", 0, progress=0)), "it was not written, and is now"
        assert await direct.upkeep.check() == []

    play(body, 3.0)


@pytest.mark.rule("RT-155")
def test_calls_that_wait_for_a_connection_get_one_where_all_have_fallen_silent() -> None:
    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        for at in range(12):
            await store.runs.create(new_run(f"r{at}"))
        await asyncio.gather(*(store.runs.row(f"r{at}") for at in range(12)))  # all connections are open
        wire.stop()
        parts = [store.runs.append([more(f"r{at}", 0, progress=0)]) for at in range(12)]
        assert list(await asyncio.gather(*parts)) == [{}] * 12
        assert await direct.upkeep.check() == []

    play(body, 15.0)


@pytest.mark.rule("RT-155")
def test_a_session_that_falls_silent_is_made_anew_with_its_lock_and_its_hints() -> None:
    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        token = await store.runs.create(new_run("a", owner="me", ttl=60 * SECOND))
        await store.leases.renew("me", 60 * SECOND, {"a": token})
        heard = asyncio.Event()
        await store.mailbox.listen(heard.set)
        before = await _holder(direct)
        assert before is not None
        wire.stop()
        end = time.monotonic() + 30
        while (now := await _holder(direct)) in (None, before):
            assert time.monotonic() < end, "the lock is held by a connection that is not there"
            assert await direct.leases.claim("you", 60 * SECOND, scope="all") == [], "its owner lives"
            await asyncio.sleep(0.2)
        assert now is not None
        heard.clear()
        await direct.mailbox.post("a", {"kind": "cancel"})
        await asyncio.wait_for(heard.wait(), 10)
        assert await all_well(store, more("a", 0, token=token))

    play(body)


async def _holder(store: PostgresStore) -> int | None:
    """The process of the server that holds the lock of an owner."""
    text = "SELECT pid FROM pg_locks JOIN sessions ON (classid::bigint << 32) | objid::bigint = key WHERE locktype = 'advisory'"
    rows = (await store.connections.insist(lambda link, _: link.run(text))).rows
    return rows[0][0] if rows else None


@pytest.mark.rule("RT-155")
def test_a_run_goes_through_connections_that_fall_silent_again_and_again() -> None:
    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        size = 200
        tasks = [task(f"t{at}", after=(at - 1,) if at else ()) for at in range(size)]
        clock = SystemClock()
        async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as engine:
            run = await engine.submit(plan(dag(*tasks)))
            ended = asyncio.ensure_future(engine.driven.join(run))
            for part in range(1, 4):
                while (row := await direct.runs.row(run)) is None or row.leaves_ended < part * size // 5:
                    await direct.changes.wait(await direct.changes.newest(), 0.1)
                wire.stop()
            await ended
        row = await direct.runs.row(run)
        assert row is not None
        assert (row.phase, row.message, row.leaves_ended) == ("Succeeded", "", size)
        assert [number for number, _ in await direct.runs.lines(run, limit=100_000)] == list(range(1, row.seq + 1))
        assert await direct.upkeep.check() == []

    play(body)


@pytest.mark.rule("RT-155")
def test_work_that_takes_long_is_waited_for() -> None:
    """Migrations, copies and checks have no bound; a statement of the engine has one, and what takes longer is ended there."""

    async def body(store: PostgresStore, wire: Wire, direct: PostgresStore) -> None:
        async def sleep(link: Link, _: bool) -> float:
            return (await link.run("SELECT pg_sleep(1.5)")).changed

        assert await store.connections.insist(sleep, None) == 1
        begun = time.monotonic()
        with pytest.raises(PortError, match="no answer within"):
            await store.connections.insist(sleep)
        assert time.monotonic() - begun < 4
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        end = time.monotonic() + 10
        while (await direct.connections.insist(lambda link, _: link.run(sleeping))).rows != [(0,)]:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)

    play(body, 1.0)


def test_what_an_operator_sets_for_sessions_does_not_apply_here() -> None:
    async def go() -> None:
        dsn, _, schema = database_url().partition("?schema=")
        raw = await asyncpg.connect(dsn)
        role = f"strict_{schema}"
        await raw.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
        strict = {
            **dict.fromkeys(("statement_timeout", "lock_timeout", "idle_session_timeout"), "5s"),
            "default_transaction_isolation": "serializable",
            "search_path": "pg_catalog",
        }
        for name, value in strict.items():
            await raw.execute(f"ALTER ROLE {role} SET {name} = '{value}'")
        store = open_postgres(dsn.replace("aether@", f"{role}@"), schema=schema)
        await store.runs.create(new_run("a"))
        text = "SELECT name FROM pg_settings WHERE name = ANY(CAST(? AS TEXT[])) AND setting NOT IN ('0', 'read committed', ?)"
        found = await store.connections.insist(lambda link, _: link.run(text, (list(strict), f'"{schema}"')))
        assert found.rows == []
        assert await store.upkeep.check() == []
        await store.close()
        await raw.close()

    asyncio.run(go())
