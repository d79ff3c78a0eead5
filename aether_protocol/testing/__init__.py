"""Testing workflows, and testing with Aether Protocol: public, for tests of one's own.

Everything here runs the real engine. What is replaced is the time that passes (`clock`), the work that tasks do (`scripted`),
and how reliable processes, stores and messages are (`gate`, `simulation`). So a test of a workflow is fast and gives the same
result each time, and what passes a suite of `contracts` works with every engine.

    clock          virtual time: `ManualClock`, `SkewedClock`, and `pass_time`; `follow`, the one loop that lets it pass; ids
    harness        engines on virtual time: `EngineWorld` (one), `Cluster` (several that come and go around one store)
    gate           where an engine is lost, call by call
    scripted       the executor that plays what a test says (`ScriptedExecutor`)
    wire_broker    a broker between which and the engine lies the wire, for what others may see of a run
    probe          an executor that writes down what it does, for workers that are processes
    cases          case files: the runner behind `aether test`
    pytest_plugin  case files as pytest tests
    contracts      suites that adapters of a port and clients have to pass
    simulation     random workflows in a failing world, judged by laws

Law: importing this package loads nothing; the modules are loaded one by one, as they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.testing.clock import ManualClock as ManualClock
    from aether_protocol.testing.clock import SkewedClock as SkewedClock
    from aether_protocol.testing.clock import pass_time as pass_time
    from aether_protocol.testing.harness import Cluster as Cluster
    from aether_protocol.testing.harness import EngineWorld as EngineWorld
    from aether_protocol.testing.harness import run_on as run_on
    from aether_protocol.testing.scripted import ScriptedExecutor as ScriptedExecutor

_HOMES = {
    "Cluster": "harness",
    "EngineWorld": "harness",
    "ManualClock": "clock",
    "ScriptedExecutor": "scripted",
    "SkewedClock": "clock",
    "pass_time": "clock",
    "run_on": "harness",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
