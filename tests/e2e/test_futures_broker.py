"""FuturesBroker with real pools of threads and processes: attempts in child processes, their logs, stops, losses and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine, LogRecord
from aether_protocol.adapters.brokers.futures import FuturesBroker
from aether_protocol.service import client_of
from aether_protocol.views.report import Report
from tests.documents import submitted
from tests.e2e.servers import lines_in, wait_for
from tests.e2e.worker_place import is_alive, until

pytestmark = pytest.mark.rule("RT-145")

PATIENCE_S = 60.0
ANSWER = {"parameters": [{"name": "answer", "type": "integer"}]}


def processes(count: int = 2) -> ProcessPoolExecutor:
    """A pool of processes that are not forks of this one, which has threads."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


class Own(Executor):
    """An executor of somebody's own, whose calls are not linked to their broker, as on another machine."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2)

    def submit(self, call: Any, /, *given: Any, **named: Any) -> Future[Any]:
        return self._threads.submit(call, given[0], "/nowhere/broker")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


def task(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "executor": {"type": "script", "config": {"runtime": "bash", "source": script}}, **more}


@contextlib.asynccontextmanager
async def engine_of(broker: FuturesBroker, **parts: Any) -> AsyncIterator[Engine]:
    async with asyncio.timeout(PATIENCE_S), Engine(broker=broker, **parts) as engine:
        yield engine


async def ended(engine: Engine, document: dict[str, Any]) -> Report:
    run = await engine.submit(document)
    report: Report = await client_of(engine).runs.wait(run)
    return report


def results(report: Report) -> dict[str, tuple[str, str]]:
    return {one.task_name: (one.phase, one.message) for one in report.tasks if one.template_type == "task"}


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), processes, Own], ids=["threads", "processes", "own"])
def test_a_run_in_a_pool(make: Callable[[], Executor]) -> None:
    """Outputs, logs and an inline executor; a failure is a failure."""
    document = submitted(
        task("says", "echo one; echo two >&2; echo answer=42 >> $AETHER_OUTPUTS", outputs=ANSWER),
        task("fails", "echo no >&2; exit 3"),
        {"name": "inline", "executor": {"type": "noop"}},
    )

    async def go() -> None:
        logs: list[LogRecord] = []
        with make() as pool:
            async with engine_of(FuturesBroker(pool)) as engine:
                engine.log_observers.append(logs.append)
                report = await ended(engine, document)
        found = results(report)
        assert {name: phase for name, (phase, _) in found.items()} == {
            "says": "Succeeded",
            "fails": "Failed",
            "inline": "Succeeded",
        }
        (says,) = [one for one in report.tasks if one.task_name == "says"]
        assert says.outputs["answer"] == 42
        texts = {(one.stream, one.text.strip()) for one in logs}
        assert {("stdout", "one"), ("stderr", "two"), ("stderr", "no")} <= texts

    asyncio.run(go())


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(1), lambda: processes(1)], ids=["threads", "processes"])
def test_a_cancelled_run_ends_the_program_that_it_has(make: Callable[[], Executor], tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def go() -> None:
        with make() as pool:
            async with engine_of(FuturesBroker(pool)) as engine:
                run = await engine.submit(submitted(task("long", f"echo $$ > {note}; sleep 600")))
                await until(lambda: bool(lines_in(note)))
                pid = int(note.read_text())
                await client_of(engine).control.cancel(run)
                await until(lambda: not is_alive(pid))
                report = await ended(engine, submitted(task("next", "true")))  # the slot is free again
                assert report.phase == "Succeeded"

    asyncio.run(go())


def test_a_child_that_dies_is_blamed_and_others_run_on() -> None:
    async def go() -> None:
        with processes(2) as pool:
            async with engine_of(FuturesBroker(pool)) as engine:
                report = await ended(engine, submitted(task("deadly", "kill -9 $PPID; sleep 60"), task("other", "sleep 1")))
        found = results(report)
        assert found["other"][0] == "Succeeded"
        assert found["deadly"][0] == "Error"
        assert "its process died 3 times in a row (signal 9" in found["deadly"][1]

    asyncio.run(go())


def test_a_pool_that_breaks_is_made_anew_and_no_attempt_is_blamed(tmp_path: Path) -> None:
    """Each time that the task runs it notes it; four times the process of the pool that has it is killed then."""
    note = tmp_path / "times"
    pools: list[ProcessPoolExecutor] = []

    def make() -> ProcessPoolExecutor:
        pools.append(processes(1))
        return pools[-1]

    async def go() -> None:
        async with engine_of(FuturesBroker(make)) as engine:
            run = await engine.submit(submitted(task("slow", f"echo x >> {note}; [ $(wc -l < {note}) = 5 ] || sleep 600")))
            for times in range(1, 5):
                await until(lambda times=times: len(lines_in(note)) == times)  # type: ignore[misc]
                (pid,) = pools[-1]._processes
                os.kill(pid, signal.SIGKILL)
            report = await client_of(engine).runs.wait(run)
        assert (report.phase, len(pools)) == ("Succeeded", 5)

    asyncio.run(go())


def test_a_pool_that_is_broken_and_cannot_be_made_anew_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        async with engine_of(FuturesBroker(pool)) as engine:
            run = await engine.submit(submitted(task("waits", "true")))
            await until(lambda: "cannot schedule new futures after shutdown" in caplog.text)
            assert (await client_of(engine).runs.report(run)).tasks[-1].phase == "Ready"

    asyncio.run(go())


def test_tasks_with_artifacts_need_a_repository_that_both_sides_reach(tmp_path: Path) -> None:
    keeps = {"outputs": {"artifacts": [{"name": "note", "path": "note.txt"}]}}
    document = submitted(task("writes", "echo hello > note.txt", **keeps))

    async def go(**parts: Any) -> tuple[str, str]:
        with ThreadPoolExecutor(1) as pool:
            store = f"sqlite:{tmp_path}/runs.db?artifacts={tmp_path}/kept"
            async with engine_of(FuturesBroker(pool, **parts), store=store) as engine:
                return results(await ended(engine, document))["writes"]

    phase, message = asyncio.run(go())
    assert phase == "Error"
    assert "the task cannot be sent to a worker: it keeps artifacts" in message
    assert asyncio.run(go(artifacts=tmp_path / "kept")) == ("Succeeded", "")
    assert list((tmp_path / "kept").rglob("*"))


def test_secrets_come_from_the_process_of_the_pool_and_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_SECRET_DB_PASSWORD", "hunter2-hunter2")
    source = 'echo "got $PASSWORD"; [ "$PASSWORD" = hunter2-hunter2 ]'
    env = {"PASSWORD": "{{inputs.parameters.password}}"}
    template = {
        "name": "uses",
        "inputs": {
            "parameters": [
                {"name": "password", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            ]
        },
        "executor": {"type": "script", "config": {"runtime": "bash", "env": env, "source": source}},
    }
    document = submitted()
    document["spec"] = {"entrypoint": "uses", "templates": [{"task": template}]}

    async def go() -> None:
        with processes(1) as pool:
            async with engine_of(FuturesBroker(pool)) as engine:
                logs: list[LogRecord] = []
                engine.log_observers.append(logs.append)
                assert (await ended(engine, document)).phase == "Succeeded"
                assert "".join(one.text for one in logs).strip() == "got ***"

    asyncio.run(go())


def test_what_runs_ends_with_the_process_of_its_engine(tmp_path: Path) -> None:
    note, program = tmp_path / "pid", tmp_path / "engine.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import asyncio
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context
            from aether_protocol import Engine
            from aether_protocol.adapters.brokers.futures import FuturesBroker

            async def main():
                pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
                async with Engine(broker=FuturesBroker(pool)) as engine:
                    await engine.submit({submitted(task("long", f"echo $$ > {note}; sleep 600"))!r})
                    await asyncio.sleep(600)

            if __name__ == "__main__":
                asyncio.run(main())
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(program)])
    try:
        wait_for(lambda: bool(lines_in(note)))
        pid = int(note.read_text())
        process.kill()
        process.wait()
        wait_for(lambda: not is_alive(pid))
    finally:
        process.kill()
        process.wait()
