"""Commands that drive runs of schedules in this process: signals, the journal, and the exit code.

Law: the first interrupt lets nothing more be started, the second ends the process at once; runs are left as they are in
the store, and the next process recovers them. What dead processes of this machine held is released first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from aether_protocol.cli.configured import configuration, debugs
from aether_protocol.cli.exits import INTERRUPTED, PHASE_EXITS, worst
from aether_protocol.cli.options import HostingOptions
from aether_protocol.cli.process import freeze, leave, log_to, release_leftovers
from aether_protocol.cli.render.journal import Journal, JournalHandler, entries_left_out, entry_of
from aether_protocol.cli.stored import open_at
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.messages import is_quiet
from aether_protocol.cli.terminal.streams import apart
from aether_protocol.errors import AetherError
from aether_protocol.ports.store import Store
from aether_protocol.service.run_host import FireReported, HostContext, HostEvent, HostOptions, open_host

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine

CLOSE_S: Final = 3.0  # how long executors may take to stop once the process is asked to leave


class Hosting(HostingOptions, frozen=True, kw_only=True):
    """How a command hosts runs and reports them. `serves`: see `HostOptions`. `left_code`: the exit code after an interrupt.
    `more` is what `aether resume` needs to find the runs."""

    concurrency: int | None = None
    passivate_after_s: float | None = None
    serves: bool = False
    left_code: int = INTERRUPTED
    more: str = ""

    @property
    def options(self) -> HostOptions:
        """What the host itself is given."""
        return HostOptions(
            serves=self.serves,
            workspaces=self.workspaces,
            concurrency=self.concurrency,
            secrets=self.secrets,
            configuration=configuration(),
            passivate_after_s=self.passivate_after_s,
        )


Body = Callable[[HostContext, Journal], Awaitable[int]]


def worst_of(outcomes: Iterable[str | AetherError]) -> int:
    """Give the exit code that says most about several runs and failures."""
    return worst(one.exit_code if isinstance(one, AetherError) else PHASE_EXITS[one] for one in outcomes)


def host(hosting: Hosting, body: Body) -> int:
    """Open the store and a host of runs, and let `body` use them; the exit code, which is `left_code` after an interrupt."""
    store = open_at(hosting.store, hosting.durability)
    freeze()
    with apart(entries_left_out if hosting.output == "events" else None):
        return asyncio.run(_host(hosting, store, body))


async def _host(hosting: Hosting, store: Store, body: Body) -> int:
    from aether_protocol.cli.terminal.prompt import interrupts
    from aether_protocol.engine.clock import WallClock

    clock = WallClock()
    metrics = None
    if hosting.metrics_file is not None:
        from aether_protocol.service.file_metrics import FileMetrics

        metrics = FileMetrics(hosting.metrics_file, messages.warn)
        store = metrics.measured(store)
    leaving = asyncio.Event()
    journal = Journal(clock.now, as_events=hosting.output == "events", quiet=is_quiet())
    _log_to(JournalHandler(clock.now))

    def interrupted() -> None:
        if leaving.is_set():
            leave(hosting.left_code)
        leaving.set()

    def report(event: HostEvent) -> None:
        if metrics is not None and isinstance(event, FireReported):
            metrics.fired(event.record)
        journal.tell(entry_of(event, hosting.more))

    with interrupts(interrupted):
        at = await open_host(store, clock, hosting.options, report, leaving)
        if metrics is not None:
            metrics.watch(at.engine)
        if not hosting.serves:  # what stays for days is not part of the trace that it was started in
            at.engine.caller_context = os.environ.get("TRACEPARENT")
        try:
            await release_leftovers(store)
            code = await body(at, journal)
        finally:
            at.runs.close()
            if metrics is not None:
                metrics.write()
            await _close(at.engine, leaving, hosting.left_code)
        return hosting.left_code if leaving.is_set() else code


async def _close(engine: Engine, leaving: asyncio.Event, left_code: int) -> None:
    """Stop executors. Those that do not stop cannot delay a process that is asked to leave."""
    closing = asyncio.ensure_future(engine.close())
    waiting = asyncio.ensure_future(leaving.wait())
    await asyncio.wait({closing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not closing.done():
        await asyncio.wait({closing}, timeout=CLOSE_S)
    if not closing.done():
        leave(left_code)
    await closing


def _log_to(handler: logging.Handler) -> None:
    if not debugs():
        log_to(handler)
