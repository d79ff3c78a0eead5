"""The PostgreSQL store keeps the Store contract, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from aether_protocol.adapters.stores.postgres.link import Link
from aether_protocol.adapters.stores.postgres.store import PostgresStore, open_postgres
from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.ports.store import SNAPSHOT, AccessToken, RunQuery, Store
from aether_protocol.testing.contracts.store import StoreContract
from aether_protocol.testing.contracts.store.leases import LeaseContract
from aether_protocol.testing.contracts.store.library import LibraryContract
from aether_protocol.testing.contracts.store.logs import LogContract
from aether_protocol.testing.contracts.store.mailbox import MailboxContract
from aether_protocol.testing.contracts.store.schedules import ScheduleContract
from aether_protocol.testing.contracts.store.tools import SECOND, all_well, more, new_run
from aether_protocol.testing.contracts.store.upkeep import UpkeepContract
from tests.postgres import database_url


def opened(url: str, **options: Any) -> PostgresStore:
    dsn, _, schema = url.partition("?schema=")
    return open_postgres(dsn, schema=schema, **options)


class TestPostgresStore(StoreContract, ScheduleContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.url = database_url()

    def make(self) -> Store:
        return opened(self.url, durability="normal", now=self.now)

    async def client(self, store: Store) -> Store:
        return self.make()


class TestPostgresSnapshotTier(LeaseContract, MailboxContract, LogContract, LibraryContract, UpkeepContract):
    """What does not depend on how runs are kept."""

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.url = database_url()

    def make(self) -> Store:
        return opened(self.url, tier=SNAPSHOT, now=self.now)


async def raw(url: str) -> Any:
    """A connection of the test's own."""
    dsn, _, schema = url.partition("?schema=")
    return await asyncpg.connect(dsn, server_settings={"search_path": schema})


