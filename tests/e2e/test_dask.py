"""Attempts at a Dask cluster of real processes: workers and schedulers that die, what is never done twice, and the command."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.plan.model import Resources
from aether_protocol.plan.placement import Placement
from aether_protocol.ports.wire import ERROR, TaskAssignment
from aether_protocol.testing.contracts.broker import ref
from aether_protocol.testing.contracts.live_broker import LiveScene
from tests.contracts.test_dask_broker import DaskSite
from tests.dask_cluster import DaskProcesses
from tests.e2e.process import aether
from tests.e2e.worker_place import is_alive

distributed = pytest.importorskip("distributed")

from aether_protocol.adapters.brokers.dask import DaskBroker  # noqa: E402
from aether_protocol.adapters.brokers.dask.address import read_dask_url  # noqa: E402
from aether_protocol.errors import UsageError  # noqa: E402

pytestmark = [
    pytest.mark.rule("RT-145"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


def on_site(folder: Path, body: Callable[[DaskSite, LiveScene], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        site = DaskSite(folder)
        try:
            await site.start(2)
            await body(site, LiveScene(site, folder, 1.0))
        finally:
            await site.close()

    asyncio.run(go())


async def joined(site: DaskSite, *names: str) -> None:
    """Wait until these workers have come."""
    async with asyncio.timeout(60):
        while not all(f"name: {name}" in site.processes.log("scheduler") for name in names):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_a_worker_that_dies_is_reported_and_its_attempt_is_not_begun_again_by_dask(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await scene.offered(broker, scene.probe(1, 600))
        await scene.begun(ref(1))
        site.processes.add("w2")
        await joined(site, "w2")
        (line,) = scene.lines()
        site.processes.workers["w1"].kill()
        await scene.until(lambda: bool(ear.losses), "the loss is reported")
        ((lost, reason, blamed),) = ear.losses
        assert (lost, blamed) == (ref(1), False)
        assert "its Dask worker was lost (tcp://127.0.0.1:" in reason
        await scene.calm()
        assert scene.times("begins", ref(1)) == 1
        await scene.offered(broker, scene.probe(1))
        await scene.until(lambda: bool(ear.results), "it is carried out by another one")
        last = scene.lines()[-1]
        assert (last.what, last.ref, last.parent == line.parent) == ("ends", ref(1), False)
        await scene.until(lambda: not is_alive(line.pid), "its child goes with it")
        await broker.close()

    on_site(tmp_path, body)


def test_what_dask_begins_again_while_its_engine_hears_nothing_is_not_carried_out_twice(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await scene.offered(broker, scene.probe(1, 600))
        await scene.begun(ref(1))
        await site.cut()
        site.processes.add("w2")
        await joined(site, "w2")
        site.processes.workers["w1"].kill()
        await scene.calm()
        await site.mend()
        await scene.until(lambda: bool(ear.losses), "the loss is reported")
        assert [(lost, blamed) for lost, _, blamed in ear.losses] == [(ref(1), False)]
        assert scene.times("begins", ref(1)) == 1
        await scene.offered(broker, scene.probe(1))
        await scene.until(lambda: bool(ear.results), "it is carried out")
        assert scene.times("begins", ref(1)) == 2
        await broker.close()

    on_site(tmp_path, body)


def test_what_has_ended_is_not_carried_out_again_with_the_worker_that_has_its_result(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        site.processes.add("w2", 2)
        await joined(site, "w1", "w2")
        broker, ear = await scene.engine()
        ear.acknowledges = True
        await scene.offered(broker, scene.probe(1), *(scene.probe(number, 600) for number in (2, 3, 4)))
        await scene.until(lambda: len(ear.results) == 1, "the result of the first one is stored")
        await scene.begun(ref(2), ref(3), ref(4))
        site.processes.add("w3", 2)
        await joined(site, "w3")
        has_it = next(line.parent for line in scene.lines() if line.ref == ref(1))
        next(one for one in site.processes.workers.values() if one.pid == has_it).kill()
        async with distributed.Client(site.processes.address, asynchronous=True, set_as_default=False) as client:

            def begins(dask_scheduler: Any) -> dict[str, int]:
                return {key.rpartition("|")[2]: len(one.who_has or ()) for key, one in dask_scheduler.tasks.items()}

            async with asyncio.timeout(60):
                while (await client.run_on_scheduler(begins))["main.t1"]:  # noqa: ASYNC110 - the loss is not known yet
                    await asyncio.sleep(0.02)
                while not (await client.run_on_scheduler(begins))["main.t1"]:  # noqa: ASYNC110 - Dask has it done again
                    await asyncio.sleep(0.05)
        assert scene.times("begins", ref(1)) == 1
        await broker.close()

    on_site(tmp_path, body)


def test_a_scheduler_that_is_started_anew_has_lost_everything(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await scene.offered(broker, scene.probe(1, 600))
        await scene.begun(ref(1))
        assert site.processes.scheduler is not None
        site.processes.scheduler.kill()
        site.processes.scheduler.wait()
        refused = await broker.dispatch([scene.probe(2)])
        assert f"tcp://127.0.0.1:{site.wire.port} does not answer" in refused[ref(2)]
        await asyncio.to_thread(site.processes.start)
        site.processes.add("w2", 2)
        await scene.until(lambda: bool(ear.losses), "the loss is reported")
        assert [(lost, blamed) for lost, _, blamed in ear.losses] == [(ref(1), False)]
        await scene.until(lambda: scene.times("stops", ref(1)) == 1 or not is_alive(scene.lines()[0].pid), "it ends")
        await scene.offered(broker, scene.probe(1), scene.probe(2))
        await scene.until(lambda: {one.ref for one in ear.results} == {ref(1), ref(2)}, "both results")
        await broker.close()

    on_site(tmp_path, body)


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """What Dask leaves behind goes here, and not while another test runs."""
    yield
    gc.collect()


def test_a_task_that_others_cancel_is_lost_and_its_child_stops(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await scene.offered(broker, scene.probe(1, 600))
        await scene.begun(ref(1))
        async with distributed.Client(site.processes.address, asynchronous=True, set_as_default=False) as client:
            (name,) = await client.list_datasets()
            await client.cancel(await client.get_dataset(name), force=True)
        await scene.until(lambda: scene.times("stops", ref(1)) == 1, "its child stops")
        await scene.until(lambda: bool(ear.losses), "the loss is reported")
        ((lost, reason, blamed),) = ear.losses
        assert (lost, reason, blamed) == (ref(1), "its task was cancelled at the Dask scheduler", False)
        await broker.close()

    on_site(tmp_path, body)


def test_nothing_is_left_at_the_scheduler_when_all_is_stored(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        ear.acknowledges = True
        await scene.offered(broker, *(scene.probe(number) for number in range(10)), scene.probe(10, 600))
        await scene.until(lambda: len(ear.results) == 10, "all results")
        await scene.begun(ref(10))
        await broker.stop([ref(10)])
        await scene.until(lambda: scene.times("stops", ref(10)) == 1, "the last one stops")
        async with distributed.Client(site.processes.address, asynchronous=True, set_as_default=False) as client:

            def left(dask_scheduler: Any) -> list[Any]:
                events = dask_scheduler.extensions["events"]._events
                return [list(dask_scheduler.tasks), list(dask_scheduler.extensions["publish"].datasets), list(events)]

            until = time.monotonic() + 30
            while (found := await client.run_on_scheduler(left)) != [[], [], []]:
                assert time.monotonic() < until, f"tasks, datasets and events that are left: {found}"
                await asyncio.sleep(0.1)
        await broker.close()

    on_site(tmp_path, body)


def test_resources_pools_and_labels_choose_the_worker(tmp_path: Path) -> None:
    def asking(task: TaskAssignment, gpu: str | None = None, **placement: Any) -> TaskAssignment:
        target = replace(task.target, resources=Resources(cpu="1", memory=None, gpu=gpu) if gpu else None)
        return replace(task, target=target, placement=Placement(**placement) if placement else None)

    async def body(site: DaskSite, scene: LiveScene) -> None:
        site.processes.add("big", 4, "--resources", "GPU=2 pool.fast=1 zone=3")
        await joined(site, "w1", "big")
        broker, ear = await scene.engine()
        wanted = [
            asking(scene.probe(1), gpu="2"),
            asking(scene.probe(2), pool="fast"),
            asking(scene.probe(3), selector="zone=3"),
            asking(scene.probe(4), selector="name in (w1, other)"),
            asking(scene.probe(5), prefer="name=big"),
            asking(scene.probe(6), prefer="name=nowhere", selector="!zone"),
        ]
        await scene.offered(broker, *wanted)
        await scene.until(lambda: len(ear.results) == 6, "all results")
        parents = {line.ref: line.parent for line in scene.lines()}
        big, w1 = (site.processes.workers[name].pid for name in ("big", "w1"))
        assert [parents[ref(number)] for number in range(1, 7)] == [big, big, big, w1, big, w1]
        refused = await broker.dispatch(
            [asking(scene.probe(7), gpu="3"), asking(scene.probe(8), pool="slow"), asking(scene.probe(9), selector="zone=4")]
        )
        assert refused == {
            ref(7): "no Dask worker fits: it needs resource 'GPU' of 3",
            ref(8): "no Dask worker fits: it needs resource 'pool.slow'",
            ref(9): "no Dask worker fits: it needs labels zone=4",
        }
        await broker.close()

    on_site(tmp_path, body)


def waiting(task: TaskAssignment, seconds: float, **placement: Any) -> TaskAssignment:
    """An attempt that waits for so long at most."""
    return replace(task, placement=Placement(wait_at_most_us=round(seconds * 1e6), **placement))


def test_what_no_worker_takes_in_its_time_is_an_error_and_what_has_begun_is_left_alone(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await joined(site, "w1")
        await scene.offered(broker, waiting(scene.probe(1, 6), 4), waiting(scene.probe(2, 6), 4))  # both slots
        await scene.begun(ref(1), ref(2))
        await scene.offered(broker, waiting(scene.probe(3), 1), scene.probe(4))
        await scene.until(lambda: bool(ear.results), "it is given up")
        assert [(one.ref, one.code) for one in ear.results] == [(ref(3), ERROR)]
        assert ear.results[0].message == "no worker took it within its `waitAtMost`"
        await scene.until(lambda: len(ear.results) == 4, "the others")
        assert [one.ref for one in ear.results if one.code] == [ref(3)]
        assert scene.times("begins", ref(3)) == 0
        await broker.close()

    on_site(tmp_path, body)


def test_what_no_worker_fits_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        broker, ear = await scene.engine()
        await joined(site, "w1")
        task, offers = waiting(scene.probe(1), 1.0, pool="slow"), 0
        while await broker.dispatch([task]):
            offers += 1
            await asyncio.sleep(0.1)
        assert offers >= 5
        (result,) = (one for one in ear.results if one.ref == ref(1))
        assert result.code == ERROR
        assert "`waitAtMost`: no Dask worker fits: it needs resource 'pool.slow'" in result.message
        await broker.close()

    on_site(tmp_path, body)


def test_a_worker_without_the_package_is_an_error_that_says_so(tmp_path: Path) -> None:
    async def body(site: DaskSite, scene: LiveScene) -> None:
        site.processes.workers.pop("w1").kill()
        preload = tmp_path / "without.py"
        preload.write_text("import sys\nsys.modules['aether_protocol'] = None\n")
        site.processes.add("bare", 1, "--preload", str(preload))
        await joined(site, "bare")
        broker, ear = await scene.engine()
        await scene.offered(broker, scene.probe(1))
        await scene.until(lambda: bool(ear.results), "an Error")
        (result,) = ear.results
        assert result.code == ERROR
        assert "ModuleNotFoundError" in result.message
        assert "Dask workers need aether-protocol, of this version" in result.message
        assert site.processes.workers["bare"].poll() is None, "it lives on"
        await broker.close()

    on_site(tmp_path, body)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("dask://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("dask://cluster.example:1?tls=true&import=a&import=b.c", "tls://cluster.example:1"),
        ("dask://[::1]:8786/", "tcp://[::1]:8786"),
    ],
)
def test_urls(url: str, address: str) -> None:
    assert read_dask_url(url).address == address


@pytest.mark.parametrize("url", ["dask:", "dask://host", "dask://:8786", "dask://h:x", "dask://h:1/path", "dask://h:1?imports=a"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match=r"names no host and port|has no option 'imports'") as refused:
        read_dask_url(url)
    assert "dask://127.0.0.1:8786" in str(refused.value.hint)


# --- the command ---


def test_a_scheduler_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(DOCUMENT)
    for words in (["run", "flow.yaml"], ["serve", "--http-port", "0", "--store", "sqlite:s.db"]):
        done = aether(*words, "--broker", "dask://127.0.0.1:9", cwd=tmp_path)
        assert done.returncode == 9, done.stderr
        assert "the Dask scheduler at tcp://127.0.0.1:9 cannot be reached: connection refused" in done.stderr
        assert "Traceback" not in done.stderr


LOCAL_CLUSTER = """
import sys, time
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""

