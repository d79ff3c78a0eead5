"""The loop's inbox: events of runs, each with what acknowledges it (a caller that waits, a broker whose result is stored).

Law: the instant is put on an event when its turn comes, so that events of a run never go back in time. An entry is
acknowledged after what the event led to is in the store, or was refused there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.mailbox import Question, to_event
from aether_protocol.errors import AetherError, ConflictError, UsageError
from aether_protocol.ports.broker import Stored
from aether_protocol.scheduler.events import Event

NO_TIME: Final = 0  # the instant of an event until its turn comes

Answer = asyncio.Future[None]
Asked = tuple[Question, Answer]


class RecoveryEnd(Struct):
    """The last entry of a recovery: all that was due or asked for by then has been dealt with. It has no event."""

    answer: Answer


Reply = Answer | Stored | RecoveryEnd
Entry = tuple[ActiveRun, Event | None, Reply | None]


def acknowledge(run: ActiveRun, reply: Reply, refused: str | None) -> None:
    """Acknowledge an entry: it was `refused`, its run is broken, or what it led to is in the store."""
    if isinstance(reply, RecoveryEnd):
        run.recovering = False
        if run.paused:
            run.wake(run.pause_waiters)
        if not reply.answer.done():
            reply.answer.set_result(None)
    elif isinstance(reply, asyncio.Future):
        if reply.done():
            return
        if run.error is not None:
            reply.set_exception(run.error)
        elif refused is not None:
            reply.set_exception(ConflictError(refused))
        else:
            reply.set_result(None)
    elif run.error is None:
        reply()


def put_question(
    put: Callable[[ActiveRun, Event, Answer], None], run: ActiveRun, question: Question, answer: Answer
) -> None:
    """Ask something of a run; `answer` is done once it is stored, and raises what refuses it."""
    try:
        put(run, to_event(run.state, question), answer)
    except AetherError as error:
        answer.set_exception(error)


def refuse_closed(reply: Reply | None) -> None:
    """The engine was closed before the entry's turn came. A result stays with its broker, for the next engine."""
    answer = reply.answer if isinstance(reply, RecoveryEnd) else reply
    if isinstance(answer, asyncio.Future) and not answer.done():
        answer.set_exception(UsageError("the engine was closed"))
        answer.exception()  # the caller may have left, and asyncio shall not complain
