"""What is due on a schedule, decided from the present and from what was decided before (CRON-2..6).

Law: every fire is decided once. `seen` is the instant up to which, and with which, all fires are decided; it never goes
back, so that neither a restart nor a clock that is set back repeats one. Nothing here starts or cancels anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from msgspec import Struct, field

from aether_protocol.cron.schedule import FireTimes, fire_times
from aether_protocol.cron.settings import FORBID, REPLACE, CronSettings

MOST_TIMES: Final = 100  # of missed fires are listed one by one (CRON-3)

_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_ID: Final = 128  # of a run


class Skip(Struct):
    """A fire that its policy leaves out for good (CRON-4)."""

    at: int
    reason: str


class Missed(Struct):
    """Fires that came too late to be started (CRON-3). `times` has all of them, or none where they are more than 100."""

    count: int
    first: int
    last: int
    times: list[int]


class Decision(Struct):
    """What one look at a schedule leads to. Instants are microseconds since the epoch.

    `seen`: to be kept for the next look. `next_at`: when that is due at the latest; None: never, as things stand.
    `start`: the fire to start a run for, after the runs of `cancel` were cancelled.
    """

    seen: int
    next_at: int | None
    start: int | None = None
    cancel: list[str] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    missed: Missed | None = None


def first_seen(at: int) -> int:
    """The `seen` of a schedule that is applied at the instant `at`, which may be a fire itself (CRON-2).

    One that is changed at `at` continues with the larger of this and its own, so that nothing is decided twice.
    """
    return at - 1


def decide(settings: CronSettings, seen: int, now: int, unfinished: Sequence[str]) -> Decision:
    """Decide the fires after `seen`, up to and with `now`. `unfinished`: the ids of the schedule's runs that have not ended.

    The latest one is started, or skipped where Forbid says so, unless it is older than the deadline; all others are missed.
    Raises BadScheduleError.
    """
    decision = Decision(max(seen, now), None)
    if settings.suspend:
        return decision
    decision.next_at = next_fire(settings, decision.seen)
    fires = fire_times(settings.schedule, settings.timezone)
    after, upto = _window(settings, seen, now)
    latest = fires.last(after, upto)
    if latest is None:
        return decision
    if settings.deadline_s is not None and now - latest > settings.deadline_s * _SECOND:
        decision.missed = _missed(fires, after, latest)
        return decision
    decision.missed = _missed(fires, after, latest - 1)
    if settings.policy == FORBID and unfinished:
        more = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        reason = f"concurrencyPolicy is Forbid, and run {unfinished[0]!r}{more} had not ended"
        decision.skips.append(Skip(latest, reason))
        return decision
    if settings.policy == REPLACE:
        decision.cancel = list(unfinished)
    decision.start = latest
    return decision


def next_fire(settings: CronSettings, seen: int) -> int | None:
    """The first fire after `seen` on which a decision is due (CRON-2). Raises BadScheduleError."""
    if settings.suspend:
        return None
    after, _ = _window(settings, seen, seen)
    found = fire_times(settings.schedule, settings.timezone).after(after)
    return None if found is None or (settings.end_at is not None and found > settings.end_at) else found


def expired(settings: CronSettings, ended: Sequence[tuple[str, bool]]) -> list[str]:
    """The runs to delete, the oldest first (CRON-5). `ended`: id and whether it Succeeded of the ended runs, newest first."""
    left = {True: settings.keep_succeeded, False: settings.keep_failed}
    old = []
    for run_id, succeeded in ended:
        left[succeeded] -= 1
        if left[succeeded] < 0:
            old.append(run_id)
    return old[::-1]


def run_name(namespace: str, name: str, at: int) -> str:
    """The id of the run that the fire `at` starts, always the same: `NAME.20260329T010000Z`, after `NAMESPACE.` where that
    is not `default`. What is longer than ids may be, or begins as none may, is cut, and a digest of the whole follows a `_`."""
    moment = _EPOCH + timedelta(microseconds=at)
    fraction = f".{moment.microsecond:06}" if moment.microsecond else ""
    stamp = f".{moment.year:04}{moment:%m%dT%H%M%S}{fraction}Z"
    owner = name if namespace == "default" else f"{namespace}.{name}"
    room = _LONGEST_ID - len(stamp)
    start = owner.lstrip("-._")  # a namespace may begin with one of these, an id may not
    if len(owner) > room or start != owner:
        digest = sha256(owner.encode()).hexdigest()[:20]
        owner = f"{start[: room - len(digest) - 1]}_{digest}"
    return owner + stamp


def _window(settings: CronSettings, seen: int, now: int) -> tuple[int, int]:
    """The fires to look at: after the one instant, up to and with the other; startAt and endAt count as well (CRON-2)."""
    after = seen if settings.start_at is None else max(seen, settings.start_at - 1)
    return after, now if settings.end_at is None else min(now, settings.end_at)


def _missed(fires: FireTimes, after: int, upto: int) -> Missed | None:
    last = fires.last(after, upto)
    first = fires.after(after)
    if last is None or first is None:
        return None
    count = fires.count(after, upto)
    return Missed(count, first, last, list(fires.between(after, upto)) if count <= MOST_TIMES else [])
