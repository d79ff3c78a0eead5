"""The runs that an engine has in memory, as a client in the same process reads and asks them.

Law: what is here is newer than what is stored, and is only read. A request goes through the loop's inbox like every other
event. A run that this engine does not have, or that another engine took over, is not here: the store knows it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.inbox import put_question
from aether_protocol.engine.loop import RunLoop
from aether_protocol.engine.mailbox import Question, ask
from aether_protocol.engine.recovery import load_state
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.state import RunState

if TYPE_CHECKING:
    from aether_protocol.engine.passivation import Passivation
    from aether_protocol.engine.stream import LiveEvents


class LoopGuard:
    """Whether an engine is open, and in which event loop."""

    def __init__(self) -> None:
        self.is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> None:
        """Open it in the loop that runs. Raises UsageError where it was entered before."""
        if self._loop is not None:
            raise UsageError("an engine can be entered once")
        self.is_open, self._loop = True, asyncio.get_running_loop()

    def require_open(self) -> None:
        """Raise UsageError where the engine is not open, or belongs to another loop."""
        if not self.is_open:
            raise UsageError("the engine is not open", hint="use it as `async with Engine(...) as engine:`")
        self.require_loop()

    def require_loop(self) -> None:
        """Raise UsageError in another loop than the one that entered it."""
        if self._loop is not asyncio.get_running_loop():
            raise UsageError("the engine belongs to another event loop", hint="use it in the one that entered it")


class DrivenRuns:
    """What a local client uses of an engine, beside what the engine itself offers."""

    def __init__(
        self, loop: RunLoop, store: Store, clock: Clock, guard: LoopGuard, passivation: Passivation | None = None
    ) -> None:
        self._loop = loop
        self._store = store
        self._clock = clock
        self._guard = guard
        self._passivation = passivation

    @property
    def ids(self) -> list[str]:
        """The runs that are here, oldest first; of ended ones the newest."""
        return list(self._loop.runs)

    @property
    def open_ids(self) -> list[str]:
        """The runs that are driven here: those that have not ended, oldest first."""
        return [run_id for run_id, run in self._loop.runs.items() if not run.over]

    @property
    def count(self) -> int:
        """How many runs are driven here: those that have not ended."""
        return sum(not run.over for run in self._loop.runs.values())

    def find(self, run_id: str) -> ActiveRun | None:
        """Give the run; None where the store is to be asked: it is not here, or another engine has taken it over."""
        run = self._loop.runs.get(run_id)
        return None if run is not None and self._store.durable and isinstance(run.error, BusyError) else run

    def get(self, run_id: str) -> ActiveRun:
        """Give the run. Raises UsageError where it is not here."""
        run = self._loop.runs.get(run_id)
        if run is None:
            raise UsageError(f"run {run_id!r} is not driven here")
        return run

    def state(self, run_id: str) -> RunState:
        """Give the state itself: read it, never write it. Raises what broke a run that cannot continue."""
        run = self.get(run_id)
        if run.error is not None:
            raise run.error
        return run.state

    async def load(self, run_id: str, at: int | None = None) -> RunState:
        """Give the state of any run: read it, never write it. See `recovery.load_state`."""
        run = self._loop.runs.get(run_id) if at is None else None
        return run.state if run is not None and run.error is None else await load_state(self._store, run_id, at)

    async def follow(self, run_id: str) -> bool:
        """Return once the run has ended, and its hooks too, or was passivated; whether it has ended.

        Unlike `join` this does not keep the run in memory. Raises what broke a run that cannot continue.
        """
        run = self.get(run_id)
        while not run.over:
            future = asyncio.get_running_loop().create_future()
            run.followers.append(future)
            try:
                await future
            finally:
                if future in run.followers:
                    run.followers.remove(future)
        if run.state.closed:
            return True
        if self._loop.runs.get(run_id) is not run:
            return False
        assert run.error is not None
        raise run.error

    async def join(self, run_id: str, *, or_suspended: bool = False) -> None:
        """Return once the run has ended, and its hooks too.

        Args:
            run_id: a run that is here; it stays in memory.
            or_suspended: return also when only an answer from outside, or time, continues it.

        Raises:
            AetherError: what broke a run that cannot continue.
        """
        run = self.get(run_id)
        if not run.over:
            self._guard.require_loop()
        waiting = run.pause_waiters if or_suspended else run.waiters
        while not run.over and not (or_suspended and run.paused):
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            try:
                await future
            finally:
                if future in waiting:
                    waiting.remove(future)
        if run.error is not None:
            raise run.error

    def events(self, run_id: str, *, follow: bool = True, after: int = 0) -> LiveEvents:
        """Give the event records of a run that is here, from the oldest that the store has; with `follow` to its end, and
        without those of step `after` and before."""
        from aether_protocol.engine.stream import LiveEvents  # here: most runs of a command are not followed

        return LiveEvents(self.get(run_id), self._store, follow=follow, after=after)

    async def ask(self, run_id: str, question: Question, *, private: bool = False) -> None:
        """Ask something of a run: here, or else of the engine that drives it, through the mailbox; return once it is stored.

        Args:
            run_id: which run.
            question: see `mailbox`.
            private: nothing that a person wrote in it may lie open in the store.

        Raises:
            UsageError: it is refused, or the run is unknown.
            BusyError: no engine answers for the run.
        """
        self._guard.require_open()
        run = self.find(run_id)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if run is None and self._passivation is not None and await self._passivation.wake(run_id, (question, answer)):
            await answer
            return
        run = self.find(run_id)
        if run is None:
            await ask(self._store, self._clock, run_id, question, private=private)
            return
        put_question(self._loop.put, run, question, answer)
        try:
            await answer
        except BusyError:
            if self.find(run_id) is not None:
                raise
            await ask(self._store, self._clock, run_id, question, private=private)  # another engine has it now

    def release(self, count: int) -> None:
        """Release so many runs soon, for other engines of the store to drive: fewer where no more can be (`releases`)."""
        self._loop.releases.ask(count)

    def leave(self) -> None:
        """Release all runs of which no attempt has begun: this engine is about to close, and there are others."""
        self._loop.releases.leave()

    @property
    def lease_us(self) -> int | None:
        """How long the lease of the engine is, in microseconds; None: it has no end."""
        return self._loop.keeper.ttl

    async def mask(self, state: RunState, text: str) -> str:
        """Mask what a person wrote about a run, with the secrets that it has used; `***` where those cannot be had."""
        return await self._loop.outside.mask(state, text)

    @property
    def busy(self) -> bool:
        """Whether something happens here before time passes, apart from what the broker does (`testing.settling`)."""
        return self._loop.busy

    async def quiet(self) -> None:
        """Return once that has happened; it may lead to more."""
        await self._loop.quiet()

    def keep_logs(self) -> None:
        """Keep logs also in a store that ends with this process: others ask it for them."""
        self._loop.logs.keep_in(self._store.logs)

    async def save_logs(self) -> None:
        """Store the logs that wait for more, so that a reader finds them."""
        await self._loop.logs.save()
