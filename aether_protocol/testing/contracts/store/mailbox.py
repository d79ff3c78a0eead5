"""What every store must keep (the Store port): requests.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

import asyncio
import contextlib

from aether_protocol.ports.store import Request, Store
from aether_protocol.testing.contracts.store.tools import (
    Contract,
    new_run,
)


class MailboxContract(Contract):
    """Requests to the engine that drives a run, from others."""

    def test_a_request_reaches_the_owner_and_its_answer_comes_back(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", ttl=10))
            await store.runs.create(new_run("b", owner="you", ttl=10))
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
            await store.runs.create(new_run("a", owner="dead", ttl=10))
            asked = await store.mailbox.post("a", {})
            await self.pass_time(10)
            await store.leases.claim("successor", 10, run_ids=["a"])
            assert await store.mailbox.requests("dead") == []
            assert [item.id for item in await store.mailbox.requests("successor")] == [asked]

        self.play(body)

    def test_a_request_is_withdrawn_before_its_answer_only(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a", owner="me", ttl=10))
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
            await store.runs.create(new_run("a", owner="me", ttl=10))
            asked = await store.mailbox.post("a", {})
            assert await store.mailbox.requests("you") == []
            assert [item.id for item in await store.mailbox.requests("me")] == [asked]
            assert not await store.mailbox.withdraw(asked)
            await self.pass_time(10)
            await store.leases.claim("successor", 10, run_ids=["a"])
            assert [item.id for item in await store.mailbox.requests("successor")] == [asked], "it is not answered yet"
            await store.mailbox.answered(asked, {"done": True})
            assert await store.mailbox.answer(asked) == {"done": True}

        self.play(body)

    def test_who_listens_hears_of_questions_and_answers_where_the_store_gives_hints(self) -> None:
        async def body(store: Store) -> None:
            heard = asyncio.Event()
            deaf = await store.mailbox.listen(heard.set)
            if deaf is None:
                return
            await store.runs.create(new_run("r", owner="a"))
            other = await self.client(store)
            for _ in range(100):  # it may be that it does not listen yet
                number = await other.mailbox.post("r", {"kind": "cancel"})
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(heard.wait(), 0.2)
                    break
            assert heard.is_set()
            heard.clear()
            await other.mailbox.answered(number, {"done": True})
            await asyncio.wait_for(heard.wait(), 20)
            deaf()
            if other is not store:
                await other.close()

        self.play(body)
