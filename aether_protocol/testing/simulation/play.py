"""Plays scenarios: each with its faults and, where that says something, once without.

Law: a failure names the law that was broken and the command that repeats it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Final

from aether_protocol.testing.simulation.author import InvalidDocumentError
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import Ending, compare, ending
from aether_protocol.testing.simulation.world import Scenario, World, scenario

COMMAND: Final = "python -m aether_protocol.testing.simulation"


@dataclass(slots=True)
class Played:
    """What came of one scenario. `law` is the broken one, None if all held; `faults` are those that happened."""

    scenario: Scenario
    counts: Counter[str]
    faults: list[str]
    law: str | None = None
    told: str = ""


def play(played: Scenario) -> Played:
    """Play one scenario. Raises InvalidDocumentError, and nothing for what happens in it."""
    loop = QuietLoop()
    world = World(played, loop)
    counts, faults = world.counts, world.chaos.happened
    counts["runs"] += 1
    try:
        ended = ending(loop.run(world.run()))
        if not played.timed:
            alone = _calm(played)
            comparable = not (ended.excused or alone.excused)
            if comparable:
                compare(alone, ended)
            counts["runs compared" if comparable else "runs not comparable"] += 1
    except InvalidDocumentError:
        raise
    except Exception as error:
        return Played(played, counts, faults, getattr(error, "law", type(error).__name__), str(error))
    return Played(played, counts, faults)


def play_seed(seed: int) -> Played:
    """Play the scenario of a seed."""
    return play(scenario(seed))


def _calm(played: Scenario) -> Ending:
    """How the workflow ends when nothing fails."""
    loop = QuietLoop()
    return ending(loop.run(World(dataclasses.replace(played, strength=0.0, engines=1, survive=False), loop).run()))
