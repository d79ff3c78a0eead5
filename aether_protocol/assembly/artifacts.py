"""Artifacts, wired: the types of sources, the repository of a store, and what carries files between them.

Law: what loads a fetcher is a source of its type; a document without sources loads none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from aether_protocol.assembly.discovery import make
from aether_protocol.assembly.store_urls import has_scheme
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.ports.artifacts import ArtifactFetcher, ArtifactRepository, Stager, part_of

if TYPE_CHECKING:
    from aether_protocol.expressions.values import Json
    from aether_protocol.plan.model import ArtifactOutput

_PLACES: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()  # of stores whose URL names the repository


@cache
def _fetchers() -> tuple[ArtifactFetcher, ...]:
    from aether_protocol.adapters.artifacts.fetchers import HttpFetcher, LocalFetcher, RawFetcher
    from aether_protocol.adapters.artifacts.git import GitFetcher

    return (HttpFetcher(), LocalFetcher(), RawFetcher(), GitFetcher())


class _FetcherTypes(Mapping[str, tuple[ConfigField, ...]]):
    def __getitem__(self, name: str) -> tuple[ConfigField, ...]:
        for fetcher in _fetchers():
            if fetcher.name == name:
                return fetcher.config
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (fetcher.name for fetcher in _fetchers())

    def __len__(self) -> int:
        return len(_fetchers())


def fetcher_types() -> Mapping[str, tuple[ConfigField, ...]]:
    """Give the config fields of each type of artifact source (SPEC-6)."""
    return _FetcherTypes()


def local_stager(repository: str | Path | ArtifactRepository) -> Stager:
    """Make a stager that keeps artifacts in a repository; see `open_repository`."""
    return _LateStager(open_repository(repository))


class _LateStager:
    """A LocalStager that is made, with all fetchers, for the first artifact: most runs have none."""

    def __init__(self, repository: ArtifactRepository) -> None:
        self._repository = repository

    @cached_property
    def _made(self) -> Stager:
        from aether_protocol.execution.staging.stager import LocalStager

        return LocalStager(self._repository, _fetchers())

    def within(self, namespace: str) -> Stager:
        part = part_of(self._repository, namespace)
        return self if part is self._repository else _LateStager(part)

    def bring(self, artifacts: Mapping[str, Json], folder: Path, scratch: Path, origin: str | None) -> Mapping[str, Json]:
        return self._made.bring(artifacts, folder, scratch, origin)

    def renew(self, fetched: Mapping[str, Json]) -> None:
        self._made.renew(fetched)

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path, scratch: Path) -> dict[str, Json]:
        return self._made.keep(outputs, folder, scratch)


def open_repository(given: str | Path | ArtifactRepository) -> ArtifactRepository:
    """Open a repository.

    Args:
        given: A repository, which is returned as it is; a folder; or the URL of an installed one, `NAME:...`.

    Raises:
        UsageError: There is no repository of that name.
        PortError: It cannot be loaded or opened.
    """
    if isinstance(given, str) and has_scheme(given):
        repository: ArtifactRepository = make("artifacts", given, given)
        return repository
    if isinstance(given, str | Path):
        from aether_protocol.adapters.artifacts.repository import LocalRepository

        return LocalRepository(given)
    return given


def place_artifacts(store: object, place: str) -> None:
    """Note where the artifacts of a store's runs are kept: the folder or URL that its own URL names."""
    _PLACES[store] = place if has_scheme(place) else os.path.abspath(place)


def artifacts_place(store: object, repository: ArtifactRepository) -> str:
    """Give the folder or the URL by which another process of this machine opens the repository of a store's artifacts; empty:
    it cannot."""
    folder: Path | None = getattr(repository, "folder", None)
    return str(folder.absolute()) if folder is not None else _PLACES.get(store, "")


def is_placed(store: object, given: object = None) -> bool:
    """Whether the place of a store's artifacts was chosen, so that another store may have it, too. `given`: what the
    caller gave as the repository."""
    return store in _PLACES or isinstance(given, str | Path)


def shared_place(store: object, given: object = None) -> str:
    """Give the URL by which workers on other machines open the repository of a store's artifacts; empty: they cannot.

    Args:
        store: the store; its own URL may name the repository.
        given: what the caller gave as the repository, which wins.
    """
    place = _PLACES.get(store, "") if given is None else given
    return place if isinstance(place, str) and has_scheme(place) else ""


def artifacts_of(store: object) -> ArtifactRepository:
    """Open the repository of the artifacts that a store's runs name.

    It is the one that the URL of the store names; else `artifacts` beside a file `aether.db`, `FILE-artifacts` beside any
    other, so that no store takes what another one needs for its own. That of a store without a file ends with the process.
    """
    if store in _PLACES:
        return open_repository(_PLACES[store])
    from aether_protocol.adapters.artifacts.repository import LocalRepository, TemporaryRepository

    file: Path | None = getattr(store, "file", None)
    if file is None:
        return TemporaryRepository()
    return LocalRepository(file.with_name("artifacts" if file.name == "aether.db" else f"{file.name}-artifacts"))
