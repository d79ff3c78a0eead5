"""Wait until nothing can happen before time passes: what a test on virtual time needs to know, and nothing else does.

Law: no port asks for it. Parts of this process that can tell when they have come to rest (the local broker, the runs of an
engine) have `busy` and `quiet`; a part that works elsewhere has not, and is not waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aether_protocol.engine.api import RunEngine

_CALM = 2  # rounds without work: a callback that was just called gets its turn in between


@runtime_checkable
class Settling(Protocol):
    """A part whose work in this process can be waited for."""

    @property
    def busy(self) -> int:
        """Whether it has work that does not wait for time to pass."""
        ...

    async def quiet(self) -> None:
        """Return once it has none; another part may have some then."""
        ...


def parts_of(*engines: RunEngine) -> list[Settling]:
    """List the parts of engines that can be waited for."""
    return [part for engine in engines for part in (engine.driven, *engine.brokers) if isinstance(part, Settling)]


async def settle(*parts: Settling) -> None:
    """Return once none of these parts has work, one after the other and together."""
    calm = 0
    while calm < _CALM:
        await asyncio.sleep(0)
        working = next((part for part in parts if part.busy), None)
        if working is None:
            calm += 1
        else:
            calm = 0
            await working.quiet()


async def settled(*engines: RunEngine) -> None:
    """Return once nothing can happen in these engines before time passes."""
    await settle(*parts_of(*engines))
