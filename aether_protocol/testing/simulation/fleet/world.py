"""A world with a fleet: a server on a store, workers on machines of their own, a network between them, and an operator.

Law: the scenario alone decides what happens. Machines that end are replaced, faults are bounded, so every run ends. Nothing is
started anew to get a run going again: whatever was lost is found by the server and its workers themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

from aether_protocol.engine.mailbox import cancel_question, resume_question, suspended_paths
from aether_protocol.fleet.state import FleetState
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import STATE_ACTION_LOG
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.scheduler.codec import encode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.tasks import is_current
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.base_world import BaseWorld
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.document_generator import compile_value
from aether_protocol.testing.simulation.fleet.laws import FleetLaws, what_is_left
from aether_protocol.testing.simulation.fleet.machine import MachineOffer, SimMachine
from aether_protocol.testing.simulation.fleet.network import TROUBLE, Network, SimTransport
from aether_protocol.testing.simulation.fleet.scenario import FleetScenario
from aether_protocol.testing.simulation.fleet.server import FleetParts, SimulatedFleet, Vault
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import Record, RunOutcome, demand, ending, examine, over, restored, same
from aether_protocol.testing.simulation.process import Process, ProcessOptions
from aether_protocol.testing.simulation.store import DATABASE, SimMemoryStore, SimStore
from aether_protocol.testing.simulation.workers import PASSWORD, SECOND
from aether_protocol.views.report import make_report
from aether_protocol.views.summary import make_row

_TICK: Final = 2 * SECOND
_HORIZON: Final = 2 * 3600 * SECOND
_FAULTS_AFTERWARDS: Final = 10 * SECOND  # so long after the end of all runs faults go on
_CALM: Final = 50 * SECOND  # so long all is well in the end: then nothing may be left
_FREEZES: Final = (2 * SECOND, 10 * SECOND, 40 * SECOND, 70 * SECOND)
_ABSENCES: Final = (0, SECOND, 5 * SECOND, 45 * SECOND)


def run_id(number: int) -> str:
    return f"run-{number}"


class FleetWorld(BaseWorld):
    """Plays one scenario. `outcomes` say how its runs ended, by number."""

    absences = (0, SECOND, 5 * SECOND, 15 * SECOND, 40 * SECOND)
    together = True
    least_calm: int | None = None  # microseconds
    longest_calm = _CALM
    recovers = True  # what is not driven is recovered with each tick

    def __init__(self, played: FleetScenario, loop: QuietLoop, plans: tuple[Plan, ...] | None = None) -> None:
        clock = ManualClock()
        store: SimStore = (DATABASE.get() if played.sqlite else SimMemoryStore)(STATE_ACTION_LOG, clock.now)
        chaos = Chaos(played.seed, played.strength, played.without)
        self.vault = Vault()
        machine = ProcessOptions(snapshot_steps=20, broker=self._broker, secrets=[self.vault])
        super().__init__(clock, store, chaos, played.work, survive=False, machine=machine)
        self.scenario = played
        self.plans = plans or tuple(compile_value(dict(run.document)) for run in played.runs)
        self.outcomes: list[RunOutcome] = []
        self.laws = FleetLaws(clock, self.counts, self.broken.append, played.weights, thorough=played.thorough)
        self.network = Network(clock, chaos, self.laws)
        self.machines: list[SimMachine] = []
        self._parts = FleetParts(
            clock,
            chaos,
            self.network,
            self.vault,
            self.laws,
            weights=played.weights,
            limits=played.limits,
            beat_s=played.beat_s,
        )
        self.fleets: dict[Process, SimulatedFleet] = {}
        self._loop = loop
        self._told: dict[tuple[str, int], str] = {}
        self._versions = Counter[str]()
        self._cancelled: set[str] = set()
        self._over_at: int | None = None  # all runs had ended then
        self._calm_from: int | None = None  # and from then on nothing failed any more
        self._calm_us = self.longest_calm

    def _broker(self, host: object) -> SimulatedFleet:
        assert isinstance(host, Process)
        fleet = self.fleets[host] = SimulatedFleet(self._parts, host, self.network.free_address())
        fleet.calm_since = self.clock.now() + (TROUBLE if self.chaos.happened else 0)
        return fleet

    # --- the course of things ---

    async def run(self) -> None:
        """Play it to the end. Raises LawBrokenError, and whatever error there was in a task or a callback."""
        self._loop.report_to(self.broken.append)
        for _ in range(self.scenario.servers):
            self.bring_up()
        for offer in self.scenario.machines:
            self._start(offer)
        self.clock.call_at(self.begin, self._tick)
        try:
            while self._calm_from is None or self.clock.now() < self._calm_from + self._calm_us:
                await self._loop.quiet()
                self.laws.at_rest()
                if self.broken:
                    raise self.broken[0]
                await self._look_at_tasks()
                await self.bury()
                self.move_on(_HORIZON)
            await self._judge()
        finally:
            await self.end()

    async def end(self) -> None:
        self.network.end()
        for machine in self.machines:
            machine.kill()
        await asyncio.gather(*(machine.task for machine in self.machines), return_exceptions=True)
        await super().end()

    async def clear(self, process: Process) -> None:
        del self.fleets[process]
        await super().clear(process)

    # --- machines ---

    def _start(self, offer: MachineOffer) -> None:
        self._versions[offer.name] += 1
        version = f"{self._versions[offer.name]}.0"
        machine = SimMachine(offer, self.clock, self.chaos, self.laws, seed=self.scenario.work, version=version)
        self.machines.append(machine)
        machine.trouble_until = self.clock.now() + (TROUBLE if self.chaos.happened else 0)
        machine.address = self.scenario.machines.index(offer) % len(self.network.servers)
        machine.begin(SimTransport(self.network, machine))

    async def _look_at_tasks(self) -> None:
        """Supervisors that have ended: they were to, or an internal error ended them."""
        for machine in [one for one in self.machines if one.task.done()]:
            self.machines.remove(machine)
            if not machine.dead:
                error = machine.task.exception()
                if error is not None:
                    raise error
                self.laws.drained(machine)
            self._come_back(machine)

    def _come_back(self, machine: SimMachine) -> None:
        self.counts["workers upgraded"] += 1
        self.clock.call_at(self.clock.now() + self.chaos.choose(*_ABSENCES), partial(self._start, machine.offer))

    # --- faults ---

    def _tick(self) -> None:
        self.clock.call_at(self.clock.now() + _TICK, self._tick)
        for process in self.living():
            self.trouble_server(process)
        for machine in list(self.machines):
            if not machine.ended:
                self.trouble_worker(machine)
        if not self.vault.away and self.chaos.strikes("secrets-down"):
            self.vault.away = True
            back = self.clock.now() + self.chaos.choose(5, 60) * SECOND
            self.clock.call_at(back, lambda: setattr(self.vault, "away", False))
        self._look()
        self._look_at_end()
        self.errand(self.tend())

    def _look_at_end(self) -> None:
        """Once all runs have ended, faults cease, and those that last come to their end."""
        if self._calm_from is not None:
            self._look_at_calm(self._calm_from)
        elif self._over_at is not None and self.clock.now() >= self._over_at + _FAULTS_AFTERWARDS:
            self.chaos.end()
            well = [one for one in self.living() if not (self.fleets[one].clock.frozen or one.cut_off)]
            all_well = self.scenario.servers <= len(well) == len(self.living())
            if all_well and not self.vault.away and all(one.well for one in self.machines):
                self._calm_from = self.clock.now()

    def _look_at_calm(self, since: int) -> None:
        """It lasts no longer than until nothing is left, where this world is not about what comes after that."""
        calm = self.clock.now() - since
        if self.least_calm is not None and calm >= self.least_calm and not what_is_left(self._states(), self.machines):
            self._calm_us = min(self._calm_us, calm)

    def _states(self) -> list[FleetState]:
        return [self.fleets[process].broker.fleet.state for process in self.living()]

    def trouble_server(self, process: Process) -> None:
        fleet = self.fleets[process]
        if self.chaos.strikes("server-killed"):
            process.die()
        elif fleet.clock.can_freeze and self.chaos.strikes("server-frozen"):
            freeze = self.chaos.choose(*_FREEZES)
            fleet.clock.frozen = True
            process.cut_off_until(self.clock.now() + freeze)
            self.clock.call_at(self.clock.now() + freeze, fleet.clock.thaw)
            fleet.calm_since = self.clock.now() + freeze + TROUBLE

    def trouble_worker(self, machine: SimMachine) -> None:
        strikes, choose = self.chaos.strikes, self.chaos.choose
        before = len(self.chaos.happened)
        lasts = 0
        if strikes("worker-killed"):
            machine.thaw()
            machine.kill()
        elif machine.clock.can_freeze and (strikes("worker-frozen") or strikes("supervisor-frozen")):
            machine.freeze(children=self.chaos.happened[-1].startswith("worker"))
            lasts = choose(*_FREEZES)
            self.clock.call_at(self.clock.now() + lasts, machine.thaw)
        elif strikes("worker-drained"):
            machine.draining = True
            machine.clock.when_awake(lambda: machine.supervisor.drain(choose(0, 5, 20)))
        elif strikes("worker-asked-to-drain"):
            self._ask_to_drain(machine)
        for kind, to, of in (("partition-to-server", 1, 0), ("partition-from-server", 0, 1), ("partition", 1, 1)):
            if not (machine.cut_to or machine.cut_from) and strikes(kind):
                machine.cut_to, machine.cut_from = bool(to), bool(of)
                lasts = max(lasts, choose(5 * SECOND, 20 * SECOND, 80 * SECOND))
                self.clock.call_at(self.clock.now() + lasts, partial(_mend, machine))
        if len(self.chaos.happened) > before:
            machine.trouble_until = max(machine.trouble_until, self.clock.now() + lasts + TROUBLE)

    def _ask_to_drain(self, machine: SimMachine) -> None:
        server = self.network.servers.get(machine.address)
        if server is not None and not server.refuses and machine.supervisor.session:
            machine.draining = True
            server.broker.drain(machine.supervisor.session, self.chaos.choose(0, 5, 20))

    # --- the operator ---

    async def tend(self) -> None:
        """What an operator does every two seconds, and what servers do by themselves."""
        now = self.clock.now()
        open_ones = [number for number in range(len(self.plans)) if not self.store.is_closed(run_id(number))]
        if self._over_at is None and not open_ones:
            self._over_at = now
        living = self.living()
        for process in living:
            undriven = False
            for number in open_ones:
                run, name = self.scenario.runs[number], run_id(number)
                if now < self.begin + run.at:
                    continue
                if await self.store.runs.row(name) is None:
                    if process is living[number % len(living)]:
                        self.errand(self._submit(process, number))
                    continue
                self.errand(self._answer(process, name))
                if run.cancel_at is not None and now >= self.begin + run.cancel_at and name not in self._cancelled:
                    self.errand(self._cancel(process, name))
                driven = process.engine.driven.find(name)
                undriven = undriven or driven is None or driven.error is not None
            if undriven and self.recovers:
                self.errand(process.engine.recover())

    async def _submit(self, process: Process, number: int) -> None:
        await process.engine.submit(self.plans[number], run_id=run_id(number))

    async def _answer(self, process: Process, name: str) -> None:
        if name in process.engine.driven.ids:
            for path in suspended_paths(process.engine.driven.state(name)):
                await process.engine.driven.ask(name, resume_question(path, {"answer": 1}))

    async def _cancel(self, process: Process, name: str) -> None:
        await process.engine.driven.ask(name, cancel_question())
        self._cancelled.add(name)

    # --- laws ---

    def _look(self) -> None:
        for process in self.living():
            fleet = self.fleets[process]
            if fleet.clock.frozen or process.cut_off:
                fleet.laws.forget()
                fleet.calm_since = max(fleet.calm_since, self.clock.now())
                continue
            outstanding = list(self._outstanding(process))
            fleet.laws.look(fleet.broker.fleet.state, self.machines, outstanding, fleet.calm_since)

    def _outstanding(self, process: Process) -> Iterator[AttemptRef]:
        driven = process.engine.driven
        for name in driven.ids:
            run = driven.find(name)
            if run is not None:
                sent = [one for one in run.open.values() if one.offered and not one.dropped and not one.own]
                nodes = run.state.nodes
                yield from (one.ref for one in sent if is_current(nodes[one.node], one.ref.attempt))

    def stored(self, process: Process, run_id: str, state: RunState, step: LogEntry) -> None:
        self._told[run_id, step.seq] = encode_entry(step)

    def acknowledged(self, process: Process, ref: AttemptRef, times: int) -> None:
        self.laws.acknowledged.add(ref)
        super().acknowledged(process, ref, times)

    async def _judge(self) -> None:
        text = self.store.text()
        demand(PASSWORD not in text, "secrets stay hidden", "the store holds the password")
        for number, plan in enumerate(self.plans):
            name = run_id(number)
            loaded = restored(await self.store.runs.load(name))
            over(loaded)
            examine(loaded)
            demand(PASSWORD not in json.dumps(make_report(loaded).to_json()), "secrets stay hidden", "the report tells it")
            row = await self.store.runs.row(name)
            demand(row == make_row(loaded, STATE_ACTION_LOG), "a row says what its record says", f"it says {row}")
            lines = await self.store.runs.lines(name)
            record = Record(plan, thorough=self.scenario.thorough)
            same(record.read(lines), loaded, "a snapshot and the steps after it give what all steps give")
            kept = dict(lines)
            for (run, seq), line in self._told.items():
                if run == name:
                    demand(kept.get(seq) == line, "no recorded result is lost", f"step {seq} was {line}, now {kept.get(seq)}")
            self.counts["results"] += record.results.total()
            if name in self._cancelled:
                demand(loaded.phase == "Cancelled", "a run that was cancelled is Cancelled", f"it is {loaded.phase}")
            self.laws.judge_logs(name, await self.store.logs.read(name, limit=100_000))
            self.counts["logs judged"] += 1
            self.outcomes.append(ending(loaded))
        self.laws.settled(self._states(), self.machines)
        if self.broken:
            raise self.broken[0]
        self.count_faults()

    def count_faults(self) -> None:
        super().count_faults()
        for kind, count in self.chaos.counts.items():
            self.counts[f"fault: {kind}"] += count


def _mend(machine: SimMachine) -> None:
    machine.cut_to = machine.cut_from = False
