"""The executors that are installed: those that come with the package, and those of other packages.

Law: what comes with the package is found without a look at what else is installed, and nothing is loaded before it is asked
for by name. Other packages add factories `() -> Executor` under the entry-point group `aether.executors`; the name of an
entry point is the executor's type. They cannot take the name of a built-in one.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from msgspec.structs import replace

from aether_protocol.errors import why
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import Executor, Mode

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "aether.executors"

MODES: Final = get_args(Mode)

_FAMILY: Final = "aether_protocol.adapters.executors"
BUILTIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "echo": "echo:EchoExecutor",
        "noop": "noop:NoopExecutor",
        "sleep": "wait:SleepExecutor",
        "await": "wait:AwaitExecutor",
        "fail": "fail:FailExecutor",
        "script": "script:ScriptExecutor",
        "process": "script:ProcessExecutor",
        "function": "function:FunctionExecutor",
        "http": "http:HttpExecutor",
    }
)


def _warn(message: str, *values: object) -> None:
    import logging  # rarely needed, and not free

    logging.getLogger("aether_protocol").warning(message, *values)


@cache
def builtin_executor(name: str) -> Executor:
    """The built-in executor of that type. Raises KeyError."""
    module, _, attribute = BUILTIN[name].partition(":")
    executor: Executor = getattr(import_module(f"{_FAMILY}.{module}"), attribute)()
    return executor


def builtin_executors() -> list[Executor]:
    """All executors that come with the package."""
    return [builtin_executor(name) for name in BUILTIN]


@cache
def _installed() -> Mapping[str, EntryPoint]:
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name not in BUILTIN:
            found.setdefault(entry.name, entry)
        elif not entry.value.startswith(f"{_FAMILY}."):
            _warn("the executor %r of %s is left out: that is the name of a built-in one", entry.name, entry.value)
    return found


@cache
def installed_executor(name: str) -> Executor | None:
    """The executor that another package gives under that name; None, with a warning, where it cannot be loaded."""
    try:
        executor: Executor = _installed()[name].load()()
        fault = what_it_lacks(executor)
        if fault is not None:
            raise ValueError(fault)
        if executor.type.name != name:
            raise ValueError(f"its type is {executor.type.name!r}")
    except Exception as error:
        _warn("the executor %r cannot be loaded from %s: %s", name, _installed()[name].value, why(error))
        return None
    return executor


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
        if name in BUILTIN:
            return builtin_executor(name)
        executor = installed_executor(name) if name in _installed() else None
        if executor is None:
            raise KeyError(name)
        return executor

    def __iter__(self) -> Iterator[str]:
        hidden = {*self._more, *self._disabled}
        yield from (name for name in self._more if name not in self._disabled)
        yield from (name for name in BUILTIN if name not in hidden)
        yield from (name for name in _installed() if name not in hidden and installed_executor(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        if name in self._disabled:
            return False
        if name in self._more or name in BUILTIN:
            return True
        return isinstance(name, str) and name in _installed() and installed_executor(name) is not None


class InstalledTypes(Mapping[str, ExecutorType]):
    """The declarations of executors, by type: what the checks of a document need. `disabled`: by what types are turned
    off."""

    def __init__(
        self, executors: Mapping[str, Executor], disabled: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._executors = executors
        self._disabled = disabled

    def __getitem__(self, name: str) -> ExecutorType:
        type_ = self._executors[name].type
        return replace(type_, disabled=self._disabled[name]) if name in self._disabled else type_

    def __iter__(self) -> Iterator[str]:
        return iter(self._executors)

    def __len__(self) -> int:
        return len(self._executors)

    def __contains__(self, name: object) -> bool:
        return name in self._executors
