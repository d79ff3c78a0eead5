"""Judge a worker in any language: play the server, and see whether it keeps the worker protocol.

The judge answers like a server (docs/reference/worker-protocol.md), loses answers, ends sessions and falls silent, and writes
down what the worker says. Each check stands alone and names what is wrong. Only messages count, never how the worker is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.ports.wire_json import WireError, decode_result
from aether_protocol.ports.worker import BeatMessage, Hello, Poll, WorkReport, decode

__all__ = ["CheckOutcome", "WorkerToCheck", "check_worker"]

LEASE_S: Final = 2.5
BEAT_S: Final = 0.3
POLL_S: Final = 1.0
SLOW_S: Final = 5.0
PATIENCE_S: Final = 10.0  # for what a worker does at once

Message = dict[str, Any]


class WorkerToCheck(Struct, frozen=True, kw_only=True):
    """How to start a worker, and what to give it.

    `command` is started with AETHER_SERVER in its environment and `{server}` in its arguments filled in. `inputs` and `config`
    are what its `executor` gets; with the slow ones over them an attempt takes about SLOW_S seconds.
    """

    command: Sequence[str]
    executor: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    slow_inputs: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    slow_config: Mapping[str, Any] = field(default_factory=dict)


class CheckOutcome(Struct, frozen=True):
    """One check: `fault` says what is wrong, None where it passed."""

    name: str
    fault: str | None


class CheckFailedError(Exception):
    """The worker does not keep the protocol; the text says how."""


class Heard(Struct, frozen=True):
    """A message of the worker."""

    at: float
    kind: str
    session: str
    message: Message


class Judge:
    """The server's side, over plain ASGI."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.work: list[Message] = []  # for the next poll
        self.stop: list[str] = []
        self.session = ""
        self.record = True  # results are recorded
        self.lose_poll = False  # the next poll that has work is not answered
        self.silent = False
        self.drain_ms: int | None = None
        self._count = 0
        self._changed = asyncio.Event()

    # --- what checks do ---

    def give(self, worker: WorkerToCheck, *, slow: bool = False, twice: bool = False) -> Message:
        """Have work for the next poll; the item."""
        self._count += 1
        item = {"token": f"token-{self._count}", "assignment": _assignment(worker, self._count, slow)}
        self.work += [item, item] if twice else [item]
        self._changed.set()
        return item

    def ask_to_stop(self, item: Message) -> None:
        """Order a delivery to be stopped with the next answer."""
        self.stop.append(item["token"])
        self._changed.set()

    def end_session(self) -> None:
        """Not know the session any more."""
        self.session = ""
        self._changed.set()

    def said(self, kind: str, since: float = 0.0) -> list[Heard]:
        """What the worker said of this kind."""
        return [one for one in self.heard if one.kind == kind and one.at >= since]

    def results(self, item: Message, since: float = 0.0) -> list[Message]:
        """The results of a delivery that came."""
        return [
            one["result"]
            for heard in self.said("report", since)
            for one in heard.message.get("results", ())
            if one["token"] == item["token"]
        ]

    def named(self, list_name: str, item: Message, since: float = 0.0) -> bool:
        """Whether a report named a delivery in that list."""
        for heard in self.said("report", since):
            for one in heard.message.get(list_name, ()):
                if (one if isinstance(one, str) else one["token"]) == item["token"]:
                    return True
        return False

    # --- ASGI ---

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        if self.silent:
            await asyncio.sleep(LEASE_S * 3)
            return
        status, answer = await self._answer(scope["method"], scope["path"], body)
        if status == 0:
            await asyncio.sleep(POLL_S * 2)  # the answer is lost: the connection ends without one
            return
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if answer is None else json.dumps(answer).encode()})

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Message | None]:
        _, _, rest = path.partition("/v1/workers")
        session, _, kind = rest.strip("/").partition("/")
        if not session:
            return self._hello(json.loads(body))
        if method == "DELETE":
            self._hear("leave", session, {})
            return 204, None
        message = json.loads(body)
        self._hear(kind, session, message)
        if session != self.session:
            return 410, {"status": 410, "code": "session-over", "detail": "say hello again"}
        if kind == "poll":
            return await self._poll(message)
        if kind == "beat":
            return 200, self._orders([])
        if kind == "report":
            recorded = [one["token"] for one in message.get("results", ())] if self.record else []
            return 200, {"recorded": recorded}
        return 404, {"status": 404, "detail": f"there is nothing at {path}"}

    def _hello(self, message: Message) -> tuple[int, Message]:
        self._count += 1
        self.session = f"session-{self._count}"
        self._hear("hello", self.session, message)
        times = {"leaseMs": round(LEASE_S * 1000), "beatMs": round(BEAT_S * 1000), "pollMs": round(POLL_S * 1000)}
        return 201, {"session": self.session, "server": "judge", "protocol": 1, **times}

    async def _poll(self, message: Message) -> tuple[int, Message | None]:
        mine, until = self.session, time.monotonic() + POLL_S
        while not (self.work and message["free"] > 0) and not self.stop and self.drain_ms is None and mine == self.session:
            self._changed.clear()
            left = until - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        if mine != self.session:
            return 410, {"status": 410, "detail": "say hello again"}
        if self.work and self.lose_poll:
            self.lose_poll = False
            return 0, None
        work, self.work = self.work, []
        return 200, self._orders(work)

    def _orders(self, work: list[Message]) -> Message:
        stop, self.stop = self.stop, []
        orders: Message = {}
        if work:
            orders["work"] = work
        if stop:
            orders["stop"] = stop
        if self.drain_ms is not None:
            orders["drainMs"], self.drain_ms = self.drain_ms, None
        return orders

    def _hear(self, kind: str, session: str, message: Message) -> None:
        self.heard.append(Heard(time.monotonic(), kind, session, message))


