"""One server as a worker of another: a session there, for all that workers here have of its runs.

Law: nothing is kept here but what needs no keeping: that an attempt began, died or was returned. Were that lost too, the other
server would find it out from what is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from aether_protocol import __version__
from aether_protocol.adapters.brokers.elsewhere import PeerHello, RelayedAnswer, place_of
from aether_protocol.adapters.brokers.spilling import TakeRequest, WorkOffer
from aether_protocol.execution.secrets import SecretsAwayError
from aether_protocol.fleet.events import Holding
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.worker import (
    PROTOCOL_VERSION,
    BeatMessage,
    Orders,
    Receipt,
    ReturnedReport,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkItem,
    WorkReport,
)
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

_RETRY_S: Final = 0.2
_LONGEST_RETRY_S: Final = 2.0
SESSION_S: Final = 2.0  # how long a report waits for a session to begin
_MOST_LOGS: Final = 10_000  # streams of which it is remembered whose they are

_log = logging.getLogger("aether_protocol")


class LinkTransport(Protocol):
    """How a server talks to another one. Raises what `worker.transport.WorkerTransport` raises."""

    async def hello(self, hello: PeerHello) -> Welcome: ...

    async def beat(self, session: str, beat: BeatMessage) -> Orders: ...

    async def report(self, session: str, report: WorkReport) -> Receipt: ...

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer: ...

    async def artifact(
        self, session: str, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> RelayedAnswer: ...

    async def take(self, session: str, request: TakeRequest) -> Orders: ...

    async def leave(self, session: str) -> None: ...

    async def close(self) -> None: ...


class LinkSource(Protocol):
    """What a link asks of its own server."""

    def held(self, owner: str) -> Sequence[tuple[str, Holding, bool]]:
        """Return what workers here have of the runs of a server: token, what it says, and whether only its result is kept."""
        ...

    async def stop(self, tokens: Sequence[str]) -> None:
        """Let workers here stop these deliveries."""
        ...


class _Logs:
    """Whose the logs are that went to the other server, and what is to be acknowledged to whom."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[str, int]] = {}  # by token and stream: the session, and up to where it was sent
        self._receipts: dict[str, Receipt] = {}

    def sent(self, session: str, report: WorkReport) -> None:
        for log in report.logs:
            end = log.offset + len(log.text.encode("utf-8", "replace"))
            before = self._open.pop((log.token, log.stream), (session, 0))[1]
            self._open[log.token, log.stream] = session, max(end, before)
        while len(self._open) > _MOST_LOGS:
            del self._open[next(iter(self._open))]

    def stored(self, receipt: Receipt) -> None:
        for one in receipt.logged:
            name = one.token, one.stream
            if name not in self._open:
                continue
            session, end = self._open[name]
            self._receipts.setdefault(session, Receipt()).logged.append(one)
            if one.stored >= end:
                del self._open[name]

    def take(self, session: str) -> Receipt:
        return self._receipts.pop(session, Receipt())

    def are_open(self, session: str) -> bool:
        return session in self._receipts or any(one == session for one, _ in self._open.values())


