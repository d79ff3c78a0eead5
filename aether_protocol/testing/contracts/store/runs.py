"""What every store must keep (the Store port): runs.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.errors import BusyError, ConflictError, NotFoundError, UsageError
from aether_protocol.ports.store import MEMORY, KeyTakenError, NewRun, RunKey, RunQuery, Store
from aether_protocol.ports.store.runs import FIRST_TOKEN
from aether_protocol.testing.contracts.store.tools import (
    SECOND,
    Contract,
    all_well,
    digest,
    more,
    new_run,
    refused,
    texts,
)


class RunContract(Contract):
    """Runs of a store that records every step, or keeps it as long as its limits allow."""

    def test_a_run_comes_back_with_its_steps_in_order(self) -> None:
        async def body(store: Store) -> None:
            given = new_run("a", labels={"team": "blue"}, version="1.0.0", retry_of="z", document_version=3, trace_id="0af7")
            await store.runs.create(new_run("z"))
            assert await store.runs.create(given) == 0
            found = await store.runs.load("a")
            assert (found.row, found.header) == (replace(given.row, tier=store.tier), given.header)
            assert (found.plan.name, found.plan.root.name, found.plan.digest) == ("tiny", "only", "0" * 64)
            assert (found.lines, found.snapshot) == ([], None)
            assert await all_well(store, more("a", 0, "one", "two"))
            end: dict[str, Any] = {"phase": "Failed", "message": "why", "ended_at": 5, "closed": True}
            assert await all_well(store, more("a", 2, "three", labels={"team": "blue"}, retry_of="z", **end))
            found = await store.runs.load("a")
            assert texts(found.lines) == ["one", "two", "three"]
            assert (found.row.seq, found.row.phase, found.row.message, found.row.closed) == (3, "Failed", "why", True)
            assert (found.row.labels, found.row.retry_of, found.row.ended_at) == ({"team": "blue"}, "z", 5)
            assert await store.runs.row("a") == found.row

        self.play(body)

    def test_an_id_is_taken_once(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await refused(store.runs.create(new_run("a")), ConflictError)

        self.play(body)

    def test_a_key_names_one_run_of_its_namespace_as_long_as_that_is_kept(self) -> None:
        async def body(store: Store) -> None:
            def keyed(run: str, digest: str = "d1", **changes: Any) -> NewRun:
                return replace(new_run(run, **changes), key=RunKey("order-42", digest))

            await store.runs.create(keyed("a"))
            for again in (keyed("b"), keyed("c", "d2"), keyed("a", "d2")):
                with pytest.raises(KeyTakenError, match="order-42") as taken:
                    await store.runs.create(again)
                assert (taken.value.run_id, taken.value.first) == ("a", "d1")
                assert again.key is not None
                assert taken.value.given == again.key.digest
            assert [row.run_id for row in await store.runs.rows(RunQuery())] == ["a"]
            await store.runs.create(keyed("d", namespace="ops"))
            await refused(store.runs.create(replace(new_run("a"), key=RunKey("order-43", "d1"))), ConflictError)
            await store.runs.delete(["a"])
            await store.runs.create(keyed("e", "d2"))

        self.play(body)

    def test_the_second_writer_is_refused_and_nothing_is_written(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, "first"))
            for late in (more("a", 0, "second"), more("a", 5, "sixth")):
                assert isinstance((await store.runs.append([late]))["a"], BusyError)
            assert texts((await store.runs.load("a")).lines) == ["first"]
            assert await all_well(store, more("a", 1))

        self.play(body)

    def test_how_far_a_run_is_needs_no_row(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b"):
                await store.runs.create(new_run(run, leaves_known=5))
                assert await all_well(store, more(run, 0, leaves_known=5))
            assert await all_well(store, more("a", 1, progress=1, leaves_known=5))
            both = more("a", 2, "x", "y", progress=2, leaves_known=5), more("b", 1, progress=4, leaves_known=5)
            assert await all_well(store, *both)
            found = await store.runs.load("a")
            assert (found.row.seq, found.row.leaves_ended, found.row.leaves_known) == (4, 2, 5)
            assert texts(found.lines)[2:] == ["x", "y"]
            rows = {row.run_id: row for row in await store.runs.rows(RunQuery(phases=["Running"]))}
            assert [(row.seq, row.leaves_ended) for row in (rows["a"], rows["b"])] == [(4, 2), (2, 4)]
            for late in (more("a", 2, progress=3), more("a", 9, progress=3)):
                assert isinstance((await store.runs.append([late]))["a"], BusyError)
            assert isinstance((await store.runs.append([more("a", 4, progress=3, token=7)]))["a"], BusyError)
            assert await all_well(store, more("a", 4, phase="Suspended", leaves_ended=3, leaves_known=6))
            assert await all_well(store, more("a", 5, phase="Suspended", progress=4, leaves_known=6))
            end: dict[str, Any] = {"phase": "Succeeded", "closed": True, "leaves_known": 6}
            assert await all_well(store, more("a", 6, progress=6, **end))
            row = await store.runs.row("a")
            assert row is not None
            assert (row.seq, row.leaves_ended, row.leaves_known, row.phase, row.closed) == (7, 6, 6, "Succeeded", True)

        self.play(body)

    def test_several_runs_in_one_append_and_one_of_them_refused(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b", "c"):
                await store.runs.create(new_run(run))
            batch = [more("a", 0, "x"), more("b", 7, "wrong"), more("c", 0, "y", "z"), more("nobody", 0)]
            found = await store.runs.append(batch)
            assert {run: type(error) for run, error in found.items()} == {"b": BusyError, "nobody": NotFoundError}
            assert [texts((await store.runs.load(run)).lines) for run in ("a", "b", "c")] == [["x"], [], ["y", "z"]]

        self.play(body)

    def test_a_run_that_was_deleted_is_not_retried(self) -> None:
        """What the retry would name of it may be deleted as well."""

        async def body(store: Store) -> None:
            retry = replace(new_run("a.2", retry_of="a"), artifacts=[digest(1)])
            for prepare in (store.runs.create(new_run("b")), store.runs.create(new_run("a")), store.runs.delete(["a"])):
                await prepare
            for new in (retry, replace(retry, key=RunKey("order-42", "x" * 64))):
                with pytest.raises(NotFoundError, match="'a' was deleted"):
                    await store.runs.create(new)
            assert (await store.runs.row("a.2"), await store.upkeep.artifacts()) == (None, {})
            await store.runs.create(new_run("a"))
            await store.runs.create(retry)
            assert list((await store.upkeep.artifacts()).values()) == ["a.2"]

        self.play(body)

    def test_an_append_begins_new_runs_in_the_same_transaction(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("parent", owner="me", ttl=10))
            children = [new_run("child", owner="me", ttl=10), replace(new_run("retry", retry_of="z"), artifacts=[digest(1)])]
            begin = await store.changes.newest()
            assert await all_well(store, replace(more("parent", 0, "begun", token=token), new_runs=children))
            assert texts((await store.runs.load("parent")).lines) == ["begun"]
            child, retry = await store.runs.load("child"), await store.runs.load("retry")
            assert (child.row, child.header) == (replace(children[0].row, tier=store.tier), children[0].header)
            assert (retry.row.retry_of, await store.upkeep.artifacts()) == ("z", {("default", digest(1)): "retry"})
            assert {one.run_id for one in await store.changes.after(begin)} == {"parent", "child", "retry"}
            assert isinstance((await store.runs.append([more("child", 0)]))["child"], BusyError), "it has an owner"
            assert await all_well(store, more("child", 0, "first", token=FIRST_TOKEN), more("retry", 0, "unowned"))
            assert [run for run, _ in await store.leases.claim("you", 10)] == ["retry"]

        self.play(body)

    def test_of_an_append_that_is_refused_no_new_run_begins(self) -> None:
        async def body(store: Store) -> None:
            token = await store.runs.create(new_run("parent", owner="me", ttl=10))
            await store.runs.create(new_run("other"))
            for late in (more("parent", 3, token=token), more("parent", 0, token=token + 1), more("nobody", 0)):
                batch = [replace(late, new_runs=[new_run("child", owner="me", ttl=10)]), more("other", 0)]
                begin = await store.runs.row("other")
                assert begin is not None
                batch[1] = more("other", begin.seq)
                assert set(await store.runs.append(batch)) == {late.run_id}
                assert await store.runs.row("child") is None
                after = await store.runs.row("other")
                assert after is not None
                assert after.seq == begin.seq + 1, "the rest of the batch is written"
            assert await all_well(store, replace(more("parent", 0, token=token), new_runs=[new_run("child")]))

        self.play(body)

    def test_where_the_id_of_a_new_run_is_taken_nothing_is_written(self) -> None:
        async def body(store: Store) -> None:
            for run in ("parent", "taken"):
                await store.runs.create(new_run(run))
            assert await all_well(store, more("taken", 0, "mine"))
            twice = [new_run("child"), new_run("child")]
            for new in ([new_run("child"), new_run("taken")], twice, [new_run("parent")]):
                found = await store.runs.append([replace(more("parent", 0, closed=True), new_runs=new)])
                assert isinstance(found["parent"], UsageError)
                assert await store.runs.row("child") is None
                row = await store.runs.row("parent")
                assert row is not None
                assert (row.seq, row.closed) == (0, False)
            assert texts((await store.runs.load("taken")).lines) == ["mine"]
            two = [replace(more(run, seq), new_runs=[new_run("child")]) for run, seq in (("parent", 0), ("taken", 1))]
            assert set(await store.runs.append(two)) == {"taken"}, "of one batch the first one has it"
            assert await all_well(store, more("parent", 1), more("taken", 1), more("child", 0))

        self.play(body)

    def test_a_snapshot_that_is_given_takes_the_place_of_the_steps_before(self) -> None:
        async def body(store: Store) -> None:
            if store.tier == MEMORY:
                return  # it keeps none
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, "one"), more("a", 1, "two", saves=True), more("a", 2, "three"))
            found = await store.runs.load("a")
            assert (found.snapshot, texts(found.lines), found.row.seq) == ("state 2", ["three"], 3)
            assert [seq for seq, _ in await store.runs.lines("a")] == [1, 2, 3]
            assert await all_well(store, more("a", 3, "four", saves=True, closed=True))
            found = await store.runs.load("a")
            assert (found.snapshot, found.lines, found.row.closed) == ("state 4", [], True)

        self.play(body)

    def test_unknown_runs(self) -> None:
        async def body(store: Store) -> None:
            assert await store.runs.row("nobody") is None
            await refused(store.runs.load("nobody"), UsageError)
            await refused(store.runs.lines("nobody"), UsageError)
            await refused(store.mailbox.post("nobody", {}), UsageError)
            assert await store.runs.delete(["nobody"]) == 0

        self.play(body)

    def test_lines_come_in_pages(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await store.runs.lines("a") == []
            for after in range(0, 9, 3):
                assert await all_well(store, more("a", after, *(str(after + n) for n in (1, 2, 3))))
            seen: list[tuple[int, str]] = []
            while page := await store.runs.lines("a", seen[-1][0] if seen else 0, 2):
                assert len(page) <= 4, "about the limit"
                seen += page
            assert [seq for seq, _ in seen] == list(range(1, 10))
            assert texts([line for _, line in seen]) == [str(n) for n in range(1, 10)]
            assert [seq for seq, _ in await store.runs.lines("a", 7)] == [8, 9]

        self.play(body)

    def test_rows_come_newest_first_in_pages(self) -> None:
        async def body(store: Store) -> None:
            for number in range(10):
                await store.runs.create(new_run(f"r{number}", created_at=(number // 2) * SECOND))
            seen: list[str] = []
            before = None
            while page := await store.runs.rows(RunQuery(limit=3, before=before)):
                seen += [found.run_id for found in page]
                before = (page[-1].created_at, page[-1].run_id)
            assert seen == [f"r{number}" for number in range(9, -1, -1)]

        self.play(body)

    def test_without_a_limit_all_rows_come(self) -> None:
        async def body(store: Store) -> None:
            for number in range(205):
                await store.runs.create(new_run(f"r{number}", created_at=number))
            assert len(await store.runs.rows(RunQuery())) == 205
            assert len(await store.runs.rows(RunQuery(name="tiny"))) == 205
            assert len(await store.runs.rows(RunQuery(limit=100))) == 100

        self.play(body)

    def test_rows_are_filtered(self) -> None:
        async def body(store: Store) -> None:
            odd = {'qu"ote': "x", "back\\slash": "ü", "%": "_"}
            await store.runs.create(new_run("a", workflow="x", labels={"team": "blue", "tier": "1"}, created_at=1))
            await store.runs.create(new_run("b", namespace="ops", labels={"team": "red"}, created_at=2))
            await store.runs.create(new_run("c", labels=odd, created_at=3))
            end: dict[str, Any] = {"phase": "Succeeded", "ended_at": 9, "closed": True}
            assert await all_well(store, more("c", 0, labels=odd, created_at=3, **end))

            async def ids(**filters: Any) -> str:
                return "".join(found.run_id for found in await store.runs.rows(RunQuery(**filters)))

            expected: Mapping[str, str] = {
                "cba": await ids(),
                "a": await ids(name="x"),
                "b": await ids(namespace="ops"),
                "ba": await ids(phases=["Created", "Failed"]),
                "c": await ids(closed=True),
                "cb": await ids(since=2),
                "": await ids(labels={"team": "blue", "tier": "2"}),
            }
            assert list(expected) == list(expected.values())
            assert [await ids(until=2), await ids(closed=False), await ids(ended_before=9)] == ["a", "ba", ""]
            assert [await ids(ended_before=10), await ids(labels={"team": "blue"})] == ["c", "a"]
            assert [await ids(labels={key: value}) for key, value in odd.items()] == ["c", "c", "c"]
            assert [await ids(prefix="a"), await ids(prefix="ab"), await ids(prefix="%")] == ["a", "", ""]
            assert [await ids(labels={"te": "blue"}), await ids(labels={"%": "%"}), await ids(name="%")] == ["", "", ""]

        self.play(body)

    def test_the_newest_rows_of_each_workflow_are_found(self) -> None:
        async def body(store: Store) -> None:
            for number in range(12):
                name, space = f"w{number % 2}", "ops" if number % 3 == 0 else "default"
                labels = {"odd": str(number // 6)}
                made = new_run(f"r{number:02}", workflow=name, namespace=space, labels=labels, created_at=number // 4)
                await store.runs.create(made)
            await store.runs.create(new_run("alone", workflow="w0", namespace="z", created_at=0))

            async def ids(most: int = 1, **filters: Any) -> list[str]:
                found = await store.runs.rows(RunQuery(newest_of_each=most, **filters))
                return [row.run_id for row in found]

            assert await ids() == ["r11", "r10", "r09", "r06", "alone"]
            assert await ids(2) == ["r11", "r10", "r09", "r08", "r07", "r06", "r03", "r00", "alone"]
            assert len(await ids(100)) == 13
            assert await ids(namespace="ops") == ["r09", "r06"]
            assert await ids(namespaces=["ops", "z"], name="w0") == ["r06", "alone"]
            assert await ids(namespaces=[]) == []
            assert await ids(labels={"odd": "0"}) == ["r05", "r04", "r03", "r00"], "of those that fit, the newest"
            assert await ids(until=1) == ["r03", "r02", "r01", "r00", "alone"]
            page = await ids(limit=3)
            assert page == ["r11", "r10", "r09"]
            assert await ids(limit=3, before=(2, "r09")) == ["r06", "alone"], "pages are of what is found"

        self.play(body)

    def test_rows_are_found_by_the_beginning_of_their_id(self) -> None:
        async def body(store: Store) -> None:
            for run in ("ab", "abc", "ac", "b", "a%"):
                await store.runs.create(new_run(run))
            await store.runs.create(new_run("ab.2", retry_of="ab"))
            for prefix, ids in {"ab": ["abc", "ab.2", "ab"], "a%": ["a%"], "x": [], "abcd": []}.items():
                assert [found.run_id for found in await store.runs.rows(RunQuery(prefix=prefix))] == ids
            for prefix, ids in {"ab": ["ab.2"], "": ["ab.2"], "b": []}.items():
                assert [found.run_id for found in await store.runs.rows(RunQuery(prefix=prefix, retries=True))] == ids

        self.play(body)

    def test_rows_are_found_by_a_text_in_them(self) -> None:
        async def body(store: Store) -> None:
            rows = {"one": "exit code 3", "two": "100% of %s\\_ done", "three": "Ünder", "Four": ""}
            for run, message in rows.items():
                new = new_run(run, workflow="load")
                new.row = replace(new.row, message=message)
                await store.runs.create(new)
            wanted = {"EXIT": ["one"], "Load": ["Four", "three", "two", "one"], "four": ["Four"], "%s\\_": ["two"]}
            wanted |= {"Ünder": ["three"], "ünder": [], "e l": ["one", "three"], "none": [], "lone \ud800": []}
            for text, ids in wanted.items():
                found = [row.run_id for row in await store.runs.rows(RunQuery(text=text))]
                assert sorted(found) == sorted(ids), text

        self.play(body)

    def test_texts_of_any_kind_come_back(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            odd = ["nul \0", "line\nbreak \u2028", "emoji 🦆", "quote ' \" \\", "lone \ud800 half"]
            assert await all_well(store, more("a", 0, *odd, message="'; -- \0 🦆"))
            assert texts((await store.runs.load("a")).lines) == odd
            assert (await store.runs.rows(RunQuery()))[0].message == "'; -- \0 🦆"

        self.play(body)

    def test_deleted_runs_are_gone_with_all_that_is_theirs(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b"):
                await store.runs.create(new_run(run))
                assert await all_well(store, more(run, 0, phase="Succeeded", closed=True))
            assert await store.runs.delete(["a", "a"]) == 1
            assert [found.run_id for found in await store.runs.rows(RunQuery())] == ["b"]
            await refused(store.runs.load("a"), UsageError)
            await store.runs.create(new_run("a"))
            assert (await store.runs.load("a")).lines == []
            assert texts((await store.runs.load("b")).lines) == ["step 1"]

        self.play(body)

    def test_an_exported_run_is_adopted_as_it_was(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", labels={"k": "v"}))
            assert await all_well(store, more("a", 0, "one", "two"))
            exported = await store.runs.load("a")
            await refused(store.runs.import_run(exported), UsageError)
            await store.runs.delete(["a"])
            await store.runs.import_run(exported)
            found = await store.runs.load("a")
            assert (found.row, found.header, found.lines) == (exported.row, exported.header, exported.lines)
            assert (found.snapshot, found.plan.digest) == (exported.snapshot, exported.plan.digest)
            assert [seq for seq, _ in await store.runs.lines("a", 1)] == [2]
            assert await all_well(store, more("a", 2, "three"))
            assert texts((await store.runs.load("a")).lines) == ["one", "two", "three"]

        self.play(body)
