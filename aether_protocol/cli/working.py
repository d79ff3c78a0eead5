"""The process of `aether worker`: what it takes becomes a `worker.Worker`, and what becomes of that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import click
from msgspec import Struct

from aether_protocol.cli.command import option
from aether_protocol.cli.configured import configuration, debugs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import LogFormat
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import FOLDER, BadValueError, Location, Number, Text
from aether_protocol.errors import UsageError
from aether_protocol.expressions.sizes import parse_size
from aether_protocol.plan.placement import is_label

if TYPE_CHECKING:
    from aether_protocol.worker.nats.process import NatsWorker
    from aether_protocol.worker.process import Worker
    from aether_protocol.worker.supervisor import WorkerNews

_OF_SERVERS: Final = {
    "servers": "--server", "token": "--token", "grpc": "--grpc", "cache": "--cache", "cache_size": "--cache-size",
}  # fmt: skip
_OF_BROKERS: Final = {"secrets": "--secrets-file", "artifacts": "--artifacts"}
_COLORS: Final = {"connected": "green", "back": "green", "away": "yellow", "stopping": "red"}
_BAD: Final = frozenset({"away", "stopping"})  # said also with --quiet


class _Pair(Text):
    """NAME=TEXT."""

    name = "pair"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        name, sign, value = text.partition("=")
        if not sign or not name:
            self.fail(f"{text!r} is not NAME=TEXT", param, ctx)
        if not (is_label(name) and is_label(value)):
            hint = "letters and digits, with '.', '_', '/' and '-' between them"
            raise BadValueError(f"no task could select {text!r}", hint, ctx=ctx, param=param)
        return text


class _Slots(Text):
    """N, or KIND=N."""

    name = "slots"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        kind, _, number = text.rpartition("=")
        if not number.isdecimal() or (not kind and "=" in text):
            self.fail(f"{text!r} is neither a number of tasks nor KIND=N", param, ctx)
        if kind in ("", "tasks") and int(number) == 0:
            self.fail("a worker carries out one task at a time at least", param, ctx)
        return text


def _configured_servers(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if given or context.resilient_parsing:
        return given
    found = configuration().value("server.url")
    return () if found is None else (found,)


class _Size(Text):
    """A number of bytes, as in documents: 512Mi."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:  # type: ignore[override]
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            raise BadValueError(str(error), "like 512Mi or 20Gi", ctx=ctx, param=param) from None


class WorkerOptions(Struct, frozen=True, kw_only=True):
    """What `aether worker` takes."""

    servers: Annotated[
        tuple[str, ...],
        option("--server", multiple=True, metavar="URL", callback=_configured_servers,
               help="The server, http://HOST:PORT or https://...; by default AETHER_SERVER, or url of [server] in aether.toml. "
                    "Several of one store, with commas between them, are tried in turn."),
    ] = ()
    broker: Annotated[
        str | None,
        option("--broker", metavar="URL",
               help="Work for the engines behind this broker (nats://HOST:PORT), in place of a server."),
    ] = None
    secrets: Annotated[
        tuple[str, ...],
        option("--secrets-file", type=Location(exists=True), multiple=True, metavar="FILE",
               help="With --broker: a file with secrets, or a folder of them, that tasks may use; none is sent here."),
    ] = ()
    artifacts: Annotated[
        str,
        option("--artifacts", metavar="URL", default="",
               help="With --broker: the repository of artifacts, by the URL that the engines use (folder:///mnt/shared)."),
    ] = ""
    token: Annotated[
        str | None,
        option("--token", envvar="AETHER_TOKEN", metavar="TOKEN",
               help="The worker's, where the server wants one. AETHER_TOKEN keeps it out of lists of processes."),
    ] = None
    name: Annotated[
        str | None, option("--name", metavar="NAME", help="How it is shown; the machine's name and its process id by default.")
    ] = None
    labels: Annotated[
        tuple[str, ...],
        option("--label", multiple=True, type=_Pair(), metavar="NAME=TEXT",
               help="What tasks select workers by; os and arch are there already."),
    ] = ()
    slots: Annotated[
        tuple[str, ...],
        option("--slots", multiple=True, type=_Slots(), metavar="[KIND=]N",
               help="How many tasks at a time, by default one for each processor; with a kind, how much of that it offers."),
    ] = ()
    pool: Annotated[str, option("--pool", metavar="NAME", default="", help="The pool that it belongs to.")] = ""
    executors: Annotated[
        str | None,
        option("--executors", metavar="LIST", help="The types that it carries out, with commas; by default all it has."),
    ] = None
    grpc: Annotated[
        bool,
        option("--grpc/--no-grpc", default=False,
               help="Talk to the server by gRPC, at its --grpc-port; it needs the extra [grpc] on both sides."),
    ] = False
    modules: Annotated[
        tuple[str, ...],
        option("--import", multiple=True, metavar="MODULE",
               help="A module whose `executors` and `functions` it offers besides what is installed. Several are allowed."),
    ] = ()
    grace: Annotated[
        float,
        option("--grace", type=Number(0, 86_400, fraction=True), default=600, show_default=True, metavar="SECONDS",
               help="How long tasks may continue after a signal."),
    ] = 600
    cache: Annotated[
        str | None,
        option("--cache", type=Location(FOLDER), metavar="DIR",
               help="Where artifacts are kept by digest; by default aether/artifacts in the user's cache folder. Workers of "
                    "one machine may share it."),
    ] = None
    cache_size: Annotated[
        int,
        option("--cache-size", type=_Size(), default="5Gi", show_default=True, metavar="SIZE",
               help="How much of them is kept; what was not used for longest goes first."),
    ] = 5 * 2**30
    spool_size: Annotated[
        int,
        option("--spool-size", type=_Size(), default="64Mi", show_default=True, metavar="SIZE",
               help="How much of logs waits on disk while the server is away; then the oldest go, with a note."),
    ] = 64 * 2**20
    log_format: LogFormat = "text"


