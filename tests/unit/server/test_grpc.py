"""gRPC beside HTTP: the same rules for the same callers, by the services of schemas/aether.proto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2 as httpx
import pytest
import uvicorn
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.clock import SystemClock
from aether_protocol.ports import worker as w
from aether_protocol.ports.grpc import aether_pb2 as pb
from aether_protocol.ports.grpc.messages import read_message, write_message
from aether_protocol.ports.grpc.services import GrpcStub, methods
from aether_protocol.ports.wire_json import WireError
from aether_protocol.server.app import make_app
from aether_protocol.server.bounds import RateBounds, RateLimiter, StreamCounter
from aether_protocol.server.gate import AccessRules
from aether_protocol.server.grpc.front import PREFACE, GrpcFront
from aether_protocol.server.grpc.methods import METHODS
from aether_protocol.server.grpc.port import GrpcPort
from aether_protocol.server.grpc.statuses import PROBLEM
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.service.access.caller import ROLES
from tests.unit.server.test_access import MARK, Known, Trap, includes, waiting, workflow

ROOT = Path(__file__).resolve().parents[3]
Code = grpc.StatusCode


class HttpBeside(uvicorn.Server):
    """The HTTP server of a test: it handles no signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class GrpcPlace:
    """A server with a run of each kind in `ours` and in `theirs`, and a channel to it."""

    def __init__(self, parts: ServerParts, tls: tuple[str, str] | None = None) -> None:
        self.parts = parts
        self._tls = tls

    async def open(self) -> None:
        files = dict(zip(("ssl_certfile", "ssl_keyfile"), self._tls or (), strict=False))
        at, context = listening(), None
        if self._tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self._tls)
        self.http = HttpBeside(uvicorn.Config(make_app(self.parts), log_level="warning", **files))  # type: ignore[arg-type]
        self._http_socket = listening()
        self._serving = asyncio.create_task(self.http.serve(sockets=[self._http_socket]))
        self.port = GrpcPort(at, context)
        await self.port.start(self.parts, self.http)
        self.port.set_ready(True)
        self.number = at.getsockname()[1]
        self.target = f"127.0.0.1:{self.number}"

    async def close(self) -> None:
        await self.port.close()
        self.http.should_exit = True
        await self._serving
        self._http_socket.close()


def listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def place(
    *, access: AccessRules | None = None, tls: tuple[str, str] | None = None
) -> AsyncIterator[tuple[GrpcPlace, Any, Engine]]:
    """A server, a channel to it, and its engine."""
    store, clock = MemoryStore(), SystemClock()
    broker = WorkerBroker(clock, b"k" * 32, beat_s=1, poll_s=2)
    async with Engine(store=store, broker=broker) as engine:
        whole = client_of(engine, elsewhere=True)
        client: Any = whole if access is None else Trap(whole)  # type: ignore[arg-type]
        served = GrpcPlace(ServerParts(client=client, workers=broker, access=access or AccessRules()), tls)
        await served.open()
        made = grpc.aio.insecure_channel(served.target) if tls is None else secure_channel(served.target, tls[0])
        try:
            async with made as channel:
                yield served, channel, engine
        finally:
            await broker.close()
            await served.close()


def secure_channel(target: str, roots: str) -> Any:
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(Path(roots).read_bytes()))


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


async def answer_of(channel: Any, name: str, request: Any, token: str | None) -> tuple[Any, str]:
    """Call a method; its status and all of its answers as text. A stream is read for its first answer."""
    service, _, method = name.partition(".")
    call = getattr(GrpcStub(channel, service), method)
    kind = next(one.kind for one in methods() if one.name == name)
    metadata = [] if token is None else bearer(token)
    try:
        if kind == "unary_unary":
            return Code.OK, str(await call(request, metadata=metadata, timeout=10))
        given = iter([request]) if kind == "stream_stream" else request
        async with asyncio.timeout(1):
            async for one in call(given, metadata=metadata, timeout=10):
                return Code.OK, str(one)
    except TimeoutError:
        pass
    except grpc.RpcError as error:
        return error.code(), f"{error.details()} {error.trailing_metadata()}"
    return Code.OK, ""


