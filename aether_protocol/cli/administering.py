"""Tokens, namespaces and the audit as commands look after them: over the store, as its operator, or over a server.

Law: the text of a token goes to standard output once, when it is made, and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.stored import existing, open_at
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import MEMORY

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store
    from aether_protocol.service.access.administration import AccessAdministration
    from aether_protocol.service.remote.administration import RemoteAdministration

    Administration = AccessAdministration | RemoteAdministration

_Result = TypeVar("_Result")


def administer(
    url: str, body: Callable[[Administration], Awaitable[_Result]], *, writes: bool = False, makes: bool = False
) -> _Result:
    """Ask what looks after the store at `url`.

    Args:
        url: of the store or the server.
        body: asks.
        writes: it changes something.
        makes: the store is made where it is not there yet.
    """
    if url == MEMORY:
        raise UsageError("the store 'memory' ends with its process: nothing can be kept there", hint="leave --store out")

    async def go() -> _Result:
        if is_server_url(url):
            return await _ask(url, body)
        if makes:
            store = open_at(url)
            try:
                return await body(_of(store))
            finally:
                await store.close()
        async with existing(url, writes=writes) as there:
            return await body(_of(there))

    return asyncio.run(go())


async def _ask(url: str, body: Callable[[Administration], Awaitable[_Result]]) -> _Result:
    from aether_protocol.service.remote.administration import RemoteAdministration
    from aether_protocol.service.remote.calls import ServerCalls

    token = os.environ.get("AETHER_TOKEN") or None
    calls = ServerCalls(url, token=token, verify=True, patience_s=0.0, transport=None)
    try:
        return await body(RemoteAdministration(calls))
    finally:
        await calls.close()


def _of(store: Store) -> AccessAdministration:
    from aether_protocol.engine.clock import WallClock
    from aether_protocol.service.access.administration import AccessAdministration

    return AccessAdministration(store, WallClock())
