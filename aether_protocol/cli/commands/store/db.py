"""`aether db`: the store itself."""

from __future__ import annotations

import asyncio
import json

import click
from msgspec.structs import asdict

from aether_protocol.assembly.stores import artifacts_of
from aether_protocol.cli.exits import FINE, OUTSIDE
from aether_protocol.cli.options import report_option, store_option
from aether_protocol.cli.stored import check_there, look, open_at
from aether_protocol.engine.artifacts import survey
from aether_protocol.errors import PortError
from aether_protocol.ports.artifacts import KeptArtifact
from aether_protocol.ports.store import RunQuery, Store, StoreInfo
from aether_protocol.service.runs.inspect import fault_of
from aether_protocol.views.text import counted, printable

PAGE = 500
DAMAGED = "restore it from a backup; 'sqlite3 FILE .recover' may save what can still be read"


@click.group("db")
def command() -> None:
    """Check, migrate and compact the store, or tell about it."""


@command.command("info")
@report_option
@store_option
def info(output: str, store: str) -> int:
    """Tell what the store is, and what it holds."""
    found = look(store, lambda opened: opened.info())
    if output == "json":
        click.echo(json.dumps(to_json(found), indent=2, ensure_ascii=False))
        return FINE
    details = {"schema": found.schema, "runs": found.runs, "not ended": found.open_runs, "size": f"{found.size} bytes"}
    for name, value in {**details, **found.details}.items():
        click.echo(f"{name + ':':<12} {printable(str(value))}")
    return FINE


def to_json(found: StoreInfo) -> dict[str, object]:
    record = asdict(found)
    record["openRuns"] = record.pop("open_runs")
    if not record["undigested"]:
        del record["undigested"]
    return record


@command.command("check")
@store_option
def check(store: str) -> int:
    """Read everything, compare it with the digests that it was stored with, replay every run, and tell what is wrong.

    Nothing is changed.

    Exit codes: 0 all is well, 9 something is wrong.
    """
    try:
        faults, found, orphans = look(store, find)
    except PortError as error:
        here = error.hint is not None and "aether db check" in error.hint
        raise PortError(error.message, hint=DAMAGED if here else error.hint) from error
    for fault in faults:
        click.echo(printable(fault))
    if faults:
        click.secho(f"{counted(len(faults), 'fault')} found", fg="red", err=True)
        return OUTSIDE
    if found.undigested:
        told = "recorded by an older version, without digests: what a disk may have changed in them cannot be told"
        click.echo(f"{counted(found.undigested, 'run')} {told}", err=True)
    for orphan in orphans:
        click.echo(f"artifact {orphan.digest} ({orphan.size} bytes) is named by no run")
    if orphans:
        click.echo("  hint: 'aether prune' and 'aether rm' delete such artifacts an hour after they were kept", err=True)
    click.echo("all is well", err=True)
    return FINE


async def find(store: Store) -> tuple[list[str], StoreInfo, list[KeptArtifact]]:
    """Faults of the store and of its artifacts; where there are none, also contents that no run names."""
    found = await find_faults(store)
    if found:
        return found, await store.info(), []
    seen = await survey(store, artifacts_of(store))
    lost = [f"artifact {digest} of run {run_id!r} is not there" for digest, run_id in seen.missing]
    lost += [f"artifact {digest} of run {run_id!r} is damaged" for digest, run_id in seen.damaged]
    return lost, await store.info(), seen.orphans


async def find_faults(store: Store) -> list[str]:
    """Faults of the file; where it has none, those of the runs."""
    found = await store.check()
    if found:
        return found
    query = RunQuery(limit=PAGE)
    named = set(await store.artifacts())
    while rows := await store.rows(query):
        faults = [await fault_of(store, row.run_id, named) for row in rows]
        found += [fault for fault in faults if fault is not None]
        query.before = (rows[-1].created_at, rows[-1].run_id)
    return found


@command.command("migrate")
@store_option
def migrate(store: str) -> int:
    """Bring a store of an older version up to date.

    Commands that write do so by themselves; here it is done at a moment of one's choice.
    """
    check_there(store)

    async def go(opened: Store) -> tuple[int, int]:
        try:
            return await opened.migrate()
        finally:
            await opened.close()

    before, after = asyncio.run(go(open_at(store)))
    click.echo(f"the schema is at version {after}" + (f", it was {before}" if before != after else " already"), err=True)
    return FINE


@command.command("vacuum")
@store_option
def vacuum(store: str) -> int:
    """Give space that deleted runs left back to the system."""

    async def go(opened: Store) -> tuple[int, int]:
        before = (await opened.info()).size
        await opened.vacuum()
        return before, (await opened.info()).size

    before, after = look(store, go, writes=True)
    click.echo(f"{before} bytes before, {after} now", err=True)
    return FINE