def requests(space: str, mark: str) -> dict[str, Any]:
    """A request for each method that could say something of a namespace."""
    document = json.dumps(workflow(space, mark))
    return {
        "ClientService.StartWorkflow": pb.StartWorkflowRequest(document=document),
        "ClientService.GetWorkflowStatus": pb.GetWorkflowStatusRequest(workflow_id=f"{space}-1"),
        "ClientService.AwaitResult": pb.AwaitResultRequest(workflow_id=f"{space}-1", timeout_ms=1),
        "ClientService.CancelWorkflow": pb.CancelWorkflowRequest(workflow_id=f"{space}-open"),
        "WorkerService.Register": pb.RegisterRequest(worker="w", protocols=[1], slots={"tasks": 1}),
        "WorkerService.PollTasks": pb.PollTasksRequest(session="no"),
        "WorkerService.CompleteStep": pb.CompleteStepRequest(session="no"),
        "WorkerService.ReportStep": pb.ReportStepRequest(session="no"),
        "WorkerService.Heartbeat": pb.HeartbeatRequest(session="no"),
        "WorkerService.Work": pb.WorkerFrame(number=1, session="no", beat=pb.HeartbeatRequest()),
        "AdminService.ListWorkflows": pb.ListWorkflowsRequest(workflow_namespace=space),
        "AdminService.GetMetrics": pb.GetMetricsRequest(),
        "AdminService.ListWorkers": pb.ListWorkersRequest(),
        "AdminService.DrainWorker": pb.DrainWorkerRequest(worker="w"),
    }


async def filled(engine: Engine) -> None:
    """Runs in `ours` and `theirs`."""
    whole = client_of(engine)
    for space, mark in (("ours", "own-mark"), ("theirs", MARK)):
        await whole.control.submit(workflow(space, mark), run_id=f"{space}-1")
        await whole.control.submit(waiting(space, mark), run_id=f"{space}-open")


def test_the_generated_code_is_that_of_the_proto_file(tmp_path: Path) -> None:
    out = tmp_path / "set"
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'schemas'}"]
    subprocess.run([*compiler, f"--descriptor_set_out={out}", "aether.proto"], check=True, cwd=ROOT)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    committed = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(committed)
    messages = list(file.message_type)
    while messages:  # the compiler adds to a set what follows from the names
        message = messages.pop()
        messages += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
    assert file == committed, "nox -s proto generates it anew"


def test_every_method_of_the_proto_file_is_answered_and_says_what_it_needs() -> None:
    assert {one.name for one in methods()} == set(METHODS) == set(requests("a", "b"))
    assert {one.needs["needs"] for one in METHODS.values()} <= {*ROLES, "worker"}


def test_without_a_token_or_with_a_wrong_one_nothing_is_answered() -> None:
    async def go() -> None:
        async with place(access=AccessRules(authenticator=Known())) as (_, channel, _engine):
            for name, request in requests("ours", "own-mark").items():
                for token in (None, "unknown"):
                    code, text = await answer_of(channel, name, request, token)
                    assert (name, code) == (name, Code.UNAUTHENTICATED), text

    asyncio.run(go())


