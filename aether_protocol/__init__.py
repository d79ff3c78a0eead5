"""Aether Protocol: validate, compile and run aether/v1 workflow documents.

    report = aether_protocol.run("workflow.yaml", {"rows": 5})

Law: importing this package opens nothing and loads nothing; each name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.adapters.executors.function import FunctionExecutor as FunctionExecutor
    from aether_protocol.assembly.documents import load_plan as load_plan
    from aether_protocol.assembly.public import Engine as Engine
    from aether_protocol.assembly.public import run as run
    from aether_protocol.diagnostics import Diagnostic as Diagnostic
    from aether_protocol.engine.logs import LogRecord as LogRecord
    from aether_protocol.errors import AetherError as AetherError
    from aether_protocol.errors import BrokenInvariant as BrokenInvariant
    from aether_protocol.errors import BusyError as BusyError
    from aether_protocol.errors import DocumentError as DocumentError
    from aether_protocol.errors import PortError as PortError
    from aether_protocol.errors import UsageError as UsageError
    from aether_protocol.plan.config_fields import ConfigField as ConfigField
    from aether_protocol.plan.executors import ExecutorType as ExecutorType
    from aether_protocol.plan.executors import OutputField as OutputField
    from aether_protocol.plan.model import Plan as Plan
    from aether_protocol.ports.executor import ExecutionContext as ExecutionContext
    from aether_protocol.ports.executor import Executor as Executor
    from aether_protocol.ports.secrets import SecretProvider as SecretProvider
    from aether_protocol.ports.variables import VariableSource as VariableSource
    from aether_protocol.ports.wire import TaskAssignment as TaskAssignment
    from aether_protocol.ports.wire import TaskResult as TaskResult
    from aether_protocol.views.report import HookReport as HookReport
    from aether_protocol.views.report import Report as Report
    from aether_protocol.views.report import TaskReport as TaskReport

_HOMES = {
    "AetherError": "errors",
    "BrokenInvariant": "errors",
    "BusyError": "errors",
    "ConfigField": "plan.config_fields",
    "Diagnostic": "diagnostics",
    "DocumentError": "errors",
    "Engine": "assembly.public",
    "ExecutionContext": "ports.executor",
    "Executor": "ports.executor",
    "ExecutorType": "plan.executors",
    "FunctionExecutor": "adapters.executors.function",
    "HookReport": "views.report",
    "LogRecord": "engine.logs",
    "OutputField": "plan.executors",
    "Plan": "plan.model",
    "PortError": "errors",
    "Report": "views.report",
    "SecretProvider": "ports.secrets",
    "TaskAssignment": "ports.wire",
    "TaskReport": "views.report",
    "TaskResult": "ports.wire",
    "UsageError": "errors",
    "VariableSource": "ports.variables",
    "load_plan": "assembly.documents",
    "run": "assembly.public",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"  # the build reads it here


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
