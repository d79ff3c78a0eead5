"""The network between the machines of a simulation and its servers: every message crosses it as bytes.

Law: a message arrives late, twice, or not at all, and so does its answer; who sent it learns of a broken connection after a
while, and of a partition only by its own patience. A server that is frozen takes it in when it thaws; one that is dead refuses,
and a machine that was refused turns to another address.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.spilling import OfferBell
from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.adapters.brokers.workers import SessionOverError, WorkerBroker
from aether_protocol.errors import AetherError, BrokenInvariant
from aether_protocol.execution.secrets import MissingSecretError, SecretsAwayError
from aether_protocol.ports.worker import (
    BeatMessage,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkReport,
)
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.fleet.machine import MachineClock, SimMachine
from aether_protocol.testing.simulation.workers import SECOND
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

KEY: Final = b"the key of a store, for all servers"
TOKENS: Final = Tokens(KEY)
ANSWER_S: Final = 10.0  # for all but polls, as in worker.http
LATEST: Final = 20 * SECOND
TROUBLE: Final = 60 * SECOND  # so long after a fault something may still follow from it
_encode: Final = msgspec.json.Encoder().encode

Serve = Callable[[WorkerBroker, Any], Any]


class ServerSide(Protocol):
    """A server, as the network sees it. `clock` is frozen with it."""

    clock: MachineClock
    broker: WorkerBroker
    hear: Callable[[OfferBell], None]

    @property
    def refuses(self) -> bool:
        """Whether it is dead, or takes nothing any more."""
        ...


class Sender(Protocol):
    """A machine, or a server. `trouble_until`: a fault reaches it until then."""

    address: int
    trouble_until: int

    @property
    def clock(self) -> MachineClock: ...
    @property
    def dead(self) -> bool: ...
    def is_cut(self, address: int) -> tuple[bool, bool]:
        """Whether its messages do not reach the server at an address, and whether the server's do not reach it."""
        ...


class FrameObserver(Protocol):
    """Who watches what crosses the network."""

    def frame(self, what: str, body: bytes) -> None: ...
    def failed(self, error: Exception) -> None: ...
    def receipt(self, receipt: Receipt) -> None: ...


class _Frame(Struct, eq=False):
    what: str
    sender: Sender
    address: int
    body: bytes
    shape: Any
    serve: Serve


