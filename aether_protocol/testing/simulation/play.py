"""Plays scenarios: each with its faults and, where that says something, once without.

Law: a failure names the law that was broken and the command that repeats it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import STATE_ACTION_LOG
from aether_protocol.testing.simulation.document_generator import compile_value
from aether_protocol.testing.simulation.fleet.scenario import FleetScenario, fleet_scenario, servers_scenario
from aether_protocol.testing.simulation.fleet.servers import ServersWorld
from aether_protocol.testing.simulation.fleet.world import FleetWorld
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import RunOutcome, compare, ending
from aether_protocol.testing.simulation.schedules import CronScenario, CronWorld, cron_scenario
from aether_protocol.testing.simulation.world import SAME, Scenario, World, scenario

COMMAND: Final = "python -m aether_protocol.testing.simulation"


AnyScenario = Scenario | CronScenario | FleetScenario


class Played(Struct):
    """What came of one scenario. `law` is the broken one, None if all held; `faults` are those that happened."""

    scenario: AnyScenario
    counts: Counter[str]
    faults: list[str]
    law: str | None = None
    told: str = ""


class _Workflow(Struct):
    """What the seeds of one workflow have in common: its plan, and how it ends when nothing fails."""

    plan: Plan
    calm: RunOutcome | None = None


def play(played: Scenario, workflow: _Workflow | None = None) -> Played:
    """Play one scenario. Raises InvalidDocumentError, and nothing for what happens in it."""
    workflow = workflow or _Workflow(compile_value(dict(played.document)))
    loop = QuietLoop()
    world = World(played, loop, workflow.plan)
    counts, faults = world.counts, world.chaos.happened
    counts["runs"] += 1
    try:
        ended = ending(loop.run(world.run()))
        if not played.timed:
            if workflow.calm is None:
                workflow.calm = _calm(played, workflow.plan)
            comparable = not (ended.excused or workflow.calm.excused)
            if comparable:
                compare(workflow.calm, ended)
            counts["runs compared" if comparable else "runs not comparable"] += 1
    except Exception as error:
        return Played(played, counts, faults, getattr(error, "law", type(error).__name__), str(error))
    return Played(played, counts, faults)


@lru_cache(maxsize=1)
def _workflow(work: int) -> _Workflow:
    return _Workflow(compile_value(dict(scenario(work * SAME).document)))


def play_seed(seed: int) -> Played:
    """Play the scenario of a seed."""
    played = scenario(seed)
    return play(played, _workflow(played.work))


def play_cron(played: CronScenario) -> Played:
    """Play one scenario with a schedule in it. Raises nothing for what happens in it."""
    loop = QuietLoop()
    world = CronWorld(played, loop)
    try:
        loop.run(world.run())
    except Exception as error:
        told = getattr(error, "law", type(error).__name__), str(error)
        return Played(played, world.counts, world.chaos.happened, *told)
    return Played(played, world.counts, world.chaos.happened)


def play_cron_seed(seed: int) -> Played:
    """Play the scenario of a seed that has a schedule in it."""
    return play_cron(cron_scenario(seed))


class _Fleet(Struct):
    """What the seeds of one fleet have in common: the plans of its runs, and how they end when nothing fails."""

    plans: tuple[Plan, ...]
    calm: list[RunOutcome] | None = None


def play_fleet(played: FleetScenario, common: _Fleet | None = None) -> Played:
    """Play one scenario of a fleet. Raises InvalidDocumentError, and nothing for what happens in it."""
    common = common or _fleet_of(played)
    loop = QuietLoop()
    world = (FleetWorld if played.servers == 1 else ServersWorld)(played, loop, common.plans)
    counts, faults = world.counts, world.chaos.happened
    try:
        loop.run(world.run())
        counts["runs"] += len(world.outcomes)
        if not played.timed:
            if common.calm is None:
                common.calm = _calm_fleet(played, common.plans)
            for calm, ended in zip(common.calm, world.outcomes, strict=True):
                comparable = not (ended.excused or calm.excused)
                if comparable:
                    compare(calm, ended)
                counts["runs compared" if comparable else "runs not comparable"] += 1
    except Exception as error:
        return Played(played, counts, faults, getattr(error, "law", type(error).__name__), str(error))
    return Played(played, counts, faults)


def _fleet_of(played: FleetScenario) -> _Fleet:
    return _Fleet(tuple(compile_value(dict(run.document)) for run in played.runs))


def _calm_fleet(played: FleetScenario, plans: tuple[Plan, ...]) -> list[RunOutcome]:
    loop = QuietLoop()
    calm = FleetWorld(replace(played, strength=0.0, sqlite=False, thorough=False, servers=1), loop, plans)
    loop.run(calm.run())
    return calm.outcomes


@lru_cache(maxsize=1)
def _common(work: int, make: Callable[[int], FleetScenario]) -> _Fleet:
    return _fleet_of(make(work * SAME))


def play_fleet_seed(seed: int) -> Played:
    """Play the scenario of a seed that has a fleet in it."""
    played = fleet_scenario(seed)
    return play_fleet(played, _common(played.work, fleet_scenario))


def play_servers_seed(seed: int) -> Played:
    """Play the scenario of a seed that has a fleet with several servers in it."""
    played = servers_scenario(seed)
    return play_fleet(played, _common(played.work, servers_scenario))


def play_again(played: AnyScenario) -> Played:
    """Play a scenario of any kind."""
    if isinstance(played, FleetScenario):
        return play_fleet(played)
    return play_cron(played) if isinstance(played, CronScenario) else play(played)


def _option(played: AnyScenario) -> str:
    if isinstance(played, FleetScenario):
        return "--fleet " if played.servers == 1 else "--servers "
    return "--cron " if isinstance(played, CronScenario) else ""


def command_of(played: AnyScenario) -> str:
    """What repeats it."""
    return f"{COMMAND} {_option(played)}--seed {played.seed}"


def _calm(played: Scenario, plan: Plan) -> RunOutcome:
    """How the workflow ends when nothing fails."""
    loop = QuietLoop()
    calm = replace(played, strength=0.0, engines=1, tier=STATE_ACTION_LOG, survive=False, sqlite=False, slots=None)
    return ending(loop.run(World(calm, loop, plan).run()))
