"""What schedules cost: a fire time beside croniter's, long downtimes, and a look at many schedules on SQLite.

    python bench/bench_cron.py

Medians of several rounds of processor time, columns taking turns. croniter's own fire times are the floor for one fire: they
are not those of CRON-1 around DST, but they are what a program would otherwise use.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import croniter

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.cron.policy import decide
from aether_protocol.cron.schedule import fire_times
from aether_protocol.cron.settings import CronSettings
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.testing.contracts.store.tools import tiny_plan

SECOND = 1_000_000
START = 1_774_000_000 * SECOND  # March 2026
DAY = 86_400 * SECOND
ROUNDS = 7
MANY = 1_000

SCHEDULES = (
    ("0 3 * * *", "UTC"),
    ("30 2 * * *", "Europe/Berlin"),
    ("*/7 8-18 * * MON-FRI", "America/New_York"),
    ("0 0 13 * FRI", "Australia/Lord_Howe"),
    ("0 0 29 2 *", "Europe/Berlin"),
)


def spent(work: Callable[[], object], times: int) -> float:
    """Microseconds of processor time for one call."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1e6


def fires() -> None:
    print("| schedule | zone | croniter µs | here µs | ratio |\n|---|---|---:|---:|---:|")
    for schedule, zone in SCHEDULES:
        ours = fire_times(schedule, zone)
        theirs = croniter(schedule, datetime.fromtimestamp(START / SECOND, ZoneInfo(zone)))
        low, high = [], []
        for _ in range(ROUNDS):
            low.append(spent(lambda theirs=theirs: theirs.get_next(float, start_time=START / SECOND), 200))  # type: ignore[misc]
            high.append(spent(lambda ours=ours: ours.after(START), 200))  # type: ignore[misc]
        one, other = statistics.median(low), statistics.median(high)
        print(f"| `{schedule}` | {zone} | {one:.0f} | {other:.0f} | {other / one:.2f} |")


def downtime() -> None:
    print("\n| missed of `* * * * *` | one decision µs |\n|---:|---:|")
    settings = CronSettings("* * * * *", "Europe/Berlin")
    for days in (1, 30, 3 * 365):
        took = spent(lambda days=days: decide(settings, START, START + days * DAY, []), 20)  # type: ignore[misc]
        print(f"| {days * 1440} | {took:.0f} |")


async def looks(home: Path) -> None:
    store = open_sqlite(str(home / "many.db"), durability="normal")
    plan = tiny_plan()
    for number in range(MANY):
        at = START + (number % 10 + 1) * DAY
        settings = CronSettings("0 3 * * *")
        await store.schedules.put(StoredSchedule("default", f"s{number}", settings, "", "", 0, 0, START, at), plan)
    start = time.process_time()
    for _ in range(200):
        await store.schedules.find(due=START)
        await store.next_due()
    idle = (time.process_time() - start) / 200 * 1e6
    start = time.process_time()
    found = await store.schedules.find(due=START + DAY)
    due = (time.process_time() - start) / len(found) * 1e6
    print(f"\na look at {MANY} schedules of which none is due: {idle:.0f} µs; each one that is due: {due:.0f} µs more")
    await store.close()


def main() -> int:
    fires()
    downtime()
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(looks(Path(home)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
