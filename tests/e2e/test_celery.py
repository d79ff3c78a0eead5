"""A fleet of real Celery workers with a real Redis: what runs, what dies, what is away, and what comes twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.brokers.celery.address import TASK, celery_app, read_address
from aether_protocol.service import client_of
from aether_protocol.views.report import Report
from tests.documents import script, submitted
from tests.e2e.celery_place import CeleryPlace, celery_place, lines_of, logged
from tests.e2e.process import aether
from tests.e2e.worker_place import ended, is_alive, pids_in, until

pytestmark = pytest.mark.rule("RT-149")


def effect(folder: Path, name: str, more: str = "") -> str:
    """A script that leaves one line for each time it is carried out."""
    return f"echo {name} >> {folder}/effects; echo $$ >> {folder}/pids; {more}"


def effects(folder: Path) -> list[str]:
    file = folder / "effects"
    return sorted(file.read_text().split()) if file.exists() else []


def on_place(folder: Path, body: Any, *, lease_s: float = 30.0) -> None:
    with celery_place(folder, lease_s=lease_s) as at:
        asyncio.run(body(at))


def fan(folder: Path, count: int, more: str = "") -> dict[str, Any]:
    """A workflow of scripts beside each other."""
    tasks = [
        {"name": f"t{number}", "executor": {"type": "script", "config": {"source": effect(folder, f"t{number}", more)}}}
        for number in range(count)
    ]
    return submitted(*tasks)


async def begun(folder: Path, count: int) -> list[int]:
    """Wait until so many scripts have begun; gives their process ids."""
    await until(lambda: len(pids_in(folder)) >= count, 60.0)
    return pids_in(folder)


def phase(report: Report) -> str:
    return str(report.phase)


def test_tasks_run_at_celery_workers_and_write_their_logs_in_order(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker()
        async with at.engine() as engine:
            source = "for i in $(seq 300); do echo line $i; done; echo problem >&2; exit 0"
            run = await engine.submit(engine.plan(script(source)))
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
            lines = await lines_of(engine, run)
            assert [line for line in lines if line != "problem"] == [f"line {number}" for number in range(1, 301)]
            assert "problem" in lines
            run = await engine.submit(engine.plan(fan(tmp_path, 20)))
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        assert effects(tmp_path) == sorted(f"t{number}" for number in range(20))

    on_place(tmp_path, body)


def test_a_message_that_comes_twice_leads_to_one_attempt(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(script(effect(tmp_path, "once", "sleep 1.5"))))
            key = f"{run}/main.job"
            await until(lambda: b":1" in at.redis.command("EXISTS", f"aether:t:{key}"))
            token = at.redis.command("HGET", f"aether:t:{key}", "token").split(b"\r\n")[1].decode()
            app = celery_app(read_address(at.url))
            for _ in range(3):  # as where the visibility timeout is over
                app.send_task(TASK, (key, token), queue="aether", priority=3)
            app.close()
            at.worker(tasks=4)
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        assert effects(tmp_path) == ["once"]
        await until(lambda: at.log().count("another worker has it") == 3)

    on_place(tmp_path, body)


def test_a_cancelled_task_is_interrupted_and_one_that_waits_never_begins(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker(tasks=1)
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(fan(tmp_path, 2, "sleep 60")))
            (pid,) = await begun(tmp_path, 1)
            await client_of(engine).control.cancel(run)
            await until(lambda: not is_alive(pid))
            assert phase(await ended(engine, run)) == "Cancelled"
            run = await engine.submit(engine.plan(script(effect(tmp_path, "after"))))
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        assert len(effects(tmp_path)) == 2

    on_place(tmp_path, body)


def test_the_death_of_a_process_is_heard_of_at_once(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker(tasks=1)
        source = effect(tmp_path, "x", f"test $(wc -l < {tmp_path}/effects) -ge 3 || sleep 60")
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(script(source)))
            await begun(tmp_path, 1)
            os.kill(_parents_of(pids_in(tmp_path)[0])[0], signal.SIGKILL)  # the child that carries the attempt out
            await begun(tmp_path, 2)
            pool = next(pid for pid in _parents_of(pids_in(tmp_path)[1]) if "celery" in _command(pid))
            os.kill(pool, signal.SIGKILL)  # the process of Celery's pool
            await begun(tmp_path, 3)
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        await until(lambda: not any(is_alive(pid) for pid in pids_in(tmp_path)))  # nothing of them is left

    on_place(tmp_path, body, lease_s=120.0)


def _parents_of(pid: int) -> list[int]:
    """The processes above one, from the nearest on."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found[:-1]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_a_worker_that_dies_as_a_whole_is_replaced_after_its_lease(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        first = at.worker(tasks=1)
        async with at.engine() as engine:
            source = effect(tmp_path, "x", f"test $(wc -l < {tmp_path}/effects) -ge 2 || sleep 60")
            run = await engine.submit(engine.plan(script(source)))
            await begun(tmp_path, 1)
            at.kill(first)
            at.worker(tasks=1)
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        assert effects(tmp_path) == ["x", "x"]

    on_place(tmp_path, body, lease_s=3.0)


