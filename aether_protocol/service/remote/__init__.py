"""The Client over HTTP: the same questions, asked of a server.

Theory of operation. Each method is one request (docs/reference/http-api.md), its answer read strictly by the structs of
`service.wire`; an error comes back as the class that the server raised, with its message, hint and findings. Feeds are read as
server-sent events: where the connection breaks in mid-stream (a server that restarts) it is made again and resumed after the
last message that came whole, so that nothing is lost and nothing comes twice. A server that does not answer is a PortError;
for how long a feed or a wait puts up with that is `patience_s`. What changes something is sent once and never repeated here,
but for `submit_once`, whose key keeps a repetition from a second run (a server that is not there at all is an error at once).
This package alone knows HTTP; it needs httpx2 (the extra `[server]`).

    calls      one request and its answer; feeds that are resumed      sse        messages of an event stream
    runs, inspector, control, schedules, documents, store              the parts of a client
    fleet      the workers of a server: besides what every client has
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aether_protocol.service.remote.calls import PATIENCE_S, ServerCalls
from aether_protocol.service.remote.control import RemoteControl
from aether_protocol.service.remote.documents import RemoteDocuments
from aether_protocol.service.remote.fleet import RemoteFleet
from aether_protocol.service.remote.inspector import RemoteExtracts, RemoteInspector, RemotePlans
from aether_protocol.service.remote.runs import RemoteRuns
from aether_protocol.service.remote.schedules import RemoteSchedules
from aether_protocol.service.remote.store import RemoteStore

if TYPE_CHECKING:
    import ssl

__all__ = ["RemoteClient"]


class RemoteClient:
    """See `service.client.Client`.

    Args:
        url: where the server is: `http://HOST:PORT` or `https://...`; several servers of one store with commas between them:
            where one does not answer the next is asked.
        token: whose bearer asks; None for a server without authentication.
        verify: an SSL context, where the system's does not do.
        patience_s: how long feeds, waits and `submit_once` put up with a server that is away.
        notify: gets a line of text when that begins, and when the server is back.

    Raises:
        UsageError: the URL is not one of a server, or httpx2 is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        verify: ssl.SSLContext | bool = True,
        patience_s: float = PATIENCE_S,
        transport: Any = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._calls = ServerCalls(
            url, token=token, verify=verify, patience_s=patience_s, transport=transport, notify=notify
        )
        self.runs = RemoteRuns(self._calls)
        self.inspect = RemoteInspector(self._calls)
        self.plans = RemotePlans(self._calls)
        self.extracts = RemoteExtracts(self._calls)
        self.control = RemoteControl(self._calls)
        self.store = RemoteStore(self._calls)
        self.schedules = RemoteSchedules(self._calls)
        self.documents = RemoteDocuments(self._calls)
        self.fleet = RemoteFleet(self._calls)

    async def close(self) -> None:
        """Close the connections. Runs stay as they are."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
