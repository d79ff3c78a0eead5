"""A proxy before several servers: each connection goes to the next one that takes it, and lives as long as it does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

_PIECE = 65_536


class RoundRobin:
    """`url` is where it listens, `taken` how many connections each server had, by port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.taken = dict.fromkeys(ports, 0)
        self._ports = list(ports)
        self._turn = count()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # it was closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = self._connected()
        if server is None:
            client.close()
            return
        back = threading.Thread(target=_pour, args=(server, client), daemon=True)
        back.start()
        _pour(client, server)
        back.join()
        client.close()
        server.close()

    def _connected(self) -> socket.socket | None:
        for _ in self._ports:
            port = self._ports[next(self._turn) % len(self._ports)]
            with contextlib.suppress(OSError):
                made = socket.create_connection(("127.0.0.1", port), timeout=5)
                made.settimeout(None)
                self.taken[port] += 1
                return made
        return None

    def close(self) -> None:
        self._listening.close()


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Copy until one of the two ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def round_robin(ports: Sequence[int]) -> Iterator[RoundRobin]:
    """A proxy for as long as the block runs."""
    proxy = RoundRobin(ports)
    try:
        yield proxy
    finally:
        proxy.close()
