"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from msgspec.structs import replace

if TYPE_CHECKING:
    from aether_protocol.documents.source import Limits

DEFAULT_STORE = "sqlite:.aether/aether.db"
MEMORY = "memory"

_Command = TypeVar("_Command", bound=Callable[..., Any])



def _check_named_store(context: click.Context, option: click.Parameter, url: str) -> str:
    """A store that a command only reads is there, if it was named on the command line."""
    if context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE and url != MEMORY:
        from aether_protocol.cli.stored import check_there

        check_there(url)
    return url


library_option = click.option(
    "--library", "-L", multiple=True, type=click.Path(exists=True), metavar="DIR",
    help="Folder (or file) with WorkflowTemplates to look references up in, before the store; may be given several times.",
)
name_option = click.option(
    "--name", metavar="NAME", help="Which workflow, where the file holds several (its metadata.name)."
)
secrets_option = click.option(
    "--secrets-file", "secrets", type=click.Path(exists=True, dir_okay=False), multiple=True, metavar="FILE",
    help="File with secrets (dotenv, YAML or JSON).",
)
watch_option = click.option(
    "--watch/--quiet", default=True, help="Show progress on standard error (a live view on a terminal), or nothing."
)
concurrency_option = click.option("--concurrency", type=click.IntRange(1), metavar="N", help="At most N tasks at once.")
output_option = click.option(
    "--output", type=click.Choice(["text", "json", "events"]), default="text", show_default=True,
    help="What to print on standard output: a summary, the run report, or every event as a JSON line.",
)
answers_option = click.option(
    "--resume", "resumes", multiple=True, metavar="TASK=PAYLOAD",
    help="Answer a task when it suspends: a JSON object, yes or no. Several for one task are used in turn.",
)
store_option = click.option(
    "--store", envvar="AETHER_STORE", default=DEFAULT_STORE, show_default=True, metavar="URL", type=click.UNPROCESSED,
    help="Where runs are kept: sqlite:PATH, or memory for nowhere. AETHER_STORE sets another default.",
)
looked_up_option = click.option(
    "--store", envvar="AETHER_STORE", default=DEFAULT_STORE, show_default=True, metavar="URL", type=click.UNPROCESSED,
    callback=_check_named_store,
    help="Where templates are looked up that neither the files nor --library have. It is only read, and never made. "
         "AETHER_STORE sets another default.",
)
workspace_option = click.option(
    "--workspace", "workspaces", envvar="AETHER_WORKSPACES", type=click.Path(file_okay=False), metavar="DIR",
    help="Folder below which every attempt gets a workspace of its own; by default .aether/workspaces beside the store. "
         "AETHER_WORKSPACES sets another default.",
)
durability_option = click.option(
    "--durability", type=click.Choice(["full", "normal"]), default=None,
    help="full (the default) survives a loss of power, normal the death of the process; it is faster.",
)
report_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
table_option = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print it."
)
namespace_option = click.option(
    "-n", "--namespace", metavar="NAME", help="The namespace of what is named ('default' unless given)."
)
journal_option = click.option(
    "--output", type=click.Choice(["text", "events"]), default="text", show_default=True,
    help="A line on standard error for each thing that happens, or a JSON line on standard output.",
)
quiet_option = click.option("--watch/--quiet", default=True, help="Tell of everything, or only of what does not go well.")
run_argument = click.argument("run", metavar="RUN")


def usual_store() -> str:
    """The store where no --store is given."""
    return os.environ.get("AETHER_STORE") or DEFAULT_STORE


def driving_options(command: _Command) -> _Command:
    """The options of every command that may drive a run in the foreground."""
    own = (durability_option, store_option, workspace_option, concurrency_option, watch_option, output_option, secrets_option)
    for option in own:
        command = option(command)
    return command


def _read_limits(context: click.Context, option: click.Parameter, given: Sequence[str]) -> Limits:
    """`nodes=5000000` and the like, on top of the defaults (DOC-6)."""
    from aether_protocol.documents.source import DEFAULT, Limits

    names = list(Limits.__struct_fields__)
    limits = DEFAULT
    for text in given:
        name, _, number = text.partition("=")
        if name not in names or not number.isdecimal() or not 0 < int(number) < 1 << 40:
            raise click.BadParameter(f"{text!r} is not one of {', '.join(f'{known}=N' for known in names)}")
        limits = replace(limits, **{name: int(number)})
    return limits


limits_option = click.option(
    "--limit", "limits", multiple=True, metavar="NAME=N", callback=_read_limits,
    help="What a document may have at most: bytes (of a file), nodes, nesting.",
)
