"""The artifacts of a simulation: what workers keep, on the world's clock, and a collector of what no run names.

Law: no artifact of a run that is kept is ever deleted. Contents are few, so that tasks give again what lies there since long
ago and is about to be collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

from aether_protocol.engine.artifacts import Collected, collect, named_of
from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import KeptArtifact
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.simulation.chaos import fraction
from aether_protocol.testing.simulation.oracles import demand

GRACE_US: Final = 300_000_000  # much longer than a result travels
CONTENTS: Final = 12
LAW: Final = "no artifact of a run that is kept is ever deleted"


class SimArtifacts:
    """See `ports.artifacts.ArtifactRepository`. It holds contents that were put a day ago and that no run names yet."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self._seed = seed
        self._clock = clock
        self._asked = 0
        self._kept = {digest_of(number): clock.now() - 24 * 12 * GRACE_US for number in range(CONTENTS)}

    # --- the port ---

    def put(self, file: Path) -> tuple[str, int]:
        digest = f"sha256:{sha256(file.read_bytes()).hexdigest()}"
        self._kept[digest] = self._clock.now()
        return digest, file.stat().st_size

    def get(self, digest: str, target: Path) -> None:
        raise PortError("contents of a simulation are nowhere")

    def open(self, digest: str) -> IO[bytes]:
        raise PortError("contents of a simulation are nowhere")

    def renew(self, digest: str) -> int | None:
        if digest not in self._kept:
            return None
        self._kept[digest] = self._clock.now()
        return 1

    def sound(self, digest: str) -> bool:
        return digest in self._kept

    def kept(self) -> Iterator[KeptArtifact]:
        yield from [KeptArtifact(digest, 1, at) for digest, at in self._kept.items()]

    def delete(self, digest: str, before: int) -> bool:
        if self._kept.get(digest, before) >= before:
            return False
        del self._kept[digest]
        return True

    def tidy(self, before: int) -> None:
        """Nothing is ever cut off in memory."""

    # --- the world ---

    def give(self, artifacts: Any) -> None:
        """A worker keeps what an attempt made."""
        for value in artifacts.values():
            self._kept[value["digest"]] = self._clock.now()

    def wants(self) -> bool:
        """Whether the collector runs at this moment."""
        self._asked += 1
        return fraction(self._seed, 1_000_003, self._asked) < 0.4

    async def collect(self, store: Store, later: int = 0) -> Collected:
        return await collect(store, self, self._clock.now() + later, grace_us=GRACE_US, aside=_between)

    async def judge(self, store: Store, state: RunState) -> int:
        """A run has ended: all that it names is here, and what no run names goes; how many it names."""
        named = named_of(state)
        counted = {digest for _, digest in await store.upkeep.artifacts()}
        demand(named <= counted, LAW, "the store does not count all that the run names")
        demand(named <= set(self._kept), LAW, f"{sorted(named - set(self._kept))} of the run are gone")
        await self.collect(store, 10 * GRACE_US)
        counted = {digest for _, digest in await store.upkeep.artifacts()}
        demand(named <= set(self._kept), LAW, f"{sorted(named - set(self._kept))} of the run are gone at last")
        demand(set(self._kept) <= counted, "what no run names is collected", f"{sorted(set(self._kept) - counted)} are left")
        return len(named)


async def _between(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call it, and let others go on before and afterwards."""
    await asyncio.sleep(0)
    made = call(*arguments)
    await asyncio.sleep(0)
    return made


def digest_of(number: int) -> str:
    return f"sha256:{number:064x}"


def artifacts_of(seed: int, task: int, attempt: int) -> dict[str, Json]:
    """What an attempt makes: nothing, or one of few contents."""
    if fraction(seed, task, attempt, 7) >= 0.4:
        return {}
    digest = digest_of(int(fraction(seed, task, attempt, 8) * CONTENTS))
    return {"made": {"name": "made", "digest": digest, "size": 1, "archive": "none"}}
