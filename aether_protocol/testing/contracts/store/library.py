"""What every store must keep (the Store port): the library.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from hashlib import sha256

from aether_protocol.ports.store import NewDocument, Store
from aether_protocol.testing.contracts.store.tools import (
    Contract,
    put_document,
)


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
