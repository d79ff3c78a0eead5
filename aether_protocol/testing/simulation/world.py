"""A world: engine processes that come and go around one store, workers, somebody who answers what waits, and an operator.

Law: the scenario alone decides what happens. Time moves when nothing else can. What the processes do is judged as it happens,
the record when the run is over; a law that was broken ends the world.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aether_protocol.errors import AetherError, BrokenInvariant
from aether_protocol.plan.model import Plan
from aether_protocol.ports.schedules import ScheduleTurn
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, RunAppend
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.codec import encode_step
from aether_protocol.scheduler.commands import Step
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.author import Author, compile_value
from aether_protocol.testing.simulation.chaos import CRASHES, Chaos
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import LawBrokenError, Record, demand, examine, over, restored, same
from aether_protocol.testing.simulation.process import PASSWORD, Process
from aether_protocol.testing.simulation.store import SharedStore
from aether_protocol.testing.simulation.workers import SECOND, Workers

RUN: Final = "run"
SAME: Final = 5
_TICK: Final = 2 * SECOND
_LATER: Final = 600 * SECOND  # from then on people look more rarely
_PATIENCE: Final = 60 * SECOND  # without progress: messages were lost, and the operator starts all engines anew
_HORIZON: Final = 2 * 3600 * SECOND
_AFTERWARDS: Final = 30 * SECOND  # what comes late comes by then


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one simulation is about. `seed` decides the faults, `work` what tasks give. `timed`: its end may depend on how
    long things take, so it is not compared."""

    seed: int
    work: int
    document: Mapping[str, Any]
    timed: bool = False
    strength: float = 0.0
    engines: int = 1
    tier: str = STATE_ACTION_LOG
    survive: bool = False  # workers outlive engines
    cancel_at: int | None = None
    thorough: bool = False
    without: frozenset[str] = field(default_factory=frozenset)

    def told(self) -> dict[str, Any]:
        """What it is about, as JSON."""
        about = {"engines": self.engines, "tier": self.tier, "workersSurvive": self.survive}
        return {**about, "document": dict(self.document)}


def scenario(seed: int) -> Scenario:
    """The scenario of a seed. Seeds that follow each other have a workflow in common, SAME of them."""
    work = seed // SAME
    rng = random.Random(work)
    timed = rng.random() < 0.35
    document = Author(rng, timed=timed, secrets=rng.random() < 0.5).document()
    rng = random.Random(~seed)
    return Scenario(
        seed=seed,
        work=work,
        document=document,
        timed=timed,
        strength=rng.choice([0.3, 1.0, 1.0, 2.0]),
        engines=rng.choice([1, 2, 2, 3]),
        tier=SNAPSHOT if rng.random() < 0.2 else STATE_ACTION_LOG,
        survive=rng.random() < 0.5,
        cancel_at=rng.randint(0, 30 * SECOND) if timed and rng.random() < 0.2 else None,
        thorough=rng.random() < 0.1,
    )


