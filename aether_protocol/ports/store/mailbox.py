"""The mailbox: what is asked of the engine that drives a run (resume, cancel), by callers that do not drive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from aether_protocol.expressions.values import Json


class Request(Struct):
    """What a caller that does not drive the run asks of the engine that does (resume, cancel)."""

    id: int
    run_id: str
    request: Json


class MailboxStore(Protocol):
    """Requests to the engine that drives a run; delivered at least once, answered once."""

    async def post(self, run_id: str, request: Json) -> int:
        """Ask; the request's id. An unknown run is a UsageError."""
        ...

    async def requests(self, owner: str) -> list[Request]:
        """What is asked of the runs of `owner` and not answered yet, oldest first. From now on none of it can be withdrawn."""
        ...

    async def answered(self, id_: int, answer: Json) -> None:
        """Answer a request (not with None). The first answer counts."""
        ...

    async def answer(self, id_: int) -> Json | None:
        """The answer, once it is there; reading it ends the request. None: not yet."""
        ...

    async def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        """Call `heard` soon after something may have been asked or answered, until what is returned is called.

        A hint: it may come for nothing, or not at all, so that who listens still looks now and then. None: this store gives
        none.
        """
        ...

    async def withdraw(self, id_: int) -> bool:
        """Withdraw a request that no engine has been given; False if one has, or it is answered or unknown."""
        ...
