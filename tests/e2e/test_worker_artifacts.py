"""Artifacts between workers that share no folder: real processes, over HTTP on the loopback, with connections that break."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from aether_protocol.engine.artifacts import collect
from aether_protocol.views.artifacts import summary_of
from aether_protocol.views.report import Report
from tests.documents import script, submitted
from tests.e2e.worker_place import Place, ended, place, until

MB = 2**20
BIG = 50 * MB


class Cutter:
    """A proxy that cuts the first connection on which so many bytes came from the worker, and counts all that came."""

    def __init__(self, port: int, cut_at: int | None) -> None:
        self._port = port
        self._cut_at = cut_at
        self._serving: set[asyncio.Task[None]] = set()
        self.received = 0
        self.cuts = 0
        self.held = asyncio.Event()  # while it is cleared, nothing is passed on beyond `cut_at`
        self.held.set()

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for one in self._serving:
            one.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0.05)  # connections that were aborted are closed by the loop

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())  # type: ignore[arg-type]
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        both = [
            asyncio.ensure_future(self._pass(theirs, writer, count=False)),
            asyncio.ensure_future(self._pass(reader, ours, count=True)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, ours):
                end.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, count: bool) -> None:
        passed = 0
        while data := await source.read(65_536):
            passed += len(data)
            self.received += len(data) if count else 0
            if count and self._cut_at is not None and passed > self._cut_at:
                await self.held.wait()
                self._cut_at = None
                self.cuts += 1
                return
            sink.write(data)
            await sink.drain()


def workflow(make: str, use: str, **more: object) -> dict[str, object]:
    """Two tasks for two workers: what the first makes is what the second uses."""
    made = {"name": "made", "path": "made.bin"}
    first = {
        "name": "make",
        "executor": {"type": "script", "config": {"source": make}},
        "outputs": {"artifacts": [made]},
        "extensions": {"placement": {"selector": "place=first"}},
    }
    second = {
        "name": "use",
        "dependencies": ["make"],
        "inputs": {"artifacts": [{"name": "got", "path": "in/got.bin", "from": "tasks.make.outputs.artifacts.made"}]},
        "executor": {"type": "script", "config": {"source": use}},
        "extensions": {"placement": {"selector": "place=second"}},
        **more,
    }
    return submitted(first, second)


def kept_by(at: Place) -> set[str]:
    return {one.digest for one in at.artifacts.kept()}


def value_of(report: Report, task: str) -> str:
    return next(one.message for one in report.tasks if one.path.endswith(task)) or ""


def test_what_a_task_made_is_there_for_a_task_at_another_worker(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1", labels={"place": "first"})
            at.begin_worker("w2", labels={"place": "second"})
            run = await engine.submit(workflow("printf content > made.bin", f"cp in/got.bin {tmp_path}/seen"))
            report = await ended(engine, run)
            assert report.phase == "Succeeded", report
            assert (tmp_path / "seen").read_bytes() == b"content"
            digest = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
            assert kept_by(at) == {digest}
            run = await engine.submit(workflow("printf content > made.bin", f"cp in/got.bin {tmp_path}/again"))
            assert (await ended(engine, run)).phase == "Succeeded"
            assert (tmp_path / "again").read_bytes() == b"content"

    asyncio.run(go())


@pytest.mark.rule("RT-158")
def test_what_a_task_says_to_people_comes_from_its_worker_masked(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            secret = {"name": "password", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            source = "echo 'it **is** {{inputs.parameters.password}}' > $AETHER_SUMMARY; exit 3"
            run = await engine.submit(script(source, inputs={"parameters": [secret]}))
            report = await ended(engine, run)
            assert (report.phase, report.warnings) == ("Failed", ()), report
            digest = summary_of(await engine.driven.load(run), "main.job")
            assert digest is not None
            with at.artifacts.open(digest) as content:
                assert content.read() == b"it **is** ***\n"

    asyncio.run(go())


def big(folder: Path) -> str:
    """Makes BIG bytes that cannot be compressed, the same each time."""
    return f"test -f {folder}/big || head -c {BIG} /dev/urandom > {folder}/big; cp {folder}/big made.bin"


def test_an_upload_and_a_download_that_break_off_continue_where_they_broke_off(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine), Cutter(at.port, 20 * MB) as cutter:
            at.begin_worker("w1", url=cutter.url, labels={"place": "first"})
            at.begin_worker("w2", labels={"place": "second"})
            run = await engine.submit(workflow(big(tmp_path), f"cmp in/got.bin {tmp_path}/big"))
            report = await ended(engine, run, 60)
            assert report.phase == "Succeeded", report
            assert cutter.cuts == 1
            assert cutter.received < BIG + 8 * MB, "it was not sent from the start again"

    asyncio.run(go())


def test_a_worker_that_is_killed_while_it_sends_leaves_nothing_and_another_one_does_it_again(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0) as (at, engine), Cutter(at.port, 20 * MB) as cutter:
            cutter.held.clear()
            first = at.begin_worker("w1", url=cutter.url, labels={"place": "first"})
            run = await engine.submit(workflow(big(tmp_path), f"cmp in/got.bin {tmp_path}/big"))
            await until(lambda: cutter.received > 20 * MB, 30)
            first.kill()
            assert kept_by(at) == set()
            cutter.held.set()
            at.begin_worker("w3", labels={"place": "first"})
            at.begin_worker("w2", labels={"place": "second"})
            report = await ended(engine, run, 60)
            assert report.phase == "Succeeded", report
            assert len(kept_by(at)) == 1

    asyncio.run(go())


def test_what_a_worker_sent_before_it_died_is_collected_and_the_same_content_is_kept_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0) as (at, engine), Cutter(at.port, 20 * MB) as cutter:
            cutter.held.clear()
            first = at.begin_worker("w1", url=cutter.url, labels={"place": "first"})
            document = workflow(f"printf same > a.txt; echo $$ > b.txt; {big(tmp_path)}", "true")
            make = document["spec"]["templates"][0]["dag"]["tasks"][0]  # type: ignore[index]
            small = [{"name": "a", "path": "a.txt"}, {"name": "b", "path": "b.txt"}]
            make["outputs"]["artifacts"] = [*small, *make["outputs"]["artifacts"]]
            run = await engine.submit(document)
            await until(lambda: cutter.received > 20 * MB)
            sent = kept_by(at)
            assert len(sent) == 2, "both small ones are there, and no result"
            first.kill()
            cutter.held.set()
            at.begin_worker("w3", labels={"place": "first"})
            at.begin_worker("w2", labels={"place": "second"})
            report = await ended(engine, run)
            assert report.phase == "Succeeded", report
            same = f"sha256:{hashlib.sha256(b'same').hexdigest()}"
            assert len(kept_by(at)) == 4, "the content that both made is kept once"
            freed = await collect(engine._store, at.artifacts, time.time_ns() // 1_000 + 1_000_000, grace_us=0)
            assert (freed.count, sent - kept_by(at)) == (1, sent - {same})

    asyncio.run(go())


def test_a_server_that_restarts_gets_the_rest_of_an_upload(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=12.0) as (at, engine), Cutter(at.port, 20 * MB) as cutter:
            cutter.held.clear()
            at.begin_worker("w1", url=cutter.url, labels={"place": "first"})
            at.begin_worker("w2", labels={"place": "second"})
            run = await engine.submit(workflow(big(tmp_path), f"cmp in/got.bin {tmp_path}/big"))
            await until(lambda: cutter.received > 20 * MB, 30)
            closing = asyncio.ensure_future(at.close())
            cutter.held.set()
            await closing
            await asyncio.sleep(0.5)
            await at.open()
            report = await ended(engine, run, 60)
            assert report.phase == "Succeeded", report

    asyncio.run(go())


def test_only_a_live_delivery_may_send_or_fetch(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1", labels={"place": "first"})
            run = await engine.submit(workflow("printf content > made.bin; sleep 60", "true"))
            await until(lambda: any(one.state == "running" for one in at.broker.fleet.state.deliveries.values()))
            digest = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
            async with httpx.AsyncClient(base_url=at.url, headers={"content-type": "application/octet-stream"}) as client:
                for headers in ({}, {"aether-session": "s", "aether-delivery": "t"}):
                    for method in ("GET", "PUT", "HEAD"):
                        answer = await client.request(method, f"/v1/artifacts/{digest}", headers=headers)
                        assert answer.status_code == 403, method
                        assert method == "HEAD" or answer.json()["code"] == "delivery-not-live"
            assert kept_by(at) == set()
            assert run

    asyncio.run(go())
