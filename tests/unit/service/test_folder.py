"""A folder that is followed: what changes is applied, what is faulty or gone is kept and marked. No test waits for time."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.errors import BusyError
from aether_protocol.service import Client, connect
from aether_protocol.service.documents.folder import DocumentFolder, FolderReport
from aether_protocol.testing.clock import ManualClock
from tests.unit.service.test_apply import schedule, template, workflow

pytestmark = pytest.mark.rule("RT-128")


class Followed:
    """A folder, the store that it is applied to, and what was reported."""

    def __init__(self, path: Path, client: Client, store: MemoryStore) -> None:
        self.path, self.client, self.store = path, client, store
        self.reports: list[FolderReport] = []
        self.folder = self.again()

    def again(self) -> DocumentFolder:
        """A server that begins anew."""
        return DocumentFolder(str(self.path), self.client, self.store.library, ManualClock(), self.reports.append)

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.path / f"{name}.yaml").write_text(text, "utf-8")

    async def settled(self) -> bool:
        """Two looks in a row."""
        return [await self.folder.look(), await self.folder.look()][-1]

    async def marks(self) -> dict[str, tuple[str, str]]:
        return {f"{one.file}:{one.name}": (one.state, one.detail) for one in await self.store.library.marks()}

    async def versions(self) -> dict[str, int]:
        return {one.name: one.version for one in await self.client.documents.list()}


def follow(path: Path, body: Callable[[Followed], Awaitable[None]], store: MemoryStore | None = None) -> None:
    async def go() -> None:
        kept = store or MemoryStore()
        async with connect(kept) as client:
            await body(Followed(path, client, kept))

    asyncio.run(go())


def test_what_is_there_is_applied_and_what_changes_is_followed(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(flow=workflow(), words=template(), nightly=schedule())
        (tmp_path / "notes.txt").write_text("no document")
        (tmp_path / "notes.yaml").write_text("just: notes\n")
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git" / "old.yaml").write_text(template("old"))
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "more.yaml").write_text(template("more"))
        await it.folder.begin()
        assert await it.versions() == {"flow": 1, "words": 1, "more": 1}
        assert [one.schedule.name for one in await it.client.schedules.list()] == ["nightly"]
        assert await it.marks() == {
            "deep/more.yaml:more": ("applied", ""), "flow.yaml:flow": ("applied", ""),
            "nightly.yaml:nightly": ("applied", ""), "words.yaml:words": ("applied", ""),
        }
        assert not await it.settled(), "nothing has changed"
        it.write(words=template(more="# more\n"))
        assert not await it.folder.look(), "it may still be written"
        assert await it.folder.look()
        assert await it.versions() == {"flow": 1, "words": 2, "more": 1}
        assert [[one.name for one in report.changes] for report in it.reports] == [
            ["flow", "nightly", "words", "more"], ["words"],
        ]
        assert not await it.settled()

    follow(tmp_path, body)


def test_a_file_that_changes_with_every_look_is_waited_for(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(words=template())
        await it.folder.begin()
        for number in range(1, 4):
            it.write(words=template(more="# more\n" * number))
            assert not await it.folder.look()
        assert await it.folder.look()
        assert (await it.client.documents.get("words")).text.count("# more") == 3

    follow(tmp_path, body)


def test_a_faulty_file_keeps_the_version_before_and_holds_up_no_other(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(flow=workflow(), words=template())
        await it.folder.begin()
        broken = "apiVersion: aether/v1\nkind: Nothing\n"
        it.write(flow=workflow("flow", "wrods"), words=template(more="# more\n"), broken=broken)
        assert await it.settled()
        assert await it.versions() == {"flow": 1, "words": 2}
        marks = await it.marks()
        assert marks["words.yaml:words"] == ("applied", "")
        state, detail = marks["flow.yaml:flow"]
        assert state == "faulty"
        assert detail.startswith("flow.yaml:7:")
        assert "(AE203)" in detail
        assert marks["broken.yaml:"][0] == "faulty"
        assert marks["broken.yaml:"][1].startswith("broken.yaml:1:1: ")
        assert set(it.reports[-1].faults) == {"flow.yaml", "broken.yaml"}
        assert not await it.settled(), "it is reported once"
        again = it.again()
        await again.begin()
        assert await it.marks() == marks, "also after a restart"
        it.write(flow=workflow())
        (it.path / "broken.yaml").unlink()
        assert await it.settled()
        assert await it.marks() == {"flow.yaml:flow": ("applied", ""), "words.yaml:words": ("applied", "")}

    follow(tmp_path, body)


def test_what_is_gone_from_the_folder_is_kept_and_marked(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(two=f"{workflow()}---\n{workflow('other')}", words=template(), nightly=schedule())
        await it.folder.begin()
        (it.path / "nightly.yaml").unlink()
        it.write(two=workflow())
        assert await it.settled()
        assert await it.versions() == {"flow": 1, "other": 1, "words": 1}
        marks = await it.marks()
        assert {name for name, (state, _) in marks.items() if state == "gone"} == {"two.yaml:other", "nightly.yaml:nightly"}
        await it.client.documents.remove("other")
        await it.client.schedules.remove("nightly")
        it.write(moved=workflow("moved"))
        assert await it.settled()
        assert set(await it.marks()) == {"two.yaml:flow", "words.yaml:words", "moved.yaml:moved"}
        (it.path / "moved.yaml").rename(it.path / "elsewhere.yaml")
        assert await it.settled()
        assert (await it.marks())["elsewhere.yaml:moved"] == ("applied", "")
        assert "moved.yaml:moved" not in await it.marks()

    follow(tmp_path, body)


def test_a_folder_behind_a_link_is_switched_at_once(tmp_path: Path) -> None:
    """As git-sync does with a checkout, and Kubernetes with the files of a ConfigMap."""
    for revision, text in (("one", template()), ("two", template(more="# more\n"))):
        (tmp_path / revision).mkdir()
        (tmp_path / revision / "words.yaml").write_text(text)
    (tmp_path / "current").symlink_to("one")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "..data").symlink_to(tmp_path / "one")
    (mounted / "words.yaml").symlink_to("..data/words.yaml")

    def switch(link: Path, to: Path) -> None:
        link.with_name("..new").symlink_to(to)
        os.replace(link.with_name("..new"), link)

    async def checkout(it: Followed) -> None:
        await it.folder.begin()
        switch(tmp_path / "current", tmp_path / "two")
        assert await it.settled()
        assert await it.versions() == {"words": 2}

    async def config_map(it: Followed) -> None:
        await it.folder.begin()
        switch(mounted / "..data", tmp_path / "two")
        assert await it.settled()
        assert await it.versions() == {"words": 2}

    follow(tmp_path / "current", checkout)
    follow(mounted, config_map)


def test_a_folder_that_is_away_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.mkdir()

    async def body(it: Followed) -> None:
        it.write(words=template())
        await it.folder.begin()
        shutil.rmtree(path)
        await it.settled()
        assert await it.versions() == {"words": 1}
        path.mkdir()
        it.write(words=template(more="# more\n"))
        assert await it.settled()
        assert await it.versions() == {"words": 2}
        assert await it.marks() == {"words.yaml:words": ("applied", "")}

    follow(path, body)


def test_a_change_that_would_break_what_is_stored_is_that_files_fault(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(words=template(), more=template("more"))
        await it.folder.begin()
        await it.client.documents.apply(workflow("mine"))
        it.write(words=template("words", "speak"), more=template("more", more="# more\n"))
        assert await it.settled()
        assert await it.versions() == {"mine": 1, "words": 1, "more": 2}
        state, detail = (await it.marks())["words.yaml:words"]
        assert state == "faulty"
        assert detail.startswith("words.yaml: store:default/mine@1:7:")

    follow(tmp_path, body)


def test_a_schedule_that_runs_something_else_is_replaced_and_text_that_is_not_text_has_its_place(tmp_path: Path) -> None:
    async def body(it: Followed) -> None:
        it.write(words=template(), nightly=schedule())
        await it.folder.begin()
        it.write(nightly=schedule().replace("name: a,", "name: b,"))
        (it.path / "bad.yaml").write_bytes(b"apiVersion: aether/v1\nkind: \xff\n")
        assert await it.settled()
        assert (await it.client.schedules.get("nightly")).schedule.generation == 2
        assert (await it.marks())["bad.yaml:"] == ("faulty", "bad.yaml:2: it is not UTF-8 text")

    follow(tmp_path, body)


def test_where_the_store_is_busy_the_next_look_tries_again(tmp_path: Path) -> None:
    store = MemoryStore()
    put = store.library.put
    busy = [True]

    async def put_later(*given: object, **more: object) -> object:
        if busy.pop() if busy else False:
            raise BusyError("another process changes the schedule")
        return await put(*given, **more)  # type: ignore[arg-type]

    store.library.put = put_later  # type: ignore[assignment,method-assign]

    async def body(it: Followed) -> None:
        it.write(words=template())
        with pytest.raises(BusyError):
            await it.folder.begin()
        await it.folder.begin()
        assert await it.versions() == {"words": 1}

    follow(tmp_path, body, store)
