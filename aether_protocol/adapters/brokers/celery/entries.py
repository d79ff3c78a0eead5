"""What the broker of an engine remembers of the attempts that it has put into the table, and when it asks again for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.adapters.brokers.celery.publisher import Message
from aether_protocol.ports.wire import AttemptRef

_SECOND: Final = 1_000_000
AGAIN_US: Final = 10 * _SECOND  # a message that leads to nothing is published again, and then later and later
LONGEST_AGAIN_US: Final = 300 * _SECOND
_PASSED_US: Final = _SECOND  # one that was published so much later has been claimed: this one lies at a worker, or is lost

EntryState = Literal["waiting", "running", "after", "ended"]


class Entry(Struct, eq=False, gc=False):
    """An attempt in the table.

    Args:
        ref: its name.
        message: what leads a worker to it.
        state: `waiting` for a worker, `running` at one, `after`: it waits for the attempt before it, `ended`: its result is
            reported and not acknowledged yet.
        published_at: when its message was first in its queue (microseconds); 0: it was not yet.
        sent_at, pause: when it was last published, and after which time it is again.
        lease_until: until when its worker has it, as far as is known.
        wait_until: when it becomes an Error where it still waits.
        refusals, refused_since: how often workers returned it in a row, and since when.
        due: when it is published after a refusal; 0: at once.
    """

    ref: AttemptRef
    message: Message
    state: EntryState = "waiting"
    published_at: int = 0
    sent_at: int = 0
    pause: int = AGAIN_US
    lease_until: int = 0
    wait_until: int | None = None
    refusals: int = 0
    refused_since: int = 0
    due: int = 0

    @property
    def token(self) -> str:
        return self.message.token


class Entries:
    """Those of one engine, by task run."""

    def __init__(self) -> None:
        self._all: dict[str, Entry] = {}
        self._passed: dict[str, int] = {}  # by list: when the newest was published that was claimed
        self.waiting = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._all.values()))

    def get(self, task_run: str, token: str | None = None) -> Entry | None:
        """Return what is there of a task run, of this delivery where a token is given."""
        entry = self._all.get(task_run)
        return entry if entry is not None and (token is None or entry.token == token) else None

    def add(self, entry: Entry) -> None:
        self.drop(entry.ref.task_run_id)
        self._all[entry.ref.task_run_id] = entry
        self.waiting += entry.state == "waiting"

    def drop(self, task_run: str) -> Entry | None:
        entry = self._all.pop(task_run, None)
        self.waiting -= entry is not None and entry.state == "waiting"
        return entry

    def turn(self, entry: Entry, state: EntryState) -> None:
        """Note the state of an attempt."""
        if entry.state == state:
            return
        self.waiting += (state == "waiting") - (entry.state == "waiting")
        entry.state = state
        if state in ("running", "ended") and entry.published_at:
            name = entry.message.list_name
            self._passed[name] = max(self._passed.get(name, 0), entry.published_at)

    def published(self, messages: Iterable[Message], now: int) -> None:
        """Note that these messages are in their queues."""
        for message in messages:
            entry = self.get(message.task_run, message.token)
            if entry is not None:
                entry.published_at, entry.sent_at = entry.published_at or now, now

    def is_due(self, entry: Entry, queued: int, now: int) -> bool:
        """Whether the message of an attempt that waits is to be published again.

        Args:
            entry: the attempt.
            queued: how many messages are in its queue.
            now: the time.
        """
        if entry.due:
            return now >= entry.due
        if not entry.sent_at or now - entry.sent_at < entry.pause:
            return False
        return not queued or self._passed.get(entry.message.list_name, 0) > entry.published_at + _PASSED_US

    def again(self, entry: Entry) -> Message:
        """The message of an attempt, to be published again."""
        entry.pause = min(2 * entry.pause, LONGEST_AGAIN_US)
        entry.due, entry.sent_at = 0, 0
        return entry.message