def work(options: WorkerOptions) -> int:
    """Work until a signal comes and what runs has ended. Raises UsageError where the server refuses this worker."""
    from aether_protocol.assembly.tracing import FLUSH_S, WORKER, configured_tracer
    from aether_protocol.cli.process import log_to
    from aether_protocol.cli.render.journal import JournalHandler
    from aether_protocol.engine.clock import WallClock

    _check(options)
    if options.broker is None:
        from aether_protocol.cli.serving import require_server

        require_server("aether worker")
    now = WallClock().now
    if not debugs():
        log_to(JournalHandler(now))
    tracer = configured_tracer(configuration(), WORKER)
    shared: dict[str, Any] = {
        "name": options.name,
        "slots": _slots(options.slots),
        "labels": dict(pair.split("=", 1) for pair in options.labels),
        "pool": options.pool,
        "executors": _listed(options.executors),
        "modules": options.modules,
        "log_bytes": options.spool_size,
        "grace_s": options.grace,
        "report": lambda news: _report(news, now()),
        "tracer": tracer,
    }
    worker = _server_worker(options, shared) if options.broker is None else _broker_worker(options.broker, options, shared)
    messages.note(f"worker {worker.hello.worker!r} for {', '.join(worker.urls)}: {worker.hello.slots['tasks']} tasks at a time")
    try:
        worker.run()
    finally:
        if tracer is not None:
            tracer.close(FLUSH_S)
    messages.note("the worker ends")
    return FINE


def _server_worker(options: WorkerOptions, shared: dict[str, Any]) -> Worker:
    from aether_protocol.cli.options import named_server
    from aether_protocol.worker.process import Worker

    return Worker(
        options.servers or (named_server(None),),
        token=options.token,
        cache=options.cache,
        cache_bytes=options.cache_size,
        grpc=options.grpc,
        **shared,
    )


def _broker_worker(url: str, options: WorkerOptions, shared: dict[str, Any]) -> NatsWorker:
    from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
    from aether_protocol.assembly.broker_urls import check_broker_url
    from aether_protocol.assembly.parts import secret_providers, with_shared

    check_broker_url(url, for_worker=True)
    from aether_protocol.worker.nats.process import NatsWorker

    named = configuration().secrets
    given = [*(options.secrets or named.files), *named.providers]
    providers = with_shared([*secret_providers(given), EnvironmentSecrets()], named.shared)
    place = options.artifacts or configuration().value("artifacts.path") or ""
    return NatsWorker(url, secrets=providers, artifacts=place, **shared)


def _check(options: WorkerOptions) -> None:
    """Raise UsageError for options that say nothing with the others."""
    context = click.get_current_context()
    for field, flag in _OF_SERVERS.items() if options.broker is not None else _OF_BROKERS.items():
        if context.get_parameter_source(field) is click.core.ParameterSource.COMMANDLINE:
            other = "--broker" if options.broker is not None else "a server"
            raise UsageError(f"{flag} says nothing to a worker for {other}", hint=f"leave {flag} out")


def _report(news: WorkerNews, now: int) -> None:
    """Say what became of the worker."""
    from aether_protocol.cli.render.times import here
    from aether_protocol.views.text import printable

    if messages.is_json():
        messages.record("warning" if news.kind in _BAD else "info", news.text, kind=news.kind)
    elif not messages.is_quiet() or news.kind in _BAD:
        click.echo(f"{here(now)}  ", nl=False, err=True)
        click.secho(printable(news.text), fg=_COLORS.get(news.kind), err=True)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


def _slots(given: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in given:
        kind, _, number = one.rpartition("=")
        found[kind or "tasks"] = int(number)
    return found
