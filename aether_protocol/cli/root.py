"""The root command and its table of subcommands.

Law: `aether --help` and `aether validate` never pay for what they do not use: see `cli.lazy`.
"""

from __future__ import annotations

import os

import click

from aether_protocol.cli.lazy_group import LazyGroup

# What `aether --help` lists, by what one is about to do.
SECTIONS = {
    "Write workflows": {
        "init": "Make a new workflow project.",
        "validate": "Check documents and show all faults at once.",
        "graph": "Draw a workflow.",
        "test": "Run case files: unit tests for workflows.",
        "explain": "Say what a diagnostic code means.",
        "template": "Keep templates in the store, for many workflows.",
        "executors": "List what tasks can be made of.",
        "schema": "Print the JSON Schema, for editors.",
    },
    "Run them": {
        "run": "Run a workflow to its end, or go on with a run.",
        "resume": "Answer a suspended task, or go on with a run that was left.",
        "cancel": "Cancel a run.",
        "retry": "Run again what did not succeed, and keep the rest.",
        "wait": "Wait for the end of a run.",
        "cron": "Run workflows on schedules.",
    },
    "See what happened": {
        "ls": "List runs.",
        "show": "Show a run: tasks, times, outputs, and why it failed.",
        "logs": "Print what tasks wrote.",
        "events": "Print everything that happened in a run, as JSON lines.",
        "replay": "Show a run as it was after any of its steps.",
        "diff": "Compare two runs.",
    },
    "Keep the store": {
        "rm": "Delete runs.",
        "prune": "Delete runs that ended long ago.",
        "export": "Write a run to a file.",
        "import": "Take in a run from a file.",
        "db": "Check, migrate and compact the store.",
    },
}
COMMANDS = {name: line for section in SECTIONS.values() for name, line in section.items()}

EPILOG = """\b
Examples:
  aether init hello && aether run hello/workflow.yaml
  aether validate workflows/
  aether run deploy.yaml -p version=1.4.2 --output json
  aether run nightly.yaml --run-id nightly-2026-01-01
  aether ls --phase Failed && aether show latest

Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 invalid document, 4 error, 5 timeout, 6 cancelled,
7 suspended, 8 busy, 9 something outside failed, 70 a fault of ours, 130 interrupted."""


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"aether {version('aether-protocol')}")
        ctx.exit()


@click.group(
    cls=LazyGroup, package="aether_protocol.cli.commands", sections=SECTIONS, epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version.")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Validate, run, schedule, test and draw aether/v1 workflow documents; look at runs and steer them."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
