"""Which store a process uses: the configured one, else the nearest one that is there, else a new one.

Law: one rule for all commands and for programs that ask for it. What is configured counts first. Else the nearest existing
`.aether/aether.db` is taken, of the folder and its parents up to the root of the repository; one that another user could have
put there is refused. Where there is none, a new one is made in the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aether_protocol.assembly.configuration.find import check_owner, project_folders
from aether_protocol.assembly.store_urls import PROJECT, StoreUrl, read_store_url

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration.effective import Configuration

FILE: Final = os.path.join(PROJECT, "aether.db")
NEW: Final = f"sqlite:{FILE}"
_OURS: Final = ("sqlite", "postgres", "postgresql")
_OPTIONS: Final = {"tier": "store.tier", "durability": "store.durability", "artifacts": "artifacts.path"}


def store_url(configuration: Configuration, given: str | None = None) -> str:
    """The URL of the store that a process uses.

    Args:
        configuration: the settings that hold.
        given: a URL that wins over the configured one.

    Raises:
        UsageError: the URL or a setting is wrong, or the store belongs to another user.
    """
    url = configuration.value("store.url") or found_store() if given is None else given
    options = {}
    for name, key in _OPTIONS.items():
        found = configuration.find(key)
        if found.source.kind not in ("default", "flag"):  # a flag reaches the store by itself
            options[name] = str(found.value)
    return with_options(url, options) if options else url


def found_store() -> str:
    """The URL of the nearest store that is there, else of a new one in the working directory.

    Raises:
        UsageError: it belongs to another user.
    """
    try:
        here = os.getcwd()
    except OSError:  # it was removed: an error of opening the store
        return NEW
    if not os.path.lexists(FILE):
        for folder in project_folders(here)[1:]:
            if os.path.lexists(os.path.join(folder, FILE)):
                _check(os.path.join(folder, FILE))
                return f"sqlite:{os.path.join(folder, FILE)}"
        return NEW
    _check(os.path.join(here, FILE))
    return NEW


def searched() -> str:
    """Where `found_store` looks, for a message."""
    try:
        folders = project_folders(os.getcwd())
    except OSError:
        return "the working directory"
    if len(folders) == 1:
        return repr(folders[0])
    return f"{folders[0]!r} and its parents up to {folders[-1]!r}"


def with_options(url: str, options: Mapping[str, str]) -> str:
    """The URL of one of our stores with these options, where it has none of that name itself; that of another package's store
    with the place of the artifacts, which is known to all; `memory` as it is."""
    from urllib.parse import quote

    read = read_store_url(url)
    known = [name for name in options if read.kind in _OURS or name == "artifacts"]
    missing = [f"{name}={quote(options[name])}" for name in known if name not in read.named_options()]
    if read.kind == "memory" or not missing:
        return url
    return str(StoreUrl(read.kind, read.path, "&".join([*([read.options] if read.options else []), *missing])))


def _check(path: str) -> None:
    """The file of a store, a link to it and its folder are ours, or there is no such file behind the link."""
    try:
        check_owner(path, os.lstat(path), os.stat(path), os.stat(os.path.dirname(path)), hint=f"--store sqlite:{path} names it")
    except OSError:
        return  # an error of opening it
