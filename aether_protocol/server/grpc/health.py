"""Health checks (grpc.health.v1): whether requests are taken, for the server and for each of its services.

Nothing here waits for a reader: who watches and does not read holds nothing up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

HEALTH: Final = "grpc.health.v1.Health"
MOST_WATCHERS: Final = 100
_Answer = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers checks and watches.

    Args:
        services: the names that may be asked for; the empty one is the server.
    """

    def __init__(self, services: list[str]) -> None:
        self._names = frozenset(("", *services))
        self._is_ready = False
        self._watchers = 0
        self._changed = asyncio.Event()

    def set_ready(self, ready: bool) -> None:
        """Say from now on whether requests are taken."""
        self._is_ready = ready
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the method
        """Answer at once."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return self._answer(request.service)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - as above
        """Answer at once, and with each change."""
        if self._watchers >= MOST_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already: ask by Check")
        self._watchers += 1
        try:
            while True:
                changed = self._changed
                yield self._answer(request.service)
                await changed.wait()
        finally:
            self._watchers -= 1

    def _answer(self, service: str) -> Any:
        if service not in self._names:
            return _Answer(status=_Answer.SERVICE_UNKNOWN)
        return _Answer(status=_Answer.SERVING if self._is_ready else _Answer.NOT_SERVING)
