"""`aether cron`: schedules, and the programs that carry them out.

Law: a subcommand is a module of this package, loaded when it is asked for.

Modules by role:

    keep schedules   apply, suspend, resume, rm
    look at them     ls, show, next, history
    carry them out   run, tick, trigger, backfill, export
"""

from __future__ import annotations

import click

from aether_protocol.cli.lazy_group import LazyGroup

SECTIONS = {
    "Keep schedules": {
        "apply": ("apply", "Make schedules of CronWorkflow documents, or change them."),
        "ls": ("ls", "List schedules."),
        "show": ("show", "Show a schedule: settings, next fires, the last ones."),
        "next": ("next", "Print the next fire times of a document or a schedule."),
        "suspend": ("suspend", "Suspend schedules."),
        "resume": ("resume", "Resume suspended schedules."),
        "rm": ("rm", "Remove schedules."),
        "history": ("history", "List what became of a schedule's fires."),
    },
    "Carry them out": {
        "run": ("run", "The scheduler, in the foreground: start what is due, until a signal comes."),
        "tick": ("tick", "Start what is due, see it to its end, and exit."),
        "trigger": ("trigger", "Start a run of a schedule now."),
        "backfill": ("backfill", "Run the fires of a time that is past."),
        "export": ("export", "Print a line for a crontab, or units for systemd."),
    },
}

EPILOG = """\b
Examples:
  aether cron apply workflows/ && aether cron run
  aether cron ls
  aether cron next nightly.yaml --limit 3
  * * * * *  cd /srv/jobs && aether cron tick   (in a crontab)"""


@click.group(
    "cron", cls=LazyGroup, package="aether_protocol.cli.commands.schedules", sections=SECTIONS, epilog=EPILOG
)
def command() -> None:
    """Keep schedules of workflows in the store, and carry them out."""
