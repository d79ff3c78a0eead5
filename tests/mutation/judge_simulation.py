"""Plays seeds of the simulation until one breaks a law: the work of one process of the mutation check of durable runs.

Law: as judge.py; the second argument is the law that should break: one of FLEET is judged by the simulation of a fleet, any
other by that of engines, none by both. The third is the number of seeds.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path


def main(copy: str, rule: str, seeds: str) -> None:
    import aether_protocol
    from aether_protocol.testing.simulation.play import play_fleet_seed, play_seed

    assert Path(aether_protocol.__file__).is_relative_to(Path(copy).resolve()), aether_protocol.__file__
    logging.getLogger("aether_protocol").setLevel(logging.CRITICAL)  # what breaks is meant to
    of_fleet = rule.startswith("FLEET")
    for player in (play_seed, play_fleet_seed) if not rule else (play_fleet_seed,) if of_fleet else (play_seed,):
        for seed in range(int(seeds)):
            played = player(seed)
            if played.law is not None:
                print(json.dumps({"case": played.law, "file": f"seed {seed}", "outcome": "failed", "why": played.told}))
                return
    print(json.dumps({"passed": int(seeds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
