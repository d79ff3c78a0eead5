"""One run from submission to its end, with the person at the terminal: answers, Ctrl-C, the view.

Law: the engine is only asked, through its API; what is decided here is when to ask. The first Ctrl-C cancels the run and
waits for its end, or (`keeps`) leaves it as it is; the second one gives up on executors that do not stop, the third one
leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import click
from msgspec import Struct, field

from aether_protocol.cli.exits import INTERRUPTED, PHASE_EXITS
from aether_protocol.cli.process import leave
from aether_protocol.cli.render.views import View, is_leaf
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.logs import LogRecord
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.logs import NOTE
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import NodeEnded, TaskSuspended
from aether_protocol.scheduler.nodes import Node
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.local import client_of
from aether_protocol.views.report import Report, make_report

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.views.event_feed import EventRecord
    from aether_protocol.views.forecast import Forecast

REFRESH_S = 0.25
GIVE_UP_S = 3.0  # how long the second Ctrl-C still waits for executors to stop

_Begun = TypeVar("_Begun")


class SessionResult(Struct):
    """How it ended. `left` are the paths of suspended tasks without an answer."""

    report: Report
    interrupted: bool
    left: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.interrupted else PHASE_EXITS[str(self.report.phase)]


class Session:
    """Drives one run. `answers` are those of `--resume`, by task; `asks`: a person is at the terminal; `keeps`: the
    run is left, not cancelled, when it is interrupted; `forecast` is filled in, where the view shows it."""

    def __init__(
        self,
        view: View,
        answers: Mapping[str, list[dict[str, Json]]],
        *,
        asks: bool,
        streams: bool,
        keeps: bool = False,
        forecast: Forecast | None = None,
    ) -> None:
        self.view = view
        self.answers = {task: list(payloads) for task, payloads in answers.items()}
        self.asks = asks
        self.streams = streams
        self.keeps = keeps
        self.forecast = forecast
        self.run_id = ""
        self.signals = 0
        self.client: Client | None = None  # once there is a run to cancel; its control is loaded where it is needed
        self.state: RunState | None = None
        self.first_seq = 0  # of the first step seen
        self.suspended: dict[int, Node] = {}
        self.attention = asyncio.Event()  # something suspended, ended or was interrupted: look again
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self, engine: RunEngine, run_id: str, act: Callable[[], Awaitable[None]] | None = None) -> SessionResult:
        """See a run that has begun to its end; `act` is carried out once the run is watched, and what it raises ends this."""
        self.run_id = run_id
        self._look_at(engine.driven.state(run_id))
        events = engine.driven.events(run_id) if self.streams else None
        stream = asyncio.create_task(self._print_events(events)) if events is not None else None
        ended = asyncio.create_task(engine.driven.join(run_id))
        ended.add_done_callback(lambda _: self.attention.set())
        self.client = client = client_of(engine)
        if self.signals and not self.keeps:  # just now
            self.tasks.append(asyncio.create_task(self._cancel(client)))
        self.view.begin()
        self.tasks.append(asyncio.create_task(self._tick()))
        if self.forecast is not None:
            self.tasks.append(asyncio.create_task(self._look_back(client, self.forecast)))
        try:
            if act is not None:
                await act()
            left = await self._see_through(client, ended)
            if events is not None and stream is not None:
                events.finish()
                await stream
        finally:
            for task in (*self.tasks, ended, *((stream,) if stream else ())):
                task.cancel()
            self.view.end()
        return SessionResult(make_report(engine.driven.state(run_id)), self.signals > 0, left)

    async def begin(self, engine: RunEngine, begin: Callable[[], Awaitable[_Begun]]) -> _Begun:
        """Watch the engine, then give what `begin` gives. It may wait (for a lock): an interrupt ends that."""
        engine.observers.append(self._stored)
        engine.log_observers.append(self._logged)
        beginning = asyncio.ensure_future(begin())
        while not beginning.done():
            self.attention.clear()
            looking = asyncio.ensure_future(self.attention.wait())
            await asyncio.wait({beginning, looking}, return_when=asyncio.FIRST_COMPLETED)
            looking.cancel()
            if self.signals and not beginning.done():
                beginning.cancel()
                await asyncio.wait({beginning})
                raise click.Abort
        return beginning.result()

    async def _print_events(self, events: AsyncIterator[EventRecord]) -> None:
        from aether_protocol.cli.render.events import print_events

        await print_events(events)

    def _look_at(self, state: RunState) -> None:
        """The run as it is to begin with."""
        self.state = state
        if not self.first_seq and state.seq:
            self._going_on(state)

    def _going_on(self, state: RunState) -> None:
        """Show what a resumed run did before."""
        self.view.resume(state)
        self.suspended |= {node.id: node for node in state.nodes if node.phase == "Suspended" and is_leaf(node)}

    async def close(self, engine: RunEngine) -> None:
        """Close the engine; after a second Ctrl-C no longer than GIVE_UP_S."""
        closing = asyncio.ensure_future(engine.close())
        while not closing.done():
            waits = GIVE_UP_S if self.signals > 1 else None
            self.attention.clear()
            looking = asyncio.ensure_future(self.attention.wait())
            done, _ = await asyncio.wait({closing, looking}, timeout=waits, return_when=asyncio.FIRST_COMPLETED)
            looking.cancel()
            if not done:
                leave()
        await closing
        if self.signals > 1:
            leave()  # a thread that does not stop would still hold the process

    # --- what the engine reports ---

    def _stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        """A step of the run has happened."""
        if not self.first_seq and step.seq > 1 and self.state is None:
            self._going_on(state)
        self.state = state
        self.first_seq = self.first_seq or step.seq
        self.view.step(state, step)
        for fact in step.facts:
            if isinstance(fact, TaskSuspended):
                self.suspended[fact.node] = state.nodes[fact.node]
                self.attention.set()
            elif isinstance(fact, NodeEnded):
                self.suspended.pop(fact.node, None)
                self.attention.set()

    def _logged(self, record: LogRecord) -> None:
        """A task wrote something. Notes of a run that is taken up come before its state: how far it is says more."""
        if self.state is None and record.stream == NOTE:
            return
        node = self.state.nodes[record.node] if self.state is not None else None
        self.view.log(node, record.stream, record.text)

    def interrupted(self) -> None:
        """SIGINT, SIGTERM or SIGHUP came."""
        self.signals += 1
        if self.signals == 1:
            doing = "leaving" if self.keeps else "cancelling"
            self.view.note(f"{doing} the run (Ctrl-C again: do not wait for tasks to stop)")
            if self.client is not None and not self.keeps:
                self.tasks.append(asyncio.create_task(self._cancel(self.client)))
        elif self.signals > 2:
            leave()
        self.attention.set()

    async def _cancel(self, client: Client) -> None:
        with contextlib.suppress(UsageError):  # it ended just now
            await client.control.cancel(self.run_id)

    # --- the way through ---

    async def _see_through(self, client: Client, ended: asyncio.Task[None]) -> list[str]:
        """Until the run is over, or suspended and left so: then the paths that wait for an answer."""
        while not ended.done() and self.signals < (1 if self.keeps else 2):
            self.attention.clear()
            if not self.signals:
                await self._answer_given(client)
                waiting = self._waiting()
                if waiting:
                    if not self.asks or not await self._ask(client, waiting[0]):
                        return [node.path for node in self._waiting()]
                    continue  # the prompt took its time: look at everything again
            await self.attention.wait()
        if ended.done():
            ended.result()  # raises what broke the run
        return []

    def _waiting(self) -> list[Node]:
        """The suspended tasks, where nothing else runs, hooks included."""
        state = self.state
        if state is None or state.phase != "Suspended" or any(state.hooks_live.values()):
            return []
        return sorted((n for n in self.suspended.values() if n.phase == "Suspended"), key=state.order_key)

    async def _answer_given(self, client: Client) -> None:
        """Use the answers of `--resume`: by path, or by the task's name."""
        for node in [n for n in self.suspended.values() if n.phase == "Suspended"]:
            payloads = self.answers.get(node.path) or self.answers.get(node.call.name) or []
            while payloads:
                try:
                    await client.control.resume(self.run_id, node.path, payloads.pop(0))
                except UsageError as error:
                    self.view.note(f"the answer for {node.path} was refused: {error.message}")
                else:
                    break

    async def _ask(self, client: Client, node: Node) -> bool:
        """Ask for one answer; False where the person leaves (Ctrl-D)."""
        from aether_protocol.cli.terminal.questions import Question

        async def answer(payload: dict[str, Json]) -> None:
            self.suspended.pop(node.id, None)
            try:
                await client.control.resume(self.run_id, node.path, payload)
            except AetherError:
                self.suspended[node.id] = node
                raise

        question = Question(node.path, node.message, lambda: node.phase == "Suspended" and not self.signals, answer)
        with self.view.paused():
            return await question.ask(self.attention) or self.signals > 0

    # --- beside it ---

    async def _look_back(self, client: Client, forecast: Forecast) -> None:
        """Find out how long it will take, by earlier runs."""
        from aether_protocol.service.runs.estimates import learn_from_earlier

        with contextlib.suppress(AetherError):
            await learn_from_earlier(client.runs, await client.runs.get(self.run_id), forecast)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self.view.tick()
