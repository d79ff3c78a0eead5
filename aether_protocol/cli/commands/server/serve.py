"""`aether serve`: runs, schedules and workers, for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import click
from msgspec import Struct

from aether_protocol.assembly.broker_urls import LOCAL
from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.configured import configured, note_flag
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import HostingOptions, LibraryOption
from aether_protocol.cli.render.journal import JournalEntry, served_entry, serving_entry
from aether_protocol.cli.value_types import FILE, FOLDER, Location, Number, OneOf, WrongUsageError
from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from aether_protocol.server.hosting.host import ServerHost
    from aether_protocol.server.hosting.settings import HostSettings

EPILOG = """\b
Examples:
  aether serve
  aether serve --db /data/aether.db --http-port 8080 --concurrency 8
  aether serve --documents flows/
  aether serve --no-workers --tls-cert server.pem --tls-key server.key

It keeps runs and schedules in the store, answers HTTP (GET /docs shows what), and carries tasks out itself with a worker
of its own; 'aether worker --server URL' adds machines. Several servers may use one store.

On SIGTERM, SIGINT and SIGHUP nothing more is begun; tasks of the server's own worker get --grace seconds to end, those of
other workers continue, and the next server takes all of it over. A second signal ends it at once. The exit code is 0
either way."""

MODES = ("memory", "snapshot", "state-action-log")


def _hear_file(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    if given is not None and not context.resilient_parsing:
        note_flag(context, parameter, "store.url", f"sqlite:{given}")
    return given


def _hear_mode(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    if given is not None and not context.resilient_parsing:
        if given == "memory":
            note_flag(context, parameter, "store.url", "memory")
        else:
            note_flag(context, parameter, "store.tier", given)
    return given


def _place(key: str, *names: str, **settings: Any) -> Any:
    """An option whose default is a setting."""
    return option(*names, callback=configured(key), **settings)


class ServeOptions(Struct, frozen=True, kw_only=True):
    """What `aether serve` takes."""

    host: Annotated[
        str, _place("server.host", "--host", metavar="ADDRESS", help="Where to listen; by default 127.0.0.1.")
    ]
    http_port: Annotated[
        int,
        _place("server.http_port", "--http-port", type=Number(0, 65_535), metavar="PORT",
               help="By default 7234; 0 takes a free one. The address is printed."),
    ]
    grpc_port: Annotated[
        int | None,
        _place("server.grpc_port", "--grpc-port", type=Number(0, 65_535), metavar="PORT",
               help="A port that speaks gRPC and HTTP, by custom 7233; gRPC needs the extra [grpc]. By default there is none."),
    ] = None
    tls_cert: Annotated[
        str | None,
        _place("server.tls_cert", "--tls-cert", type=Location(FILE, exists=True), metavar="FILE",
               help="The server's certificate (PEM); with it the server speaks TLS alone."),
    ] = None
    tls_key: Annotated[
        str | None,
        _place("server.tls_key", "--tls-key", type=Location(FILE, exists=True), metavar="FILE", help="Its key (PEM)."),
    ] = None
    public_url: Annotated[
        str | None,
        _place("server.public_url", "--public-url", metavar="URL",
               help="Under which address others reach it, where a proxy stands before it."),
    ] = None
    advertise: Annotated[
        str | None,
        _place("server.advertise", "--advertise", metavar="URL",
               help="Where the other servers of the store, and their workers, reach this one; by default where it listens."),
    ] = None
    cors: Annotated[
        tuple[str, ...],
        _place("server.cors", "--cors", multiple=True, metavar="ORIGIN",
               help="Web pages of this origin may use the server. Several are allowed."),
    ] = ()
    token: Annotated[
        str | None,
        option("--token", envvar="AETHER_SERVER_TOKEN", metavar="TOKEN",
               help="Answer its bearers alone, who may do everything. AETHER_SERVER_TOKEN keeps it out of lists of processes."),
    ] = None
    workers: Annotated[
        bool, option("--workers/--no-workers", default=True, help="Carry tasks out here, too, or leave all to other workers.")
    ] = True
    cron: Annotated[
        bool, option("--cron/--no-cron", default=True, help="Start what is due on the schedules of the store, or do not.")
    ] = True
    concurrency: Annotated[
        int | None,
        option("--concurrency", type=Number(1), metavar="N", callback=configured("concurrency.attempts"),
               help="At most N tasks at once in the server's own worker; by default one for each processor."),
    ] = None
    grace: Annotated[
        float,
        option("--grace", type=Number(0, 86_400, fraction=True), default=10, show_default=True, metavar="SECONDS",
               help="How long tasks of the server's own worker may continue after a signal."),
    ] = 10
    lease: Annotated[
        int,
        _place("server.lease", "--lease", type=Number(1, 86_400), metavar="SECONDS",
               help="How long a worker that gives no sign of life keeps its tasks; by default 30."),
    ]
    metrics: Annotated[
        bool,
        _place("metrics.enabled", "--metrics/--no-metrics", default=None, help="Answer /metrics (the default), or do not."),
    ]
    metrics_port: Annotated[
        int | None,
        _place("metrics.port", "--metrics-port", type=Number(0, 65_535), metavar="PORT",
               help="A port of its own for /metrics; by default it is that of HTTP."),
    ] = None
    modules: Annotated[
        tuple[str, ...],
        option("--import", multiple=True, metavar="MODULE",
               help="A module whose `executors` and `functions` the server's own worker has, besides what is installed. "
                    "Several are allowed."),
    ] = ()
    library: LibraryOption = ()
    documents: Annotated[
        str | None,
        _place("server.documents", "--documents", type=Location(FOLDER, exists=True), metavar="DIR",
               help="Apply the documents of this folder (or checkout), as 'aether apply' does, and follow what changes "
                    "there. A faulty file keeps the version before; what is gone from the folder is kept."),
    ] = None
    db: Annotated[
        str | None,
        option("--db", type=Location(FILE), metavar="PATH", is_eager=True, callback=_hear_file,
               help="The file of the store: short for --store sqlite:PATH."),
    ] = None
    persistence: Annotated[
        str | None,
        option("--persistence", type=OneOf(MODES), is_eager=True, callback=_hear_mode,
               help="How new runs are kept: every step before it has an effect (the default), the state now and then, or not "
                    "at all."),
    ] = None
    hosting: HostingOptions


@command_with(ServeOptions, "serve", epilog=EPILOG)
def command(options: ServeOptions) -> int:
    """Keep workflows, runs and schedules for others, over HTTP, and carry tasks out here and on workers.

    Without a token it answers this machine alone.
    """
    from aether_protocol.cli.serving import Manner, require_server, serve

    _check(options)
    require_server("aether serve")
    settings = _settings(options)
    manner = Manner(started=lambda host: _started(options.hosting.store, settings, host), ended=lambda left: served_entry())
    serve(options.hosting, settings, manner, tier=None if options.persistence == "memory" else options.persistence)
    return FINE


def _started(store: str, settings: HostSettings, host: ServerHost) -> JournalEntry:
    return serving_entry(
        host.url, store, local=settings.workers, cron=settings.cron, grpc_url=host.grpc_url, has_grpc=host.has_grpc
    )


def _check(options: ServeOptions) -> None:
    context = click.get_current_context()
    given = context.get_parameter_source("store") is click.core.ParameterSource.COMMANDLINE
    if options.db is not None and (given or options.persistence == "memory"):
        other = "--store" if given else "--persistence memory"
        raise WrongUsageError(f"--db and {other} both name a store", f"leave out --db or {other}", context)
    if given and options.persistence == "memory":
        raise WrongUsageError("--store and --persistence memory both name a store", "leave out one of them", context)


def _settings(options: ServeOptions) -> HostSettings:
    broker = None if options.hosting.broker == LOCAL else options.hosting.broker
    from aether_protocol.cli.configured import configuration
    from aether_protocol.cli.serving import oidc_settings
    from aether_protocol.server.hosting.settings import HostSettings

    settings = HostSettings(
        host=options.host,
        port=options.http_port,
        grpc_port=options.grpc_port,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        public_url=options.public_url,
        advertise=options.advertise,
        cors=options.cors,
        token=options.token,
        slots={} if options.concurrency is None else {"tasks": options.concurrency},
        broker=broker,
        workers=options.workers and broker is None,
        cron=options.cron,
        grace_s=options.grace,
        lease_s=options.lease,
        metrics=options.metrics,
        metrics_port=options.metrics_port,
        secrets=options.hosting.secrets,
        workspaces=options.hosting.workspaces,
        library=options.library,
        documents=options.documents,
        modules=options.modules,
        hidden=("PGPASSWORD",) if options.hosting.store.startswith("postgres") else (),
        oidc=oidc_settings(),
        configuration=configuration(),
    )
    try:
        settings.check()
    except UsageError as error:
        raise WrongUsageError(error.message, error.hint or "", click.get_current_context()) from None
    return settings
