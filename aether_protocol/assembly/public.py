"""The engine for everybody: parts by name, defaults for all of them, documents of any shape; and `run`.

Law: wiring only. Every choice that is made here can be made by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.assembly.configuration.effective import Configuration, load_configuration
from aether_protocol.assembly.configuration.store_place import store_url
from aether_protocol.assembly.discovery import local_stager
from aether_protocol.assembly.documents import Document, Libraries, as_several, find_plan, load_plan
from aether_protocol.assembly.executors import InstalledExecutors, InstalledTypes, watch_folder, what_it_lacks
from aether_protocol.assembly.stores import artifacts_of, open_store, workspaces_root
from aether_protocol.assembly.variables import GivenVariables, SystemVariables
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.engine import api
from aether_protocol.engine.clock import SystemClock, WallClock
from aether_protocol.engine.engine_site import EngineSite
from aether_protocol.engine.ids import RandomIds
from aether_protocol.engine.leases import LEASE_S
from aether_protocol.engine.observers import OnError, OnEvent
from aether_protocol.engine.schedule_runner import ScheduleRunner
from aether_protocol.errors import UsageError
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock, IdGenerator
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import FACETS, Store
from aether_protocol.ports.variables import VariableSource
from aether_protocol.scheduler.events import RunConfiguration
from aether_protocol.views.report import Report, make_report

Secrets = SecretProvider | Mapping[str, Mapping[str, str]] | str | Path
Executors = Iterable[Executor] | Mapping[str, Executor] | Executor
Variables = Mapping[str, Mapping[str, Json]] | Iterable[VariableSource]


class _Parts(Struct):
    """What an engine is made of, as far as it can be configured."""

    store: str | Store | None
    concurrency: int | None
    secrets: Iterable[Secrets] | Secrets
    library: Libraries
    workspaces: str | Path | None
    limits: DocumentLimits = DEFAULT
    recorded: RunConfiguration | None = None

    def fill(self, settings: Configuration | None) -> Mapping[str, str]:
        """Take from the settings what was left out. Give the executors that are turned off, each with where.

        Raises UsageError where a part is not what it should be.
        """
        self._check()
        if settings is None:
            return {}
        if self.store is None:
            self.store = store_url(settings)
        if self.concurrency is None:
            self.concurrency = settings.concurrency.attempts
        if self.secrets == ():
            self.secrets = settings.secrets.files
        if self.library == ():
            self.library = settings.library.paths
        self.workspaces = self.workspaces or settings.workspaces.path
        self.limits = DocumentLimits(**asdict(settings.limits))
        self.recorded = RunConfiguration(settings.digest, settings.profile)
        return settings.disabled_executors()

    def _check(self) -> None:
        if self.concurrency is not None and (type(self.concurrency) is not int or self.concurrency < 0):
            raise UsageError(f"concurrency is {self.concurrency!r}, not a number of attempts (None or 0: no limit)")


class Engine(api.RunEngine):
    """Runs workflow documents; see `engine.api.RunEngine` for the methods.

    `executors` are added to the installed ones and hide those of the same type. `concurrency`: attempts under way at once
    (None: no limit). `secrets`: providers, {name: {key: text}} or paths of secrets files, asked in order, the environment
    (`AETHER_SECRET_*`) last. `variables`: {namespace: values} or sources. `library`: files, folders or
    dicts with WorkflowTemplates, looked up before those of the store. With a `broker` of one's own, `executors` and
    `concurrency` are that broker's affair, but for executors whose type has `site="engine"`: those are carried out here,
    without a slot, whatever the broker is.

    `workspaces` is the folder below which attempts get their workspaces: by default beside the file of the store, and the
    system's folder for temporary files with a store that does not last.

    `store` is a store or its URL: `memory` (runs end with the process) or `sqlite:PATH`, where runs survive it; `recover`
    carries on with them. The engine closes it. On such a store the engine holds its runs as `owner` (text; by default a name
    that no other engine has) under a lease of `lease_s` seconds (by default 15; None: without an end), which it renews.
    `artifacts` is the repository of what its runs keep, by default beside the file of the store. `clock` and `ids` are the
    machine's by default. `on_event(run id, record)` is called with each record of the event feed, `on_error(error, run=, task=,
    operation=, severity=)` with what goes wrong beside the ends of tasks; neither can steer or break a run.

    No file is read for settings, and no variable but that of the secrets, unless `configuration` asks for it: what
    `load_configuration` gives, or the path of a file. It counts where `store`, `concurrency`, `secrets`, `library` or
    `workspaces` is left out, and its digest and profile are recorded with every run that begins here.
    """

    def __init__(
        self,
        *,
        store: str | Store | None = None,
        broker: Broker | None = None,
        executors: Executors = (),
        concurrency: int | None = None,
        secrets: Iterable[Secrets] | Secrets = (),
        variables: Variables = (),
        library: Libraries = (),
        artifacts: ArtifactRepository | None = None,
        workspaces: str | Path | None = None,
        configuration: Configuration | str | Path | None = None,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
        owner: str | None = None,
        lease_s: float | None = LEASE_S,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
    ) -> None:
        parts = _Parts(store, concurrency, secrets, library, workspaces)
        disabled = parts.fill(_as_configuration(configuration))
        self.recorded_configuration = parts.recorded
        given, sources = executors_by_type(executors), variable_sources(variables)
        self._types = InstalledTypes(InstalledExecutors(given), disabled)
        self._library, self._limits = as_several(parts.library), parts.limits
        self._namespaces = frozenset(source.namespace for source in sources)
        providers = [*secret_providers(parts.secrets), EnvironmentSecrets()]
        opened = _store("memory" if parts.store is None else parts.store)
        self.artifacts = artifacts_of(opened) if artifacts is None else artifacts
        clock = clock or SystemClock()
        installed = InstalledExecutors(given, disabled=disabled)
        rooms = Workspaces(workspaces_root(opened, parts.workspaces), announce=watch_folder, hears=True)
        local = partial(
            LocalBroker, installed, clock, stager=local_stager(self.artifacts), workspaces=rooms, secrets=providers
        )
        super().__init__(
            store=opened,
            broker=local(concurrency=parts.concurrency) if broker is None else broker,
            site=EngineSite(local(), installed),
            clock=clock,
            ids=ids or RandomIds(),
            secrets=providers,
            variables=[SystemVariables(), *sources],
            owner=owner,
            lease_s=lease_s,
            on_event=on_event,
            on_error=on_error,
        )
        self.observers.append(rooms.stored)

    def plan(self, document: Document) -> Plan:
        """The plan of a document, checked against what this engine has. Templates are looked up in the document and in
        `library`, not in the store: that is what `resolve` does. Raises DocumentError with all diagnostics."""
        return load_plan(
            document, library=self._library, types=self._types, namespaces=self._namespaces, limits=self._limits
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
        )

    async def submit(
        self,
        document: Document,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
    ) -> str:
        """Begin a run of a document (a dict, a path, text, a Plan) and give its id. Raises DocumentError, UsageError."""
        plan = await self.resolve(document)
        return await super().submit(plan, arguments, run_id=run_id, scheduled_time=scheduled_time)

    def workspace(self) -> DocumentWorkspace:
        """Make a workspace in which documents are compiled and checked against what this engine has."""
        return DocumentWorkspace(self._library, types=self._types, namespaces=self._namespaces, limits=self._limits)

    def scheduler(self) -> ScheduleRunner:
        """Who starts what the schedules of the store have due: `await scheduler.serve(stopping)` until the asyncio.Event
        `stopping` is set, or `tick()` once. Several on one store are fine."""
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
    """Run a document to its end and give the report. A run that nobody can resume here is given back Suspended.

    Raises DocumentError where the document is invalid, UsageError where the arguments are.
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


def executors_by_type(executors: Executors) -> dict[str, Executor]:
    """What callers call executors: several, a mapping (whose values count), or one. Raises UsageError for what is none."""
    if isinstance(executors, Mapping):
        several = list(executors.values())
    else:
        several = list(executors) if isinstance(executors, Iterable) else [executors]
    for one in several:
        fault = what_it_lacks(one)
        if fault is not None:
            hint = "an executor has a type, a mode and execute(task, context)"
            raise UsageError(f"{one!r} is no executor: {fault}", hint=hint)
    return {one.type.name: one for one in several}


def _as_configuration(given: Configuration | str | Path | None) -> Configuration | None:
    return load_configuration(file=given) if isinstance(given, str | Path) else given


def _store(store: str | Store) -> Store:
    if isinstance(store, str):
        return open_store(store)
    lacks = [name for name in FACETS if getattr(store, name, None) is None]
    if lacks:
        hint = f"memory, sqlite:PATH, or an object with the facets of the Store port; this one lacks {', '.join(lacks)}"
        raise UsageError(f"{store!r} is not a store", hint=hint)
    return store


def secret_providers(secrets: Iterable[Secrets] | Secrets) -> list[SecretProvider]:
    """Providers for what callers call secrets. Raises PortError for files and mappings that cannot be read."""
    if isinstance(secrets, str | Path | Mapping) or not isinstance(secrets, Iterable):
        return [_provider(secrets)]
    return [_provider(one) for one in secrets]


def _provider(secrets: Secrets) -> SecretProvider:
    if isinstance(secrets, str | Path):
        from aether_protocol.adapters.secrets.document import open_secrets_file

        return open_secrets_file(secrets)
    if isinstance(secrets, Mapping):
        from aether_protocol.adapters.secrets.mapping import MappingSecrets

        return MappingSecrets(dict(secrets))
    if not hasattr(secrets, "get"):
        raise UsageError(f"{secrets!r} is no secret provider", hint="give {name: {key: text}}, a path or an object with get()")
    return secrets


def variable_sources(variables: Variables) -> list[VariableSource]:
    """Sources for what callers call variables."""
    if isinstance(variables, Mapping):
        for namespace, values in variables.items():
            if not isinstance(values, Mapping):
                raise UsageError(f"the variables {namespace!r} are {values!r}, not a mapping of names to values")
        return [GivenVariables(namespace, values) for namespace, values in variables.items()]
    if not isinstance(variables, Iterable):
        raise UsageError(f"{variables!r} are no variables", hint="give {namespace: {name: value}} or variable sources")
    return list(variables)
