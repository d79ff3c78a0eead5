"""A run of a server, seen from here to its end: its progress, its events, and the answers of the person at the terminal.

Law: the server drives; here is only asked and shown. What is seen is what a run of this process shows: the event feed makes a
mirror of the run, and lines of the logs come between by their time. Nothing is shown twice when the server was away meanwhile.
The first Ctrl-C leaves the run to the server, the second one does not even wait for the connections to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from msgspec import Struct

from aether_protocol.cli.process import leave
from aether_protocol.cli.render.views import View
from aether_protocol.cli.stored import told_when_left
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.questions import Question
from aether_protocol.errors import AetherError, PortError
from aether_protocol.expressions.values import Json
from aether_protocol.views.run_mirror import MirrorRun, MirrorScope, instant_of

if TYPE_CHECKING:
    from aether_protocol.ports.store import LogLine, RunSummary
    from aether_protocol.service.client import Client
    from aether_protocol.views.event_feed import EventRecord
    from aether_protocol.views.forecast import Forecast
    from aether_protocol.views.report import Report

REFRESH_S: Final = 0.25
HELD_S: Final = 0.5  # how long an event waits for lines of the logs that were written before it
LOOKED_INTO: Final = 500  # task runs, up to which it is shown what has not begun
LOOK_S: Final = 1.0  # between two looks at that
UNKNOWN_S: Final = 3.0  # how long a line waits for the task that wrote it

_Answer = TypeVar("_Answer")


class WatchedRun(Struct, frozen=True):
    """Which run is to be seen; `is_new`: from its start."""

    run_id: str
    is_new: bool = True


class LeftError(Exception):
    """Ctrl-C: the person leaves."""


class RunWatch:
    """See one run.

    Args:
        view: shows it.
        asks: a person is at the terminal, who answers.
        streams: events are printed as they come.
        stays: also while it waits for an answer that does not come from here.
        forecast: filled in, where the view shows it.
    """

    def __init__(
        self, view: View, *, asks: bool, streams: bool, stays: bool = False, forecast: Forecast | None = None
    ) -> None:
        self.view = view
        self.asks = asks
        self.streams = streams
        self.stays = stays
        self.forecast = forecast
        self.run_id = ""
        self.signals = 0
        self.attention = asyncio.Event()
        self.shows = False
        self.left: Sequence[str] = ()  # the paths of tasks that wait for an answer, where nothing else is waited for

    def note(self, text: str) -> None:
        """Say something about the run as a whole, or the server."""
        self.view.note(text) if self.shows else messages.note(text)

    def interrupted(self) -> None:
        """SIGINT, SIGTERM or SIGHUP came."""
        self.signals += 1
        if self.signals > 1:
            leave()
        self.attention.set()

    async def unless_left(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Give what `work` gives. Raises LeftError at an interrupt."""
        doing = asyncio.ensure_future(work)
        try:
            while not doing.done():
                if self.signals:
                    raise LeftError
                self.attention.clear()
                looking = asyncio.ensure_future(self.attention.wait())
                await asyncio.wait({doing, looking}, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
            return doing.result()
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing})

    async def see(self, client: Client, run: WatchedRun) -> Report:
        """See a run until it has ended, or waits for an answer that does not come from here."""
        self.run_id = run.run_id
        row = await self.unless_left(client.runs.get(run.run_id))
        if row.closed and not run.is_new:
            if self.streams:
                await self._print(client, row)
            return await self.unless_left(client.runs.report(run.run_id))
        progress = _Progress(self.view, row, known=0 if run.is_new else row.seq)
        events = client.runs.events(run.run_id, follow=True).batches()
        lines = client.runs.logs(run.run_id, tail=None if run.is_new else 0, follow=True).batches()
        tasks = [
            asyncio.create_task(self._follow(events, lambda batch: self._happened(progress, batch))),
            asyncio.create_task(self._follow(lines, progress.wrote)),
        ]
        ticking = asyncio.create_task(self._tick(progress))
        if self.forecast is not None:
            tasks.append(asyncio.create_task(self._look_ahead(client, row, progress, self.forecast)))
        self.view.begin()
        self.shows = True
        try:
            async with told_when_left(client.runs, run.run_id, self.note):
                report = await self._until_over(client)
            if report.phase != "Suspended":
                await self.unless_left(_all(tasks[:2]))
            progress.show_all()
            return report
        finally:
            for task in (*tasks, ticking):
                task.cancel()
            await asyncio.gather(*tasks, ticking, return_exceptions=True)
            self.shows = False
            self.view.end()

    async def _until_over(self, client: Client) -> Report:
        """Wait for the end, and for answers meanwhile."""
        while True:
            report = await self.unless_left(client.runs.wait(self.run_id, or_suspended=not self.stays))
            if report.phase != "Suspended":
                return report
            waiting = await self.unless_left(client.runs.suspended(self.run_id))
            if waiting and (not self.asks or not await self._ask(client, waiting[0])):
                self.left = waiting
                return report
            if not waiting:
                await self.unless_left(asyncio.sleep(REFRESH_S))

    async def _look_ahead(self, client: Client, row: RunSummary, progress: _Progress, forecast: Forecast) -> None:
        """Find out what is to be expected, and now and then what has not begun."""
        from aether_protocol.service.runs.estimates import learn_from_earlier

        await learn_from_earlier(client.runs, row, forecast)
        seen = -1
        while True:
            scopes = progress.scopes
            if scopes != seen and progress.size <= LOOKED_INTO:
                seen = scopes
                with contextlib.suppress(AetherError):
                    progress.expect((await client.inspect.overview(row.run_id, lines=LOOKED_INTO, reasons=0)).report["notRun"])
            await asyncio.sleep(LOOK_S)

    async def _ask(self, client: Client, path: str) -> bool:
        """Ask for one answer; False where the person leaves the task suspended."""
        asked = next((task for task in (await client.runs.report(self.run_id)).tasks if task.path == path), None)

        async def answer(payload: dict[str, Json]) -> None:
            await client.control.resume(self.run_id, path, payload)

        async def look() -> None:  # another person may answer, or the task may time out
            while True:
                if path not in await client.runs.suspended(self.run_id):
                    waits.clear()
                    self.attention.set()
                    return
                await asyncio.sleep(1.0)

        waits = [path]
        looking = asyncio.create_task(look())
        try:
            with self.view.paused():
                message = "" if asked is None else asked.message
                answered = await Question(path, message, lambda: bool(waits) and not self.signals, answer).ask(self.attention)
        finally:
            looking.cancel()
        if self.signals:
            raise LeftError
        return answered

    async def _follow(
        self, batches: AsyncGenerator[Sequence[Any], None], take: Callable[[Any], Awaitable[None] | None]
    ) -> None:
        """Take what a feed gives. What ends it early is reported; the run is waited for all the same."""
        try:
            async with contextlib.aclosing(batches):
                async for batch in batches:
                    done = take(batch)
                    if done is not None:
                        await done
        except PortError as error:
            self.note(f"the progress of the run is not shown any more: {error.message}")

    async def _happened(self, progress: _Progress, batch: Sequence[EventRecord]) -> None:
        progress.happened(batch)
        if self.streams:
            from aether_protocol.cli.render.events import print_event

            for record in batch:
                await print_event(record)

    async def _print(self, client: Client, row: RunSummary) -> None:
        from aether_protocol.cli.render.events import print_events

        await self.unless_left(print_events(client.runs.events(row.run_id)))

    async def _tick(self, progress: _Progress) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            progress.show_ripe()
            self.view.tick()


