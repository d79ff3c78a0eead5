"""Tokens: made once, kept without their text, compared whole, and over when they expire or are revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.errors import ForbiddenError, NotFoundError, UsageError
from aether_protocol.service.access.administration import AccessAdministration
from aether_protocol.service.access.caller import EVERYWHERE, Caller
from aether_protocol.service.access.tokens import LATE_US, REMEMBERED_US, TOKEN, USES_WRITTEN_US, StoredTokens
from aether_protocol.testing.clock import ManualClock

SECOND = 1_000_000


class Counted(MemoryStore):
    """Counts the writes of last uses."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        used = self.tokens.used

        async def counted(times: Any) -> None:
            self.writes += 1
            await used(times)

        self.tokens.used = counted  # type: ignore[method-assign]


Body = Callable[[Counted, ManualClock, AccessAdministration, StoredTokens], Awaitable[None]]


def play(body: Body) -> None:
    store, clock = Counted(), ManualClock()
    asyncio.run(body(store, clock, AccessAdministration(store, clock), StoredTokens(store.tokens, clock)))  # type: ignore[arg-type]


def test_a_token_is_known_by_its_whole_text() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        made = await admin.create_token("person", "Zoë", {"ops": "author", "default": "viewer"})
        assert TOKEN.fullmatch(made.text)
        caller = await tokens.caller(made.text)
        assert caller is not None
        assert (caller.name, caller.kind, caller.token) == ("Zoë", "person", made.token.id)
        assert caller.may("author", "ops")
        assert not caller.may("admin", "ops")
        assert not caller.may("operator", "default")
        other = (await admin.create_token("person", "b", {"ops": "viewer"})).text
        mixed = f"aeth_{made.token.id}_{other.rsplit('_', 1)[1]}"
        for wrong in (made.text[:-1], made.text + "A", made.text.upper(), mixed, made.token.id, "", "aeth_", made.token.digest):
            assert await tokens.caller(wrong) is None
        assert made.text not in repr(await store.tokens.list())
        assert made.text not in repr(await store.audit.read())
        assert made.text.rsplit("_", 1)[1] not in repr(store.__dict__)

    play(body)


def test_a_token_ends_when_it_expires_or_is_revoked() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        short = await admin.create_token("person", "a", {"ops": "viewer"}, expires_at=clock.wall() + 10 * SECOND)
        long = await admin.create_token("person", "b", {"ops": "viewer"})
        assert await tokens.caller(short.text) is not None
        clock.advance(clock.now() + 10 * SECOND)
        assert await tokens.caller(short.text) is None
        assert await tokens.caller(long.text) is not None
        await admin.revoke_token(long.token.id)
        clock.advance(clock.now() + REMEMBERED_US)
        assert await tokens.caller(long.text) is None
        with pytest.raises(UsageError, match="revoked before"):
            await admin.revoke_token(long.token.id)
        with pytest.raises(NotFoundError):
            await admin.revoke_token("unknown")

    play(body)


@pytest.mark.rule("RT-147")
def test_the_token_of_a_worker_counts_an_hour_longer_for_what_it_has_unless_it_is_revoked() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        first, other = [
            await admin.create_token("worker", name, {"ops": "worker"}, expires_at=clock.wall() + 10 * SECOND)
            for name in ("a", "b")
        ]
        assert (await tokens.caller(first.text)).late_s is None  # type: ignore[union-attr]
        clock.advance(clock.now() + 10 * SECOND)
        assert (await tokens.caller(first.text)).late_s == 3600  # type: ignore[union-attr]
        clock.advance(clock.now() + LATE_US - SECOND)
        assert (await tokens.caller(first.text)).late_s == 1  # type: ignore[union-attr]
        await admin.revoke_token(other.token.id)
        assert await tokens.caller(other.text) is None
        clock.advance(clock.now() + SECOND)
        assert await tokens.caller(first.text) is None

    play(body)


def test_last_uses_are_written_now_and_then() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        made = await admin.create_token("service", "ci", {"ops": "operator"})
        for _ in range(120):
            assert await tokens.caller(made.text) is not None
            clock.advance(clock.now() + SECOND)
        assert store.writes <= 120 * SECOND // USES_WRITTEN_US + 1
        assert (await admin.tokens())[0].used_at is not None
        last = clock.wall()
        await tokens.caller(made.text)
        await tokens.write_uses()
        assert (await admin.tokens())[0].used_at == last

    play(body)