DOCUMENT = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: elsewhere }
spec:
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks:
          - name: write
            template: write
          - name: read
            template: read
            dependencies: [write]
            arguments: { artifacts: [{ name: note, from: tasks.write.outputs.artifacts.note }] }
    - task:
        name: write
        inputs:
          parameters:
            - { name: password, type: string, valueFrom: { secretKeyRef: { name: db, key: password } } }
        executor:
          type: script
          config:
            runtime: sh
            env: { PASSWORD: "{{inputs.parameters.password}}" }
            source: 'echo "got $PASSWORD"; echo hello > note.txt'
        outputs: { artifacts: [{ name: note, path: note.txt }] }
    - task:
        name: read
        inputs: { artifacts: [{ name: note, path: note.txt }] }
        executor: { type: script, config: { runtime: sh, source: 'echo "read $(cat note.txt)"' } }
"""


@pytest.fixture
def local_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a LocalCluster of processes, HOST:PORT."""
    import subprocess

    monkeypatch.setenv("AETHER_SECRET_DB_PASSWORD", "geheim-geheim")  # of the workers
    program = tmp_path / "cluster.py"
    program.write_text(LOCAL_CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        monkeypatch.delenv("AETHER_SECRET_DB_PASSWORD")
        yield address.removeprefix("tcp://")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_command_runs_a_document_at_a_cluster(local_cluster: str, tmp_path: Path) -> None:
    """Secrets are those of the workers, artifacts are kept where both sides reach them; else the task is refused."""
    file = tmp_path / "elsewhere.yaml"
    file.write_text(DOCUMENT)
    kept = tmp_path / "kept"
    store = f"sqlite:{tmp_path}/runs.db?artifacts=folder:{kept}"
    done = aether("run", str(file), "--broker", f"dask://{local_cluster}", "--store", store, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "got ***" in done.stderr + done.stdout
    assert "read hello" in done.stderr + done.stdout
    assert "geheim" not in done.stderr + done.stdout
    assert list(kept.rglob("*"))
    done = aether("run", str(file), "--broker", f"dask://{local_cluster}", cwd=tmp_path)
    assert done.returncode != 0
    assert "the task cannot be sent to a worker: it keeps artifacts" in done.stdout + done.stderr


def test_the_command_reports_a_scheduler_that_is_not_there(tmp_path: Path) -> None:
    processes = DaskProcesses(tmp_path)
    processes.start()
    processes.close()
    broker = DaskBroker(processes.address)

    async def go() -> None:
        from aether_protocol.testing.contracts.broker import Ear, work

        broker.start(Ear())
        refused = await broker.dispatch([work(1)])
        assert f"the Dask scheduler at {processes.address} does not answer" in refused[ref(1)]
        assert await broker.held([ref(1)]) == {}
        await broker.close()

    asyncio.run(go())
