"""What a task costs through a server and a worker, beside the bare HTTP that carries the same messages, Celery and Dask.

    python bench/bench_fleet.py [--tasks 5000] [--rounds 5] [--celery PYTHON] [--dask PYTHON]

Real processes over the loopback: a server (engine, store in memory, fleet, HTTP), a worker (supervisor and children) and a
fan-out of no-ops. The floor is Litestar and httpx2 with the same JSON bodies and nothing behind them; it has a row for each
number of tasks in a body, while ours has as many as there is room for at the worker. The collector is set as the commands set
it, on both sides. CPU is that of all processes of a side, in microseconds a task; rounds take turns, and the median counts.
Celery (with Redis from the system; `--celery PYTHON` names an interpreter that has celery[redis]) is the same fan-out by
`group`, with one worker process; so is dask.distributed (`--dask PYTHON`), by `Client.map`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from aether_protocol.ports.worker import Orders, Poll, Receipt, ResultReport, WorkItem, WorkReport

LIMIT: Final = 3.0  # of the floor's CPU, where that is about 50 us a task or more
CELERY_LIMIT: Final = 5.0  # times faster
DASK_LIMIT: Final = 3.0
BATCHES: Final = (32, 64, 128)  # tasks in a message of the floor
LIMITED: Final = frozenset({32, 64})
KEY: Final = b"0123456789abcdef0123456789abcdef"


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and of all below it."""
    ticks = os.sysconf("SC_CLK_TCK")
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / ticks
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return total


# --- the floor ---


def floor_server(port: int, assignment: bytes) -> None:
    """Answers polls with as many assignments as are asked for, and takes reports."""
    import uvicorn
    from litestar import Litestar, post

    one = msgspec.json.decode(assignment)

    @post("/poll", status_code=200)
    async def poll(data: Poll) -> Orders:
        return Orders(work=[WorkItem(token=f"token-{number}", assignment=one) for number in range(data.free)])

    @post("/report", status_code=200)
    async def report(data: WorkReport) -> Receipt:
        return Receipt(recorded=[result.token for result in data.results])

    app = Litestar([poll, report], openapi_config=None, logging_config=None, request_max_body_size=None)
    uvicorn.run(app, port=port, log_config=None, access_log=False)


async def floor_worker(port: int, tasks: int, batch: int) -> None:
    """Polls and reports until so many tasks are done, `batch` at a time; writes how much CPU that took, in seconds."""
    import httpx2 as httpx

    encode, names = msgspec.json.Encoder().encode, ("taskRunId", "workflowRunId", "attempt", "epoch")
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        done, cpu = 0, 0.0
        while done < tasks:
            if done == batch:  # the first one opens the connection
                cpu = time.process_time()
            poll = Poll(poll=done + 1, free=min(batch, tasks - done), holding=[])
            work = msgspec.json.decode((await client.post("/poll", content=encode(poll))).content, type=Orders).work
            results = [
                ResultReport(token=item.token, result={**{name: item.assignment[name] for name in names}, "code": 0})
                for item in work
            ]
            body = encode(WorkReport(started=[item.token for item in work], results=results))
            done += len(msgspec.json.decode((await client.post("/report", content=body)).content, type=Receipt).recorded)
        print(time.process_time() - cpu)


# --- ours ---


def document(tasks: int) -> dict[str, Any]:
    """A fan-out of no-ops."""
    each = [{"name": f"t{number}", "executor": {"type": "noop"}} for number in range(tasks)]
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "fan"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": each}}]},
    }


async def our_server(port: int, tasks: int) -> None:
    """Serves one fan-out for each line on standard input; writes how long it took, in seconds."""
    import uvicorn

    from aether_protocol import Engine
    from aether_protocol.adapters.brokers.workers import WorkerBroker
    from aether_protocol.engine.clock import SystemClock
    from aether_protocol.server.app import make_app
    from aether_protocol.server.parts import ServerParts
    from aether_protocol.service import client_of

    broker = WorkerBroker(SystemClock(), KEY)
    async with Engine(broker=broker) as engine:
        app = make_app(ServerParts(workers=broker))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve())
        plan = engine.plan(document(tasks))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            begun, cpu = time.perf_counter(), time.process_time()
            run = await engine.submit(plan)
            report = await client_of(engine).runs.wait(run)
            took = time.perf_counter() - begun
            print(json.dumps([took, time.process_time() - cpu, str(report.phase)]), flush=True)
        server.should_exit = True
        await serving


