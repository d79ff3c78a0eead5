"""Workers as real processes, over HTTP on the loopback: what happens to attempts when children, workers and servers die."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.service import client_of
from tests.documents import script
from tests.e2e.worker_place import Vault, children_of, ended, is_alive, pids_in, place, slow, slow_at_first, until


def test_a_run_is_carried_out_by_workers_and_its_log_is_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(script("for n in 1 2 3; do echo line $n; done; echo {{workflow.name}}"))
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            lines = [line.text async for line in client_of(engine).runs.logs(run)]
            assert "".join(lines).split("\n")[:4] == ["line 1", "line 2", "line 3", "one"]

    asyncio.run(go())


def test_a_child_that_is_killed_is_reported_within_a_second_and_the_attempt_repeated(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(script(f"test -s {tmp_path}/pids && echo again > {tmp_path}/again; {slow(tmp_path, 2)}"))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            os.kill(pids_in(tmp_path)[0], signal.SIGKILL)
            assert await until(lambda: len(pids_in(tmp_path)) == 2) < 20.0, "no lease of 30 s was waited for"
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            assert (tmp_path / "again").exists()

    asyncio.run(go())


@pytest.mark.rule("RT-22")
@pytest.mark.parametrize("known", [True, False])
def test_an_attempt_whose_child_dies_three_times_in_a_row_is_an_error_with_its_last_lines(tmp_path: Path, known: bool) -> None:
    async def go(secrets: list[Vault]) -> None:
        async with place(tmp_path, secrets=secrets) as (at, engine):
            at.begin_worker("w1")
            text = f"echo $PPID >> {tmp_path}/pids; echo it says $PASSWORD; sleep 0.3; kill -9 $PPID; sleep 5"
            secret = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            run = await engine.submit(
                script("export PASSWORD={{inputs.parameters.p}}; " + text, inputs={"parameters": [secret]}, retry={"limit": 3})
            )
            report = await ended(engine, run)
            assert report.phase == "Error"
            assert len(pids_in(tmp_path)) == 3, "an Error of the engine is not retried"
            first, *lines = str(report.tasks[-1].message).splitlines()
            assert first.startswith("its process died 3 times in a row (signal 9")
            assert lines == (["it says ***"] if secrets else ["***"]), "what cannot be masked is not shown"
            assert not [path for one in engine._driver.runs.values() for path in one.open]

    asyncio.run(go([Vault()] if known else []))


def test_children_of_a_killed_worker_die_and_another_worker_takes_over_after_the_lease(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0) as (at, engine):
            first = at.begin_worker("w1")
            run = await engine.submit(script(slow_at_first(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            below = children_of(first.pid)
            assert pids_in(tmp_path)[0] in below
            killed = time.monotonic()
            first.kill()
            await until(lambda: not any(map(is_alive, below)))
            at.begin_worker("w2")
            await until(lambda: len(pids_in(tmp_path)) == 2)
            assert time.monotonic() - killed > 1.5, "never before the lease has ended, which was renewed 0.2 s ago"
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_an_outage_of_the_server_within_the_lease_repeats_nothing_and_loses_no_line(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=12.0) as (at, engine):
            at.begin_worker("w1")
            over = tmp_path / "over"
            run = await engine.submit(
                script(f"echo $PPID >> {tmp_path}/pids; for n in 1 2 3 4 5 6; do echo line $n; sleep 0.3; done; touch {over}")
            )
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await at.close()
            await until(over.exists)
            await at.open()
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            assert len(pids_in(tmp_path)) == 1
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert text.split() == [word for n in range(1, 7) for word in ("line", str(n))]

    asyncio.run(go())


def test_a_worker_that_cannot_reach_its_server_stops_its_work_before_the_lease_ends(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=3.0) as (at, engine):
            worker = at.begin_worker("w1")
            await engine.submit(script(slow(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            (program,) = pids_in(tmp_path)
            await at.close()
            gone = await until(lambda: not is_alive(program))
            assert gone < 3.0
            assert worker.poll() is None, "the supervisor stays"

    asyncio.run(go())


def test_a_first_signal_lets_attempts_end_and_a_second_gives_them_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            first = at.begin_worker("w1", tasks=1)
            run = await engine.submit(script(slow(tmp_path, 1)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            first.terminate()
            assert (await ended(engine, run)).phase == "Succeeded"
            assert await asyncio.to_thread(first.wait, 10) == 0
            assert len(pids_in(tmp_path)) == 1
            second = at.begin_worker("w2", tasks=1)
            run = await engine.submit(script(slow(tmp_path, 2)))
            await until(lambda: len(pids_in(tmp_path)) == 2)
            second.terminate()
            await asyncio.sleep(0.2)
            second.terminate()
            assert await asyncio.to_thread(second.wait, 10) == 0
            at.begin_worker("w3", tasks=1)
            await until(lambda: len(pids_in(tmp_path)) == 3)
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_a_cancelled_attempt_ends_at_its_worker_within_its_grace(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1", tasks=1)
            run = await engine.submit(script(slow(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await client_of(engine).control.cancel(run)
            assert (await ended(engine, run)).phase == "Cancelled"
            await until(lambda: not is_alive(pids_in(tmp_path)[0]), 7)
            run = await engine.submit(script("echo free"))
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_secrets_are_fetched_by_the_worker_and_masked_in_what_comes_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            source = "echo got {{inputs.parameters.password}}; printf %s {{inputs.parameters.password}} > " + f"{tmp_path}/seen"
            secret = {"name": "password", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            run = await engine.submit(script(source, inputs={"parameters": [secret]}))
            report = await ended(engine, run)
            assert report.phase == "Succeeded", report
            assert (tmp_path / "seen").read_text() == "s3cr3t-value"
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert "s3cr3t" not in text
            assert "got ***" in text

    asyncio.run(go())


def test_a_long_log_arrives_whole_once_and_in_order_also_where_the_server_is_away_meanwhile(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=12.0) as (at, engine):
            at.begin_worker("w1")
            over = tmp_path / "over"
            seq = "seq -f 'line %g of many'"
            lines = f"{seq} 1 30000; echo $PPID >> {tmp_path}/pids; sleep 1; {seq} 30001 35000; touch {over}"
            run = await engine.submit(script(lines))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await at.close()
            await until(over.exists)
            await at.open()
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            expected = [f"line {number} of many" for number in range(1, 35001)]

            async def text() -> list[str]:
                return "".join([line.text async for line in client_of(engine).runs.logs(run)]).splitlines()

            found = await text()
            for _ in range(100):
                if found[-1:] == expected[-1:]:
                    break
                await asyncio.sleep(0.1)
                found = await text()
            assert found == expected

    asyncio.run(go())


def test_inline_attempts_share_few_processes(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            worker = at.begin_worker("w1", tasks=200)
            document = script("true")
            document["spec"]["templates"][0]["dag"]["tasks"] = [  # type: ignore[index]
                {"name": f"t{number}", "executor": {"type": "noop"}} for number in range(300)
            ]
            report = await ended(engine, await engine.submit(document))
            assert report.phase == "Succeeded"
            assert len(children_of(worker.pid)) <= (os.cpu_count() or 1)

    asyncio.run(go())


CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.rule("RT-135")
@pytest.mark.parametrize("env", [{}, {"TRACEPARENT": "mine"}, {"TRACEPARENT": None}])
def test_programs_at_workers_continue_the_trace_unless_their_env_says_otherwise(tmp_path: Path, env: dict[str, Any]) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            document = script(f"echo ${{TRACEPARENT-none}} > {tmp_path}/seen")
            document["spec"]["templates"][0]["dag"]["tasks"][0]["executor"]["config"]["env"] = env  # type: ignore[index]
            report = await ended(engine, await engine.submit(document, trace_context=CALLER))
            assert report.phase == "Succeeded", report
            expected = (env["TRACEPARENT"] or "none") if env else CALLER
            assert (tmp_path / "seen").read_text().strip() == expected

    asyncio.run(go())
