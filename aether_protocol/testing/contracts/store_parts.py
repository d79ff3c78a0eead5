"""What every store must keep (the Store port): leases, requests, logs and documents.

Law: time is what the test says; nothing in this file knows a particular store.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec.structs import replace

from aether_protocol.errors import BusyError
from aether_protocol.ports.store import LogLine, NewDocument, Request, RunQuery, Store
from aether_protocol.testing.contracts.store_tools import Contract, all_well, digest, more, new_run, put_document, refused

MANY = 4 * 1024 * 1024  # characters; every store keeps less of one task run


class LeaseContract(Contract):
    """Who drives which run."""

    def test_a_run_is_claimed_at_its_creation(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="me", until=10))
            assert token > 0
            assert await store.leases.owner("a") == ("me", 10)
            assert await store.leases.claim(None, "you", 9, 20) == []
            assert await all_well(store, more("a", 0, token=token))
            assert isinstance((await store.runs.append([more("a", 1)]))["a"], BusyError), "no token"

        self.play(body)

    def test_free_runs_are_claimed_oldest_first(self) -> None:
        async def body(store: Store) -> None:
            for number, run in enumerate("cab"):
                await store.runs.create(new_run(run, created_at=number))
            assert await store.leases.owner("a") is None
            claimed = await store.leases.claim(None, "me", 0, 10)
            assert [run for run, _ in claimed] == ["c", "a", "b"]
            assert await store.leases.claim(["b", "nobody", "b"], "me", 0, 10) == claimed[2:], "what is its own keeps its token"
            assert await store.leases.claim(None, "you", 0, 10) == []

        self.play(body)

    def test_a_lease_from_a_wrong_clock_has_ended(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=1_000, length_us=10))
            await store.runs.create(new_run("b"))
            assert await store.leases.claim(["b"], "me", 990, 1_000) == [("b", 1)]
            assert await store.leases.lock("door", "me", 990, 1_000)
            assert await store.leases.owner("a", 980) == ("me", 1_000), "clocks may differ a little"
            assert await store.leases.owner("a", 979) is None
            assert await store.leases.owner("a") == ("me", 1_000)
            assert await store.leases.claim(None, "you", 980, 990) == []
            assert not await store.leases.lock("door", "you", 980, 990)
            assert [run for run, _ in await store.leases.claim(["a"], "you", 979, 989)] == ["a"]
            assert await store.leases.lock("door", "you", 979, 989)
            assert await store.leases.owner("a", 988) == ("you", 989)
            assert await store.leases.renew("you", {"a": 2}, 900) == [], "and so has one that is renewed by one"
            assert [run for run, _ in await store.leases.claim(["a"], "third", 500, 510)] == ["a"]

        self.play(body)

    def test_a_run_whose_lease_is_from_a_wrong_clock_may_be_deleted(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=1_000, length_us=10))
            await refused(store.runs.delete(["a"], 985), BusyError)
            assert await store.runs.delete(["a"], 500) == 1

        self.play(body)

    def test_a_lease_without_an_end_is_from_no_wrong_clock(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=1 << 61))
            await store.runs.create(new_run("b"))
            await store.leases.claim(["b"], "him", 5, 1 << 61)
            assert await store.leases.claim(None, "you", 0, 10) == []
            assert await store.leases.claim(None, "you", 1 << 40, (1 << 40) + 10) == []

        self.play(body)

    def test_what_breaks_its_engine_three_times_in_a_row_is_set_aside(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.runs.create(new_run("b", created_at=2))
            for time in range(3):
                [(_, token), *_] = await store.leases.claim(["a"], "me", time, 10)
                assert await store.leases.broke("a", token, 5, f"why {time}") == (time == 2)
                await store.leases.release("me", ["a"])
            rows = [await store.runs.row("a"), *await store.runs.rows(RunQuery())]
            assert [one.broken for one in rows if one is not None] == ["why 2", "why 2", None]
            assert [run for run, _ in await store.leases.claim(None, "me", 20, 30)] == ["b"]
            assert await store.leases.claim(["a"], "me", 20, 30) == []
            assert [await store.upkeep.mend(run) for run in ("a", "a", "b", "nobody")] == [True, False, False, False]
            row = await store.runs.row("a")
            assert row is not None
            assert row.broken is None
            [(_, token)] = await store.leases.claim(["a"], "me", 40, 50)
            assert await store.leases.broke("a", token, 5, "again"), "it is tried once"
            assert await store.leases.claim(["a"], "me", 60, 70) == []
            assert await store.runs.delete(["a"], 80) == 1
            await store.runs.create(new_run("a"))
            assert [run for run, _ in await store.leases.claim(["a"], "me", 90, 99)] == ["a"]

        self.play(body)

    def test_breaks_count_in_a_row_and_by_its_driver(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            [(_, token)] = await store.leases.claim(["a"], "me", 0, 10)
            for ended in (0, 0, 1, 1, 2, 3):
                assert not await store.leases.broke("a", token, ended, "why"), "something ended in between"
            assert not await store.leases.broke("a", token + 1, 3, "who says so?")
            assert not await store.leases.broke("a", token, 3, "why")
            assert not await store.leases.broke("nobody", token, 3, "why")
            assert await store.leases.broke("a", token, 3, "why")

        self.play(body)

    def test_closed_runs_are_not_claimed(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, closed=True))
            assert await store.leases.claim(None, "me", 0, 10) == []
            assert await store.leases.claim(["a"], "me", 0, 10) == []

        self.play(body)

    def test_a_dead_owners_runs_change_hands_and_it_is_fenced_off(self) -> None:
        async def body(store: Store) -> None:
            old = await store.runs.create(new_run("a", owner="dead", until=10))
            assert await store.leases.claim(["a"], "successor", 9, 20) == []
            [(_, new)] = await store.leases.claim(["a"], "successor", 10, 20)
            assert new > old
            assert await store.leases.renew("dead", {"a": old}, 30) == ["a"]
            assert await store.leases.renew("successor", {"a": new}, 30) == []
            assert isinstance((await store.runs.append([more("a", 0, token=old)]))["a"], BusyError)
            assert await all_well(store, more("a", 0, token=new))
            [(_, newer)] = await store.leases.claim(["a"], "dead", 30, 40)
            assert newer > new
            assert await store.leases.renew("dead", {"a": old}, 50) == ["a"], "its token is an old one"

        self.play(body)

    def test_a_renewed_lease_holds(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("a", owner="me", until=10))
            assert await store.leases.renew("me", {"a": token}, 100) == []
            assert await store.leases.claim(None, "you", 50, 200) == []
            assert (await store.leases.owners())["me"] == 100
            assert await all_well(store, more("a", 0, token=token, closed=True))
            assert await store.leases.renew("me", {"a": token}, 110) == [], "a run that has closed is not lost"

        self.play(body)

    def test_what_is_released_is_free(self) -> None:
        async def body(store: Store) -> None:
            tokens = {run: await store.runs.create(new_run(run, owner="me", until=100)) for run in ("a", "b", "c")}
            await store.leases.release("you", ["a"])
            assert await store.leases.claim(None, "you", 0, 100) == []
            await store.leases.release("me", ["a"])
            [(run, token)] = await store.leases.claim(None, "you", 0, 100)
            assert (run, token > tokens["a"]) == ("a", True)
            await store.leases.release("me")
            assert [run for run, _ in await store.leases.claim(None, "third", 0, 100)] == ["b", "c"]
            assert "me" not in await store.leases.owners()

        self.play(body)

    def test_a_run_that_is_driven_is_not_deleted(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=10))
            await store.runs.create(new_run("b"))
            await refused(store.runs.delete(["b", "a"], 9), BusyError)
            assert len(await store.runs.rows(RunQuery())) == 2, "all or nothing"
            assert await store.runs.delete(["b", "a"], 10) == 2

        self.play(body)

    def test_locks_keep_others_out_until_they_end(self) -> None:
        async def body(store: Store) -> None:
            assert await store.leases.lock("nightly", "me", 0, 10)
            assert await store.leases.lock("nightly", "me", 5, 15), "its own lock is kept"
            assert not await store.leases.lock("nightly", "you", 14, 30)
            assert await store.leases.lock("other", "you", 14, 30)
            await store.leases.unlock("nightly", "you")
            assert not await store.leases.lock("nightly", "you", 14, 30)
            await store.leases.renew("me", {}, 40)
            assert not await store.leases.lock("nightly", "you", 39, 60)
            assert await store.leases.lock("nightly", "you", 40, 60), "it ended"
            await store.leases.unlock("nightly", "you")
            assert await store.leases.lock("nightly", "me", 41, 60)
            await store.leases.release("me")
            assert await store.leases.lock("nightly", "you", 41, 60)

        self.play(body)


class MailboxContract(Contract):
    """Requests between those who drive runs and those who do not."""

    def test_a_request_reaches_the_owner_and_its_answer_comes_back(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=10))
            await store.runs.create(new_run("b", owner="you", until=10))
            first = await store.mailbox.post("a", {"cancel": True})
            second = await store.mailbox.post("b", {"resume": "ü \ud800"})
            third = await store.mailbox.post("a", {"n": 3})
            assert await store.mailbox.requests("me") == [Request(first, "a", {"cancel": True}), Request(third, "a", {"n": 3})]
            assert [item.id for item in await store.mailbox.requests("you")] == [second]
            assert await store.mailbox.answer(first) is None
            await store.mailbox.answered(first, {"ok": True})
            await store.mailbox.answered(first, {"ok": False})
            assert [item.id for item in await store.mailbox.requests("me")] == [third]
            assert await store.mailbox.answer(first) == {"ok": True}, "the first answer counts"
            assert await store.mailbox.answer(first) is None, "it is read once"

        self.play(body)

    def test_a_request_waits_for_whoever_comes_next(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="dead", until=10))
            asked = await store.mailbox.post("a", {})
            await store.leases.claim(["a"], "successor", 10, 20)
            assert await store.mailbox.requests("dead") == []
            assert [item.id for item in await store.mailbox.requests("successor")] == [asked]

        self.play(body)

    def test_a_request_is_withdrawn_before_its_answer_only(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=10))
            asked, kept = await store.mailbox.post("a", {}), await store.mailbox.post("a", {})
            assert await store.mailbox.withdraw(asked)
            assert not await store.mailbox.withdraw(asked)
            await store.mailbox.answered(asked, {})
            assert await store.mailbox.answer(asked) is None
            await store.mailbox.answered(kept, {})
            assert not await store.mailbox.withdraw(kept)

        self.play(body)

    def test_a_request_that_somebody_was_given_is_not_withdrawn(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", until=10))
            asked = await store.mailbox.post("a", {})
            assert await store.mailbox.requests("you") == []
            assert [item.id for item in await store.mailbox.requests("me")] == [asked]
            assert not await store.mailbox.withdraw(asked)
            await store.leases.claim(["a"], "successor", 10, 20)
            assert [item.id for item in await store.mailbox.requests("successor")] == [asked], "it is not answered yet"
            await store.mailbox.answered(asked, {"done": True})
            assert await store.mailbox.answer(asked) == {"done": True}

        self.play(body)


def line(text: str, path: str = "main.t", run_id: str = "a", at: int = 5) -> LogLine:
    return LogLine(run_id, 1, path, 1, "stdout", text, at)


class LogContract(Contract):
    """What tasks wrote."""

    def test_lines_come_back_in_order_and_in_pages(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.runs.create(new_run("b"))
            assert await store.logs.read("a") == []
            odd = ["one\n", "nul \0 \ud800 ü\n", "'; --"]
            await store.logs.write([line(odd[0]), line("other", run_id="b"), line(odd[1]), line("lost", run_id="nobody")])
            await store.logs.write([line(odd[2])])
            first = await store.logs.read("a", limit=2)
            rest = await store.logs.read("a", after=first[-1].seq)
            found = first + rest
            assert [item.text.replace("\\ud800", "\ud800") for item in found] == odd
            assert [item.seq for item in found] == sorted({item.seq for item in found})
            assert found[0] == LogLine("a", 1, "main.t", 1, "stdout", "one\n", 5, found[0].seq)
            assert [item.text for item in await store.logs.read("b")] == ["other"]

        self.play(body)

    def test_a_path_means_what_is_below_it_too(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            paths = ["main", "main.t", "main.t2", "main.t[0]", "main.t.x", "main%t"]
            await store.logs.write([line("x", path) for path in paths])
            assert [item.path for item in await store.logs.read("a", "main.t")] == ["main.t", "main.t[0]", "main.t.x"]
            assert [item.path for item in await store.logs.read("a", "main")] == paths[:5]
            assert await store.logs.read("a", "main%") == []

        self.play(body)

    def test_what_is_kept_of_a_task_run_is_bounded_and_the_gap_is_told(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([line("quiet", "main.q")])
            text = "x" * 4096
            for start in range(0, MANY // len(text), 64):
                await store.logs.write([line(f"{start + number} {text}") for number in range(64)])
            kept = await store.logs.read("a", limit=100_000)
            assert kept[0].path == "main.q"
            assert [item.stream for item in kept].count("note") == 1
            assert kept[1].stream == "note"
            assert sum(len(item.text) for item in kept) < MANY // 2
            assert kept[-1].text.startswith(f"{MANY // len(text) - 1} "), "the newest stay"
            numbers = [int(item.text.split()[0]) for item in kept[2:]]
            assert numbers == list(range(numbers[0], MANY // len(text))), "without another gap"
            assert kept[1].text.split()[0] == str(sum(len(f"{number} {text}") for number in range(numbers[0])))
            assert await store.logs.read("a", after=kept[1].seq, limit=1) == [kept[2]], "it is told once"

        self.play(body)

    def test_logs_go_with_their_run(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([line("x")])
            await store.runs.delete(["a"], 0)
            assert await store.logs.read("a") == []
            await store.runs.create(new_run("a"))
            assert await store.logs.read("a") == []

        self.play(body)


class DocumentContract(Contract):
    """The library."""

    def test_the_newest_version_counts_and_older_ones_stay(self) -> None:
        async def body(store: Store) -> None:
            first = await put_document(store, "WorkflowTemplate", "default", "lib", "one ü", 1)
            assert (first.version, first.digest) == (1, sha256("one ü".encode()).hexdigest())
            assert await put_document(store, "WorkflowTemplate", "default", "lib", "one ü", 2) == first, "nothing new"
            second = await put_document(store, "WorkflowTemplate", "default", "lib", "two", 3)
            assert await store.library.get("WorkflowTemplate", "default", "lib") == second
            assert await store.library.get("WorkflowTemplate", "default", "lib", first.digest) == first
            assert await store.library.get("WorkflowTemplate", "default", "lib", "0" * 64) is None
            back = await put_document(store, "WorkflowTemplate", "default", "lib", "one ü", 4)
            assert (back.version, back.digest, back.at) == (3, first.digest, 4)
            assert await store.library.get("WorkflowTemplate", "default", "lib", first.digest) == back
            assert await store.library.versions("WorkflowTemplate", "default", "lib") == [back, second, first]
            assert await store.library.versions("WorkflowTemplate", "other", "lib") == []

        self.play(body)

    def test_several_are_put_in_one_go(self) -> None:
        async def body(store: Store) -> None:
            a, b = NewDocument("T", "default", "a", "one"), NewDocument("T", "ops", "a", "one")
            assert [(one.version, new) for one, new in await store.library.put([a, b], 1)] == [(1, True), (1, True)]
            b.text = "two"
            found = await store.library.put([a, b], 2)
            assert [(one.namespace, one.text, one.version, one.at, new) for one, new in found] == [
                ("default", "one", 1, 1, False),
                ("ops", "two", 2, 2, True),
            ]
            assert await store.library.put([], 3) == []
            assert [one for one, _ in found] == await store.library.newest("T")

        self.play(body)

    def test_documents_are_listed_and_removed(self) -> None:
        async def body(store: Store) -> None:
            for place in (("T", "ops", "b"), ("T", "default", "a"), ("C", "ops", "c"), ("T", "ops", "a")):
                await put_document(store, *place, "old", 1)
                await put_document(store, *place, "new", 2)

            async def listed(kind: str | None = None, namespace: str | None = None) -> list[str]:
                found = await store.library.newest(kind, namespace)
                assert {item.text for item in found} <= {"new"}
                return [f"{item.kind}/{item.namespace}/{item.name}" for item in found]

            assert await listed() == ["C/ops/c", "T/default/a", "T/ops/a", "T/ops/b"]
            assert await listed("T") == ["T/default/a", "T/ops/a", "T/ops/b"]
            assert await listed("T", "ops") == ["T/ops/a", "T/ops/b"]
            assert await listed(namespace="nowhere") == []
            assert await store.library.remove("T", "ops", "a")
            assert not await store.library.remove("T", "ops", "a")
            assert await store.library.get("T", "ops", "a") is None
            assert await listed("T", "ops") == ["T/ops/b"]

        self.play(body)


class UpkeepContract(Contract):
    """What `aether db` does to a healthy store."""

    def test_upkeep_of_a_healthy_store(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b"):
                await store.runs.create(new_run(run))
            assert await all_well(store, more("a", 0, "x", "y", closed=True))
            assert await all_well(store, more("b", 0))
            info = await store.upkeep.info()
            assert (info.runs, info.open_runs) == (2, 1)
            assert info.details["adapter"]
            assert await store.upkeep.check() == []
            await store.upkeep.vacuum()
            assert await store.upkeep.check() == []
            assert await store.upkeep.migrate() == (info.schema, info.schema)
            assert await all_well(store, more("b", 1))

        self.play(body)

    def test_what_runs_name_is_counted_until_the_last_of_them_goes(self) -> None:
        async def body(store: Store) -> None:
            assert await store.upkeep.artifacts() == {}
            await store.runs.create(replace(new_run("a"), artifacts=[digest(1), digest(2)]))
            token = await store.runs.create(new_run("b", owner="me", until=10))
            steps = more("b", 0, "x", "y", token=token)
            assert await all_well(store, replace(steps, artifacts=[digest(2), digest(3)]))
            assert await all_well(store, replace(more("b", 2, token=token, progress=0), artifacts=[digest(4), digest(2)]))
            late = replace(more("b", 1, token=token), artifacts=[digest(5)])
            foreign = replace(more("b", 3, token=token + 1), artifacts=[digest(6)])
            assert len(await store.runs.append([late])) == len(await store.runs.append([foreign])) == 1
            named = await store.upkeep.artifacts()
            assert set(named) == {digest(1), digest(2), digest(3), digest(4)}, "what was refused names nothing"
            assert (named[digest(1)], named[digest(3)], named[digest(4)]) == ("a", "b", "b")
            await store.runs.delete(["a"], 0)
            assert await store.upkeep.artifacts() == dict.fromkeys([digest(2), digest(3), digest(4)], "b")
            await store.runs.delete(["b"], 10)
            assert await store.upkeep.artifacts() == {}

        self.play(body)

    def test_a_run_that_was_taken_in_names_what_it_came_with(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, closed=True))
            run = await store.runs.load("a")
            await store.runs.delete(["a"], 0)
            await store.runs.import_run(replace(run, artifacts=[digest(7)]))
            assert await store.upkeep.artifacts() == {digest(7): "a"}

        self.play(body)
