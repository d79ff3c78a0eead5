"""Executors and functions of modules that a process is asked to import (`aether worker --import MODULE`).

Law: a module says in `executors` and `functions` what an `Engine` would be given under these names. Nothing else that is
imported counts, and nothing is registered anywhere: two processes may import different modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from aether_protocol.assembly.parts import executors_by_type
from aether_protocol.errors import UsageError, why
from aether_protocol.ports.executor import Executor

__all__ = ["executors_of_modules"]

_HINT = "such as `executors = [MyExecutor()]` and `functions = {'name': function}`"


def executors_of_modules(names: Iterable[str]) -> dict[str, Executor]:
    """Import modules, and return the executors that they have, by type; one of type `function` has the functions of all.

    Raises:
        UsageError: A module cannot be imported, or has something else under these names, or two have the same.
    """
    executors: dict[str, Executor] = {}
    functions: dict[str, Any] = {}
    for name in names:
        module = _imported(name)
        _add(executors, _executors_in(module), f"module {name!r} has executor {{!r}}")
        _add(functions, _functions_in(module), f"module {name!r} has function {{!r}}")
    return executors_by_type(executors, functions) if functions else executors


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "modules are looked up in the current folder, in PYTHONPATH, and among what is installed"
            raise UsageError(f"there is no module {name!r}", hint=hint) from None
        raise UsageError(f"module {name!r} cannot be imported: {why(error)}") from error
    except Exception as error:
        raise UsageError(f"module {name!r} cannot be imported: {type(error).__name__}: {why(error)}") from error


def _executors_in(module: ModuleType) -> Mapping[str, Executor]:
    given = getattr(module, "executors", None)
    if given is None or isinstance(given, ModuleType):  # a module of that name inside of a package
        return {}
    try:
        found = executors_by_type(given)
    except UsageError as error:
        raise UsageError(f"module {module.__name__!r}: {error.message}", hint=error.hint) from None
    for type_ in (one.type for one in found.values()):
        if type_.site != "worker":
            hint = "give it to the engine: Engine(executors=...)"
            said = f"executor {type_.name!r} of module {module.__name__!r} is carried out by engines alone"
            raise UsageError(said, hint=hint)
    return found


def _functions_in(module: ModuleType) -> Mapping[str, Any]:
    given = getattr(module, "functions", None)
    if given is None or isinstance(given, ModuleType):
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) and callable(one) for key, one in given.items()):
        raise UsageError(f"`functions` of module {module.__name__!r} is not a mapping of names to functions", hint=_HINT)
    return given


def _add(found: dict[str, Any], more: Mapping[str, Any], what: str) -> None:
    for name, one in more.items():
        if found.setdefault(name, one) is not one:
            raise UsageError(f"{what.format(name)}, which another module has, too", hint="import one of the two")
