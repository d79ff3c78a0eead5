"""A world with several servers on one store: they come and go, are cut off from the store or from a worker, and are taken for
gone while they live.

Law: a server keeps its address for as long as it lives; one that comes in its place answers there. A worker talks to one of
them and turns to another when that one refuses. That a server died, or was cut off from the store, the store says at once,
later, or never: then its lease ends by time.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec.structs import replace

from aether_protocol.engine.mailbox import cancel_question, resume_question, suspended_paths
from aether_protocol.errors import AetherError
from aether_protocol.plan.model import Plan
from aether_protocol.testing.simulation.fleet.between_laws import BetweenLaws
from aether_protocol.testing.simulation.fleet.commands import Commands
from aether_protocol.testing.simulation.fleet.machine import LEASE, SimMachine
from aether_protocol.testing.simulation.fleet.network import LATEST, TROUBLE
from aether_protocol.testing.simulation.fleet.peers import ServerLife
from aether_protocol.testing.simulation.fleet.scenario import FleetScenario
from aether_protocol.testing.simulation.fleet.server import SimulatedFleet
from aether_protocol.testing.simulation.fleet.world import FleetWorld, run_id
from aether_protocol.testing.simulation.hints import Hints
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.process import Process
from aether_protocol.testing.simulation.workers import SECOND

_CUTS: Final = (5 * SECOND, 20 * SECOND, 40 * SECOND)
_LINK_CUTS: Final = (("link-cut-to-server", True, False), ("link-cut-from-server", False, True), ("link-cut", True, True))
_NOTICED: Final = (SECOND // 2, 2 * SECOND, 0)  # when the store says that a session has ended; 0: never


class ServersWorld(FleetWorld):
    """Plays a scenario with `servers` of them, and at times one more."""

    absences = (0, SECOND, 5 * SECOND, 20 * SECOND, 60 * SECOND)
    least_calm = LATEST  # every message has arrived by then
    longest_calm = 2 * LEASE + LATEST  # the session of a server of which that does not know lasts for two leases
    recovers = False  # they claim what is their share

    def __init__(self, played: FleetScenario, loop: QuietLoop, plans: tuple[Plan, ...] | None = None) -> None:
        super().__init__(played, loop, plans)
        self.machine = replace(self.machine, hints=Hints(self.clock, self.chaos))
        self._lives: dict[Process, ServerLife] = {}
        self._between = BetweenLaws(self.broken.append)
        self._commands = Commands()
        self._former: dict[str, Process] = {}  # by run, who had it and may not know yet that another one has it

    def living(self) -> list[Process]:
        return [one for one in super().living() if not self.fleets[one].leaving]

    async def live(self, process: Process) -> None:
        await super().live(process)
        life = self._lives[process] = ServerLife(self.network, process, self.fleets[process])
        try:
            await life.serve()
        except AetherError:
            process.die()  # the store did not take it in

    async def clear(self, process: Process) -> None:
        self._notice(process)
        if process in self._lives:
            await self._lives.pop(process).close()
        await super().clear(process)

    # --- faults ---

    def trouble_server(self, process: Process) -> None:
        super().trouble_server(process)
        strikes, choose = self.chaos.strikes, self.chaos.choose
        if process.dead:
            return
        fleet, lasts = self.fleets[process], -1
        if strikes("server-stopped"):
            fleet.leaving = True
            self.errand(self._stop(process))
        elif strikes("server-cut-off"):
            lasts = choose(*_CUTS)
            process.cut_off_until(self.clock.now() + lasts)
            self._notice(process)
        elif strikes("session-lock-false"):
            lasts = 0
            self.gone(process)
        if lasts >= 0:
            fleet.calm_since = max(fleet.calm_since, self.clock.now() + lasts + TROUBLE)
        if process in self._lives and strikes("offers-wiped"):
            self._lives[process].forget_offers()
        if process in self._lives and strikes("link-wiped"):
            self.errand(self._lives[process].forget_link(choose(0, 1, 2)))
        if not fleet.cuts and strikes("peer-cut"):
            others = [self.fleets[one] for one in self.living() if one is not process]
            for other in others[: choose(1, len(others)) if others else 0]:
                fleet.cuts.add(other.address)
                other.cuts.add(fleet.address)
                self.clock.call_at(self.clock.now() + choose(*_CUTS), partial(_join, fleet, other))
        if strikes("server-joins"):
            self.bring_up()

    def gone(self, process: Process) -> None:
        """The store takes a process for gone, whose lease it ends."""
        self.store.end_lease(process.engine_name)
        self._leases[process.number] = 0

    def _notice(self, process: Process) -> None:
        """The session of this process has ended, which the store sees at some time."""
        later = self.chaos.choose(*_NOTICED)
        if later:
            self.clock.call_at(self.clock.now() + later, partial(self.gone, process))

    async def _stop(self, process: Process) -> None:
        """A server stops in order: its polls end, then its runs are released."""
        try:
            self.fleets[process].broker.pause()
            if process in self._lives:  # else it is about to begin
                await self._lives[process].close()
            await self.fleets[process].broker.close()
            await process.bury()
        finally:
            process.die()

    # --- the operator ---

    def _any(self, process: Process) -> Process:
        """A server that something is asked of, whichever drives the run; `process` where none lives."""
        living = self.living() or [process]
        return living[self.chaos.choose(*range(len(living)))]

    async def _answer(self, process: Process, name: str) -> None:
        if name in process.engine.driven.ids:
            for path in suspended_paths(process.engine.driven.state(name)):
                question = partial(resume_question, path, {"answer": 1})
                await self._commands.send(self._any(process), name, path, question)

    async def _cancel(self, process: Process, name: str) -> None:
        if await self._commands.send(self._any(process), name, "", cancel_question):
            self._cancelled.add(name)

    # --- laws ---

    def _look(self) -> None:
        super()._look()
        self._look_at_former()
        living = self.living()
        driven = {
            process.engine_name: [one for one in process.engine.driven.ids if process.engine.drives(one)] for process in living
        }
        well = not any(one.cut_off or self.fleets[one].clock.frozen or one not in self._lives for one in living)
        self._between.look(self.clock.now(), driven, self.store.open_runs(), self.chaos.happened, well=well)

    def _taken_over(self, run_id: str, holder: Process, successor: Process, now: int) -> None:
        super()._taken_over(run_id, holder, successor, now)
        self._former[run_id] = holder

    def _look_at_former(self) -> None:
        """Which runs were taken from a server that lives and is cut off from the store: it does not know, and answers its
        workers for as long as its lease lasts."""
        for name, holder in list(self._former.items()):
            if holder.dead or not holder.engine.drives(name):
                del self._former[name]
            elif holder.cut_off:
                self.laws.divided[name] = self.clock.now() + 2 * LEASE

    async def _judge(self) -> None:
        await super()._judge()
        self.counts["looks at shares in a calm"] += self._between.looks
        for number in range(len(self.plans)):
            name = run_id(number)
            entries = [line for _, line in await self.store.runs.lines(name)]
            self._commands.judge(name, entries, self.counts)

    # --- faults of workers ---

    def trouble_worker(self, machine: SimMachine) -> None:
        super().trouble_worker(machine)
        for kind, to, of in _LINK_CUTS:
            if not machine.cuts and self.chaos.strikes(kind):
                lasts = self.chaos.choose(*_CUTS)
                machine.cuts[machine.address] = to, of
                self.clock.call_at(self.clock.now() + lasts, machine.cuts.clear)
                machine.trouble_until = max(machine.trouble_until, self.clock.now() + lasts + TROUBLE)


def _join(first: SimulatedFleet, second: SimulatedFleet) -> None:
    first.cuts.discard(second.address)
    second.cuts.discard(first.address)