class World:
    """Plays one scenario. `counts` say what happened."""

    def __init__(self, played: Scenario, loop: QuietLoop, plan: Plan | None = None) -> None:
        self.scenario = played
        self.counts: Counter[str] = Counter()
        self.clock = ManualClock()
        self.chaos = Chaos(played.seed, played.strength, played.without)
        self.store = SharedStore(played.tier, every=5 + played.seed % 20)
        self.plan = plan or compile_value(dict(played.document))
        elsewhere = self._elsewhere if played.survive else None
        self.workers = Workers(played.work, self.clock, self.chaos, elsewhere)
        self._loop = loop
        self._begin = self.clock.now()
        self._processes: list[Process] = []
        self._made = 0
        self._broken: list[BaseException] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._tokens = 0
        self._sent: set[tuple[int, int]] = set()  # (node, attempt) that may go out
        self._told: dict[int, str] = {}  # the steps that an engine was told to be stored for good
        self._progress = (0, 0)  # the last step number seen, and since when

    # --- the course of things ---

    async def run(self) -> RunState:
        """Play it to the end. Raises LawBrokenError."""
        for _ in range(self.scenario.engines):
            self._bring_up()
        self.clock.call_at(self._begin, self._tick)
        if self.scenario.cancel_at is not None:
            self.clock.call_at(self._begin + self.scenario.cancel_at, self._cancel)
        end: int | None = None
        while end is None or self.clock.now() < end:
            await self._loop.quiet()
            if self._broken:
                raise self._broken[0]
            await self._bury()
            if end is None and self.store.is_closed(RUN):
                end = self.clock.now() + _AFTERWARDS
            if not self.clock.wake() and not self.clock.fire():
                due = self.clock.next_due()
                assert due is not None  # the world ticks
                demand(due < self._begin + _HORIZON, "every run ends", "it goes on for hours")
                self.clock.advance(due)
        try:
            return await self._judge()
        finally:
            await self._end()

    def _bring_up(self) -> None:
        self._made += 1
        process = Process(self._made, self.clock, self.store, self.workers, self)
        self._processes.append(process)
        self._errand(process.start())

    async def _bury(self) -> None:
        """Dead processes are cleared away, and others started for them: at once, or after the lease has ended."""
        for process in [one for one in self._processes if one.dead]:
            self._processes.remove(process)
            await process.bury()
            wait = self.chaos.choose(0, SECOND, 5 * SECOND, 40 * SECOND)
            self.clock.call_at(self.clock.now() + wait, self._bring_up)

    async def _end(self) -> None:
        for process in self._processes:
            process.die()
            await process.bury()
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    # --- people ---

    def _tick(self) -> None:
        now = self.clock.now()
        self.clock.call_at(now + (_TICK if now - self._begin < _LATER else 15 * _TICK), self._tick)
        self._errand(self._tend())

    async def _tend(self) -> None:
        row = await self.store.row(RUN)
        living = [process for process in self._processes if not process.dead]
        now = self.clock.now()
        if row is None:
            for process in living[:1]:
                self._errand(self._submit(process))
        elif not row.closed:
            if row.seq != self._progress[0]:
                self._progress = row.seq, now
            elif now - self._progress[1] > _PATIENCE and self.chaos.happened:
                self._progress = row.seq, now
                self.counts["restarts by the operator"] += 1
                for process in living:
                    process.die()
            for process in living:
                self._errand(self._recover(process))
                self._errand(self._answer(process))

    async def _submit(self, process: Process) -> None:
        await process.engine.submit(self.plan, run_id=RUN)

    async def _recover(self, process: Process) -> None:
        await process.engine.recover()

    async def _answer(self, process: Process) -> None:
        """Whatever waits for an answer gets one."""
        if RUN in process.engine.run_ids:
            for path in process.engine.suspended(RUN):
                await process.engine.resume(RUN, path, {"answer": 1})

    def _cancel(self) -> None:
        for process in self._processes:
            if not process.dead:
                self._errand(process.engine.cancel(RUN))

    def _errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that may fail for reasons of the world, and never for a fault of ours."""

        async def go() -> None:
            try:
                await work
            except BrokenInvariant as error:
                self._broken.append(error)
            except AetherError:
                self.counts["errands refused"] += 1
            except Exception as error:
                self._broken.append(error)

        task = asyncio.create_task(go())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _elsewhere(self, result: TaskResult) -> None:
        """A result whose engine is gone reaches another one."""
        for process in self._processes:
            if not process.dead:
                process.engine.deliver(result)
                break

    # --- what processes tell (Witness) ---

    def _watch(self, law: Callable[[], None]) -> None:
        try:
            law()
        except LawBrokenError as error:
            self._broken.append(error)

    def granted(self, run_id: str, token: int) -> None:
        law = "a lease is given to one owner at a time, with a token that grows"
        self._watch(lambda: demand(token >= self._tokens, law, f"{token} after {self._tokens}"))
        self.counts["takeovers"] += token > max(self._tokens, 1)
        self._tokens = max(self._tokens, token)

    def appended(self, process: Process, part: RunAppend) -> None:
        told = f"process {process.number} wrote with token {part.token}, and {self._tokens} was given out"
        self._watch(lambda: demand(part.token == self._tokens and not process.dead, "a stale owner writes nothing", told))
        for step in part.steps:
            self.counts["steps"] += 1
            for fact in step.facts:
                if isinstance(fact, f.TaskDispatched):
                    self._sent.add((fact.node, fact.attempt))

    def dispatched(self, process: Process, task: TaskAssignment) -> None:
        self.counts["dispatches"] += 1
        known = (task.node, task.attempt) in self._sent
        told = f"{task.path}, attempt {task.attempt}"
        self._watch(lambda: demand(known, "nothing goes out before it is stored", told))

    def stored(self, process: Process, run_id: str, state: RunState, step: Step) -> None:
        self._told[step.seq] = encode_step(step)

    def turned(self, process: Process, turn: ScheduleTurn) -> None:
        """There are no schedules in this world."""

    # --- afterwards ---

    async def _judge(self) -> RunState:
        loaded = restored(await self.store.load(RUN))
        over(loaded)
        examine(loaded)
        if self.scenario.tier == STATE_ACTION_LOG:
            lines = await self.store.lines(RUN)
            record = Record(self.plan, thorough=self.scenario.thorough)
            same(record.read(lines), loaded, "a snapshot and the steps after it give what all steps give")
            kept = dict(lines)
            for seq, line in self._told.items():
                demand(kept.get(seq) == line, "no recorded result is lost", f"step {seq} was {line}, now {kept.get(seq)}")
            self.counts["results"] += record.results.total()
        for process in self._processes:
            if not process.cut_off:
                self._live(process, loaded)
        demand(PASSWORD not in self.store.text(), "secrets stay hidden", "the store holds the password")
        self._count()
        return loaded

    def _live(self, process: Process, stored: RunState) -> None:
        """What a living engine that saw the end holds in memory."""
        try:
            state = process.engine.run_state(RUN)
        except BrokenInvariant:
            raise
        except AetherError:
            return  # it does not know the run, or gave it up when it could not write
        if state.closed:
            same(state, stored, "replay gives the state that was live")

    def _count(self) -> None:
        counts = self.chaos.counts
        self.counts["crashes"] += sum(counts[kind] for kind in CRASHES)
        self.counts["messages lost"] += counts["assignment-lost"] + counts["result-lost"]
        self.counts["messages doubled"] += counts["assignment-doubled"] + counts["result-doubled"]
        self.counts["messages delayed"] += counts["message-delayed"]
        self.counts["store failures"] += counts["write-refused"] + counts["write-unclear"] + counts["store-out-of-reach"]
        self.counts["clocks set back"] += counts["clock-set-back"]


