"""`aether logs RUN [TASK]`: what tasks wrote."""

from __future__ import annotations

import json
import re
from collections import deque
from contextlib import nullcontext
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Instant
from aether_protocol.cli.options import RunArgument, StoreOption, ToOption
from aether_protocol.cli.stored import ask, told_when_left
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import stop_when_lost
from aether_protocol.cli.value_types import Number, OneOf, Pattern
from aether_protocol.ports.store import LogLine
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether logs latest
  aether logs latest main.check         (a task, or all in a dag or loop)
  aether logs 0195c3f2 check --follow
  aether logs latest --grep 'error|warn' --tail 20 --timestamps
  aether logs latest load --attempt 2"""


class LogsOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    task: Annotated[str | None, argument("[TASK]", required=False)] = None
    follow: Annotated[bool, option("-f", "--follow", is_flag=True, help="Continue until the run has ended.")] = False
    stream: Annotated[
        str | None, option("--stream", type=OneOf(["stdout", "stderr"]), help="Only what was written there.")
    ] = None
    attempt: Annotated[
        int | None, option("--attempt", type=Number(1), metavar="N", help="Only what attempt N of each task wrote.")
    ] = None
    grep: Annotated[
        re.Pattern[str] | None,
        option("--grep", type=Pattern(), metavar="REGEX", help="Only lines in which this regular expression is found."),
    ] = None
    since: Annotated[
        int | None,
        option("--since", type=Instant(), metavar="TIME",
               help="Only what was written since then: 10m (ago), 2026-01-01, RFC 3339."),
    ] = None
    until: Annotated[
        int | None, option("--until", type=Instant(), metavar="TIME", help="Only what was written before then.")
    ] = None
    tail: Annotated[
        int | None,
        option("--tail", type=Number(0), metavar="N",
               help="Only the last N of these lines; with --follow the last N there are, and what comes."),
    ] = None
    times: Annotated[
        bool,
        option("--times", "--timestamps", is_flag=True, help="Begin each line with the time at which it was written."),
    ] = False
    output: Annotated[
        str, output_option("text", "json", help="Lines of text, or a JSON line for each piece.")
    ] = "text"
    to: ToOption = None
    store: StoreOption

    def __contains__(self, piece: LogLine) -> bool:
        return (
            (self.stream is None or piece.stream in (self.stream, "note"))
            and (self.attempt is None or piece.attempt == self.attempt)
            and (self.since is None or piece.at >= self.since)
            and (self.until is None or piece.at < self.until)
        )

    @property
    def asked_tail(self) -> int | None:
        """How many of the last lines are asked for, where no filter chooses among them first."""
        filtered = (self.stream, self.attempt, self.grep, self.since, self.until) != (None,) * 5
        return self.tail if self.follow or not filtered else None


@command_with(LogsOptions, "logs", epilog=EPILOG)
def command(options: LogsOptions) -> int:
    """Print what the tasks of a run wrote, in the order of writing.

    RUN is a run's id, the beginning of it, or latest. TASK is a path (the entrypoint's name may be left out), a task's name,
    or a hook (workflow:onExit); of a dag or loop it is all inside. A later attempt's lines are marked with its number (#2).
    """
    stop_when_lost()
    ask(options.store, lambda client: show(client, options))
    return FINE


async def show(client: Client, options: LogsOptions) -> None:
    """Print what was written; with `follow` until the run is closed."""
    from aether_protocol.cli.render.logs import LogPrinter

    runs = client.runs
    row = await runs.get(options.run)
    place = await client.inspect.log_place(row.run_id, options.task) if options.task is not None else None
    path = None if place is None else place.path
    printer = LogPrinter(paths=place is None or place.several, times=options.times, only=options.grep)
    if options.tail is not None and not options.follow:
        printer.keep(options.tail)
    count = 0
    async with told_when_left(runs, row.run_id) if options.follow else nullcontext():
        pieces: deque[LogLine] = deque(maxlen=None if options.follow else options.tail)  # as JSON
        async for piece in runs.logs(row.run_id, path, tail=options.asked_tail, follow=options.follow):
            if piece not in options:
                continue
            count += 1
            if options.output == "text":
                printer.take(piece)
            elif options.grep is None or options.grep.search(piece.text):
                pieces.append(piece)
                while pieces and (options.follow or options.tail is None):
                    print_json(pieces.popleft())
        for piece in pieces:
            print_json(piece)
    printer.end()
    if not count:
        reused = f"; what was reused of {row.retry_of} has its logs there" if row.retry_of is not None else ""
        messages.note(f"nothing was written{reused}")


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
