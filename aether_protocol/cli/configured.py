"""The settings of a command: what it is given on the command line, else what is configured.

Law: the configuration is read when an option that was left out first asks for it, once for each command; `--help`, `--version`
and a command that asks for nothing read no file. What is given on the command line is noted with its flag, so that
`aether config show` and the digest of a run say what holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration import Configuration
    from aether_protocol.plan.executors import ExecutorTypes
    from aether_protocol.ports.variables import VariableSource

_LOADED: Final = "aether_protocol.configuration"
_FLAGS: Final = "aether_protocol.flags"
_PROFILE: Final = "aether_protocol.profile"

Callback = Callable[[click.Context, click.Parameter, Any], Any]


def configuration() -> Configuration:
    """The configuration of this command, with what was given on its command line. Raises as `load_configuration`."""
    from aether_protocol.assembly.configuration import load_configuration

    context = click.get_current_context(silent=True)
    if context is None:  # called by no command
        return load_configuration()
    meta = context.find_root().meta
    if _LOADED not in meta:
        meta[_LOADED] = load_configuration(profile=meta.get(_PROFILE))
    loaded: Configuration = meta[_LOADED]
    return loaded.with_flags(meta[_FLAGS]) if meta.get(_FLAGS) else loaded


def note_flag(context: click.Context, option: click.Parameter, key: str, value: Any) -> None:
    """Note that a setting was given on the command line."""
    context.find_root().meta.setdefault(_FLAGS, {})[key] = (option.opts[0], value)


def configured(key: str) -> Callback:
    """The callback of an option: what it is given, else the value of a setting."""

    def callback(context: click.Context, option: click.Parameter, given: Any) -> Any:
        if context.resilient_parsing:
            return given
        if given is None or given == ():
            value = configuration().value(key)
            return tuple(value) if isinstance(value, list) else value
        note_flag(context, option, key, list(given) if isinstance(given, tuple) else given)
        return given

    return callback


def flag_alone(key: str) -> Callback:
    """The callback of an option whose setting stands in the URL of the store: what it is given, else nothing."""

    def callback(context: click.Context, option: click.Parameter, given: Any) -> Any:
        if given is not None:
            note_flag(context, option, key, given)
        return given

    return callback


def configured_store(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
    """The callback of `--store`: the URL that it is given, else that of the configured server (where the command can ask one),
    or of the configured, the nearest or a new store."""
    if context.resilient_parsing:
        return given
    from aether_protocol.assembly.configuration.store_place import store_url
    from aether_protocol.assembly.store_urls import is_server_url

    if "--server" in option.opts:
        server = given or configuration().value("server.url")
        if server is not None and is_server_url(server):
            return str(server)
    if given is not None:
        note_flag(context, option, "store.url", given)
    return store_url(configuration(), given)


def configured_limits(context: click.Context, option: click.Parameter, given: Any) -> Any:
    """The callback of the limits of documents: NAME=N each, over what is configured (DOC-6)."""
    from aether_protocol.documents.source import DEFAULT, DocumentLimits

    names = DocumentLimits.__struct_fields__
    numbers: dict[str, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in names or not number.isdecimal() or not 0 < int(number) < 1 << 40:
            raise click.BadParameter(f"{text!r} is not one of {', '.join(f'{known}=N' for known in names)}")
        numbers[name] = int(number)
        note_flag(context, option, f"limits.{name}", int(number))
    if context.resilient_parsing:
        return DEFAULT
    values = {name: numbers.get(name) or configuration().value(f"limits.{name}") for name in names}
    return DocumentLimits(**values)


def take_profile(context: click.Context, option: click.Parameter, given: str | None) -> None:
    """The callback of `--profile`."""
    if given is not None:
        context.find_root().meta[_PROFILE] = given


def accepted_types() -> ExecutorTypes | None:
    """The installed types of executors with what the configuration turns off; None where it turns nothing off."""
    disabled = configuration().disabled_executors()
    if not disabled:
        return None
    from aether_protocol.assembly.executors import InstalledExecutors, InstalledTypes

    return InstalledTypes(InstalledExecutors(), disabled)


def variable_sources() -> list[VariableSource]:
    """Make the sources of variables that the configuration names. Raises UsageError, PortError."""
    named = configuration().value("variables.sources")
    if not named:
        return []
    from aether_protocol.assembly.parts import variable_sources as made

    return made(named)


def usual_store() -> str:
    """The store of a command that is given no `--store`."""
    from aether_protocol.assembly.configuration.store_place import store_url

    settings = configuration()
    return store_url(settings.without_flags())


def names_store() -> bool:
    """Whether the store is named, on the command line or by a setting; else it was found, or is new."""
    return configuration().value("store.url") is not None


def debugs() -> bool:
    """Whether an unexpected error shows where it happened. Never raises: it is asked for after an error."""
    text = os.environ.get("AETHER_DEBUG", "")
    if text:
        return text.lower() not in ("0", "false", "no", "off")
    try:
        return bool(configuration().value("logging.debug"))
    except Exception:  # what needs the configuration reports that it is faulty
        return False
