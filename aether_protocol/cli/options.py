"""Options that several commands share: one spelling, one help text, as types for the fields of a command's class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
from msgspec import Struct

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.command import PROFILE, argument, option, output_option, quiet
from aether_protocol.cli.configured import configured, configured_limits, configured_store, flag_alone
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import FILE, FOLDER, BadValueError, Location, Number, OneOf
from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from aether_protocol.documents.source import DocumentLimits

MEMORY: Final = "memory"


def _check_named_store(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """A store that a command only reads is there, if it was named on the command line."""
    url = configured_store(context, parameter, given)
    if url is not None and given not in (None, MEMORY) and not ("--server" in parameter.opts and is_server_url(given)):
        from aether_protocol.cli.stored import check_there

        check_there(url)
    return url


# --- what is meant ---

RunArgument = Annotated[str, argument("RUN")]
RunOrSeveral = Annotated[str | None, argument("[RUN]", required=False)]
NamespaceOption = Annotated[
    str | None, option("-n", "--namespace", metavar="NAME", help="The namespace of what is named; 'default' if left out.")
]
NamespaceFilter = Annotated[str | None, option("-n", "--namespace", metavar="NAME", help="Only those of this namespace.")]
WorkflowName = Annotated[
    str | None, option("--name", metavar="NAME", help="Which workflow, where the file holds several (its metadata.name).")
]
PageSize = Annotated[
    int,
    option("--limit", type=Number(1, 100_000), default=50, show_default=True, metavar="N", help="How many to a page."),
]
PageCursor = Annotated[str | None, option("--page", metavar="CURSOR", help="The next page, as the page before names it.")]

ReasonOption = Annotated[
    str, option("--reason", metavar="TEXT", default="", help="Why, in your words; it is recorded, and shown with the run.")
]

# --- documents ---

LibraryOption = Annotated[
    tuple[str, ...],
    option("-L", "--library", multiple=True, type=Location(exists=True), metavar="DIR", callback=configured("library.paths"),
           help="Folder (or file) with WorkflowTemplates in which references are looked up, before the store. Several are "
                "allowed."),
]
MaxOption = Annotated[
    "DocumentLimits",
    option("--max", multiple=True, metavar="NAME=N", callback=configured_limits,
           help="What a document may have at most: bytes (of a file), nodes, nesting."),
]

# --- the store ---

_STORE_HELP: Final = (
    "Where runs are kept: sqlite:PATH, or memory for nowhere. By default AETHER_STORE, that of aether.toml, the "
    "nearest .aether/aether.db up to the root of the repository, or a new one here."
)
StoreOption = Annotated[
    str,
    option("--store", "--server", metavar="URL", type=click.UNPROCESSED, callback=configured_store,
           help="Where runs are kept: http://HOST:PORT of a server (AETHER_SERVER, with AETHER_TOKEN), sqlite:PATH, or memory "
                "for nowhere. By default AETHER_STORE, that of aether.toml, the nearest .aether/aether.db up to the root of "
                "the repository, or a new one here."),
]
StoreAlone = Annotated[
    str, option("--store", metavar="URL", type=click.UNPROCESSED, callback=configured_store, help=_STORE_HELP)
]
LookedUpStore = Annotated[
    str,
    option("--store", metavar="URL", type=click.UNPROCESSED, callback=_check_named_store,
           help="Where templates are looked up that neither the files nor --library have; by default the store that "
                "'aether run' would use. It is only read, and never made."),
]

CheckedStore = Annotated[
    str,
    option("--store", "--server", metavar="URL", type=click.UNPROCESSED, callback=_check_named_store,
           help="Where templates are looked up that neither the files nor --library have; by default the store that "
                "'aether run' would use. It is only read, and never made. A server (http://HOST:PORT, AETHER_SERVER) checks "
                "everything itself, as it would a run."),
]

ProfileOption = Annotated[str | None, PROFILE]

# --- output ---

ToOption = Annotated[
    Path | None,
    option("--to", type=Location(FILE, as_path=True), metavar="PATH",
           help="Write it to this file; to standard output if it is - or left out."),
]
TextOrJson = Annotated[str, output_option("text", "json")]
Quiet = Annotated[bool, quiet()]

# --- runs that are driven here ---

AnswersOption = Annotated[
    tuple[str, ...],
    option("--resume", multiple=True, metavar="TASK=PAYLOAD",
           help="Answer a task when it suspends: a JSON object, yes or no. Several for one task are used in turn."),
]
SecretsFiles = Annotated[
    tuple[str, ...],
    option("--secrets-file", type=Location(exists=True), multiple=True, metavar="FILE",
           callback=configured("secrets.files"), help="File with secrets (dotenv, YAML or JSON), or a folder of them."),
]


def _check_broker(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """What a broker needs is there; else nothing is begun."""
    url: str | None = configured("broker.url")(context, parameter, given)
    if given is None or context.resilient_parsing:
        return url  # the engine looks at what is configured, where one is made here
    from aether_protocol.assembly.broker_urls import check_broker_url

    try:
        return check_broker_url(given)
    except UsageError as error:
        raise BadValueError(error.message, error.hint, ctx=context, param=parameter) from None


BrokerOption = Annotated[
    str | None,
    option("--broker", metavar="URL", callback=_check_broker,
           help="What carries tasks out: local (this process, the default), or the URL of an engine that has workers. "
                "AETHER_BROKER, or url of [broker], sets another default."),
]
ConcurrencyOption = Annotated[
    int | None,
    option("--concurrency", type=Number(1), metavar="N", callback=configured("concurrency.attempts"),
           help="At most N tasks at once."),
]
PassivationOption = Annotated[
    float,
    option("--passivate-after", type=Number(0, 1_000_000_000, fraction=True), metavar="SECONDS",
           callback=configured("passivation.after"),
           help="Drop a run that has only waited for so long, and will for longer, from memory, and wake it in time; by "
                "default 60."),
]
WorkspacesFolder = Annotated[
    str | None,
    option("--workspace", type=Location(FOLDER), metavar="DIR", callback=configured("workspaces.path"),
           help="Folder below which every attempt gets a workspace of its own; by default .aether/workspaces beside the "
                "store. AETHER_WORKSPACES sets another default."),
]
DurabilityOption = Annotated[
    str | None,
    option("--durability", type=OneOf(["full", "normal"]), callback=flag_alone("store.durability"),
           help="What a write survives: full (the default) a loss of power, normal the death of the process, which is faster."),
]


def _hear_log_format(context: click.Context, parameter: click.Parameter, given: str | None) -> str:
    if given == "json":
        messages.set_json()
    return given or "text"


LogFormat = Annotated[
    str,
    option("--log-format", type=OneOf(["text", "json"]), callback=_hear_log_format, is_eager=True,
           help="How to write what standard error has: lines for people (the default), or a JSON object a line."),
]
MetricsFile = Annotated[
    str | None,
    option("--metrics-file", type=Location(FILE), metavar="FILE",
           help="Write metrics to this file at the end, in Prometheus' text format, for a collector of such files."),
]


class DrivingOptions(Struct, frozen=True, kw_only=True):
    """The options of every command that may drive a run in the foreground."""

    output: Annotated[
        str,
        output_option("text", "json", "events",
                      help="What to print on standard output: a summary, the run report, or every event as a JSON line."),
    ] = "text"
    to: ToOption = None
    quiet: Quiet = False
    progress: Annotated[
        bool,
        option("--progress/--no-progress", default=True,
               help="Show the progress on standard error (a live view on a terminal), or do not."),
    ] = True
    secrets: SecretsFiles = ()
    concurrency: ConcurrencyOption = None
    workspaces: WorkspacesFolder = None
    broker: BrokerOption = None
    store: StoreOption
    durability: DurabilityOption = None
    log_format: LogFormat = "text"
    metrics_file: MetricsFile = None


class HostingOptions(Struct, frozen=True, kw_only=True):
    """The options of every command that carries schedules out."""

    output: Annotated[
        str,
        output_option("text", "events",
                      help="A line on standard error for each thing that happens, or a JSON line on standard output."),
    ] = "text"
    to: ToOption = None
    quiet: Annotated[bool, quiet("Report only what does not go well.")] = False
    secrets: SecretsFiles = ()
    workspaces: WorkspacesFolder = None
    broker: BrokerOption = None
    store: StoreAlone
    durability: DurabilityOption = None
    log_format: LogFormat = "text"
    metrics_file: MetricsFile = None


class ServerOptions(Struct, frozen=True, kw_only=True):
    """Which server is asked."""

    server: Annotated[
        str | None,
        option("--server", metavar="URL", callback=configured("server.url"),
               help="The server, http://HOST:PORT or https://...; by default AETHER_SERVER, or url of [server]."),
    ] = None
    token: Annotated[
        str | None,
        option("--token", envvar="AETHER_TOKEN", metavar="TOKEN",
               help="Yours, where the server wants one. AETHER_TOKEN keeps it out of lists of processes."),
    ] = None


def named_server(server: str | None) -> str:
    """Return the server that is named. Raises UsageError where none is."""
    if server is None:
        raise UsageError("no server is named", hint="--server URL, or AETHER_SERVER; 'aether serve' starts one")
    return server
