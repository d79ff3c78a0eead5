"""The laws of what several servers have in common: who drives the runs.

Law: as `laws`. What has just failed may leave runs where they are for a while: a law is judged once nothing that keeps servers
from the store, or from each other, has failed for longer than that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from aether_protocol.engine.shares import most_of
from aether_protocol.testing.simulation.oracles import LawBrokenError, demand
from aether_protocol.testing.simulation.process import LEASE_US
from aether_protocol.testing.simulation.workers import SECOND

SHARES: Final = "in a calm no server has more runs than its share for long"
DRIVEN: Final = "in a calm each run is driven by one server before long"
CALM_US: Final = LEASE_US + 15 * SECOND  # a lease may have to end by time, and a look comes every three seconds
_HARMLESS: Final = (
    *("frame-", "answer-", "beat-", "child-", "worker-", "supervisor-", "partition"),
    *("link-cut", "hint-", "bell-", "offers-"),
)


class BetweenLaws:
    """`report` gets what is broken."""

    def __init__(self, report: Callable[[LawBrokenError], None]) -> None:
        self.looks = 0  # in which something was judged
        self._report = report
        self._since: dict[str, int] = {}  # by what is wrong
        self._faults = 0  # that were looked through
        self._scene: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        self._calm_since = 0

    def look(
        self, now: int, driven: Mapping[str, Collection[str]], open_runs: Collection[str], faults: Sequence[str], *, well: bool
    ) -> None:
        """Judge what is so now.

        Args:
            now: the time.
            driven: by server that lives, the runs that it drives.
            open_runs: those that have not ended.
            faults: all that happened so far.
            well: no server is cut off from the store, or stands still.
        """
        scene = frozenset(driven), frozenset(open_runs)
        harmful = any(not one.startswith(_HARMLESS) for one in faults[self._faults :])
        self._faults = len(faults)
        if harmful or scene != self._scene or not (driven and well):
            self._calm_since, self._scene = now, scene
        most = most_of(len(open_runs), len(driven)) if driven else 0
        wrong = {
            f"{server} drives {len(runs)} of {len(open_runs)} runs, of {len(driven)} servers": SHARES
            for server, runs in driven.items()
            if len(set(runs).intersection(open_runs)) > most
        }
        for run_id in open_runs:
            count = sum(run_id in runs for runs in driven.values())
            if count != 1:
                wrong[f"{run_id} is driven by {count} servers"] = DRIVEN
        self._since = {told: self._since.get(told, now) for told in wrong}
        self.looks += now - self._calm_since > CALM_US
        for told, since in self._since.items():
            lasts = now - max(since, self._calm_since)
            try:
                demand(lasts <= CALM_US, wrong[told], f"{told}, for {lasts / SECOND} s")
            except LawBrokenError as error:
                self._report(error)