@pytest.mark.parametrize("role", [*ROLES, "worker"])
def test_a_role_opens_what_needs_it_and_nothing_of_a_foreign_namespace(role: str) -> None:
    async def go() -> None:
        async with place(access=AccessRules(authenticator=Known())) as (_, channel, engine):
            await filled(engine)
            for name, request in requests("ours", "own-mark").items():
                need = METHODS[name].needs["needs"]
                code, text = await answer_of(channel, name, request, role)
                assert MARK not in text
                if includes(role, need) or role == need == "worker":
                    of_the_whole = need == "admin" or name == "AdminService.GetMetrics"
                    assert code is not Code.PERMISSION_DENIED or of_the_whole, (name, text)
                    assert code not in (Code.UNAUTHENTICATED, Code.INTERNAL, Code.UNKNOWN), (name, text)
                else:
                    assert code is Code.PERMISSION_DENIED, (name, text)
            before = [(row.run_id, row.phase) for row in await client_of(engine).runs.list() if row.namespace == "theirs"]
            for name, request in requests("theirs", MARK).items():
                code, text = await answer_of(channel, name, request, role)
                assert MARK not in text.replace(f"'{MARK}'", ""), name
                if name.startswith("ClientService"):
                    assert code in (Code.PERMISSION_DENIED, Code.NOT_FOUND), (name, code, text)
            after = [(row.run_id, row.phase) for row in await client_of(engine).runs.list() if row.namespace == "theirs"]
            assert after == before

    asyncio.run(go())


def test_workflows_begin_once_by_their_key_are_waited_for_and_cancelled() -> None:
    async def go() -> None:
        async with place() as (_, channel, engine):
            client, admin = GrpcStub(channel, "ClientService"), GrpcStub(channel, "AdminService")
            await client_of(engine).documents.apply(json.dumps(workflow("default", "named")))
            request = pb.StartWorkflowRequest(workflow_type="named", idempotency_key="k", workflow_id="first")
            first = await client.StartWorkflow(request)
            again = await client.StartWorkflow(request)
            assert (first.workflow_id, first.is_new, again.workflow_id, again.is_new) == ("first", True, "first", False)
            content = json.dumps(waiting("default", "b"))
            with pytest.raises(grpc.RpcError) as other:
                await client.StartWorkflow(pb.StartWorkflowRequest(document=content, idempotency_key="k"))
            assert (await client.GetWorkflowStatus(pb.GetWorkflowStatusRequest(workflow_id="first"))).status.phase
            waits = await client.AwaitResult(pb.AwaitResultRequest(workflow_id="first", timeout_ms=10))
            assert (waits.done, waits.status.state) == (False, pb.PENDING), "it waits for a worker"
            assert "other content" in str(other.value.details())
            cancelled = await client.CancelWorkflow(pb.CancelWorkflowRequest(workflow_id="first", reason="enough"))
            assert cancelled.status.workflow_id == "first"
            done = await client.AwaitResult(pb.AwaitResultRequest(workflow_id="first"))
            assert (done.done, done.status.phase, done.status.state, done.output) == (True, "Cancelled", pb.CANCELLED, b"{}")
            listed = [page async for page in admin.ListWorkflows(pb.ListWorkflowsRequest(states=[pb.CANCELLED], limit=5))]
            assert [one.workflow_id for page in listed for one in page.workflows] == ["first"]

    asyncio.run(go())


