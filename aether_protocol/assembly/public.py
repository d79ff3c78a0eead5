"""The engine for everybody: parts by name, defaults for all of them, documents of any shape; and `run`.

Law: wiring only. Every choice that is made here can be made by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct
from msgspec.structs import asdict, replace

from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.assembly.artifacts import artifacts_of, is_placed, local_stager, open_repository, shared_place
from aether_protocol.assembly.broker_urls import is_remote
from aether_protocol.assembly.configuration.effective import Configuration, load_configuration
from aether_protocol.assembly.configuration.store_place import store_url
from aether_protocol.assembly.documents import Document, Libraries, as_several, find_plan, load_plan
from aether_protocol.assembly.executors import InstalledExecutors, InstalledTypes, watch_folder
from aether_protocol.assembly.parts import (
    BrokerMaker,
    Executors,
    Function,
    Notifiers,
    Secrets,
    Variables,
    broker_part,
    executors_by_type,
    local_broker,
    named_part,
    notifiers_by_name,
    secret_providers,
    store_part,
    variable_sources,
    with_shared,
)
from aether_protocol.assembly.stores import begin_term, workspaces_root
from aether_protocol.assembly.tracing import choose_tracer, close_tracer, traced_broker, watch_spans
from aether_protocol.assembly.variables import SystemVariables
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.engine import api
from aether_protocol.engine.clock import SystemClock, WallClock
from aether_protocol.engine.dispatch.deliveries import EngineSite
from aether_protocol.engine.leases import LEASE_S
from aether_protocol.engine.observers import OnError, OnEvent
from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import DeclaredTypes, ExecutorTypes
from aether_protocol.plan.model import Plan
from aether_protocol.ports.artifacts import ArtifactRepository, others_of
from aether_protocol.ports.broker import Broker, BrokerParts
from aether_protocol.ports.clock import Clock, IdGenerator
from aether_protocol.ports.store import RunKey, Store
from aether_protocol.scheduler.events import MOST_DEATHS, RunConfiguration
from aether_protocol.views.report import Report, make_report

if TYPE_CHECKING:
    from aether_protocol.engine.schedule_runner import ScheduleRunner
    from aether_protocol.ports.telemetry import Tracer


class _Parts(Struct):
    """What an engine is made of, as far as it can be configured."""

    store: str | Store | None
    broker: str | Broker | BrokerMaker | None
    concurrency: int | None
    secrets: Iterable[Secrets] | Secrets
    variables: Variables
    notifiers: Notifiers
    library: Libraries = ()
    workspaces: str | Path | None = None
    limits: DocumentLimits = DEFAULT
    recorded: RunConfiguration | None = None
    most_deaths: int | None = None
    shared: tuple[str, ...] = ()  # names of secrets
    tracer: str | Tracer | None = None
    owns_tracer: bool = False  # it was made here: the engine closes it

    def fill(
        self, library: Libraries, workspaces: str | Path | None, settings: Configuration | None
    ) -> Mapping[str, str]:
        """Take from the settings what was left out. Give the executors that are turned off, each with where.

        Raises UsageError where a part is not what it should be.
        """
        self._check()
        self.library, self.workspaces = library, workspaces
        self.tracer, self.owns_tracer = choose_tracer(self.tracer, settings)
        if settings is None:
            return {}
        if self.store is None:
            self.store = store_url(settings)
        if self.concurrency is None:
            self.concurrency = settings.concurrency.attempts
        given: list[Secrets] = list(self.secrets) if isinstance(self.secrets, list | tuple) else [self.secrets]  # type: ignore[list-item]
        self.secrets = [*(given or settings.secrets.files), *settings.secrets.providers]
        self.shared = tuple(settings.secrets.shared)
        if self.library == ():
            self.library = settings.library.paths
        if self.broker is None:
            self.broker = settings.broker.url
        if self.most_deaths is None:
            self.most_deaths = settings.broker.deaths
        if self.notifiers == {}:
            self.notifiers = settings.notifiers()
        if self.variables == ():
            self.variables = settings.variables.sources
        self.workspaces = self.workspaces or settings.workspaces.path
        self.limits = DocumentLimits(**asdict(settings.limits))
        self.recorded = RunConfiguration(settings.digest, settings.profile)
        return settings.disabled_executors()

    def _check(self) -> None:
        if self.most_deaths is not None and (type(self.most_deaths) is not int or self.most_deaths < 1):
            raise UsageError(f"most_deaths is {self.most_deaths!r}, not a number from 1 on")
        if self.concurrency is not None and (type(self.concurrency) is not int or self.concurrency < 0):
            raise UsageError(f"concurrency is {self.concurrency!r}, not a number of attempts (None or 0: no limit)")


class Engine(api.RunEngine):
    """Runs workflow documents; see `engine.api.RunEngine` for the methods.

    Every part may be given as an object, or by the name of what is installed (RT-123).

    `executors` are added to the installed ones and hide those of the same type; `functions` are what tasks of type `function`
    may call, by name. `concurrency`: attempts at once (None: no limit). `secrets`: providers or their URLs, {name: {key: text}}
    or paths of secrets files, asked in order, the environment (`AETHER_SECRET_*`) last. `variables`: {namespace: values} or
    sources or their URLs. `notifiers`: what executors may notify people by, by name, or one. `library`: files, folders or
    dicts with WorkflowTemplates, looked up before those of the store.
    `broker`: a broker, its URL, or a function from `BrokerParts` to one; by default `local`, this process. With another one,
    `executors` and `concurrency` are that broker's affair, but for executors whose type has `site="engine"`: those are carried
    out here, without a slot, whatever the broker is (RT-122).

    `workspaces` is the folder below which attempts get their workspaces: by default beside the file of the store, and the
    system's folder for temporary files with a store that does not last.

    `store` is a store or its URL: `memory` (runs end with the process) or `sqlite:PATH`, where runs survive it; `recover`
    continues them. The engine closes it. On such a store the engine holds its runs as `owner` (text; by default a name
    that no other engine has) under a lease of `lease_s` seconds (by default 15; None: without an end), which it renews.
    With `passivate_after_s` runs that only wait for so long are dropped from memory and woken in time (by default they stay).
    An attempt whose own process died `most_deaths` times in a row (by default 3) is an Error.
    `artifacts` is the repository of what its runs keep, its folder or its URL, by default beside the file of the store. `clock`
    and `ids` are the machine's by default. `on_event` is called with each record of the event feed (run id, record),
    `on_error` with what goes wrong beside the ends of tasks (error, run=, task=, operation=, severity=); neither can steer or
    break a run. `tracer` takes the spans of runs (RT-137): a tracer, or the URL of an installed one (`otlp:http://HOST:4318`);
    an object is the caller's to close.

    No file is read for settings, and no variable but that of the secrets, unless `configuration` asks for it: what
    `load_configuration` gives, or the path of a file. It counts where `store`, `broker`, `concurrency`, `secrets`, `variables`,
    `library` or `workspaces` is left out (its providers of secrets are asked after those that are given), and its digest and
    profile are recorded with every run that begins here.
    """

    _types: ExecutorTypes

    def __init__(
        self,
        *,
        store: str | Store | None = None,
        broker: str | Broker | BrokerMaker | None = None,
        executors: Executors = (),
        functions: Mapping[str, Function] | None = None,
        concurrency: int | None = None,
        secrets: Iterable[Secrets] | Secrets = (),
        variables: Variables = (),
        notifiers: Notifiers = MappingProxyType({}),
        library: Libraries = (),
        artifacts: str | Path | ArtifactRepository | None = None,
        workspaces: str | Path | None = None,
        configuration: Configuration | str | Path | None = None,
        clock: str | Clock | None = None,
        ids: str | IdGenerator | None = None,
        owner: str | None = None,
        lease_s: float | None = LEASE_S,
        passivate_after_s: float | None = None,
        most_deaths: int | None = None,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
        tracer: str | Tracer | None = None,
    ) -> None:
        parts = _Parts(store, broker, concurrency, secrets, variables, notifiers, most_deaths=most_deaths, tracer=tracer)
        disabled = parts.fill(library, workspaces, _as_configuration(configuration))
        given, sources = executors_by_type(executors, functions), variable_sources(parts.variables)
        self._set_reading(parts, InstalledTypes(InstalledExecutors(given), disabled))
        opened, ticking = store_part("memory" if parts.store is None else parts.store), named_part("clocks", clock or "system")
        self.artifacts = artifacts_of(opened) if artifacts is None else open_repository(artifacts)
        providers = with_shared([*secret_providers(parts.secrets), EnvironmentSecrets()], parts.shared)
        installed, reached = InstalledExecutors(given, disabled=disabled), notifiers_by_name(parts.notifiers)
        wired = BrokerParts(ticking, installed, parts.concurrency, local_stager(self.artifacts), providers, reached)
        wired = replace(wired, artifacts=shared_place(opened, artifacts), begin_term=lambda: begin_term(opened))
        rooms = Workspaces(workspaces_root(opened, parts.workspaces), announce=watch_folder, hears=True)
        super().__init__(
            store=opened,
            broker=traced_broker(broker_part(parts.broker or "local", wired, rooms), parts.tracer),
            site=EngineSite(local_broker("local", replace(wired, concurrency=None), rooms), wired.executors),
            clock=ticking,
            ids=named_part("ids", ids or "uuid7"),
            secrets=providers,
            variables=[SystemVariables(), *sources],
            owner=owner, lease_s=lease_s, passivate_after_s=passivate_after_s,
            most_deaths=parts.most_deaths or MOST_DEATHS,
            on_event=on_event, on_error=on_error,
        )
        self._namespaces, self._shares_artifacts = frozenset(one.namespace for one in sources), is_placed(opened, artifacts)
        self._watch(rooms, parts)

    def _set_reading(self, parts: _Parts, types: InstalledTypes) -> None:
        """How documents are read here."""
        self._types = self._installed = types  # see `declare`
        self._limits, self._library, self._elsewhere = parts.limits, as_several(parts.library), is_remote(parts.broker)

    def _watch(self, rooms: Workspaces, parts: _Parts) -> None:
        self.recorded_configuration = parts.recorded
        self.observers.append(rooms.stored)
        self.tracer = watch_spans(self, parts.tracer)
        self._owned_tracer = self.tracer if parts.owns_tracer else None

    async def __aenter__(self) -> Self:
        if self._shares_artifacts:  # before anything is kept there: no other store deletes it
            try:
                await asyncio.to_thread(others_of, self.artifacts, await self._store.upkeep.identity())
            except PortError:
                await self._store.close()
                raise
        return await super().__aenter__()

    async def close(self) -> None:
        """Stop all executors and wait for them; runs that have not ended are left as they are. Send the spans that are left."""
        try:
            await super().close()
        finally:
            await close_tracer(self._owned_tracer)

    def declare(self, types: ExecutorTypes, by_namespace: Mapping[str, ExecutorTypes] | None = None) -> None:
        """Accept documents with these types of executors, too: those that only workers elsewhere have, of all namespaces or of
        one. Types that are installed here win; what was declared before is forgotten."""
        self._types = DeclaredTypes(self._installed, dict(types), dict(by_namespace or {}))

    def plan(self, document: Document) -> Plan:
        """The plan of a document, checked against what this engine has. Templates are looked up in the document and in
        `library`, not in the store: that is what `resolve` does. Raises DocumentError with all diagnostics."""
        return load_plan(
            document, library=self._library, types=self._types, namespaces=self._namespaces, limits=self._limits,
            elsewhere=self._elsewhere,
        )

    async def resolve(self, document: Document) -> Plan:
        """The plan of a document as `submit` makes it: templates are looked up in the document, in `library`, then in the
        store, once (TMPL-2). Raises DocumentError with all diagnostics."""
        self.guard.require_open()
        return await find_plan(
            document,
            self._store,
            library=self._library,
            types=self._types,
            namespaces=self._namespaces,
            limits=self._limits,
            elsewhere=self._elsewhere,
        )

    async def submit(
        self,
        document: Document,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
        key: RunKey | None = None,
        trace_context: str | None = None,
        submitted_by: str | None = None,
    ) -> str:
        """Begin a run of a document.

        Args:
            document: A dict, a path, text or a Plan.
            arguments: Values of the workflow's parameters, by name.
            run_id: The id of the run; by default a new one.
            scheduled_time: The fire that it is the run of, in microseconds; None where it is of no schedule.
            key: The idempotency key of the submission.
            trace_context: The `traceparent` of the span that the run is begun in; what is not one is passed over.
            submitted_by: Who asked for it, recorded with the run.

        Returns:
            The id of the run.

        Raises:
            DocumentError: The document is not valid.
            UsageError: An argument, the id or the key does not fit.
        """
        plan = await self.resolve(document)
        return await super().submit(
            plan,
            arguments,
            run_id=run_id,
            scheduled_time=scheduled_time,
            key=key,
            trace_context=trace_context,
            submitted_by=submitted_by,
        )

    def workspace(self) -> DocumentWorkspace:
        """Make a workspace in which documents are compiled and checked against what this engine has."""
        made = DocumentWorkspace(self._library, types=self._types, namespaces=self._namespaces, limits=self._limits)
        made.elsewhere = self._elsewhere
        return made

    def scheduler(self) -> ScheduleRunner:
        """Who starts what the schedules of the store have due: `await scheduler.serve(stopping)` until the asyncio.Event
        `stopping` is set, or `tick()` once. Several on one store are fine."""
        from aether_protocol.engine.schedule_runner import ScheduleRunner  # here: most engines start no schedules

        clock = WallClock() if isinstance(self._clock, SystemClock) else self._clock
        return ScheduleRunner(self, self._store, clock, artifacts=self.artifacts)


async def build_engine(*, secrets_files: Sequence[str | Path] = (), **options: Any) -> Engine:
    """An engine that is open already. `options` as for `Engine`; close it with `close()`."""
    engine = Engine(secrets=list(secrets_files), **options)
    await engine.__aenter__()
    return engine


def run(
    document: Document,
    arguments: Mapping[str, Json] | None = None,
    store: str | Store = "memory",
    *,
    executors: Executors = (),
    concurrency: int | None = None,
    secrets: Iterable[Secrets] | Secrets = (),
    variables: Variables = (),
    library: Libraries = (),
) -> Report:
    """Run a document to its end and give the report. A run that waits for an answer is returned Suspended.

    Args:
        document: A dict, a path, text or a Plan.
        arguments: Values of the workflow's parameters, by name.
        store: A store or its URL.
        executors: As for `Engine`, like the rest.
        concurrency: How many attempts run at once; None: no limit.
        secrets: Providers or their URLs, texts by name and key, or paths of secrets files.
        variables: Values by namespace, sources or their URLs.
        library: Files, folders or dicts with WorkflowTemplates.

    Raises:
        DocumentError: The document is not valid.
        UsageError: An argument does not fit, or an event loop runs already.
    """

    made: list[Report] = []  # not the coroutine's result: `asyncio.run` writes a `repr` of that, however large it is

    async def go() -> None:
        async with Engine(
            store=store,
            executors=executors,
            concurrency=concurrency,
            secrets=secrets,
            variables=variables,
            library=library,
        ) as engine:
            run_id = await engine.submit(document, arguments)
            await engine.driven.join(run_id, or_suspended=True)
            made.append(make_report(engine.driven.state(run_id)))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(go())
        return made[0]
    raise UsageError("run() cannot be called where an event loop runs", hint="use `async with Engine() as engine:`")


def _as_configuration(given: Configuration | str | Path | None) -> Configuration | None:
    return load_configuration(file=given) if isinstance(given, str | Path) else given
