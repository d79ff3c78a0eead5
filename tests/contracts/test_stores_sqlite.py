"""The SQLite store keeps the Store contract, in a file and in memory; two connections and two processes share a file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import BusyError
from aether_protocol.ports.store import SNAPSHOT, RunQuery, Store
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock, SequentialIds
from aether_protocol.testing.contracts.store import StoreContract
from aether_protocol.testing.contracts.store.leases import LeaseContract
from aether_protocol.testing.contracts.store.library import LibraryContract
from aether_protocol.testing.contracts.store.logs import LogContract
from aether_protocol.testing.contracts.store.mailbox import MailboxContract
from aether_protocol.testing.contracts.store.schedules import ScheduleContract
from aether_protocol.testing.contracts.store.tools import all_well, more, new_run, texts
from aether_protocol.testing.contracts.store.upkeep import UpkeepContract
from tests.unit.engine.plans import dag, plan, task


class TestSqliteStore(StoreContract, ScheduleContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make(self) -> Store:
        return open_sqlite(str(self.path / "new" / "aether.db"), durability="normal", now=self.now)

    async def client(self, store: Store) -> Store:
        return self.make()


class TestSqliteInMemory(StoreContract, ScheduleContract):
    def make(self) -> Store:
        return open_sqlite(":memory:", now=self.now)


class TestSnapshotTier(LeaseContract, MailboxContract, LogContract, LibraryContract, UpkeepContract):
    """What does not depend on how runs are kept; the rest is below."""

    def make(self) -> Store:
        return open_sqlite(":memory:", tier=SNAPSHOT, now=self.now)

    def test_a_stale_owner_is_fenced_off_where_it_saves(self) -> None:
        async def body(store: Store) -> None:
            old = await store.runs.create(new_run("a", owner="dead", ttl=10))
            await self.pass_time(10)
            await store.leases.claim("successor", 20, run_ids=["a"])
            for saves in (False, True):
                late = more("a", 0, token=old, closed=saves, saves=saves)
                assert isinstance((await store.runs.append([late]))["a"], BusyError)
            assert (await store.runs.load("a")).row.seq == 0

        self.play(body)

    def test_what_came_after_the_last_snapshot_is_repeated(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", leaves_known=1))
            assert await all_well(store, more("a", 0, "kept", saves=True), more("a", 1, "one"), more("a", 2, "two"))
            found = await store.runs.load("a")
            assert (found.row.seq, found.row.phase, found.snapshot, found.lines) == (1, "Running", "state 1", [])
            assert isinstance((await store.runs.append([more("a", 0)]))["a"], BusyError), "that is behind it"
            assert isinstance((await store.runs.append([more("a", 3)]))["a"], BusyError), "nobody was there"
            assert await all_well(store, more("a", 1, "again")), "whoever loaded goes on from there"
            assert await all_well(store, more("a", 2, phase="Suspended", saves=True))
            found = await store.runs.load("a")
            assert (found.row.seq, found.row.phase, found.snapshot) == (3, "Suspended", "state 3")
            assert await all_well(store, more("a", 3, phase="Suspended"), more("a", 4, closed=True, saves=True))
            found = await store.runs.load("a")
            assert (found.row.seq, found.row.closed, found.snapshot) == (5, True, "state 5")

        self.play(body)


    def test_every_state_that_is_saved_is_told(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            for seq, closed in enumerate((False, True)):
                before = await store.changes.newest()
                assert await all_well(store, more("a", seq, saves=True, closed=closed))
                assert [one.row and one.row.closed for one in await store.changes.after(before)] == [closed]

        self.play(body)


async def reserve_and_fail(database: Database) -> None:
    async with database.write() as execute:
        database.numbers.next = database.numbers.end + 1
        database.numbers.record(execute, 1)
        raise ValueError("nothing of it is written")


def test_numbers_of_changes_grow_in_the_order_of_commits(tmp_path: Path) -> None:
    """Whichever connection commits, in turns, at the end of a block."""

    async def body() -> None:
        stores = [open_sqlite(str(tmp_path / "a.db"), durability="normal") for _ in range(2)]
        reached, rng = {"a": 0, "b": 0}, Random(5)
        for run_id in reached:
            await stores[0].runs.create(new_run(run_id))
        before = await stores[0].changes.newest()
        for number in range(400):
            store, run_id = rng.choice(stores), rng.choice("ab")
            if number % 50 == 25:  # as after so many changes
                store.database.numbers.next = store.database.numbers.end
            assert await all_well(store, more(run_id, reached[run_id], progress=None if rng.random() < 0.2 else 0))
            reached[run_id] += 1
            now = await rng.choice(stores).changes.newest()
            assert now > before
            told = await rng.choice(stores).changes.after(before)
            assert [(one.cursor, one.run_id, one.row and one.row.seq) for one in told] == [(now, run_id, reached[run_id])]
            before = now
        assert await stores[0].upkeep.check() == []
        stores[0].database.execute("UPDATE feed SET reserved = 1")
        assert ["numbers that were not reserved" in line for line in await stores[0].upkeep.check()] == [True]
        for store in stores:
            await store.close()

    asyncio.run(body())


def test_a_block_of_numbers_goes_with_the_transaction_that_reserved_it(tmp_path: Path) -> None:
    async def body() -> None:
        one, two = (open_sqlite(str(tmp_path / "a.db"), durability="normal") for _ in range(2))
        await one.runs.create(new_run("a"))
        await one.runs.create(new_run("b"))
        assert await all_well(one, more("a", 0))
        with pytest.raises(ValueError, match="nothing"):
            await reserve_and_fail(one.database)
        for seq in range(5):
            assert await all_well(two, more("b", seq))
        before = await two.changes.newest()
        assert await all_well(one, more("a", 1, progress=0))
        assert [one.run_id for one in await two.changes.after(before)] == ["a"]
        await one.close()
        await two.close()

    asyncio.run(body())


def test_what_is_appended_to_a_run_that_another_process_puts_down_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        one, two = (open_sqlite(str(tmp_path / "a.db"), durability="normal") for _ in range(2))
        token = await one.runs.create(new_run("a", owner="me", ttl=9_000_000))
        assert await all_well(one, more("a", 0, token=token))
        await two.leases.release("me", sleeps={"a": None})
        before = await two.changes.newest()
        one.database.numbers.take(one.database.execute)  # so that nothing but the sleep is in the way of the short path
        assert await all_well(one, more("a", 1, token=token, progress=0))
        assert [one.run_id for one in await two.changes.after(before)] == ["a"]
        await one.close()
        await two.close()

    asyncio.run(body())


def test_steps_alone_are_one_statement_and_lists_know_of_them(tmp_path: Path) -> None:
    """Where `progress` says that nothing else has changed, the row stays as it is in the file, and is right all the same."""

    async def body() -> None:
        path = str(tmp_path / "a.db")
        store, other = (open_sqlite(path) for _ in range(2))
        await store.runs.create(new_run("a", leaves_known=9))
        assert await all_well(store, more("a", 0, leaves_known=9))
        said: list[str] = []
        store.database.connection.set_trace_callback(said.append)
        assert await all_well(store, more("a", 1, "x", "y", progress=2, leaves_known=9))
        assert {text.split()[0] for text in said} == {"INSERT"}, "no transaction around it"
        store.database.connection.set_trace_callback(None)
        assert store.database.execute("SELECT count(*) FROM changes").fetchall() == [(2,)], "and in one row"
        assert other.database.execute("SELECT seq, leaves_ended FROM runs").fetchall() == [(1, 0)]
        rows = [await other.runs.row("a"), *await other.runs.rows(RunQuery()), (await other.runs.load("a")).row]
        assert [(row.seq, row.leaves_ended, row.leaves_known) for row in rows if row is not None] == [(3, 2, 9)] * 3
        assert isinstance((await other.runs.append([more("a", 1, progress=2)]))["a"], BusyError)
        assert await all_well(other, more("a", 3, progress=3)), "a reader may go on"
        assert "is at step 4, not 3" in str((await store.runs.append([more("a", 3, progress=3)]))["a"])
        end: dict[str, Any] = {"phase": "Failed", "ended_at": 9, "closed": True, "leaves_known": 9}
        assert await all_well(store, more("a", 4, progress=4, **end))
        assert store.database.execute("SELECT seq, leaves_ended, closed FROM runs").fetchall() == [(5, 4, 1)]
        assert await store.upkeep.check() == []
        await store.close()
        await other.close()

    asyncio.run(body())


def test_what_comes_together_is_recorded_together(tmp_path: Path) -> None:
    """A fan-out in the waves that tasks are started in: a turn that has no room for the whole of what is there leaves it."""

    async def body() -> None:
        store, clock = open_sqlite(str(tmp_path / "a.db"), durability="normal"), ManualClock()
        broker = LocalBroker([NoopExecutor()], clock)
        async with RunEngine(store=store, broker=broker, clock=clock, ids=SequentialIds()) as engine:
            run = await engine.submit(plan(dag(*(task(f"t{number}") for number in range(640)))))
            assert (await client_of(engine).runs.wait(run)).phase == "Succeeded"
            rows = store.database.execute("SELECT last - (id & 4294967295) + 1 FROM steps ORDER BY id").fetchall()
        steps = [count for (count,) in rows]
        assert max(steps) <= 256
        assert steps.count(129) >= 4, "128 results, and what starts the next 128"
        assert len(steps) <= 8

    asyncio.run(body())


def test_two_connections_on_one_file(tmp_path: Path) -> None:
    async def body() -> None:
        time = [0]
        one, two = (open_sqlite(str(tmp_path / "a.db"), now=lambda: time[0]) for _ in range(2))
        token = await one.runs.create(new_run("a", owner="one", ttl=10))
        assert await all_well(one, more("a", 0, "first", token=token))
        assert isinstance((await two.runs.append([more("a", 0, "second", token=token)]))["a"], BusyError)
        time[0] = 10
        [(_, newer)] = await two.leases.claim("two", 20, run_ids=["a"])
        assert isinstance((await one.runs.append([more("a", 1, token=token)]))["a"], BusyError)
        assert await all_well(two, more("a", 1, "taken over", token=newer))
        assert texts((await one.runs.load("a")).lines) == ["first", "taken over"]
        await one.close()
        await two.close()

    asyncio.run(body())


def test_a_writer_waits_for_another_and_the_loop_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        one, two = (open_sqlite(str(tmp_path / "a.db")) for _ in range(2))
        one.database.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(two.runs.create(new_run("a")))
        while not waiting.done() and one.database.connection.in_transaction:
            await asyncio.sleep(0)  # the other one's turns come although it cannot write
            one.database.execute("COMMIT")
        await waiting
        assert await one.runs.row("a") is not None
        await one.close()
        await two.close()

    asyncio.run(body())


def test_an_append_waits_for_a_claim_that_is_not_committed_and_is_refused_then(tmp_path: Path) -> None:
    """The fence, with two real connections: the claim holds its transaction open while the owner before writes."""

    async def body() -> None:
        time = [0]
        one, two = (open_sqlite(str(tmp_path / "a.db"), now=lambda: time[0]) for _ in range(2))
        token = await one.runs.create(new_run("a", owner="one", ttl=10))
        for progress in (None, 0):
            two.database.execute("BEGIN IMMEDIATE")
            two.database.execute("UPDATE runs SET owner = 'two', token = token + 1")
            late = asyncio.create_task(one.runs.append([more("a", 0, token=token, progress=progress)]))
            for _ in range(5):
                await asyncio.sleep(0.01)
                assert not late.done(), "nothing is said before the claim is through"
            two.database.execute("COMMIT")
            assert isinstance((await late)["a"], BusyError)
            token += 1
        assert (await two.runs.load("a")).lines == []
        await one.close()
        await two.close()

    asyncio.run(body())


CLAIMER = """
import asyncio, sys
from aether_protocol.adapters.stores.sqlite.store import open_sqlite

