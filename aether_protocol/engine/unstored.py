"""Steps that the store does not have yet, and the replies that wait for them.

Law: of one run one append is on its way; the steps that its machine makes meanwhile follow in the next. A reply is given
once all is stored that was there when its entry was handled, of whatever run, and in the order of the entries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.inbox import Reply, acknowledge


class Unstored:
    """`ready`: runs with steps to be stored of which no append is on its way, beside those that were touched just now.
    `replies` wait. Where one append at most is on its way only replies come here, and all is stored when they are given."""

    def __init__(self) -> None:
        self.ready: list[ActiveRun] = []
        self._round = 0  # of entries that are handled together
        self._since: dict[ActiveRun, int] = {}  # of each run with unstored steps, the round of the oldest
        self._next: dict[ActiveRun, int] = {}  # the same, of the steps that follow those that are on their way
        self.replies: deque[tuple[int, ActiveRun, Reply, str | None]] = deque()

    def begin(self) -> list[ActiveRun]:
        """Begin a round; the runs that wait to be stored, which are the caller's from now on."""
        self._round += 1
        ready, self.ready = self.ready, []
        return ready

    def touch(self, run: ActiveRun) -> bool:
        """Note the first of new steps of a run; False where they follow an append that is on its way."""
        if run in self._since:
            self._next.setdefault(run, self._round)
            return False
        self._since[run] = self._round
        return True

    def promise(self, run: ActiveRun, reply: Reply, refused: str | None) -> None:
        """Give a reply to an entry of this round, in its turn."""
        self.replies.append((self._round, run, reply, refused))

    def settle(self, runs: Iterable[ActiveRun]) -> None:
        """Note that appends of these runs are no longer on their way, stored or not."""
        since, later = self._since, self._next
        for run in runs:
            if later and run in later:
                next_round = later.pop(run)
                if run.steps:
                    since[run] = next_round
                    self.ready.append(run)
                    continue
            since.pop(run, None)

    def reply(self) -> None:
        """Give the replies whose time has come."""
        if self.replies:
            oldest = min(self._since.values(), default=self._round + 1)
            while self.replies and self.replies[0][0] < oldest:
                _, run, reply, refused = self.replies.popleft()
                acknowledge(run, reply, refused)
