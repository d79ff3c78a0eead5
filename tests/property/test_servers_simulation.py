"""Several servers on one store, and their workers, whatever fails between them: seeds of the simulation; laws notice something.
"""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.adapters.stores.memory.facets import LeaseBook
from aether_protocol.testing.simulation.__main__ import main, told
from aether_protocol.testing.simulation.play import play_again, play_servers_seed
from aether_protocol.testing.simulation.shrink import shrink
from tests.property.seeds import all_hold, first_failure, part_of

SEEDS = 500
PARTS = 10  # so that several processes share the work
FAULTS = (
    *("server-killed", "server-frozen", "server-stopped", "server-joins", "server-cut-off", "link-cut", "session-lock-false"),
    *("hint-lost", "hint-late", "bell-lost", "offers-wiped", "link-wiped"),
)
WATCHED = (
    *("runs compared", "logs judged", "workers drained", "attempts lost", "takeovers", "writes fenced"),
    *("commands done", "commands carried out", "looks at shares in a calm"),
)


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("part", range(PARTS))
def test_every_law_of_several_servers_holds_whatever_fails(part: int) -> None:
    counts = all_hold(play_servers_seed, part_of(SEEDS, part, PARTS))
    for name in FAULTS:
        assert counts[f"fault: {name}"] > 0, name  # the faults do happen
    for name in WATCHED:
        assert counts[name] > 0, name


def test_a_seed_of_several_servers_gives_the_same_twice() -> None:
    first, again = play_servers_seed(8), play_servers_seed(8)
    assert (first.counts, first.faults) == (again.counts, again.faults)


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
    failed = first_failure(play_servers_seed, 200)
    assert failed.law == "a lease is given to one owner at a time, with a token that grows"
    small = shrink(failed, plays=8)
    assert play_again(small.scenario).law == small.law == failed.law
    assert f"--servers --seed {failed.scenario.seed}" in told(small)


def test_the_command_plays_several_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--servers", "--seeds", "0..3"]) == 0
    assert "assignments: " in capsys.readouterr().out
