"""What every store must keep (the Store port): the change feed.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

import asyncio

from aether_protocol.ports.store import Change, Store
from aether_protocol.testing.contracts.store.tools import Contract, all_well, more, new_run


class ChangeContract(Contract):
    """Others follow all runs: nothing is missed."""

    def test_a_change_is_told_with_the_row_as_it_is_now(self) -> None:
        async def body(store: Store) -> None:
            assert (await store.changes.newest(), await store.changes.after(0)) == (0, [])
            await store.runs.create(new_run("a"))
            await store.runs.create(new_run("b"))
            begin = await store.changes.newest()
            assert [one.run_id for one in await store.changes.after(0)] == ["a", "b"]
            assert await store.changes.after(begin) == []
            assert await all_well(store, more("a", 0), more("b", 0))
            assert await all_well(store, more("a", 1, progress=0), more("a", 2, phase="Succeeded", closed=True))
            found = await store.changes.after(begin)
            assert [(one.run_id, one.row.phase, one.row.closed) for one in found if one.row is not None] == [
                ("b", "Running", False),
                ("a", "Succeeded", True),
            ], "each run once, with its newest change"
            assert found[-1].cursor == await store.changes.newest()

        self.play(body)

    def test_steps_alone_are_told_also_once_the_run_sleeps_or_has_closed(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="me", ttl=9_000_000))
            await store.runs.create(new_run("b"))
            begin = await store.changes.newest()

            async def told(since: int) -> list[tuple[str, int]]:
                return [(one.run_id, one.row.seq) for one in await store.changes.after(since) if one.row is not None]

            assert await all_well(store, more("a", 0, token=token, progress=0))
            assert await told(begin) == [("a", 1)]
            middle = await store.changes.newest()
            assert middle > begin
            assert await told(middle) == []
            assert await all_well(store, more("b", 0, "x", "y", progress=0))
            assert await all_well(store, more("a", 1, token=token, progress=0))
            assert await told(middle) == [("b", 2), ("a", 2)], "in the order of their newest changes"
            newest = await store.changes.newest()
            await store.leases.release("me", sleeps={"a": None})
            assert await told(begin) == [("b", 2), ("a", 2)]
            assert await store.changes.newest() >= newest
            newest = await store.changes.newest()
            assert await all_well(store, more("a", 2, token=token, progress=0))
            assert await told(newest) == [("a", 3)], "a run that sleeps may be written by its last owner"
            assert await all_well(store, more("b", 2, closed=True))
            assert await told(begin) == [("a", 3), ("b", 3)]

        self.play(body)

    def test_a_run_that_was_deleted_or_imported_is_told(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, closed=True))
            taken = await store.runs.load("a")
            cursor = await store.changes.newest()
            await store.runs.delete(["a"])
            [gone] = await store.changes.after(cursor)
            assert (gone.run_id, gone.row, gone.namespace) == ("a", None, taken.row.namespace)
            await store.runs.import_run(taken)
            [back] = await store.changes.after(gone.cursor)
            assert (back.run_id, back.row is not None, back.namespace) == ("a", True, taken.row.namespace)

        self.play(body)

    def test_changes_come_in_pages(self) -> None:
        async def body(store: Store) -> None:
            for number in range(7):
                await store.runs.create(new_run(f"r{number}"))
            cursor, seen = 0, list[Change]()
            while page := await store.changes.after(cursor, 3):
                assert len(page) <= 3
                seen += page
                cursor = page[-1].cursor
            assert [one.run_id for one in seen] == [f"r{number}" for number in range(7)]

        self.play(body)

    def test_of_commits_that_cross_none_is_missed(self) -> None:
        """Two clients write at once while a third one follows: at the end it has seen the newest row of every run."""

        async def body(store: Store) -> None:
            writers = [store, await self.client(store)]
            reader = await self.client(store)
            done = asyncio.Event()
            seen: dict[str, int] = {}

            async def write(client: Store, name: str) -> None:
                for number in range(20):
                    await client.runs.create(new_run(f"{name}{number}"))
                    for seq in range(3):
                        assert await all_well(client, more(f"{name}{number}", seq, progress=0 if seq % 2 else None))
                        await asyncio.sleep(0)

            async def follow() -> None:
                cursor = 0
                while True:
                    over = done.is_set()
                    page = await reader.changes.after(cursor, 5)
                    for one in page:
                        assert one.cursor > cursor
                        cursor = one.cursor
                        if one.row is not None:
                            seen[one.run_id] = one.row.seq
                    if over and not page:
                        return
                    await asyncio.sleep(0)

            following = asyncio.create_task(follow())
            await asyncio.gather(*(write(client, name) for client, name in zip(writers, "xy", strict=True)))
            done.set()
            await following
            assert seen == {f"{name}{number}": 3 for name in "xy" for number in range(20)}
            for client in {id(one): one for one in (*writers, reader) if one is not store}.values():
                await client.close()

        self.play(body)

    def test_a_reader_waits_for_a_change(self) -> None:
        async def body(store: Store) -> None:
            other = await self.client(store)
            assert not await store.changes.wait(0, 0.0)
            waiting = asyncio.create_task(store.changes.wait(0, 30.0))
            await asyncio.sleep(0)
            await other.runs.create(new_run("a"))
            assert await waiting
            assert await store.changes.wait(0, 30.0), "what is there already is not waited for"
            if other is not store:
                await other.close()

        self.play(body)
