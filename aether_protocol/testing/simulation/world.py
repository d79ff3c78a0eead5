"""A world: engine processes that come and go around one store, workers, somebody who answers what waits, and an operator.

Law: the scenario alone decides what happens. Time moves when nothing else can. What the processes do is judged as it happens,
the record when the run is over; a law that was broken ends the world.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aether_protocol.errors import AetherError, BrokenInvariant
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.scheduler.codec import encode_step
from aether_protocol.scheduler.commands import Step
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.simulation.author import Author, compile_value
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import Record, demand, examine, over, restored, same
from aether_protocol.testing.simulation.process import PASSWORD, Process
from aether_protocol.testing.simulation.stage import Stage
from aether_protocol.testing.simulation.store import SharedStore
from aether_protocol.testing.simulation.workers import SECOND

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


class World(Stage):
    """Plays one scenario: one run, and who starts it, answers what waits, and looks after the engines."""

    absences = (0, SECOND, 5 * SECOND, 40 * SECOND)

    def __init__(self, played: Scenario, loop: QuietLoop, plan: Plan | None = None) -> None:
        store = SharedStore(played.tier, every=5 + played.seed % 20)
        super().__init__(store, Chaos(played.seed, played.strength, played.without), played.work, survive=played.survive)
        self.scenario = played
        self.plan = plan or compile_value(dict(played.document))
        self._loop = loop
        self._told: dict[int, str] = {}  # the steps that an engine was told to be stored for good
        self._progress = (0, 0)  # the last step number seen, and since when

    # --- the course of things ---

    async def run(self) -> RunState:
        """Play it to the end. Raises LawBrokenError."""
        for _ in range(self.scenario.engines):
            self.bring_up()
        self.clock.call_at(self.begin, self._tick)
        if self.scenario.cancel_at is not None:
            self.clock.call_at(self.begin + self.scenario.cancel_at, self._cancel)
        end: int | None = None
        while end is None or self.clock.now() < end:
            await self._loop.quiet()
            if self.broken:
                raise self.broken[0]
            await self.bury()
            if end is None and self.store.is_closed(RUN):
                end = self.clock.now() + _AFTERWARDS
            self.move_on(_HORIZON)
        try:
            return await self._judge()
        finally:
            await self.end()

    # --- people ---

    def _tick(self) -> None:
        now = self.clock.now()
        self.clock.call_at(now + (_TICK if now - self.begin < _LATER else 15 * _TICK), self._tick)
        self.errand(self._tend())

    async def _tend(self) -> None:
        row = await self.store.row(RUN)
        living = self.living()
        now = self.clock.now()
        if row is None:
            for process in living[:1]:
                self.errand(self._submit(process))
        elif not row.closed:
            if row.seq != self._progress[0]:
                self._progress = row.seq, now
            elif now - self._progress[1] > _PATIENCE and self.chaos.happened:
                self._progress = row.seq, now
                self.restart()
            for process in living:
                self.errand(self._recover(process))
                self.errand(self._answer(process))

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
        for process in self.living():
            self.errand(process.engine.cancel(RUN))

    def stored(self, process: Process, run_id: str, state: RunState, step: Step) -> None:
        self._told[step.seq] = encode_step(step)

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
        for process in self.processes:
            if not process.cut_off:
                self._live(process, loaded)
        demand(PASSWORD not in self.store.text(), "secrets stay hidden", "the store holds the password")
        self.count_faults()
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