def test_redis_that_is_away_for_less_than_the_lease_repeats_nothing(tmp_path: Path) -> None:
    over = tmp_path / "over"

    async def body(at: CeleryPlace) -> None:
        at.worker()
        async with at.engine() as engine:
            writes = f"for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done; echo >> {over}"
            run = await engine.submit(engine.plan(fan(tmp_path, 4, writes)))
            await begun(tmp_path, 2)
            at.redis.stop()
            await until(lambda: over.exists() and len(over.read_text()) >= 2)
            at.redis.start()
            assert phase(await ended(engine, run, 90.0)) == "Succeeded"
            lines = await lines_of(engine, run)
            assert sorted(lines) == sorted(str(number) for number in range(1, 7) for _ in range(4)), "no line is lost"
        assert effects(tmp_path) == ["t0", "t1", "t2", "t3"]

    on_place(tmp_path, body)


def test_redis_that_was_emptied_repeats_nothing_that_runs(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker()
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(fan(tmp_path, 5, "sleep 3")))
            await begun(tmp_path, 2)
            at.redis.command("FLUSHALL")
            assert phase(await ended(engine, run, 90.0)) == "Succeeded"
        assert effects(tmp_path) == ["t0", "t1", "t2", "t3", "t4"]

    on_place(tmp_path, body, lease_s=6.0)


def test_attempts_outlive_their_engine(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker(tasks=3)
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(fan(tmp_path, 3, "echo one; sleep 4; echo two")))
            await begun(tmp_path, 3)
            await logged(engine, run, "one")
        async with at.engine() as engine:
            await engine.recover()
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
            assert sorted(await lines_of(engine, run)) == ["one"] * 3 + ["two"] * 3
        assert effects(tmp_path) == ["t0", "t1", "t2"]

    on_place(tmp_path, body)


def test_secrets_are_those_of_the_worker_and_never_in_redis(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker(AETHER_SECRET_DB_PASSWORD="s3cr3t-value")
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(_secret_document("password")))
            report = await ended(engine, run, 60.0)
            assert phase(report) == "Succeeded", report
            assert await lines_of(engine, run) == ["it is ***"]
            run = await engine.submit(engine.plan(_secret_document("user")))
            report = await ended(engine, run, 60.0)
            assert phase(report) == "Error"
            assert "has no key 'user'" in str(report)
        at.redis.command("SAVE")
        kept = b"".join(file.read_bytes() for file in (tmp_path / "redis").iterdir())
        assert b"s3cr3t-value" not in kept + at.log().encode()

    on_place(tmp_path, body)


def _secret_document(key: str) -> dict[str, Any]:
    taken = {"name": "password", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": key}}}
    config = {"source": "echo it is $PASSWORD", "env": {"PASSWORD": "{{inputs.parameters.password}}"}}
    task = {"name": "main", "inputs": {"parameters": [taken]}, "executor": {"type": "script", "config": config}}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "login"},
        "spec": {"entrypoint": "main", "templates": [{"task": task}]},
    }


