"""The worker as a process: what it offers, where its server is, and what signals do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol import __version__
from aether_protocol.assembly.server_urls import bearer, check_server_url
from aether_protocol.assembly.tracing import close_tracer, worker_tracer
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import UsageError
from aether_protocol.execution.folders import LIVE, Area, remove, temporary_root
from aether_protocol.ports.telemetry import Tracer
from aether_protocol.ports.worker import PROTOCOL_VERSION, Hello
from aether_protocol.worker.cache import MOST_BYTES, ArtifactCache, usual_cache
from aether_protocol.worker.offers import Offers, offers_of
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.processes import ChildProcesses
from aether_protocol.worker.spool import MOST_BYTES as MOST_LOG_BYTES
from aether_protocol.worker.supervisor import Supervisor, SupervisorSettings, WorkerNews

if TYPE_CHECKING:
    from aether_protocol.worker.turns import ServerTransport

__all__ = ["Worker"]

SWEEP_S: Final = 3_600.0
OLD_S: Final = 86_400.0  # a run that had no task here for a day finds an empty folder, as on another machine
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Worker:
    """A worker for a server.

    Args:
        url: where the server is: `http://127.0.0.1:7234`, or `https://...` on another machine. Several servers of one store (a
            list, or a text with commas) are tried in turn, and those that they name besides.
        name: how it is shown; the machine's name and the process id unless given.
        token: that of the worker, where the server wants one.
        slots: how much it offers of each kind; `tasks` (how many attempts at a time) is the number of processors unless given.
        labels: what selectors of tasks look at; `os` and `arch` are there unless given.
        pool: the pool that it belongs to.
        executors: the names of those that it offers; all that are installed unless given.
        modules: imported in each child before it works; their `executors` and `functions` are offered besides what is
            installed, and hide what has the same name.
        cache: the folder in which artifacts are kept by digest; `aether/artifacts` in the user's cache folder unless given.
        cache_bytes: how much of them is kept; what was not used for longest goes first.
        log_bytes: how much of logs is kept on disk while the server does not take them; then the oldest go, with a note.
        grpc: talk to the servers by gRPC, which needs the extra `[grpc]`; artifacts go over HTTP at the same address.
        grace_s: how long attempts may continue after a first signal.
        report: called with what becomes of the worker; it is logged unless given.
        tracer: takes the spans of its work; an object, which is the caller's to close, or the URL of an installed one.

    Raises:
        UsageError: the address would carry secrets in clear over a network, an executor is not there, a module cannot be
            imported, or the extra `[server]` is not installed.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        name: str | None = None,
        token: str | None = None,
        slots: Mapping[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        pool: str = "",
        executors: Iterable[str] | None = None,
        modules: Iterable[str] = (),
        cache: str | Path | None = None,
        cache_bytes: int = MOST_BYTES,
        log_bytes: int = MOST_LOG_BYTES,
        grpc: bool = False,
        grace_s: float = 600.0,
        report: Callable[[WorkerNews], None] | None = None,
        tracer: str | Tracer | None = None,
    ) -> None:
        given = ",".join([url] if isinstance(url, str) else url).split(",")
        self.urls = list(dict.fromkeys(check_server_url(one.strip(), "secrets") for one in given))
        if token is not None:
            bearer(token)
        _check_extra(grpc=grpc)
        self._grpc = grpc
        self._modules = tuple(modules)
        offers = offers_of(executors, self._modules)
        self.hello = hello_of(offers, name, slots=slots, labels=labels, pool=pool)
        self._inline = offers.inline
        self._token = token
        self._cache = ArtifactCache(Path(os.path.abspath(usual_cache() if cache is None else cache)), cache_bytes)
        self._grace_s = grace_s
        self._log_bytes = log_bytes
        self._report = report
        self._owned_tracer = worker_tracer(tracer) if isinstance(tracer, str) else None
        self._tracer = self._owned_tracer if isinstance(tracer, str) else tracer
        self._supervisor: Supervisor | None = None

    def run(self) -> None:
        """Work until a signal comes: the first lets attempts end for the grace, the second returns them at once.

        Raises:
            RefusedError: the server refuses this worker.
        """
        asyncio.run(self.work())

    async def work(self) -> None:
        """`run`, in an event loop that is there already. Signals are handled while it runs."""
        try:
            async with shared_rooms() as rooms:
                await self._work(rooms)
        finally:
            await close_tracer(self._owned_tracer)

    async def _work(self, rooms: Path) -> None:
        from aether_protocol.worker.turns import TurnTransport

        clock = SystemClock()
        settings_of_children = ChildSettings(cache=str(self._cache.repository.folder), workspaces=str(rooms))
        pool = ChildProcesses(self._modules, settings=settings_of_children, inline=self._inline)
        settings = SupervisorSettings(grace_s=self._grace_s, log_bytes=self._log_bytes)
        transport = TurnTransport(self.urls, self._way_to, clock)
        self._supervisor = Supervisor(
            transport,
            pool,
            self.hello,
            artifacts=(transport, self._cache),
            settings=settings,
            clock=clock,
            report=self._report,
            tracer=self._tracer,
        )
        drain_at_signals(self.drain)
        await self._supervisor.run()

    def _way_to(self, url: str) -> ServerTransport:
        if self._grpc and url in self.urls:  # the address that a server names is that of its HTTP
            from aether_protocol.worker.grpc import GrpcTransport

            return GrpcTransport(url, token=self._token)
        from aether_protocol.worker.http import HttpTransport

        return HttpTransport(url, token=self._token)

    def drain(self) -> None:
        """Take no more work; called again, return at once what has not ended."""
        if self._supervisor is not None:
            self._supervisor.drain(0.0 if self._supervisor.is_draining else None)


