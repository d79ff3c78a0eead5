"""Logs, events and changes over HTTP: pages, streams that are resumed, and what is freed when a reader leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from aether_protocol import Engine
from aether_protocol.errors import NotFoundError, PortError
from aether_protocol.server import sse
from aether_protocol.server.feeds import SharedChanges
from aether_protocol.service import client_of
from aether_protocol.service.access.caller import Caller
from aether_protocol.service.access.guarded import GuardedClient
from tests.unit.server.serving import ASKS, HELLO, Server, listening, until, workflow

SIXTY = "n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo line $n; done"
COUNTS = workflow("counts", {"type": "script", "config": {"runtime": "sh", "source": SIXTY}})


class Message(dict[str, Any]):
    """A server-sent event: id, event, data."""


async def read(lines: AsyncIterator[str]) -> AsyncIterator[Message]:
    """The messages of a stream, without its comments."""
    message = Message()
    async for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if message:
                yield message
            message = Message()
        elif name == "data":
            message["data"] = json.loads(value)
        elif name:
            message[name] = value.strip()


@asynccontextmanager
async def stream(client: httpx.AsyncClient, path: str, **options: Any) -> AsyncIterator[AsyncIterator[Message]]:
    async with client.stream("GET", path, **options) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer.aiter_lines())


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    async with (
        asyncio.timeout(60),
        listening(folder) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30) as client,
    ):
        yield server, client


async def begin(client: httpx.AsyncClient, document: Any, **more: Any) -> str:
    made = await client.post("/v1/runs", json={"document": document, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["runId"])


def test_logs_are_read_in_ranges_from_both_ends_and_searched(tmp_path: Path) -> None:
    async def go() -> None:
        async with asked(tmp_path) as (_, client):
            run = await begin(client, COUNTS)
            await client.get(f"/v1/runs/{run}/result", params={"wait": "20s"})

            async def logs(**params: Any) -> dict[str, Any]:
                answer = await client.get(f"/v1/runs/{run}/logs", params=params)
                assert answer.status_code == 200, answer.text
                return dict(answer.json())

            every = (await logs())["logs"]
            assert "".join(piece["text"] for piece in every) == "".join(f"line {n}\n" for n in range(1, 61))
            assert (every[0]["path"], every[0]["stream"], every[0]["runId"]) == ("main", "stdout", run)
            seen, after = [], 0
            while after is not None:
                page = await logs(limit=1, after=after)
                seen += page["logs"]
                after = page["next"]
            assert seen == every
            found = "".join(piece["text"] for piece in (await logs(search="line 5"))["logs"])
            assert found.split("\n")[:2] == ["line 5", "line 50"]
            last = await logs(tail=1)
            assert (last["logs"], last["previous"]) == (every[-1:], every[-1]["seq"])
            assert (await logs(tail=100, before=every[0]["seq"]))["logs"] == []
            assert (await client.get("/v1/runs/nothing/logs")).status_code == 404
            assert (await client.get(f"/v1/runs/{run}/logs", params={"after": -1})).status_code == 400

    asyncio.run(go())


def test_events_are_one_message_a_log_entry_and_are_resumed_after_any(tmp_path: Path) -> None:
    async def go() -> None:
        async with asked(tmp_path) as (_, client):
            run = await begin(client, HELLO)
            async with stream(client, f"/v1/runs/{run}/events/follow") as feed:
                every = [message async for message in feed]
            assert every[-1] == {"event": "end", "data": {}}
            entries = every[:-1]
            assert [int(one["id"]) for one in entries] == list(range(1, len(entries) + 1))
            assert all(record["seq"] == int(one["id"]) for one in entries for record in one["data"])
            assert entries[-1]["data"][-1]["kind"] == "RunClosed"
            page = (await client.get(f"/v1/runs/{run}/events", params={"limit": 2})).json()
            assert page == {"entries": [one["data"] for one in entries[:2]], "next": 2}
            rest = (await client.get(f"/v1/runs/{run}/events", params={"after": 2})).json()
            assert rest == {"entries": [one["data"] for one in entries[2:]], "next": None}
            for headers, params in (({"last-event-id": "2"}, {}), ({}, {"after": 2}), ({"last-event-id": "2"}, {"after": 1})):
                async with stream(client, f"/v1/runs/{run}/events/follow", headers=headers, params=params) as feed:
                    assert [message async for message in feed] == every[2:]
            wrong = await client.get(f"/v1/runs/{run}/events/follow", headers={"last-event-id": "x"})
            assert (wrong.status_code, wrong.json()["code"]) == (400, "usage")
            assert (await client.get("/v1/runs/none/events/follow")).status_code == 404

    asyncio.run(go())


def test_logs_are_followed_as_they_are_written(tmp_path: Path) -> None:
    slow = workflow("slow", {"type": "script", "config": {"runtime": "sh", "source": "echo one; sleep 1; echo two"}})

    async def go() -> None:
        async with asked(tmp_path) as (_, client):
            run = await begin(client, slow)
            async with stream(client, f"/v1/runs/{run}/logs/follow") as feed:
                first = await anext(feed)
                assert [piece["text"] for piece in first["data"]] == ["one\n"]
                assert (await client.get(f"/v1/runs/{run}")).json()["phase"] == "Running"
                rest = [message async for message in feed]
            assert "".join(piece["text"] for one in rest[:-1] for piece in one["data"]) == "two\n"
            assert rest[-1]["event"] == "end"
            async with stream(client, f"/v1/runs/{run}/logs/follow", headers={"last-event-id": first["id"]}) as feed:
                assert [message async for message in feed] == rest

    asyncio.run(go())


def test_changes_of_all_runs_are_followed_by_the_position_in_the_feed(tmp_path: Path) -> None:
    async def go() -> None:
        async with asked(tmp_path) as (_, client):
            begun = (await client.get("/v1/changes")).json()["cursor"]
            async with stream(client, "/v1/changes/follow") as feed:
                run = await begin(client, HELLO)
                seen = []
                async for message in feed:
                    seen.append(message)
                    assert int(message["id"]) == message["data"][-1]["cursor"]
                    if message["data"][-1]["run"]["closed"]:
                        break
            assert {change["runId"] for message in seen for change in message["data"]} == {run}
            page = (await client.get("/v1/changes", params={"after": begun})).json()
            assert [change["runId"] for change in page["changes"]] == [run]
            await client.delete(f"/v1/runs/{run}")
            waited = (await client.get("/v1/changes", params={"after": page["cursor"], "waitSeconds": 10})).json()
            assert [(change["runId"], change["run"]) for change in waited["changes"]] == [(run, None)]
            async with stream(client, "/v1/changes/follow", params={"after": begun}) as feed:
                assert (await anext(feed))["data"] == waited["changes"]

    asyncio.run(go())


def test_a_reader_who_leaves_frees_everything(tmp_path: Path) -> None:
    async def go() -> None:
        async with asked(tmp_path) as (server, client):
            run = await begin(client, ASKS)
            streams = server.app.state.streams
            watched = server.engine.driven.get(run).streams
            for path in (f"/v1/runs/{run}/events/follow", f"/v1/runs/{run}/logs/follow", "/v1/changes/follow"):
                async with client.stream("GET", path) as answer:
                    await anext(answer.aiter_lines())
                    assert len(streams) == 1
                await until(lambda: not len(streams))
            assert watched == []

    asyncio.run(go())


def test_a_silent_stream_is_kept_alive_by_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)

    async def go() -> None:
        async with asked(tmp_path) as (_, client):
            run = await begin(client, ASKS)
            async with client.stream("GET", f"/v1/runs/{run}/logs/follow") as answer:
                lines = answer.aiter_lines()
                assert [await anext(lines) for _ in range(6)] == [": aether", "", ":", "", ":", ""]

    asyncio.run(go())


def test_a_server_that_stops_ends_its_streams_and_another_continues_them(tmp_path: Path) -> None:
    async def go() -> None:
        async with asked(tmp_path) as (server, client):
            run = await begin(client, ASKS)
            async with stream(client, f"/v1/runs/{run}/events/follow") as feed:
                seen = [await anext(feed), await anext(feed)]
                await asyncio.wait_for(server.stop(), 5)
                seen += [message async for message in feed]
            assert "event" not in seen[-1], "it was cut, it has not ended"
            again = Server(server.engine, server.port)
            await again.start()
            headers = {"last-event-id": seen[-1]["id"]}
            async with (
                httpx.AsyncClient(base_url=server.url) as other,
                stream(other, f"/v1/runs/{run}/events/follow", headers=headers) as feed,
            ):
                await other.post(f"/v1/runs/{run}/cancel", json={})
                seen += [message async for message in feed]
            assert [int(one["id"]) for one in seen[:-1]] == list(range(1, len(seen)))
            assert seen[-1]["event"] == "end"
            await again.stop()

    asyncio.run(go())


def test_a_message_is_named_by_its_last_piece_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_TO_A_MESSAGE", 2)

    async def batches() -> AsyncGenerator[list[int], None]:
        yield [1, 2, 3]
        yield [7]

    def write(batch: list[int]) -> Iterator[bytes]:
        return sse.written(batch, lambda piece: piece, str)

    async def go() -> None:
        found = b"".join([message async for message in sse.messages(batches(), write)])
        data = ['"1","2"', '"3"', '"7"']
        told = "".join(f"id: {last}\ndata: [{text}]\n\n" for last, text in zip((2, 3, 7), data, strict=True))
        assert found.decode() == told + "event: end\ndata: {}\n\n"

    asyncio.run(go())


def test_what_comes_together_is_written_together_and_nothing_is_lost() -> None:
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def chunks() -> AsyncGenerator[bytes, None]:
        for number in range(300):
            yield b"%d." % number
            if number % 100 == 0:
                await asyncio.sleep(3 * sse.PAUSE_S)
        yield b"x" * sse.MOST_TOGETHER
        await asyncio.Event().wait()

    async def go() -> None:
        body = sse.EventStreamBody(iterator=chunks())
        body.streams = sse.OpenStreams()
        writing = asyncio.create_task(body.send_body(send, receive))
        await until(lambda: bool(sent) and sent[-1].endswith(b"x"))
        body.streams.end()
        await writing

    asyncio.run(go())
    numbers = b"".join(b"%d." % number for number in range(300))
    assert b"".join(sent) == b": aether\n\n" + numbers + b"x" * sse.MOST_TOGETHER
    assert sent[0] == b": aether\n\n0.", "what comes after a silence is written at once"
    assert len(sent) <= 6


def test_readers_at_one_place_share_a_look_if_they_see_the_same() -> None:
    async def go() -> None:
        async with Engine() as engine, asyncio.timeout(30):
            shared, client = SharedChanges(), client_of(engine)
            callers = [Caller(name=name, kind="person", roles={name: "viewer"}) for name in ("a", "a", "b")]
            clients = [GuardedClient(client, caller) for caller in callers]
            feeds = [shared.follow(one, one.caller.namespaces("viewer"), 0) for one in clients]
            reading = [asyncio.create_task(anext(feed)) for feed in feeds]
            await until(lambda: len(shared) == 2)
            for name in "ab":
                document = workflow("w", {"type": "noop"})
                document["metadata"]["namespace"] = name
                await client.runs.wait(await engine.submit(document, run_id=f"run-{name}"))
            one, same, other = await asyncio.gather(*reading)
            assert one is same
            assert b"run-a" in one[0]
            assert b"run-b" not in one[0]
            assert b"run-a" not in other[0]
            again = asyncio.create_task(anext(feeds[0]))
            await asyncio.sleep(0)
            again.cancel()
            await until(lambda: not len(shared))  # the last reader has left

    asyncio.run(go())


def test_an_entry_is_written_once_for_all_who_follow_and_its_records_are_their_own() -> None:
    async def go() -> None:
        async with Engine() as engine, asyncio.timeout(30):
            run = await engine.submit(ASKS)
            here = engine.driven.get(run)
            streams = [engine.driven.events(run), engine.driven.events(run)]
            one, other = [await stream.next_entry() for stream in streams]
            assert one is not None
            assert other is not None
            assert one.json() is other.json()
            assert json.loads(one.json()) == list(one) == list(other)
            assert one[0] is not other[0]
            for stream in streams:
                await stream.aclose()
            assert here.texts is None

    asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "code"),
    [(PortError("the disk is full"), "unavailable"), (NotFoundError("gone"), "not-found"), (ValueError("x"), "internal-error")],
)
def test_a_stream_that_cannot_go_on_says_why(error: Exception, code: str) -> None:
    async def batches() -> AsyncGenerator[list[int], None]:
        yield [1]
        raise error

    async def go() -> None:
        _, last = [message async for message in sse.messages(batches(), lambda batch: [b"one"])]
        assert last.startswith(b"event: problem\ndata: ")
        assert json.loads(last.split(b"data: ")[1])["code"] == code

    asyncio.run(go())
