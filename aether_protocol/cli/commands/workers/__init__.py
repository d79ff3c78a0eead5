"""`aether worker`: carry out tasks for a server; and look at the workers of one.

Law: without a subcommand it is the worker itself, in the foreground. A subcommand is a module of this package, loaded when it
is asked for.
"""

from __future__ import annotations

from typing import Any

import click

from aether_protocol.cli.command import build, parameters_of, quiet_option
from aether_protocol.cli.lazy_group import LazyGroup
from aether_protocol.cli.working import WorkerOptions, work

SECTIONS = {
    "Look after workers": {
        "ls": ("ls", "List the workers of all servers of a store."),
        "drain": ("drain", "Give a worker no more work."),
    },
}

EPILOG = """\b
Examples:
  aether worker --server https://aether.example.com
  aether worker --slots 8 --slots gpu=2 --label zone=a
  aether worker ls

The token comes from AETHER_TOKEN or --token, and is never shown. Several servers of one store (--server URL1,URL2) are tried
in turn; a worker also turns to those that its server names. Texts of secrets are sent to it, so a server on another machine
has to speak https.

On SIGTERM, SIGINT and SIGHUP it takes no more work; tasks that run get --grace seconds to end, and what has not ended goes
back to the server, which gives it to another worker. A second signal gives it back at once.

\b
Exit codes: 0 it was drained, 2 the server refuses it (a token, a version)."""


class WorkerGroup(LazyGroup):
    """The worker itself where no subcommand is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return click.Group.parse_args(self, ctx, args)


def _work(**values: Any) -> int:
    """Carry out tasks for a server, until a signal comes."""
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        return 0
    return work(build(WorkerOptions, values))


command = WorkerGroup(
    "worker",
    package="aether_protocol.cli.commands.workers",
    sections=SECTIONS,
    callback=click.pass_context(lambda _, **values: _work(**values)),
    params=[*parameters_of(WorkerOptions), quiet_option()],
    invoke_without_command=True,
    help=_work.__doc__,
    epilog=EPILOG,
)
