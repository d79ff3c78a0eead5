"""Stores by URL: `memory`, `sqlite:PATH` (`assembly.store_urls`), with options behind a question mark.

Law: a URL says all of it, so that every process that is given the same one opens the same store; nothing else is read but
AETHER_STORE, and that only where no URL is given. An adapter is loaded when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from aether_protocol.assembly.store_urls import PROJECT, read_store_url
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import UsageError
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.store import STATE_ACTION_LOG, Store

VARIABLE: Final = "AETHER_STORE"
_SQLITE_OPTIONS: Final = ("artifacts", "durability", "tier")
_ARTIFACTS: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()  # of stores whose URL names the folder


def open_store(
    url: str | None = None, *, durability: str | None = None, tier: str | None = None, reads_only: bool = False
) -> Store:
    """The store at `url`; without one that of AETHER_STORE, else the nearest `.aether/aether.db` (RT-111).

    `?artifacts=FOLDER` says where the artifacts of its runs are kept, if not beside its file.

    `memory` ends with the process. `sqlite:PATH` is made with its folder if it is not there; `?tier=snapshot` or
    `?tier=state-action-log` (the default) says how new runs are kept, `?durability=normal` or `full` (the default) what a
    write survives. `durability` and `tier` win over the URL. With `reads_only` nothing is made, migrated or written. Raises
    UsageError for a URL that says something else, PortError for a store that cannot be used.
    """
    if url is None:
        from aether_protocol.assembly.configuration.store_place import found_store

        url = os.environ.get(VARIABLE) or found_store()
    read = read_store_url(url)
    opener = _OPENERS.get(read.kind)
    if opener is None:
        hint = did_you_mean(read.kind, _OPENERS, "known: memory, sqlite:PATH")
        if ":" not in url and ("/" in url or url.endswith(".db")):
            hint = f"did you mean {'sqlite:' + url!r}?"
        raise UsageError(f"unknown store {url!r}", hint=hint)
    options = read.named_options()
    options |= {name: given for name, given in (("durability", durability), ("tier", tier)) if given is not None}
    return opener(url, read.path, options, reads_only)


def artifacts_of(store: object) -> ArtifactRepository:
    """The repository of the artifacts that a store's runs name: the folder that its URL names; else `artifacts` beside
    a file `aether.db`, `FILE-artifacts` beside any other, so that no store takes what another one needs for its own. That of a
    store without a file ends with the process.
    """
    from aether_protocol.adapters.artifacts.repository import LocalRepository, TemporaryRepository

    if store in _ARTIFACTS:
        return LocalRepository(_ARTIFACTS[store])
    file: Path | None = getattr(store, "file", None)
    if file is None:
        return TemporaryRepository()
    return LocalRepository(file.with_name("artifacts" if file.name == "aether.db" else f"{file.name}-artifacts"))


def _memory(url: str, path: str, options: dict[str, str], reads_only: bool) -> Store:
    from aether_protocol.adapters.stores.memory.store import MemoryStore

    options.pop("durability", None)  # nothing survives; whoever asks for it on every store need not care
    if path or options:
        raise UsageError(f"the store {url!r} takes neither path nor options", hint="it is `memory`")
    return MemoryStore()


def _sqlite(url: str, path: str, options: dict[str, str], reads_only: bool) -> Store:
    from aether_protocol.adapters.stores.sqlite.store import open_sqlite

    if not path:
        raise UsageError(f"the store {url!r} has no path", hint="like 'sqlite:runs.db'")
    for name in options:
        if name not in _SQLITE_OPTIONS:
            hint = did_you_mean(name, _SQLITE_OPTIONS, f"known: {', '.join(_SQLITE_OPTIONS)}")
            raise UsageError(f"the store {url!r} has the unknown option {name!r}", hint=hint)
    durability, tier = options.get("durability", "full"), options.get("tier", STATE_ACTION_LOG)
    store = open_sqlite(path, durability=durability, tier=tier, reads_only=reads_only)
    if options.get("artifacts"):
        _ARTIFACTS[store] = os.path.abspath(options["artifacts"])
    return store


def workspaces_root(store: object, given: str | Path | None = None) -> Path | None:
    """Where the workspaces of a store's runs lie: where it is said, else in `.aether` beside the file of the store; None for a
    store that has no place."""
    if given is not None:
        return Path(given)
    file: Path | None = getattr(store, "file", None)
    if file is None:
        return None
    folder = file.parent
    return (folder if folder.name == PROJECT else folder / PROJECT) / "workspaces"


_OPENERS: Final[dict[str, Callable[[str, str, dict[str, str], bool], Store]]] = {"memory": _memory, "sqlite": _sqlite}
