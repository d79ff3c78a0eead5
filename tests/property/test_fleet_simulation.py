"""A server and its workers, whatever fails between them: 500 seeds of the simulation of a fleet; each law notices something.

`tests/mutation/faults_simulated_fleet.py` holds more faults that the laws must notice.
"""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.execution.masking import Masker
from aether_protocol.fleet import attempts, membership
from aether_protocol.fleet.queue import Turns
from aether_protocol.fleet.state import FleetState
from aether_protocol.testing.simulation.__main__ import main, told
from aether_protocol.testing.simulation.fleet import laws
from aether_protocol.testing.simulation.play import play_again, play_fleet_seed
from aether_protocol.testing.simulation.shrink import shrink
from aether_protocol.worker import supervisor
from aether_protocol.worker.supervisor import Supervisor
from tests.property.seeds import all_hold, first_failure, part_of

SEEDS = 500
PARTS = 10  # so that several processes share the work


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("part", range(PARTS))
def test_every_law_of_a_fleet_holds_whatever_fails(part: int) -> None:
    counts = all_hold(play_fleet_seed, part_of(SEEDS, part, PARTS))
    for name in ("worker-killed", "server-killed", "frame-lost", "frame-doubled", "frame-late", "worker-frozen", "partition"):
        assert counts[f"fault: {name}"] > 3, name  # the faults do happen
    for name in ("runs compared", "logs judged", "workers drained", "attempts lost"):
        assert counts[name] > 3, name


def test_a_seed_of_a_fleet_gives_the_same_twice() -> None:
    first, again = play_fleet_seed(7), play_fleet_seed(7)
    assert (first.counts, first.faults) == (again.counts, again.faults)


@pytest.mark.parametrize(
    ("place", "name", "instead", "law"),
    [
        (supervisor, "KILL_AT", 9.0, laws.OVERLAP),
        (FleetState, "lose", lambda self, delivery, reason: self.end(delivery), laws.UNHELD),
        (FleetState, "match", lambda self, now: None, laws.WAITING),
        (Turns, "serve", lambda self, turn: None, laws.SHARE),
        (Masker, "value", lambda self, value: value, laws.SECRET_LAW),
        (Supervisor, "_is_over", lambda self: self._drain_until is not None, laws.DRAINED),
    ],
    ids=["overlap", "unheld", "waiting", "share", "secret", "drained"],
)
def test_a_fleet_that_breaks_a_law_is_noticed(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, instead: Any, law: str
) -> None:
    monkeypatch.setattr(place, name, instead)
    if law == laws.OVERLAP:
        monkeypatch.setattr(supervisor, "STOP_AT", 8.0)
    assert first_failure(play_fleet_seed, 400).law == law


def test_a_failure_of_a_fleet_shrinks_and_is_repeated_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_move", lambda fleet, delivery, session: None)
    monkeypatch.setattr(attempts, "_delay", lambda fleet, work, reason, now: None)
    failed = first_failure(play_fleet_seed, 400)
    small = shrink(failed, plays=8)
    assert small.law == failed.law
    assert play_again(small.scenario).law == small.law, "what comes out was played and failed"
    assert f"--fleet --seed {failed.scenario.seed}" in told(small)


def test_the_command_plays_fleets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fleet", "--seeds", "0..3"]) == 0
    assert "assignments: " in capsys.readouterr().out
