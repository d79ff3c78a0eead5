"""The thread of a Celery process that carries attempts out, and how the function that Celery calls waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from msgspec import Struct

from aether_protocol.adapters.brokers.celery.address import CeleryAddress
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import why
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.worker.celery.transport import CeleryTransport
from aether_protocol.worker.offers import offers_of
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.process import hello_of, shared_rooms
from aether_protocol.worker.processes import ChildProcesses
from aether_protocol.worker.supervisor import Supervisor, SupervisorSettings

SLOTS: Final = 1000  # how many attempts run at once is the affair of Celery's pool
_LOOK_S: Final = 1.0
_LEAVE_S: Final = 15.0


class CarrierSettings(Struct, frozen=True):
    """What a carrier has. `providers` are asked for secrets; `artifacts` is the URL of the repository, empty for none;
    `modules` are imported in each child, for their executors and functions; `name` is how the worker is shown."""

    providers: Sequence[SecretProvider] = ()
    artifacts: str = ""
    modules: tuple[str, ...] = ()
    name: str = ""


class Carrier:
    """Carries out attempts for one process of Celery.

    Args:
        address: the fleet.
        settings: what it has.
    """

    def __init__(self, address: CeleryAddress, settings: CarrierSettings) -> None:
        self.pid = os.getpid()
        self._address = address
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._transport: CeleryTransport
        self._supervisor: Supervisor
        self._pool: ChildProcesses
        self._fault: BaseException | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="aether-carrier", daemon=True)
        self._thread.start()
        ready.wait()

    def carry_out(self, task_run: str, token: str) -> str:
        """Carry out the attempt that a message names, and wait for its end. Returns what was done, for Celery's log.

        Raises:
            RuntimeError: the carrier has ended.
        """
        if self._fault is not None:
            raise RuntimeError(f"attempts cannot be carried out here: {why(self._fault)}")
        carried = asyncio.run_coroutine_threadsafe(self._carry_out(task_run, token), self._loop)
        try:
            return self._wait(carried)
        except BaseException as error:  # Celery's soft time limit, or its process is to end
            if self._thread.is_alive():
                ending = asyncio.run_coroutine_threadsafe(self._end(token, error), self._loop)
                with contextlib.suppress(TimeoutError):
                    ending.result(_LEAVE_S)
            raise

    def _wait(self, carried: Future[str]) -> str:
        while True:
            try:
                return carried.result(_LOOK_S)
            except TimeoutError:
                if not self.is_alive:
                    raise RuntimeError("the thread that carries attempts out has ended") from self._fault

    @property
    def is_alive(self) -> bool:
        """Whether it carries attempts out."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Return what runs, at once, and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._supervisor.drain, 0.0)
            self._thread.join(_LEAVE_S)

    # --- in the thread ---

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work(ready.set))
        except BaseException as error:
            self._fault = error
        finally:
            ready.set()
            self._loop.close()

    async def _work(self, ready: Callable[[], None]) -> None:
        offers = offers_of(None, self._settings.modules)
        self._transport = CeleryTransport(self._address, self._settings.providers)
        async with shared_rooms() as rooms:
            children = ChildSettings(workspaces=str(rooms), artifacts=self._settings.artifacts)
            self._pool = ChildProcesses(self._settings.modules, settings=children, inline=offers.inline)
            hello = hello_of(offers, self._settings.name or None, slots={"tasks": SLOTS})
            self._supervisor = Supervisor(
                self._transport, self._pool, hello, settings=SupervisorSettings(), clock=SystemClock()
            )
            self._loop.call_soon(ready)
            await self._supervisor.run()

    async def _carry_out(self, task_run: str, token: str) -> str:
        claim = await self._transport.claim(task_run, token)
        if claim is None:
            return "nothing to be done: it was cancelled, or another worker has it"
        while not claim.over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(claim.over.wait(), _LOOK_S)
            if claim.given and self._supervisor.held.get(token) is None:
                await self._transport.give_up_claim(token, "its lease was over")
        return "done"

    async def _end(self, token: str, error: BaseException) -> None:
        """End an attempt whose Celery task is ended. A limit of time that it exceeded is its own doing."""
        from celery.exceptions import SoftTimeLimitExceeded

        held = self._supervisor.held
        if isinstance(error, SoftTimeLimitExceeded):
            held.died(token, "it exceeded the soft time limit that is set in Celery")
        else:
            held.returned(token, f"its Celery process ends ({type(error).__name__})")
        self._pool.kill(token)
        claim = self._transport.claim_of(token)
        if claim is not None:
            await claim.over.wait()
