"""`aether cron export NAME|FILE`: schedules for the system's own scheduler."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.store_urls import read_store_url
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import MaxOption, NamespaceOption, StoreOption
from aether_protocol.cli.schedules import asked_for, refuse_memory
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import FOLDER, Location, OneOf
from aether_protocol.errors import PortError, UsageError
from aether_protocol.service.schedules.system_units import Placed, crontab, service, timer

EPILOG = """\b
Examples:
  (crontab -l; aether cron export nightly -o crontab) | crontab -
  aether cron export nightly -o systemd --to ~/.config/systemd/user
  aether cron export nightly.yaml -o crontab -- --secrets-file /etc/jobs.env

What is written starts 'aether cron tick NAME' at the times of the schedule, in place of 'aether cron run' for it. The
schedule must have been applied to the store. What follows -- is passed to the tick."""


class ScheduleExportOptions(Struct, frozen=True, kw_only=True):
    what: Annotated[str, argument("NAME|FILE")]
    more: Annotated[tuple[str, ...], argument("[-- OPTION...]", nargs=-1, type=click.UNPROCESSED)] = ()
    output: Annotated[
        str,
        option("-o", "--output", old=["--format"], type=OneOf(["crontab", "systemd"], paths="--to"), required=True,
               help="A line for a crontab, or a .service and a .timer."),
    ]
    folder: Annotated[
        Path | None,
        option("--to", type=Location(FOLDER, as_path=True), metavar="DIR",
               help="Where to write the units; standard output if left out."),
    ] = None
    directory: Annotated[
        str | None,
        option("--directory", type=Location(FOLDER, exists=True), metavar="DIR",
               help="Where the tick is to be started; this folder if left out."),
    ] = None
    namespace: NamespaceOption = None
    store: StoreOption
    max: MaxOption


@command_with(ScheduleExportOptions, "export", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: ScheduleExportOptions) -> int:
    """Print a line for a crontab, or units for systemd, that carry a schedule out.

    NAME is a schedule of the store, FILE a document with CronWorkflows.
    """
    refuse_memory(options.store)
    if options.more and not options.more[0].startswith("-"):
        hint = "one name or file at a time; options of the tick follow --"
        raise UsageError(f"{options.more[0]!r} is not an option", hint=hint)
    if options.folder is not None and options.output == "crontab":
        raise UsageError("--to is for units of systemd", hint="a crontab is one file: 'crontab -e' edits it")
    several = placed(options)
    if options.output == "crontab":
        click.echo("\n".join(map(crontab, several)), nl=False)
        return FINE
    units: dict[str, str] = {}
    for one in several:
        units |= {f"{one.unit}.service": service(one), f"{one.unit}.timer": timer(one)}
    if options.folder is None:
        click.echo("\n".join(f"# --- {name}\n{text}" for name, text in units.items()), nl=False)
    else:
        write(options.folder, units)
    return FINE


def placed(options: ScheduleExportOptions) -> list[Placed]:
    """The schedules that are meant, with the program, the folder and the store of their ticks."""
    found = shutil.which("aether")
    program = [os.path.abspath(found)] if found else [sys.executable, "-m", "aether_protocol.cli"]
    folder = os.path.abspath(options.directory or ".")
    store = absolute(options.store)
    return [
        Placed(
            namespace=one.namespace,
            name=one.name,
            settings=one.settings,
            program=program,
            directory=folder,
            store=store,
            more=options.more,
        )
        for one in asked_for(options.what, options.namespace, options.store, options.max)
    ]


def absolute(store: str) -> str:
    """The store's URL, with the whole path."""
    return str(read_store_url(store).relative_to(os.getcwd()))


def write(folder: Path, units: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise PortError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from None
    timers = " ".join(name for name in units if name.endswith(".timer"))
    hint = f"systemctl --user daemon-reload && systemctl --user enable --now {timers}"
    messages.note(f"wrote {', '.join(units)} to {folder}", hint)
