"""What is installed, by family and name: the parts that come with the package, and those of other packages (RT-123).

Another package adds a part under an entry-point group, `aether.<family>`; the name of the entry point is the name of the part,
and the scheme of its URL. What an entry point holds:

    executors               a factory `() -> Executor`; the name is the executor's type
    functions               the function itself
    stores                  a factory `(url, *, reads_only) -> Store`
    brokers                 a factory `(url, parts: BrokerParts) -> Broker`
    secrets                 a factory `(url) -> SecretProvider`
    artifacts               a factory `(url) -> ArtifactRepository`
    variables               a factory `(url) -> VariableSource`
    notifiers               a factory `(url) -> Notifier`
    tracers                 a factory `(url, parts: TracerParts) -> Tracer`
    clocks                  a factory `() -> Clock`
    ids                     a factory `() -> IdGenerator`

Law: the metadata of installed packages is read once, and not before a name is asked for that the package itself does not have,
since reading it takes longer than all else that a command does. A part that cannot be loaded is an error that names its
distribution. No other package takes the name of a built-in part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from inspect import getattr_static
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from aether_protocol.assembly.store_urls import has_scheme
from aether_protocol.errors import AetherError, PortError, UsageError, why

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Family = Literal[
    "executors", "functions", "stores", "brokers", "secrets", "artifacts", "variables", "notifiers", "tracers", "clocks", "ids"
]

PACKAGE: Final = "aether_protocol"
_ADAPTERS: Final = f"{PACKAGE}.adapters"

BUILTIN: Final[Mapping[Family, Mapping[str, str]]] = MappingProxyType(
    {
        "executors": {
            "echo": f"{_ADAPTERS}.executors.echo:EchoExecutor",
            "noop": f"{_ADAPTERS}.executors.noop:NoopExecutor",
            "sleep": f"{_ADAPTERS}.executors.wait:SleepExecutor",
            "await": f"{_ADAPTERS}.executors.wait:AwaitExecutor",
            "fail": f"{_ADAPTERS}.executors.fail:FailExecutor",
            "script": f"{_ADAPTERS}.executors.script:ScriptExecutor",
            "process": f"{_ADAPTERS}.executors.script:ProcessExecutor",
            "function": f"{_ADAPTERS}.executors.function:FunctionExecutor",
            "http": f"{_ADAPTERS}.executors.http:HttpExecutor",
        },
        "functions": {},
        "stores": {
            "memory": f"{PACKAGE}.assembly.stores:memory_store",
            "postgres": f"{PACKAGE}.assembly.stores:postgres_store",
            "postgresql": f"{PACKAGE}.assembly.stores:postgres_store",
            "sqlite": f"{PACKAGE}.assembly.stores:sqlite_store",
        },
        "brokers": {
            "local": f"{PACKAGE}.assembly.parts:local_broker",
            "nats": f"{_ADAPTERS}.brokers.nats.broker:broker_of_url",
            "celery+redis": f"{_ADAPTERS}.brokers.celery.broker:broker_of_url",
            "celery+rediss": f"{_ADAPTERS}.brokers.celery.broker:broker_of_url",
            "dask": f"{_ADAPTERS}.brokers.dask:dask_broker_of_url",
        },
        "secrets": {
            "environment": f"{_ADAPTERS}.secrets.environment:environment_of_url",
            "file": f"{_ADAPTERS}.secrets.document:file_of_url",
        },
        "artifacts": {"folder": f"{_ADAPTERS}.artifacts.repository:repository_of_url"},
        "variables": {},
        "notifiers": {},
        "tracers": {"otlp": f"{_ADAPTERS}.telemetry.otlp:tracer_of_url"},
        "clocks": {"system": f"{PACKAGE}.engine.clock:SystemClock", "wall": f"{PACKAGE}.engine.clock:WallClock"},
        "ids": {"uuid7": f"{PACKAGE}.engine.ids:RandomIds"},
    }
)

_WORDS: Final[Mapping[Family, str]] = MappingProxyType(
    {
        "executors": "executor",
        "functions": "function",
        "stores": "store",
        "brokers": "broker",
        "secrets": "secret provider",
        "artifacts": "artifact repository",
        "variables": "variable source",
        "notifiers": "notifier",
        "tracers": "tracer",
        "clocks": "clock",
        "ids": "id generator",
    }
)

# What an object of a family must have: the methods and attributes of its port.
_PORTS: Final[Mapping[Family, tuple[str, ...]]] = MappingProxyType(
    {
        "stores": ("runs", "leases", "mailbox", "logs", "library", "changes", "upkeep", "close"),
        "brokers": ("start", "room", "dispatch", "stop", "held", "release", "close"),
        "secrets": ("get",),
        "artifacts": ("put", "get", "sound", "kept", "delete", "tidy"),
        "variables": ("namespace", "read"),
        "notifiers": ("notify",),
        "tracers": ("samples", "ended", "close"),
        "clocks": ("now", "wall", "call_at", "sleep"),
        "ids": ("new_id", "seed"),
    }
)


def group(family: Family) -> str:
    """Name the entry-point group of a family."""
    return f"aether.{family}"


@cache
def _installed() -> Mapping[str, Mapping[str, EntryPoint]]:
    """The entry points of other packages, by family and name."""
    from importlib.metadata import entry_points

    everything = entry_points()
    found: dict[str, dict[str, EntryPoint]] = {}
    for family, builtin in BUILTIN.items():
        mine = found[family] = {}
        for entry in everything.select(group=group(family)):
            if entry.value.startswith(f"{PACKAGE}."):
                continue
            taken = "a built-in one" if entry.name in builtin else ""
            if not taken and mine.setdefault(entry.name, entry) is not entry:
                taken = f"one of {_distribution(mine[entry.name])}"
            if taken:
                text = "the %s %r of %s is left out: that is the name of %s"
                _warn(text, _WORDS[family], entry.name, _distribution(entry), taken)
    return found


def _distribution(entry: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else repr(entry.value)


def _warn(message: str, *values: object) -> None:
    import logging  # rarely needed, and not free

    logging.getLogger(PACKAGE).warning(message, *values)


def added(family: Family) -> list[str]:
    """Name the parts of a family that other packages add."""
    return list(_installed()[family])


def names(family: Family) -> list[str]:
    """Name all parts of a family, the built-in ones first."""
    return [*BUILTIN[family], *added(family)]


def is_installed(family: Family, name: str) -> bool:
    """Say whether there is a part of that name. It is not loaded."""
    return name in BUILTIN[family] or name in _installed()[family]


def load(family: Family, name: str) -> Any:
    """Load what the entry point of a part holds.

    Args:
        family: The family.
        name: The name in it.

    Returns:
        What the entry point holds: a factory, or a function.

    Raises:
        KeyError: There is no part of that name.
        PortError: It cannot be loaded; the message names the distribution, the hint the remedy.
    """
    builtin = BUILTIN[family].get(name)
    if builtin is not None:
        module, _, attribute = builtin.partition(":")
        return getattr(import_module(module), attribute)
    entry = _installed()[family][name]
    try:
        return entry.load()
    except Exception as error:
        raise broken(family, name, f"cannot be loaded: {_text(error)}") from error


def broken(family: Family, name: str, fault: str) -> PortError:
    """Make the error of a part of another package that does not do what it should."""
    entry = _installed()[family][name]
    hint = None
    if entry.dist is not None:
        package = entry.dist.name
        hint = f"pip install --upgrade {package} may mend it, pip uninstall {package} removes it"
    return PortError(f"the {_WORDS[family]} {name!r} of {_distribution(entry)} {fault}", hint=hint)


def make(family: Family, url: str, *given: Any, **more: Any) -> Any:
    """Make the part that a URL names: `NAME`, or `NAME:` and whatever that part takes.

    Args:
        family: The family; neither executors nor functions, which are not named by URLs.
        url: The URL.
        given: What the factory is called with.
        more: The same, by name.

    Returns:
        The part.

    Raises:
        UsageError: There is no part of that name, or the URL is not one of it.
        PortError: It cannot be loaded or made, or lacks methods of its port.
    """
    name = url.partition(":")[0]
    try:
        factory = load(family, name)
    except KeyError:
        from aether_protocol.diagnostics.suggest import did_you_mean

        known = names(family)
        hint = did_you_mean(name, known, f"installed: {', '.join(known) or 'none'}")
        raise UsageError(f"unknown {_WORDS[family]} {name!r}", hint=hint) from None
    if name in BUILTIN[family]:
        return factory(*given, **more)
    try:
        part = factory(*given, **more)
    except AetherError:
        raise
    except Exception as error:
        raise broken(family, name, f"cannot be made: {_text(error)}") from error
    lacks = missing(family, part)
    if lacks:
        raise broken(family, name, f"is not one: it lacks {', '.join(lacks)}")
    return part


def missing(family: Family, part: object) -> list[str]:
    """Name what an object lacks of the port of a family."""
    named = frozenset(dir(part))  # also what is made only when it is asked for, which is not made here
    return [
        name
        for name in _PORTS.get(family, ())
        if (getattr_static(part, name, name) if name in named else getattr(part, name, None)) is None
    ]


def named(family: Family, text: str) -> bool:
    """Say whether text is the URL of an installed part. What has no scheme is not looked up."""
    return has_scheme(text) and is_installed(family, text.partition(":")[0])


class InstalledFunctions(Mapping[str, Any]):
    """The functions of other packages by name, each loaded as it is looked up (EXEC-4)."""

    def __getitem__(self, name: str) -> Any:
        return load("functions", name)

    def __iter__(self) -> Iterator[str]:
        return iter(added("functions"))

    def __len__(self) -> int:
        return len(added("functions"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in _installed()["functions"]


def _text(error: BaseException) -> str:
    text, kind = why(error), type(error).__name__
    return text if text == kind else f"{kind}: {text}"
