"""The root command and its table of subcommands.

Law: `aether --help` and `aether validate` never pay for what they do not use: see `cli.lazy_group`.
"""

from __future__ import annotations

import click

from aether_protocol import __version__
from aether_protocol.cli.command import TERMINAL_OPTIONS
from aether_protocol.cli.lazy_group import LazyGroup
from aether_protocol.cli.terminal.color import decided

# What `aether --help` lists, by what one is about to do.
SECTIONS = {
    "Write workflows": {
        "init": ("documents.init", "Make a new workflow project."),
        "validate": ("documents.validate", "Check documents and show all faults at once."),
        "graph": ("documents.graph", "Draw a workflow, or a run."),
        "test": ("documents.test", "Run case files: unit tests for workflows."),
        "explain": ("documents.explain", "Say what a diagnostic code means."),
        "apply": ("documents.apply", "Keep documents in the store, by their names."),
        "library": ("documents.library", "List, show, compare and remove what is kept."),
        "template": ("documents.template", "The same for templates alone."),
        "executors": ("documents.executors", "List what tasks can be made of."),
        "config": ("config", "Show what is configured, and where."),
        "schema": ("documents.schema", "Print the JSON Schema, for editors."),
    },
    "Run them": {
        "run": ("runs.run", "Run a workflow to its end, or continue a run."),
        "resume": ("runs.resume", "Answer a suspended task, or continue a run."),
        "cancel": ("runs.cancel", "Cancel a run."),
        "retry": ("runs.retry", "Run again what did not succeed, reuse the rest."),
        "wait": ("runs.wait", "Wait for the end of a run."),
        "cron": ("schedules", "Run workflows on schedules."),
    },
    "On many machines": {
        "ui": ("server.ui", "Show the runs of this folder in a browser."),
        "serve": ("server.serve", "Keep runs and schedules for others, over HTTP."),
        "token": ("server.token", "Make, list and revoke tokens of a server."),
        "namespace": ("server.namespace", "Declare namespaces, which keep tenants apart."),
        "audit": ("server.audit", "Show what callers of a server changed."),
        "server": ("server.servers", "List the servers that share a store."),
        "worker": ("workers", "Carry out tasks for a server."),
        "worker-check": ("server.worker_check", "Judge a worker in any language."),
    },
    "See what happened": {
        "watch": ("runs.watch", "See a run live, or all that are open."),
        "ls": ("runs.ls", "List runs."),
        "show": ("runs.show", "Show a run: tasks, times, outputs, and why it failed."),
        "status": ("runs.status", "Show a run (as 'show' does)."),
        "workflow": ("runs.workflow", "List runs by type and state (see 'ls')."),
        "logs": ("runs.logs", "Print what tasks wrote."),
        "report": ("runs.report", "Write a run as an HTML page, for mails and CI."),
        "stats": ("runs.stats", "Show how long runs take, and how often they fail."),
        "events": ("runs.events", "Print everything that happened in a run, as JSON lines."),
        "replay": ("runs.replay", "Show a run as it was after any of its steps."),
        "diff": ("runs.diff", "Compare two runs."),
    },
    "Keep the store": {
        "rm": ("store.rm", "Delete runs."),
        "prune": ("store.prune", "Delete runs that ended long ago."),
        "export": ("store.export", "Write a run to a file."),
        "import": ("store.import_", "Import a run from a file."),
        "db": ("store.db", "Check, migrate and compact the store."),
    },
}

EPILOG = """\b
Examples:
  aether init hello && aether run hello/workflow.yaml
  aether validate workflows/
  aether run deploy.yaml -p version=1.4.2 -o json
  aether run nightly.yaml --run-id nightly-2026-01-01
  aether ls --phase Failed && aether show latest

\b
Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 invalid document, 4 error,
5 timeout, 6 cancelled, 7 suspended, 8 busy, 9 something outside failed,
70 internal error, 130 interrupted."""


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and end."""
    if wanted and not ctx.resilient_parsing:
        click.echo(f"aether {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup, package="aether_protocol.cli.commands", sections=SECTIONS, epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[make() for make in TERMINAL_OPTIONS.values()],
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version.")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Validate, run, schedule, test and draw aether/v1 workflow documents; look at runs and steer them."""
    if ctx.color is None:
        ctx.color = decided()
