"""A server as a whole: one engine on a store, workers that call in, schedules, and HTTP; from the first request to the last.

How it comes and goes. The address is bound first, so that one that is taken is reported before anything is touched. Then the
engine opens the store under a term of its own, answers requests, and recovers what no engine drives, then and again every few
seconds: runs that others submitted into the store, or left behind. Schedules are served by the same engine. On the way out
nothing new is assigned or fired, requests for readiness say so, the embedded worker ends what it has within the grace, open
streams end, and the runs are released: the next server recovers them, and finds at the workers what they still carry out.

Several servers may use one store. Each has a term and drives what it holds; leases keep them off each other's runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from msgspec.structs import replace

from aether_protocol import __version__
from aether_protocol.adapters.artifacts.transfers import ArtifactTransfers
from aether_protocol.adapters.brokers.elsewhere import place_of
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.sql.schema import NEWEST
from aether_protocol.adapters.telemetry.measured import Measured
from aether_protocol.adapters.telemetry.prometheus import RunMetrics
from aether_protocol.assembly import Engine, build_engine
from aether_protocol.assembly.artifacts import artifacts_of, artifacts_place, shared_place
from aether_protocol.assembly.broker_urls import shown_broker
from aether_protocol.assembly.executors import InstalledExecutors, InstalledTypes
from aether_protocol.assembly.parts import broker_part
from aether_protocol.assembly.stores import begin_term, workspaces_root
from aether_protocol.engine.clock import SystemClock, WallClock
from aether_protocol.engine.schedule_runner import ScheduleRunner
from aether_protocol.errors import BusyError, PortError
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.broker import Broker, BrokerParts
from aether_protocol.ports.store import NamespaceEntry, ServerRow, ServerTerm, Store
from aether_protocol.ports.worker import PROTOCOL_VERSION
from aether_protocol.server.app import make_app
from aether_protocol.server.gate import AccessRules, make_rules
from aether_protocol.server.grpc.port import GrpcPort
from aether_protocol.server.hosting.known_workers import KnownWorkers
from aether_protocol.server.hosting.listening import HttpServer, http_config, listen, listen_at_one_of, tls_of
from aether_protocol.server.hosting.reports import RunReports
from aether_protocol.server.hosting.settings import HostSettings
from aether_protocol.server.metrics import ServerMetrics
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.relay.forwarding import Forwarding
from aether_protocol.server.relay.peer_questions import PeerAnswers
from aether_protocol.server.relay.peers import PeerTransport
from aether_protocol.server.relay.relays import Relays, StoreDirectory
from aether_protocol.server.relay.spill import Spill
from aether_protocol.server.relay.whereabouts import Whereabouts
from aether_protocol.server.relay.whole_fleet import WholeFleet
from aether_protocol.server.sharing.ownership import RunOwnership
from aether_protocol.server.sse import end_streams
from aether_protocol.service import client_of
from aether_protocol.service.access.administration import AccessAdministration
from aether_protocol.service.access.audit import AuditTrail
from aether_protocol.service.access.peers import PeerTokens, make_peer_token
from aether_protocol.service.access.scope import NamespaceDirectory
from aether_protocol.service.access.tokens import StoredTokens, digest_of
from aether_protocol.service.artifact_upkeep import ArtifactUpkeep
from aether_protocol.service.documents.folder import FOLLOW_S, DocumentFolder
from aether_protocol.service.process_identity import this_process
from aether_protocol.service.run_host import FireReported, HostEvent, Report
from aether_protocol.worker.direct import embedded_worker
from aether_protocol.worker.offers import Offers, offers_of
from aether_protocol.worker.process import shared_rooms
from aether_protocol.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from aether_protocol.server.oidc.provider import OidcProvider, OidcSettings

STREAMS_S: Final = 2  # how long open connections may take to end
_EVERYWHERE: Final = ("0.0.0.0", "::", "")
BEATS: Final = 10  # of a worker in a lease

_log = logging.getLogger("aether_protocol")


class ServerHost:
    """A server of this process. `open` it, `serve`, then `close`; the store is closed with it.

    Args:
        store: which runs, schedules and documents it keeps.
        settings: how it is run.
        report: called with each event.
    """

    def __init__(self, store: Store, settings: HostSettings, report: Report) -> None:
        settings.check()
        self._store = store
        self._settings = settings
        self._report = report
        self._oidc = None if settings.oidc is None else _provider(settings.oidc)
        self._reports = RunReports(self._reported)
        self._ready = False
        self.access = AccessRules()
        self._namespaces: list[NamespaceEntry] = []
        self._metrics = RunMetrics() if settings.metrics else None
        self._socket = listen_at_one_of(settings.host, range(settings.port, settings.port + settings.ports))
        self._grpc: GrpcPort | None = None
        if settings.grpc_port is not None:
            self._grpc = GrpcPort(listen(settings.host, settings.grpc_port), tls_of(settings.tls_cert, settings.tls_key))
        self._metrics_socket: socket.socket | None = None
        self._metrics_http: HttpServer | None = None
        self._metrics_serving: asyncio.Task[None] | None = None
        if self._metrics is not None and settings.metrics_port is not None:
            self._metrics_socket = listen(settings.host, settings.metrics_port)
        self._rooms = contextlib.AsyncExitStack()  # of the embedded worker, where the store has no place
        self._stopping = asyncio.Event()
        self._owner = this_process(serves=True)
        self._tasks: list[asyncio.Task[None]] = []
        self.engine: Engine
        self.broker: WorkerBroker
        self._offers: Offers

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._url(self._socket)

    @property
    def grpc_url(self) -> str | None:
        """Where it answers gRPC, and HTTP too; None: nowhere."""
        return None if self._grpc is None else self._url(self._grpc.socket)

    @property
    def has_grpc(self) -> bool:
        """Whether that port speaks gRPC, which needs the extra `[grpc]`, and not HTTP alone."""
        return self._grpc is not None and self._grpc.has_grpc

    def _url(self, at: socket.socket, host: str = "") -> str:
        host, port = host or self._settings.host, at.getsockname()[1]
        scheme = "http" if self._settings.tls_cert is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _reported(self, event: HostEvent) -> None:
        if self._metrics is not None and isinstance(event, FireReported):
            self._metrics.fired(event.record)
        self._report(event)

    async def open(self) -> None:
        """Open the engine, and answer requests. Raises PortError, UsageError; then all is closed."""
        settings, store = self._settings, self._store
        try:
            if settings.workers:
                disabled = settings.configuration.disabled_executors() if settings.configuration is not None else {}
                self._offers = await asyncio.to_thread(offers_of, None, settings.modules, without=disabled)
            self._tokens = StoredTokens(store.tokens, WallClock())
            known = settings.oidc is not None or bool(await store.tokens.list())  # also where all of them were revoked
            self.access = self._rules(self._tokens if known else None)
            term = await begin_term(store)
            artifacts = artifacts_of(store)
            self.engine = await build_engine(
                store=store if self._metrics is None else Measured(store, self._metrics),
                broker=lambda parts: self._broker(parts, term, artifacts),
                artifacts=artifacts,
                owner=self._owner,
                secrets_files=settings.secrets,
                clock=WallClock(),
                workspaces=settings.workspaces,
                library=settings.library,
                configuration=settings.configuration,
                passivate_after_s=None if settings.configuration is None else settings.configuration.passivation.after,
                on_error=self._reports.lost,
            )
        except BaseException:
            self._socket.close()
            if self._grpc is not None:
                self._grpc.socket.close()
            await store.close()
            raise
        self.engine.driven.keep_logs()
        self._reports.watch(self.engine)
        self._upkeep = ArtifactUpkeep(store, self.engine.artifacts, WallClock(), self._reports.failed)
        await self._join()
        if self._metrics is not None:
            self._metrics.watch(self.engine)
        self._http = HttpServer(self._http_config())
        self._serving = asyncio.create_task(self._http.serve(sockets=[self._socket]), name="aether-http")
        if self._grpc is not None:
            try:
                await self._grpc.start(self._parts, self._http)
            except BaseException:
                await self.close()
                raise

    def _rules(self, tokens: StoredTokens | None) -> AccessRules:
        settings, peers = self._settings, PeerTokens(self._store.servers, WallClock())
        return make_rules(settings.host, token=settings.token, tokens=tokens, peers=peers, cors=settings.cors)

    async def _join(self) -> None:
        """Become one of the servers of the store, and learn which workers there are."""
        self.ownership = RunOwnership(
            self._store,
            self.engine,
            self._row(),
            root=self._workspaces_root(),
            tend=self._tend,
            recovered=self._recovered,
            adopts=self._settings.adopts,
        )
        await self.ownership.begin()
        self._workers = KnownWorkers(self._store, self.broker, self.engine.declare)
        self._workers.lives = self.ownership.lives
        await self._workers.begin()
        self.relays = Relays(
            self.broker,
            StoreDirectory(self._store),
            lambda row: PeerTransport(row, self.peer_token),
            self._drives,
            me=self.ownership.row,
            clock=self.broker.clock,
        )
        self.spill = Spill(
            self.broker,
            self.relays,
            lambda: self.ownership.peers,
            lambda row: PeerTransport(row, self.peer_token),
            me=self.ownership.row,
            clock=self.broker.clock,
        )
        self._forwarding = Forwarding(lambda: self.ownership.peers, self._owner)
        self._fleet = WholeFleet(
            PeerAnswers(self.broker, self.ownership.row.name, self._metrics),
            owner=self.ownership.row.owner,
            servers=lambda: self.ownership.peers,
            connect=lambda row: PeerTransport(row, self.peer_token),
            directory=StoreDirectory(self._store),
            drives=self._drives,
        )
        self._whereabouts = Whereabouts(self.broker, self._fleet, self._workers.expected)

    def _drives(self, run_id: str) -> bool:
        run = self.engine.driven.find(run_id)
        return run is not None and run.error is None

    def _broker(self, parts: BrokerParts, term: ServerTerm, artifacts: ArtifactRepository) -> Broker:
        url = self._settings.broker
        lease = round(self._settings.lease_s * 1_000_000)
        self.broker = WorkerBroker(
            SystemClock(),  # leases go by what has passed: the machine's clock may be set
            term.key,
            secrets=parts.secrets,
            artifacts=artifacts,
            settings=FleetSettings(lease=lease, reattach=lease),
            term=term.number,
            beat_s=self._settings.lease_s / BEATS,
            place=place_of(self._owner),
            refuses="" if url is None else f"this server gives its tasks to {shown_broker(url)}, and has no work for workers",
        )
        self.broker.variants.installed = InstalledTypes(InstalledExecutors())
        if url is None:
            return self.broker
        there = replace(parts, artifacts=shared_place(self._store))
        return broker_part(url, there, Workspaces(self._workspaces_root()))

    def _http_config(self) -> uvicorn.Config:
        settings, clock = self._settings, WallClock()
        trail = AuditTrail(self._store.audit, clock)
        measured = ServerMetrics(self._metrics, self.broker) if self._metrics is not None else None
        if self._metrics_socket is not None:
            self._serve_metrics(self._metrics_socket, ServerParts(metrics=measured, access=self.access))
        parts = self._parts = ServerParts(
            client=client_of(
                self.engine,
                workspaces=self._workspaces_root(),
                elsewhere=True,
                runs_deleted=self._upkeep.runs_deleted,
                adopts_asked=not settings.adopts,
            ),
            trail=trail,
            directory=NamespaceDirectory(self._store.namespaces, clock),
            administer=lambda caller: AccessAdministration(self._store, clock, caller, trail),
            servers=self._store.servers,
            workers=self.broker,
            known_workers=self._workers,
            forwarding=self._forwarding,
            spill=self.spill,
            fleet=self._fleet,
            is_ready=lambda: self._ready,
            public_url=settings.public_url,
            access=self.access,
            oidc=self._oidc,
            make_session=self._tokens.add_session,
            artifacts=ArtifactTransfers(self.engine.artifacts),
            metrics=measured,
            shows_metrics=self._metrics_socket is None,
        )
        self._app = make_app(parts)
        return http_config(self._app, settings.tls_cert, settings.tls_key, timeout_graceful_shutdown=STREAMS_S)

    def _serve_metrics(self, at: socket.socket, parts: ServerParts) -> None:
        """Answer `/metrics` on a port of its own."""
        self._metrics_http = HttpServer(http_config(make_app(parts), self._settings.tls_cert, self._settings.tls_key))
        self._metrics_serving = asyncio.create_task(self._metrics_http.serve(sockets=[at]), name="aether-metrics")

    async def serve(self, leaving: asyncio.Event) -> None:
        """Drive what is in the store, and answer, until `leaving` is set."""
        if self._settings.cron and self._store.schedules is not None:
            runner = ScheduleRunner(
                self.engine, self._store, self.engine.clock, witness=self._reports, artifacts=self.engine.artifacts
            )
            self._begin("schedules", runner.serve(self._stopping))
        worker = None
        if self._settings.workers:
            worker = await self._embedded()
            await self._workers.note(worker.hello, self.engine.owner)
            self._begin("worker", worker.run())
        if self._settings.documents is not None:
            self._begin("documents", self._follow(self._settings.documents))
        self._begin("recovery", self.ownership.serve(self._stopping))
        self._begin("relays", self.relays.serve(self._stopping))
        self._begin("spill", self.spill.serve(self._stopping))
        self._begin("artifacts", self._upkeep.serve(self._stopping))
        self._say_ready(True)
        await self._first_of(leaving.wait(), self._serving, *self._tasks)
        self._say_ready(False)
        self._stopping.set()
        self.broker.pause()
        if worker is not None:
            worker.drain(self._settings.grace_s)
        release = asyncio.create_task(self.ownership.leave(), name="aether-release")
        try:
            await asyncio.gather(*self._tasks)
        finally:
            release.cancel()

    async def close(self) -> None:
        """Answer no more, release the runs, and close the store."""
        self._ready = False
        self._stopping.set()
        end_streams(self._app)
        self._http.should_exit = True
        if self._metrics_http is not None and self._metrics_serving is not None:
            self._metrics_http.should_exit = True
            await self._metrics_serving
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.spill.close()
        await self.relays.close()
        await self._rooms.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await self.broker.close()  # polls end, so that their connections do
            if self._grpc is not None:
                await self._grpc.close()
            await self._serving
        await self._whereabouts.close()
        await self._forwarding.close()
        await self._fleet.close()
        self._socket.close()
        await self._tokens.write_uses()
        if self._metrics_socket is not None:
            self._metrics_socket.close()
        await self.engine.close()

    def _say_ready(self, ready: bool) -> None:
        self._ready = ready
        if self._grpc is not None:
            self._grpc.set_ready(ready)

    def _begin(self, name: str, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"aether-{name}"))

    async def _first_of(self, leaving: Any, *others: asyncio.Task[None]) -> None:
        waiting = asyncio.ensure_future(leaving)
        done, _ = await asyncio.wait({waiting, *others}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for one in done - {waiting}:
            one.result()  # what broke ends the server: nothing that was begun here returns by itself

    async def _follow(self, path: str) -> None:
        """Apply the documents of a folder, and what changes there."""
        client = client_of(self.engine, elsewhere=True)
        folder = DocumentFolder(path, client, self._store.library, self.engine.clock, self._reports.applied)
        begun = False
        while not self._stopping.is_set():
            try:
                await (folder.look() if begun else folder.begin())
                begun = True
            except (PortError, BusyError) as error:
                self._reports.failed(f"documents of {path}", error)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), FOLLOW_S)

    async def _embedded(self) -> Supervisor:
        settings = self._settings
        root = self._workspaces_root() or await self._rooms.enter_async_context(shared_rooms())
        return embedded_worker(
            self.broker,
            slots=settings.slots,
            offers=self._offers,
            modules=settings.modules,
            workspaces=root,
            artifacts=artifacts_place(self._store, self.engine.artifacts),
            hidden=settings.hidden,
            tracer=self.engine.tracer,
        )

    def _workspaces_root(self) -> Path | None:
        settings = self._settings
        configured = None if settings.configuration is None else settings.configuration.workspaces.path
        return workspaces_root(self._store, settings.workspaces or configured)

    async def _share(self) -> None:
        """Give the workers' broker the weights and limits of namespaces, where they have changed."""
        found = await self._store.namespaces.list()
        if found != self._namespaces:
            self._namespaces = found
            limits = {one.name: one.limit for one in found if one.limit is not None}
            self.broker.share({one.name: one.weight for one in found}, limits)

    async def _tend(self) -> None:
        await self._share()
        await self._workers.tend()

    def _recovered(self, run_id: str) -> None:
        self._reports.adopted(run_id)
        if self._metrics is not None:
            self._metrics.recovered()

    def _row(self) -> ServerRow:
        """What this server says of itself to the others of its store."""
        host, port = socket.gethostname(), self._socket.getsockname()[1]
        self.peer_token = make_peer_token()
        return ServerRow(
            self.engine.owner,
            f"{host}:{port}",
            self._settings.advertise or self._url(self._socket, _reached_at(self._settings.host)),
            build=__version__,
            schema=NEWEST,
            protocol=PROTOCOL_VERSION,
            started_at=WallClock().wall(),
            token=digest_of(self.peer_token),
        )


def _reached_at(host: str) -> str:
    """Where others reach a server that listens at `host`: at its own name, where it listens everywhere."""
    return socket.gethostname() if host in _EVERYWHERE else host


def _provider(settings: OidcSettings) -> OidcProvider:
    from aether_protocol.server.oidc.provider import OidcProvider  # here: few servers have one

    return OidcProvider(settings)
