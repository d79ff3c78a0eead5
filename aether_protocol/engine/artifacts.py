"""Which artifacts runs name, and what becomes of those that none names any more.

Law: a content is deleted only if it was put longer ago than the grace and no run of the store names it. What a run names is
recorded with the step that names it, and what an attempt has fetched counts as put again while it runs, so that the grace has
to last only from the end of an attempt to its record. What is put again counts as put now, and the repository puts and deletes
one after the other: so nothing that a new run relies on goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import Struct

from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, DagDef, Plan, TaskDef
from aether_protocol.ports.artifacts import (
    ArtifactRepository,
    KeptArtifact,
    NamespacedRepository,
    keeps_apart,
    others_of,
    part_of,
)
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.facts import ArtifactsFetched, InputsBound, NodeEnded, TaskSuspended
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState

GRACE_US: Final = 3_600_000_000

_NAMING: Final = frozenset({InputsBound, NodeEnded, TaskSuspended, ArtifactsFetched})
_NONE: Final[tuple[str, ...]] = ()


def named_in(entries: Sequence[LogEntry]) -> Sequence[str]:
    """Return the digests of the artifacts that log entries name."""
    found: list[str] | None = None
    for entry in entries:
        for fact in entry.facts:
            if type(fact) in _NAMING:  # of all facts on the hot path few are asked for more than this
                named = fact.fetched if isinstance(fact, ArtifactsFetched) else fact.artifacts  # type: ignore[union-attr]
                if named:
                    found = found or []
                    found += _digests(named)
    return _NONE if found is None else list(dict.fromkeys(found))


def names_artifacts(plan: Plan) -> bool:
    """Whether tasks of a plan take or give artifacts, so that what a run names has to be recorded with its steps."""
    todo: list[Call] = [plan.root, *plan.hooks.values()]
    seen: set[int] = set()
    while todo:
        call = todo.pop()
        target = call.target
        if call.artifacts or (isinstance(target, TaskDef) and target.artifacts):
            return True
        if call.hooks:
            todo += call.hooks.values()
        if id(target) not in seen and not isinstance(target, TaskDef):
            seen.add(id(target))
            todo += target.tasks if isinstance(target, DagDef) else (target.body,)
    return False


def named_by(header: RunHeader) -> Sequence[str]:
    """The digests of the artifacts that a run names from its beginning: those of the task runs that a retry keeps, and
    what sources gave to the run that it retries."""
    if header.reused is None and header.fetched is None:
        return _NONE
    found: list[str] = []
    for held in (header.fetched or {}).values():
        found += _digests(held)
    for record in (header.reused or {}).values():
        for artifacts in (record.get("artifacts"), record.get("inputArtifacts")) if isinstance(record, dict) else ():
            found += _digests(artifacts or {})
    return list(dict.fromkeys(found))


def named_of(state: RunState) -> set[str]:
    """The digests of the artifacts that a run names as it is now."""
    found = set(named_by(state.header))
    for node in state.nodes:
        found.update(_digests(node.artifacts))
        if isinstance(node, TaskNode):
            found.update(_digests(node.input_artifacts))
    return found


def _digests(artifacts: Mapping[str, Json]) -> Iterator[str]:
    for value in artifacts.values():
        for record in (value, value.get("fetched")) if isinstance(value, dict) else ():
            if isinstance(record, dict) and isinstance(record.get("digest"), str):
                yield record["digest"]


class Collected(Struct):
    """What was deleted, or would be."""

    count: int = 0
    size: int = 0  # bytes


async def collect(
    store: Store,
    repository: ArtifactRepository,
    now: int,
    *,
    grace_us: int = GRACE_US,
    dry_run: bool = False,
    aside: Callable[..., Awaitable[Any]] = asyncio.to_thread,
) -> Collected:
    """Delete the contents that no run of `store` names and that were put before `now - grace_us`.

    `aside` makes the blocking calls. A dry run writes nothing: neither a name of the store, nor a note of it at the repository.

    Raises:
        PortError: Other stores keep artifacts there too, so that nothing may be deleted; or it cannot be read.
    """
    others = () if dry_run else await aside(others_of, repository, await store.upkeep.identity())
    if others:
        raise PortError(
            "runs of another store may name what is kept there: nothing is deleted",
            hint=f"give each store a place of its own (?artifacts=); where the other one is gone, delete {others[0]}",
        )
    before = now - grace_us
    old: list[_Placed] = await aside(lambda: [one for one in _kept(repository) if one[1].put_at < before])
    is_named = _naming(repository, await store.upkeep.artifacts())  # after the list: what is named since was put since
    loose = [one for one in old if not is_named(one)]
    if dry_run:
        return _sum(loose)
    freed: Collected = await aside(_delete, repository, loose, before)
    return freed


_Placed = tuple[str, KeptArtifact]  # the namespace, and what is kept there


def _kept(repository: ArtifactRepository) -> Iterator[_Placed]:
    """All that a repository keeps, in all of its parts; where it has none, as if it were all of `default`."""
    for namespace in _namespaces(repository):
        for one in part_of(repository, namespace).kept():
            yield namespace, one


def _namespaces(repository: ArtifactRepository) -> Iterable[str]:
    return cast("NamespacedRepository", repository).namespaces() if keeps_apart(repository) else (DEFAULT_NAMESPACE,)


def _naming(repository: ArtifactRepository, named: Mapping[tuple[str, str], str]) -> Callable[[_Placed], bool]:
    """What says whether a run names a content. Where namespaces are not kept apart, it may be one of any."""
    if keeps_apart(repository):
        return lambda one: (one[0], one[1].digest) in named
    digests = {digest for _, digest in named}
    return lambda one: one[1].digest in digests


def _delete(repository: ArtifactRepository, loose: Sequence[_Placed], before: int) -> Collected:
    for namespace in _namespaces(repository):
        part_of(repository, namespace).tidy(before)
    return _sum([one for one in loose if part_of(repository, one[0]).delete(one[1].digest, before)])


def _sum(several: Sequence[_Placed]) -> Collected:
    return Collected(len(several), sum(one.size for _, one in several))


class Survey(Struct):
    """`orphans` are contents that no run names, `missing` those that are not there, and `damaged` those that are not what was
    put, with a run that names each."""

    orphans: list[KeptArtifact]
    missing: list[tuple[str, str]]
    damaged: list[tuple[str, str]]


async def survey(store: Store, repository: ArtifactRepository) -> Survey:
    """Compare what runs name with what is kept; reads all that they name."""
    named = await store.upkeep.artifacts()
    is_named = _naming(repository, named)
    found = await asyncio.to_thread(lambda: list(_kept(repository)))
    kept = {(namespace, one.digest) for namespace, one in found}
    orphans = sorted((one for one in found if not is_named(one)), key=lambda one: (one[1].digest, one[0]))

    def is_kept(namespace: str, digest: str) -> bool:
        return (namespace if keeps_apart(repository) else DEFAULT_NAMESPACE, digest) in kept

    def look() -> Survey:
        missing, damaged = [], []
        for (namespace, digest), run_id in sorted(named.items(), key=lambda one: (one[0][1], one[1])):
            if not is_kept(namespace, digest):
                missing.append((digest, run_id))
            elif not part_of(repository, namespace).sound(digest):
                damaged.append((digest, run_id))
        return Survey([one for _, one in orphans], missing, damaged)

    return await asyncio.to_thread(look)
