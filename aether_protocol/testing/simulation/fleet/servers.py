"""A world with several servers on one store: they come and go, are cut off from the store or from a worker, and are taken for
gone while they live.

Law: a server keeps its address for as long as it lives; one that comes in its place answers there. A worker talks to one of
them and turns to another when that one refuses. That a server died, or was cut off from the store, the store says at once,
later, or never: then its lease ends by time.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from aether_protocol.plan.model import Plan
from aether_protocol.testing.simulation.fleet.machine import SimMachine
from aether_protocol.testing.simulation.fleet.network import TROUBLE
from aether_protocol.testing.simulation.fleet.scenario import FleetScenario
from aether_protocol.testing.simulation.fleet.world import FleetWorld
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.process import Process
from aether_protocol.testing.simulation.workers import SECOND

_CUTS: Final = (5 * SECOND, 20 * SECOND, 40 * SECOND)
_LINK_CUTS: Final = (("link-cut-to-server", True, False), ("link-cut-from-server", False, True), ("link-cut", True, True))
_NOTICED: Final = (SECOND // 2, 2 * SECOND, 0)  # when the store says that a session has ended; 0: never


class ServersWorld(FleetWorld):
    """Plays a scenario with `servers` of them, and at times one more."""

    absences = (0, SECOND, 5 * SECOND, 20 * SECOND, 60 * SECOND)

    def __init__(self, played: FleetScenario, loop: QuietLoop, plans: tuple[Plan, ...] | None = None) -> None:
        super().__init__(played, loop, plans)
        self.laws.alone = False

    def living(self) -> list[Process]:
        return [one for one in super().living() if not self.fleets[one].leaving]

    async def tend(self) -> None:
        self._spread()
        await super().tend()

    def _spread(self) -> None:
        """A server to which no able worker talks gets one: what it drives could end nowhere else."""
        able = [one for one in self.machines if one.name.startswith("able") and not one.ended]
        at = [one.address for one in able]
        for process in self.living():
            address = self.fleets[process].address
            moving = next((one for one in able if at.count(one.address) > 1 or one.address not in self._answering()), None)
            if address not in at and moving is not None:
                moving.address = address
                moving.trouble_until = self.clock.now() + TROUBLE
                at = [one.address for one in able]

    def _answering(self) -> set[int]:
        return {self.fleets[process].address for process in self.living()}

    # --- faults ---

    async def clear(self, process: Process) -> None:
        self._notice(process)
        await super().clear(process)

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
            await self.fleets[process].broker.close()
            await process.bury()
        finally:
            process.die()

    def trouble_worker(self, machine: SimMachine) -> None:
        super().trouble_worker(machine)
        for kind, to, of in _LINK_CUTS:
            if not machine.cuts and self.chaos.strikes(kind):
                lasts = self.chaos.choose(*_CUTS)
                machine.cuts[machine.address] = to, of
                self.clock.call_at(self.clock.now() + lasts, machine.cuts.clear)
                machine.trouble_until = max(machine.trouble_until, self.clock.now() + lasts + TROUBLE)
