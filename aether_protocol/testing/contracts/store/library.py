"""What every store must keep (the Store port): the library.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from hashlib import sha256

from aether_protocol.errors import BusyError, ChangedError, UsageError
from aether_protocol.ports.store import DocumentMark, NewDocument, Store, schedules_of
from aether_protocol.ports.store.schedules import ScheduleWrite
from aether_protocol.testing.contracts.store.schedules import new_schedule
from aether_protocol.testing.contracts.store.tools import (
    Contract,
    put_document,
    refused,
    tiny_plan,
)


def mark(file: str, kind: str, name: str, state: str, *, at: int, detail: str = "") -> DocumentMark:
    namespace = "default" if name else ""
    return DocumentMark(file=file, kind=kind, namespace=namespace, name=name, state=state, detail=detail, at=at)


class LibraryContract(Contract):
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
            assert await store.library.get("WorkflowTemplate", "default", "lib", version=2) == second
            assert await store.library.get("WorkflowTemplate", "default", "lib", second.digest, 3) is None
            assert await store.library.get("WorkflowTemplate", "default", "lib", version=4) is None
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
            page = await store.library.newest(limit=2)
            assert [(one.kind, one.name) for one in page] == [("C", "c"), ("T", "a")]
            after = (page[1].kind, page[1].namespace, page[1].name)
            assert [one.name for one in await store.library.newest(after=after, limit=9)] == ["a", "b"]
            assert [one.name for one in await store.library.newest("T", "ops", after=after, limit=1)] == ["a"]
            assert not await store.library.remove([("T", "ops", "a"), ("T", "ops", "x")])
            assert await listed("T", "ops") == ["T/ops/a", "T/ops/b"], "all or none"
            assert await store.library.remove([("T", "ops", "a"), ("C", "ops", "c")])
            assert not await store.library.remove([("T", "ops", "a")])
            assert await store.library.get("T", "ops", "a") is None
            assert await listed("T", "ops") == ["T/ops/b"]

        self.play(body)

    def test_documents_and_schedules_are_put_together(self) -> None:
        async def body(store: Store) -> None:
            if store.schedules is None:
                return
            schedules = schedules_of(store)
            nightly = ScheduleWrite(new_schedule("nightly"), tiny_plan())
            assert len(await store.library.put([NewDocument("T", "default", "a", "one")], 1, [nightly])) == 1
            first = await schedules.get("default", "nightly")
            assert first is not None
            assert (first.version, (await schedules.plan("default", "nightly")).name) == (1, tiny_plan().name)
            first.seen = 77
            assert await store.library.put([], 2, [ScheduleWrite(first)]) == []
            second = await schedules.get("default", "nightly")
            assert second is not None
            assert (second.seen, second.version) == (77, 2)

        self.play(body)

    def test_where_one_schedule_is_refused_nothing_is_put(self) -> None:
        async def body(store: Store) -> None:
            if store.schedules is None:
                return
            schedules = schedules_of(store)
            old = await schedules.put(new_schedule("old"), tiny_plan())
            await schedules.put(old)  # another was first: `old` is of a version that is over
            documents = [NewDocument("T", "default", "a", "one")]
            fresh = ScheduleWrite(new_schedule("fresh"), tiny_plan())
            for bad in (ScheduleWrite(old), ScheduleWrite(new_schedule("old"), tiny_plan())):
                await refused(store.library.put(documents, 1, [fresh, bad]), BusyError)
            await refused(store.library.put(documents, 1, [fresh, ScheduleWrite(new_schedule("planless"))]), UsageError)
            assert await store.library.newest() == []
            assert [one.name for one in await schedules.find()] == ["old"]

        self.play(body)

    def test_what_was_decided_on_an_older_revision_is_not_written(self) -> None:
        async def body(store: Store) -> None:
            one, two = NewDocument("T", "default", "a", "one"), NewDocument("T", "default", "a", "two")
            key = ("T", "default", "a")
            seen = [await store.library.revision()]

            async def changed() -> str:
                revision = await store.library.revision()
                assert revision not in seen
                await refused(store.library.put([NewDocument("T", "ops", "b", "x")], 9, revision=seen[-1]), ChangedError)
                await refused(store.library.remove([key], revision=seen[-1]), ChangedError)
                assert await store.library.revision() == revision, "nothing was written"
                seen.append(revision)
                return revision

            await store.library.put([one], 1, revision=seen[0])
            await store.library.put([two], 2, revision=await changed())
            await store.library.put([two], 3, revision=await changed())
            assert await store.library.revision() == seen[-1], "it is the newest version already"
            await store.library.mark([])
            assert await store.library.revision() == seen[-1]
            if store.schedules is not None:
                await store.schedules.put(new_schedule("nightly"), tiny_plan())
                await changed()
            assert await store.library.remove([key], revision=seen[-1])
            await store.library.put([one], 4, revision=await changed())
            await store.library.put([two], 5, revision=await store.library.revision())

        self.play(body)

    def test_marks_say_what_became_of_the_documents_of_a_folder(self) -> None:
        async def body(store: Store) -> None:
            first = mark("b.yaml", "T", "x", "applied", at=1)
            other = mark("a.yaml", "", "", "faulty", at=1, detail="a.yaml:1:1: ü")
            await store.library.mark([first, other])
            assert await store.library.marks() == [other, first]
            gone = mark("b.yaml", "T", "x", "gone", at=2)
            await store.library.mark([gone], [other])
            assert await store.library.marks() == [gone]
            await store.library.mark([], [other])
            assert await store.library.marks() == [gone]

        self.play(body)