class _Held(NamedTuple):
    """What is shown later, in the order of `at`; it came at `since`."""

    at: int
    number: int
    since: float
    what: Sequence[EventRecord] | LogLine


class _Progress:
    """What came and was not shown yet, in the order in which it happened.

    Args:
        view: shows it.
        row: of the run, before.
        known: the step up to which the run is shown as it was, all at once.
    """

    def __init__(self, view: View, row: RunSummary, *, known: int) -> None:
        self._view = view
        self._mirror = MirrorRun(row)
        self._known = known
        self._held: list[_Held] = []  # a heap
        self._count = 0

    @property
    def scopes(self) -> int:
        """How many dags and loops are known."""
        return sum(isinstance(node, MirrorScope) for node in self._mirror.nodes)

    @property
    def size(self) -> int:
        """How many task runs are known."""
        return len(self._mirror.nodes)

    def expect(self, paths: Sequence[str]) -> None:
        """Learn what has not begun."""
        self._mirror.expect(paths)

    def happened(self, batch: Sequence[EventRecord]) -> None:
        """Take a step."""
        if batch[0]["seq"] > self._known:
            self._hold(instant_of(batch[0]), batch)
            return
        self._mirror.take(batch)
        if batch[0]["seq"] == self._known:
            self._view.resume(self._mirror)

    def wrote(self, lines: Sequence[LogLine]) -> None:
        """Take what tasks wrote."""
        for line in lines:
            self._hold(line.at, line)

    def show_ripe(self) -> None:
        """Show what has waited for what may still come before it."""
        now = time.monotonic()
        early = []
        while self._held and now - self._held[0].since >= HELD_S:
            held = heapq.heappop(self._held)
            if not self._show(held, in_vain=now - held.since >= UNKNOWN_S):
                early.append(held)
        for held in early:
            heapq.heappush(self._held, held)

    def show_all(self) -> None:
        """Nothing more comes."""
        while self._held:
            self._show(heapq.heappop(self._held), in_vain=True)

    def _hold(self, at: int, what: Sequence[EventRecord] | LogLine) -> None:
        self._count += 1
        heapq.heappush(self._held, _Held(at, self._count, time.monotonic(), what))

    def _show(self, held: _Held, *, in_vain: bool) -> bool:
        """Show a step or a line; False for a line whose task is not known yet, unless it was waited for in vain."""
        if isinstance(held.what, Sequence):
            step = self._mirror.take(held.what)
            self._view.step(self._mirror, step)
            return True
        line = held.what
        node = self._mirror.writer(line.node, line.path)
        if node is not None or in_vain:
            self._view.log(node, line.stream, line.text)
        return node is not None or in_vain


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)