def test_errors_have_a_status_and_the_problem_document() -> None:
    async def go() -> None:
        async with place() as (_, channel, _engine):
            client = GrpcStub(channel, "ClientService")
            for request, code in (
                (pb.StartWorkflowRequest(document="kind: Workflow"), Code.INVALID_ARGUMENT),
                (pb.StartWorkflowRequest(), Code.INVALID_ARGUMENT),
                (pb.StartWorkflowRequest(workflow_type="nothing"), Code.NOT_FOUND),
                (pb.StartWorkflowRequest(document="{}", input=b"[1]"), Code.INVALID_ARGUMENT),
                (pb.StartWorkflowRequest(document="{}", input=b"{"), Code.INVALID_ARGUMENT),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    await client.StartWorkflow(request)
                assert caught.value.code() is code, (request, caught.value)
                problem = json.loads(dict(caught.value.trailing_metadata())[PROBLEM])
                assert problem["detail"]
            faults = "\n".join(f"x{number}: 1" for number in range(500))
            with pytest.raises(grpc.RpcError) as caught:
                await client.StartWorkflow(pb.StartWorkflowRequest(document=faults))
            assert "too long" in json.loads(dict(caught.value.trailing_metadata())[PROBLEM])["detail"]

    asyncio.run(go())


def test_a_worker_that_is_written_by_hand_polls_completes_and_beats() -> None:
    async def go() -> None:
        async with place() as (served, channel, engine):
            worker = GrpcStub(channel, "WorkerService")
            hello = pb.RegisterRequest(worker="byhand", protocols=[1], slots={"tasks": 2})
            hello.executors.add(name="noop")
            session = (await worker.Register(hello)).session
            runs = [await client_of(engine).control.submit(workflow("default", f"w{number}")) for number in range(3)]
            polls = worker.PollTasks(pb.PollTasksRequest(session=session, max_tasks=2))
            works: dict[str, Any] = {}
            done = 0
            async for orders in polls:
                works |= {one.token: json.loads(one.assignment) for one in orders.work}
                assert len(works) <= 2, "more than max_tasks without a result"
                if len(works) < min(2, 3 - done):
                    continue
                beat = await worker.Heartbeat(pb.HeartbeatRequest(session=session, holding=list(works)))
                assert list(beat.stop) == []
                assert len(served.parts.workers.fleet.state.deliveries) == len(works)  # type: ignore[union-attr]
                for token, work in works.items():
                    result = {name: work[name] for name in ("taskRunId", "workflowRunId", "attempt", "epoch") if name in work}
                    report = pb.ResultReport(token=token, result=json.dumps({**result, "code": 0}).encode())
                    receipt = await worker.CompleteStep(pb.CompleteStepRequest(session=session, results=[report]))
                    assert list(receipt.recorded) == [token], receipt
                    done += 1
                works = {}
                if done == 3:
                    break
            polls.cancel()
            for run in runs:
                assert (await client_of(engine).runs.wait(run)).phase == "Succeeded"

    asyncio.run(go())


def test_one_stream_answers_each_frame_by_its_number_and_says_what_it_cannot() -> None:
    async def go() -> None:
        async with place() as (_, channel, _engine):
            asked: asyncio.Queue[Any] = asyncio.Queue()

            async def frames() -> AsyncIterator[Any]:
                while (frame := await asked.get()) is not None:
                    yield frame

            answers = GrpcStub(channel, "WorkerService").Work(frames())
            await asked.put(pb.WorkerFrame(number=1, hello=pb.RegisterRequest(worker="w", protocols=[1], slots={"tasks": 1})))
            welcome = (await answers.read()).welcome
            await asked.put(pb.WorkerFrame(number=2, session=welcome.session, poll=pb.Poll(poll=1, free=1)))
            await asked.put(pb.WorkerFrame(number=3, session=welcome.session, beat=pb.HeartbeatRequest()))
            assert (await answers.read()).number == 3, "a poll that is open holds nothing up"
            await asked.put(pb.WorkerFrame(number=4, session="another", beat=pb.HeartbeatRequest()))
            await asked.put(pb.WorkerFrame(number=5))
            refused = {frame.number: frame.refusal.status for frame in [await answers.read(), await answers.read()]}
            assert refused == {4: 410, 5: 400}
            other = pb.RegisterRequest(worker="w", protocols=[99], slots={"tasks": 1})
            await asked.put(pb.WorkerFrame(number=7, hello=other))
            refusal = (await answers.read()).refusal
            assert (refusal.status, refusal.code) == (400, "usage")
            assert "speaks version 99 of the worker protocol" in refusal.detail
            assert "install the same version" in refusal.detail, "a hint is not left out"
            await asked.put(pb.WorkerFrame(number=6, session=welcome.session, leave=pb.Leave()))
            await asked.put(None)
            rest = {(await answers.read()).number for _ in range(2)}
            assert rest == {2, 6}
            assert await answers.read() is grpc.aio.EOF

    asyncio.run(go())


def test_health_and_reflection_name_the_services() -> None:
    async def go() -> None:
        async with place() as (served, channel, _engine):
            health = health_pb2_grpc.HealthStub(channel)
            one = health_pb2.HealthCheckRequest(service="aether.v1.WorkerService")
            assert (await health.Check(one)).status == health_pb2.HealthCheckResponse.SERVING
            served.port.set_ready(False)
            assert (await health.Check(one)).status == health_pb2.HealthCheckResponse.NOT_SERVING

            def services() -> list[str]:
                with grpc.insecure_channel(served.target) as plain:
                    return sorted(ProtoReflectionDescriptorDatabase(plain).get_services())

            assert set(await asyncio.to_thread(services)) >= {
                "aether.v1.ClientService", "aether.v1.WorkerService", "aether.v1.AdminService", "grpc.health.v1.Health",
            }

    asyncio.run(go())


# --- one port for both ---


def test_http_is_answered_at_the_same_port_with_its_own_peer_and_connection() -> None:
    async def go() -> None:
        async with place() as (served, _, _engine), httpx.AsyncClient(base_url=f"http://{served.target}") as http:
            for _ in range(2):  # the connection is kept
                assert (await http.get("/healthz")).json() == {"status": "ok"}
            reader, writer = await asyncio.open_connection("127.0.0.1", served.number)
            for byte in b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            refused = await http.get("/healthz", headers={"host": "evil.example"})
            assert refused.status_code == 403

    asyncio.run(go())


def test_without_the_extra_a_client_of_grpc_is_told_so_and_http_is_answered() -> None:
    class Answering(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"HTTP!" + data)

    async def go() -> None:
        at = listening()
        front = GrpcFront(Answering, None)
        await front.start(at, None)
        reader, writer = await asyncio.open_connection(*at.getsockname())
        for byte in PREFACE:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        said = b""
        while not said.endswith(b"]"):
            said += await reader.read(1000)
        assert said.startswith(b"\x00\x00\x00\x04"), "settings come first"
        assert said.endswith(b"install aether-protocol[grpc]")
        writer.close()
        reader, writer = await asyncio.open_connection(*at.getsockname())
        writer.write(b"GET /")
        assert await reader.readexactly(10) == b"HTTP!GET /"
        writer.close()
        front.stop()
        front.close()
        at.close()

    asyncio.run(go())


def test_both_speak_tls_at_that_port(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", cert, *names], check=True, capture_output=True)

    async def go() -> None:
        async with place(tls=(str(cert), str(key))) as (served, channel, _engine):
            started = await GrpcStub(channel, "AdminService").GetMetrics(pb.GetMetricsRequest())
            assert started.workers == 0
            trusted = ssl.create_default_context(cafile=str(cert))
            async with httpx.AsyncClient(base_url=f"https://{served.target}", verify=trusted) as http:
                assert (await http.get("/healthz")).status_code == 200
            for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], "h2"), (["http/1.1"], "http/1.1")):
                trusted = ssl.create_default_context(cafile=str(cert))
                trusted.set_alpn_protocols(offered)
                _, writer = await asyncio.open_connection("127.0.0.1", served.number, ssl=trusted)
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen, "what speaks both means HTTP"
                writer.close()

    asyncio.run(go())


