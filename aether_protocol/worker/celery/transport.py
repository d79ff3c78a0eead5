"""The way of a worker in a Celery process to its engines: the table in Redis. See `worker.transport.WorkerTransport`.

Law: a delivery is claimed once, in the table; it is this worker's as long as its session lives. What it reports counts when
Redis has it: results are kept in the table until an engine has recorded them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets as random_tokens
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.celery.address import CeleryAddress
from aether_protocol.adapters.brokers.celery.table import (
    TTL_MS,
    AttemptTable,
    Call,
    LogPiece,
    RedisAwayError,
    cancel_all,
    log_call,
)
from aether_protocol.execution.secrets import MissingSecretError, SecretBook, SecretsAwayError
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE, SecretProvider
from aether_protocol.ports.worker import (
    PROTOCOL_VERSION,
    BeatMessage,
    Hello,
    LogReceipt,
    LogReport,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    SecretText,
    Welcome,
    WorkItem,
    WorkReport,
)
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

POLL_S: Final = 25.0
BEATS: Final = 30  # in a lease
RETRY_S: Final = 0.5
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Claim(Struct, eq=False):
    """A delivery that this worker has. `over` is set when it has ended, and that is in the table, or when it is lost to this
    worker."""

    task_run: str
    token: str
    work: bytes
    side: str
    epoch: int
    attempt: int
    assignment: dict[str, Any]
    over: asyncio.Event
    given: bool = False  # the supervisor has it


class CeleryTransport:
    """See `worker.transport.WorkerTransport`.

    Args:
        address: the fleet.
        providers: this machine's secrets.
    """

    def __init__(self, address: CeleryAddress, providers: Sequence[SecretProvider]) -> None:
        self._address = address
        self._table = AttemptTable(address)
        self._secrets = SecretBook(providers)
        self._session = ""
        self._claims: dict[str, Claim] = {}
        self._stop: list[str] = []
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._late_logs: deque[LogReport] = deque()  # for which there is no room in the table yet
        self._logs_of: dict[str, Claim] = {}  # also of deliveries that have ended: logs may follow the result

    # --- of the carrier ---

    async def claim(self, task_run: str, token: str) -> Claim | None:
        """Claim the delivery that a message names; None: it is not to be carried out here."""
        while True:
            session = self._session
            if session:
                with contextlib.suppress(RedisAwayError):
                    state, *more = await self._table.call("claim", task_run, token, session)
                    if state != b"late":
                        return self._claimed(task_run, token, more) if state == b"yours" else None
            await asyncio.sleep(RETRY_S)  # there is no session now: the supervisor sees to it

    def _claimed(self, task_run: str, token: str, more: Sequence[bytes]) -> Claim:
        work, side, epoch, attempt = more
        claim = Claim(
            task_run,
            token,
            work=work,
            side=(side or b"").decode(),
            epoch=int(epoch),
            attempt=int(attempt),
            assignment=_decode(work),
            over=asyncio.Event(),
        )
        self._claims[token] = self._logs_of[token] = claim
        self._news.set()
        return claim

    def claim_of(self, token: str) -> Claim | None:
        """The claim of a delivery that this worker has."""
        return self._claims.get(token)

    async def give_up_claim(self, token: str, reason: str) -> None:
        """A delivery is not carried out here: another worker may have it."""
        claim = self._claims.get(token)
        if claim is not None:
            with contextlib.suppress(RedisAwayError):  # its session ends then
                await self._table.call("returned", claim.task_run, token, reason, 0)
            self.forget(token)

    def forget(self, token: str) -> None:
        """A delivery is not this worker's any more."""
        claim = self._claims.pop(token, None)
        if claim is not None:
            claim.over.set()
            asyncio.get_running_loop().call_later(600, self._logs_of.pop, token, None)

    # --- WorkerTransport ---

    async def hello(self, hello: Hello) -> Welcome:
        session, lease_ms = random_tokens.token_hex(8), round(self._address.lease_s * 1000)
        holding = {*hello.holding, *(token for token, one in self._claims.items() if not one.given)}
        for token in [one for one in self._claims if one not in holding]:
            self.forget(token)  # its lease was over
        claims = list(self._claims.values())
        calls: list[Call] = [("begin", (session, hello.worker, lease_ms))]
        calls += [
            ("reclaim", (one.task_run, one.token, session, one.epoch, one.attempt, one.work, one.side, TTL_MS))
            for one in claims
        ]
        _, *kept = await self._run(calls)
        self._stop += [one.token for one, is_ours in zip(claims, kept, strict=True) if not is_ours]
        self._session = session
        self._news.set()
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(), name="aether-celery-orders")
        return Welcome(
            session=session,
            server=self._address.shown,
            protocol=PROTOCOL_VERSION,
            lease_ms=lease_ms,
            beat_ms=max(1, lease_ms // BEATS),
            poll_ms=round(POLL_S * 1000),
        )

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        if not self._has_news():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), timeout_s)
        if session != self._session:
            raise SessionEndedError
        # The answer counts as a sign of life of Redis (it renews the lease), so there is one.
        stop = await self._renew(session)
        work: list[WorkItem] = []
        for claim in list(self._claims.values()):
            if not claim.given and len(work) < poll.free:
                claim.given = True
                work.append(WorkItem(token=claim.token, assignment=claim.assignment))
        return Orders(work=work, stop=stop)

    def _has_news(self) -> bool:
        return bool(self._stop) or any(not one.given for one in self._claims.values())

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        return Orders(stop=await self._renew(session))

    async def _renew(self, session: str) -> list[str]:
        """Renew the session, and return what is to be stopped."""
        (answer,) = await self._run([self._renewal(session)])
        return self._orders_of(session, answer)

    def _renewal(self, session: str) -> Call:
        names = [text for one in self._claims.values() if one.given for text in (one.task_run, one.token)]
        return "renew", (session, round(self._address.lease_s * 1000), *names)

    def _orders_of(self, session: str, renewed: Sequence[Any]) -> list[str]:
        lives, *stop = renewed
        if not lives or session != self._session:
            raise SessionEndedError
        orders, self._stop = {*self._stop, *(one.decode() for one in stop)}, []
        return sorted(orders)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        logs = self._logs_to_write(report.logs)
        calls: list[Call] = []
        over = [one.token for one in report.results]
        over += [one.token for one in report.died] + [one.token for one in report.returned]
        for token in report.started:
            self._add(calls, "started", token)
        for progress in report.progress:
            self._add(calls, "progress", progress.token, _encode(progress.details).decode())
        for result in report.results:
            self._add(calls, "result", result.token, _encode(result.result))
        for died in report.died:
            self._add(calls, "died", died.token, died.reason, 1, 0)
        for returned in report.returned:
            self._add(calls, "returned", returned.token, returned.reason, int(returned.refused))
        log_calls = [log_call(claim.task_run, _piece(one, claim)) for one, claim in logs]
        try:
            answers = await self._run([*log_calls, *calls, self._renewal(session)])
        except TransportError:
            self._late_logs.clear()  # what was not acknowledged is sent again
            raise
        for token in over:
            self.forget(token)
        stop = self._orders_of(session, answers[-1])
        return Receipt(recorded=[one.token for one in report.results], stop=stop, logged=self._written(logs, answers))

    def _add(self, calls: list[Call], name: str, token: str, *more: str | bytes | int) -> None:
        claim = self._claims.get(token)
        if claim is not None:
            calls.append((name, (claim.task_run, token, *more)))

    def _logs_to_write(self, logs: Sequence[LogReport]) -> list[tuple[LogReport, Claim]]:
        """What is to be written into the table, in order; first what found no room there before."""
        several = [*self._late_logs, *logs]
        self._late_logs.clear()
        return [(one, self._logs_of[one.token]) for one in several if one.token in self._logs_of]

    def _written(self, logs: Sequence[tuple[LogReport, Claim]], answers: Sequence[Any]) -> list[LogReceipt]:
        """What the table took of logs; what found no room in it is tried again with the next report."""
        stored: dict[tuple[str, str], LogReceipt] = {}
        for (one, _), took in zip(logs, answers, strict=False):
            if took:
                stored[one.token, one.stream] = _receipt(one)
            else:
                self._late_logs.append(one)
        return list(stored.values())

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        claim = self._claims.get(request.token)
        if claim is None:
            raise RefusedError("the delivery is not one of this worker")
        wanted = [(one.name, one.key) for one in request.secrets]
        namespace = str(claim.assignment.get("namespace") or DEFAULT_NAMESPACE)
        try:
            texts = await self._secrets.texts(namespace, wanted)
        except SecretsAwayError as error:
            raise TransportError(str(error)) from None
        except MissingSecretError as error:
            raise RefusedError(f"{error}, at this Celery worker") from None
        return SecretAnswer(texts=[SecretText(name=name, key=key, text=texts[name, key]) for name, key in wanted])

    async def leave(self, session: str) -> None:
        await self._run([("leave", (session,))])

    async def close(self) -> None:
        if self._listening is not None:
            await cancel_all([self._listening])
        for token in list(self._claims):
            self.forget(token)
        await self._table.close()

    # --- small things ---

    async def _listen(self) -> None:
        """Hear of stops at once; the beat asks for them, too."""
        while True:
            try:
                orders = await self._table.orders(self._session)
            except RedisAwayError:
                await asyncio.sleep(RETRY_S)
                continue
            if orders:
                self._stop += orders
                self._news.set()

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return await self._table.run(calls)
        except RedisAwayError as error:
            raise TransportError(error.message) from None


def _piece(log: LogReport, claim: Claim) -> LogPiece:
    size = len(log.text.encode("utf-8", "surrogatepass"))
    return LogPiece(log.token, claim.epoch, claim.attempt, log.stream, log.offset, size=size, text=log.text)


def _receipt(log: LogReport) -> LogReceipt:
    stored = log.offset + len(log.text.encode("utf-8", "surrogatepass"))
    return LogReceipt(token=log.token, stream=log.stream, stored=stored)