class Network:
    """`servers` are those that answer now, by address."""

    def __init__(self, clock: ManualClock, chaos: Chaos, watch: FrameObserver) -> None:
        self.servers: dict[int, ServerSide] = {}
        self._clock = clock
        self._chaos = chaos
        self._watch = watch
        self._serving: set[asyncio.Task[None]] = set()

    async def ask(
        self, what: str, sender: Sender, message: Any, serve: Serve, *, timeout_s: float, address: int | None = None
    ) -> bytes:
        """Send a message, to `address` or where the sender turns to, and return its answer. Raises as
        `worker.transport.WorkerTransport`."""
        body = _encode(message)
        self._watch.frame(what, body)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        to = sender.address if address is None else address
        self._send(_Frame(what, sender, to, body, type(message), serve), answer)
        clock = sender.clock
        alarm = clock.call_at(clock.now() + round(timeout_s * SECOND), lambda: _fail(answer, TransportError("no answer")))
        try:
            return await answer
        finally:
            alarm.cancel()

    def loses_bell(self) -> bool:
        """Whether the bell that rings now is not heard, which its server does not learn."""
        return self._chaos.strikes("bell-lost")

    def end(self) -> None:
        for task in self._serving:
            task.cancel()

    # --- there ---

    def _send(self, frame: _Frame, answer: asyncio.Future[bytes]) -> None:
        strikes, choose = self._chaos.strikes, self._chaos.choose
        if strikes("frame-lost"):
            self._break(frame.sender, answer)
            return
        late = strikes("frame-late") or (frame.what == "beat" and strikes("beat-late"))
        delay = choose(SECOND, 5 * SECOND, LATEST) if late else 0
        if late:
            self._trouble(frame.sender)
        self._after(delay, lambda: self._arrive(frame, answer))
        if strikes("frame-doubled"):
            self._trouble(frame.sender)
            self._after(delay + choose(0, SECOND, LATEST // 2), lambda: self._arrive(frame, None))

    def _arrive(self, frame: _Frame, answer: asyncio.Future[bytes] | None) -> None:
        server = self.servers.get(frame.address)
        if frame.sender.dead or frame.sender.is_cut(frame.address)[0]:
            return
        if server is None or server.refuses:
            self._break(frame.sender, answer, at_once=True)
            if isinstance(frame.sender, SimMachine):
                self.turn_away(frame.sender, frame.address)
            return
        server.clock.when_awake(lambda: self._begin(server, frame, answer))

    def _begin(self, server: ServerSide, frame: _Frame, answer: asyncio.Future[bytes] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(server, frame, answer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, server: ServerSide, frame: _Frame, answer: asyncio.Future[bytes] | None) -> None:
        try:
            given = frame.serve(server.broker, msgspec.json.decode(frame.body, type=frame.shape))
            if inspect.isawaitable(given):
                given = await given
        except SessionOverError:
            outcome: bytes | Exception = SessionEndedError()
        except SecretsAwayError as error:
            outcome = TransportError(str(error))
        except BrokenInvariant as error:
            self._watch.failed(error)
            return
        except (MissingSecretError, AetherError) as error:
            outcome = RefusedError(str(error))
        except Exception as error:
            self._watch.failed(error)
            return
        else:
            outcome = _encode(given)
            if server.refuses:
                self._break(frame.sender, answer)
                return
            if isinstance(given, Receipt):
                self._watch.receipt(given)
            if frame.what != "secrets":
                self._watch.frame(f"the answer to {frame.what}", outcome)
        server.clock.when_awake(lambda: self._answer(frame, answer, outcome))

    # --- and back ---

    def _answer(self, frame: _Frame, answer: asyncio.Future[bytes] | None, outcome: bytes | Exception) -> None:
        sender = frame.sender
        if answer is None or sender.is_cut(frame.address)[1]:
            return
        if self._chaos.strikes("answer-lost"):
            self._break(sender, answer)
            return
        late = self._chaos.strikes("frame-late")
        if late:
            self._trouble(sender)
        delay = self._chaos.choose(SECOND, 5 * SECOND, LATEST) if late else 0
        self._after(delay, lambda: sender.clock.when_awake(lambda: _settle(answer, outcome)))

    def _break(self, sender: Sender, answer: asyncio.Future[bytes] | None, *, at_once: bool = False) -> None:
        """The connection is gone, which who sent it learns some time."""
        self._trouble(sender)
        if answer is not None:
            delay = 0 if at_once else self._chaos.choose(0, SECOND, 8 * SECOND)
            error = TransportError("the connection broke")
            self._after(delay, lambda: sender.clock.when_awake(lambda: _fail(answer, error)))

    def free_address(self) -> int:
        """That of a server that is there no more; one more where all answer."""
        return next((address for address, server in self.servers.items() if server.refuses), len(self.servers))

    def turn_away(self, machine: SimMachine, address: int) -> None:
        """Let a machine that the server at `address` does not answer turn to the next one, if it has not done so yet."""
        if machine.address == address and len(self.servers) > 1:
            known = sorted(self.servers)
            machine.address = known[(known.index(address) + 1) % len(known)]
            self._trouble(machine)

    def _trouble(self, sender: Sender) -> None:
        sender.trouble_until = max(sender.trouble_until, self._clock.now() + TROUBLE)

    def _after(self, delay: int, call: Callable[[], None]) -> None:
        if delay:
            self._clock.call_at(self._clock.now() + delay, call)
        else:
            asyncio.get_running_loop().call_soon(call)


class SimSession:
    """What a worker, or another server, asks of a server in its session, at `address` or where the sender turns to."""

    secrets_s = ANSWER_S  # how long it waits for them

    def __init__(self, network: Network, sender: Sender, address: int | None = None) -> None:
        self._network = network
        self._sender = sender
        self._address = address

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        raw = await self._ask("beat", beat, lambda broker, given: broker.beat(session, given))
        return msgspec.json.decode(raw, type=Orders)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        raw = await self._ask("report", report, lambda broker, given: broker.report(session, given))
        return msgspec.json.decode(raw, type=Receipt)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        raw = await self._ask("secrets", request, lambda broker, given: broker.secrets(session, given), self.secrets_s)
        return msgspec.json.decode(raw, type=SecretAnswer)

    async def leave(self, session: str) -> None:
        await self._ask("leave", None, lambda broker, given: broker.leave(session))

    async def close(self) -> None:
        """Nothing is open."""

    async def _ask(self, what: str, message: Any, serve: Serve, timeout_s: float = ANSWER_S) -> bytes:
        return await self._network.ask(what, self._sender, message, serve, timeout_s=timeout_s, address=self._address)


class SimTransport(SimSession):
    """See `worker.transport.WorkerTransport`."""

    secrets_s = 60.0

    def __init__(self, network: Network, machine: SimMachine) -> None:
        super().__init__(network, machine)
        self._namespaces = machine.offer.namespaces

    async def hello(self, hello: Hello) -> Welcome:
        raw = await self._ask("hello", hello, lambda broker, given: broker.hello(given, namespaces=self._namespaces))
        return msgspec.json.decode(raw, type=Welcome)

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        raw = await self._ask("poll", poll, lambda broker, given: broker.poll(session, given), timeout_s + ANSWER_S)
        return msgspec.json.decode(raw, type=Orders)


def _settle(answer: asyncio.Future[bytes], outcome: bytes | Exception) -> None:
    if isinstance(outcome, Exception):
        _fail(answer, outcome)
    elif not answer.done():
        answer.set_result(outcome)


def _fail(answer: asyncio.Future[bytes], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