# --- what callers do not do well ---


def test_a_reader_of_health_that_does_not_read_holds_nothing_up() -> None:
    async def go() -> None:
        async with place() as (served, channel, _engine):
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
            for ready in [False, True] * 500:
                served.port.set_ready(ready)
            served.port.set_ready(False)
            async with asyncio.timeout(10):
                while (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING:
                    pass
            watching.cancel()

    asyncio.run(go())


class Revocable(Known):
    """Tokens that count until they are revoked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    async def caller(self, token: str) -> Any:
        return None if token in self.revoked else await super().caller(token)


@pytest.mark.rule("RT-129")
def test_what_lasts_ends_soon_after_its_token_counts_no_longer() -> None:
    known = Revocable()

    async def go() -> None:
        async with place(access=AccessRules(authenticator=known)) as (_, channel, engine):
            await filled(engine)
            client, worker = GrpcStub(channel, "ClientService"), GrpcStub(channel, "WorkerService")
            hello = pb.RegisterRequest(worker="w", protocols=[1], slots={"tasks": 1})
            session = (await worker.Register(hello, metadata=bearer("worker"))).session
            waits = client.AwaitResult(pb.AwaitResultRequest(workflow_id="ours-open"), metadata=bearer("viewer"))
            polls = worker.PollTasks(pb.PollTasksRequest(session=session, max_tasks=0), metadata=bearer("worker"))
            reading = asyncio.ensure_future(polls.read())
            await asyncio.sleep(0.1)
            known.revoked |= {"viewer", "worker"}
            async with asyncio.timeout(10):
                for one in (waits, reading):
                    with pytest.raises(grpc.RpcError) as ended:
                        await one
                    assert ended.value.code() is Code.UNAUTHENTICATED

    asyncio.run(go())


def test_a_caller_has_one_rate_and_one_bound_of_streams_at_both_edges() -> None:
    limiter, followers = RateLimiter(RateBounds(0.001, 4, 0.001, 4)), StreamCounter(1)
    access = AccessRules(authenticator=Known(), limiter=limiter, followers=followers)

    async def go() -> None:
        async with place(access=access) as (served, channel, engine):
            await filled(engine)
            client, request = GrpcStub(channel, "ClientService"), pb.GetWorkflowStatusRequest(workflow_id="ours-1")
            url, headers = f"http://{served.target}/v1", {"authorization": "Bearer viewer"}
            async with httpx.AsyncClient(headers=headers) as http, http.stream("GET", f"{url}/changes/follow") as stream:
                assert stream.status_code == 200
                waits = client.AwaitResult(pb.AwaitResultRequest(workflow_id="ours-open"), metadata=bearer("viewer"))
                with pytest.raises(grpc.RpcError, match="1 streams open") as refused:
                    await waits
                assert refused.value.code() is Code.RESOURCE_EXHAUSTED
            async with httpx.AsyncClient(headers=headers) as http:
                assert (await http.get(f"{url}/runs")).status_code == 200
                await client.GetWorkflowStatus(request, metadata=bearer("viewer"))
                assert (await http.get(f"{url}/runs")).status_code == 429
            with pytest.raises(grpc.RpcError) as refused:
                await client.GetWorkflowStatus(request, metadata=bearer("viewer"))
            assert refused.value.code() is Code.RESOURCE_EXHAUSTED

    asyncio.run(go())


def test_a_second_stream_of_tasks_ends_the_one_before() -> None:
    async def go() -> None:
        async with place() as (_, channel, _engine):
            worker = GrpcStub(channel, "WorkerService")
            hello = pb.RegisterRequest(worker="w", protocols=[1], slots={"tasks": 1})
            session = (await worker.Register(hello)).session
            first = worker.PollTasks(pb.PollTasksRequest(session=session, max_tasks=1))
            before = asyncio.ensure_future(first.read())
            await asyncio.sleep(0.1)
            second = worker.PollTasks(pb.PollTasksRequest(session=session, max_tasks=1))
            after = asyncio.ensure_future(second.read())
            async with asyncio.timeout(10):
                assert await before is grpc.aio.EOF
            assert not after.done()
            foreign = worker.PollTasks(pb.PollTasksRequest(session="another", max_tasks=1))
            with pytest.raises(grpc.RpcError):
                await foreign.read()
            second.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await after

    asyncio.run(go())


def test_a_state_that_there_is_not_is_the_callers_fault() -> None:
    async def go() -> None:
        async with place() as (_, channel, _engine):
            for states in ([pb.WORKFLOW_STATE_UNSPECIFIED], [99]):
                listing = GrpcStub(channel, "AdminService").ListWorkflows(pb.ListWorkflowsRequest(states=states))
                with pytest.raises(grpc.RpcError) as refused:
                    await listing.read()
                assert refused.value.code() is Code.INVALID_ARGUMENT
                assert "known: PENDING" in str(refused.value.details())

    asyncio.run(go())


def test_an_error_that_is_too_long_for_a_status_keeps_its_code() -> None:
    async def go() -> None:
        async with place() as (_, channel, _engine):
            document = pb.StartWorkflowRequest(document="\u00e4" * 30_000)
            with pytest.raises(grpc.RpcError) as refused:
                await GrpcStub(channel, "ClientService").StartWorkflow(document)
            assert refused.value.code() is Code.INVALID_ARGUMENT

    asyncio.run(go())


# --- messages in both forms ---

MESSAGES = [
    (w.Hello(worker="w", protocols=[1], executors=[w.ExecutorOffer(name="a", version="1", config={"type": "object"})],
             slots={"tasks": 2}, labels={"os": "linux"}, pool="p", holding=["t"], results=["t"], instance="i",
             number=3), pb.RegisterRequest),
    (w.Hello(worker="w", protocols=[1], executors=[w.ExecutorOffer(name="a")], slots={}), pb.RegisterRequest),
    (w.Welcome(session="s", server="x", protocol=1, lease_ms=1, beat_ms=2, poll_ms=3), pb.RegisterResponse),
    (w.Poll(poll=1, free=0, holding=[]), pb.Poll),
    (w.Orders(work=[w.WorkItem(token="t", assignment={"a": [1, None, "\u00e4"]})], stop=["u"], drain_ms=0), pb.Orders),
    (w.Orders(), pb.Orders),
    (w.WorkReport(started=["t"], progress=[w.ProgressReport(token="t", details={"a": 1}), w.ProgressReport(token="u")],
                  logs=[w.LogReport(token="t", stream="stderr", offset=2, text="x")],
                  results=[w.ResultReport(token="t", result={"code": 0})], died=[w.DiedReport(token="t", reason="r")],
                  returned=[w.ReturnedReport(token="t", reason="r", refused=True)]), pb.WorkReport),
    (w.Receipt(recorded=["t"], logged=[w.LogReceipt(token="t", stream="stdout", stored=4)]), pb.WorkReceipt),
    (w.SecretRequest(token="t", secrets=[w.SecretName(name="n", key="k")]), pb.SecretRequest),
    (w.SecretAnswer(texts=[w.SecretText(name="n", key="k", text="s")]), pb.SecretAnswer),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), MESSAGES, ids=[f"{type(one[0]).__name__}-{n}" for n, one in enumerate(MESSAGES)])
def test_a_message_is_the_same_in_both_forms(value: Any, message: Any) -> None:
    sent = message.FromString(write_message(value, message()).SerializeToString())
    assert read_message(sent, type(value)) == value


@pytest.mark.parametrize(
    ("message", "shape", "names"),
    [
        (pb.RegisterRequest(protocols=[1]), w.Hello, "worker"),
        (pb.RegisterRequest(worker="w"), w.Hello, "protocols"),
        (pb.Poll(poll=0), w.Poll, "poll"),
        (pb.WorkReport(results=[pb.ResultReport(token="t")]), w.WorkReport, "result"),
        (pb.WorkReport(results=[pb.ResultReport(token="t", result=b"{")]), w.WorkReport, "result"),
        (pb.WorkReport(logs=[pb.LogReport(token="t", stream="other")]), w.WorkReport, "stream"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_its_field(message: Any, shape: Any, names: str) -> None:
    with pytest.raises(WireError, match=names):
        read_message(message, shape)
