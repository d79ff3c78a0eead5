"""Artifacts over HTTP, without workers: what a server takes, what it refuses, and that nothing wrong is kept."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.artifacts.transfers import BLOCK, ArtifactTransfers, TransferError
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.ports.worker import ExecutorOffer, Hello, Poll, ResultReport, WorkItem, WorkReport
from aether_protocol.server.app import make_app
from aether_protocol.server.parts import ServerParts
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, work
from tests.unit.server.serving import until

pytestmark = pytest.mark.rule("RT-132")

CONTENT = random.Random(1).randbytes(3 * BLOCK + 17)  # the same in each process: it is in the names of tests
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
OTHER = f"sha256:{hashlib.sha256(b'other').hexdigest()}"


class Desk:
    """A server with one worker that has one delivery, which may fetch `OTHER`."""

    def __init__(self, folder: Path, most_bytes: int = 2**30) -> None:
        self.repository = LocalRepository(folder / "kept")
        self.broker = WorkerBroker(ManualClock(), b"k" * 32, artifacts=self.repository)
        self.ear = Ear()
        self.broker.start(self.ear)
        self.transfers = ArtifactTransfers(self.repository, most_bytes=most_bytes)
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 1})
        session = self.broker.hello(hello).session
        assignment = work(1, "noop")
        assignment.artifacts = {"got": {"name": "got", "digest": OTHER, "size": 5}}
        await self.broker.dispatch([assignment])
        (item,) = (await self.broker.poll(session, Poll(poll=1, free=1, holding=[]))).work
        self.headers = {"aether-session": session, "aether-delivery": item.token}
        self.item = item
        self.session = session

    def kept(self) -> list[str]:
        return [one.digest for one in self.repository.kept()]

    def parts(self) -> list[Path]:
        folder = self.repository.folder / "uploads"
        return list(folder.iterdir()) if folder.exists() else []


@contextlib.asynccontextmanager
async def desk(folder: Path, most_bytes: int = 2**30) -> AsyncIterator[tuple[Desk, AsyncTestClient[Litestar]]]:
    at = Desk(folder, most_bytes)
    await at.begin()
    app = make_app(ServerParts(workers=at.broker, artifacts=at.transfers))
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        client.headers["content-type"] = "application/octet-stream"
        yield at, client
    await at.broker.close()


def test_an_artifact_comes_in_parts_and_goes_out_from_any_byte_on(tmp_path: Path) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, client):
            path, half, size = f"/v1/artifacts/{DIGEST}", 2 * BLOCK - 5, len(CONTENT)
            looked = await client.head(path, headers=at.headers)
            assert (looked.status_code, looked.headers["upload-offset"]) == (404, "0")
            first = {**at.headers, "content-range": f"bytes 0-{half - 1}/{size}"}
            answer = await client.put(path, content=CONTENT[:half], headers=first)
            assert (answer.status_code, answer.headers["upload-offset"]) == (202, str(half))
            assert at.kept() == []
            assert (await client.head(path, headers=at.headers)).headers["upload-offset"] == str(half)
            gap = {**at.headers, "content-range": f"bytes {half + 1}-{size - 1}/{size}"}
            answer = await client.put(path, content=CONTENT[half + 1 :], headers=gap)
            assert (answer.status_code, answer.json()["code"], answer.json()["offset"]) == (409, "artifact-offset", half)
            rest = {**at.headers, "content-range": f"bytes {half}-{size - 1}/{size}"}
            answer = await client.put(path, content=CONTENT[half:], headers=rest)
            assert (answer.status_code, answer.headers["artifact-size"]) == (201, str(size))
            assert (at.kept(), at.parts()) == ([DIGEST], [])
            looked = await client.head(path, headers=at.headers)
            assert (looked.status_code, looked.headers["artifact-size"]) == (200, str(size))

    asyncio.run(go())


def test_what_a_result_has_fetched_counts_as_put_now_and_what_is_gone_is_left_out(tmp_path: Path) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, _):
            (tmp_path / "file").write_bytes(b"other")
            at.repository.put(tmp_path / "file")
            kept = at.repository.path_of(OTHER)
            os.utime(kept, (1, 1))
            fetched = {name: {"digest": digest, "size": 5, "mode": "0644"} for name, digest in (("a", OTHER), ("b", DIGEST))}
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            result = {**{name: at.item.assignment[name] for name in names}, "code": 0, "fetched": fetched}
            await at.broker.report(at.session, WorkReport(results=[ResultReport(token=at.item.token, result=result)]))
            (got,) = at.ear.results
            assert (got.code, list(got.fetched)) == (0, ["a"]), got
            assert kept.stat().st_mtime > time.time() - 60

    asyncio.run(go())


@pytest.mark.rule("RT-140")
def test_what_another_namespace_has_is_not_here(tmp_path: Path) -> None:
    """With its digest in hand: it is not looked up, not given out, not put without being sent, and not taken as a result's."""

    async def go() -> None:
        at = Desk(tmp_path)
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 2})
        session = at.broker.hello(hello, namespaces=frozenset({"ours"})).session
        assignments = []
        for number in (1, 2):
            assignment = work(number, "noop")
            assignment.artifacts = {"got": {"name": "got", "digest": OTHER, "size": 5}}
            assignment.namespace = "ours"
            assignments.append(assignment)
        await at.broker.dispatch(assignments)
        one, two = (await at.broker.poll(session, Poll(poll=1, free=2, holding=[]))).work
        (tmp_path / "file").write_bytes(b"other")
        for namespace in ("default", "theirs"):
            at.repository.within(namespace).put(tmp_path / "file")
        headers = {"aether-session": session, "aether-delivery": one.token}
        path, unknown = f"/v1/artifacts/{OTHER}", f"/v1/artifacts/{DIGEST}"
        app = make_app(ServerParts(workers=at.broker, artifacts=at.transfers))
        async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
            client.headers["content-type"] = "application/octet-stream"
            looked = [await client.head(text, headers=headers) for text in (path, unknown)]
            assert [(got.status_code, got.headers["upload-offset"]) for got in looked] == [(404, "0")] * 2
            assert (await client.get(path, headers=headers)).status_code == 404
            half = {**headers, "content-range": "bytes 0-1/5"}
            assert (await client.put(path, content=b"ot", headers=half)).status_code == 202, "all of it has to be sent"
            await _report(at, session, two, OTHER)
            assert at.ear.results[-1].code == 3, "its namespace does not have it"
            assert "which it has not sent" in at.ear.results[-1].message
            rest = {**headers, "content-range": "bytes 2-4/5"}
            assert (await client.put(path, content=b"her", headers=rest)).status_code == 201
            assert (await client.get(path, headers=headers)).content == b"other"
            await _report(at, session, one, OTHER)
            assert at.ear.results[-1].code == 0
        await at.broker.close()

    asyncio.run(go())


