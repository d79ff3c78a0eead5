"""Assembly: from a configuration to a wired engine. The only place where engine, adapters and the compiler meet.

Law: importing this package loads nothing; each name is loaded when it is first used.

Modules by role:

    settings                configuration
    the engine, wired       public, parts
    documents               files, workspace, documents, templates
    stores, artifacts       store_urls, server_urls, broker_urls, stores, artifacts
    what is installed       discovery, executors, modules, variables
    telemetry               tracing
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration.effective import Configuration as Configuration
    from aether_protocol.assembly.configuration.effective import load_configuration as load_configuration
    from aether_protocol.assembly.documents import load_plan as load_plan
    from aether_protocol.assembly.public import Engine as Engine
    from aether_protocol.assembly.public import build_engine as build_engine
    from aether_protocol.assembly.public import run as run
    from aether_protocol.assembly.stores import open_store as open_store

_HOMES = {
    "Configuration": "configuration.effective",
    "Engine": "public",
    "build_engine": "public",
    "load_configuration": "configuration.effective",
    "load_plan": "documents",
    "open_store": "stores",
    "run": "public",
}

__all__ = ["Configuration", "Engine", "build_engine", "load_configuration", "load_plan", "open_store", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
