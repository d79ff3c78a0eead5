"""Lists of runs as people ask for them: which process drives each, those that none drives, and ids that are short to type.

Law: rows come by pages of the store, never all at once, and nothing here changes one. What is short is unique in the store as
it is now: it means that run, and no other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.ports.store import RunQuery, RunSummary

if TYPE_CHECKING:
    from aether_protocol.service.client import RunReader

_PAGE: Final = 200  # rows of one look, where most may not be wanted
_SHORT: Final = 8  # characters of a short id at least: of a time-ordered UUID they are a minute
_CROWD: Final = 200  # runs with the same beginning; of more than that ids are not shortened
_MADE = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})(\.[0-9]+)?")


class ListedRun(Struct, frozen=True):
    """A row, and whether a process drives the run; None where none needs to, since it has ended."""

    row: RunSummary
    driven: bool | None

    def is_left(self, now: int) -> bool:
        """Whether it is open and does not go on: no process drives it, and none is to wake it later."""
        asleep = self.row.wake_at is not None and self.row.wake_at > now
        return self.driven is False and self.row.broken is None and not asleep


async def list_runs(
    runs: RunReader, query: RunQuery, now: int, *, undriven: bool = False, broken: bool = False
) -> list[ListedRun]:
    """List the runs that `query` asks for, with who drives them.

    Args:
        runs: where they are read.
        query: which runs.
        now: in microseconds since the epoch.
        undriven: only open ones that no process drives and none wakes in time.
        broken: only those that were set aside since they broke their engine.
    """
    if not undriven and not broken:
        return [ListedRun(row, row.driven) for row in await runs.list(query, driven=True)]
    found: list[ListedRun] = []
    while query.limit is None or len(found) < query.limit:
        page = await runs.list(replace(query, closed=False, limit=_PAGE), driven=True)
        for row in page:
            one = ListedRun(row, row.driven)
            if (broken and row.broken is not None) or (undriven and one.is_left(now)):
                found.append(one)
        if len(page) < _PAGE:
            break
        query = replace(query, before=(page[-1].created_at, page[-1].run_id))
    return found[: query.limit]


async def short_ids(runs: RunReader, ids: Sequence[str]) -> dict[str, str]:
    """Shorten ids that were made here; those that people chose stay as they are. Each result means its run (`find_run`)."""
    made = {run_id: match for run_id in ids if (match := _MADE.fullmatch(run_id)) is not None}
    short: dict[str, str] = {}
    for head in dict.fromkeys(run_id[:_SHORT] for run_id in made):
        rows = await runs.list(RunQuery(prefix=head, limit=_CROWD + 1))
        if len(rows) <= _CROWD:
            short |= _beginnings({row.run_id.partition(".")[0] for row in rows})
    found = {}
    for run_id, match in made.items():
        base, number = match.groups()
        found[run_id] = short.get(base, base) + (number or "")
    return found


def _beginnings(ids: set[str]) -> dict[str, str]:
    """By id the shortest beginning that no other one has."""
    ordered = sorted(ids)
    shared = [_common(one, other) for one, other in pairwise(ordered)]
    needed = [max(left, right) for left, right in zip([0, *shared], [*shared, 0], strict=True)]
    found = {}
    for run_id, same in zip(ordered, needed, strict=True):
        length = max(same + 1, _SHORT)
        found[run_id] = run_id[: length + (run_id[length - 1] == "-")]
    return found


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((at for at in range(len(one)) if not other.startswith(one[: at + 1])), len(one))
