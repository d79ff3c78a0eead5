"""The engine's door for callers: submit, get, wait, resume, cancel, events.

Law: a method either does what it says or raises, and what is raised says who is at fault: UsageError the caller, PortError
the outside, BrokenInvariant us. Everything that changes a run goes through the driver's inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import TracebackType
from typing import Self

from aether_protocol.engine.driver import Driver, Observer
from aether_protocol.engine.inbox import Cancel, Resume, Submit
from aether_protocol.engine.logs import LogObserver
from aether_protocol.engine.report import Report, make_report
from aether_protocol.engine.runs import ActiveRun
from aether_protocol.engine.secrets import SecretBook
from aether_protocol.engine.stream import EventStream
from aether_protocol.engine.submission import check_run_id, make_header, read_variables
from aether_protocol.errors import UsageError
from aether_protocol.expressions.copying import own
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock, IdGenerator
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import Store
from aether_protocol.ports.variables import VariableSource
from aether_protocol.ports.wire import TaskResult
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUSPENDED


class Engine:
    """Runs plans. An async context manager; all methods belong to the event loop that entered it.

    `observers` are called with (run id, state, step) after each stored step; the state may be some steps ahead.
    `log_observers` are called with each `LogRecord`. Both lists may be added to. `secrets` are asked in order; of
    `variables` the later one of a namespace counts.
    """

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        clock: Clock,
        ids: IdGenerator,
        secrets: Sequence[SecretProvider] = (),
        variables: Sequence[VariableSource] = (),
        observers: Sequence[Observer] = (),
        log_observers: Sequence[LogObserver] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._variables = tuple(variables)
        self._driver = Driver(store, broker, clock, SecretBook(secrets))
        self.observers = self._driver.observers
        self.observers.extend(observers)
        self.log_observers = self._driver.logs.observers
        self.log_observers.extend(log_observers)
        self._submitted = 0
        self._open = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        if self._open or self._submitted:
            raise UsageError("an engine can be entered once")
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._driver.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all executors and wait for them; runs that have not ended are left as they are."""
        if self._open:
            self._open = False
            await self._driver.close()
            await self._store.close()

    async def submit(
        self,
        plan: Plan,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
    ) -> str:
        """Begin a run and give its id. `scheduled_time` in microseconds since the epoch.

        Raises UsageError with everything that is wrong with the arguments (DATA-14).
        """
        self._must_be_open()
        now = self._clock.now()
        if run_id is None:
            run_id = self._ids.run_id(now)
        check_run_id(run_id)
        bare = RunHeader(run_id, now, scheduled_time, {}, read_variables(self._variables), self._ids.seed())
        header = make_header(plan, arguments or {}, bare)
        await self._store.create(run_id, plan)
        self._submitted += 1
        run = ActiveRun(run_id, self._submitted, plan)
        run.state.header = header  # so that a report can be made at once
        self._driver.runs[run_id] = run
        self._driver.put(run, Submit(header))
        return run_id

    def get(self, run_id: str) -> Report:
        """The run as it is now. Raises UsageError for an unknown run, and what broke it for a broken one."""
        return make_report(self.run_state(run_id))

    async def wait(self, run_id: str, *, or_suspended: bool = False) -> Report:
        """`join`, then the report. Raises what broke a run that cannot go on."""
        await self.join(run_id, or_suspended=or_suspended)
        return self.get(run_id)

    async def join(self, run_id: str, *, or_suspended: bool = False) -> None:
        """Return once the run has ended and its hooks too, or cannot go on; with `or_suspended` also when nothing but an
        answer from outside can take it on."""
        run = self._run(run_id)
        if not run.over:
            self._must_be_its_loop()
        waiting = run.pausers if or_suspended else run.waiters
        while not run.over and not (or_suspended and run.paused):
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            try:
                await future
            finally:
                if future in waiting:
                    waiting.remove(future)

    async def resume(self, run_id: str, task_path: str, payload: Mapping[str, Json] | None = None) -> None:
        """Resume a suspended task (CTRL-2). Raises UsageError with the reason where that is refused."""
        self._must_be_open()
        run = self._run(run_id)
        node = run.state.find(task_path)
        if node is None:
            waiting = self.suspended(run_id)
            near = get_close_matches(task_path, waiting, 1) or waiting
            hint = f"suspended: {', '.join(near)}" if near else "no task of this run is suspended"
            raise UsageError(f"run {run_id!r} has no task run {task_path!r}", hint=hint)
        if payload is not None and not isinstance(payload, Mapping):
            raise UsageError(f"the payload is {payload!r}, not a mapping of names to values")
        try:
            given = own(dict(payload or {}))
        except ValueError as error:
            raise UsageError(f"the payload holds {error}") from None
        answer = asyncio.get_running_loop().create_future()
        self._driver.put(run, Resume(node.id, given, answer))
        await answer

    async def cancel(self, run_id: str) -> None:
        """Cancel a run (CTRL-3). Raises UsageError that names its phase where it has ended."""
        self._must_be_open()
        run = self._run(run_id)
        answer = asyncio.get_running_loop().create_future()
        self._driver.put(run, Cancel(answer))
        await answer

    def events(self, run_id: str) -> EventStream:
        """The run's event records, from the oldest that the store still has to its end (docs/reference/events.md)."""
        run = self._run(run_id)
        return EventStream(run, self._store.steps(run_id))

    def suspended(self, run_id: str) -> list[str]:
        """Paths of the tasks that wait for a resume, in document order."""
        state = self.run_state(run_id)
        nodes = [n for n in state.nodes if n.phase is SUSPENDED and isinstance(n, TaskNode) and n.hook is None]
        return [node.path for node in sorted(nodes, key=state.order_key)]

    def deliver(self, result: TaskResult) -> None:
        """A result from outside, as a broker would bring it; late and unknown ones change nothing (SCHED-12)."""
        if type(result.node) is not int or type(result.attempt) is not int:
            raise UsageError(f"a result is for a numbered task run and attempt, not {result.node!r} and {result.attempt!r}")
        self._driver.finished(result)

    async def settled(self) -> None:
        """Return when nothing can happen before time passes or somebody outside acts."""
        await self._driver.settled()

    def run_state(self, run_id: str) -> RunState:
        """The state itself, for tools: read it, never write it."""
        run = self._run(run_id)
        if run.error is not None:
            raise run.error
        return run.state

    @property
    def run_ids(self) -> list[str]:
        """The runs that can be asked about, oldest first."""
        return list(self._driver.runs)

    def _must_be_open(self) -> None:
        if not self._open:
            raise UsageError("the engine is not open", hint="use it as `async with Engine(...) as engine:`")
        self._must_be_its_loop()

    def _must_be_its_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise UsageError("the engine belongs to another event loop", hint="use it in the one that entered it")

    def _run(self, run_id: str) -> ActiveRun:
        run = self._driver.runs.get(run_id) if isinstance(run_id, str) else None
        if run is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return run