def play(body: Callable[[PostgresStore, str], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run `body` on a new store and its URL."""

    async def go() -> None:
        url = database_url()
        store = opened(url, **options)
        try:
            await body(store, url)
        finally:
            await store.close()

    asyncio.run(go())


def test_a_stale_write_waits_for_a_claim_that_is_not_committed_and_is_refused() -> None:
    """Law: the fence locks. A comparison of the token alone reads what was there before the claim, and lets the write in."""

    async def body(store: PostgresStore, url: str) -> None:
        token = await store.runs.create(new_run("a", owner="old", ttl=60 * SECOND))
        assert await all_well(store, more("a", 0, token=token))
        other = await raw(url)
        for saves in (False, True):
            claim = other.transaction()
            await claim.start()
            await other.execute("UPDATE runs SET token = token + 1, owner = 'new' WHERE run_id = 'a'")
            part = more("a", 1, token=token, progress=None if saves else 0, saves=saves)
            late = asyncio.create_task(store.runs.append([part]))
            await until_waiting(other)
            assert not late.done(), "it waits for the claim"
            await claim.commit()
            assert isinstance((await late)["a"], BusyError)
            assert (await store.runs.load("a")).row.seq == 1
            token += 1
        await other.close()

    play(body)


async def until_waiting(connection: Any) -> None:
    """Return once a connection of a store waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aether' AND wait_event_type = 'Lock'"
    while not await connection.fetchval(waiting):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)


def test_two_set_an_empty_database_up_at_once() -> None:
    async def body(store: PostgresStore, url: str) -> None:
        others = [opened(url) for _ in range(5)]
        await asyncio.gather(*(one.runs.create(new_run(f"r{at}")) for at, one in enumerate([store, *others])))
        assert len(await store.runs.rows(RunQuery())) == 6
        assert await store.upkeep.check() == []
        for one in others:
            await one.close()

    play(body)


def test_a_store_that_is_only_read_is_not_made() -> None:
    async def body(store: PostgresStore, url: str) -> None:
        with pytest.raises(UsageError, match="there is no store at"):
            await store.runs.rows(RunQuery())
        connection = await raw(url)
        made = "SELECT count(*) FROM pg_namespace WHERE nspname = $1"
        assert await connection.fetchval(made, url.partition("schema=")[2]) == 0
        await connection.close()

    play(body, reads_only=True)


def test_texts_that_postgres_cannot_hold_come_back_as_they_were() -> None:
    async def body(store: PostgresStore, _: str) -> None:
        odd = "nul \0, escape \x1a, \x1a0, end"
        await store.runs.create(new_run("a", message=odd, labels={"k": "\x1ae"}))
        assert await store.runs.row("a") == (await store.runs.load("a")).row
        assert ((await store.runs.load("a")).row.message, (await store.runs.load("a")).row.labels) == (odd, {"k": "\x1ae"})
        assert [one.run_id for one in await store.runs.rows(RunQuery(labels={"k": "\x1ae"}))] == ["a"]
        await store.runs.delete(["a"])
        await store.tokens.add(AccessToken(id="t", name=odd, kind="person", roles={}, digest="d", created_at=1))
        assert [one.name for one in await store.tokens.list()] == [odd]
        assert await store.upkeep.check() == []

    play(body)


def test_what_was_changed_behind_its_back_is_reported() -> None:
    async def body(store: PostgresStore, url: str) -> None:
        for run_id in ("a", "b", "c"):
            await store.runs.create(new_run(run_id))
            assert await all_well(store, more(run_id, 0), more(run_id, 1, "x"))
        connection = await raw(url)
        await connection.execute("UPDATE steps SET lines = replace(lines, 'x', 'y') WHERE id = (2::bigint << 32) + 2")
        await connection.execute("UPDATE runs SET workflow = 'other' WHERE run_id = 'c'")
        await connection.close()
        assert [line.split(" that")[0] for line in await store.upkeep.check()] == [
            "run 'b' has steps 2 to 2",
            "the row of run 'c' does not fit its digest",
        ]
        with pytest.raises(PortError, match="is damaged"):
            await store.runs.load("b")

    play(body)


def test_a_database_that_was_restored_elsewhere_goes_on_with_greater_numbers() -> None:
    """A server numbers its transactions itself; changes that come from another one have numbers of that one."""

    async def body(store: PostgresStore, url: str) -> None:
        await store.runs.create(new_run("a"))
        connection = await raw(url)
        await connection.execute("UPDATE changes SET id = id + (1000000::bigint << 14)")
        await connection.close()
        later = opened(url)
        before = max([await later.changes.newest()])
        assert before >= 1_000_000 << 14
        await later.runs.create(new_run("b"))
        assert [one.run_id for one in await later.changes.after(before)] == ["b"]
        await later.close()

    play(body)


def test_what_others_on_the_server_write_for_long_holds_no_change_up() -> None:
    async def body(store: PostgresStore, url: str) -> None:
        await store.runs.create(new_run("a"))
        connection = await raw(url)
        foreign = connection.transaction()
        await foreign.start()
        await connection.execute("CREATE TEMPORARY TABLE elsewhere (x bigint)")
        before = await store.changes.newest()
        assert await all_well(store, more("a", 0))
        assert [one.run_id for one in await store.changes.after(before)] == ["a"]
        await foreign.rollback()
        ours = connection.transaction()  # as another engine between its first statement and its commit
        await ours.start()
        await connection.execute("LOCK TABLE changes IN ROW EXCLUSIVE MODE")
        await connection.execute("SELECT pg_current_xact_id()")
        before = await store.changes.newest()
        assert await all_well(store, more("a", 1))
        assert await store.changes.after(before) == [], "something may still be committed before it"
        await ours.commit()
        assert [one.run_id for one in await store.changes.after(before)] == ["a"]
        await connection.close()

    play(body)


def test_steps_of_many_runs_are_one_statement_in_which_each_has_its_own_fence() -> None:
    async def body(store: PostgresStore, url: str) -> None:
        for at in range(6):
            await store.runs.create(new_run(f"r{at}", owner="me", ttl=60 * SECOND))
        tokens = dict.fromkeys([f"r{at}" for at in range(6)], 1)
        assert await all_well(store, *(more(run_id, 0, token=1) for run_id in tokens))
        other = await raw(url)
        before = await other.fetchval("SELECT pg_current_xact_id()::text::bigint")
        assert await all_well(store, *(more(run_id, 1, token=1, progress=0) for run_id in tokens))
        assert await other.fetchval("SELECT count(DISTINCT change >> 14) FROM steps WHERE change >> 14 > $1", before) == 1
        claim = other.transaction()
        await claim.start()
        await other.execute("UPDATE runs SET token = 2, owner = 'new' WHERE run_id = 'r3'")
        parts = [more(run_id, 2, "late", token=1, progress=0) for run_id in tokens]
        late = asyncio.create_task(store.runs.append(parts))
        await until_waiting(other)
        await claim.commit()
        refused = await late
        assert list(refused) == ["r3"]
        assert isinstance(refused["r3"], BusyError)
        assert [len(await store.runs.lines(run_id)) for run_id in tokens] == [3, 3, 3, 2, 3, 3]
        refused = await store.runs.append([more(run_id, 3 if run_id != "r1" else 2, token=1, progress=0) for run_id in tokens])
        assert sorted(refused) == ["r1", "r3"], "of several, those that come too late are refused alone"
        assert await store.upkeep.check() == []
        await other.close()

    play(body)


def test_an_append_is_prepared_once_on_its_connection() -> None:
    """Law: a statement is parsed once and planned a few times at most, not with each append."""

    async def body(store: PostgresStore, url: str) -> None:
        await store.runs.create(new_run("r", owner="me", ttl=60 * SECOND))
        for at in range(30):
            assert await all_well(store, more("r", at, token=1, progress=0))
        asked = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO steps%'"
        found = (await store.connections.insist(lambda link, _: link.run(asked))).rows
        assert len(found) == 1, found
        generic, custom = found[0]
        assert generic >= 20, "plans that fit all values are kept"
        assert custom <= 6
        await store.close()

    play(body)


@pytest.mark.parametrize("count", [1, 5])
def test_steps_and_rows_of_runs_are_one_round_trip(count: int) -> None:
    async def body(store: PostgresStore, url: str) -> None:
        ids = [f"r{at}" for at in range(count)]
        for run_id in ids:
            await store.runs.create(new_run(run_id, owner="me", ttl=60 * SECOND))
        assert await all_well(store, *(more(run_id, 0, token=1) for run_id in ids))  # connected, prepared
        said: list[str] = []  # what is no prepared statement: the begin and the end of transactions

        async def carried_out(link: Link, _: bool) -> int:
            if not said:
                link.connection.add_query_logger(lambda query: said.append(query.query))
            text = "SELECT sum(generic_plans + custom_plans) FROM pg_prepared_statements WHERE statement NOT LIKE ?"
            return int((await link.run(text, ("%pg_prepared%",))).rows[0][0])

        before = await store.connections.insist(carried_out)
        assert await all_well(store, *(more(run_id, 1, token=1, message="one \0 two") for run_id in ids))
        assert await store.connections.insist(carried_out) - before == 1, "a statement"
        assert said == [], "that is a transaction by itself"
        stale = await store.runs.append([more("r0", 2, token=7, phase="Error")])
        assert isinstance(stale["r0"], BusyError)
        assert (await store.runs.load("r0")).row.phase == "Running", "what is refused changes no row"
        assert await all_well(store, *(more(run_id, 2, token=1, phase="Succeeded", closed=True) for run_id in ids))
        told = [await store.runs.row(run_id) for run_id in ids]
        assert [(row.phase, row.seq, row.closed) for row in told if row is not None] == [("Succeeded", 3, True)] * count
        assert await store.upkeep.check() == []

    play(body)
