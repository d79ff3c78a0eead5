"""What documents are checked against: the executor types and artifact sources that are installed.

Law: tables that load what they tell of when it is looked up; a document of `noop` tasks loads `noop` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from aether_protocol.assembly.executors import InstalledExecutors, InstalledTypes
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.ports.artifacts import ArtifactFetcher, ArtifactRepository, Stager


def executor_types() -> ExecutorTypes:
    """The installed executor types by name."""
    return InstalledTypes(InstalledExecutors())


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
    """The config fields of each type of artifact source (SPEC-6)."""
    return _FetcherTypes()


def local_stager(repository: str | Path | ArtifactRepository) -> Stager:
    """A stager that keeps artifacts in a repository, or in the folder of one."""
    from aether_protocol.adapters.artifacts.repository import LocalRepository
    from aether_protocol.execution.staging.stager import LocalStager

    kept = LocalRepository(repository) if isinstance(repository, str | Path) else repository
    return LocalStager(kept, _fetchers())
