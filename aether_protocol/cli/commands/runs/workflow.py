"""`aether workflow`: words of prior systems, which speak of workflows where this one speaks of runs."""

from __future__ import annotations

from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.commands.runs.ls import ListOptions, list_runs
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import NamespaceFilter, PageCursor, PageSize, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.value_types import OneOf
from aether_protocol.views.workflow_states import STATES

EPILOG = """\b
Examples:
  aether workflow list --state FAILED
  aether workflow list --type nightly --state RUNNING -o json

\b
States: PENDING is Created and Ready; RUNNING is Running and Suspended;
COMPLETED is Succeeded and Skipped; FAILED is Failed, Error and Timeout."""


@click.group("workflow", cls=CommandGroup)
def command() -> None:
    """Words of prior systems: list runs by type and state."""


class WorkflowListOptions(Struct, frozen=True, kw_only=True):
    type: Annotated[str | None, option("--type", metavar="NAME", help="Only runs of the workflow with this name.")] = None
    states: Annotated[
        tuple[str, ...],
        option("--state", multiple=True, type=OneOf(list(STATES)), metavar="STATE",
               help="Only runs in this state: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED. Several are allowed."),
    ] = ()
    namespace: NamespaceFilter = None
    limit: PageSize = 50
    page: PageCursor = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(WorkflowListOptions, "list", epilog=EPILOG)
def list_(options: WorkflowListOptions) -> int:
    """List runs, newest first, as 'aether ls' does."""
    return list_runs(
        ListOptions(
            phases=tuple(phase for state in options.states for phase in STATES[state]),
            name=options.type,
            namespace=options.namespace,
            limit=options.limit,
            page=options.page,
            output=options.output,
            store=options.store,
        )
    )


command.add_command(list_)
