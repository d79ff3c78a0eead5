"""When the state of a run is recorded as a whole: beside its steps, or instead of them (tier `snapshot`).

A snapshot costs the size of the run, a step next to nothing. Of a log fewer than `steps` are replayed in a fifth of a second,
so a snapshot is due after more than that, and for a large run after a share of its size; at the end of a long run one is made
so that it opens fast. On tier `snapshot` nothing else is kept: a snapshot is due at the first step (from then on deadlines stay
what they are), after many steps or some time, where the run begins to wait for an answer, before it is passivated, and at its
end.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from aether_protocol.ports.store import SNAPSHOT, StoredRun
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUSPENDED


class SnapshotPolicy(Struct, frozen=True):
    """How often the state is recorded.

    Attributes:
        steps: Of a log: after more than so many steps,
        share: and more than the number of its tasks divided by this.
        saved_steps: On tier `snapshot`: after more than so many steps, and as many as the run has tasks,
        saved_us: or after so many microseconds, and a twentieth of that.
    """

    steps: int = 20_000
    share: int = 4
    saved_steps: int = 1_000
    saved_us: int = 5_000_000


DEFAULT_POLICY: Final = SnapshotPolicy()


class Snapshots:
    """The snapshots of one run. `saved` is the step of the newest one, 0 where there is none."""

    __slots__ = ("_instead", "_policy", "_saved", "_saved_at", "_waiting")

    def __init__(self, policy: SnapshotPolicy, tier: str, saved: int = 0, saved_at: int = 0) -> None:
        self._policy = policy
        self._instead = tier == SNAPSHOT
        self._saved = saved
        self._saved_at = saved_at
        self._waiting = False  # it was Suspended at the last step

    def take(self, state: RunState) -> bool:
        """Whether a snapshot of `state` is due; it counts as made then."""
        policy, steps = self._policy, state.seq - self._saved
        if not self._instead:
            due = steps > policy.steps and (steps * policy.share > state.leaves_known or state.closed)
        else:
            waiting = state.phase is SUSPENDED
            due = (
                self._saved == 0
                or state.closed
                or (waiting and not self._waiting)
                or steps > max(policy.saved_steps, state.leaves_known)
                or (state.now - self._saved_at >= policy.saved_us and steps * 20 > state.leaves_known)
            )
            self._waiting = waiting
        if due:
            self._saved, self._saved_at = state.seq, state.now
        return due

    def count(self, state: RunState) -> None:
        """Count a snapshot of `state` that was made beside those that are due."""
        self._saved, self._saved_at = state.seq, state.now

    def holds(self, state: RunState) -> bool:
        """Whether the store has all of `state`: every step, or on tier `snapshot` a snapshot of the last one."""
        return not self._instead or self._saved == state.seq


def snapshots_of(stored: StoredRun, policy: SnapshotPolicy) -> Snapshots:
    """Continue with the snapshots of a run as it is stored."""
    saved = stored.row.seq - len(stored.lines) if stored.snapshot is not None else 0
    return Snapshots(policy, stored.row.tier, saved)
