"""What all worlds have in common: a store, processes that come and go around it, workers, and the laws that are judged as
things happen.

Law: what is done for the world's own reasons (errands) may be refused and is never a fault; whatever else goes wrong ends the
world. A run's tokens only grow, its steps are written by the process that has the newest one, and nothing is dispatched before
it is stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aether_protocol.errors import AetherError, BrokenInvariant
from aether_protocol.ports.store import RunAppend
from aether_protocol.ports.store.leases import lives
from aether_protocol.ports.store.schedules import ScheduleDecision
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import READY, RUNNING
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.chaos import CRASHES, Chaos
from aether_protocol.testing.simulation.oracles import LawBrokenError, demand
from aether_protocol.testing.simulation.process import LEASE_US, Process, ProcessOptions
from aether_protocol.testing.simulation.store import SimStore
from aether_protocol.testing.simulation.workers import SimWorkers

_REMOTE = ProcessOptions()
_EXCUSES = (
    *("store-out-of-reach", "write-refused", "write-unclear", "read-refused"),
    *("server-frozen", "server-cut-off", "session-lock-false"),
)
_NEWEST = "a lease is given to one owner at a time, with a token that grows"


class BaseWorld:
    """`counts` say what happened. It is the `ScheduleObserver` of its processes. `absences`: microseconds after which
    another process comes for one that died. `work` decides what tasks give; `survive`: workers outlive engines."""

    absences: tuple[int, ...]
    together = False  # whether what is due at one instant happens at once, or one thing after the other

    def __init__(
        self, clock: ManualClock, store: SimStore, chaos: Chaos, work: int, *, survive: bool, machine: ProcessOptions = _REMOTE
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.clock = clock
        self.chaos = chaos
        self.store = store
        self.machine = machine
        self.workers = SimWorkers(work, self.clock, chaos, self._elsewhere if survive else None)
        self.begin = self.clock.now()
        self.broken: list[BaseException] = []
        self.processes: list[Process] = []
        self._made = 0
        self._errands: set[asyncio.Task[None]] = set()
        self._tokens: Counter[str] = Counter()
        self._holders: dict[str, Process] = {}
        self._leases: dict[int, int] = {}  # by number of the process: until when
        self._sent: set[tuple[str, int, int]] = set()  # (run, node, attempt) that may go out
        self._attempts: dict[tuple[str, int], int] = {}  # the newest that is stored, by run and node
        self._ends: set[tuple[str, int, int]] = set()  # (run, node, attempt) whose end is stored
        self._keys: dict[str, tuple[str, str | None]] = {}
        self._fenced: set[tuple[int, str, int]] = set()  # (number of the process, run, token) whose writes were refused

    # --- life ---

    def bring_up(self) -> None:
        self._made += 1
        process = Process(self._made, self.clock, self.store.opened(), self.workers, self, self.machine)
        self.processes.append(process)
        self.errand(self.live(process))

    async def live(self, process: Process) -> None:
        """What a process does of its own accord."""
        await process.start()

    async def clear(self, process: Process) -> None:
        """Take away what a dead process left in memory."""
        await process.bury()

    async def bury(self) -> None:
        """Dead processes are cleared away, and others started for them: at once, or after the lease has ended."""
        for process in [one for one in self.processes if one.dead]:
            self.processes.remove(process)
            await self.clear(process)
            self.clock.call_at(self.clock.now() + self.chaos.choose(*self.absences), self.bring_up)

    async def end(self) -> None:
        for process in self.processes:
            process.die()
            await self.clear(process)
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        self.store.dispose()

    def living(self) -> list[Process]:
        return [process for process in self.processes if not process.dead]

    def restart(self) -> None:
        """The operator starts all engines anew: messages were lost."""
        self.counts["restarts by the operator"] += 1
        for process in self.living():
            process.die()

    def errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that may fail for reasons of the world, and never by an internal error."""

        async def go() -> None:
            try:
                await work
            except BrokenInvariant as error:
                self.broken.append(error)
            except AetherError:
                self.counts["errands refused"] += 1
            except Exception as error:
                self.broken.append(error)

        task = asyncio.create_task(go())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def move_on(self, horizon: int) -> None:
        """Whatever comes next in time. Raises LawBrokenError where that is beyond `horizon` microseconds."""
        before = self.clock.now()
        moved = self.clock.step(self.begin + horizon - 1)  # the world ticks: there is always something to come
        if not moved:
            raise LawBrokenError("every run ends", f"it takes hours: {self.store.open_runs()}")
        if self.clock.now() != before:
            self.clock.step()  # time moved, and nothing else: what is due then comes at once
        if self.together:
            self.clock.fire_all()

    def _elsewhere(self, result: TaskResult) -> None:
        """A result whose engine is gone reaches another one, which may or may not know the run."""
        living = self.living()
        for process in [one for one in living if one.engine.drives(result.ref.run_id)][:1] or living[:1]:
            process.engine.deliver(result)

    def count_faults(self) -> None:
        counts = self.chaos.counts
        self.counts["crashes"] += sum(counts[kind] for kind in CRASHES)
        self.counts["messages lost"] += counts["assignment-lost"] + counts["result-lost"]
        self.counts["messages doubled"] += counts["assignment-doubled"] + counts["result-doubled"]
        self.counts["messages delayed"] += counts["message-delayed"]
        failures = ("write-refused", "write-unclear", "store-out-of-reach", "read-refused")
        self.counts["store failures"] += sum(counts[kind] for kind in failures)
        self.counts["clocks set back"] += counts["clock-set-back"]
        self.counts["clocks an hour apart"] += counts["clock-apart"]
        self.counts["attempts lost"] += counts["worker-lost"] + counts["child-lost"]
        self.counts["dispatches refused"] += counts["dispatch-refused"]
        self.counts["outages of the broker"] += counts["broker-away"]

    # --- what processes tell (ScheduleObserver) ---

    def watch(self, law: Callable[[], None]) -> None:
        try:
            law()
        except LawBrokenError as error:
            self.broken.append(error)

    def demanded(self, holds: bool, law: str, told: str) -> None:
        self.watch(lambda: demand(holds, law, told))

    def granted(self, process: Process, run_id: str, token: int, now: int) -> None:
        before, holder = self._tokens[run_id], self._holders.get(run_id)
        self.demanded(token >= before, _NEWEST, f"{token} after {before}")
        if holder is not None and holder is not process:
            self._taken_over(run_id, holder, process, now)
            self.demanded(token > before, _NEWEST, f"process {process.number} has {run_id} under the token of another")
        self.counts["takeovers"] += token > max(before, 1)
        self._tokens[run_id] = max(before, token)
        self._holders[run_id] = process

    def _taken_over(self, run_id: str, holder: Process, successor: Process, now: int) -> None:
        told = f"process {successor.number} took {run_id} from {holder.number}"
        until = self._leases.get(holder.number, 0)
        free = not lives(until, LEASE_US, now)
        self.demanded(free, "what is held is not taken", f"{told} at {now}, whose lease went to {until}")
        alone = not any(self.chaos.counts[kind] for kind in _EXCUSES)
        self.demanded(holder.dead or not alone, "a living engine keeps its runs", told)

    def leased(self, process: Process, until: int) -> None:
        self._leases[process.number] = until

    def released(self, owner: str, run_ids: Sequence[str] | None) -> None:
        for run_id, holder in list(self._holders.items()):
            if holder.engine_name == owner and (run_ids is None or run_id in run_ids):
                del self._holders[run_id]

    def passivated(self, count: int) -> None:
        self.counts["passivations"] += count

    def appended(self, process: Process, part: RunAppend) -> None:
        given = self._tokens[part.run_id]
        told = f"process {process.number} wrote {part.run_id} with token {part.token}, and {given} was given out"
        self.watch(lambda: demand(part.token == given and not process.dead, "a stale owner writes nothing", told))
        for step in part.steps:
            self.counts["steps"] += 1
            for fact in f.unfold(step.facts):
                if isinstance(fact, f.TaskDispatched):
                    self._sent.add((part.run_id, fact.node, fact.attempt))
                    self._attempts[part.run_id, fact.node] = fact.attempt
                elif isinstance(fact, f.NodeEnded | f.RetryScheduled | f.TaskSuspended):
                    self._ends.add((part.run_id, fact.node, self._attempts.get((part.run_id, fact.node), 0)))

    def refused(self, process: Process, part: RunAppend) -> None:
        """The store refused to append this."""
        if part.token < self._tokens[part.run_id]:
            self.counts["writes fenced"] += 1
            self._fenced.add((process.number, part.run_id, part.token))

    def dispatched(self, process: Process, task: TaskAssignment) -> None:
        self.counts["dispatches"] += 1
        node = process.engine.driven.state(task.run_id).find(task.ref.path)
        known = node is not None and (task.run_id, node.id, task.attempt) in self._sent
        told = f"{task.run_id} {task.path}, attempt {task.attempt}"
        self.demanded(known, "nothing goes out before it is stored", told)
        token = process.engine.driven.get(task.run_id).token
        is_fenced = (process.number, task.run_id, token) in self._fenced
        self.demanded(not is_fenced, "what is fenced gives no order", f"{told}, by process {process.number}")
        place = task.path, task.hook
        meant = self._keys.setdefault(task.idempotency_key, place)
        self.demanded(meant == place, "an idempotency key means one task", f"{task.idempotency_key}: {meant} and {place}")

    def acknowledged(self, process: Process, ref: AttemptRef, times: int) -> None:
        """A result is acknowledged once, and what it led to is stored then."""
        self.counts["acknowledged"] += 1
        law, told = "a result is acknowledged once, when it is stored", f"{ref}, {times} times"
        self.demanded(times == 1, law, told)
        if process.engine.drives(ref.run_id):
            run = process.engine.driven.get(ref.run_id)
            if process.store.appends_at_once == 1:  # else steps that came later may be on their way
                self.demanded(run.stored == run.state.seq, law, f"{told}: step {run.stored} of {run.state.seq} is stored")
            node = run.state.find(ref.path)
            if isinstance(node, TaskNode) and run.ref(node) == ref:
                self.demanded(node.phase not in (READY, RUNNING), law, f"{told}: its attempt still runs")
                over = (ref.run_id, node.id, ref.attempt) in self._ends
                self.demanded(over, law, f"{told}: no end of it is stored")

    def stored(self, process: Process, run_id: str, state: RunState, step: LogEntry) -> None:
        """An engine was notified that this step is stored."""

    def turned(self, process: Process, turn: ScheduleDecision) -> None:
        """A decision about a schedule was written."""