def drain_at_signals(drain: Callable[[], None]) -> None:
    """Call `drain` at each signal that asks this process to leave."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, ValueError):  # not the main thread: its caller drains
        for number in _SIGNALS:
            loop.add_signal_handler(number, drain)


@contextlib.asynccontextmanager
async def shared_rooms() -> AsyncIterator[Path]:
    """Make a folder that all children of a worker use, so that a run has one folder on this machine (AETHER_RUN_DIR). It goes
    with the block."""
    area = Area(temporary_root())
    rooms = area.folder / "runs"
    sweeping = asyncio.create_task(_sweep_on(rooms), name="aether-worker-sweep")
    try:
        yield rooms
    finally:
        sweeping.cancel()
        area.close()


async def _sweep_on(rooms: Path) -> None:
    """Remove the shared folders of runs that did nothing here for long: no worker learns when a run ends."""
    while True:
        await asyncio.sleep(SWEEP_S)
        await asyncio.to_thread(_sweep, rooms, time.time() - OLD_S)


def _sweep(rooms: Path, before: float) -> None:
    with contextlib.suppress(OSError):
        for run in list(rooms.iterdir()):
            if run.name != LIVE and max(one.stat().st_mtime for one in (run, *run.iterdir())) < before:
                remove(run)


def hello_of(
    offers: Offers,
    name: str | None = None,
    *,
    slots: Mapping[str, int] | None = None,
    labels: Mapping[str, str] | None = None,
    pool: str = "",
) -> Hello:
    """Return what a worker of this process says of itself. The other arguments are those of `Worker`."""
    return Hello(
        worker=name or f"{socket.gethostname()}-{os.getpid()}",
        build=__version__,
        protocols=[PROTOCOL_VERSION],
        executors=offers.executors,
        slots={"tasks": os.cpu_count() or 1, **(slots or {})},
        labels={"os": platform.system().lower(), "arch": platform.machine(), **(labels or {})},
        pool=pool,
        instance=secrets.token_hex(8),
    )


def _check_extra(*, grpc: bool) -> None:
    if grpc and find_spec("grpc") is None:
        hint = "pip install 'aether-protocol[grpc]'"
        raise UsageError("a worker needs grpcio to talk to its server by gRPC, which is not installed", hint=hint)
    if find_spec("httpx2") is None:
        hint = "pip install 'aether-protocol[server]'"
        raise UsageError("a worker needs httpx2 to talk to its server, which is not installed", hint=hint)
