"""Ports: what the engine asks of the outside, as Protocols of at most eight methods, and the values that go over them.

Theory: the engine knows no vendor. Whatever it needs (a store, a queue, a clock, secrets, people to notify) it asks of an
object with the methods of a port; adapters implement them, assembly puts them together, and contract suites in
`aether_protocol.testing.contracts` hold what each must do. Everything that an implementer needs is named here.

Law: nothing here does anything. A method raises what its Protocol names: PortError where the outside fails, and nothing else
unless it says so.

Modules by role:

    stores                  store
    attempts                broker, executor, wire, wire_json, wire_secrets, worker, grpc
    files                   artifacts
    what runs are given     secrets, variables
    time and names          clock
    people                  notifier
    operators               telemetry, trace_context
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aether_protocol.ports.artifacts import ArtifactFetcher as ArtifactFetcher
    from aether_protocol.ports.artifacts import ArtifactRepository as ArtifactRepository
    from aether_protocol.ports.broker import Broker as Broker
    from aether_protocol.ports.broker import BrokerParts as BrokerParts
    from aether_protocol.ports.broker import ResultSink as ResultSink
    from aether_protocol.ports.clock import Clock as Clock
    from aether_protocol.ports.clock import IdGenerator as IdGenerator
    from aether_protocol.ports.executor import ExecutionContext as ExecutionContext
    from aether_protocol.ports.executor import Executor as Executor
    from aether_protocol.ports.notifier import Notification as Notification
    from aether_protocol.ports.notifier import Notifier as Notifier
    from aether_protocol.ports.secrets import NamespacedSecretProvider as NamespacedSecretProvider
    from aether_protocol.ports.secrets import SecretProvider as SecretProvider
    from aether_protocol.ports.store import RunQuery as RunQuery
    from aether_protocol.ports.store import RunSummary as RunSummary
    from aether_protocol.ports.store import Store as Store
    from aether_protocol.ports.telemetry import Tracer as Tracer
    from aether_protocol.ports.telemetry import TraceSpan as TraceSpan
    from aether_protocol.ports.trace_context import TraceContext as TraceContext
    from aether_protocol.ports.variables import VariableSource as VariableSource
    from aether_protocol.ports.wire import AttemptRef as AttemptRef
    from aether_protocol.ports.wire import TaskAssignment as TaskAssignment
    from aether_protocol.ports.wire import TaskResult as TaskResult

_HOMES: Final = {
    **dict.fromkeys(("ArtifactFetcher", "ArtifactRepository"), "artifacts"),
    **dict.fromkeys(("Broker", "BrokerParts", "ResultSink"), "broker"),
    **dict.fromkeys(("Clock", "IdGenerator"), "clock"),
    **dict.fromkeys(("ExecutionContext", "Executor"), "executor"),
    **dict.fromkeys(("Notification", "Notifier"), "notifier"),
    **dict.fromkeys(("RunQuery", "RunSummary", "Store"), "store"),
    **dict.fromkeys(("AttemptRef", "TaskAssignment", "TaskResult"), "wire"),
    "NamespacedSecretProvider": "secrets",
    **dict.fromkeys(("Tracer", "TraceSpan"), "telemetry"),
    "SecretProvider": "secrets",
    "TraceContext": "trace_context",
    "VariableSource": "variables",
}

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # else no misspelt name would be an error

    def __getattr__(name: str) -> Any:
        """Load a name with its module, as it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
