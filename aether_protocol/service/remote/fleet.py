"""The workers of the servers of a store, for operators."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from aether_protocol.service.remote.calls import ServerCalls, path_of

DRAIN_S = 600.0  # how long the attempts of a drained worker may continue


class _WorkersBody(Struct):
    workers: list[dict[str, Any]]
    waiting: dict[str, int]
    unreachable: list[str] = []


class _DrainedBody(Struct):
    drained: int
    unreachable: list[str] = []


class _ServersBody(Struct):
    servers: list[dict[str, Any]]
    free: int


class RemoteFleet:
    """Look after the workers, and see which servers there are. A store has no workers of its own, so
    `service.client.Client` does not have this.

    Args:
        calls: asks the server.
    """

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def workers(self) -> dict[str, Any]:
        """Give `workers`, those of all servers of its store, each with what it carries out; `waiting`: how many attempts wait,
        by the reason; and `unreachable`: the servers that did not answer.

        Raises:
            ForbiddenError: the caller is not an admin of all namespaces.
        """
        found: dict[str, Any] = to_builtins(await self._calls.get(path_of("workers"), _WorkersBody))
        return found

    async def servers(self) -> dict[str, Any]:
        """Give `servers`, those of the store with how many runs each drives, and `free`: runs that none of them drives yet.

        Raises:
            ForbiddenError: the caller may not read all namespaces.
        """
        found: dict[str, Any] = to_builtins(await self._calls.get(path_of("servers"), _ServersBody))
        return found

    async def drain(self, name: str, grace_s: float = DRAIN_S) -> dict[str, Any]:
        """Give the workers of that name no more work, at whichever server of its store they are: `drained` is how many there
        are, `unreachable` the servers that did not answer.

        Args:
            name: of the worker.
            grace_s: how long its attempts may continue.

        Raises:
            UsageError: there is none.
            PortError: there is none at the servers that answer.
        """
        body = {"graceSeconds": grace_s}
        _, done = await self._calls.send("POST", path_of("workers", name, "drain"), body, _DrainedBody)
        found: dict[str, Any] = to_builtins(done)
        return found
