"""Which artifacts runs name, and what becomes of those that none names any more.

Law: a content is deleted only if it was put longer ago than the grace and no run of the store names it. What a run names is
recorded with the step that names it, so that the grace has to last only from the end of an attempt to its record. What is put
again counts as put now, and the repository puts and deletes one after the other: so nothing that a new run relies on goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, DagDef, Plan, TaskDef
from aether_protocol.ports.artifacts import ArtifactRepository, KeptArtifact
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
    """Delete the contents that no run of `store` names and that were put before `now - grace_us`. Raises PortError.

    `aside` makes the blocking calls.
    """
    before = now - grace_us
    old: list[KeptArtifact] = await aside(lambda: [one for one in repository.kept() if one.put_at < before])
    named = await store.upkeep.artifacts()  # after the list: what is named since then was put since then
    loose = [one for one in old if one.digest not in named]
    if dry_run:
        return _sum(loose)
    freed: Collected = await aside(_delete, repository, loose, before)
    return freed


def _delete(repository: ArtifactRepository, loose: Sequence[KeptArtifact], before: int) -> Collected:
    repository.tidy(before)
    return _sum([one for one in loose if repository.delete(one.digest, before)])


def _sum(several: Sequence[KeptArtifact]) -> Collected:
    return Collected(len(several), sum(one.size for one in several))


class Survey(Struct):
    """`orphans` are contents that no run names, `missing` those that are not there, and `damaged` those that are not what was
    put, with a run that names each."""

    orphans: list[KeptArtifact]
    missing: list[tuple[str, str]]
    damaged: list[tuple[str, str]]


async def survey(store: Store, repository: ArtifactRepository) -> Survey:
    """Compare what runs name with what is kept; reads all that they name."""
    named = await store.upkeep.artifacts()
    kept = {one.digest: one for one in await asyncio.to_thread(lambda: list(repository.kept()))}
    orphans = sorted((one for digest, one in kept.items() if digest not in named), key=lambda one: one.digest)
    missing = sorted((digest, run_id) for digest, run_id in named.items() if digest not in kept)
    there = sorted((digest, run_id) for digest, run_id in named.items() if digest in kept)
    damaged = await asyncio.to_thread(lambda: [one for one in there if not repository.sound(one[0])])
    return Survey(orphans, missing, damaged)