async def _report(at: Desk, session: str, item: WorkItem, digest: str) -> None:
    """Report that an attempt made an artifact."""
    names = ("taskRunId", "workflowRunId", "attempt", "epoch")
    made = {"made": {"name": "made", "digest": digest, "size": 5}}
    result = {**{name: item.assignment[name] for name in names}, "code": 0, "artifacts": made}
    report = WorkReport(results=[ResultReport(token=item.token, result=result)])
    await asyncio.wait_for(at.broker.report(session, report), 10)


def test_a_delivery_gets_what_its_assignment_names_and_nothing_else(tmp_path: Path) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, client):
            for content in (CONTENT, b"other"):
                (tmp_path / "file").write_bytes(content)
                at.repository.put(tmp_path / "file")
            answer = await client.get(f"/v1/artifacts/{OTHER}", headers=at.headers)
            assert (answer.status_code, answer.content) == (200, b"other")
            ranged = await client.get(f"/v1/artifacts/{OTHER}", headers={**at.headers, "range": "bytes=2-"})
            assert (ranged.status_code, ranged.content) == (206, b"her")
            assert ranged.headers["content-range"] == "bytes 2-4/5"
            beyond = await client.get(f"/v1/artifacts/{OTHER}", headers={**at.headers, "range": "bytes=5-"})
            assert beyond.status_code == 416
            answer = await client.get(f"/v1/artifacts/{DIGEST}", headers=at.headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "artifact-not-of-delivery")

    asyncio.run(go())


WRONG = [
    (DIGEST, b"something else", None, 422, "artifact-digest"),
    (DIGEST, CONTENT[:-1], None, 422, "artifact-digest"),
    (DIGEST, CONTENT + b"x", None, 422, "artifact-digest"),
    (DIGEST, CONTENT, f"bytes 0-9/{10}", 400, "artifact-invalid"),
    (DIGEST, b"x", "bytes 5-4/9", 400, "artifact-invalid"),
    (DIGEST, b"x", "lines 1-2/3", 400, "artifact-invalid"),
    ("sha256:../../etc/passwd", b"x", None, 404, "not-found"),
    ("sha256:xyz", b"x", None, 400, "artifact-invalid"),
    ("md5:00", b"x", None, 400, "artifact-invalid"),
]


