"""What a worker offers: the executors that are installed, and those of the modules that its children import.

Law: the supervisor imports no module of others. A process that is made like a child finds out what modules have (`python -m
aether_protocol.worker.offers`): in the same folder, with the same environment, and what hangs or ends it is not the supervisor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from aether_protocol.assembly.executors import InstalledExecutors, missing_modules
from aether_protocol.assembly.modules import executors_of_modules
from aether_protocol.errors import UsageError
from aether_protocol.plan.config_schema import config_schema
from aether_protocol.ports.worker import ExecutorOffer

__all__ = ["Offers", "offers_of"]

_encode: Final = msgspec.json.encode


class Offers(Struct):
    """`executors` are what a worker says that it has; `inline` are the names of inline ones, whose attempts share children."""

    executors: list[ExecutorOffer]
    inline: list[str]


class _Asked(Struct):
    names: list[str] | None
    modules: list[str]
    without: list[str] = []


class _Answer(Struct):
    offers: Offers | None = None
    error: str = ""
    hint: str | None = None


def offers_of(names: Iterable[str] | None = None, modules: Iterable[str] = (), *, without: Iterable[str] = ()) -> Offers:
    """Return what a worker of this machine offers.

    Args:
        names: the names of those that it offers; all that are installed or in the modules unless given.
        modules: what its children import before they work; they are not imported here.
        without: the names of those that are turned off.

    Raises:
        UsageError: an executor is not there or lacks a package, or a module cannot be imported.
    """
    asked = _Asked(None if names is None else list(names), list(modules), list(without))
    return _found(asked) if not asked.modules else _asked_of_a_child(asked)


def _found(asked: _Asked) -> Offers:
    installed = InstalledExecutors(executors_of_modules(asked.modules), disabled=frozenset(asked.without))
    offers = Offers([], [])
    for name in installed if asked.names is None else asked.names:
        try:
            executor = installed[name]
        except KeyError:
            raise UsageError(f"executor {name!r} is not installed", hint=f"there are {', '.join(sorted(installed))}") from None
        missing = missing_modules(executor.type)
        if missing and asked.names is not None:
            verb = "is" if len(missing) == 1 else "are"
            raise UsageError(f"executor {name!r} needs {', '.join(missing)}, which {verb} not installed")
        if not missing:
            type_ = executor.type
            offers.executors.append(ExecutorOffer(name=name, version=type_.version, config=config_schema(type_)))
            if executor.mode == "inline":
                offers.inline.append(name)
    return offers


def _asked_of_a_child(asked: _Asked) -> Offers:
    command = [sys.executable, "-m", "aether_protocol.worker.offers"]
    done = subprocess.run(command, input=_encode(asked), capture_output=True, check=False)
    try:
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except msgspec.DecodeError:
        answer = _Answer()
    if answer.offers is not None:
        return answer.offers
    if answer.error:
        raise UsageError(answer.error, hint=answer.hint)
    last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise UsageError(f"the process that imports {', '.join(asked.modules)} ended by itself ({ended})", hint=last or None)


def main() -> int:
    """Answer what was asked on standard input. What modules print goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = _Answer(_found(msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)))
    except UsageError as error:
        answer = _Answer(error=error.message, hint=error.hint)
    with os.fdopen(out, "wb") as file:
        file.write(_encode(answer))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # threads that a module began must not keep it
