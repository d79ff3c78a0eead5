"""What an attempt has while it runs: its context, through which all that it says goes out masked (DATA-12).

Law: nothing that an executor says leaves but through here: log text by `log`, the result by `seal`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import PortError
from aether_protocol.execution.activity import Activity
from aether_protocol.execution.masking import MASK, Masker, StreamMask
from aether_protocol.execution.secrets import RunSecrets, SecretBook
from aether_protocol.execution.threads import Threads
from aether_protocol.execution.workspace import Workspace, Workspaces
from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import TaskDef
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.notifier import Notification, Notifier
from aether_protocol.ports.wire import TaskAssignment, TaskResult

MESSAGE_LIMIT: Final = 8_192  # characters of a message, which is text for people

Stream = Literal["stdout", "stderr"]


class Host(Protocol):
    """What an attempt needs of the broker or worker that carries it out."""

    clock: Clock
    sink: ResultSink
    stager: Stager | None
    workspaces: Workspaces
    secrets: SecretBook
    notifiers: Mapping[str, Notifier]
    activity: Activity
    threads: Threads


class Running(Protocol):
    """What a context needs of its attempt: whether it was asked to stop, how long that may take, how many sleeps it is in."""

    stopped: bool
    stop_s: float
    sleeps: int


class Context(Struct, eq=False):
    """See `ports.executor.ExecutionContext`. Inline executors have no `attempt`: nothing can stop them.

    An inline attempt makes the parts that it uses when it uses them, for many use none; one that may log from several threads
    gets them with `prepared`. `used` are its folders, where it has asked for them; `streams` may hold text back, where
    secrets are known; `fetched` is what came from sources for this attempt.
    """

    _host: Host
    _assignment: TaskAssignment
    _attempt: Running | None = None
    _known: RunSecrets | None = None
    used: Workspace | None = None
    streams: dict[Stream, StreamMask] | None = None
    _lock: Any = None
    fetched: Mapping[str, Json] | None = None

    def prepared(self) -> Self:
        """The context, with all that several threads may ask of it at once."""
        self._known, self.used, self._lock, self.streams = self._secrets, self.workspace_of, threading.Lock(), {}
        return self

    @property
    def _secrets(self) -> RunSecrets:
        if self._known is None:
            self._known = self._host.secrets.of(self._assignment.ref.run_id)
        return self._known

    @property
    def workspace_of(self) -> Workspace:
        """The folders of this attempt, none of which is made before it is asked for."""
        if self.used is None:
            self.used = self._host.workspaces.of(self._assignment)
        return self.used

    @property
    def workspace(self) -> Path:
        return self.workspace_of.folder

    @property
    def scratch(self) -> Path:
        return self.workspace_of.scratch

    @property
    def shared(self) -> Path:
        return self.workspace_of.shared

    def mask(self, text: str) -> str:
        masker = self._secrets.masker
        return text if masker is None else masker.text(text)

    def masked(self, value: Json) -> Json:
        """`value` itself, or a copy of it without secrets."""
        masker = self._secrets.masker
        return value if masker is None else masker.value(value)

    def log(self, text: str, stream: Stream = "stdout") -> None:
        masker = self._secrets.masker
        if masker is None:
            self._write(text, stream)
            return
        if self.streams is None:
            self._lock, self.streams = threading.Lock(), {}
        with self._lock:  # an executor may log from several threads
            mask = self.streams.get(stream)
            if mask is None:
                mask = self.streams[stream] = StreamMask(masker)
            self._write(mask.feed(text), stream)

    def _write(self, text: str, stream: Stream) -> None:
        if text:
            self._host.sink.logged(self._assignment.ref, stream, clean(text))

    async def sleep(self, seconds: float) -> None:
        attempt = self._attempt
        rank = self._assignment.rank
        if attempt is None:
            await self._host.clock.sleep(seconds, rank)
            return
        attempt.sleeps += 1
        if attempt.sleeps == 1:
            self._host.activity.end()
        try:
            await self._host.clock.sleep(seconds, rank)
        finally:
            attempt.sleeps -= 1
            if not attempt.sleeps:
                self._host.activity.begin()

    def notifier(self, name: str = "default") -> Notifier:
        found = self._host.notifiers.get(name)
        if found is None:
            known = ", ".join(map(repr, self._host.notifiers))
            raise PortError(f"there is no notifier {name!r} ({f'there are {known}' if known else 'none is configured'})")
        masker = self._secrets.masker
        return found if masker is None else MaskingNotifier(found, masker)

    def stops_within(self, seconds: float) -> None:
        if self._attempt is not None:
            self._attempt.stop_s = seconds

    def cancelled(self) -> bool:
        return self._attempt is not None and self._attempt.stopped

    def close(self, result: TaskResult | None) -> None:
        """The attempt is over, without a result where it was stopped: what its streams held back goes out, and its workspace
        waits for the record of the result."""
        if self.streams:
            for stream, mask in self.streams.items():
                self._write(mask.flush(), stream)
            self.streams.clear()
        if self.used is not None:
            self._host.workspaces.end(self.used, self._assignment, result)

    def seal(self, result: TaskResult) -> TaskResult:
        """The result as it may leave: see `sealed`."""
        known = self._known or self._host.secrets.of(self._assignment.ref.run_id)
        masker = known.masker
        if masker is not None:
            result = sealed(masker, self._assignment.target, result)
        if len(result.message) > MESSAGE_LIMIT:  # only now, for half a secret is not known as one
            more = len(result.message) - MESSAGE_LIMIT
            result = replace(result, message=f"{result.message[:MESSAGE_LIMIT]}\u2026 ({more} characters more)")
        if self.fetched:
            result.fetched = self.fetched  # whatever became of it: the next attempt gets the same
        return result


class MaskingNotifier:
    """A notifier that hides the secrets of a run in what goes out (DATA-12)."""

    def __init__(self, notifier: Notifier, masker: Masker) -> None:
        self._notifier = notifier
        self._masker = masker

    def notify(self, notification: Notification) -> None:
        """Send it masked. Raises PortError."""
        masker = self._masker
        subject, text = masker.text(notification.subject), masker.text(notification.text)
        self._notifier.notify(replace(notification, subject=subject, text=text, details=masker.value(notification.details)))


def sealed(masker: Masker, target: TaskDef, result: TaskResult) -> TaskResult:
    """A result without secrets, with a warning for each output in which something was withheld.

    `target` is the task that it is of: names that it declares are not secrets, and stay.
    """
    parameters, withheld = _masked(masker, result.outputs, {output.name for output in target.outputs})
    artifacts, more = _masked(masker, result.artifacts, {output.name for output in target.artifacts})
    warnings = [masker.text(warning) for warning in result.warnings]
    warnings += [f"output {name!r} holds a secret, which was withheld" for name in withheld]
    warnings += [f"the record of artifact {name!r} holds a secret, which was withheld" for name in more]
    message = masker.text(result.message)
    return TaskResult(result.ref, result.code, message, parameters, artifacts, tuple(warnings))


def _masked(masker: Masker, values: Mapping[str, Json], declared: set[str]) -> tuple[Mapping[str, Json], list[str]]:
    """`values` without secrets, and the names of those that changed. Names that become one are numbered."""
    masked: dict[str, Json] = {}
    withheld: list[str] = []
    for name, value in values.items():
        shown = name if name in declared else masker.text(name)
        number = 1
        while shown in masked or (shown != name and shown in values):
            number += 1
            shown = f"{MASK}-{number}"
        masked[shown] = masker.value(value)
        if masked[shown] is not value or shown != name:
            withheld.append(shown)
    return masked if withheld else values, withheld
