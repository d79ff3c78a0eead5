"""What every store must keep (the Store port): tokens, namespaces and the audit.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from msgspec.structs import replace

from aether_protocol.errors import ConflictError
from aether_protocol.ports.store import AccessToken, AuditRecord, NamespaceEntry, NewRun, Store
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.testing.contracts.store.tools import Contract, put_document, row, tiny_plan


def token(id_: str, at: int = 1) -> AccessToken:
    """A token of two namespaces."""
    roles = {"default": "viewer", "ops": "admin"}
    return AccessToken(id=id_, name=f"for {id_} ü", kind="person", roles=roles, digest="0" * 64, created_at=at)


def record(action: str, namespace: str = "", at: int = 1) -> AuditRecord:
    """What a caller did at second 1."""
    return AuditRecord(at=at, actor="alice", kind="person", action=action, namespace=namespace, target="t", detail="ü\n")


class AccessContract(Contract):
    """Tokens, namespaces and the audit."""

    def test_tokens_are_kept_whole(self) -> None:
        async def body(store: Store) -> None:
            plain = token("b")
            worker = replace(token("a"), kind="worker", pools=("gpu", "large"), expires_at=10)
            await store.tokens.add(plain)
            await store.tokens.add(worker)
            assert await store.tokens.get("b") == plain
            assert await store.tokens.list() == [worker, plain]
            assert await store.tokens.get("c") is None
            try:
                await store.tokens.add(replace(plain, name="another"))
            except ConflictError:
                pass
            else:
                raise AssertionError("the id was given twice")
            assert await store.tokens.get("b") == plain

        self.play(body)

    def test_a_token_is_revoked_once_and_stays(self) -> None:
        async def body(store: Store) -> None:
            await store.tokens.add(token("a"))
            assert await store.tokens.revoke("a", 5)
            assert not await store.tokens.revoke("a", 6)
            assert not await store.tokens.revoke("b", 6)
            assert await store.tokens.list() == [replace(token("a"), revoked_at=5)]

        self.play(body)

    def test_the_last_use_only_grows(self) -> None:
        async def body(store: Store) -> None:
            for id_ in ("a", "b"):
                await store.tokens.add(token(id_))
            await store.tokens.used({})
            await store.tokens.used({"a": 5, "unknown": 7})
            await store.tokens.used({"a": 4, "b": 9})
            assert [one.used_at for one in await store.tokens.list()] == [5, 9]

        self.play(body)

    def test_namespaces_are_declared_and_changed(self) -> None:
        async def body(store: Store) -> None:
            first = NamespaceEntry(name="ops", created_at=1)
            assert await store.namespaces.put(first)
            assert not await store.namespaces.put(NamespaceEntry(name="ops", created_at=2, weight=3, limit=10))
            assert await store.namespaces.put(NamespaceEntry(name="default", created_at=3))
            assert await store.namespaces.get("ops") == NamespaceEntry(name="ops", created_at=1, weight=3, limit=10)
            assert [one.name for one in await store.namespaces.list()] == ["default", "ops"]
            assert await store.namespaces.get("dev") is None

        self.play(body)

    def test_a_namespace_that_is_used_stays(self) -> None:
        async def body(store: Store) -> None:
            for name in ("empty", "runs", "texts"):
                await store.namespaces.put(NamespaceEntry(name=name, created_at=1))
            header = RunHeader("r", 1, None, {}, {}, 7)
            await store.runs.create(NewRun(replace(row("r"), namespace="runs"), tiny_plan(), header))
            await put_document(store, "T", "texts", "a", "one", 1)
            assert await store.namespaces.remove("empty")
            assert not await store.namespaces.remove("empty")
            for name in ("runs", "texts"):
                try:
                    await store.namespaces.remove(name)
                except ConflictError:
                    continue
                raise AssertionError(f"{name} was removed")
            await store.runs.delete(["r"])
            assert await store.namespaces.remove("runs")
            assert [one.name for one in await store.namespaces.list()] == ["texts"]

        self.play(body)

    def test_the_audit_is_read_by_pages_newest_first(self) -> None:
        async def body(store: Store) -> None:
            await store.audit.write([])
            await store.audit.write([record("a", "ops"), record("b", "default")])
            await store.audit.write([record("c", "ops")])
            found = await store.audit.read()
            assert [one.action for one in found] == ["c", "b", "a"]
            assert [replace(one, id=0) for one in found[2:]] == [record("a", "ops")]
            assert found[0].id > found[1].id > found[2].id > 0
            assert await store.audit.read(limit=1) == found[:1]
            assert await store.audit.read(before=found[0].id, limit=1) == found[1:2]
            assert [one.action for one in await store.audit.read(namespace="ops")] == ["c", "a"]
            assert await store.audit.read(namespace="dev") == []

        self.play(body)

    def test_the_audit_is_bounded_and_no_number_comes_twice(self) -> None:
        async def body(store: Store) -> None:
            await store.audit.write([record(str(at), at=at) for at in range(1, 11)])
            newest = (await store.audit.read(limit=1))[0].id
            assert await store.audit.drop(older_than=3, most=100) == 2
            assert await store.audit.drop(older_than=0, most=5) == 3
            assert [one.action for one in await store.audit.read()] == ["10", "9", "8", "7", "6"]
            assert await store.audit.drop(older_than=100, most=5) == 5
            await store.audit.write([record("after")])
            assert (await store.audit.read())[0].id > newest

        self.play(body)

    def test_one_namespace_pushes_no_record_of_another_out_of_the_audit(self) -> None:
        async def body(store: Store) -> None:
            done = [record(f"a{number}", "ops") for number in range(2)]
            refused = [replace(record(f"r{number}", "made-up"), outcome="forbidden", token="t1") for number in range(2)]
            await store.audit.write([*done, *refused])
            await store.audit.write([record(f"b{number}", "dev") for number in range(10)])
            many = [record(f"x{number}", f"space-{number}") for number in range(10)]
            await store.audit.write([replace(one, outcome="not-found", token="t2") for one in many])
            assert await store.audit.drop(older_than=0, most=3) == 14
            kept = [one.action for one in await store.audit.read()]
            assert kept == ["x9", "x8", "x7", "b9", "b8", "b7", "r1", "r0", "a1", "a0"]
            assert await store.audit.drop(older_than=0, most=3) == 0

        self.play(body)
