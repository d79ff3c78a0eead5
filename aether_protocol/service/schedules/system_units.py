"""What another scheduler of the machine does in place of `aether cron run`: lines of a crontab, units of systemd.

Law: pure. What is written starts `aether cron tick NAME`, so that policies, history, missed fires and "never twice" stay what
they are; the other scheduler only says when to look.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct

from aether_protocol.cron.settings import CronSettings
from aether_protocol.service.schedules.calendar_formats import calendars, crontab_fields


class Placed(Struct, frozen=True):
    """A schedule, and how `aether cron tick` is started for it: the program, the working directory, the store's URL, and more
    arguments."""

    namespace: str
    name: str
    settings: CronSettings
    program: Sequence[str]
    directory: str
    store: str
    more: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        where = [] if self.namespace == "default" else ["--namespace", self.namespace]
        return [*self.program, "cron", "tick", self.name, *where, "--store", self.store, *self.more]

    @property
    def unit(self) -> str:
        """The name of its systemd units."""
        return f"aether-{self.name}" if self.namespace == "default" else f"aether-{self.namespace}-{self.name}"


def crontab(placed: Placed) -> str:
    """A line for a crontab, under comments that say what it does and where it differs."""
    settings = placed.settings
    command = f"cd {shlex.quote(placed.directory)} && {shlex.join([*placed.arguments, '--quiet'])}"
    return "\n".join(
        [
            f"# {placed.name}: {settings.schedule} in {settings.timezone}, in place of 'aether cron run' for this schedule.",
            *_suspended(placed),
            "# It starts what is due: a fire that cron starts late, or after a time without cron, is dealt with as ever.",
            "# Apply the schedule to this store first. CRON_TZ holds for all lines below it. cronie and systemd-cron know",
            "# it; to a cron that does not (Debian's), the fields are times of the machine's own zone. When clocks are",
            "# changed, cron has rules of its own. A line '* * * * *' with the same command needs no zone and has the",
            "# rules of aether.",
            f"CRON_TZ={settings.timezone}",
            f"{crontab_fields(settings.schedule)}  {_one_line(command)}",
            "",
        ]
    )


def _one_line(command: str) -> str:
    """cron makes a line end of every % that is not escaped."""
    return command.replace("%", "\\%")


def service(placed: Placed) -> str:
    """The .service unit."""
    return "\n".join(
        [
            f"# Starts what is due on {placed.name} and sees it to its end, in place of 'aether cron run' for this schedule.",
            "# Stopped, it leaves the run as it is, and the next one continues it. systemd starts no second one while one",
            "# is at work: runs do not overlap, whatever concurrencyPolicy says, and a fire in between is late. Apply the",
            "# schedule to this store first.",
            "[Unit]",
            f"Description=What is due on the schedule {placed.name}",
            "",
            "[Service]",
            "Type=oneshot",
            f"WorkingDirectory={placed.directory.replace('%', '%%')}",
            f"ExecStart={' '.join(map(_quoted, placed.arguments))}",
            "SuccessExitStatus=130",
            "",
        ]
    )


def timer(placed: Placed) -> str:
    """The .timer unit, with the times of the schedule."""
    settings = placed.settings
    return "\n".join(
        [
            f"# {settings.schedule} in {settings.timezone}. When clocks are changed, systemd has rules of its own;",
            "# a fire that it starts late is dealt with as ever. `systemd-analyze calendar EXPRESSION` shows the times.",
            *_suspended(placed),
            "[Unit]",
            f"Description=When to look at the schedule {placed.name}",
            "",
            "[Timer]",
            *(f"OnCalendar={one}" for one in calendars(settings.schedule, settings.timezone)),
            "AccuracySec=1s",
            "Persistent=true",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def _suspended(placed: Placed) -> list[str]:
    return ["# It is suspended: nothing is started before it is resumed."] if placed.settings.suspend else []


def _quoted(argument: str) -> str:
    """An argument as systemd reads command lines."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if text != argument or not text or any(char.isspace() or char in "';" for char in text) else text
