"""`/metrics` and pools: what they say of runs, tasks and workers, who may read them, and that labels stay few."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litestar.testing import AsyncTestClient
from prometheus_client.parser import text_string_to_metric_families

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.telemetry.measured import Measured
from aether_protocol.adapters.telemetry.prometheus import MOST_NAMES, OTHER, LabelNames, RunMetrics
from aether_protocol.assembly import open_store
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.logs import FLOOD, Logs
from aether_protocol.engine.observers import Observers
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.broker import LogPart
from aether_protocol.ports.store.schedules import MISSED, STARTED, FireRecord
from aether_protocol.ports.worker import ExecutorOffer, Hello, Poll, ResultReport, WorkReport
from aether_protocol.server.app import make_app
from aether_protocol.server.gate import make_rules
from aether_protocol.server.metrics import ServerMetrics
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, work
from tests.documents import submitted

SECOND = 1_000_000


def values(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def workflow(executor: str = "noop") -> dict[str, object]:
    task = {"name": "job", "executor": {"type": executor, "config": {"source": "exit 1"} if executor == "script" else {}}}
    return submitted(task)


def test_runs_tasks_logs_and_calls_of_the_store_are_counted(tmp_path: Path) -> None:
    async def go() -> None:
        metrics = RunMetrics()
        store = Measured(open_store(f"sqlite:{tmp_path}/runs.db"), metrics)
        async with Engine(store=store) as engine:
            engine.observers.append(metrics.observe_entry)
            engine.log_observers.append(metrics.logged)
            for executor in ("noop", "noop", "script"):
                await client_of(engine).runs.wait(await engine.submit(workflow(executor)))
            assert any(name == "aether_store_call_seconds_count" for name, _ in values(metrics.text()))
        found = values(metrics.text())
        runs = {labels: value for (name, labels), value in found.items() if name == "aether_runs_total"}
        place = ("namespace", "default")
        assert runs == {
            (place, ("phase", "Succeeded"), ("workflow", "one")): 2,
            (place, ("phase", "Failed"), ("workflow", "one")): 1,
        }
        tasks = {labels: value for (name, labels), value in found.items() if name == "aether_task_seconds_count"}
        assert tasks[("executor", "noop"), place, ("phase", "Succeeded")] == 2
        assert tasks[("executor", "script"), place, ("phase", "Failed")] == 1
        assert found["aether_step_append_seconds_count", ()] >= 3
        assert not any(name == "aether_runs_open" for name, _ in found), "none is open"
        metrics.write(tmp_path / "aether.prom")
        assert values((tmp_path / "aether.prom").read_bytes()).keys() == found.keys()
        with pytest.raises(PortError, match="cannot be written"):
            metrics.write(tmp_path / "nowhere" / "aether.prom")

    asyncio.run(go())
    assert [file.name for file in tmp_path.glob("*.prom*")] == ["aether.prom"]


def test_appends_and_fences_are_counted_by_steps_and_runs(tmp_path: Path) -> None:
    async def go() -> None:
        metrics = RunMetrics()
        url = f"sqlite:{tmp_path}/runs.db"
        store = Measured(open_store(url), metrics)
        async with Engine(store=store, lease_s=None) as engine, Engine(store=url, owner="other") as other:
            run = await engine.submit(workflow("await"))
            await engine.driven.join(run, or_suspended=True)
            before = values(metrics.text())
            stored = await store.runs.load(run)
            assert before["aether_steps_per_append_sum", ()] == stored.row.seq
            assert before["aether_fenced_writes_total", ()] == 0
            await store.leases.release(engine.owner, [run])
            assert await other.recover([run]) == [run]
            with contextlib.suppress(BusyError):
                await client_of(engine).control.cancel(run)
            assert values(metrics.text())["aether_fenced_writes_total", ()] == 1

    asyncio.run(go())


def test_a_question_to_another_process_is_measured_until_its_answer(tmp_path: Path) -> None:
    async def go() -> None:
        metrics = RunMetrics()
        url = f"sqlite:{tmp_path}/runs.db"
        async with Engine(store=url) as engine, Engine(store=Measured(open_store(url), metrics)) as asking:
            run = await engine.submit(workflow("await"))
            await engine.driven.join(run, or_suspended=True)
            await client_of(asking).control.cancel(run)
            await client_of(engine).runs.wait(run)
        found = values(metrics.text())
        assert found["aether_mailbox_seconds_count", (("outcome", "ok"),)] == 1
        assert 0 < found["aether_mailbox_seconds_sum", (("outcome", "ok"),)] < 10

    asyncio.run(go())


def test_logs_are_counted_in_bytes_and_what_is_dropped_besides() -> None:
    async def go() -> None:
        metrics = RunMetrics()
        async with Engine() as engine:
            metrics.watch(engine)
            document = workflow("script")
            source = {"source": "printf 'gr\\303\\274n'"}
            document["spec"]["templates"][0]["dag"]["tasks"][0]["executor"]["config"] = source  # type: ignore[index]
            await client_of(engine).runs.wait(await engine.submit(document))
        assert values(metrics.text())["aether_log_bytes_total", (("dropped", "no"),)] == len("gr\u00fcn".encode())

        class Away:
            async def write(self, lines: object) -> None:
                raise PortError("the disk is full")

        logs = Logs(ManualClock(), cast("Any", Away()), lambda: None, Observers())
        logs.drops.append(metrics.log_dropped)
        run = cast("Any", SimpleNamespace(id="r", state=SimpleNamespace(nodes=[SimpleNamespace(path="main")])))
        logs.take(run, 0, 1, "stdout", "\u00fc" * 10)
        logs.take(run, 0, 2, "stdout", "again", part=LogPart(7, 5, stored=lambda: None, lost=lambda: None))
        await logs.save()
        assert values(metrics.text())["aether_log_bytes_total", (("dropped", "yes"),)] == 20, "what a worker keeps comes again"
        for _ in range(FLOOD // 8192 + 2):
            logs.take(run, 0, 1, "stdout", "x" * 8192)
        dropped = values(metrics.text())["aether_log_bytes_total", (("dropped", "yes"),)] - 20
        assert FLOOD // 2 <= dropped < FLOOD

    asyncio.run(go())


def test_what_workers_drop_of_logs_is_counted() -> None:
    async def go() -> None:
        broker = WorkerBroker(SystemClock(), b"k" * 32)
        metrics = ServerMetrics(RunMetrics(), broker)
        session = broker.hello(Hello(worker="w", protocols=[1], executors=[], slots={"tasks": 1})).session
        broker.start(Ear())
        await broker.report(session, WorkReport(log_bytes_dropped=300))
        await broker.report(session, WorkReport())
        await broker.report(session, WorkReport(log_bytes_dropped=4))
        assert values(metrics.runs.text())["aether_log_bytes_total", (("dropped", "yes"),)] == 304

    asyncio.run(go())


def test_how_late_fires_are_is_counted_for_those_that_start_a_run() -> None:
    metrics = RunMetrics()
    metrics.fired(FireRecord(at=10 * SECOND, kind=STARTED, noted_at=12 * SECOND))
    metrics.fired(FireRecord(at=10 * SECOND, kind=MISSED, noted_at=900 * SECOND))
    found = values(metrics.text())
    assert (found["aether_schedule_late_seconds_sum", ()], found["aether_schedule_late_seconds_count", ()]) == (2, 1)


def test_labels_are_bounded() -> None:
    names = LabelNames()
    assert [names.of(f"w{number}") for number in range(MOST_NAMES)][-1] == f"w{MOST_NAMES - 1}"
    assert names.of("one more") == OTHER
    assert names.of("w0") == "w0"


def test_pools_say_what_waits_and_what_is_free() -> None:
    async def go() -> None:
        clock = ManualClock()
        broker = WorkerBroker(clock, b"k" * 32)
        broker.start(Ear())
        served = ServerMetrics(RunMetrics(), broker)
        app = make_app(ServerParts(workers=broker, metrics=served))
        async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
            assert (await client.get("/v1/pools")).json() == {"pools": [], "unreachable": []}
            await broker.dispatch([work(number, "noop") for number in range(3)])
            clock.advance(clock.now() + 5 * SECOND)
            (pool,) = (await client.get("/v1/pools")).json()["pools"]
            assert (pool["name"], pool["waiting"], pool["oldestSeconds"], pool["wanted"]) == ("default", 3, 5.0, 3)
            assert pool["reasons"] == {"no-workers": 3}
            hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 2})
            session = broker.hello(hello).session
            given = (await broker.poll(session, Poll(poll=1, free=2, holding=[]))).work
            pool = (await client.get("/v1/pools/default")).json()
            assert (pool["waiting"], pool["running"], pool["free"], pool["workers"]) == (1, 2, 0, 1)
            assert pool["slots"] == {"tasks": {"total": 2, "used": 2}}
            assert (await client.get("/v1/pools/gpu")).json()["waiting"] == 0
            found = values((await client.get("/metrics")).content)
            assert found["aether_tasks_running", (("pool", "default"),)] == 2
            assert found["aether_tasks_waiting", (("pool", "default"), ("reason", "no-slots"))] == 1
            assert found["aether_workers", (("pool", "default"), ("state", "active"))] == 1
            assert found["aether_worker_slots", (("kind", "tasks"), ("pool", "default"), ("state", "used"))] == 2
            assert found["aether_task_wait_seconds_sum", (("pool", "default"), ("priority", "normal"))] == 10
            assert found["aether_deliveries_total", (("outcome", "assigned"),)] == 2
            route = (("code", "200"), ("route", "/v1/pools/{name}"))
            assert found["aether_http_request_seconds_count", route] == 2
            assert len(given) == 2
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            result = {**{name: given[0].assignment[name] for name in names}, "code": 0}
            reporting = broker.report(session, WorkReport(results=[ResultReport(token=given[0].token, result=result)]))
            task = asyncio.ensure_future(reporting)
            await asyncio.sleep(0)
            task.cancel()
        await broker.close()

    asyncio.run(go())


def test_metrics_need_a_token_where_one_is_wanted() -> None:
    async def go() -> None:
        rules = make_rules("127.0.0.1", token="secret-of-16-or-more")
        parts = ServerParts(metrics=ServerMetrics(RunMetrics(), None), access=rules)
        async with AsyncTestClient(make_app(parts), base_url="http://127.0.0.1") as client:
            assert (await client.get("/metrics")).status_code == 401
            answer = await client.get("/metrics", headers={"authorization": "Bearer secret-of-16-or-more"})
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")
        async with AsyncTestClient(make_app(ServerParts()), base_url="http://127.0.0.1") as client:
            assert (await client.get("/metrics")).status_code == 404, "turned off"

    asyncio.run(go())
