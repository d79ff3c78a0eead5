"""Workers behind NATS, with a real server that is killed and wiped, and real workers that are killed: what is lost (nothing),
what is carried out twice (what died with its worker, under the same key), and what is never sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.brokers.nats.address import read_nats_url
from aether_protocol.adapters.brokers.nats.reach import require_reachable
from aether_protocol.errors import PortError, UsageError
from aether_protocol.service import client_of
from tests.documents import submitted
from tests.e2e.process import AETHER, aether, environment
from tests.e2e.servers import wait_for
from tests.nats_server import NatsServer, needs_server

pytestmark = [pytest.mark.rule("RT-144"), pytest.mark.timeout(170)]
LEASE_S = 4


class Place:
    """A NATS server, and workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = NatsServer(folder / "nats")
        self.server.start()
        self.url = f"{self.server.url}?lease={LEASE_S}"
        self.workers: list[subprocess.Popen[bytes]] = []

    def begin_worker(self, *more: str, slots: int = 4, **env: str) -> subprocess.Popen[bytes]:
        words = ["worker", "--broker", self.url, "--slots", str(slots), *more]
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            made = subprocess.Popen(
                [*AETHER, *words], stdout=log, stderr=log, cwd=self.folder, env=environment(**env), start_new_session=True
            )
        self.workers.append(made)
        return made

    def close(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(3)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.server.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Place]:
    needs_server()
    made = Place(tmp_path)
    yield made
    made.close()


def scripts(count: int, script: str) -> dict[str, Any]:
    """A document of tasks side by side, all of one script."""
    several = [{"name": f"t{number}", "executor": {"type": "script", "config": {"source": script}}} for number in range(count)]
    return submitted(*several)


def effects(folder: Path) -> str:
    """A script that has an effect: a line with its key when it begins, and one when it ends."""
    line = f'echo "$AETHER_IDEMPOTENCY_KEY" >> {folder}'
    return f"{line}/begun; sleep 0.2; {line}/done"


def keys(file: Path) -> Counter[str]:
    """How often each key stands in a file."""
    return Counter(file.read_text().split()) if file.exists() else Counter()


@contextlib.asynccontextmanager
async def engine_at(site: Place, **options: Any) -> AsyncIterator[Engine]:
    """An engine whose tasks go to NATS."""
    async with Engine(broker=site.url, **options) as engine:
        yield engine


async def phase_of(engine: Engine, run: str, patience_s: float = 120) -> str:
    """How a run ended."""
    async with asyncio.timeout(patience_s):
        return str((await client_of(engine).runs.wait(run)).phase)


def cli_document(folder: Path, *tasks: dict[str, Any]) -> Path:
    """A document in a file."""
    file = folder / "flow.json"
    file.write_text(json.dumps(submitted(*tasks)))
    return file


