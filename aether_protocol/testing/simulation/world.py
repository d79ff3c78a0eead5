"""A world: engine processes that come and go around one store, workers, a person who answers what waits, and an operator.

Law: the scenario alone decides what happens. Time moves when nothing else can. What the processes do is judged as it happens,
the record when the run is over; a law that was broken ends the world.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.engine.mailbox import cancel_question, resume_question, suspended_paths
from aether_protocol.engine.stream import StoredEvents
from aether_protocol.errors import AetherError, BrokenInvariant, BusyError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.scheduler.codec import encode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import TaskResumed
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.base_world import BaseWorld
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.document_generator import DocumentGenerator, compile_value
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import Record, demand, examine, over, restored, same
from aether_protocol.testing.simulation.process import Process, ProcessOptions
from aether_protocol.testing.simulation.store import DATABASE, SimMemoryStore, SimStore
from aether_protocol.testing.simulation.workers import PASSWORD, SECOND
from aether_protocol.views.report import make_report
from aether_protocol.views.summary import make_row

RUN: Final = "run"
SAME: Final = 5
_TICK: Final = 2 * SECOND
_LATER: Final = 600 * SECOND  # from then on people look more rarely
_PATIENCE: Final = 60 * SECOND  # without progress: messages were lost, and the operator starts all engines anew
_HORIZON: Final = 2 * 3600 * SECOND
_HOUR: Final = 3600 * SECOND
_AFTERWARDS: Final = 30 * SECOND  # what comes late comes by then


class Scenario(Struct, frozen=True):
    """What one simulation is about. `seed` decides the faults, `work` what tasks give. `timed`: its end may depend on how
    long things take, so it is not compared. `sqlite`: on the SQLite adapter. `slots` of the local broker (0: no limit); None:
    workers are elsewhere, and with `survive` they outlive engines.

    A run of tier snapshot goes back and may give its numbers anew, so there all workers are its process's own.
    """

    seed: int
    work: int
    document: Mapping[str, Any]
    timed: bool = False
    strength: float = 0.0
    engines: int = 1
    tier: str = STATE_ACTION_LOG
    survive: bool = False
    sqlite: bool = False
    slots: int | None = None
    cancel_at: int | None = None
    thorough: bool = False
    without: frozenset[str] = field(default_factory=frozenset)

    def told(self) -> dict[str, Any]:
        """What it is about, as JSON."""
        about = {"engines": self.engines, "tier": self.tier, "sqlite": self.sqlite, "slots": self.slots}
        return {**about, "workersSurvive": self.survive, "document": dict(self.document)}


def scenario(seed: int) -> Scenario:
    """The scenario of a seed. Seeds that follow each other have a workflow in common, SAME of them."""
    work = seed // SAME
    rng = random.Random(work)
    timed = rng.random() < 0.35
    document = DocumentGenerator(rng, timed=timed, secrets=rng.random() < 0.5).document()
    rng = random.Random(~seed)
    tier = SNAPSHOT if rng.random() < 0.2 else STATE_ACTION_LOG
    slots = rng.choice([0, 1, 2, 5]) if tier == SNAPSHOT or rng.random() < 0.3 else None
    return Scenario(
        seed=seed,
        work=work,
        document=document,
        timed=timed,
        strength=rng.choice([0.3, 1.0, 1.0, 2.0]),
        engines=rng.choice([1, 2, 2, 3]),
        tier=tier,
        survive=rng.random() < 0.5 and slots is None,
        sqlite=rng.random() < 0.4,
        slots=slots,
        cancel_at=rng.randint(0, 12 * SECOND) if timed and rng.random() < 0.4 else None,
        thorough=rng.random() < 0.1,
    )


_APPENDS: Final = (1, 4)  # at once: a store that answers at once, and one that is waited for
_THRESHOLDS: Final = (0.0, None, 3.0)  # seconds that a run waits before it is passivated


class World(BaseWorld):
    """Plays one scenario: one run, and who starts it, answers what waits, and looks after the engines."""

    absences = (0, SECOND, 5 * SECOND, 40 * SECOND)

    def __init__(self, played: Scenario, loop: QuietLoop, plan: Plan | None = None) -> None:
        clock = ManualClock()
        store: SimStore = (DATABASE.get() if played.sqlite else SimMemoryStore)(played.tier, clock.now)
        chaos = Chaos(played.seed, played.strength, played.without)
        machine = ProcessOptions(
            played.slots,
            played.tier != SNAPSHOT,
            snapshot_steps=5 + played.seed % 20,
            passivate_after_s=_THRESHOLDS[played.seed % len(_THRESHOLDS)],
            appends=_APPENDS[played.seed // 2 % 2],
        )
        super().__init__(clock, store, chaos, played.work, survive=played.survive, machine=machine)
        self.scenario = played
        self.plan = plan or compile_value(dict(played.document))
        self._loop = loop
        self._told: dict[int, str] = {}  # the steps that were reported to an engine as stored for good
        self._progress = (0, 0)  # the last step number seen, and since when
        self._asked = 0  # answers that were given to what waits, each with its number
        self._accepted: set[int] = set()  # of those, which were reported as accepted
        self._taken_back: set[int] = set()  # and which no engine collected
        self._cancelled = False  # a caller got the answer that it is

    # --- the course of things ---

    async def run(self) -> RunState:
        """Play it to the end. Raises LawBrokenError."""
        for _ in range(self.scenario.engines):
            self.bring_up()
        self.clock.call_at(self.begin, self._tick)
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

    def bring_up(self) -> None:
        super().bring_up()
        if self.chaos.strikes("clock-apart"):
            self.processes[-1].clock.offset += self.chaos.choose(-_HOUR, _HOUR)

    # --- people ---

    def _tick(self) -> None:
        now = self.clock.now()
        self.clock.call_at(now + (_TICK if now - self.begin < _LATER else 15 * _TICK), self._tick)
        self.errand(self._tend())

    async def _tend(self) -> None:
        if self.workers.shelf.wants():
            self.errand(self._collect())
        row = await self.store.runs.row(RUN)
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
            wanted = self.scenario.cancel_at
            if wanted is not None and now >= self.begin + wanted and not self._cancelled:
                self._cancel()
            if row.phase == "Suspended" and living and self.chaos.choose(0, 1):
                self.errand(self._answer_from_elsewhere(living[-1]))

    async def _submit(self, process: Process) -> None:
        await process.engine.submit(self.plan, run_id=RUN)

    async def _recover(self, process: Process) -> None:
        await process.engine.recover()

    async def _answer(self, process: Process) -> None:
        """Whatever waits for an answer gets one."""
        if RUN in process.engine.driven.ids:
            for path in suspended_paths(process.engine.driven.state(RUN)):
                await self._resume(process, path)

    async def _answer_from_elsewhere(self, process: Process) -> None:
        """Answer by a process that does not drive the run: through the mailbox."""
        for path in suspended_paths(await process.engine.driven.load(RUN))[:1]:
            await self._resume(process, path)

    async def _resume(self, process: Process, path: str) -> None:
        self._asked += 1
        number = self._asked
        try:
            await process.engine.driven.ask(RUN, resume_question(path, {"answer": number}))
        except BusyError as error:
            if "no engine answers" in error.message:
                self._taken_back.add(number)
            raise
        self._accepted.add(number)

    async def _collect(self) -> None:
        self.counts["artifacts collected"] += (await self.workers.shelf.collect(self.store)).count

    def _cancel(self) -> None:
        for process in self.living():
            self.errand(self._cancel_by(process))

    async def _cancel_by(self, process: Process) -> None:
        await process.engine.driven.ask(RUN, cancel_question())
        self._cancelled = True

    def stored(self, process: Process, run_id: str, state: RunState, step: LogEntry) -> None:
        self._told[step.seq] = encode_entry(step)

    # --- afterwards ---

    async def _judge(self) -> RunState:
        loaded = restored(await self.store.runs.load(RUN))
        over(loaded)
        examine(loaded)
        row = await self.store.runs.row(RUN)
        demand(row == make_row(loaded, self.scenario.tier), "a row says what its record says", f"it says {row}")
        if self.scenario.tier == STATE_ACTION_LOG:
            lines = await self.store.runs.lines(RUN)
            record = Record(self.plan, thorough=self.scenario.thorough)
            same(record.read(lines), loaded, "a snapshot and the steps after it give what all steps give")
            kept = dict(lines)
            for seq, line in self._told.items():
                demand(kept.get(seq) == line, "no recorded result is lost", f"step {seq} was {line}, now {kept.get(seq)}")
            self.counts["results"] += record.results.total()
            self._judge_requests(record, loaded)
        for process in self.processes:
            if not process.cut_off:
                self._live(process, loaded)
        self.counts["artifacts named"] += await self.workers.shelf.judge(self.store, loaded)
        await self._judge_secrets(loaded)
        self.count_faults()
        return loaded

    async def _judge_secrets(self, loaded: RunState) -> None:
        told = {"the store holds": self.store.text(), "the report tells": json.dumps(make_report(loaded).to_json())}
        if self.scenario.tier == STATE_ACTION_LOG and "secretKeyRef" in str(self.scenario.document):
            stream = StoredEvents(self.store, self.clock, RUN, follow=False)
            told["the events tell"] = json.dumps([record async for record in stream])
        for what, text in told.items():
            demand(PASSWORD not in text, "secrets stay hidden", f"{what} the password")

    def _judge_requests(self, record: Record, loaded: RunState) -> None:
        """What was asked was done once, and what was said to be done was done."""
        resumes = [fact for step in record.steps for fact in step.facts if isinstance(fact, TaskResumed)]
        done = Counter(fact.payload["answer"] for fact in resumes)
        demand(max(done.values(), default=1) == 1, "a request is carried out once", f"answers {dict(done)}")
        left = self._accepted - set(done)
        demand(not left, "an answer that was accepted is recorded", f"answers {sorted(left)} are not")
        again = self._taken_back & set(done)
        demand(not again, "a request that was withdrawn has no effect", f"answers {sorted(again)} are recorded")
        self.counts["answers"] += len(done)
        if self._cancelled:
            demand(loaded.phase == "Cancelled", "a run that was cancelled is Cancelled", f"it is {loaded.phase}")
            self.counts["cancelled"] += 1

    def _live(self, process: Process, stored: RunState) -> None:
        """What a living engine that saw the end holds in memory."""
        try:
            state = process.engine.driven.state(RUN)
        except BrokenInvariant:
            raise
        except AetherError:
            return  # it does not know the run, or gave it up when it could not write
        if state.closed:
            same(state, stored, "replay gives the state that was live")
