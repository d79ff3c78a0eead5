"""What a caller may give for each part of an engine, as objects of the ports: URLs, paths, mappings, objects.

Law: whatever a port stands for is given here, as an object or by the name of what is installed (`discovery`); what is neither
is refused with what would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.assembly.broker_urls import check_broker_url
from aether_protocol.assembly.discovery import Family, make, missing, named
from aether_protocol.assembly.executors import what_it_lacks, with_installed_functions
from aether_protocol.assembly.stores import open_store
from aether_protocol.assembly.variables import GivenVariables
from aether_protocol.errors import UsageError
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.expressions.values import Json
from aether_protocol.ports.broker import Broker, BrokerParts
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.notifier import Notifier
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE, SecretProvider
from aether_protocol.ports.store import Store
from aether_protocol.ports.variables import VariableSource

Secrets = SecretProvider | Mapping[str, Mapping[str, str]] | str | Path
Executors = Iterable[Executor] | Mapping[str, Executor] | Executor
Variables = Mapping[str, Mapping[str, Json]] | Iterable[VariableSource | str] | str

Notifiers = Mapping[str, Notifier | str] | Notifier | str
Function = Callable[..., Any]
BrokerMaker = Callable[[BrokerParts], Broker]

_Part = TypeVar("_Part")

ALL_NAMES: Final = "*"  # of shared secrets


def executors_by_type(executors: Executors, functions: Mapping[str, Function] | None = None) -> dict[str, Executor]:
    """Give the executors by type.

    Args:
        executors: Several, a mapping (whose values count), or one.
        functions: What an executor of type `function` may call, where there is none among the executors.

    Raises:
        UsageError: One is not an executor, or there are functions and an executor of that type, too.
    """
    if isinstance(executors, Mapping):
        several = list(executors.values())
    else:
        several = list(executors) if isinstance(executors, Iterable) else [executors]
    for one in several:
        fault = what_it_lacks(one)
        if fault is not None:
            hint = "an executor has a type, a mode and execute(task, context)"
            raise UsageError(f"{one!r} is not an executor: {fault}", hint=hint)
    found = {one.type.name: with_installed_functions(one) for one in several}
    if functions is not None:
        if "function" in found:
            hint = "give that executor the functions"
            raise UsageError("functions are given beside an executor of type 'function'", hint=hint)
        from aether_protocol.adapters.executors.function import FunctionExecutor

        found["function"] = with_installed_functions(FunctionExecutor(functions))
    return found


def store_part(given: str | Store) -> Store:
    """Open the store of a URL, or check a store. Raises UsageError, PortError."""
    if isinstance(given, str):
        return open_store(given)
    return _checked("stores", given, "a store", "memory, sqlite:PATH, or an object with the facets of the Store port")


def broker_part(given: str | Broker | BrokerMaker, parts: BrokerParts, workspaces: Workspaces) -> Broker:
    """Make the broker of a URL or with a function, or check a broker. Raises UsageError, PortError.

    `workspaces` are those of `local`.
    """
    if given == "local":
        return local_broker(given, parts, workspaces)
    if isinstance(given, str):
        made: Broker = make("brokers", check_broker_url(given), given, parts)
        return made
    if callable(given) and missing("brokers", given):
        given = given(parts)
    hint = "an object with the methods of the Broker port, the URL of an installed one, or a function from BrokerParts to one"
    checked: Any = _checked("brokers", given, "a broker", hint)
    broker: Broker = checked
    return broker


def local_broker(url: str, parts: BrokerParts, workspaces: Workspaces | None = None) -> Broker:
    """Make the broker of this process, `local`; `workspaces` of its own by default."""
    return LocalBroker(
        parts.executors,
        parts.clock,
        concurrency=parts.concurrency,
        stager=parts.stager,
        workspaces=workspaces,
        secrets=parts.secrets,
        notifiers=parts.notifiers,
    )


def named_part(family: Family, given: str | _Part) -> _Part:
    """Make the part of a name, or check one; for families without URLs. Raises UsageError, PortError."""
    if isinstance(given, str):
        made: _Part = make(family, given)
        return made
    word = {"clocks": "a clock", "ids": "an id generator"}[family]
    return _checked(family, given, word, "an object with the methods of its port, or the name of an installed one")


def secret_providers(secrets: Iterable[Secrets] | Secrets) -> list[SecretProvider]:
    """Make providers of secrets.

    Args:
        secrets: Providers, {name: {key: text}}, paths of secrets files, URLs of installed providers; several or one.

    Raises:
        UsageError: One is none of these.
        PortError: A file or a mapping cannot be read, or a provider cannot be made.
    """
    if isinstance(secrets, str | Path | Mapping) or not isinstance(secrets, Iterable):
        return [_provider(secrets)]
    return [_provider(one) for one in secrets]


class SharedSecrets:
    """Gives secrets of the namespace `default` to runs of other namespaces that do not have them.

    Args:
        providers: those that have them.
        names: those of the secrets; ALL_NAMES for all.
    """

    by_namespace = True

    def __init__(self, providers: Sequence[SecretProvider], names: Iterable[str]) -> None:
        self._providers = tuple(providers)
        self._names = frozenset(names)
        self.blocking = any(getattr(one, "blocking", True) for one in providers)

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """Ask the providers in order, for a name that is shared. Raises as they do."""
        if namespace == DEFAULT_NAMESPACE or (name not in self._names and ALL_NAMES not in self._names):
            return None
        return next((text for one in self._providers if (text := one.get(name, key)) is not None), None)


def with_shared(providers: Sequence[SecretProvider], names: Sequence[str]) -> list[SecretProvider]:
    """Give the providers, and after them what shares those of their secrets that have these names."""
    return [*providers, SharedSecrets(providers, names)] if names else list(providers)


def _provider(secrets: Secrets) -> SecretProvider:
    if isinstance(secrets, str) and named("secrets", secrets):
        made: SecretProvider = make("secrets", secrets, secrets)
        return made
    if isinstance(secrets, str | Path):
        from aether_protocol.adapters.secrets.document import open_secrets_file

        return open_secrets_file(secrets)
    if isinstance(secrets, Mapping):
        from aether_protocol.adapters.secrets.mapping import MappingSecrets

        return MappingSecrets(dict(secrets))
    return _checked("secrets", secrets, "a secret provider", "give {name: {key: text}}, a path, a URL or an object with get()")


def variable_sources(variables: Variables) -> list[VariableSource]:
    """Make sources of variables.

    Args:
        variables: {namespace: {name: value}}, or sources and URLs of installed ones.

    Raises:
        UsageError: They are none of these.
        PortError: A source cannot be made.
    """
    if isinstance(variables, Mapping):
        for namespace, values in variables.items():
            if not isinstance(values, Mapping):
                raise UsageError(f"the variables {namespace!r} are {values!r}, not a mapping of names to values")
        return [GivenVariables(namespace, values) for namespace, values in variables.items()]
    if isinstance(variables, str) or not isinstance(variables, Iterable):
        variables = [variables]
    return [_source(one) for one in variables]


def _source(given: VariableSource | str) -> VariableSource:
    if isinstance(given, str):
        made: VariableSource = make("variables", given, given)
        return made
    hint = "give {namespace: {name: value}}, variable sources or their URLs"
    return _checked("variables", given, "a source of variables", hint)


def notifiers_by_name(notifiers: Notifiers) -> dict[str, Notifier]:
    """Make notifiers.

    Args:
        notifiers: By name, each an object or the URL of an installed one; or one, which is called `default`.

    Raises:
        UsageError: One is not a notifier.
        PortError: One cannot be made.
    """
    several = notifiers if isinstance(notifiers, Mapping) else {"default": notifiers}
    return {name: _notifier(one) for name, one in several.items()}


def _notifier(given: Notifier | str) -> Notifier:
    if isinstance(given, str):
        made: Notifier = make("notifiers", given, given)
        return made
    return _checked("notifiers", given, "a notifier", "an object with notify(notification), or the URL of an installed one")


def _checked(family: Family, given: _Part, word: str, hint: str) -> _Part:
    """The part itself. Raises UsageError, with what it lacks of its port, where it is not one."""
    lacks = missing(family, given)
    if lacks:
        raise UsageError(f"{given!r} is not {word}: it lacks {', '.join(lacks)}", hint=hint)
    return given