@pytest.mark.parametrize(("digest", "content", "content_range", "status", "code"), WRONG)
def test_what_is_wrong_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, digest: str, content: bytes, content_range: str | None, status: int, code: str
) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, client):
            headers = {**at.headers, **({"content-range": content_range} if content_range else {})}
            answer = await client.put(f"/v1/artifacts/{digest}", content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert (at.kept(), at.parts()) == ([], [])

    asyncio.run(go())


def test_an_artifact_may_be_larger_than_other_bodies_and_not_larger_than_the_bound(tmp_path: Path) -> None:
    async def go() -> None:
        async with desk(tmp_path, most_bytes=len(CONTENT)) as (at, client):
            answer = await client.put(f"/v1/artifacts/{DIGEST}", content=CONTENT, headers=at.headers)
            assert answer.status_code == 201
            answer = await client.put(f"/v1/artifacts/{OTHER}", content=CONTENT + b"x", headers=at.headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "artifact-too-large")
            with pytest.raises(TransferError) as refused:  # also where nothing says so before
                await at.transfers.receive(OTHER, "1", _pieces(CONTENT + b"x"), namespace="default")
            assert refused.value.code == "artifact-too-large"

    asyncio.run(go())


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 10_000):
        yield content[start : start + 10_000]


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond that: the closest to a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_the_rest_may_come_when_there_is_room(tmp_path: Path) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, client):
            with files_up_to(BLOCK + 10):
                answer = await client.put(f"/v1/artifacts/{DIGEST}", content=CONTENT, headers=at.headers)
            assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")
            assert at.kept() == []
            offset = int((await client.head(f"/v1/artifacts/{DIGEST}", headers=at.headers)).headers["upload-offset"])
            assert 0 < offset < len(CONTENT)
            rest = {**at.headers, "content-range": f"bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}"}
            answer = await client.put(f"/v1/artifacts/{DIGEST}", content=CONTENT[offset:], headers=rest)
            assert answer.status_code == 201
            assert at.kept() == [DIGEST]

    asyncio.run(go())


def test_the_newest_sender_of_an_artifact_counts(tmp_path: Path) -> None:
    """The connection of the first is gone, and it does not know it."""

    async def go() -> None:
        transfers = ArtifactTransfers(LocalRepository(tmp_path / "kept"))
        first_sent, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield CONTENT[:BLOCK]
            first_sent.set()
            await go_on.wait()
            yield b"x" * BLOCK

        first = asyncio.ensure_future(transfers.receive(DIGEST, "1", slowly(), namespace="default"))
        await first_sent.wait()
        await until(lambda: transfers.offset(DIGEST, "1") == BLOCK)
        offset = transfers.offset(DIGEST, "1")
        assert transfers.offset(DIGEST, "2") == 0, "parts of two senders do not meet"
        rest = _pieces(CONTENT[offset:])
        second = asyncio.ensure_future(transfers.receive(DIGEST, "1", rest, namespace="default", offset=offset))
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(TransferError) as refused:
            await first
        assert refused.value.code == "artifact-offset"
        assert await second == len(CONTENT)

    asyncio.run(go())


def test_parts_that_never_became_whole_are_removed(tmp_path: Path) -> None:
    async def go() -> None:
        transfers = ArtifactTransfers(LocalRepository(tmp_path / "kept"))

        async def broken() -> AsyncIterator[bytes]:
            yield CONTENT[:100]
            raise httpx.ReadError("the connection is gone")

        with pytest.raises(httpx.ReadError):
            await transfers.receive(DIGEST, "1", broken(), namespace="default")
        assert transfers.offset(DIGEST, "1") == 100
        (part,) = (tmp_path / "kept" / "uploads").iterdir()
        old = time.time() - 90_000
        os.utime(part, (old, old))
        await transfers.receive(OTHER, "2", _pieces(b"other"), namespace="default")
        assert not part.exists()

    asyncio.run(go())


@pytest.mark.parametrize("kept", [True, False])
def test_a_result_that_names_an_artifact_which_was_not_sent_is_an_error(tmp_path: Path, kept: bool) -> None:
    async def go() -> None:
        async with desk(tmp_path) as (at, client):
            if kept:
                assert (await client.put(f"/v1/artifacts/{DIGEST}", content=CONTENT, headers=at.headers)).is_success
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            made = {"made": {"name": "made", "digest": DIGEST, "size": len(CONTENT)}}
            result = {**{name: at.item.assignment[name] for name in names}, "code": 0, "artifacts": made}
            reporting = at.broker.report(at.session, WorkReport(results=[ResultReport(token=at.item.token, result=result)]))
            await asyncio.wait_for(reporting, 10)
            (got,) = at.ear.results
            assert got.code == (0 if kept else 3)
            assert kept or got.message == "its worker reported artifact 'made', which it has not sent"

    asyncio.run(go())
