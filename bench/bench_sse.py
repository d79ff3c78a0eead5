"""What an event costs that is sent to readers (SSE), beside a bare Litestar response that sends the same bytes.

    python bench/bench_sse.py [--readers 20] [--tasks 500] [--rounds 5]

Two servers over the loopback (uvicorn), the same readers at each. Ours sends what happens in a run while it runs (`live`: a
chain of no-ops, each an entry of its own), the same to readers who come afterwards (`past`), and what changes in a store in
which many runs are submitted (`changes`). The bare one sends the same log entries and changes, each as a message of its own.
CPU is that of the server, in microseconds for each of them and reader; what the runs cost without readers is taken off.
Rounds take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Final

LIMIT: Final = 1.5  # times the bare response

def chain(tasks: int, begin: str) -> dict[str, Any]:
    """No-ops, one after the other, after a pause in which readers come."""
    first = {"name": "t0", "executor": {"type": "sleep", "config": {"duration": begin}}}
    others = [{"name": f"t{n}", "executor": {"type": "noop"}, "dependencies": [f"t{n - 1}"]} for n in range(1, tasks)]
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "chain"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": [first, *others]}}]},
    }


# --- servers ---


async def our_server(port: int, tasks: int) -> None:
    """Serves, and does what each line on standard input says: `chain RUN` or `many PREFIX`; answers when that is done."""
    import uvicorn

    from aether_protocol import Engine
    from aether_protocol.server import asgi
    from aether_protocol.service import client_of

    async with Engine() as engine:
        server = uvicorn.Server(uvicorn.Config(asgi(engine), port=port, log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve())
        plan, small = engine.plan(chain(tasks, "2s")), engine.plan(chain(1, "1ms"))
        client = client_of(engine)
        while line := await asyncio.to_thread(sys.stdin.readline):
            what, name = line.split()
            if what == "chain":
                await client.runs.wait(await engine.submit(plan, run_id=name))
            else:
                for number in range(tasks):
                    await client.runs.wait(await engine.submit(small, run_id=f"{name}-{number}"))
            print("done", flush=True)
        server.should_exit = True
        await serving


def bare_server(port: int, file: str) -> None:
    """Sends the messages of a file, one at a time."""
    import uvicorn
    from litestar import Litestar, get
    from litestar.response import Stream

    async def pour(parts: list[bytes]) -> AsyncGenerator[bytes, None]:
        for part in parts:
            yield part + b"\n\n"

    def follow() -> Any:
        return Stream(pour(Path(file).read_bytes().split(b"\n\n")[:-1]), media_type="text/event-stream")

    app = Litestar([get("/follow", sync_to_thread=False)(follow)], openapi_config=None, logging_config=None)
    uvicorn.run(app, port=port, log_config=None, access_log=False)


class Served:
    """A server in a process of its own."""

    def __init__(self, role: str, *arguments: object) -> None:
        with socket.socket() as made:
            made.bind(("127.0.0.1", 0))
            self.port = int(made.getsockname()[1])
        command = [sys.executable, __file__, role, str(self.port), *map(str, arguments)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(500):
            with socket.socket() as made:
                if made.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit("a server did not begin")

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(one.read_text().split()[0]) for one in threads) / 1e9

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def answer(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


# --- readers ---


async def read(port: int, path: str, enough: Callable[[bytes], bool]) -> bytes:
    """Follow a stream until `enough` says so of its end; return its messages."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: text/event-stream\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()
    while await reader.readline() != b"\r\n":
        pass
    parts: list[bytes] = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
        if enough(parts[-1]):
            break
    writer.close()
    return b"".join(parts)


async def read_all(port: int, path: str, readers: int, enough: Callable[[bytes], bool]) -> bytes:
    """Let so many readers follow a stream; what one of them got."""
    return (await asyncio.gather(*(read(port, path, enough) for _ in range(readers))))[0]


def ended(part: bytes) -> bool:
    return b"event: end\n" in part


