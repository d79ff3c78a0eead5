"""`aether db`: the store itself."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE, OUTSIDE
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import StoreAlone, TextOrJson, ToOption
from aether_protocol.cli.stored import ask, copy_between
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import PortError
from aether_protocol.ports.store import StoreInfo
from aether_protocol.views.text import counted, printable

DAMAGED = "restore it from a backup; 'sqlite3 FILE .recover' may save what can still be read"


@click.group("db", cls=CommandGroup)
def command() -> None:
    """Check, migrate, copy and compact the store, or describe it."""


class DatabaseOptions(Struct, frozen=True, kw_only=True):
    """What all of these take."""

    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreAlone


@command_with(DatabaseOptions, "info")
def info(options: DatabaseOptions) -> int:
    """Show what the store is, and what it holds."""
    found = ask(options.store, lambda client: client.store.info())
    if options.output == "json":
        click.echo(json.dumps(to_json(found), indent=2, ensure_ascii=False))
        return FINE
    details = {"schema": found.schema, "runs": found.runs, "not ended": found.open_runs, "size": f"{found.size} bytes"}
    for name, value in {**details, **found.details}.items():
        click.echo(f"{name + ':':<12} {printable(str(value))}")
    return FINE


def to_json(found: StoreInfo) -> dict[str, object]:
    record = asdict(found)
    record["openRuns"] = record.pop("open_runs")
    return record


@command_with(DatabaseOptions, "check")
def check(options: DatabaseOptions) -> int:
    """Read everything, compare it with the digests that it was stored with, replay every run, and report what is wrong.

    Nothing is changed.

    Exit codes: 0 all is well, 9 something is wrong.
    """
    try:
        seen = ask(options.store, lambda client: client.store.check())
    except PortError as error:
        here = error.hint is not None and "aether db check" in error.hint
        raise PortError(error.message, hint=DAMAGED if here else error.hint) from error
    if options.output == "json":
        orphans = [{"digest": one.digest, "size": one.size} for one in seen.orphans]
        record = {"faults": seen.faults, "unnamedArtifacts": orphans}
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return OUTSIDE if seen.faults else FINE
    for fault in seen.faults:
        click.echo(printable(fault))
    if seen.faults:
        messages.error(f"{counted(len(seen.faults), 'fault')} found", DAMAGED)
        return OUTSIDE
    for orphan in seen.orphans:
        click.echo(f"artifact {orphan.digest} ({orphan.size} bytes) is named by no run")
    hint = "'aether prune' and 'aether rm' delete artifacts that no run names an hour after they were kept"
    messages.note("all is well", hint if seen.orphans else None)
    return FINE


@command_with(DatabaseOptions, "migrate")
def migrate(options: DatabaseOptions) -> int:
    """Bring a store of an older version up to date.

    Commands that write do so by themselves; here it is done at a moment of one's choice.
    """
    found = ask(options.store, lambda client: client.store.migrate(), writes=True)
    if options.output == "json":
        click.echo(json.dumps(asdict(found), indent=2))
    was = f", it was {found.before}" if found.before != found.after else " already"
    messages.note(f"the schema is at version {found.after}{was}")
    return FINE


@command_with(DatabaseOptions, "vacuum")
def vacuum(options: DatabaseOptions) -> int:
    """Return space that deleted runs occupied to the system."""
    found = ask(options.store, lambda client: client.store.vacuum(), writes=True)
    if options.output == "json":
        click.echo(json.dumps(asdict(found), indent=2))
    messages.note(f"{found.before} bytes before, {found.after} now")
    return FINE


class CopyOptions(Struct, frozen=True, kw_only=True):
    source: Annotated[str, argument("FROM")]
    target: Annotated[str, argument("TO")]
    output: TextOrJson = "text"
    to: ToOption = None


@command_with(CopyOptions, "copy")
def copy(options: CopyOptions) -> int:
    """Copy a store into another one, which is made where it is not there yet.

    FROM and TO are URLs of stores: sqlite:PATH or postgres://USER@HOST/DATABASE. Runs are checked on their way. What TO has
    already stays as it is, so an interrupted copy is finished by another one. No engine may drive runs of FROM. Contents of
    artifacts stay where they are.
    """
    done = copy_between(options.source, options.target)
    if options.output == "json":
        click.echo(json.dumps(asdict(done), indent=2))
    several = ("documents", "schedules", "tokens", "namespaces")
    beside = ", ".join([f"{getattr(done, name)} {name}" for name in several if getattr(done, name)])
    there = f", {counted(done.there, 'run')} were there already" if done.there else ""
    messages.note(f"copied {counted(done.runs, 'run')}{f', {beside}' if beside else ''}{there}")
    return FINE


for _one in (check, copy, info, migrate, vacuum):
    command.add_command(_one)
