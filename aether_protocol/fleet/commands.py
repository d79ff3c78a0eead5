"""What is to be done: orders to workers, and reports to the engines that offered the attempts. Each may be lost: what follows
from it is derived again from what workers say that they hold."""

from __future__ import annotations

from msgspec import Struct

from aether_protocol.fleet.work import Work
from aether_protocol.ports.wire import AttemptRef


class Assign(Struct, gc=False):
    """Answer the open poll of a session with an attempt."""

    session: str
    poll: int
    number: int
    work: Work


class Stop(Struct, gc=False):
    """Tell a worker to stop a delivery."""

    session: str
    number: int
    ref: AttemptRef


class AskDrain(Struct, gc=False):
    """Tell a worker to take no more work, and to return at `until` (microseconds) what has not ended."""

    session: str
    until: int


class CloseSession(Struct, gc=False):
    """A session is over: its lease ended, or its worker left. Its next message is answered with: say hello again."""

    session: str
    reason: str


class ReportStarted(Struct, gc=False):
    """Tell the engine that an attempt began."""

    ref: AttemptRef


class ReportLost(Struct, gc=False):
    """Tell the engine that an attempt will give no result. `blamed`: its own process died."""

    ref: AttemptRef
    reason: str
    blamed: bool


class ReportError(Struct, gc=False):
    """Tell the engine that an attempt ended in Error: it waited for a worker for as long as it may."""

    ref: AttemptRef
    message: str


Command = Assign | Stop | AskDrain | CloseSession | ReportStarted | ReportLost | ReportError
