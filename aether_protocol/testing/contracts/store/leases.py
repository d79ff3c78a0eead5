"""What every store must keep (the Store port): leases, locks and the fence.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

import asyncio

from aether_protocol.errors import BusyError
from aether_protocol.ports.store import SNAPSHOT, RunQuery, Store
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.testing.contracts.store.tools import Contract, all_well, more, new_run, refused


class LeaseContract(Contract):
    """Who drives which run. A store measures leases by its own clock: no test gives it an instant."""

    async def _shown(self, store: Store, run_id: str) -> tuple[str, int, bool] | None:
        lease = await store.leases.owner(run_id)
        return None if lease is None else (lease.owner, lease.left, lease.live)

    def test_a_run_is_claimed_at_its_creation(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="me", ttl=10))
            assert token > 0
            assert await self._shown(store, "a") == ("me", 10, True)
            await self.pass_time(9)
            assert await store.leases.claim("you", 10) == []
            assert await all_well(store, more("a", 0, token=token))
            assert isinstance((await store.runs.append([more("a", 1)]))["a"], BusyError), "no token"

        self.play(body)

    def test_who_owns_what_can_be_asked(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", ttl=9))
            await store.runs.create(new_run("b"))
            assert await store.leases.lock("door", "you", 7)
            await self.pass_time(8)
            assert [await self._shown(store, run) for run in ("a", "b", "nobody")] == [("me", 1, True), None, None]
            owners = [(one.owner, one.left, one.live) for one in await store.leases.owners()]
            assert owners == [("me", 1, True), ("you", -1, False)]
            await store.leases.release("me")
            assert (await self._shown(store, "a"), [one.owner for one in await store.leases.owners()]) == (None, ["you"])

        self.play(body)

    def test_free_runs_are_claimed_oldest_first(self) -> None:
        async def body(store: Store) -> None:
            for number, run in enumerate("cab"):
                await store.runs.create(new_run(run, created_at=number))
            claimed = await store.leases.claim("me", 10, 2)
            assert [run for run, _ in claimed] == ["c", "a"], "no more than the limit"
            claimed += await store.leases.claim("me", 10, 1)
            assert claimed[2][0] == "b", "what it holds already comes last"
            assert await store.leases.claim("me", 10, run_ids=["b", "nobody", "b"]) == claimed[2:], "its own keeps its token"
            assert await store.leases.claim("you", 10) == []

        self.play(body)

    def test_clients_with_clocks_of_their_own_never_hold_one_run(self) -> None:
        """No call takes an instant, so what a client's clock shows cannot matter: only the store's own time ends a lease."""

        async def body(store: Store) -> None:
            other = await self.client(store)
            token = await store.runs.create(new_run("a", owner="ahead", ttl=15_000_000))
            for _ in range(10):
                await self.pass_time(10_000_000)
                assert await other.leases.claim("behind", 15_000_000) == []
                assert await store.leases.renew("ahead", 15_000_000, {"a": token}) == []
            await self.pass_time(15_000_000)
            [(_, newer)] = await other.leases.claim("behind", 15_000_000)
            assert await store.leases.renew("ahead", 15_000_000, {"a": token}) == ["a"]
            assert isinstance((await store.runs.append([more("a", 0, token=token)]))["a"], BusyError)
            assert await all_well(other, more("a", 0, token=newer))
            if other is not store:
                await other.close()

        self.play(body)

    def test_of_a_claim_and_an_append_that_cross_one_is_first(self) -> None:
        """The fence holds against a claim that is not committed yet: either the record was there before the change of hands,
        so that the new owner loads it, or it is refused."""

        async def body(store: Store) -> None:
            other = await self.client(store)
            for number in range(20):
                run = f"r{number}"
                token = await store.runs.create(new_run(run, owner=f"old-{number}", ttl=10))
                await self.pass_time(10)
                late = more(run, 0, "late", token=token, saves=True)
                work = (store.runs.append([late]), other.leases.claim("new", 10, run_ids=[run]))
                refusals, [(_, newer)] = await asyncio.gather(*work)
                seq = (await other.runs.load(run)).row.seq
                assert seq == (0 if refusals else 1)
                assert await all_well(other, more(run, seq, token=newer))
                assert isinstance((await store.runs.append([more(run, 1, token=token)]))[run], BusyError)
            if other is not store:
                await other.close()

        self.play(body)

    def test_a_lease_that_outlasts_itself_was_left_by_a_clock_that_was_set_back(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", ttl=10))
            assert await store.leases.lock("door", "me", 10)
            await self.pass_time(-10)
            assert await self._shown(store, "a") == ("me", 20, True), "a little is left to chance"
            assert await store.leases.claim("you", 10) == []
            assert not await store.leases.lock("door", "you", 10)
            await refused(store.runs.delete(["a"]), BusyError)
            await self.pass_time(-1)
            assert await self._shown(store, "a") == ("me", 21, False)
            assert [run for run, _ in await store.leases.claim("you", 10)] == ["a"]
            assert await store.leases.lock("door", "you", 10)
            await self.pass_time(9)
            assert await self._shown(store, "a") == ("you", 1, True)

        self.play(body)

    def test_a_lease_without_an_end_is_never_over(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me"))
            await store.runs.create(new_run("b"))
            await store.leases.claim("him", None, run_ids=["b"])
            assert await store.leases.claim("you", 10) == []
            await self.pass_time(1 << 40)
            assert await store.leases.claim("you", 10) == []

        self.play(body)

    def test_what_breaks_its_engine_three_times_in_a_row_is_set_aside(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.runs.create(new_run("b", created_at=2))
            for time in range(3):
                [(_, token), *_] = await store.leases.claim("me", 10, run_ids=["a"])
                assert await store.leases.broke("a", token, 5, f"why {time}") == (time == 2)
                await store.leases.release("me", ["a"])
            rows = [await store.runs.row("a"), *await store.runs.rows(RunQuery())]
            assert [one.broken for one in rows if one is not None] == ["why 2", "why 2", None]
            assert [run for run, _ in await store.leases.claim("me", 10)] == ["b"]
            assert await store.leases.claim("me", 10, run_ids=["a"]) == []
            assert [await store.upkeep.mend(run) for run in ("a", "a", "b", "nobody")] == [True, False, False, False]
            row = await store.runs.row("a")
            assert row is not None
            assert row.broken is None
            [(_, token)] = await store.leases.claim("me", 10, run_ids=["a"])
            assert await store.leases.broke("a", token, 5, "again"), "it is tried once"
            assert await store.leases.claim("me", 10, run_ids=["a"]) == []
            await self.pass_time(10)
            assert await store.runs.delete(["a"]) == 1
            await store.runs.create(new_run("a"))
            assert [run for run, _ in await store.leases.claim("me", 10, run_ids=["a"])] == ["a"]

        self.play(body)

    def test_breaks_count_in_a_row_and_by_its_driver(self) -> None:
        """An owner that is killed says nothing, and counts for nothing."""

        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            for killed in range(5):
                await store.leases.claim(f"killed-{killed}", 10, run_ids=["a"])
                await self.pass_time(10)
            [(_, token)] = await store.leases.claim("me", 10, run_ids=["a"])
            for ended in (0, 0, 1, 1, 2, 3):
                assert not await store.leases.broke("a", token, ended, "why"), "something ended in between"
            assert not await store.leases.broke("a", token + 1, 3, "who says so?")
            assert not await store.leases.broke("a", token, 3, "why")
            assert not await store.leases.broke("nobody", token, 3, "why")
            assert await store.leases.broke("a", token, 3, "why")

        self.play(body)

    def test_the_epoch_grows_where_a_run_may_go_back_to_an_earlier_state(self) -> None:
        """With every claim in a tier that loses steps, also by the owner that it has; and where it is imported. It is not the
        fencing token, which is the engine's alone."""

        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="first", ttl=10))
            assert await all_well(store, more("a", 0, token=token, saves=True))
            epochs = [(await store.runs.load("a")).epoch]
            for owner in ("first", "first", "second"):
                if owner == "second":
                    await store.leases.release("first")
                assert await store.leases.claim(owner, 10)
                epochs.append((await store.runs.load("a")).epoch)
            loses = (await store.runs.load("a")).row.tier == SNAPSHOT
            assert epochs == ([0, 1, 2, 3] if loses else [0, 0, 0, 0])
            stored = await store.runs.load("a")
            await store.leases.release("second")
            await store.runs.delete(["a"])
            await store.runs.import_run(stored)
            assert (await store.runs.load("a")).epoch == epochs[-1] + 1

        self.play(body)

    def test_closed_runs_are_not_claimed(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, closed=True, saves=True))
            assert await store.leases.claim("me", 10) == []
            assert await store.leases.claim("me", 10, run_ids=["a"]) == []

        self.play(body)

    def test_a_dead_owners_runs_change_hands_and_it_is_fenced_off(self) -> None:
        async def body(store: Store) -> None:
            old = await store.runs.create(new_run("a", owner="dead", ttl=10))
            await self.pass_time(9)
            assert await store.leases.claim("successor", 20, run_ids=["a"]) == []
            await self.pass_time(1)
            [(_, new)] = await store.leases.claim("successor", 20, run_ids=["a"])
            assert new > old
            assert await store.leases.renew("dead", 20, {"a": old}) == ["a"]
            assert await store.leases.renew("successor", 20, {"a": new}) == []
            assert isinstance((await store.runs.append([more("a", 0, token=old)]))["a"], BusyError)
            assert await all_well(store, more("a", 0, token=new))
            await self.pass_time(20)
            [(_, newer)] = await store.leases.claim("dead", 20, run_ids=["a"])
            assert newer > new
            assert await store.leases.renew("dead", 20, {"a": old}) == ["a"], "its token is an old one"

        self.play(body)

    def test_a_renewed_lease_holds(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="me", ttl=10))
            assert await store.leases.renew("me", 100, {"a": token}) == []
            await self.pass_time(50)
            assert await store.leases.claim("you", 10) == []
            assert await self._shown(store, "a") == ("me", 50, True)
            assert await all_well(store, more("a", 0, token=token, closed=True))
            assert await store.leases.renew("me", 10, {"a": token}) == [], "a run that has closed is not lost"

        self.play(body)

    def test_what_is_released_is_free(self) -> None:
        async def body(store: Store) -> None:
            tokens = {run: await store.runs.create(new_run(run, owner="me", ttl=100)) for run in ("a", "b", "c")}
            await store.leases.release("you", ["a"])
            assert await store.leases.claim("you", 100) == []
            await store.leases.release("me", ["a"])
            [(run, token)] = await store.leases.claim("you", 100)
            assert (run, token > tokens["a"]) == ("a", True)
            await store.leases.release("me")
            assert [run for run, _ in await store.leases.claim("third", 100)] == ["b", "c"]
            assert "me" not in [one.owner for one in await store.leases.owners()]

        self.play(body)

    def test_a_run_that_is_driven_is_not_deleted(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", ttl=10))
            await store.runs.create(new_run("b"))
            await refused(store.runs.delete(["b", "a"]), BusyError)
            assert len(await store.runs.rows(RunQuery())) == 2, "all or nothing"
            await self.pass_time(10)
            assert await store.runs.delete(["b", "a"]) == 2

        self.play(body)

    def test_locks_keep_others_out_until_they_end(self) -> None:
        async def body(store: Store) -> None:
            locks = store.leases
            assert await locks.lock("nightly", "me", 10)
            await self.pass_time(5)
            assert await locks.lock("nightly", "me", 10), "its own lock is kept"
            await self.pass_time(9)
            assert not await locks.lock("nightly", "you", 20)
            assert await locks.lock("other", "you", 20)
            await locks.unlock("nightly", "you")
            assert not await locks.lock("nightly", "you", 20)
            await locks.renew("me", 20, {})
            await self.pass_time(19)
            assert not await locks.lock("nightly", "you", 20)
            await self.pass_time(1)
            assert await locks.lock("nightly", "you", 20), "it ended"
            await locks.unlock("nightly", "you")
            assert await locks.lock("nightly", "me", 20)
            await locks.release("me")
            assert await locks.lock("nightly", "you", 20)

        self.play(body)

    def test_a_passivated_run_sleeps_until_it_is_due_or_asked(self) -> None:
        async def body(store: Store) -> None:
            for number, run in enumerate(("due", "asked", "never", "awake")):
                await store.runs.create(new_run(run, owner="me", ttl=100, created_at=number))
            await store.leases.release("me", None, {"due": 10, "asked": 1_000, "never": None})
            await store.leases.release("me", ["awake"])
            assert [run for run, _ in await store.leases.claim("you", 5)] == ["awake"]
            assert await store.leases.claim("you", 5, scope="woken") == []
            asked = await store.mailbox.post("asked", {"kind": "resume"})
            assert [run for run, _ in await store.leases.claim("you", 5)] == ["asked", "awake"]
            assert [one.id for one in await store.mailbox.requests("you")] == [asked]
            await self.pass_time(9)
            assert "due" not in [run for run, _ in await store.leases.claim("you", 5)]
            await self.pass_time(1)
            [(run, token), *_] = await store.leases.claim("you", 5, 1)
            assert (run, token) == ("due", 2)
            named = await store.leases.claim("you", 5, run_ids=["never"])
            assert [run for run, _ in named] == ["never"], "one that is named is taken"
            await store.leases.release("you")
            assert len(await store.leases.claim("third", 5)) == 4, "what was claimed is awake"

        self.play(body)

    def test_what_has_woken_is_claimed_apart(self) -> None:
        """An engine that passivates claims what is due or asked for something, and nothing else; of two engines one has it."""

        async def body(store: Store) -> None:
            other = await self.client(store)
            for run in ("free", "soon", "late", "asked", "mine"):
                await store.runs.create(new_run(run, owner="me", ttl=10_000))
            await store.leases.release("me", ["free"], {"soon": 10, "late": 5_000, "asked": None})
            assert await store.leases.claim("you", 100, scope="woken") == []
            await self.pass_time(10)
            claims = (store.leases.claim("you", 100, scope="woken"), other.leases.claim("he", 100, scope="woken"))
            assert sorted(run for taken in await asyncio.gather(*claims) for run, _ in taken) == ["soon"]
            await store.mailbox.post("asked", {"kind": "resume"})
            await store.mailbox.post("mine", {"kind": "resume"})
            assert [run for run, _ in await store.leases.claim("you", 100, scope="woken")] == ["asked"]
            assert await store.leases.claim("you", 100, scope="woken") == [], "what was taken is awake"
            everything = await other.leases.claim("third", 100, scope="all")
            assert sorted(run for run, _ in everything) == ["free", "late"], "asleep or not, but for what others hold"
            if other is not store:
                await other.close()

        self.play(body)

    def test_a_row_says_until_when_its_run_sleeps(self) -> None:
        async def body(store: Store) -> None:
            tokens = {run: await store.runs.create(new_run(run, owner="me", ttl=100)) for run in ("a", "b", "c", "d")}
            await store.leases.release("you", None, {"a": 5})
            assert await store.runs.rows(RunQuery(asleep=True)) == [], "it is not its run"
            await store.leases.release("me", None, {"a": 30, "b": 20, "c": None})
            now = self.now()
            asleep = await store.runs.rows(RunQuery(asleep=True))
            assert [(row.run_id, row.wake_at) for row in asleep] == [("b", now + 20), ("a", now + 30), ("c", NEVER)]
            assert [row.run_id for row in await store.runs.rows(RunQuery(asleep=True, limit=1))] == ["b"], "the next one first"
            assert (await store.runs.load("a")).row.wake_at == now + 30
            awake = await store.runs.row("d")
            assert awake is not None
            assert awake.wake_at is None
            [(_, token)] = await store.leases.claim("you", 5, run_ids=["b"])
            woken = await store.runs.row("b")
            assert woken is not None
            assert (woken.wake_at, token) == (None, tokens["b"] + 1)

        self.play(body)

    def test_a_passivated_run_is_recorded_to_by_its_next_owner_alone(self) -> None:
        async def body(store: Store) -> None:
            old = await store.runs.create(new_run("a", owner="me", ttl=100))
            assert await all_well(store, more("a", 0, token=old, saves=True))
            await store.leases.release("me", None, {"a": 10})
            await self.pass_time(10)
            [(_, new)] = await store.leases.claim("me", 100, scope="woken")
            assert new > old, "also where the same engine wakes it"
            assert isinstance((await store.runs.append([more("a", 1, token=old)]))["a"], BusyError)
            assert await all_well(store, more("a", 1, token=new, closed=True, saves=True))
            assert await store.runs.rows(RunQuery(asleep=True)) == []

        self.play(body)
