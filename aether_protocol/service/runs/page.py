"""What the page of a run (`views.html`) is made of, gathered from a store or a server.

Law: only what every client can be asked for. What cannot be read, of a run that is damaged or whose tier keeps no events, is
noted and left out; the rest is given. Of a log the last lines are kept, and the others counted: what is held is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

from aether_protocol.errors import AetherError
from aether_protocol.ports.store.logs import NOTE
from aether_protocol.service.runs.plans import picture_of_run
from aether_protocol.views.html.run_page import PageOfRun
from aether_protocol.views.html.task_list import LogOnPage, choose
from aether_protocol.views.timeline import timelines

if TYPE_CHECKING:
    from aether_protocol.ports.store import LogLine
    from aether_protocol.service.client import Client

LOG_LINES: Final = 200  # of each task
LOG_BYTES: Final = 32_768  # of each task


async def gather_page(client: Client, run: str, made_at: str, *, log_lines: int = LOG_LINES) -> PageOfRun:
    """Gather what is shown of a run. Raises UsageError where there is none of that name.

    Args:
        client: of the store or server.
        run: its id, the beginning of it, or latest.
        made_at: now (RFC 3339).
        log_lines: how many lines of each log are kept; 0: none.
    """
    row = await client.runs.get(run)
    page = PageOfRun(row, made_at)
    if not row.closed:
        page.driven = row.broken is None and await client.runs.driver(row.run_id) is not None

    async def look() -> None:
        found = await client.inspect.overview(row.run_id, lines=0, reasons=0)
        page.parameters = found.parameters
        page.waits = {one.path: f"for a worker: {one.reason}" for one in found.waiting}

    async def report() -> None:
        page.report = await client.runs.report(row.run_id)

    async def draw() -> None:
        if page.report is not None:
            page.picture = picture_of_run(await client.plans.layout(row.digest), page.report)

    async def time() -> None:
        page.times = timelines([record async for record in client.runs.events(row.run_id)])

    async def read_logs() -> None:
        if log_lines and page.report is not None:
            chosen, _ = choose(page.report.tasks)
            names = {task.path for task in chosen} | {hook.hook for hook in page.report.hooks}
            page.logs = await _logs(client, row.run_id, names, log_lines)

    for what, read in (
        ("its tasks", report), ("its parameters", look), ("its graph", draw), ("its times", time), ("its logs", read_logs)
    ):
        await _try(page, what, read)
    return page


async def _try(page: PageOfRun, what: str, read: Callable[[], Awaitable[None]]) -> None:
    try:
        await read()
    except AetherError as error:
        page.faults.append(f"{what}: {error.message}")


async def _logs(client: Client, run_id: str, names: Collection[str], most: int) -> dict[str, LogOnPage]:
    """The last lines of the log of each of these tasks."""
    found: dict[str, _Kept] = {}
    async for piece in client.runs.logs(run_id):
        if piece.path in names:
            found.setdefault(piece.path, _Kept(most)).take(piece)
    return {name: kept.shown() for name, kept in found.items()}


class _Kept:
    """The last lines of one log."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: deque[tuple[int, str, str]] = deque()
        self._size = 0
        self._left_out = 0
        self._partial: dict[tuple[int, str], str] = {}  # of lines that have not ended

    def take(self, piece: LogLine) -> None:
        """Add what a task wrote."""
        key = piece.attempt, piece.stream
        for earlier in [one for one in self._partial if one[0] < piece.attempt]:  # nothing more comes of that attempt
            self._add(*earlier, self._partial.pop(earlier))
        *lines, rest = (self._partial.pop(key, "") + piece.text).split("\n")
        for line in lines:
            self._add(*key, line)
        if rest:
            self._partial[key] = rest[-LOG_BYTES:]

    def shown(self) -> LogOnPage:
        """Give it; what is not a whole line is one now."""
        for (attempt, stream), rest in self._partial.items():
            self._add(attempt, stream, rest)
        self._partial.clear()
        return LogOnPage(list(self._lines), self._left_out)

    def _add(self, attempt: int, stream: str, line: str) -> None:
        line = f"({line.strip()})" if stream == NOTE else line[-LOG_BYTES:]
        self._lines.append((attempt, stream, line))
        self._size += len(line)
        while len(self._lines) > self._most or (self._size > LOG_BYTES and len(self._lines) > 1):
            self._size -= len(self._lines.popleft()[2])
            self._left_out += 1
