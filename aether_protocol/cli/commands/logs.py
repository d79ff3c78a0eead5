"""`aether logs RUN [TASK]`: what tasks wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import run_argument, store_option
from aether_protocol.cli.past import POLL_S, find_task, load
from aether_protocol.cli.stored import find_run, look
from aether_protocol.ports.store import LogLine, Store
from aether_protocol.scheduler.timing import rfc3339

EPILOG = """\b
Examples:
  aether logs latest
  aether logs latest main.check                 (a task, or all in a dag or loop)
  aether logs 0195c3f2 check --follow"""


@click.command("logs", epilog=EPILOG)
@run_argument
@click.argument("task", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only what was written there.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Lines of text, or a JSON line for each piece.")
@store_option
def command(run: str, task: str | None, follow: bool, stream: str | None, output: str, store: str) -> int:
    """Print what the tasks of a run wrote, in the order of writing.

    RUN is a run's id, the beginning of it, or latest. TASK is a path (the entrypoint's name may be left out) or a task's
    name; of a dag or loop it is all inside.
    """
    from aether_protocol.cli.render.logs import LogPrinter

    printer = LogPrinter(paths=task is None)
    show = print_json if output == "json" else printer.take
    look(store, lambda opened: pour(opened, run, task, lambda piece: show(piece) if fits(piece, stream) else None, follow))
    printer.end()
    return FINE


def fits(piece: LogLine, stream: str | None) -> bool:
    return stream is None or piece.stream in (stream, "note")


async def pour(store: Store, text: str, task: str | None, show: Callable[[LogLine], None], follow: bool) -> None:
    """Hand all pieces to `show`; with `follow` until the run is closed."""
    row = await find_run(store, text)
    path = find_task(await load(store, row.run_id), task) if task is not None else None
    after, closed = 0, row.closed
    while True:
        pieces = await store.read_logs(row.run_id, path, after)
        for piece in pieces:
            show(piece)
            after = piece.seq
        if pieces:
            continue
        if closed or not follow:
            return
        now = await store.row(row.run_id)
        closed = now is None or now.closed
        if not closed:
            await asyncio.sleep(POLL_S)


def print_json(piece: LogLine) -> None:
    record = {
        "runId": piece.run_id,
        "path": piece.path,
        "attempt": piece.attempt,
        "stream": piece.stream,
        "at": rfc3339(piece.at),
        "text": piece.text,
    }
    click.echo(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