def _assignment(worker: WorkerToCheck, number: int, slow: bool) -> Message:
    return {
        "protocol": "aether/v1",
        "namespace": "default",
        "taskRunId": f"run-{number}/main.job",
        "workflowRunId": f"run-{number}",
        "attempt": 1,
        "epoch": 0,
        "path": "main.job",
        "taskName": "job",
        "templateName": "job",
        "retryCount": 0,
        "executorType": worker.executor,
        "config": {**worker.config, **(worker.slow_config if slow else {})},
        "inputs": {**worker.inputs, **(worker.slow_inputs if slow else {})},
        "secrets": [],
        "secretPlaces": {},
        "artifacts": {"inputs": {}, "outputs": []},
        "declaredOutputs": [],
        "payloads": [],
        "timeout": None,
        "deadline": None,
        "elapsed": None,
        "resources": None,
        "placement": None,
        "priority": 500,
        "idempotencyKey": f"run-{number}:main.job",
        "traceContext": None,
        "hook": None,
    }


# --- checks -----------------------------------------------------------------------------------------------------------


async def _until(holds: Callable[[], Any], fault: str, timeout_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            raise CheckFailedError(fault)
        await asyncio.sleep(0.02)


async def says_hello(judge: Judge, worker: WorkerToCheck) -> None:
    """It says hello, with version 1 and its executor"""
    await _until(lambda: judge.said("hello"), "no hello came")
    hello = judge.said("hello")[0].message
    if 1 not in hello.get("protocols", ()):
        raise CheckFailedError(f"protocols are {hello.get('protocols')}, without 1")
    offered = [one.get("name") for one in hello.get("executors", ())]
    if worker.executor not in offered:
        raise CheckFailedError(f"it offers {offered}, not {worker.executor!r}")


async def polls_and_beats(judge: Judge, worker: WorkerToCheck) -> None:
    """It polls with rising numbers, and beats beside the open poll"""
    since = time.monotonic()
    await _until(lambda: len(judge.said("poll", since)) >= 2, "no two polls came", POLL_S * 3)
    numbers = [one.message["poll"] for one in judge.said("poll") if one.session == judge.session]
    if numbers != sorted(set(numbers)):
        raise CheckFailedError(f"polls have the numbers {numbers}")
    await _until(lambda: len(judge.said("beat", since)) >= 3, "no beats came beside the open poll", BEAT_S * 10)


async def gives_a_result(judge: Judge, worker: WorkerToCheck) -> None:
    """It carries an attempt out, and its result names that attempt"""
    item = judge.give(worker)
    await _until(lambda: judge.results(item), "no result came")
    wanted = item["assignment"]
    try:
        ref = decode_result(judge.results(item)[0]).ref
    except WireError as error:
        raise CheckFailedError(str(error)) from None
    if (ref.task_run_id, ref.attempt, ref.epoch) != (wanted["taskRunId"], wanted["attempt"], wanted["epoch"]):
        raise CheckFailedError(f"the result names {ref}")


async def begins_once(judge: Judge, worker: WorkerToCheck) -> None:
    """What is delivered twice is carried out once"""
    item = judge.give(worker, twice=True)
    await _until(lambda: judge.results(item), "no result came")
    since = time.monotonic()
    await asyncio.sleep(1.0)
    await _until(lambda: len(judge.said("beat", since)) > 1, "no beat came")  # a machine may be busy for longer than a second
    if len(judge.results(item)) > 1:
        raise CheckFailedError(f"{len(judge.results(item))} results of one delivery came, although the first was recorded")


async def keeps_results(judge: Judge, worker: WorkerToCheck) -> None:
    """A result that was not recorded is held, and sent again"""
    judge.record = False
    item = judge.give(worker)
    await _until(lambda: len(judge.results(item)) >= 2, "the result was not sent again")
    since = time.monotonic()
    await _until(lambda: judge.said("beat", since), "no beat came")
    holding = judge.said("beat", since)[-1].message["holding"]
    judge.record = True
    if item["token"] not in holding:
        raise CheckFailedError("the delivery was not among `holding` while its result was kept")
    came = len(judge.results(item))
    await _until(lambda: len(judge.results(item)) > came, "the result was not sent again")
    await _until(lambda: item["token"] not in judge.said("beat")[-1].message["holding"], "it still holds what was recorded")


async def names_results_that_it_keeps(judge: Judge, worker: WorkerToCheck) -> None:
    """Its hello tells results that it keeps from attempts that it carries out"""
    judge.record = False
    item, slow = judge.give(worker), judge.give(worker, slow=True)
    await _until(lambda: judge.results(item), "no result came")
    since = time.monotonic()
    judge.end_session()
    await _until(lambda: judge.said("hello", since), "no hello came")
    hello = judge.said("hello", since)[0].message
    judge.record = True
    holding, results = hello.get("holding", ()), hello.get("results", ())
    if item["token"] not in holding or item["token"] not in results:
        raise CheckFailedError("the hello does not name the result that is kept in `holding` and in `results`")
    if slow["token"] in results:
        raise CheckFailedError("the hello names an attempt among `results` that it carries out")
    await _until(lambda: judge.results(slow), "the other attempt gave no result in the new session", 20)


async def survives_a_lost_answer(judge: Judge, worker: WorkerToCheck) -> None:
    """A poll whose answer is lost is followed by another, which does not hold what never came"""
    judge.lose_poll = True
    item = judge.give(worker)
    since = time.monotonic()
    await _until(lambda: not judge.lose_poll, "no poll came")
    await _until(lambda: judge.results(item, since), "the work was not taken by a later poll", POLL_S * 20)


async def says_hello_again(judge: Judge, worker: WorkerToCheck) -> None:
    """After 410 it says hello again, and shows what it holds"""
    item = judge.give(worker, slow=True)
    await _until(lambda: not judge.work, "no poll took the work")
    await asyncio.sleep(0.3)
    since = time.monotonic()
    judge.end_session()
    await _until(lambda: judge.said("hello", since), "no hello came")
    if item["token"] not in judge.said("hello", since)[0].message.get("holding", ()):
        raise CheckFailedError("the hello does not name the attempt that it carries out")
    await _until(lambda: judge.results(item), "the attempt gave no result in the new session", 20)


async def stops(judge: Judge, worker: WorkerToCheck) -> None:
    """It stops what it is asked to stop"""
    item = judge.give(worker, slow=True)
    await _until(lambda: not judge.work, "no poll took the work")
    await asyncio.sleep(0.3)
    judge.ask_to_stop(item)
    await _until(
        lambda: judge.named("returned", item) or judge.named("died", item) or judge.results(item),
        "it reported neither that the attempt was returned nor a result",
        20,
    )


async def stops_before_its_lease_ends(judge: Judge, worker: WorkerToCheck) -> None:
    """Without an answer it stops before its lease ends, and does not hold the attempt any more"""
    item = judge.give(worker, slow=True)
    await _until(lambda: not judge.work, "no poll took the work")
    await asyncio.sleep(0.3)
    judge.silent = True
    await asyncio.sleep(LEASE_S + 0.5)
    judge.end_session()
    since = time.monotonic()
    judge.silent = False
    await _until(lambda: judge.said("hello", since), "no hello came after the silence", 30)
    if item["token"] in judge.said("hello", since)[0].message.get("holding", ()):
        raise CheckFailedError("it still holds an attempt that another worker may have by now")
    await asyncio.sleep(SLOW_S)
    if judge.results(item, since):
        raise CheckFailedError("it gave a result of an attempt that another worker may have by now")


async def messages_fit(judge: Judge, worker: WorkerToCheck) -> None:
    """All messages fit the protocol"""
    shapes: Mapping[str, Any] = {"hello": Hello, "poll": Poll, "beat": BeatMessage, "report": WorkReport}
    for heard in judge.heard:
        if heard.kind in shapes:
            try:
                decode(heard.message, shapes[heard.kind])
            except WireError as error:
                raise CheckFailedError(str(error)) from None


Check = Callable[[Judge, WorkerToCheck], Awaitable[None]]

CHECKS: Final[Sequence[Check]] = (
    says_hello,
    polls_and_beats,
    gives_a_result,
    begins_once,
    keeps_results,
    names_results_that_it_keeps,
    survives_a_lost_answer,
    says_hello_again,
    stops,
    stops_before_its_lease_ends,
    messages_fit,
)


async def check_worker(
    worker: WorkerToCheck, *, checks: Sequence[Check] = CHECKS, port: int = 0
) -> AsyncIterator[CheckOutcome]:
    """Start a worker, and give the outcome of each check as it is known. The worker is asked to end at last (SIGTERM); where it
    ends by itself, no more checks are made.

    Args:
        worker: what to start.
        checks: which checks to make, in this order.
        port: of the judge on the loopback; a free one unless given.
    """
    import uvicorn

    judge = Judge()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(judge, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        process = await asyncio.create_subprocess_exec(
            *(part.replace("{server}", url) for part in worker.command), env={**os.environ, "AETHER_SERVER": url}
        )
        try:
            for check in checks:
                outcome = asyncio.create_task(_outcome(check, judge, worker))
                ended = asyncio.create_task(process.wait())
                done, _ = await asyncio.wait({outcome, ended}, return_when=asyncio.FIRST_COMPLETED)
                if outcome not in done:  # all other checks would wait for nothing
                    outcome.cancel()
                    told = f"the worker ended before it was asked to, with exit code {ended.result()}"
                    yield CheckOutcome(_name_of(check), told)
                    return
                yield outcome.result()
            yield await _leaves(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            server.should_exit = True
            await serving


async def _outcome(
    check: Callable[[Judge, WorkerToCheck], Awaitable[None]], judge: Judge, worker: WorkerToCheck
) -> CheckOutcome:
    name = _name_of(check)
    try:
        await check(judge, worker)
    except CheckFailedError as error:
        return CheckOutcome(name, str(error))
    except (KeyError, TypeError, ValueError) as error:  # a message without what every message has
        return CheckOutcome(name, f"a message does not fit: {type(error).__name__} {error}")
    return CheckOutcome(name, None)


def _name_of(check: Callable[[Judge, WorkerToCheck], Awaitable[None]]) -> str:
    return (check.__doc__ or check.__name__).strip()


async def _leaves(process: asyncio.subprocess.Process) -> CheckOutcome:
    name = "It ends by itself after SIGTERM, with exit code 0"
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        status = await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        return CheckOutcome(name, "it still ran after 15 s")
    return CheckOutcome(name, None if status == 0 else f"it ended with exit code {status}")
