"""The remote client keeps the contract of clients, and puts up with servers that come and go."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from aether_protocol.errors import (
    AetherError,
    BusyError,
    ConflictError,
    DocumentError,
    NotFoundError,
    PortError,
    UsageError,
)
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import connect, connect_blocking
from aether_protocol.service.client import Client
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.service.remote import RemoteClient
from aether_protocol.testing.contracts.client import ASKS, HELLO, ClientContract, Stage
from aether_protocol.testing.contracts.client_documents import USES, WORDS
from aether_protocol.worker import Worker
from tests.server_process import free_port
from tests.unit.server.serving import Server, listening, until, workflow

NINE = "for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.15; done"
SLOW = workflow("slow", {"type": "script", "config": {"runtime": "sh", "source": NINE}})


class TestRemoteClient(ClientContract):
    """Of a server that records what is submitted; another engine drives it."""

    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Stage]:
        async with listening(folder, drives=False) as server, connect(server.url) as client:
            checked: Client = client
            yield Stage(checked, server.engine.recover)


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[Client, Client, Server]]:
    """The same store asked directly and over HTTP."""
    async with (
        asyncio.timeout(60),
        listening(folder) as server,
        connect(f"sqlite:{folder}/aether.db") as local,
        connect(server.url) as remote,
    ):
        yield local, remote, server


async def raised(work: Awaitable[object]) -> AetherError:
    with pytest.raises(AetherError) as caught:
        await work
    return caught.value


def test_errors_come_back_as_what_they_were(tmp_path: Path) -> None:
    """The same class, message, hint and findings with their places."""

    async def go() -> None:
        async with both(tmp_path) as (local, remote, _):
            await local.control.submit(ASKS, run_id="asks-1")
            faulty = DocumentText("flow.yaml", "apiVersion: aether/v1\nkind: Workflov\n")
            asks: list[tuple[Callable[[Client], Awaitable[object]], type[AetherError]]] = [
                (lambda client: client.runs.get("asks-2"), NotFoundError),
                (lambda client: client.control.submit(ASKS, run_id="asks-1"), ConflictError),
                (lambda client: client.control.submit(ASKS, {"x": 1}), UsageError),
                (lambda client: client.control.submit(ASKS, {"x": {1, 2}}), UsageError),  # type: ignore[dict-item]
                (lambda client: client.control.submit(faulty), DocumentError),
                (lambda client: client.control.submit(ASKS, workflow="other"), UsageError),
                (lambda client: client.control.cancel("asks-2"), NotFoundError),
                (lambda client: client.control.retry("asks-1"), ConflictError),
                (lambda client: client.control.delete(["asks-1"]), UsageError),
                (lambda client: client.inspect.question("asks-1", "mian"), NotFoundError),
                (lambda client: client.runs.wait("asks-1", timeout_s=0.01), BusyError),
                (lambda client: client.runs.report("asks-1", at=99), NotFoundError),
                (lambda client: client.store.import_run(["x\n"], "moved.jsonl"), UsageError),
            ]
            for ask, kind in asks:
                ours, theirs = await raised(ask(local)), await raised(ask(remote))
                assert (type(theirs), theirs.message, theirs.hint) == (type(ours), ours.message, ours.hint)
                assert isinstance(theirs, kind)
                if isinstance(ours, DocumentError) and isinstance(theirs, DocumentError):
                    assert theirs.diagnostics == ours.diagnostics
                    assert theirs.diagnostics[0].file == "flow.yaml"

    asyncio.run(go())


def test_values_are_those_that_a_local_client_gives(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as (local, remote, _):
            big = {"rows": 10**15, "ratio": 1.0, "text": "\u2028 \\ \"", "nested": {"list": [None, True, -0.5]}}
            echo = {"type": "echo", "config": {"outputs": [{"name": "value", "value": big}]}}
            run = await remote.control.submit(workflow("echo", echo))
            report = await remote.runs.wait(run)
            assert report == await local.runs.report(run)
            assert await remote.runs.get(run) == await local.runs.get(run)
            assert await remote.runs.list(RunQuery(limit=5)) == await local.runs.list(RunQuery(limit=5))
            assert await remote.inspect.overview(run) == await local.inspect.overview(run)
            assert await remote.inspect.step(run, 2) == await local.inspect.step(run, 2)
            assert [one async for one in remote.runs.events(run)] == [one async for one in local.runs.events(run)]
            assert await remote.store.changes(0) == await local.store.changes(0)
            assert (await remote.store.info()).runs == 1

    asyncio.run(go())


def test_schedules_come_in_pages(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as (local, remote, server):
            for name in ("a", "b", "c"):
                spec = {"schedule": "0 3 * * *", "workflowSpec": HELLO["spec"]}
                metadata = {"name": name, "namespace": "ops"}
                document = {"apiVersion": "aether/v1", "kind": "CronWorkflow", "metadata": metadata, "spec": spec}
                await local.schedules.apply(document)
            whole = await local.schedules.list()
            assert await remote.schedules.list() == whole
            assert await remote.schedules.list(limit=2) == whole[:2]
            assert await remote.schedules.list("ops", after=("ops", "a"), limit=1) == whole[1:2]
            assert await remote.schedules.list(after=("ops", "c")) == []
            async with httpx.AsyncClient(base_url=server.url) as client:
                page = (await client.get("/v1/schedules", params={"limit": 2})).json()
                assert (len(page["schedules"]), page["next"]) == (2, "ops/b")
                last = (await client.get("/v1/schedules", params={"limit": 2, "page": page["next"]})).json()
                assert (len(last["schedules"]), last["next"]) == (1, None)
                assert (await client.get("/v1/schedules", params={"page": "x"})).status_code == 400

    asyncio.run(go())


def test_libraries_and_one_of_several_workflows_are_sent_along(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as (_, remote, _):
            text = f"{json.dumps(USES)}\n---\n{json.dumps(HELLO)}\n"
            document = DocumentText("two.yaml", text)
            library = [LibraryTexts("words.yaml", [DocumentText("words.yaml", WORDS)])]
            run = await remote.control.submit(document, workflow="uses", library=library)
            assert (await remote.runs.wait(run)).phase == "Succeeded"
            with pytest.raises(UsageError, match="several"):
                await remote.control.submit(document, library=library)

    asyncio.run(go())


def test_feeds_are_resumed_when_the_server_restarts_in_mid_stream(tmp_path: Path) -> None:
    """Nothing is lost and nothing comes twice; waiting goes on as well."""

    async def go() -> None:
        async with both(tmp_path) as (local, remote, server):
            run = await remote.control.submit(SLOW)
            records, pieces = [], []

            async def events() -> None:
                records.extend([record async for record in remote.runs.events(run, follow=True)])

            async def logs() -> None:
                pieces.extend([piece async for piece in remote.runs.logs(run, follow=True)])

            following = asyncio.gather(events(), logs(), remote.runs.wait(run))
            for _ in range(3):
                await asyncio.sleep(0.2)
                await server.stop()
                await asyncio.sleep(0.1)
                server = Server(server.engine, server.port)
                await server.start()
            _, _, report = await following
            assert report.phase == "Succeeded"
            assert records == [record async for record in local.runs.events(run)]
            assert pieces == [piece async for piece in local.runs.logs(run)]
            assert "".join(piece.text for piece in pieces).split() == list("123456789")
            await server.stop()

    asyncio.run(go())


def test_a_connection_that_is_cut_within_a_message_loses_nothing(tmp_path: Path) -> None:
    """A proxy between that passes so many bytes and cuts, again and again."""

    async def go() -> None:
        async with both(tmp_path) as (local, remote, server):
            run = await remote.control.submit(HELLO)
            await remote.runs.wait(run)
            expected = [record async for record in local.runs.events(run)]
            cuts = iter([0, 150, 400, 777, 900, 1300, 1301, 2222, 10**9])

            async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                left = next(cuts)
                there = await asyncio.open_connection("127.0.0.1", server.port)
                request = await reader.readuntil(b"\r\n\r\n")
                host = f"host: 127.0.0.1:{proxy.sockets[0].getsockname()[1]}".encode()
                there[1].write(request.replace(host, f"host: 127.0.0.1:{server.port}".encode()))
                while left and (data := await there[0].read(min(left, 4096))):
                    writer.write(data)
                    await writer.drain()
                    left -= len(data)
                there[1].close()
                writer.close()

            proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
            async with connect(f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}") as client:
                assert [record async for record in client.runs.events(run, follow=True)] == expected
            proxy.close()

    asyncio.run(go())


def test_a_server_that_is_away_is_a_port_error(tmp_path: Path) -> None:
    async def go() -> None:
        async with RemoteClient(f"http://127.0.0.1:{free_port()}", patience_s=0.3) as client:
            for ask in (client.runs.list(), client.runs.wait("r"), client.control.cancel("r")):
                error = await raised(ask)
                assert isinstance(error, PortError)
                assert "cannot be reached" in error.message
                assert "AETHER_SERVER" in (error.hint or "")
            assert isinstance(await raised(anext(client.runs.events("r", follow=True))), PortError)

    asyncio.run(go())


def test_what_is_not_an_aether_server_is_said_so() -> None:
    async def go() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<html>"[:-2])
            await writer.drain()
            writer.close()

        other = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with connect(f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}") as client:
            error = await raised(client.runs.get("x"))
            assert isinstance(error, PortError)
            assert "does not fit" in error.message
        other.close()

    asyncio.run(go())


@pytest.mark.parametrize("url", ["http://", "http://u:p@host", "http://host?x=1", "https:///path"])
def test_wrong_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        connect(url)
    with pytest.raises(UsageError, match="token"):
        connect("memory", token="x")
    with pytest.raises(UsageError, match="its own"):
        connect("http://localhost:1", workspaces="/tmp")


def test_a_blocking_client_asks_a_server_too(tmp_path: Path) -> None:
    """From another thread than the server's."""
    began, done = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with listening(tmp_path) as server:
            found.append(server.url)
            began.set()
            await until(done.is_set, 60)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert began.wait(20)
        with connect_blocking(found[0]) as client:
            run = client.control.submit(HELLO)
            assert client.runs.wait(run, timeout_s=20).phase == "Succeeded"
            assert "".join(piece.text for piece in client.runs.logs(run)) == "hello\n"
            with pytest.raises(NotFoundError):
                client.runs.get("nothing")
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("url", ["http://aether.example.com", "http://192.0.2.1:7234", "http://localhost.example.com"])
def test_a_token_goes_over_no_network_in_clear(url: str) -> None:
    with pytest.raises(UsageError, match="would carry the token in clear") as refused:
        connect(url, token="aeth_x")
    assert refused.value.hint == "use https://, or a tunnel whose end is on this machine"
    assert "aeth_x" not in refused.value.message
    connect(url)  # without a token there is nothing to be read
    connect("http://[::1]:7234", token="aeth_x")


