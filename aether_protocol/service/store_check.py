"""Check a store: its file, the records of its runs, and the artifacts that these name; and what its upkeep came to.

Law: a check reads everything and changes nothing. Artifacts that no run names are only looked for where all else is well.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aether_protocol.ports.artifacts import KeptArtifact
from aether_protocol.ports.store import RunQuery, Store, StoreInfo
from aether_protocol.service.runs.inspect import fault_of

_PAGE = 500


class StoreFindings(Struct, frozen=True):
    """What is wrong, in words; where nothing is, also the artifacts that no run names."""

    faults: Sequence[str]
    info: StoreInfo
    orphans: Sequence[KeptArtifact] = ()


class SchemaVersions(Struct, frozen=True):
    """The version of a store's schema before and after it was brought up to date."""

    before: int
    after: int


class StoreSizes(Struct, frozen=True):
    """The size of a store in bytes before and after unused space was returned."""

    before: int
    after: int


async def check_store(store: Store) -> StoreFindings:
    """Check the store, its runs and their artifacts."""
    from aether_protocol.assembly.artifacts import artifacts_of
    from aether_protocol.engine.artifacts import survey

    found = await find_faults(store)
    if found:
        return StoreFindings(found, await store.upkeep.info())
    seen = await survey(store, artifacts_of(store))
    lost = [f"artifact {digest} of run {run_id!r} is not there" for digest, run_id in seen.missing]
    lost += [f"artifact {digest} of run {run_id!r} is damaged" for digest, run_id in seen.damaged]
    return StoreFindings(lost, await store.upkeep.info(), seen.orphans)


async def find_faults(store: Store) -> list[str]:
    """Find faults of the file; where it has none, those of the runs."""
    found = await store.upkeep.check()
    if found:
        return found
    query = RunQuery(limit=_PAGE)
    named = set(await store.upkeep.artifacts())
    while rows := await store.runs.rows(query):
        faults = [await fault_of(store, row.run_id, named) for row in rows]
        found += [fault for fault in faults if fault is not None]
        query.before = (rows[-1].created_at, rows[-1].run_id)
    return found
