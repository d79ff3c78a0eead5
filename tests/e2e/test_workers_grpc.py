"""Workers that talk gRPC, as real processes: the same as over HTTP, by one stream."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from pathlib import Path

from aether_protocol.service import client_of
from tests.documents import script
from tests.e2e.process import AETHER, environment
from tests.e2e.servers import served
from tests.e2e.worker_place import children_of, ended, is_alive, pids_in, place, slow, slow_at_first, until


def test_a_run_is_carried_out_with_secrets_artifacts_and_its_whole_log(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, grpc=True) as (at, engine):
            at.begin_worker("w1")
            secret = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            source = "for n in 1 2 3; do echo line $n; done; echo {{inputs.parameters.p}}; echo kept > out.txt"
            outputs = {"artifacts": [{"name": "kept", "path": "out.txt"}]}
            run = await engine.submit(script(source, inputs={"parameters": [secret]}, outputs=outputs))
            report = await ended(engine, run)
            assert report.phase == "Succeeded", report
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert text.split("\n")[:4] == ["line 1", "line 2", "line 3", "***"]
            assert len(list((tmp_path / "server-artifacts").rglob("*"))) > 1, "it went over HTTP, to the same port"

    asyncio.run(go())


def test_an_outage_of_the_server_within_the_lease_repeats_nothing_and_loses_no_line(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=12.0, grpc=True) as (at, engine):
            at.begin_worker("w1")
            over = tmp_path / "over"
            source = f"echo $PPID >> {tmp_path}/pids; for n in 1 2 3 4 5 6; do echo line $n; sleep 0.3; done; touch {over}"
            run = await engine.submit(script(source))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await at.close()
            await until(over.exists)
            await at.open()
            assert (await ended(engine, run)).phase == "Succeeded"
            assert len(pids_in(tmp_path)) == 1
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert text.split() == [word for n in range(1, 7) for word in ("line", str(n))]

    asyncio.run(go())


def test_children_of_a_killed_worker_die_and_another_worker_takes_over_after_the_lease(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0, grpc=True) as (at, engine):
            first = at.begin_worker("w1")
            run = await engine.submit(script(slow_at_first(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            below = children_of(first.pid)
            first.kill()
            await until(lambda: not any(map(is_alive, below)))
            at.begin_worker("w2", grpc=False)  # both kinds serve one server
            await until(lambda: len(pids_in(tmp_path)) == 2)
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_a_child_that_is_killed_is_reported_at_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, grpc=True) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(script(slow(tmp_path, 1)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            os.kill(pids_in(tmp_path)[0], signal.SIGKILL)
            assert await until(lambda: len(pids_in(tmp_path)) == 2) < 20.0, "no lease of 30 s was waited for"
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_the_commands_serve_and_use_that_port(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers", "--grpc-port", "0") as server:
        found = re.search(r"gRPC and HTTP at (http://\S+)", server.said)
        assert found is not None, server.said
        command = [*AETHER, "worker", "--server", found[1], "--grpc", "--name", "w1", "--cache", str(tmp_path / "cache")]
        worker = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
        try:
            run = server.submit("echo by gRPC")
            assert server.result(run)["phase"] == "Succeeded"
        finally:
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=30)
        assert worker.returncode == 0, said
        assert "connected to" in said
        listed = subprocess.run(
            [*AETHER, "ls", "--server", found[1], "-o", "json"], capture_output=True, text=True, env=environment(), check=True
        )
        assert run in listed.stdout, "the port answers HTTP as well"
        code, _ = server.end()
        assert code == 0
