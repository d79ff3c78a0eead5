"""Lists of runs, as a table for people and as JSON.

Law: both forms show the same runs in the same order; a table has a line for each run, whatever is in its names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import click

from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.times import here
from aether_protocol.cli.terminal.color import colored
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.views.phases import BROKEN, PHASE_COLORS
from aether_protocol.views.summary import row_json
from aether_protocol.views.text import cells, cut, duration, one_line

HEADINGS = ("RUN", "WORKFLOW", "PHASE", "TASKS", "CREATED", "TOOK", "MESSAGE")
PHASE_COLUMN = HEADINGS.index("PHASE")
MESSAGE_COLUMN = HEADINGS.index("MESSAGE")
LEAST_FIRST = [HEADINGS.index(name) for name in ("MESSAGE", "TOOK", "CREATED", "TASKS", "WORKFLOW")]
LEAST_MESSAGE = 12  # columns; less of a message says nothing
GAP = 2

_Key = Any  # what a text is made of

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def print_rows_json(rows: Sequence[RunSummary], following: str | None) -> None:
    """`{"runs": [...], "next": cursor}`, a line for each run."""
    lines = ",\n".join(f"    {_to_json(row_json(row))}" for row in rows)
    listed = f"[\n{lines}\n  ]" if rows else "[]"
    click.echo(f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}')


def show_rows(rows: Sequence[RunSummary], width: int | None = None) -> None:
    """A table, each column as wide as it must be; on a terminal of `width` columns a line stays a line: the message is cut,
    and what matters least is left out."""
    columns = _columns(rows)
    chosen = list(range(len(HEADINGS)))
    widths = [column.width for column in columns]
    if width is not None:
        for number in LEAST_FIRST:
            room = width - sum(widths[i] + GAP for i in chosen if i != number)
            if room >= min(widths[number], LEAST_MESSAGE if number == MESSAGE_COLUMN else widths[number]):
                widths[number] = min(widths[number], room)
                break
            chosen.remove(number)
    colors = colored()
    of_phases = PHASE_COLORS | {BROKEN: "red"} if colors else {}
    cells_of = [columns[i].padded(widths[i], of_phases if i == PHASE_COLUMN else {}) for i in chosen]
    gap = " " * GAP
    heading = gap.join([HEADINGS[i].ljust(widths[i]) for i in chosen]).rstrip()
    lines = [gap.join(parts).rstrip() for parts in zip(*cells_of, strict=True)]
    text = "\n".join([click.style(heading, bold=True) if colors else heading, *lines])
    click.echo(text, color=None if colors else True)  # without colors there are none to look for and take out


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


def _columns(rows: Sequence[RunSummary]) -> list[_Ids | _Column]:
    """In the order of the headings."""
    keys: list[list[_Key]] = [
        [row.workflow for row in rows],
        [row.phase if row.broken is None else BROKEN for row in rows],
        [(row.leaves_ended, row.leaves_known) for row in rows],
        [row.created_at // SECOND for row in rows],
        [None if row.ended_at is None else row.ended_at - row.created_at for row in rows],
        [_message(row) for row in rows],
    ]
    ids = _Ids(HEADINGS[0], [row.run_id for row in rows])  # they are ASCII
    return [ids, *(_Column(*column) for column in zip(HEADINGS[1:], keys, _TEXTS, strict=True))]


def _message(row: RunSummary) -> str:
    """What is to be said of a run."""
    if row.broken is not None:
        return f"set aside: {row.broken}"
    if row.wake_at is None:
        return row.message
    return f"{sleep_text(row.wake_at)}: {row.message}" if row.message else sleep_text(row.wake_at)


def sleep_text(wake_at: int) -> str:
    """Until when a passivated run sleeps."""
    return "asleep until it is asked" if wake_at == NEVER else f"asleep until {here(wake_at)}"


_TEXTS: Final[tuple[Callable[[_Key], str], ...]] = (
    lambda name: one_line(name, 40),
    lambda phase: f"{mark(phase, '!')} {phase}",
    lambda progress: f"{progress[0]}/{progress[1]}",
    lambda second: here(second * SECOND),
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
