"""Artifacts that no run names are deleted after the grace, and no other ever."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.artifacts import GRACE_US, Collected, collect, named_by, named_in, survey
from aether_protocol.errors import PortError
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.facts import InputsBound, NodeEnded, Reported, TaskSuspended
from aether_protocol.scheduler.transitions import SUCCEEDED
from aether_protocol.testing.contracts.store.tools import all_well, digest, more, new_run

STORES: list[Callable[[], Store]] = [MemoryStore, lambda: open_sqlite(":memory:")]
PUT_AT = 5_000_000_000  # microseconds


class Shop:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = LocalRepository(folder / "kept")

    def put(self, text: str, at: int = PUT_AT) -> str:
        (self.folder / "given").write_text(text)
        found, _ = self.repository.put(self.folder / "given")
        os.utime(self.repository._path(found), ns=(at * 1_000, at * 1_000))
        return found

    def digests(self) -> set[str]:
        return {one.digest for one in self.repository.kept()}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def play(make: Callable[[], Store], body: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        store = make()
        await body(store)
        await store.close()

    asyncio.run(go())


@pytest.mark.rule("RT-140")
@pytest.mark.parametrize("make", STORES)
def test_what_a_namespace_names_holds_nothing_of_another(make: Callable[[], Store], shop: Shop) -> None:
    async def body(store: Store) -> None:
        digest = shop.put("same")
        for space in ("team-a", "team-b"):
            part = shop.repository.within(space)
            assert part.put(shop.folder / "given")[0] == digest
            os.utime(part.path_of(digest), ns=(PUT_AT * 1_000, PUT_AT * 1_000))  # type: ignore[attr-defined]
        for run, space in (("a", "default"), ("b", "team-b"), ("c", "team-a")):
            made = new_run(run)
            row, plan = replace(made.row, namespace=space), replace(made.plan, namespace=space)
            await store.runs.create(replace(made, row=row, plan=plan, artifacts=[digest]))
        now = PUT_AT + GRACE_US + 1
        assert await collect(store, shop.repository, now) == Collected(0, 0)
        await store.runs.delete(["b"])
        assert [one.digest for one in (await survey(store, shop.repository)).orphans] == [digest]
        assert await collect(store, shop.repository, now) == Collected(1, 4)
        kept = {space: [one.digest for one in shop.repository.within(space).kept()] for space in shop.repository.namespaces()}
        assert kept == {"default": [digest], "team-a": [digest], "team-b": []}
        part = shop.repository.within("team-a")
        part.path_of(digest).chmod(0o600)  # type: ignore[attr-defined]
        part.path_of(digest).write_text("other")  # type: ignore[attr-defined]
        found = await survey(store, shop.repository)
        assert (found.orphans, found.missing, found.damaged) == ([], [], [(digest, "c")])

    play(make, body)


@pytest.mark.rule("RT-95")
@pytest.mark.parametrize("make", STORES)
def test_what_no_run_names_goes_after_the_grace(make: Callable[[], Store], shop: Shop) -> None:
    async def body(store: Store) -> None:
        mine, both, other, loose = (shop.put(text) for text in ("mine", "both", "other", "loose"))
        young = shop.put("young", PUT_AT + 1)
        await store.runs.create(replace(new_run("a"), artifacts=[mine, both]))
        await store.runs.create(new_run("b"))
        assert await all_well(store, replace(more("b", 0, closed=True), artifacts=[both, other]))
        now = PUT_AT + GRACE_US
        assert await collect(store, shop.repository, now) == Collected(0, 0), "exactly as old as the grace"
        assert await collect(store, shop.repository, now + 1, dry_run=True) == Collected(1, 5)
        assert len(shop.digests()) == 5
        assert await collect(store, shop.repository, now + 1) == Collected(1, 5)
        assert shop.digests() == {mine, both, other, young}
        await store.runs.delete(["b"])
        assert await collect(store, shop.repository, now + 2) == Collected(2, 10), "the young one has come of age"
        assert shop.digests() == {mine, both}
        seen = await survey(store, shop.repository)
        assert (seen.orphans, seen.missing, seen.damaged) == ([], [], [])
        assert loose not in shop.digests()

    play(make, body)


@pytest.mark.parametrize("make", STORES)
def test_what_is_named_and_not_there_and_what_is_there_and_not_named(make: Callable[[], Store], shop: Shop) -> None:
    async def body(store: Store) -> None:
        loose, held = shop.put("loose"), shop.put("held")
        await store.runs.create(replace(new_run("a"), artifacts=[digest(1), held]))
        seen = await survey(store, shop.repository)
        assert [(one.digest, one.size) for one in seen.orphans] == [(loose, 5)]
        assert seen.missing == [(digest(1), "a")]

    play(make, body)


def test_what_is_put_again_while_somebody_collects_stays(shop: Shop) -> None:
    """The attempt of another run gives the same content after the collector has looked who names it."""

    class Slow(LocalRepository):
        def delete(self, digest: str, before: int) -> bool:
            self.put(shop.folder / "given")
            return super().delete(digest, before)

    async def body(store: Store) -> None:
        found = shop.put("same")
        assert await collect(store, Slow(shop.folder / "kept"), PUT_AT + 2 * GRACE_US) == Collected(0, 0)
        assert shop.digests() == {found}

    play(MemoryStore, body)


def test_steps_name_what_tasks_kept_and_were_given() -> None:
    def held(number: int) -> dict[str, Any]:
        return {"x": {"name": "x", "digest": digest(number), "size": 1}}

    source = {"y": {"name": "y", "path": "p", "source": {"type": "raw", "config": {"text": digest(9)}}}}
    facts = [
        Reported(0, digest(8)),
        InputsBound(1, {}, [], held(1) | source, False),
        NodeEnded(1, SUCCEEDED, 0, "", {"text": digest(7)}, held(2)),
        TaskSuspended(1, "", {}, held(3)),
        NodeEnded(2, SUCCEEDED, 0, "", {}, held(2)),
    ]
    entries = [LogEntry(1, 0, "", facts[:2], []), LogEntry(2, 0, "", facts[2:], [])]
    assert named_in(entries) == [digest(number) for number in (1, 2, 3)]
    assert not named_in([LogEntry(1, 0, "", facts[:1], [])])
    header = RunHeader("a", 0, None, {}, {}, 0)
    assert not named_by(header)
    kept = {"main.a": {"artifacts": held(1), "inputArtifacts": held(2)}, "main.b": {"artifacts": {}}}
    assert named_by(replace(header, reused=kept)) == [digest(1), digest(2)]


@pytest.mark.rule("RT-140")
def test_where_two_stores_keep_their_artifacts_in_one_folder_neither_frees_those_of_the_other(tmp_path: Path) -> None:
    """The other one may not have named anything yet: it is noted there as soon as an engine opens it."""
    folder = tmp_path / "shared"
    urls = [f"sqlite:{tmp_path}/{name}.db?artifacts={folder}" for name in ("a", "b")]

    async def go() -> None:
        async with Engine(store=urls[0]) as first:
            repository = first.artifacts
            (tmp_path / "given").write_text("x")
            digest, _ = repository.put(tmp_path / "given")
            later = 2 * GRACE_US + time.time_ns() // 1_000
            assert (await collect(first.store, repository, later, dry_run=True)).count == 1
            async with Engine(store=urls[1]):
                pass
            with pytest.raises(PortError, match="runs of another store") as refused:
                await collect(first.store, repository, later)
            assert repository.renew(digest) is not None
            os.unlink(str(refused.value.hint).rpartition(" ")[2])  # as the hint says
            assert (await collect(first.store, repository, later)).count == 1
        async with Engine(store=urls[0]) as again:
            assert (await collect(again.store, again.artifacts, later)).count == 0, "a store is not another one later"

    asyncio.run(go())


def test_a_store_that_ends_with_its_process_leaves_no_mark(tmp_path: Path) -> None:
    async def go() -> None:
        for _ in range(2):
            async with Engine(store="memory", artifacts=tmp_path) as engine:
                await collect(engine.store, engine.artifacts, 0)
        assert not (tmp_path / "stores").exists()

    asyncio.run(go())