def our_worker(port: int, slots: int) -> None:
    from aether_protocol.worker import Worker

    with tempfile.TemporaryDirectory() as cache:
        Worker(f"http://127.0.0.1:{port}", slots={"tasks": slots}, executors=["noop"], cache=cache).run()


def role(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], text=True, **more)


class Floor:
    """CPU and time of the floor."""

    def __init__(self, assignment: bytes) -> None:
        self.port = free_port()
        self.server = role("floor-server", self.port, assignment.decode())
        wait_for(self.port)

    def round(self, tasks: int, batch: int) -> float:
        """CPU of one round, in microseconds a task; the worker's start is not in it."""
        before = cpu_of(self.server.pid)
        worker = role("floor-worker", self.port, tasks + batch, batch, stdout=subprocess.PIPE)
        spent, _ = worker.communicate()
        return (cpu_of(self.server.pid) - before + float(spent)) / tasks * 1e6

    def close(self) -> None:
        end(self.server)


class Ours:
    """CPU and time of a server and one worker."""

    def __init__(self, tasks: int, slots: int) -> None:
        port = free_port()
        self.tasks = tasks
        self.server = role("our-server", port, tasks, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "ready\n"
        wait_for(port)
        self.worker = role("our-worker", port, slots)
        self.parts: list[tuple[float, float]] = []  # CPU of server and worker

    def round(self) -> tuple[float, float]:
        """CPU and wall time of one fan-out, in microseconds a task."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        pids = self.server.pid, self.worker.pid
        before = [cpu_of(pid) for pid in pids]
        print("go", file=self.server.stdin, flush=True)
        took, _, phase = json.loads(self.server.stdout.readline())
        assert phase == "Succeeded", phase
        server, worker = ((cpu_of(pid) - first) / self.tasks * 1e6 for pid, first in zip(pids, before, strict=True))
        self.parts.append((server, worker))
        return server + worker, took / self.tasks * 1e6

    def close(self) -> None:
        end(self.worker)
        end(self.server)


def wait_for(port: int) -> None:
    for _ in range(500):
        with socket.socket() as made:
            if made.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit("a server did not begin")


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


# --- celery ---

CELERY_APP: Final = """
import sys
from celery import Celery, group
app = Celery("bench", broker="redis://127.0.0.1:PORT/0", backend="redis://127.0.0.1:PORT/1")
app.conf.update(task_ignore_result=False, worker_prefetch_multiplier=64)
@app.task(name="noop")
def noop():
    return None
if __name__ == "__main__":
    import time
    tasks = int(sys.argv[1])
    begun = time.perf_counter()
    group(noop.s() for _ in range(tasks)).apply_async().join(timeout=300)
    print(time.perf_counter() - begun)
"""


def celery_round(python: str, tasks: int) -> float | None:
    """Wall time of the fan-out through Celery and Redis, in microseconds a task; None where they are not installed."""
    if shutil.which("redis-server") is None:
        return None
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_app.py").write_text(CELERY_APP.replace("PORT", str(port)))
        more: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        redis = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", folder], **more)
        wait_for(port)
        command = [python, "-m", "celery", "-A", "bench_app", "worker", "-P", "solo", "--without-gossip", "-l", "ERROR"]
        worker = subprocess.Popen(command, **more)
        try:
            time.sleep(4)
            command = [python, "bench_app.py", str(tasks)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            return float(done.stdout) / tasks * 1e6
        finally:
            worker.kill()
            worker.wait()
            redis.kill()
            redis.wait()


# --- dask ---


def dask_client(file: str, tasks: int) -> None:
    """Writes how long a fan-out took that a client of dask.distributed submits, in seconds; the second one."""
    from distributed import Client

    client = Client(scheduler_file=file)
    for _ in range(2):
        begun = time.perf_counter()
        client.gather(client.map(_nothing, range(tasks), pure=False))
        took = time.perf_counter() - begun
    print(took)


def _nothing(number: int) -> None:
    return None


def dask_round(python: str, tasks: int) -> float:
    """Wall time of the fan-out through dask.distributed with one worker process, in microseconds a task."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "scheduler.json"))
        more: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        common = ["--host", "127.0.0.1", "--scheduler-file", file, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        scheduler = [python, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0"]
        worker = [python, "-m", "distributed.cli.dask_worker", *common, "--no-nanny", "--nthreads", "1"]
        processes = [subprocess.Popen(scheduler, **more)]
        try:
            while not Path(file).exists() or not Path(file).read_text():
                time.sleep(0.1)
            processes.append(subprocess.Popen(worker, **more))
            command = [python, __file__, "dask-client", file, str(tasks)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            return float(done.stdout) / tasks * 1e6
        finally:
            for process in processes:
                process.kill()
                process.wait()


def assignment_of_ours() -> bytes:
    """The assignment of a no-op as it goes over the wire."""
    from aether_protocol.ports.wire_json import encode_assignment
    from aether_protocol.testing.contracts.broker import work

    return msgspec.json.encode(encode_assignment(work(1, "noop")))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--slots", type=int, default=1_000)
    options.add_argument("--celery", metavar="PYTHON", help="also the same through Celery and Redis")
    options.add_argument("--dask", metavar="PYTHON", help="also the same through dask.distributed")
    given = options.parse_args()
    floor, ours = Floor(assignment_of_ours()), Ours(given.tasks, given.slots)
    floors: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    rounds: list[tuple[float, float]] = []
    try:
        ours.round()  # children are begun
        for _ in range(given.rounds):
            for batch in BATCHES:
                floors[batch].append(floor.round(given.tasks, batch))
                rounds.append(ours.round())
    finally:
        floor.close()
        ours.close()
    cost, wall = (statistics.median(several) for several in zip(*rounds, strict=True))
    server, worker = (statistics.median(several) for several in zip(*ours.parts, strict=True))
    print(f"server and worker     {cost:8.1f} us CPU a task (server {server:.0f}, worker {worker:.0f}), {wall:.1f} wall")
    missed = False
    for batch, several in floors.items():
        bare = statistics.median(several)
        missed |= batch in LIMITED and cost / bare > LIMIT
        limit = f", limit {LIMIT}" if batch in LIMITED else ""
        print(f"bare HTTP, {batch:3} tasks  {bare:8.1f} us CPU a task; ours is {cost / bare:.2f} times that{limit}")
    if given.celery:
        theirs = celery_round(given.celery, min(given.tasks, 2_000))
        if theirs is None:
            print("Celery                not measured: there is no redis-server")
        else:
            ratio = f"{theirs / wall:.1f} times faster, limit {CELERY_LIMIT}"
            print(f"Celery and Redis      {theirs:8.1f} us wall a task; ours is {ratio}")
            missed |= theirs / wall < CELERY_LIMIT
    if given.dask:
        theirs = dask_round(given.dask, min(given.tasks, 2_000))
        ratio = f"{theirs / wall:.1f} times faster, limit {DASK_LIMIT}"
        print(f"dask.distributed      {theirs:8.1f} us wall a task; ours is {ratio}")
        missed |= theirs / wall < DASK_LIMIT
    return int(missed)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `aether serve` and `aether worker` set it
    match sys.argv[1:]:
        case ["floor-server", port, assignment]:
            floor_server(int(port), assignment.encode())
        case ["floor-worker", port, tasks, batch]:
            asyncio.run(floor_worker(int(port), int(tasks), int(batch)))
        case ["our-server", port, tasks]:
            asyncio.run(our_server(int(port), int(tasks)))
        case ["our-worker", port, slots]:
            our_worker(int(port), int(slots))
        case ["dask-client", file, tasks]:
            dask_client(file, int(tasks))
        case _:
            sys.exit(main())
