"""Which faults happen: decided by the seed, the kind of fault, and how often that kind was asked for.

Law: a decision depends on nothing else, so that a fault can be taken away (`without`) and the others stay where they were.
Every fault that happened is named `kind#number`, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

# kind: (how likely each time at full strength, how many of it a run may see). A run with endless faults would never end.
KINDS: Final[Mapping[str, tuple[float, int]]] = {
    "crash-before-write": (0.03, 4),
    "crash-after-write": (0.03, 4),
    "crash-before-dispatch": (0.04, 4),
    "write-refused": (0.02, 3),  # nothing was written, and the engine gets the error
    "write-unclear": (0.02, 3),  # it was written, and the engine gets an error all the same
    "store-out-of-reach": (0.02, 3),  # calls wait, maybe for longer than the lease lasts
    "assignment-lost": (0.03, 3),
    "assignment-doubled": (0.06, 100),
    "result-lost": (0.03, 3),
    "result-doubled": (0.08, 100),
    "message-delayed": (0.15, 100),  # and so overtaken by others
    "stop-ignored": (0.3, 100),
    "clock-set-back": (0.02, 3),
    "read-refused": (0.004, 3),
    "dispatch-refused": (0.05, 30),  # a queue has no room for it, or takes it for too large at this moment
    "broker-away": (0.01, 3),  # for a while it takes nothing, and can tell of nothing
    "worker-lost": (0.03, 30),  # an attempt is lost with its worker, which the broker reports without blame
    "child-lost": (0.03, 6),  # what carried out an attempt alone died: the broker blames it (`most_deaths` would be an Error)
    "clock-apart": (0.06, 3),  # an engine's clock is an hour ahead of the store's, or behind it
    # of a fleet; the first are asked for each message, the others for each worker every two seconds
    "frame-lost": (0.004, 12),  # the connection breaks before a message arrives
    "answer-lost": (0.004, 12),
    "frame-doubled": (0.01, 100),
    "frame-late": (0.008, 40),
    "beat-late": (0.01, 12),
    "child-killed": (0.03, 6),
    "worker-killed": (0.008, 2),
    "worker-frozen": (0.008, 2),  # the machine with all that runs on it
    "supervisor-frozen": (0.006, 2),  # while what it started runs on
    "worker-drained": (0.006, 2),  # by a signal
    "worker-asked-to-drain": (0.006, 2),  # by an operator, through the server
    "partition-to-server": (0.006, 2),
    "partition-from-server": (0.006, 2),
    "partition": (0.006, 2),
    "server-killed": (0.012, 2),
    "server-frozen": (0.01, 2),
    "secrets-down": (0.02, 2),
    # of several servers; the first are asked for each server every two seconds, the last for each worker
    "server-stopped": (0.008, 2),  # in order: it releases what it drives
    "server-joins": (0.01, 1),
    "server-cut-off": (0.012, 2),  # from the store
    "session-lock-false": (0.02, 3),  # the store takes a server for gone that lives
    "link-cut-to-server": (0.006, 2),  # between a worker and the server that it talks to, not the others
    "link-cut-from-server": (0.006, 2),
    "link-cut": (0.006, 2),
    "peer-cut": (0.012, 3),  # between two servers
    "hint-lost": (0.3, 100),  # of the store, asked for each that listens
    "hint-late": (0.2, 100),
    "bell-lost": (0.2, 100),  # that rings at another server when work waits
    "offers-wiped": (0.02, 3),  # a server forgets what others offer
    "link-wiped": (0.02, 3),  # a server forgets its link to another one, with all that is on its way
}
CRASHES: Final = ("crash-before-write", "crash-after-write", "crash-before-dispatch")
_CHOICE: Final = "choice"
_SITES: Final = {kind: number for number, kind in enumerate(KINDS, 1)}


class Chaos:
    """`strength` from 0 (no faults) to 1. `without` names faults that are left out."""

    def __init__(self, seed: int, strength: float, without: Collection[str] = ()) -> None:
        self.happened: list[str] = []
        self.counts: Counter[str] = Counter()
        self._below = {kind: likely * strength * 2**64 for kind, (likely, _) in KINDS.items()}  # 0: no more of this kind
        self._without = frozenset(without)
        self._asked = dict.fromkeys((*KINDS, _CHOICE), 0)
        self._mixed = {kind: mix(seed, site) for kind, site in (*_SITES.items(), (_CHOICE, 0))}

    def end(self) -> None:
        """No more faults happen."""
        self._below = dict.fromkeys(KINDS, 0)

    def strikes(self, kind: str) -> bool:
        """Whether a fault of this kind happens now."""
        number = self._asked[kind] = self._asked[kind] + 1
        below = self._below[kind]
        if not below or mix(number, so_far=self._mixed[kind]) >= below:
            return False
        name = f"{kind}#{number}"
        if name in self._without:
            return False
        self.counts[kind] += 1
        if self.counts[kind] >= KINDS[kind][1]:
            self._below[kind] = 0
        self.happened.append(name)
        return True

    def choose(self, *choices: int) -> int:
        """One of these, such as a delay."""
        number = self._asked[_CHOICE] = self._asked[_CHOICE] + 1
        return choices[int(mix(number, so_far=self._mixed[_CHOICE]) / 2**64 * len(choices))]


def fraction(*numbers: int) -> float:
    """0 <= f < 1, the same for the same numbers, on every machine alike."""
    return mix(*numbers) / 2**64


def mix(*numbers: int, so_far: int = 0) -> int:
    """A mixing of 64 bits (splitmix). `so_far`: what it gave of the numbers before these."""
    mixed = so_far
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return mixed
