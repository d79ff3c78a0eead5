"""The engine's own site: executors that it carries out itself, in its process, without a broker and without a slot (RT-122).

They ask for something that only an engine can give (an answer, a state, another run) and wait for it, so that a slot would be
lost on them, and a worker elsewhere could not do it. An attempt ends with its engine: recovery repeats it under the same
number, and blames it for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.ports.broker import Broker
from aether_protocol.ports.executor import Executor


class EngineSite:
    """Which types are carried out here, and by what: a `carrier` of this process without slots.

    Args:
        carrier: Takes the attempts; it has the same port as a broker, and belongs to this engine alone.
        executors: By type; those whose declaration has `site="engine"` are carried out here. Each is looked up once.
    """

    def __init__(self, carrier: Broker, executors: Mapping[str, Executor]) -> None:
        self.carrier = carrier
        self._executors = executors
        self._known: dict[str, bool] = {}

    def carries(self, type_: str) -> bool:
        """Say whether attempts of an executor type are carried out by the engine itself."""
        known = self._known.get(type_)
        if known is None:
            executor = self._executors.get(type_)
            known = self._known[type_] = executor is not None and executor.type.site == "engine"
        return known