def single(messages: bytes) -> bytes:
    """Write each change as a message of its own."""
    parts = [part.partition(b"data: ")[2] for part in messages.split(b"\n\n")]
    changes = [change for part in parts if part for change in json.loads(part)]
    return b"".join(b"id: %d\ndata: [%b]\n\n" % (one["cursor"], json.dumps(one).encode()) for one in changes)


class Bench:
    """Both sides, and what was measured, in microseconds an event and reader."""

    def __init__(self, readers: int, tasks: int, folder: Path) -> None:
        self.readers, self.tasks, self.folder = readers, tasks, folder
        self.ours, self.bare = Served("our-server", tasks), Served("bare-server", folder / "messages")
        self.runs = 0
        self.costs: dict[str, list[tuple[float, float]]] = {}

    def note(self, what: str, spent: float, messages: bytes) -> None:
        """Let the bare server send the same events, and note both costs."""
        messages = single(messages) if what == "changes" else messages
        each = messages.count(b"\n\n") * self.readers / 1e6
        (self.folder / "messages").write_bytes(messages)
        before = self.bare.cpu
        got = asyncio.run(read_all(self.bare.port, "/follow", self.readers, lambda part: False))
        assert got == messages
        self.costs.setdefault(what, []).append((spent / each, (self.bare.cpu - before) / each))

    def follow(self, line: str, path: str, enough: Callable[[bytes], bool]) -> tuple[float, bytes]:
        """Let the server do something with readers and without them; what they cost, and what they got."""
        alone = self.spend(line.format(f"a{self.runs}"))
        before = self.ours.cpu
        name = f"b{self.runs}"
        self.runs += 1
        if line.startswith("chain"):
            self.ours.say(line.format(name))
            time.sleep(0.2)

        async def both() -> bytes:
            reading = asyncio.create_task(read_all(self.ours.port, path.format(name), self.readers, enough))
            if not line.startswith("chain"):
                await asyncio.sleep(0.5)
                self.ours.say(line.format(name))
            return await reading

        messages = asyncio.run(both())
        self.ours.answer()
        return self.ours.cpu - before - alone, messages

    def spend(self, line: str) -> float:
        before = self.ours.cpu
        self.ours.say(line)
        self.ours.answer()
        return self.ours.cpu - before

    def round(self) -> None:
        spent, messages = self.follow("chain {}", "/v1/runs/{}/events/follow", ended)
        self.note("live", spent, messages)
        before = self.ours.cpu
        past = f"/v1/runs/b{self.runs - 1}/events/follow"
        messages = asyncio.run(read_all(self.ours.port, past, self.readers, ended))
        self.note("past", self.ours.cpu - before, messages)
        last = f'"runId":"b{self.runs}-{self.tasks - 1}"'.encode()

        def last_ended(part: bytes) -> bool:
            return last in part and b'"phase":"Succeeded"' in part[part.rfind(last) :]

        spent, messages = self.follow("many {}", "/v1/changes/follow", last_ended)
        self.note("changes", spent, messages)

    def close(self) -> None:
        self.ours.close()
        self.bare.close()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--readers", type=int, default=100)
    options.add_argument("--tasks", type=int, default=500)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given.readers, given.tasks, Path(folder))
        try:
            for _ in range(given.rounds):
                bench.round()
        finally:
            bench.close()
    missed = False
    for what, costs in bench.costs.items():
        ours, bare = (statistics.median(several) for several in zip(*costs, strict=True))
        missed |= ours / bare > LIMIT
        print(f"{what:8} {ours:6.1f} us CPU an event and reader; bare {bare:6.1f}: {ours / bare:.2f} times, limit {LIMIT}")
    return int(missed)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `aether serve` sets it
    match sys.argv[1:]:
        case ["our-server", port, tasks]:
            asyncio.run(our_server(int(port), int(tasks)))
        case ["bare-server", port, file]:
            bare_server(int(port), file)
        case _:
            sys.exit(main())