async def main(path, owner):
    store = open_sqlite(path, durability="normal")
    print(*[run for _ in range(200) for run, token in await store.leases.claim(owner, 60_000_000, 1)])
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_never_hold_one_run(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")

    async def begin() -> None:
        store = open_sqlite(path)
        for number in range(40):
            await store.runs.create(new_run(f"r{number}"))
        await store.close()

    asyncio.run(begin())
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    made = [subprocess.Popen([sys.executable, "-c", CLAIMER, path, owner], **piped) for owner in ("one", "two")]
    said = [process.communicate(timeout=120) for process in made]
    assert [process.returncode for process in made] == [0, 0], said
    one, two = (set(out.split()) for out, _ in said)
    assert not one & two
    assert one | two


WRITER = """
import asyncio, sys
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.testing.contracts.store.tools import more, new_run

async def main(path, name):
    store = open_sqlite(path, durability="normal")
    won = 0
    for number in range(50):
        try:
            await store.runs.create(new_run(f"own-{name}-{number}"))
            seq = (await store.runs.row("shared")).seq
            if number % 2:
                won += not await store.runs.append([more("shared", seq, name), more(f"own-{name}-{number}", 0, name)])
            else:
                won += not await store.runs.append([more("shared", seq, name, progress=seq)])
                await store.runs.append([more(f"own-{name}-{number}", 0, name)])
        except Exception as error:
            sys.exit(f"{type(error).__name__}: {error}")
    await store.close()
    print(won)

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_on_one_file(tmp_path: Path) -> None:
    """Of two that append to one run, one is first and the other one is refused; nothing else is lost or mixed."""
    path = str(tmp_path / "a.db")

    async def begin() -> None:
        store = open_sqlite(path)
        await store.runs.create(new_run("shared"))
        await store.close()

    async def look(won: dict[str, int]) -> None:
        store = open_sqlite(path)
        found = texts((await store.runs.load("shared")).lines)
        assert {name: found.count(name) for name in won} == won
        assert len(found) == sum(won.values()) > 0
        own = [row for row in await store.runs.rows(RunQuery(limit=1_000)) if row.run_id != "shared"]
        assert [len(own), {row.seq for row in own}] == [100, {1}]
        assert await store.upkeep.check() == []
        await store.close()

    asyncio.run(begin())
    made = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    said = [process.communicate(timeout=120) for process in made]
    assert [error for _, error in said] == ["", ""]
    asyncio.run(look({"one": int(said[0][0]), "two": int(said[1][0])}))
