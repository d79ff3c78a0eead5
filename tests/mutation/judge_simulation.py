"""Plays seeds of the simulation until one breaks a law: the work of one process of the mutation check of durable runs.

Law: as judge.py; the second argument is the law that should break: one of FLEET is judged by the simulation of a fleet, one of
SERVERS by that of several servers, any other by that of engines, none by all. The third is the number of seeds.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path


def main(copy: str, rule: str, seeds: str) -> None:
    import aether_protocol
    from aether_protocol.testing.simulation.play import play_fleet_seed, play_seed, play_servers_seed

    assert Path(aether_protocol.__file__).is_relative_to(Path(copy).resolve()), aether_protocol.__file__
    logging.getLogger("aether_protocol").setLevel(logging.CRITICAL)  # what breaks is meant to
    players = {"FLEET": play_fleet_seed, "SERVERS": play_servers_seed}
    for player in (players.get(rule.partition("-")[0], play_seed),) if rule else (play_seed, *players.values()):
        for seed in range(int(seeds)):
            played = player(seed)
            if played.law is not None:
                print(json.dumps({"case": played.law, "file": f"seed {seed}", "outcome": "failed", "why": played.told}))
                return
    print(json.dumps({"passed": int(seeds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
