"""`aether retry RUN`: run again what did not succeed (CTRL-4)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct, to_builtins

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.arguments import read_answers
from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.commands.runs.bulk import BulkRequest, WhereOption, check_meant, do_all, read_where
from aether_protocol.cli.drive import Driving, drive
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import AnswersOption, DrivingOptions, ReasonOption, RunOrSeveral
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether retry latest
  aether retry nightly --from main.load   (that task and all downstream of it)
  aether retry nightly --dry-run          (what is kept, and what runs again)
  aether retry --where name=nightly,phase=Failed,since=1d --dry-run

The new run is called RUN.2, RUN.3 and so on; 'aether diff' compares the two. Exit codes: as those of 'aether run'."""


class RetryOptions(Struct, frozen=True, kw_only=True):
    run: RunOrSeveral = None
    where: WhereOption = None
    only_lists: Annotated[
        bool,
        option("--dry-run", is_flag=True,
               help="Say what would be kept and what would run again; with --where list the runs. Nothing is changed."),
    ] = False
    start: Annotated[
        str | None,
        option("--from", metavar="TASK", help="Run this task again, and all that depends on it, even if it succeeded."),
    ] = None
    reason: ReasonOption = ""
    answers: AnswersOption = ()
    driving: DrivingOptions


@command_with(RetryOptions, "retry", epilog=EPILOG)
def command(options: RetryOptions) -> int:
    """Run again what did not succeed of a run, as a new run; what succeeded is reused with its outputs.

    Document and parameters are those of the run before; secrets are read anew. RUN is a run's id, the beginning of it, or
    latest. With --where those that Failed, or ended in Error or Timeout, are meant unless it names a phase, and that were not
    retried yet; on a server their retries are begun, and not waited for.
    """
    check_meant(options.run, options.where)
    if options.where is None and options.only_lists:
        return preview(options, options.run or "")
    if options.where is None:
        return retry_one(options, options.run or "")

    async def there(client: Client, run_id: str) -> str:
        return await client.control.retry(run_id, options.start, reason=options.reason)

    return do_all(
        BulkRequest(
            read_where(options.where, closed=True, phases=("Failed", "Error", "Timeout")), options.driving.store,
            options.only_lists, options.driving.output, here=lambda run_id: retry_one(options, run_id), there=there,
        )
    )


def preview(options: RetryOptions, run: str) -> int:
    """Print what a retry of a run would keep, and what would run again."""
    from aether_protocol.cli.render.history import show_retry
    from aether_protocol.cli.stored import ask

    found = ask(options.driving.store, lambda client: client.extracts.retry_preview(run, options.start))
    if options.driving.output == "json":
        click.echo(json.dumps(to_builtins(found), indent=2, ensure_ascii=False))
    else:
        show_retry(found)
    messages.note("nothing was changed")
    return FINE


def retry_one(options: RetryOptions, run: str) -> int:
    """Retry a run of a store or a server, and see it to its end."""

    async def retry(client: Client) -> str:
        row = await client.runs.get(run)
        if not row.closed:
            hint = f"'aether resume {row.run_id}' continues it, 'aether cancel {row.run_id}' ends it"
            raise UsageError(f"run {row.run_id!r} has not ended: it is {row.phase}", hint=hint)
        caller = os.environ.get("TRACEPARENT")
        new_id = await client.control.retry(row.run_id, options.start, reason=options.reason, trace_context=caller)
        messages.note(f"retrying run {row.run_id} as {new_id}")
        return new_id

    if is_server_url(options.driving.store):
        from aether_protocol.cli.commands.runs.there import begin_there
        from aether_protocol.cli.watch import WatchedRun

        async def retry_there(client: Client) -> WatchedRun:
            return WatchedRun(await retry(client))

        return begin_there(options.driving, retry_there)
    return drive(Driving.by(options.driving, read_answers(options.answers)), lambda engine, client: retry(client))
