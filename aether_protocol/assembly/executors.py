"""The executors that are installed: those that come with the package, and those of other packages.

Law: what comes with the package is found without a look at what else is installed, and nothing is loaded before it is asked
for by name. One of another package that cannot be loaded is left out of lists, with a warning, and is a fault of the document
that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, get_args

from msgspec.structs import replace

from aether_protocol.assembly.discovery import BUILTIN, InstalledFunctions, added, broken, is_installed, load
from aether_protocol.errors import PortError, why
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.ports.executor import Executor, Mode

MODES: Final = get_args(Mode)
_FAMILY: Final = "aether_protocol.adapters.executors"


@cache
def builtin_executor(name: str) -> Executor:
    """Make the built-in executor of that type. Raises KeyError."""
    if name not in BUILTIN["executors"]:
        raise KeyError(name)
    executor: Executor = load("executors", name)()
    return with_installed_functions(executor)


def with_installed_functions(executor: Executor) -> Executor:
    """The executor; that of `function` with the functions of other packages besides its own."""
    if executor.type.name != "function":
        return executor
    from aether_protocol.adapters.executors.function import FunctionExecutor

    return executor.beside(InstalledFunctions()) if type(executor) is FunctionExecutor else executor


def builtin_executors() -> list[Executor]:
    """Make all executors that come with the package."""
    return [builtin_executor(name) for name in BUILTIN["executors"]]


@cache
def _installed_executor(name: str) -> Executor | PortError:
    """The executor that another package gives under that name, or why it cannot be used."""
    try:
        factory = load("executors", name)
    except PortError as error:
        return error
    try:
        executor: Executor = factory()
    except Exception as error:
        return broken("executors", name, f"cannot be made: {type(error).__name__}: {why(error)}")
    fault = what_it_lacks(executor)
    if fault is None and executor.type.name != name:
        fault = f"its type is {executor.type.name!r}"
    return executor if fault is None else broken("executors", name, f"cannot be used: {fault}")


def installed_executor(name: str) -> Executor | None:
    """Make the executor that another package gives under that name; None, with a warning, where it cannot be used."""
    found = _installed_executor(name)
    if not isinstance(found, PortError):
        return found
    _warn_once(found.message)
    return None


@cache
def _warn_once(message: str) -> None:
    import logging  # rarely needed, and not free

    logging.getLogger("aether_protocol").warning("%s", message)


def what_it_lacks(executor: object) -> str | None:
    """Why this cannot be used as an executor, if so."""
    if isinstance(executor, type):
        return f"it is the class {executor.__name__}, not an object of it"
    if not isinstance(getattr(executor, "type", None), ExecutorType):
        return "it has no type: set type = ExecutorType(name, description)"
    mode = getattr(executor, "mode", None)
    if mode not in MODES:
        said = "no mode" if mode is None else f"the mode {mode!r}"
        modes = "'thread' (a plain function), 'async' (a coroutine function) or 'inline' (a plain function that is quick)"
        return f"it has {said}: set mode = {modes}"
    return None if callable(getattr(executor, "execute", None)) else "it has no execute(task, context)"


@cache
def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its package is not there, or it stands in sys.modules without a spec
        return module in sys.modules


def missing_modules(type_: ExecutorType) -> list[str]:
    """What an executor type imports and is not installed here. Nothing is imported but the packages of dotted names."""
    return [module for module in type_.modules if not _is_installed(module)]


def kill_programs() -> None:
    """End what `script` and `process` tasks have started, at once: for a process that does not wait for them any more."""
    if f"{_FAMILY}.child_process" in sys.modules:
        import_module(f"{_FAMILY}.child_process").kill_all()


def watch_folder(folder: Path) -> None:
    """Have a folder removed when this process has ended, whatever ends it."""
    import_module(f"{_FAMILY}.orphan_guard").laid(folder)


def why_broken(name: str) -> PortError | None:
    """Why the executor that another package gives under that name cannot be used, if so."""
    if name in BUILTIN["executors"] or not is_installed("executors", name):
        return None
    found = _installed_executor(name)
    return found if isinstance(found, PortError) else None


def executor_types() -> ExecutorTypes:
    """Give the installed executor types by name: what documents are checked against."""
    return InstalledTypes(InstalledExecutors())


class InstalledExecutors(Mapping[str, Executor]):
    """Every installed executor by type, loaded as it is looked up; `more` hide those of the same name, and those `disabled` are
    left out."""

    def __init__(
        self, more: Mapping[str, Executor] = MappingProxyType({}), *, disabled: Collection[str] = frozenset()
    ) -> None:
        self._more = more
        self._disabled = disabled

    def __getitem__(self, name: str) -> Executor:
        if name in self._disabled:
            raise KeyError(name)
        if name in self._more:
            return self._more[name]
        if name in BUILTIN["executors"]:
            return builtin_executor(name)
        executor = installed_executor(name) if is_installed("executors", name) else None
        if executor is None:
            raise KeyError(name)
        return executor

    def __iter__(self) -> Iterator[str]:
        hidden = {*self._more, *self._disabled}
        yield from (name for name in self._more if name not in self._disabled)
        yield from (name for name in BUILTIN["executors"] if name not in hidden)
        yield from (name for name in added("executors") if name not in hidden and installed_executor(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        if name in self._disabled:
            return False
        if name in self._more or name in BUILTIN["executors"]:
            return True
        return isinstance(name, str) and is_installed("executors", name) and installed_executor(name) is not None


class InstalledTypes(Mapping[str, ExecutorType]):
    """The declarations of executors, by type: what the checks of a document need. `disabled`: by what types are turned
    off."""

    def __init__(
        self, executors: Mapping[str, Executor], disabled: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._executors = executors
        self._disabled = disabled

    def __getitem__(self, name: str) -> ExecutorType:
        try:
            type_ = self._executors[name].type
        except KeyError:
            fault = why_broken(name)
            if fault is None:
                raise
            return ExecutorType(name, "", broken=fault.message, install=fault.hint or "")
        return replace(type_, disabled=self._disabled[name]) if name in self._disabled else type_

    def __iter__(self) -> Iterator[str]:
        return iter(self._executors)

    def __len__(self) -> int:
        return len(self._executors)

    def __contains__(self, name: object) -> bool:
        return name in self._executors
