"""Tokens, namespaces and the audit as commands look after them: over the store, as its operator.

Law: the text of a token goes to standard output once, when it is made, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from aether_protocol.cli.stored import existing, open_at
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import MEMORY

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store
    from aether_protocol.service.access.administration import AccessAdministration

_Result = TypeVar("_Result")


def administer(
    url: str, body: Callable[[AccessAdministration], Awaitable[_Result]], *, writes: bool = False, makes: bool = False
) -> _Result:
    """Ask what looks after the store at `url`.

    Args:
        url: of the store.
        body: asks.
        writes: it changes something.
        makes: the store is made where it is not there yet.
    """
    if url == MEMORY:
        raise UsageError("the store 'memory' ends with its process: nothing can be kept there", hint="leave --store out")

    async def go() -> _Result:
        if makes:
            store = open_at(url)
            try:
                return await body(_of(store))
            finally:
                await store.close()
        async with existing(url, writes=writes) as there:
            return await body(_of(there))

    return asyncio.run(go())


def _of(store: Store) -> AccessAdministration:
    from aether_protocol.engine.clock import WallClock
    from aether_protocol.service.access.administration import AccessAdministration

    return AccessAdministration(store, WallClock())
