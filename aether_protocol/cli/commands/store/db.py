"""`aether db`: the store itself."""

from __future__ import annotations

import asyncio
import json

import click
from msgspec.structs import asdict

from aether_protocol.cli.exits import FINE, OUTSIDE
from aether_protocol.cli.options import report_option, store_option
from aether_protocol.cli.stored import check_there, look, open_at
from aether_protocol.errors import PortError
from aether_protocol.ports.store import Store, StoreInfo
from aether_protocol.service.store_check import check_store
from aether_protocol.views.text import counted, printable

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
        seen = look(store, check_store)
    except PortError as error:
        here = error.hint is not None and "aether db check" in error.hint
        raise PortError(error.message, hint=DAMAGED if here else error.hint) from error
    for fault in seen.faults:
        click.echo(printable(fault))
    if seen.faults:
        click.secho(f"{counted(len(seen.faults), 'fault')} found", fg="red", err=True)
        return OUTSIDE
    if seen.info.undigested:
        told = "recorded by an older version, without digests: what a disk may have changed in them cannot be told"
        click.echo(f"{counted(seen.info.undigested, 'run')} {told}", err=True)
    for orphan in seen.orphans:
        click.echo(f"artifact {orphan.digest} ({orphan.size} bytes) is named by no run")
    if seen.orphans:
        click.echo("  hint: 'aether prune' and 'aether rm' delete such artifacts an hour after they were kept", err=True)
    click.echo("all is well", err=True)
    return FINE


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
