"""Stores by URL: `memory`, `sqlite:PATH`, `postgres://...` (`assembly.store_urls`), those of other packages; with options
behind a question mark.

Law: a URL says all of it, so that every process that is given the same one opens the same store; nothing else is read but
AETHER_STORE, and that only where no URL is given. An adapter is loaded when it is asked for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol.assembly.discovery import is_installed, make, names
from aether_protocol.assembly.store_urls import PROJECT, StoreUrl, read_store_url, without_password
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import STATE_ACTION_LOG, Store

if TYPE_CHECKING:
    from aether_protocol.ports.store import ServerTerm

VARIABLE: Final = "AETHER_STORE"
TERM_KEY_BYTES: Final = 32
_SCHEMA: Final = "[a-z_][a-z0-9_]{0,39}"
_SQLITE_OPTIONS: Final = ("artifacts", "durability", "tier")
_POSTGRES_OPTIONS: Final = (*_SQLITE_OPTIONS, "patience", "schema")


def open_store(
    url: str | None = None, *, durability: str | None = None, tier: str | None = None, reads_only: bool = False
) -> Store:
    """Open a store.

    `memory` ends with the process. `sqlite:PATH` is made with its folder if it is not there; `?tier=snapshot` or
    `?tier=state-action-log` (the default) says how new runs are kept, `?durability=normal` or `full` (the default) what a
    write survives. `?artifacts=PLACE` names the folder, or the URL of the repository, of the artifacts of its runs. Other
    packages add stores by the scheme of their URLs (RT-123).

    Args:
        url: Its URL; by default that of AETHER_STORE, else the nearest `.aether/aether.db` (RT-111).
        durability: Wins over that of the URL.
        tier: Wins over that of the URL.
        reads_only: Nothing is made, migrated or written.

    Raises:
        UsageError: The URL says something else.
        PortError: The store cannot be used.
    """
    if url is None:
        from aether_protocol.assembly.configuration.store_place import found_store

        url = os.environ.get(VARIABLE) or found_store()
    read = read_store_url(url)
    if not is_installed("stores", read.kind):
        hint = did_you_mean(read.kind, names("stores"), "known: memory, sqlite:PATH, postgres://...")
        if ":" not in url and ("/" in url or url.endswith(".db")):
            hint = f"did you mean {'sqlite:' + url!r}?"
        if re.fullmatch(r"[\w.-]+:\d+(/.*)?", url):
            hint = f"a server is named http://{url} or https://{url}"
        raise UsageError(f"unknown store {without_password(url)!r}", hint=hint)
    given = {name: value for name, value in (("durability", durability), ("tier", tier)) if value is not None}
    if read.options or given:
        url, artifacts = _without_artifacts(read, given)
        store: Store = make("stores", url, url, reads_only=reads_only)
        if artifacts:
            from aether_protocol.assembly.artifacts import place_artifacts

            place_artifacts(store, artifacts)
        return store
    opened: Store = make("stores", url, url, reads_only=reads_only)
    return opened


def _without_artifacts(read: StoreUrl, given: dict[str, str]) -> tuple[str, str | None]:
    """The URL with these options and without that of the artifacts, and that one. The names of built-in options are known to
    all stores: one that has no use for them passes them over."""
    from urllib.parse import urlencode

    options = {**read.named_options(), **given}
    artifacts = options.pop("artifacts", None)
    return str(StoreUrl(read.kind, read.path, urlencode(options, safe="/:"))), artifacts


def memory_store(url: str, *, reads_only: bool = False) -> Store:
    """Make the store of `memory`. Raises UsageError for a path or options."""
    from aether_protocol.adapters.stores.memory.store import MemoryStore

    read = read_store_url(url)
    options = read.named_options()
    options.pop("durability", None)  # nothing survives: it holds for every value
    if read.path or options:
        raise UsageError(f"the store {url!r} takes neither path nor options", hint="it is `memory`")
    return MemoryStore()


def sqlite_store(url: str, *, reads_only: bool = False) -> Store:
    """Open the store of `sqlite:PATH`. Raises UsageError for a URL without a path or with unknown options, PortError."""
    from aether_protocol.adapters.stores.sqlite.store import open_sqlite

    read = read_store_url(url)
    options = read.named_options()
    if not read.path:
        raise UsageError(f"the store {url!r} has no path", hint="like 'sqlite:runs.db'")
    for name in options:
        if name not in _SQLITE_OPTIONS:
            hint = did_you_mean(name, _SQLITE_OPTIONS, f"known: {', '.join(_SQLITE_OPTIONS)}")
            raise UsageError(f"the store {url!r} has the unknown option {name!r}", hint=hint)
    durability, tier = options.get("durability", "full"), options.get("tier", STATE_ACTION_LOG)
    return open_sqlite(read.path, durability=durability, tier=tier, reads_only=reads_only)


def postgres_store(url: str, *, reads_only: bool = False) -> Store:
    """Make the store of `postgres://USER@HOST/DATABASE`, which is connected when it is used first.

    `?schema=NAME` is where its tables are (`aether`), `?patience=SECONDS` how long a server that was there is waited for; the
    other options are for the driver (`sslmode`, `host`).

    Raises:
        UsageError: The URL says something else, or the extra is not installed.
    """
    from importlib.util import find_spec

    shown = without_password(url)
    if find_spec("asyncpg") is None:
        hint = "pip install 'aether-protocol[postgres]'"
        raise UsageError(f"the store {shown!r} needs what is not installed: asyncpg", hint=hint)
    from urllib.parse import urlencode

    from aether_protocol.adapters.stores.postgres.store import PATIENCE_S, SCHEMA, open_postgres

    read = read_store_url(url)
    if not read.path.startswith("//"):
        raise UsageError(f"the store {shown!r} names no server", hint="like 'postgres://user@host/database'")
    options = read.named_options()
    if read.path.count("@") > 1 or "#" in url or any("@" in name for name in options):
        hint = "in a password @ is written as %40, / as %2F, ? as %3F, # as %23; better: PGPASSWORD or ~/.pgpass"
        raise UsageError(f"the store {_host_alone(url)!r} has a URL that cannot be read", hint=hint)
    ours = {name: options.pop(name) for name in _POSTGRES_OPTIONS if name in options}
    schema = ours.get("schema", SCHEMA)
    if not re.fullmatch(_SCHEMA, schema):
        hint = "lower-case letters, digits and _, at most 40"
        raise UsageError(f"the store {shown!r} has the schema {schema!r}, which is not a plain name", hint=hint)
    try:
        patience_s = float(ours.get("patience", PATIENCE_S))
        if not 0 <= patience_s < float("inf"):
            raise ValueError
    except ValueError:
        raise UsageError(f"the store {shown!r} has a patience that is not a number of seconds", hint="like 15") from None
    rest = f"?{urlencode(options, safe='/:')}" if options else ""
    return open_postgres(
        f"postgres:{read.path}{rest}",
        schema=schema,
        durability=ours.get("durability", "full"),
        tier=ours.get("tier", STATE_ACTION_LOG),
        reads_only=reads_only,
        patience_s=patience_s,
    )


def _host_alone(url: str) -> str:
    """A URL in which it cannot be seen where the password ends, without all that may be one."""
    scheme, _, rest = url.partition("://")
    rest = rest.replace("%40", "@")  # as it is where the URL was taken apart before
    return f"{scheme}://...@{rest.rpartition('@')[2].partition('?')[0].rstrip('=')}" if "@" in rest else f"{scheme}://..."


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


async def begin_term(store: Store) -> ServerTerm:
    """Begin a term of service at a store: for what speaks to workers elsewhere. Raises PortError."""
    return await store.fleet.begin_term(os.urandom(TERM_KEY_BYTES))
