"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aether_protocol.cli.configured import configured, configured_limits, configured_store, flag_alone, take_profile

MEMORY = "memory"

_Command = TypeVar("_Command", bound=Callable[..., Any])



def _check_named_store(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
    """A store that a command only reads is there, if it was named on the command line."""
    url = configured_store(context, option, given)
    if url is not None and given not in (None, MEMORY):
        from aether_protocol.cli.stored import check_there

        check_there(url)
    return url


profile_option = click.option(
    "--profile", is_eager=True, expose_value=False, callback=take_profile, metavar="NAME",
    help="Settings of [profile.NAME] in aether.toml win over the others there. AETHER_PROFILE sets another default.",
)


def _with_profile(option: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """An option that is configured, and `--profile` beside it."""
    return lambda command: profile_option(option(command))


library_option = click.option(
    "--library", "-L", multiple=True, type=click.Path(exists=True), metavar="DIR", callback=configured("library.paths"),
    help="Folder (or file) with WorkflowTemplates to look references up in, before the store; may be given several times.",
)
name_option = click.option(
    "--name", metavar="NAME", help="Which workflow, where the file holds several (its metadata.name)."
)
secrets_option = click.option(
    "--secrets-file", "secrets", type=click.Path(exists=True, dir_okay=False), multiple=True, metavar="FILE",
    callback=configured("secrets.files"),
    help="File with secrets (dotenv, YAML or JSON).",
)
watch_option = click.option(
    "--watch/--quiet", default=True, help="Show progress on standard error (a live view on a terminal), or nothing."
)
concurrency_option = click.option(
    "--concurrency", type=click.IntRange(1), metavar="N", callback=configured("concurrency.attempts"),
    help="At most N tasks at once.",
)
output_option = click.option(
    "--output", type=click.Choice(["text", "json", "events"]), default="text", show_default=True,
    help="What to print on standard output: a summary, the run report, or every event as a JSON line.",
)
answers_option = click.option(
    "--resume", "resumes", multiple=True, metavar="TASK=PAYLOAD",
    help="Answer a task when it suspends: a JSON object, yes or no. Several for one task are used in turn.",
)
store_option = _with_profile(click.option(
    "--store", metavar="URL", type=click.UNPROCESSED, callback=configured_store,
    help="Where runs are kept: sqlite:PATH, or memory for nowhere. By default AETHER_STORE, that of aether.toml, the nearest "
         ".aether/aether.db up to the root of the repository, or a new one here.",
))
looked_up_option = _with_profile(click.option(
    "--store", metavar="URL", type=click.UNPROCESSED, callback=_check_named_store,
    help="Where templates are looked up that neither the files nor --library have; by default the store that 'aether run' "
         "would use. It is only read, and never made.",
))
workspace_option = click.option(
    "--workspace", "workspaces", type=click.Path(file_okay=False), metavar="DIR", callback=configured("workspaces.path"),
    help="Folder below which every attempt gets a workspace of its own; by default .aether/workspaces beside the store. "
         "AETHER_WORKSPACES sets another default.",
)
durability_option = click.option(
    "--durability", type=click.Choice(["full", "normal"]), callback=flag_alone("store.durability"),
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


def driving_options(command: _Command) -> _Command:
    """The options of every command that may drive a run in the foreground."""
    own = (durability_option, store_option, workspace_option, concurrency_option, watch_option, output_option, secrets_option)
    for option in own:
        command = option(command)
    return command


limits_option = click.option(
    "--limit", "limits", multiple=True, metavar="NAME=N", callback=configured_limits,
    help="What a document may have at most: bytes (of a file), nodes, nesting.",
)