@pytest.mark.parametrize(
    ("kind", "name", "roles", "pools", "lasts"),
    [
        ("robot", "a", {"ops": "viewer"}, (), None),
        ("person", "", {"ops": "viewer"}, (), None),
        ("person", "a\nb", {"ops": "viewer"}, (), None),
        ("person", "a\x1b[31m", {"ops": "viewer"}, (), None),
        ("person", "a" * 101, {"ops": "viewer"}, (), None),
        ("person", "a", {}, (), None),
        ("person", "a", {"ops": "owner"}, (), None),
        ("person", "a", {"ops": "worker"}, (), None),
        ("person", "a", {"o/ps": "viewer"}, (), None),
        ("worker", "a", {"ops": "admin"}, (), None),
        ("person", "a", {"ops": "viewer"}, ("gpu",), None),
        ("person", "a", {"ops": "viewer"}, (), 0),
        ("person", "a", {"ops": "viewer"}, (), 1 << 60),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    kind: str, name: str, roles: dict[str, str], pools: tuple[str, ...], lasts: int | None
) -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        expires_at = None if lasts is None else clock.wall() + lasts
        with pytest.raises(UsageError):
            await admin.create_token(kind, name, roles, pools=pools, expires_at=expires_at)
        assert await store.tokens.list() == []

    play(body)


def test_no_admin_gives_away_more_than_it_has() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        whole = await admin.create_token("person", "root", {EVERYWHERE: "admin"})
        theirs = await admin.create_token("person", "their admin", {"theirs": "admin"})
        both = await admin.create_token("person", "both", {"ours": "viewer", "theirs": "viewer"})
        alice = Caller(name="alice", kind="person", roles={"ours": "admin"}, token="t")
        ours = AccessAdministration(store, clock, alice)  # type: ignore[arg-type]
        for roles in ({EVERYWHERE: "viewer"}, {"theirs": "viewer"}, {"ours": "viewer", "theirs": "viewer"}):
            with pytest.raises(ForbiddenError):
                await ours.create_token("person", "x", roles)
        for one in (whole, theirs, both):
            with pytest.raises(NotFoundError):
                await ours.revoke_token(one.token.id)
        made = await ours.create_token("worker", "w", {"ours": "worker"})
        assert [one.id for one in await ours.tokens()] == [made.token.id]
        await ours.revoke_token(made.token.id)
        for call in (ours.declare_namespace, ours.remove_namespace):
            with pytest.raises(ForbiddenError):
                await call("ours")
        with pytest.raises(ForbiddenError):
            await ours.audit()
        with pytest.raises(ForbiddenError):
            await ours.audit(namespace="theirs")
        actions = [(one.action, one.outcome) for one in await ours.audit(namespace="ours")]
        assert actions.count(("tokens.create", "forbidden")) == 1
        assert actions[:2] == [("tokens.revoke", "ok"), ("tokens.create", "ok")]
        low = AccessAdministration(store, clock, Caller(name="bob", kind="person", roles={"ours": "author"}))  # type: ignore[arg-type]
        with pytest.raises(ForbiddenError):
            await low.create_token("person", "x", {"ours": "viewer"})
        assert await low.tokens() == []

    play(body)


def test_namespaces_are_declared_by_admins_of_all() -> None:
    async def body(store: Counted, clock: ManualClock, admin: AccessAdministration, tokens: StoredTokens) -> None:
        assert await admin.declare_namespace("ours", weight=2)
        assert not await admin.declare_namespace("ours", limit=5)
        for wrong in ("", "a/b", "*", "a" * 64, "a b", "ü"):
            with pytest.raises(UsageError):
                await admin.declare_namespace(wrong)
        with pytest.raises(UsageError):
            await admin.declare_namespace("ours", weight=0)
        await admin.declare_namespace("theirs")
        viewer = Caller(name="v", kind="person", roles={"ours": "viewer"})
        seen = await AccessAdministration(store, clock, viewer).namespaces()  # type: ignore[arg-type]
        assert [(one.name, one.weight, one.limit) for one in seen] == [("ours", 1, 5)]
        await admin.remove_namespace("theirs")
        with pytest.raises(NotFoundError):
            await admin.remove_namespace("theirs")

    play(body)
