"""Lists of runs, as a table for people and as JSON.

Law: both forms show the same runs in the same order; a table has a line for each run, whatever is in its names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.times import here, span
from aether_protocol.cli.terminal.color import colored
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.service.runs.listing import ListedRun
from aether_protocol.views.phases import BROKEN, PHASE_COLORS
from aether_protocol.views.summary import row_json
from aether_protocol.views.text import cells, cut, duration, one_line

HEADINGS = ("RUN", "WORKFLOW", "PHASE", "TASKS", "CREATED", "TOOK", "MESSAGE")
PHASE_COLUMN = HEADINGS.index("PHASE")
MESSAGE_COLUMN = HEADINGS.index("MESSAGE")
# What a narrow terminal does without, step by step: a column, how wide it still may be, and the least of a message that then
# is worth its place.
NARROWER: Final = [
    (HEADINGS.index(name), width, message)
    for name, width, message in (
        ("TASKS", 0, 24), ("WORKFLOW", 16, 12), ("MESSAGE", 0, 0), ("TOOK", 0, 0), ("WORKFLOW", 8, 0), ("CREATED", 0, 0),
        ("WORKFLOW", 0, 0),
    )
]
GAP = 2
WIDE = 120  # columns of a terminal, from which on times are shown and not ages
AGE = "AGE"
UNDRIVEN = "Undriven"  # in place of the phase of a run that is open and that no process drives
COLORS: Final = {**PHASE_COLORS, BROKEN: "red", UNDRIVEN: "yellow"}

_Key = Any  # what a text is made of

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def print_rows_json(rows: Sequence[ListedRun], following: str | None) -> None:
    """`{"runs": [...], "next": cursor}`, a line for each run."""
    lines = ",\n".join(f"    {_to_json({**row_json(one.row), 'driven': one.driven})}" for one in rows)
    listed = f"[\n{lines}\n  ]" if rows else "[]"
    click.echo(f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}')


def show_rows(rows: Sequence[ListedRun], width: int | None = None, short: Mapping[str, str] | None = None) -> None:
    """A table, on standard output; see `table_of`."""
    click.echo(table_of(rows, width, short), color=None if colored() else True)  # without colors there are none to take out


def table_of(rows: Sequence[ListedRun], width: int | None = None, short: Mapping[str, str] | None = None) -> str:
    """A table, each column as wide as it must be; on a terminal of `width` columns a line stays a line: the message is cut,
    what matters least is left out, and where it is narrow an age stands in for a time.

    Args:
        rows: the runs.
        width: of the terminal, if it is one.
        short: ids to show in place of those that they shorten.
    """
    aged = width is not None and width < WIDE
    columns = _columns(rows, short or {}, aged=aged)
    headings = [AGE if aged and heading == "CREATED" else heading for heading in HEADINGS]
    widths = dict(enumerate(column.width for column in columns))
    if width is not None:
        widths = _fitted(widths, width)
    chosen = list(widths)
    colors = colored()
    of_phases = COLORS if colors else {}
    cells_of = [columns[i].padded(widths[i], of_phases if i == PHASE_COLUMN else {}) for i in chosen]
    gap = " " * GAP
    heading = gap.join([headings[i].ljust(widths[i]) for i in chosen]).rstrip()
    lines = [gap.join(parts).rstrip() for parts in zip(*cells_of, strict=True)]
    return "\n".join([click.style(heading, bold=True) if colors else heading, *lines])


def _fitted(widths: Mapping[int, int], room: int) -> dict[int, int]:
    """The columns that there is room for, by number, and how wide each is."""
    kept = dict(widths)
    for number, most, least in (MESSAGE_COLUMN, widths[MESSAGE_COLUMN], 24), *NARROWER:
        kept[number] = min(kept[number], most)
        if not most:
            del kept[number]
        message = kept.get(MESSAGE_COLUMN, 0)
        left = room - sum(kept.values()) - GAP * (len(kept) - 1) + message
        if left >= min(message, least):
            return {number: min(width, left) if number == MESSAGE_COLUMN else width for number, width in kept.items()}
    return kept


class _Ids:
    """What stands under the first heading: no two are the same."""

    def __init__(self, heading: str, texts: list[str]) -> None:
        self._texts = texts
        self.width = max(len(heading), _width(texts))

    def padded(self, width: int, colors: Mapping[str, str]) -> list[str]:
        """The texts of all rows, `width` columns wide."""
        return [text.ljust(width) for text in self._texts]


class _Column:
    """What stands under another: by row a key, and for each of these a text. In a long list few are different."""

    def __init__(self, heading: str, keys: list[_Key], text_of: Callable[[_Key], str]) -> None:
        self._keys = keys
        self._texts = {key: text_of(key) for key in set(keys)}
        self.width = max(len(heading), _width(self._texts.values()))

    def padded(self, width: int, colors: Mapping[_Key, str]) -> list[str]:
        """See `_Ids.padded`. `colors` by key."""
        made = {key: _filled(text, width) for key, text in self._texts.items()}
        made |= {key: click.style(made[key], fg=color) for key, color in colors.items() if key in made}
        return [made[key] for key in self._keys]


def _columns(rows: Sequence[ListedRun], short: Mapping[str, str], *, aged: bool) -> list[_Ids | _Column]:
    """In the order of the headings."""
    now = now_us()
    keys: list[list[_Key]] = [
        [one.row.workflow for one in rows],
        [phase_of(one) for one in rows],
        [(one.row.leaves_ended, one.row.leaves_known) for one in rows],
        [_age(now - one.row.created_at) for one in rows] if aged else [one.row.created_at // SECOND for one in rows],
        [None if one.row.ended_at is None else one.row.ended_at - one.row.created_at for one in rows],
        [_message(one) for one in rows],
    ]
    texts = [str if aged and text is _CREATED else text for text in _TEXTS]
    headings = [AGE if aged and heading == "CREATED" else heading for heading in HEADINGS]
    ids = _Ids(HEADINGS[0], [short.get(one.row.run_id, one.row.run_id) for one in rows])  # they are ASCII
    return [ids, *(_Column(*column) for column in zip(headings[1:], keys, texts, strict=True))]


def phase_of(one: ListedRun) -> str:
    """The phase, or what matters more: that it was set aside, or that no process drives it."""
    if one.row.broken is not None:
        return BROKEN
    undriven = one.driven is False and one.row.wake_at is None
    return UNDRIVEN if undriven and one.row.phase != "Suspended" else one.row.phase


def _age(us: int) -> str:
    """`40s`, `5m`, `3h`, `12d`: its largest unit."""
    return span(max(us, 0)).partition(" ")[0]


def _message(one: ListedRun) -> str:
    """What is to be said of a run."""
    row = one.row
    if row.broken is not None:
        return f"set aside: {row.broken}"
    if row.wake_at is None:
        undriven = "no process drives it" if one.driven is False else ""
        return f"{undriven}: {row.message}" if undriven and row.message else undriven or row.message
    return f"{sleep_text(row.wake_at)}: {row.message}" if row.message else sleep_text(row.wake_at)


def sleep_text(wake_at: int) -> str:
    """Until when a passivated run sleeps."""
    return "asleep until it is asked" if wake_at == NEVER else f"asleep until {here(wake_at)}"


def _created(second: _Key) -> str:
    return here(second * SECOND)


_CREATED: Final[Callable[[_Key], str]] = _created
_TEXTS: Final[tuple[Callable[[_Key], str], ...]] = (
    lambda name: one_line(name, 40),
    lambda phase: f"{mark(phase, '!')} {phase}",
    lambda progress: f"{progress[0]}/{progress[1]}",
    _CREATED,
    lambda took: "" if took is None else duration(took / SECOND),
    lambda message: one_line(message, 60),
)


def _width(texts: Collection[str]) -> int:
    """The columns of a terminal that the widest takes. Nearly always all are ASCII."""
    return max(map(len if "".join(texts).isascii() else cells, texts), default=0)


def _filled(text: str, width: int) -> str:
    """`text`, cut or filled up to `width` columns."""
    if text.isascii() and len(text) <= width:
        return text.ljust(width)
    text = cut(text, width)
    return text + " " * (width - cells(text))
