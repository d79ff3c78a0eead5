"""The way of one supervisor to an engine, and where that is gone to another engine of the same store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from aether_protocol.adapters.brokers.nats.calls import NatsCaller, NobodyThereError
from aether_protocol.adapters.brokers.nats.frames import MOST_BYTES
from aether_protocol.adapters.brokers.nats.subjects import NatsNames
from aether_protocol.adapters.brokers.unserved import too_large
from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.secrets import MissingSecretError, SecretBook, SecretsAwayError
from aether_protocol.ports.wire import ERROR
from aether_protocol.ports.worker import (
    BeatMessage,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    SecretText,
    Welcome,
    WorkReport,
)
from aether_protocol.worker.nats.engines import Engines
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

ANSWER_S: Final = 5.0
_SLACK: Final = 65_536
_NAMES: Final = ("taskRunId", "workflowRunId", "attempt", "epoch")
_Answer = TypeVar("_Answer")
_encode: Final = msgspec.json.Encoder().encode


class NatsTransport:
    """See `worker.transport.WorkerTransport`.

    Args:
        caller: sends requests.
        names: those of the installation.
        engines: which are there.
        site, instance: the engine that is asked first.
        book: the secrets of this worker.
        namespace_of: gives the namespace of a delivery.
    """

    def __init__(
        self,
        caller: NatsCaller,
        names: NatsNames,
        engines: Engines,
        at: tuple[str, str],
        *,
        book: SecretBook,
        namespace_of: Callable[[str], str],
    ) -> None:
        self._caller = caller
        self._names = names
        self._engines = engines
        self.site, self.instance = at
        self._book = book
        self._namespace_of = namespace_of

    async def hello(self, hello: Hello) -> Welcome:
        self.instance = self._engines.choose(self.site, self.instance)
        return await self._call("hello", "", hello, Welcome)

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await self._call("poll", session, poll, Orders, timeout_s)

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        return await self._call("beat", session, beat, Orders)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        try:
            return await self._call("report", session, report, Receipt)
        except RefusedError:
            if not _cut(report):
                raise
            return await self._call("report", session, report, Receipt)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        wanted = [(one.name, one.key) for one in request.secrets]
        try:
            texts = await self._book.texts(self._namespace_of(request.token), wanted)
        except SecretsAwayError as error:
            raise TransportError(str(error)) from None
        except MissingSecretError as error:
            raise RefusedError(f"{error}; here the worker's own providers are asked", hint="--secrets-file") from None
        return SecretAnswer(texts=[SecretText(name=name, key=key, text=texts[name, key]) for name, key in wanted])

    async def leave(self, session: str) -> None:
        await self._call("leave", session, None, type(None))

    async def close(self) -> None:
        """The connection is that of all supervisors."""

    async def _call(self, do: str, session: str, message: Any, shape: type[_Answer], wait_s: float = 0.0) -> _Answer:
        subject = self._names.engine(self.site, self.instance)
        try:
            answer = await self._caller.call(subject, do, session, message, ANSWER_S + wait_s)
        except NobodyThereError:
            self._engines.drop(self.site, self.instance)
            if do != "hello" and self._engines.choose(self.site, self.instance) != self.instance:
                raise SessionEndedError from None
            raise TransportError("the engine is not there") from None
        except UsageError as error:
            raise RefusedError(error.message) from None
        except PortError as error:
            raise TransportError(error.message) from None
        if answer.over:
            raise SessionEndedError
        if answer.fault:
            raise (TransportError if answer.later else RefusedError)(answer.fault, hint=answer.hint)
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except msgspec.MsgspecError as error:
            raise TransportError(f"the engine's answer to a {do} does not fit: {error}") from None


def _cut(report: WorkReport) -> bool:
    """Put Errors in the place of results that fit into no message; whether there were any."""
    found = False
    for one in report.results:
        size = len(_encode(one.result))
        if size > MOST_BYTES - _SLACK:
            found = True
            names: dict[str, Any] = {key: one.result[key] for key in _NAMES if key in one.result}
            message = f"its result cannot be sent: {too_large(size, MOST_BYTES, 'the broker')}"
            one.result = {**names, "code": ERROR, "message": message}
    return found
