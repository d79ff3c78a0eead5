"""The table of attempts in a real Redis: what its scripts let happen, and what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aether_protocol.adapters.brokers.celery.address import read_address
from aether_protocol.adapters.brokers.celery.table import TTL_MS, AttemptTable, LogPiece, RedisAwayError, log_call
from tests.redis_server import needs_redis, shared_server

pytestmark = pytest.mark.rule("RT-149")

KEY = "run-1/main.t"


@pytest.fixture(autouse=True)
def _redis() -> None:
    needs_redis()


class Hand:
    """An engine (`side`) and workers (sessions), as the table sees them."""

    def __init__(self, table: AttemptTable) -> None:
        self.table = table

    async def put(self, token: str, *, attempt: int = 1, epoch: int = 0, side: str = "engine") -> tuple[str, str]:
        state, now = await self.table.call("put", KEY, epoch, attempt, token, f"work of {token}", side, TTL_MS, "3:aether")
        return state.decode(), now.decode()

    async def begin(self, session: str, lease_ms: int = 60_000) -> None:
        await self.table.call("begin", session, "worker", lease_ms)

    async def dies(self, session: str) -> None:
        """Let the lease of a session end."""
        assert await self.table.call("renew", session, 1) == [1]
        await asyncio.sleep(0.01)

    async def claim(self, token: str, session: str) -> list[str]:
        return [one.decode() for one in await self.table.call("claim", KEY, token, session)]

    async def check(self, token: str) -> str:
        state, _ = await self.table.call("check", KEY, token, "engine")
        return str(state.decode())

    async def held(self, *, attempt: int = 1, epoch: int = 0, side: str = "next") -> str:
        state, *_ = await self.table.call("held", KEY, epoch, attempt, side)
        return str(state.decode())

    async def stops(self, session: str, token: str) -> list[str]:
        lives, *stop = await self.table.call("renew", session, 60_000, KEY, token)
        assert lives == 1
        return [one.decode() for one in stop]

    async def events(self, side: str = "engine") -> list[list[str | int]]:
        return await self.table.events(side)


def on_table(body: Callable[[Hand], Awaitable[None]]) -> None:
    """Run `body` before an empty table."""
    server = shared_server()
    server.command("FLUSHDB", database=1)

    async def go() -> None:
        table = AttemptTable(read_address(f"celery+{server.url(1)}"))
        try:
            async with asyncio.timeout(30):
                await body(Hand(table))
        finally:
            await table.close()

    asyncio.run(go())


def test_a_delivery_is_claimed_once_however_often_its_message_comes() -> None:
    async def body(hand: Hand) -> None:
        assert await hand.put("a1") == ("fresh", "a1")
        await hand.begin("one")
        await hand.begin("two")
        assert await hand.claim("a1", "one") == ["yours", "work of a1", "engine", "0", "1"]
        assert await hand.claim("a1", "two") == ["held"]
        assert await hand.claim("a1", "one") == ["held"]
        assert await hand.claim("b2", "two") == ["gone"], "another token"

    on_table(body)


def test_a_worker_without_a_session_claims_nothing() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        assert await hand.claim("a1", "nobody") == ["late"]
        assert await hand.check("a1") == "waiting"

    on_table(body)


def test_what_a_dead_worker_had_is_lost_once_without_blame() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        await hand.dies("one")
        await hand.begin("two")
        assert await hand.claim("a1", "two") == ["gone"], "its engine offers it again, under another token"
        assert await hand.check("a1") == "lost"
        assert await hand.events() == [["lost", KEY, "a1", "its Celery worker gives no sign of life", 0]]
        assert await hand.put("b2") == ("fresh", "b2")
        assert (await hand.claim("b2", "two"))[0] == "yours"

    on_table(body)


def test_an_engine_that_looks_sees_that_a_worker_is_dead() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        assert await hand.check("a1") == "running"
        await hand.dies("one")
        for _ in range(2):
            await hand.check("a1")
        assert [event[0] for event in await hand.events()] == ["lost"], "once"
        assert await hand.held() == "lost"

    on_table(body)


def test_what_is_dispatched_again_keeps_its_delivery_while_it_waits_and_runs() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        assert await hand.put("b2") == ("waiting", "a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        assert await hand.put("c3", side="next") == ("running", "a1")
        await hand.table.call("result", KEY, "a1", "{}")
        assert await hand.events("next") == [["ended", KEY, "a1"]], "the engine that asked last hears of it"
        assert await hand.put("d4", side="third") == ("ended", "a1")
        assert await hand.events("third") == [["ended", KEY, "a1"]]

    on_table(body)


def test_a_newer_attempt_begins_when_the_one_before_it_has_ended() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        assert await hand.put("b2", attempt=2) == ("after", "b2")
        assert await hand.table.orders("one") == ["a1"]
        assert await hand.stops("one", "a1") == ["a1"], "also where the order was lost"
        assert await hand.claim("b2", "one") == ["gone"]
        assert await hand.put("c3", attempt=1) == ("old", ""), "it comes late"
        assert await hand.check("b2") == "after"
        await hand.table.call("result", KEY, "a1", "{}")
        assert await hand.events() == [["next", KEY, "b2"]], "nothing of the earlier result"
        assert await hand.claim("b2", "one") == ["yours", "work of b2", "engine", "0", "2"]

    on_table(body)


def test_a_newer_attempt_begins_when_the_worker_of_the_one_before_it_is_dead() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        assert await hand.put("b2", epoch=1) == ("after", "b2")
        await hand.dies("one")
        await hand.check("b2")
        assert await hand.events() == [["next", KEY, "b2"]]

    on_table(body)


def test_a_stop_reaches_what_waits_and_what_runs() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.table.call("stop", KEY, 0, 1)
        await hand.begin("one")
        assert await hand.claim("a1", "one") == ["gone"], "its message leads to nothing"
        await hand.put("b2")
        await hand.claim("b2", "one")
        await hand.table.call("stop", KEY, 0, 2)
        assert await hand.stops("one", "b2") == [], "another attempt"
        await hand.table.call("stop", KEY, 0, 1)
        assert await hand.stops("one", "b2") == ["b2"]
        assert await hand.put("c3") == ("after", "c3"), "the same attempt once more, after its stop"
        await hand.table.call("returned", KEY, "b2", "it was stopped", 0)
        assert (await hand.claim("c3", "one"))[0] == "yours"

    on_table(body)


def test_a_next_engine_hears_what_became_of_attempts() -> None:
    async def body(hand: Hand) -> None:
        assert await hand.held() == "unknown"
        await hand.put("a1")
        assert await hand.held(attempt=2) == "unknown"
        assert await hand.held() == "waiting"
        await hand.begin("one")
        await hand.claim("a1", "one")
        assert await hand.held() == "running"
        await hand.table.call("result", KEY, "a1", '{"code": 0}')
        assert await hand.held() == "ended"
        assert await hand.table.fields([KEY], "result") == [[b'{"code": 0}']]
        await hand.table.call("acknowledge", KEY, "a1")
        assert await hand.held() == "unknown"
        assert await hand.table.fields([KEY], "result") == [[None]]
        assert await hand.put("b2", attempt=2) == ("fresh", "b2")

    on_table(body)


def test_what_died_without_an_engine_is_lost_for_the_next_one() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        await hand.table.call("release", KEY, "engine")
        await hand.table.call("died", KEY, "a1", "signal 9", 1, 0)
        assert await hand.held() == "lost"
        assert await hand.held() == "unknown"

    on_table(body)


def test_a_worker_puts_back_what_it_has_where_redis_was_emptied() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.begin("one")
        await hand.claim("a1", "one")
        await hand.table._redis.flushdb()
        assert await hand.check("a1") == "missing"
        await hand.begin("two")
        mine = (KEY, "a1", "two", 0, 1, "work of a1", "engine", TTL_MS)
        assert await hand.table.call("reclaim", *mine) == 1
        assert await hand.check("a1") == "running"
        assert await hand.put("b2") == ("running", "a1")
        await hand.table.call("died", KEY, "a1", "signal 9", 1, 0)
        await hand.put("c3")
        assert await hand.table.call("reclaim", *mine) == 0, "another worker may have it by now"

    on_table(body)


def test_a_log_has_bounded_room_and_keeps_its_order() -> None:
    async def body(hand: Hand) -> None:
        pieces = [LogPiece("a1", 0, 1, "stdout", number, 1, "x") for number in range(520)]
        answers = await hand.table.run([log_call(KEY, one) for one in pieces])
        assert (answers.count(1), answers.count(0)) == (512, 8)
        assert await hand.table.pieces(KEY, 510, 5) == pieces[510:512]
        assert not await hand.table.trim(KEY, 500, pieces[1].name), "it begins with another piece"
        assert await hand.table.trim(KEY, 500, pieces[0].name)
        assert await hand.table.pieces(KEY, 0, 100) == pieces[500:512]
        assert await hand.table.call(*_flat(log_call(KEY, pieces[512]))) == 1

    on_table(body)


def test_scripts_that_redis_has_forgotten_come_again() -> None:
    async def body(hand: Hand) -> None:
        await hand.put("a1")
        await hand.table._redis.script_flush()
        assert await hand.put("b2") == ("waiting", "a1")
        await hand.table._redis.script_flush()
        assert await hand.table.run([("check", (KEY, "a1", "")), ("check", ("run-1/other", "a1", ""))]) == [
            [b"waiting", 0],
            [b"missing", 0],
        ]

    on_table(body)


def test_a_redis_that_is_not_there_is_away() -> None:
    async def go() -> None:
        table = AttemptTable(read_address("celery+redis://:secret@127.0.0.1:1/0"))
        try:
            with pytest.raises(RedisAwayError, match=r"Redis at 127\.0\.0\.1:1/0 does not answer") as caught:
                await table.call("check", KEY, "a1", "")
            assert "secret" not in caught.value.message
        finally:
            await table.close()

    asyncio.run(go())


def _flat(call: Any) -> tuple[Any, ...]:
    name, arguments = call
    return name, *arguments
