"""Several servers on one store, and their workers, whatever fails between them: seeds of the simulation; laws notice something.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from aether_protocol.adapters.stores.memory.facets import LeaseBook
from aether_protocol.testing.simulation.__main__ import main, told
from aether_protocol.testing.simulation.play import Played, play_again, play_servers_seed
from aether_protocol.testing.simulation.shrink import shrink

SEEDS = 16
PARTS = 1  # so that several processes share the work
FAULTS = ("server-killed", "server-frozen", "server-stopped", "server-joins", "server-cut-off", "link-cut")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What breaks in a simulation is meant to."""
    log = logging.getLogger("aether_protocol")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_law_of_several_servers_holds_whatever_fails(part: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS):
        played = play_servers_seed(seed)
        assert played.law is None, told(played)
        counts.update(played.counts)
    for name in (*FAULTS, "session-lock-false"):
        assert counts[f"fault: {name}"] > 0, name  # the faults do happen
    for name in ("runs compared", "logs judged", "workers drained", "attempts lost", "takeovers", "writes fenced"):
        assert counts[name] > 0, name


def test_a_seed_of_several_servers_gives_the_same_twice() -> None:
    first, again = play_servers_seed(8), play_servers_seed(8)
    assert (first.counts, first.faults) == (again.counts, again.faults)


def first_failure(seeds: int = 200) -> Played:
    failed = next((played for played in map(play_servers_seed, range(seeds)) if played.law is not None), None)
    assert failed is not None, "nothing is noticed"
    return failed


class NoTokens(dict[str, int]):
    """Every token is the first one."""

    def get(self, run_id: str, default: Any = 0) -> Any:
        return 0 if run_id not in self else 1

    def __getitem__(self, run_id: str) -> int:
        return 1


def test_a_store_without_a_fence_is_noticed_and_the_failure_repeated_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before = LeaseBook.__init__

    def unfenced(self: LeaseBook, now: Any) -> None:
        before(self, now)
        self.tokens = NoTokens()

    monkeypatch.setattr(LeaseBook, "__init__", unfenced)
    failed = first_failure()
    assert failed.law == "a lease is given to one owner at a time, with a token that grows"
    small = shrink(failed, plays=8)
    assert play_again(small.scenario).law == small.law == failed.law
    assert f"--servers --seed {failed.scenario.seed}" in told(small)


def test_the_command_plays_several_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--servers", "--seeds", "0..3"]) == 0
    assert "assignments: " in capsys.readouterr().out
