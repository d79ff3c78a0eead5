"""The host of a process: carries attempts out in children, for callers in any thread.

Law: one host in a process, made when it is first asked for; a fork makes its own. Its event loop, and so its children, end with
the process, however that ends.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.assembly.configuration.effective import load_configuration
from aether_protocol.assembly.parts import secret_providers, with_shared
from aether_protocol.errors import AetherError, PortError, UsageError, why
from aether_protocol.execution.secrets import MissingSecretError, SecretBook, SecretsAwayError
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.ports.worker import SecretName, SecretText
from aether_protocol.worker.artifacts import Move
from aether_protocol.worker.offers import offers_of
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.pool import STOPPED, AttemptPool
from aether_protocol.worker.process import shared_rooms
from aether_protocol.worker.processes import ChildProcesses

__all__ = ["AttemptHost", "Ending", "News", "Order", "Stop", "Way", "host"]

CLOSE_S: Final = 10.0  # how long an exit waits for the children to be gone

News = dict[str, Any]
Stop = Callable[[], None]


class Order(Struct, frozen=True, kw_only=True):
    """What a broker has carried out in another process.

    Args:
        token: names this delivery; no other one has it.
        assignment: the attempt (schemas/task-assignment.schema.json).
        artifacts: the URL or the folder of the repository of artifacts, where the attempt needs it.
        modules: imported in a child before it works.
    """

    token: str
    assignment: dict[str, Any]
    artifacts: str = ""
    modules: tuple[str, ...] = ()


class Ending(Struct, frozen=True, kw_only=True):
    """What became of an order.

    `finished`: `result` (schemas/task-result.schema.json). `died`: what carried out this attempt alone is dead. `returned`: it
    was not carried out, through no fault of its own. `stopped`: as it was asked to be.
    """

    end: Literal["finished", "died", "returned", "stopped"]
    result: dict[str, Any] | None = None
    reason: str = ""


class Way(Protocol):
    """How a call and its broker talk while it runs. All of it is called in the thread of the host."""

    async def open(self, stop: Stop) -> None:
        """Begin; `stop` is to be called, in this thread, where the attempt is to stop."""
        ...

    def hear(self, news: News) -> None:
        """Pass on what became known: `say` is `started`, `logged` (`stream`, `offset`, `text`) or `progressed` (`details`)."""
        ...

    async def close(self) -> None:
        """Return when all that was said is on its way."""
        ...


class _Call:
    """An order that is being carried out."""

    def __init__(self, order: Order, way: Way) -> None:
        self.order = order
        self.way = way
        self.pool: AttemptPool | None = None  # None: it has not begun
        self.is_stopped = False
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def say(self, news: News) -> None:
        """Pass on what became known; a way that is gone stops nothing."""
        with suppress(Exception):
            self.way.hear(news)

    def stop(self) -> None:
        self.is_stopped = True
        if self.pool is None:
            self.end(Ending(end="stopped"))
        else:
            self.pool.stop(self.order.token)

    def end(self, ending: Ending) -> None:
        if not self.ending.done():
            self.ending.set_result(ending)


class AttemptHost:
    """See `worker.pool.PoolObserver`, of its pools: one for each kind of children."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._pools: dict[tuple[str, tuple[str, ...]], AttemptPool] = {}
        self._secrets: SecretBook | None = None
        self._rooms = ""
        self._loop: asyncio.AbstractEventLoop
        self._closing = asyncio.Event()
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._live, name="aether-host", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._fault is not None:
            raise PortError(f"attempts cannot be carried out in process {os.getpid()}: {why(self._fault)}")

    # --- called in any thread ---

    def carry_out(self, order: Order, way: Way) -> Ending:
        """Carry an order out, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(self._carry_out(order, way), self._loop).result()

    def close(self) -> None:
        """End all children, and the thread."""
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(CLOSE_S)

    # --- its thread ---

    def _live(self) -> None:
        try:
            with asyncio.Runner() as runner:  # it cancels what is left when it ends
                self._loop = runner.get_loop()
                runner.run(self._work())
        except Exception as error:
            self._fault = error
        finally:
            self._ready.set()

    async def _work(self) -> None:
        async with shared_rooms() as rooms:
            self._rooms = str(rooms)
            self._ready.set()
            await self._closing.wait()
            for pool in self._pools.values():
                await pool.close()
            for call in self._calls.values():
                call.end(Ending(end="returned", reason="the process that carried it out ended"))

    async def _carry_out(self, order: Order, way: Way) -> Ending:
        call = self._calls[order.token] = _Call(order, way)
        try:
            await way.open(call.stop)
            pool = await self._pool(order)
            if not call.ending.done():
                call.pool = pool
                pool.begin(order.token, order.assignment)
            ending = await call.ending
        except AetherError as error:
            ending = Ending(end="returned", reason=error.message)
        finally:
            del self._calls[order.token]
        await way.close()
        return ending

    async def _pool(self, order: Order) -> AttemptPool:
        kind = order.artifacts, order.modules
        found = self._pools.get(kind)
        if found is None:
            inline = (await asyncio.to_thread(offers_of, None, order.modules)).inline
            settings = ChildSettings(workspaces=self._rooms, artifacts=order.artifacts)
            found = self._pools.setdefault(kind, ChildProcesses(order.modules, settings=settings, inline=inline))
            found.start(self)
        return found

    def _end(self, token: str, ending: Ending) -> None:
        call = self._calls.get(token)
        if call is not None:
            call.end(ending)

    # --- PoolObserver ---

    def started(self, token: str) -> None:
        self._say(token, {"say": "started"})

    def logged(self, token: str, stream: Literal["stdout", "stderr"], offset: int, text: str) -> None:
        self._say(token, {"say": "logged", "stream": stream, "offset": offset, "text": text})

    def progressed(self, token: str, details: Any) -> None:
        self._say(token, {"say": "progressed", "details": details})

    def finished(self, token: str, result: dict[str, Any]) -> None:
        self._end(token, Ending(end="finished", result=result))

    def died(self, token: str, reason: str) -> None:
        self._end(token, Ending(end="died", reason=reason))

    def returned(self, token: str, reason: str, *, refused: bool = False) -> None:
        self._end(token, Ending(end="stopped") if reason == STOPPED else Ending(end="returned", reason=reason))

    async def secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        """Ask the providers of this process. Raises PortError, UsageError."""
        call = self._calls.get(token)
        namespace = call.order.assignment.get("namespace", DEFAULT_NAMESPACE) if call is not None else DEFAULT_NAMESPACE
        if self._secrets is None:
            self._secrets = SecretBook(await asyncio.to_thread(_own_providers))
        references = [(one.name, one.key) for one in wanted]
        try:
            texts = await self._secrets.texts(namespace, references)
        except SecretsAwayError as error:
            raise PortError(str(error)) from None
        except MissingSecretError as error:
            raise UsageError(f"{error} (asked for on {os.uname().nodename}, in process {os.getpid()})") from None
        return [SecretText(name=name, key=key, text=texts[name, key]) for name, key in references]

    async def artifact(self, token: str, move: Move, digest: str) -> None:
        """Raises PortError: children open the repository themselves."""
        raise PortError("there is no server here that has artifacts")

    def _say(self, token: str, news: News) -> None:
        call = self._calls.get(token)
        if call is not None:
            call.say(news)


def _own_providers() -> Sequence[Any]:
    """The providers of secrets that this process has. Raises PortError."""
    try:
        mine = load_configuration().secrets
        return with_shared([*secret_providers([*mine.files, *mine.providers]), EnvironmentSecrets()], mine.shared)
    except AetherError as error:
        raise PortError(
            f"the configuration of process {os.getpid()} cannot be read: {error.message}", hint=error.hint
        ) from None


_LOCK: Final = threading.Lock()
_HOSTS: Final[dict[int, AttemptHost]] = {}  # by process: a fork finds those of its parent, whose threads it does not have


def host() -> AttemptHost:
    """Return the host of this process. Raises PortError."""
    with _LOCK:
        found = _HOSTS.get(os.getpid())
        if found is None or not found._thread.is_alive():
            found = _HOSTS[os.getpid()] = AttemptHost()
            atexit.register(found.close)
        return found
