"""`python -m aether_protocol.testing.simulation`: play seeds and tell what happened, in numbers.

Law: the output depends on the seeds alone (but for the time taken). Exit code 0 if every law held, 1 if not, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aether_protocol.testing.simulation.play import (
    COMMAND,
    Played,
    command_of,
    play_cron_seed,
    play_fleet_seed,
    play_seed,
    play_servers_seed,
)
from aether_protocol.testing.simulation.shrink import shrink

_SHOWN = 10  # failing seeds that are reported in full


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, play, tell."""
    options = _options(arguments)
    logging.getLogger("aether_protocol").setLevel(logging.CRITICAL)  # what breaks in a simulation is meant to
    counts: Counter[str] = Counter()
    failed: list[Played] = []
    player = play_cron_seed if options.cron else play_fleet_seed if options.fleet else play_seed
    player = play_servers_seed if options.servers else player
    start = time.perf_counter()
    for done, seed in enumerate(options.seeds, 1):
        played = player(seed)
        counts.update(played.counts)
        if played.law is not None:
            if options.shrink and len(failed) < _SHOWN:
                played = shrink(played)
            failed.append(played)
            if not options.json and len(failed) <= _SHOWN:
                print(told(played), flush=True)
        if options.progress and done % options.progress == 0:
            print(f"{done} seeds, {len(failed)} failed, {time.perf_counter() - start:.0f} s: {dict(counts)}", file=sys.stderr)
    summary = _summary(len(options.seeds), counts, failed, time.perf_counter() - start)
    if options.json:
        print(json.dumps(summary | {"failures": [_as_json(played) for played in failed]}, indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Play random workflows while engines, stores and brokers fail.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=_one, dest="seeds", metavar="N", help="play one seed")
    which.add_argument("--seeds", type=_several, metavar="A..B", help="play seeds A to B, without B")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--cron", action="store_true", help="with schedules: schedulers that compete, fail and come back")
    kind.add_argument("--fleet", action="store_true", help="with workers of a server: partitions, freezes, drains, upgrades")
    kind.add_argument("--servers", action="store_true", help="with several servers on one store, and their workers")
    parser.add_argument("--shrink", action="store_true", help="make failing ones smaller before they are reported")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--progress", type=int, default=0, metavar="N", help="tell the state on standard error every N seeds")
    options: argparse.Namespace = parser.parse_args(arguments)
    return options


def _one(text: str) -> range:
    return range(int(text), int(text) + 1)


def _several(text: str) -> range:
    first, _, end = text.partition("..")
    return range(int(first), int(end))


def _summary(seeds: int, counts: Counter[str], failed: Sequence[Played], seconds: float) -> dict[str, Any]:
    laws = Counter(played.law for played in failed)
    return {
        "seeds": seeds,
        **dict(sorted(counts.items())),
        "results duplicated": laws["a result is recorded once"],
        "results lost": laws["no recorded result is lost"],
        "seeds failed": len(failed),
        "seconds": round(seconds, 1),
    }


def _as_json(played: Played) -> dict[str, Any]:
    scenario = played.scenario
    return {
        "seed": scenario.seed,
        "law": played.law,
        "told": played.told,
        "faults": played.faults,
        **scenario.told(),
        "command": f"{command_of(scenario)} --shrink",
    }


def told(played: Played) -> str:
    """A failure as text."""
    shown = _as_json(played)
    document = json.dumps(shown.pop("document", None))
    lines = [f"seed {shown.pop('seed')} broke a law: {shown.pop('law')}", f"  {shown.pop('told')}"]
    lines += [f"  {name}: {value}" for name, value in shown.items()]
    return "\n".join([*lines, f"  document: {document}"] if document != "null" else lines)


if __name__ == "__main__":
    sys.exit(main())
