"""Logs of a run, read from a store: from a line on, the last lines, only what matches, and what comes.

Law: nothing is skipped and nothing comes twice: each piece follows the one before by its `seq`. The store is read in pages, so
that a long log holds the event loop up for a few milliseconds at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import UsageError
from aether_protocol.ports.store import LogLine
from aether_protocol.service.local.context import ClientContext

POLL_S: Final = 0.2  # between two looks for more
PAGE: Final = 1_000  # pieces
TAIL_PAGE: Final = 100  # pieces, when reading backwards
_END: Final = 1 << 62


class LogsWanted(Struct, frozen=True):
    """Which pieces are asked for: see `RunReader.logs`."""

    path: str | None
    after: int
    before: int | None
    tail: int | None
    search: str | None
    follow: bool


async def log_batches(context: ClientContext, run: str, wanted: LogsWanted) -> AsyncGenerator[Sequence[LogLine], None]:
    """Give the pieces of a run's logs that are wanted, in the batches in which they are found. Raises UsageError."""
    _check(wanted)
    row = await context.row(run)
    here = context.driven(row.run_id)
    closed, after = row.closed, wanted.after
    if wanted.tail is not None:
        if here is not None:
            await here.save_logs()
        found, newest = await _tail(context, row.run_id, wanted, wanted.tail)
        if found:
            yield found
        after = max(after, newest)
        if not wanted.follow:
            return
    while True:
        if here is not None:
            await here.save_logs()
        lines = await context.store.logs.read(row.run_id, wanted.path, after, PAGE)
        if lines:
            after = lines[-1].seq
            fitting = [line for line in lines if wanted.before is None or line.seq < wanted.before]
            matching = _matching(fitting, wanted.search)
            if matching:
                yield matching
            if len(fitting) < len(lines):
                return
            continue
        if closed or not wanted.follow:
            return
        now = await context.store.runs.row(row.run_id)
        closed = now is None or now.closed  # what was written before it closed is read once more
        if not closed:
            await context.clock.sleep(POLL_S)


def _check(wanted: LogsWanted) -> None:
    if wanted.follow and wanted.before is not None:
        raise UsageError("what comes has no end: `before` and `follow` exclude each other")
    if wanted.tail is not None and wanted.tail < 0:
        raise UsageError(f"tail={wanted.tail} is not a number of lines")


async def _tail(context: ClientContext, run_id: str, wanted: LogsWanted, lines: int) -> tuple[list[LogLine], int]:
    """The last pieces that hold so many lines, and the number of the newest piece that there is."""
    found: list[LogLine] = []
    before = _END if wanted.before is None else wanted.before
    newest = count = 0
    while page := await context.store.logs.read(run_id, wanted.path, wanted.after, TAIL_PAGE, before=before):
        newest = max(newest, page[-1].seq)
        before = page[0].seq
        for piece in reversed(_matching(page, wanted.search)):
            if count >= lines:
                break
            found.append(piece)
            count += max(piece.text.count("\n"), 1)
        if count >= lines:
            break
    return found[::-1], newest


def _matching(pieces: Sequence[LogLine], search: str | None) -> Sequence[LogLine]:
    """What contains the text: each piece with those of its lines that do."""
    if not search:
        return pieces
    found = []
    for piece in pieces:
        if search in piece.text:
            text = "".join(line for line in piece.text.splitlines(keepends=True) if search in line)
            found.append(replace(piece, text=text or piece.text))
    return found
