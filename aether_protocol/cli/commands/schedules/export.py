"""`aether cron export NAME|FILE`: schedules for the system's own scheduler."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from aether_protocol.assembly.store_urls import read_store_url
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import limits_option, namespace_option, store_option
from aether_protocol.cli.schedules import asked_for, refuse_memory
from aether_protocol.documents.source import Limits
from aether_protocol.errors import PortError, UsageError
from aether_protocol.service.schedules.system_units import Placed, crontab, service, timer

EPILOG = """\b
Examples:
  (crontab -l; aether cron export nightly --format crontab) | crontab -
  aether cron export nightly --format systemd -o ~/.config/systemd/user
  aether cron export nightly.yaml --format crontab -- --secrets-file /etc/jobs.env

\b
What is written starts 'aether cron tick NAME' at the times of the schedule, in place of 'aether cron run' for it. The
schedule must have been applied to the store. What follows -- is given to the tick."""


@click.command("export", epilog=EPILOG)
@click.argument("what", metavar="NAME|FILE")
@click.argument("more", metavar="[-- OPTION...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--format", "format_", type=click.Choice(["crontab", "systemd"]), required=True,
              help="A line for a crontab, or a .service and a .timer.")
@click.option("-o", "--output", "target", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Where to write the units; standard output if left out.")
@click.option("--directory", type=click.Path(exists=True, file_okay=False), metavar="DIR",
              help="Where the tick is to be started; this folder if left out.")
@namespace_option
@limits_option
@store_option
def command(
    what: str, more: tuple[str, ...], format_: str, target: Path | None, directory: str | None, namespace: str | None,
    limits: Limits, store: str,
) -> int:
    """Print a line for a crontab, or units for systemd, that carry a schedule out.

    NAME is a schedule of the store, FILE a document with CronWorkflows.
    """
    refuse_memory(store)
    if more and not more[0].startswith("-"):
        raise UsageError(f"{more[0]!r} is no option", hint="one name or file at a time; options of the tick follow --")
    if target is not None and format_ == "crontab":
        raise UsageError("-o is for units of systemd", hint="a crontab is one file: 'crontab -e' edits it")
    found = shutil.which("aether")
    program = [os.path.abspath(found)] if found else [sys.executable, "-m", "aether_protocol.cli"]
    folder = os.path.abspath(directory or ".")
    several = [
        Placed(one.namespace, one.name, one.settings, program, folder, absolute(store), more)
        for one in asked_for(what, namespace, store, limits)
    ]
    if format_ == "crontab":
        click.echo("\n".join(map(crontab, several)), nl=False)
        return FINE
    units: dict[str, str] = {}
    for one in several:
        units |= {f"{one.unit}.service": service(one), f"{one.unit}.timer": timer(one)}
    if target is None:
        click.echo("\n".join(f"# --- {name}\n{text}" for name, text in units.items()), nl=False)
    else:
        write(target, units)
    return FINE


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
    click.echo(f"wrote {', '.join(units)} to {folder}", err=True)
    timers = " ".join(name for name in units if name.endswith(".timer"))
    click.echo(f"  hint: systemctl --user daemon-reload && systemctl --user enable --now {timers}", err=True)
