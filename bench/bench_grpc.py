"""What a task costs over gRPC, beside a bare stream of grpc.aio that carries the same messages by the same codec.

    python bench/bench_grpc.py [--tasks 5000] [--rounds 5]

Real processes over the loopback, both sides with the same frames (`ports.grpc`), as many tasks in a message on both sides. The
floor answers each poll with as many assignments as are asked for, and takes each report. Beside it:

    twin    the server's edge for gRPC (the port that tells HTTP from gRPC, gate, frames), behind it a broker that answers as
            the floor does, and the transport of `aether worker --grpc`: what the gRPC twin adds to its floor
    fleet   the same with the broker for workers: attempts are queued, matched, named by signed tokens, and their results read;
            all of it is the same over HTTP
    whole   engine, store in memory, server, `aether worker --grpc` with its children: a fan-out of no-ops

CPU is that of all processes of a side, in microseconds a task; rounds take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from bench_fleet import KEY, assignment_of_ours, cpu_of, document, end, free_port, wait_for

from aether_protocol.ports import worker as w

LIMIT: Final = 1.5  # of the floor's CPU
BATCHES: Final = (32, 64, 128)  # tasks in a message
SIDES: Final = ("floor", "twin", "fleet")
_NAMES: Final = ("taskRunId", "workflowRunId", "attempt", "epoch")


def role(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], text=True, **more)


# --- the floor ---


async def floor_server(port: int, assignment: bytes) -> None:
    """Answers polls with as many assignments as are asked for, and takes reports."""
    import grpc

    from aether_protocol.ports.grpc import aether_pb2 as pb
    from aether_protocol.ports.grpc.messages import read_message, write_message
    from aether_protocol.ports.grpc.services import methods

    one = msgspec.json.decode(assignment)
    (method,) = (each for each in methods() if each.name == "WorkerService.Work")

    async def work(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for frame in requests:
            if frame.WhichOneof("message") == "poll":
                poll = read_message(frame.poll, w.Poll)
                orders = w.Orders(work=[w.WorkItem(token=f"token-{number}", assignment=one) for number in range(poll.free)])
                yield pb.ServerFrame(number=frame.number, orders=write_message(orders, pb.Orders()))
            else:
                report = read_message(frame.report, w.WorkReport)
                receipt = w.Receipt(recorded=[result.token for result in report.results])
                yield pb.ServerFrame(number=frame.number, receipt=write_message(receipt, pb.WorkReceipt()))

    handler = grpc.stream_stream_rpc_method_handler(work, method.request.FromString, method.answer.SerializeToString)
    service, _, name = method.path.removeprefix("/").partition("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def floor_worker(port: int, tasks: int, batch: int) -> None:
    """Polls and reports until so many tasks are done, `batch` at a time; writes how much CPU that took, in seconds."""
    import grpc

    from aether_protocol.ports.grpc import aether_pb2 as pb
    from aether_protocol.ports.grpc.messages import read_message, write_message
    from aether_protocol.ports.grpc.services import GrpcStub

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = GrpcStub(channel, "WorkerService").Work()
        number, done, cpu = 0, 0, 0.0
        while done < tasks:
            if done == batch:  # the first one opens the connection
                cpu = time.process_time()
            poll = w.Poll(poll=done + 1, free=min(batch, tasks - done), holding=[])
            await stream.write(pb.WorkerFrame(number=number + 1, session="s", poll=write_message(poll, pb.Poll())))
            work = read_message((await stream.read()).orders, w.Orders).work
            report = report_of(work)
            await stream.write(pb.WorkerFrame(number=number + 2, session="s", report=write_message(report, pb.WorkReport())))
            done += len(read_message((await stream.read()).receipt, w.Receipt).recorded)
            number += 2
        print(time.process_time() - cpu)
        await stream.done_writing()


def report_of(work: list[w.WorkItem]) -> w.WorkReport:
    """What a worker says of tasks that did nothing."""
    results = [
        w.ResultReport(token=item.token, result={**{name: item.assignment[name] for name in _NAMES}, "code": 0})
        for item in work
    ]
    return w.WorkReport(started=[item.token for item in work], results=results)


# --- the twin, alone and with the fleet ---


def answering(assignment: bytes) -> Any:
    """A broker for workers that answers as the floor does."""
    from aether_protocol.adapters.brokers.workers import WorkerBroker
    from aether_protocol.engine.clock import SystemClock

    one = msgspec.json.decode(assignment)

    class Answering(WorkerBroker):
        async def poll(self, name: str, poll: w.Poll, **_: Any) -> w.Orders:
            return w.Orders(work=[w.WorkItem(token=f"token-{number}", assignment=one) for number in range(poll.free)])

        async def report(self, name: str, report: w.WorkReport, **_: Any) -> w.Receipt:
            return w.Receipt(recorded=[result.token for result in report.results])

    return Answering(SystemClock(), KEY)


async def twin_server(port: int, assignment: bytes) -> None:
    """Like `floor_server`, by the edge of our server."""
    await (await serve(port, answering(assignment)))


class Acknowledging:
    """A sink for which all is stored at once."""

    def finished(self, result: Any, stored: Any = None) -> None:
        if stored is not None:
            stored()

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


async def serve(port: int, broker: Any) -> Any:
    """The edge of a server, with gRPC."""
    import uvicorn

    from aether_protocol.server.app import make_app
    from aether_protocol.server.grpc.port import GrpcPort
    from aether_protocol.server.parts import ServerParts

    parts = ServerParts(workers=broker)
    server = uvicorn.Server(uvicorn.Config(make_app(parts), port=0, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    at = socket.create_server(("127.0.0.1", port))
    at.setblocking(False)
    while not server.started:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    await GrpcPort(at, None).start(parts, server)
    return serving


async def fleet_server(port: int) -> None:
    """Offers as many tasks as a line on standard input says."""
    from aether_protocol.adapters.brokers.workers import WorkerBroker
    from aether_protocol.engine.clock import SystemClock
    from aether_protocol.testing.contracts.broker import work

    broker = WorkerBroker(SystemClock(), KEY)
    broker.start(Acknowledging())  # type: ignore[arg-type]
    serving = await serve(port, broker)
    number = 0
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        tasks = [work(number + one, "noop") for one in range(int(line))]
        number += len(tasks)
        await broker.dispatch(tasks)
        print("offered", flush=True)
    serving.cancel()


async def twin_worker(port: int, tasks: int, batch: int) -> None:
    """Like `floor_worker`, by the transport of `aether worker --grpc`."""
    from aether_protocol.worker.grpc import GrpcTransport
    from aether_protocol.worker.offers import offers_of
    from aether_protocol.worker.process import hello_of

    transport = GrpcTransport(f"http://127.0.0.1:{port}")
    session = (await transport.hello(hello_of(offers_of(["noop"]), slots={"tasks": batch}))).session
    done, cpu = 0, 0.0
    while done < tasks:
        if done == batch:
            cpu = time.process_time()
        free = min(batch, tasks - done)
        work = (await transport.poll(session, w.Poll(poll=done + 1, free=free, holding=[]), 10.0)).work
        done += len((await transport.report(session, report_of(work))).recorded)
    print(time.process_time() - cpu)
    await transport.leave(session)
    await transport.close()


# --- the whole ---


async def whole_server(port: int, tasks: int) -> None:
    """Serves one fan-out for each line on standard input; writes how long it took, in seconds."""
    from aether_protocol import Engine
    from aether_protocol.adapters.brokers.workers import WorkerBroker
    from aether_protocol.engine.clock import SystemClock
    from aether_protocol.service import client_of

    broker = WorkerBroker(SystemClock(), KEY)
    async with Engine(broker=broker) as engine:
        serving = await serve(port, broker)
        plan = engine.plan(document(tasks))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            begun = time.perf_counter()
            run = await engine.submit(plan)
            report = await client_of(engine).runs.wait(run)
            print(json.dumps([time.perf_counter() - begun, str(report.phase)]), flush=True)
        serving.cancel()


def whole_worker(port: int, slots: int) -> None:
    from aether_protocol.worker import Worker

    with tempfile.TemporaryDirectory() as cache:
        Worker(f"http://127.0.0.1:{port}", slots={"tasks": slots}, executors=["noop"], cache=cache, grpc=True).run()


# --- rounds ---


class Side:
    """A server, and how a round with it goes."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self.port = free_port()
        self.server = role(f"{name}-server", self.port, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if name in ("fleet", "whole"):
            self.said()
        wait_for(self.port)

    def said(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline()

    def say(self, text: object) -> None:
        assert self.server.stdin is not None
        print(text, file=self.server.stdin, flush=True)

    def round(self, tasks: int, batch: int) -> float:
        """CPU of one round, in microseconds a task; the worker's start is not in it."""
        before = cpu_of(self.server.pid)
        if self.name == "fleet":
            self.say(tasks + batch)
            self.said()
        kind = "floor" if self.name == "floor" else "twin"
        worker = role(f"{kind}-worker", self.port, tasks + batch, batch, stdout=subprocess.PIPE)
        spent, _ = worker.communicate()
        return (cpu_of(self.server.pid) - before + float(spent)) / tasks * 1e6


class Whole(Side):
    def __init__(self, tasks: int, slots: int) -> None:
        super().__init__("whole", tasks)
        self.tasks = tasks
        self.worker = role("whole-worker", self.port, slots)

    def fan_out(self) -> tuple[float, float]:
        """CPU and wall time of one fan-out, in microseconds a task."""
        pids = self.server.pid, self.worker.pid
        before = sum(map(cpu_of, pids))
        self.say("go")
        took, phase = json.loads(self.said())
        assert phase == "Succeeded", phase
        return (sum(map(cpu_of, pids)) - before) / self.tasks * 1e6, took / self.tasks * 1e6


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--slots", type=int, default=1_000)
    given = options.parse_args()
    assignment = assignment_of_ours().decode()
    sides = [Side("floor", assignment), Side("twin", assignment), Side("fleet")]
    whole = Whole(given.tasks, given.slots)
    found: dict[tuple[str, int], list[float]] = {(name, batch): [] for name in SIDES for batch in BATCHES}
    rounds: list[tuple[float, float]] = []
    try:
        whole.fan_out()  # children are begun
        for _ in range(given.rounds):
            for batch in BATCHES:
                for side in sides:
                    found[side.name, batch].append(side.round(given.tasks, batch))
            rounds.append(whole.fan_out())
    finally:
        for process in (*(side.server for side in sides), whole.worker, whole.server):
            end(process)
    cost, wall = (statistics.median(several) for several in zip(*rounds, strict=True))
    missed = False
    for batch in BATCHES:
        bare, twin, fleet = (statistics.median(found[name, batch]) for name in SIDES)
        missed |= twin / bare > LIMIT
        times = f"{twin / bare:.2f} times, limit {LIMIT}"
        print(f"{batch:3} tasks: bare stream {bare:5.1f} us CPU a task; twin {twin:5.1f}: {times}")
        print(f"           with the fleet {fleet:5.1f}: {fleet / bare:.2f} times; whole {cost:5.1f}: {cost / bare:.2f} times")
    print(f"whole: {wall:.1f} us wall a task")
    return int(missed)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `aether serve` and `aether worker` set it
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    match sys.argv[1:]:
        case ["floor-server", port, assignment]:
            asyncio.run(floor_server(int(port), assignment.encode()))
        case ["twin-server", port, assignment]:
            asyncio.run(twin_server(int(port), assignment.encode()))
        case ["fleet-server", port]:
            asyncio.run(fleet_server(int(port)))
        case ["whole-server", port, tasks]:
            asyncio.run(whole_server(int(port), int(tasks)))
        case ["floor-worker", port, tasks, batch]:
            asyncio.run(floor_worker(int(port), int(tasks), int(batch)))
        case ["twin-worker", port, tasks, batch]:
            asyncio.run(twin_worker(int(port), int(tasks), int(batch)))
        case ["whole-worker", port, slots]:
            whole_worker(int(port), int(slots))
        case _:
            sys.exit(main())
