"""What stands between a store and its PostgreSQL server in tests: it loses answers, and it falls silent without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wire:
    """Forwards connections to a port.

    `cut` loses the next answer to what matches, and the connection. `stop_before` and `stop_after` stop the connection on which
    what matches comes next, before it has reached the server or after: from then on neither end hears anything, as where a
    network drops everything.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut = b""
        self.cuts = 0
        self.stop_before = b""
        self.stop_after = b""
        self.stops = 0
        self.url = ""
        self._open = asyncio.Event()
        self._open.set()
        self._serving: dict[asyncio.Task[None], asyncio.Event] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"postgres://aether@127.0.0.1:{listening.sockets[0].getsockname()[1]}/postgres"
        try:
            yield self
        finally:
            listening.close()
            for one in self._serving:
                one.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await asyncio.sleep(0)

    def stop(self, *, for_new: bool = False) -> None:
        """Stop all connections that are open; `for_new`: and those that are opened from now on, until `resume`."""
        for flows in self._serving.values():
            flows.clear()
        if for_new:
            self._open.clear()

    def resume(self) -> None:
        """Serve new connections again. Those that were stopped stay so."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        flows = self._serving[serving] = asyncio.Event()
        flows.set()
        await self._open.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        marked = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(65536):
                if self.cut and self.cut in data:
                    self.cut = b""
                    marked.set()
                if self.stop_before and self.stop_before in data:
                    self.stop_before = b""
                    self._stopped(flows)
                await flows.wait()
                back.write(data)
                if self.stop_after and self.stop_after in data:
                    self.stop_after = b""
                    self._stopped(flows)

        async def down() -> None:
            while data := await there.read(65536):
                if marked.is_set() and b"Z" in data:  # it is done, and the answer is lost
                    self.cuts += 1
                    return
                await flows.wait()
                writer.write(data)

        ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            back.close()
            await asyncio.gather(*ways, return_exceptions=True)

    def _stopped(self, flows: asyncio.Event) -> None:
        self.stops += 1
        flows.clear()