class PeerLink:
    """See `adapters.brokers.elsewhere.Relay`.

    Args:
        owner: the other server, as the store knows it.
        name: what people call this server.
        me: what the store calls this server.
        transport: the way there.
        source: what this server has for it.
        clock: the time of beats and pauses.

    `vouched`: by delivery, until when the other server gives it to no other worker (microseconds).
    """

    def __init__(
        self, owner: str, *, name: str, me: str, transport: LinkTransport, source: LinkSource, clock: Clock
    ) -> None:
        self.owner = owner
        self.transport = transport
        self.vouched: dict[int, int] = {}
        self._session = ""
        self._hello = PeerHello(
            worker=name,
            build=__version__,
            protocols=[PROTOCOL_VERSION],
            executors=[],
            slots={},
            instance=me,
            place=place_of(owner),
        )
        self._source = source
        self._clock = clock
        self._welcome: Welcome | None = None
        self._welcomed = asyncio.Event()
        self._changed = asyncio.Event()
        self._unsent = WorkReport()  # begins, deaths and returns that did not reach the other server
        self._takes = self._received = 0  # the last one, and the last one that was answered or given up
        self._said = 0  # messages that say what is held
        self._logs = _Logs()
        self._is_away = False

    def changed(self) -> None:
        """Let the other server hear soon of what is held now."""
        self._changed.set()

    async def run(self) -> None:
        """Keep a session until cancelled."""
        pause = _RETRY_S
        while True:
            self._changed.clear()
            try:
                await (self._beat() if self.session else self._begin())
            except SessionEndedError:
                self._end_session()
                continue
            except (TransportError, RefusedError) as error:
                if not self._is_away:
                    self._is_away = True
                    _log.warning("server %s does not take what workers here have of its runs: %s", self.owner, error.message)
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_RETRY_S)
                continue
            pause, self._is_away = _RETRY_S, False
            await self._wait(self._changed, (self._welcome.beat_ms if self._welcome is not None else 3000) / 1000)

    async def close(self) -> None:
        """End the connection. The session is left alone: what it holds lives on, and its workers bring it elsewhere."""
        await self.transport.close()

    async def leave(self) -> None:
        """End the session, which holds nothing."""
        if self.session:
            with contextlib.suppress(TransportError, RefusedError, SessionEndedError):  # then it ends by itself
                await self.transport.leave(self.session)
        await self.close()

    @property
    def session(self) -> str:
        """The session that this server has there; empty: none now."""
        return self._session

    # --- Relay ------------------------------------------------------------------------------------------------------

    async def report(self, session: str, report: WorkReport) -> Receipt | None:
        self._logs.sent(session, report)
        if not self.session:
            await self._wait(self._welcomed, SESSION_S)
        sent = WorkReport(
            started=self._unsent.started + report.started,
            progress=report.progress,
            logs=report.logs,
            results=report.results,
            died=self._unsent.died + report.died,
            returned=self._unsent.returned + report.returned,
        )
        self._unsent = WorkReport()
        try:
            receipt = await self.transport.report(self.session, sent)
        except (TransportError, RefusedError, SessionEndedError) as error:
            self._unsent = WorkReport(
                started=sent.started + self._unsent.started,
                died=sent.died + self._unsent.died,
                returned=sent.returned + self._unsent.returned,
            )
            if isinstance(error, SessionEndedError):
                self._end_session()
            return None
        self._logs.stored(receipt)
        if receipt.stop:
            await self._source.stop(receipt.stop)
        return Receipt(recorded=receipt.recorded, unknown=receipt.unknown, logged=self._logs.take(session).logged)

    async def secrets(self, request: SecretRequest) -> SecretAnswer:
        if not self.session:
            await self._wait(self._welcomed, SESSION_S)
        try:
            return await self.transport.secrets(self.session, request)
        except SessionEndedError:
            self._end_session()
        except TransportError as error:
            raise SecretsAwayError(error.message) from None
        raise SecretsAwayError("the server that drives the run is not there yet")

    async def artifact(
        self, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> RelayedAnswer:
        if not self.session:
            await self._wait(self._welcomed, SESSION_S)
        return await self.transport.artifact(self.session, method, digest, headers, body)

    async def take(self, offer: WorkOffer, free: int, namespaces: frozenset[str] | None) -> Sequence[WorkItem]:
        """Ask for attempts that wait at the other server. What is returned has to be held from now on, without a pause."""
        if not self.session:
            await self._wait(self._welcomed, SESSION_S)
        if not self.session:
            return ()
        self._takes += 1
        self._said += 1
        request = TakeRequest(
            take=self._takes,
            need=offer.need,
            free=free,
            namespaces=None if namespaces is None else sorted(namespaces),
            holding=[token for token, _, _ in self._source.held(self.owner)],
            number=self._said,
        )
        try:
            return (await self.transport.take(self.session, request)).work
        except SessionEndedError:
            self._end_session()
        except (TransportError, RefusedError) as error:
            _log.debug("server %s gives nothing: %s", self.owner, error.message)
        finally:
            self._received = self._takes  # also where its answer is lost: what it held is given out again
        return ()

    def give_back(self, tokens: Sequence[str]) -> None:
        """Return deliveries that no worker here has begun."""
        self._unsent.returned += [ReturnedReport(token=one, reason="no worker had room for it") for one in tokens]
        self._changed.set()

    def has_logs_of(self, session: str) -> bool:
        """Whether logs of a session went there of which it is not known whether they are stored."""
        return self._logs.are_open(session)

    # --- the session ------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        held, sent = self._source.held(self.owner), self._clock.now()
        self._hello.holding = [token for token, _, _ in held]
        self._hello.results = [token for token, _, is_over in held if is_over]
        self._hello.number += 1
        self._welcome = await self.transport.hello(self._hello)
        self._session = self._welcome.session
        self._takes = self._received = 0
        self._unsent = WorkReport()  # an earlier session's: what is held says it
        self._vouch(held, sent)
        self._welcomed.set()

    async def _beat(self) -> None:
        if self._unsent != WorkReport():
            await self.report("", WorkReport())
        held, sent = self._source.held(self.owner), self._clock.now()  # of the moment of `_received`: a take may be answered
        self._said += 1
        beat = BeatMessage(poll=self._received, holding=[token for token, _, _ in held], number=self._said)
        orders = await self.transport.beat(self.session, beat)
        self._vouch(held, sent)
        if orders.stop:
            await self._source.stop(orders.stop)

    def _vouch(self, held: Sequence[tuple[str, Holding, bool]], sent: int) -> None:
        assert self._welcome is not None
        until = sent + self._welcome.lease_ms * 1000
        self.vouched = {one.number: until for _, one, _ in held}

    def _end_session(self) -> None:
        self._session = ""
        self._welcomed.clear()
        self._changed.set()

    async def _wait(self, happens: asyncio.Event, seconds: float) -> None:
        """Wait for an event, but not for longer than that."""
        waits = [asyncio.ensure_future(happens.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
