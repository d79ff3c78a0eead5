"""Stores with more runs than anybody could carry out: one run is recorded, and inserted many times."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.adapters.stores.sql.work import run as carry_out
from aether_protocol.assembly import open_store
from aether_protocol.assembly.documents import load_plan
from aether_protocol.ports.store import NewRun
from tests.documents import submitted

FIRST_US: Final = 1_700_000_000_000_000
DOCUMENT: Final = submitted({"name": "a", "executor": {"type": "noop"}}, name="w")


async def model_of(path: Path) -> NewRun:
    """Record one run in a store at `path`, to be multiplied."""
    async with Engine(store=f"sqlite:{path}") as engine:
        run = await engine.submit(DOCUMENT, run_id="model")
        await engine.driven.join(run)
        stored = await engine.store.runs.load(run)
    return NewRun(stored.row, load_plan(DOCUMENT), stored.header)


def row_of(number: int) -> dict[str, Any]:
    """In what a run differs from the others; the one with the largest number is the newest."""
    return {"run_id": f"r{number:09}", "created_at": FIRST_US + number * 1000, "namespace": f"n{number % 10}", "seq": 0}


async def fill(path: Path, model: NewRun, count: int) -> None:
    """Insert so many runs that have ended into a SQLite store."""
    store = open_store(f"sqlite:{path}")
    runs: Any = store.runs
    for first in range(0, count, 50_000):
        async with runs._db.write() as execute:
            for number in range(first, min(first + 50_000, count)):
                row = replace(model.row, **row_of(number))
                carry_out(execute, runs._records.insert(NewRun(row, model.plan, model.header)))
    await store.close()