@pytest.mark.parametrize("token", ["SECRET\n", "SECRET\r\nx: y", " SECRET", "SECR\u00c9T-SECRET", "\x01SECRET", ""])
def test_a_token_that_no_header_can_carry_is_refused_without_its_text(token: str) -> None:
    with pytest.raises(UsageError, match="AETHER_TOKEN") as refused:
        connect("http://127.0.0.1:7234", token=token)
    assert "SECRET" not in str(refused.value)
    with pytest.raises(UsageError, match="AETHER_TOKEN") as refused:
        Worker("http://127.0.0.1:7234", token=token)
    assert "SECRET" not in str(refused.value)


def test_a_filter_that_a_server_does_not_know_is_refused_and_not_left_out(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as (local, remote, server):
            await local.control.submit(ASKS, run_id="asks-1")
            digest = (await local.runs.get("asks-1")).digest
            assert [one.run_id for one in await remote.runs.list(RunQuery(digest=digest))] == ["asks-1"]
            assert await remote.runs.list(RunQuery(digest="0" * 64)) == []
            assert isinstance(await raised(remote.runs.list(RunQuery(namespaces=["a"]))), UsageError)
            assert isinstance(await raised(remote.control.prune(RunQuery(namespaces=["a"]))), UsageError)
            misspelt = await raised(remote.runs.list(RunQuery(phases=["Suceeded"])))
            assert (misspelt.message, misspelt.hint) == ("'Suceeded' is not a phase", "did you mean 'Succeeded'?")
            async with httpx.AsyncClient(base_url=server.url) as plain:
                refused = await plain.post("/v1/store/prune", json={})
                assert (refused.status_code, refused.json()["code"]) == (400, "usage")

    asyncio.run(go())


HALF = "a\ud800"


def test_text_that_no_request_can_carry_is_a_usage_error(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as (_, remote, _server):
            asks: list[Callable[[], Awaitable[object]]] = [
                lambda: remote.runs.get(HALF),
                lambda: remote.runs.list(RunQuery(name=HALF)),
                lambda: remote.control.submit(ASKS, run_id=HALF),
                lambda: remote.control.submit_once(HALF, ASKS),
                lambda: remote.control.cancel("asks", reason=HALF),
                lambda: remote.documents.get(HALF),
            ]
            for ask in asks:
                error = await raised(ask())
                assert isinstance(error, UsageError)
                assert "surrogate" in error.message

    asyncio.run(go())