def test_a_pool_is_a_queue_of_its_own_and_labels_are_refused(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker("-Q", "aether.gpu")
        async with at.engine() as engine:
            placed = script(effect(tmp_path, "gpu"), extensions={"placement": {"pool": "gpu"}})
            run = await engine.submit(engine.plan(placed))
            other = await engine.submit(engine.plan(script(effect(tmp_path, "other"))))
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
            picky = script("true", extensions={"placement": {"selector": "region=eu"}})
            report = await ended(engine, await engine.submit(engine.plan(picky)))
            assert phase(report) == "Error"
            assert "Celery does not look at labels" in str(report)
            assert effects(tmp_path) == ["gpu"]
            await client_of(engine).control.cancel(other)
            assert phase(await ended(engine, other)) == "Cancelled"

    on_place(tmp_path, body)


def test_an_app_of_ones_own_carries_tasks_out_and_the_command_line_names_the_fleet(tmp_path: Path) -> None:
    app = 'from celery import Celery\napp = Celery("shop", broker="{url}", include=["aether_protocol.celery"])\n'
    document = script("echo hello from $(cat /proc/$PPID/comm)")

    with celery_place(tmp_path) as at:
        (tmp_path / "shop.py").write_text(app.format(url=at.redis.url()))
        (tmp_path / "one.yaml").write_text(json.dumps(document))
        at.worker("-Q", "celery,aether", app="shop")
        done = aether("run", "one.yaml", "--broker", at.url, cwd=tmp_path)
        assert (done.returncode, "hello from" in done.stdout + done.stderr) == (0, True), done.stderr
        done = aether("run", "one.yaml", "--broker", "celery+redis://h/x", cwd=tmp_path)
        assert (done.returncode, "names database 'x'" in done.stderr) == (2, True), done.stderr


def test_a_redis_that_is_away_or_refuses_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(json.dumps(script("echo hello")))
    with celery_place(tmp_path) as at:
        at.redis.command("CONFIG", "SET", "requirepass", "geheim")
        place = f"127.0.0.1:{at.redis.port}"
        for url, text in (
            ("celery+redis://127.0.0.1:9", "Redis at 127.0.0.1:9/0 cannot be reached: connection refused"),
            (f"celery+redis://{place}", f"Redis at {place}/0 refuses: it wants a password"),
            (f"celery+redis://:falsch@{place}", f"Redis at {place}/0 refuses: invalid username-password pair"),
        ):
            for words in (["run", "one.yaml"], ["serve", "--http-port", "0", "--store", "sqlite:s.db"]):
                done = aether(*words, "--broker", url, cwd=tmp_path)
                assert (done.returncode, text in done.stderr) == (9, True), done.stderr
                assert "falsch" not in done.stderr
                assert "Traceback" not in done.stderr


def test_a_limit_of_time_that_is_set_in_celery_ends_an_attempt_that_exceeds_it(tmp_path: Path) -> None:
    async def body(at: CeleryPlace) -> None:
        at.worker("--soft-time-limit", "2", tasks=1)
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(script(effect(tmp_path, "x", "sleep 60"))))
            report = await ended(engine, run, 90.0)
            assert phase(report) == "Error"
            assert "soft time limit" in str(report)
        assert effects(tmp_path) == ["x"] * 3
        assert not any(is_alive(pid) for pid in pids_in(tmp_path))

    on_place(tmp_path, body)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_that_ends_in_order_leaves_nothing_behind(tmp_path: Path, pool: str) -> None:
    async def body(at: CeleryPlace) -> None:
        worker = at.worker("-P", pool, tasks=3)
        async with at.engine() as engine:
            run = await engine.submit(engine.plan(fan(tmp_path, 3)))
            assert phase(await ended(engine, run, 60.0)) == "Succeeded"
        assert b"aether:s:" in at.redis.command("KEYS", "aether:s:*")
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 40) == 0
        assert at.redis.command("KEYS", "aether:s:*") == b"*0\r\n"
        assert effects(tmp_path) == ["t0", "t1", "t2"]

    on_place(tmp_path, body)


def test_artifacts_go_through_a_repository_that_both_sides_name(tmp_path: Path) -> None:
    kept = f"folder:{tmp_path}/shared"
    made = {"name": "report", "path": "report.txt"}
    tasks = [
        {
            "name": "make",
            "executor": {"type": "script", "config": {"source": "echo figures > report.txt"}},
            "outputs": {"artifacts": [made]},
        },
        {
            "name": "read",
            "dependencies": ["make"],
            "arguments": {"artifacts": [{"name": "report", "from": "tasks.make.outputs.artifacts.report"}]},
            "executor": {"type": "script", "config": {"source": "cat report.txt"}},
            "inputs": {"artifacts": [made]},
        },
    ]
    document = submitted(*tasks)

    async def body(at: CeleryPlace) -> None:
        at.worker(AETHER_ARTIFACTS=kept)
        async with Engine(store=f"sqlite:{tmp_path}/runs.db", broker=at.url, artifacts=kept) as engine:
            run = await engine.submit(engine.plan(document))
            report = await ended(engine, run, 60.0)
            assert phase(report) == "Succeeded", report
            assert await lines_of(engine, run) == ["figures"]
        async with Engine(store="memory", broker=at.url) as engine:
            report = await ended(engine, await engine.submit(engine.plan(document)), 60.0)
            assert phase(report) == "Error"
            assert "its workers do not reach where they are kept here" in str(report)

    on_place(tmp_path, body)