def with_secret(source: str) -> dict[str, Any]:
    """A task that has a secret in its environment, as T."""
    given = {"name": "t", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": "token"}}}
    config = {"source": source, "env": {"T": "{{inputs.parameters.t}}"}}
    return {"name": "a", "executor": {"type": "script", "config": config}, "inputs": {"parameters": [given]}}


# --- the command ---


def test_a_run_of_the_command_is_carried_out_behind_nats(site: Place) -> None:
    site.begin_worker()
    task = {"name": "a", "executor": {"type": "script", "config": {"source": "echo here; ps -o args= -p $PPID"}}}
    file = cli_document(site.folder, task)
    done = aether("run", file, "--broker", site.url, cwd=site.folder)
    assert (done.returncode, "here" in done.stderr) == (0, True), done.stderr
    assert "worker.child" in done.stderr, "a process of the worker carried it out"
    assert "warning" not in done.stderr, "to connect takes its time, and is no fault"


def test_a_run_without_a_worker_says_what_is_missing_and_waits_for_it(site: Place) -> None:
    file = cli_document(site.folder, {"name": "a", "executor": {"type": "script", "config": {"source": "echo here"}}})
    log = site.folder / "err"
    with log.open("wb") as err:
        words = ["run", str(file), "--broker", site.url]
        run = subprocess.Popen([*AETHER, *words], cwd=site.folder, env=environment(), stderr=err)
    wait_for(lambda: "tasks wait for one that offers script" in log.read_text(), 30)
    site.begin_worker()
    assert run.wait(60) == 0, log.read_text()
    assert log.read_text().count("no worker has asked for work") == 1


def test_an_address_where_nothing_answers_is_an_error_at_once(tmp_path: Path) -> None:
    file = cli_document(tmp_path, {"name": "a", "executor": {"type": "noop"}})
    done = aether("run", file, "--broker", "nats://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 9
    assert "NATS at 127.0.0.1:9 cannot be reached: connection refused" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["nats://", "nats://h/path", *(f"nats://h?{one}" for one in ("leese=3", "prefix=a.b", "lease=x", "tls=no", "key=k"))],
)
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Engine(broker=url)


def test_a_server_that_is_away_is_reported_once_and_its_return_too(site: Place) -> None:
    worker = site.begin_worker()
    log = site.folder / "worker-0.log"
    wait_for(lambda: "connected to" in log.read_text())
    site.server.stop()
    wait_for(lambda: "is away" in log.read_text())
    site.server.start()
    wait_for(lambda: "answers again" in log.read_text())
    assert log.read_text().count("is away") == 1
    worker.send_signal(signal.SIGINT)
    assert worker.wait(20) == 0


def test_options_of_servers_say_nothing_to_a_worker_of_a_broker(tmp_path: Path) -> None:
    done = aether("worker", "--broker", "nats://127.0.0.1:9", "--token", "t", cwd=tmp_path)
    assert (done.returncode, "--token says nothing" in done.stderr) == (2, True)
    done = aether("worker", "--server", "http://127.0.0.1:9", "--artifacts", "folder:///x", cwd=tmp_path)
    assert (done.returncode, "--artifacts says nothing" in done.stderr) == (2, True)


# --- what is never sent ---


def test_secrets_are_the_worker_s_own_and_are_not_at_nats(site: Place) -> None:
    secret = "tiefes-geheimnis-4711"
    site.begin_worker(AETHER_SECRET_DB_TOKEN=secret)
    out = site.folder / "out"
    task = with_secret(f'echo "it is $T"; echo "$T" > {out}')
    file = cli_document(site.folder, task)
    done = aether("run", file, "--broker", site.url, cwd=site.folder)
    assert (done.returncode, out.read_text() if out.exists() else "") == (0, f"{secret}\n"), done.stderr
    assert secret not in done.stdout + done.stderr
    assert "it is ***" in done.stderr
    left = [path for path in site.folder.rglob("*") if path.is_file() and path != out and secret.encode() in path.read_bytes()]
    assert left == []


def test_a_secret_that_the_worker_does_not_have_is_an_error_that_says_where_it_is_looked_for(site: Place) -> None:
    site.begin_worker()

    async def go() -> None:
        async with engine_at(site, secrets={"db": {"token": "known here alone"}}) as engine:
            run = await engine.submit(submitted(with_secret("true")))
            assert await phase_of(engine, run) == "Error"
            message = (await client_of(engine).runs.wait(run)).tasks[1].message
            assert "the worker's own providers" in message

    asyncio.run(go())


def test_artifacts_without_a_common_place_are_refused_before_they_are_sent(site: Place) -> None:
    async def go() -> None:
        async with engine_at(site) as engine:  # no worker is there: it is not sent
            task = {
                "name": "a",
                "executor": {"type": "script", "config": {"source": "echo x > out.txt"}},
                "outputs": {"artifacts": [{"name": "out", "path": "out.txt"}]},
            }
            run = await engine.submit(submitted(task))
            assert await phase_of(engine, run) == "Error"
            assert "its workers do not reach" in (await client_of(engine).runs.wait(run)).tasks[1].message

    asyncio.run(go())


def test_artifacts_go_through_a_repository_that_both_sides_name(site: Place) -> None:
    place = f"folder://{site.folder}/shared"
    site.begin_worker("--artifacts", place)

    async def go() -> None:
        async with engine_at(site, artifacts=place) as engine:
            task = {
                "name": "a",
                "executor": {"type": "script", "config": {"source": "echo content > out.txt"}},
                "outputs": {"artifacts": [{"name": "out", "path": "out.txt"}]},
            }
            run = await engine.submit(submitted(task))
            assert await phase_of(engine, run) == "Succeeded"

    asyncio.run(go())
    assert any(one.is_file() and one.read_bytes() == b"content\n" for one in (site.folder / "shared").rglob("*"))


# --- what dies ---


def test_a_worker_that_is_killed_under_load_costs_its_attempts_alone(site: Place) -> None:
    """Its attempts come again after the lease, under their keys; all others ran once."""
    doomed = site.begin_worker(slots=3)
    count = 30

    async def go() -> None:
        async with engine_at(site) as engine:
            run = await engine.submit(scripts(count, effects(site.folder)))
            await asyncio.to_thread(wait_for, lambda: len(keys(site.folder / "begun")) >= 3)
            os.killpg(doomed.pid, signal.SIGKILL)
            doomed.wait()
            site.begin_worker(slots=3)
            assert await phase_of(engine, run) == "Succeeded"

    asyncio.run(go())
    begun, done = keys(site.folder / "begun"), keys(site.folder / "done")
    assert len(done) == len(begun) == count
    assert sum(begun.values()) <= count + 3 + 3, "only what the dead worker had came again"


def test_nats_wiped_under_load_loses_nothing_and_repeats_nothing(site: Place) -> None:
    """Within a lease: what runs continues, its results come, what waits is asked for again."""
    for _ in range(2):
        site.begin_worker(slots=3)
    count, chance = 60, random.Random(11)

    async def go() -> None:
        async with engine_at(site) as engine:
            runs = [await engine.submit(scripts(count // 2, effects(site.folder))) for _ in range(2)]
            ending = asyncio.gather(*(phase_of(engine, run) for run in runs))
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                if ending.done():
                    break
                await asyncio.to_thread(site.server.wipe)
            assert await ending == ["Succeeded", "Succeeded"]

    asyncio.run(go())
    begun, done = keys(site.folder / "begun"), keys(site.folder / "done")
    assert (len(done), set(done.values()), set(begun.values())) == (count, {1}, {1})


def test_a_run_outlives_its_engine_and_its_attempt_is_not_repeated(site: Place) -> None:
    site.begin_worker()
    file = site.folder / "flow.json"
    line = f'echo "$AETHER_IDEMPOTENCY_KEY" >> {site.folder}'
    script = f"{line}/begun; sleep 4; {line}/done"
    file.write_text(json.dumps(scripts(1, script)))
    store = f"sqlite:{site.folder}/runs.db"
    words = ["run", str(file), "--broker", site.server.url, "--store", store, "--run-id", "long"]
    first = subprocess.Popen([*AETHER, *words], env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: bool(keys(site.folder / "begun")))
    first.kill()
    first.wait()
    again = aether(*words, cwd=site.folder)
    assert again.returncode == 0, again.stderr
    assert [set(keys(site.folder / name).values()) for name in ("begun", "done")] == [{1}, {1}]


def test_several_engines_share_the_slots_of_a_worker(site: Place) -> None:
    site.begin_worker(slots=2)
    log = site.folder / "log"
    script = f"echo + >> {log}; sleep 0.15; echo - >> {log}"

    async def go() -> None:
        async with engine_at(site) as one, engine_at(site) as two:
            runs = [(engine, await engine.submit(scripts(8, script))) for engine in (one, two)]
            assert [await phase_of(engine, run) for engine, run in runs] == ["Succeeded", "Succeeded"]

    asyncio.run(go())
    at_once, most = 0, 0
    for sign in log.read_text().split():
        at_once += 1 if sign == "+" else -1
        most = max(most, at_once)
    assert most == 2


def test_labels_and_pools_say_which_worker_gets_a_task(site: Place) -> None:
    site.begin_worker("--name", "plain", WHO="plain")
    site.begin_worker("--name", "big", "--label", "disk=ssd", "--pool", "big", WHO="big")
    out = site.folder / "who"
    tasks: Sequence[dict[str, Any]] = [
        {
            "name": f"t{number}",
            "executor": {"type": "script", "config": {"source": f"echo {number} $WHO >> {out}"}},
            **({"extensions": {"placement": {"pool": "big", "selector": "disk=ssd"}}} if number % 2 else {}),
        }
        for number in range(6)
    ]

    async def go() -> None:
        async with engine_at(site) as engine:
            assert await phase_of(engine, await engine.submit(submitted(*tasks))) == "Succeeded"

    asyncio.run(go())
    assert sorted(out.read_text().splitlines()) == [f"{number} {'big' if number % 2 else 'plain'}" for number in range(6)]


def test_an_engine_cannot_begin_where_nothing_answers() -> None:
    with pytest.raises(PortError, match="cannot be reached"):
        Engine(broker="nats://127.0.0.1:9")


def test_a_server_gives_its_tasks_to_nats_and_refuses_workers_that_call_in(site: Place) -> None:
    pytest.importorskip("litestar")
    site.begin_worker()
    words = ["serve", "--broker", site.url, "--http-port", "0", "--store", f"sqlite:{site.folder}/served.db"]
    log = site.folder / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen([*AETHER, *words], stdout=out, stderr=out, cwd=site.folder, env=environment())
    try:
        wait_for(lambda: "http://" in log.read_text())
        url = next(word for word in log.read_text().split() if word.startswith("http://")).rstrip(",.;")
        task = {"name": "a", "executor": {"type": "script", "config": {"source": "ps -o args= -p $PPID"}}}
        done = aether("run", cli_document(site.folder, task), "--server", url, cwd=site.folder)
        assert (done.returncode, "worker.child" in done.stderr) == (0, True), done.stderr
        worker = aether("worker", "--server", url, cwd=site.folder)
        assert (worker.returncode, "gives its tasks to nats://" in worker.stderr) == (2, True)
    finally:
        server.terminate()
        server.wait(20)


def test_a_server_that_refuses_or_is_none_is_an_error_at_once(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", "--user", "u", "--pass", "right")
    server.start()
    at, document = f"127.0.0.1:{server.port}", cli_document(tmp_path, {"name": "a", "executor": {"type": "noop"}})
    try:
        for who in ("u:wrong@", "", "token@"):
            for words in (["run", str(document), "--broker"], ["worker", "--broker"]):
                done = aether(*words, f"nats://{who}{at}", cwd=tmp_path)
                assert (done.returncode, "Traceback" in done.stderr) == (9, False), done.stderr
                assert f"NATS at {at} refuses: authorization violation" in done.stderr
                assert "nats://USER:PASSWORD@HOST" in done.stderr
                assert "wrong" not in done.stderr
    finally:
        server.stop()


def test_a_server_without_jetstream_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = NatsServer(tmp_path / "nats", jetstream=False)
    server.start()
    try:
        require_reachable(read_nats_url(server.url))
    finally:
        server.stop()
    assert "has no JetStream" in caplog.text
