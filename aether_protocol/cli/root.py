"""The root command and its table of subcommands.

Law: a command's module is imported when that command is asked for and not before, so `aether --help` and `aether
validate` never pay for what they do not use. The one-line help texts therefore stand here.
"""

from __future__ import annotations

import os
from importlib import import_module
from keyword import iskeyword

import click

# What `aether --help` lists, by what one is about to do: name -> its line there. The command is `command` in
# aether_protocol.cli.commands.<name> (`<name>_` where that is a word of Python's own).
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


class ReaderGoneError(Exception):
    """A BrokenPipeError under a name that click does not know: it would exit with 1, which here means that a run Failed."""


class LazyGroup(click.Group):
    """A group that loads a command when it is asked for, and helps with a misspelt one."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            given: object = super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        return given

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"aether_protocol.cli.commands.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else " See 'aether --help'."
            ctx.fail(f"no such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"aether {version('aether-protocol')}")
        ctx.exit()


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version.")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Validate, run, test and draw aether/v1 workflow documents; look at runs and steer them."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
