"""The table of attempts in Redis, as engines and workers reach it: calls of its scripts, many in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.celery.address import CeleryAddress
from aether_protocol.adapters.brokers.celery.scripts import SCRIPTS, inbox_key, log_key, orders_key, task_key
from aether_protocol.errors import PortError
from aether_protocol.ports.wire import AttemptRef, Stream

if TYPE_CHECKING:
    from redis.asyncio import Redis

Value = str | bytes | int | float
Event = list[str | int]
Call = tuple[str, Sequence[Value]]  # the name of a script, its arguments

TTL_MS: Final = 7 * 86_400_000  # of what no engine asks for any more
LOG_TTL_MS: Final = 86_400_000
MOST_PIECES: Final = 512  # of the log of a task run, of at most 8192 characters each: then its worker keeps them
BLOCK_S: Final = 2.0  # how long a list is waited at, in one call
_WITHIN_S: Final = 5.0
_BATCH: Final = 500
_AT_ONCE: Final = 200
_CANCEL_S: Final = 0.5


class RedisAwayError(PortError):
    """Redis does not answer, or refuses: to be tried again."""


PieceName = tuple[str, Stream, int]  # delivery, stream, offset


class LogPiece(Struct, array_like=True, gc=False):
    """What an attempt wrote, as it lies in the table."""

    token: str
    epoch: int
    attempt: int
    stream: Stream
    offset: int
    size: int
    text: str

    @property
    def name(self) -> PieceName:
        """What no other piece is."""
        return self.token, self.stream, self.offset


_encode_piece: Final = msgspec.msgpack.Encoder().encode
_decode_piece: Final = msgspec.msgpack.Decoder(LogPiece).decode
_decode_event: Final = msgspec.json.Decoder(list[str | int]).decode


def ref_of(task_run: str, epoch: int, attempt: int) -> AttemptRef:
    """The name of an attempt of a task run."""
    run, _, path = task_run.partition("/")
    return AttemptRef(run, path, attempt, epoch)


class AttemptTable:
    """The table in one Redis. All of its methods raise RedisAwayError.

    Args:
        address: where the Redis is.
    """

    def __init__(self, address: CeleryAddress) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._shown = address.shown
        self._redis: Redis = Redis.from_url(
            address.url,
            socket_timeout=_WITHIN_S,
            socket_connect_timeout=_WITHIN_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),  # a script is not carried out twice unasked; callers try again
        )
        self._digests: dict[str, str] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls in their order, and return their answers."""
        from redis.exceptions import NoScriptError, RedisError

        if not calls:
            return []
        try:
            if not self._digests:
                await self._load()
            answers = await self._send(calls)
            missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:  # Redis was restarted
                await self._load()
                for number, answer in zip(missing, await self._send([calls[one] for one in missing]), strict=True):
                    answers[number] = answer
        except (RedisError, OSError) as error:
            raise self._away(error) from None
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._away(answer) from None
        return answers

    async def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """`run` for any number of calls, some at a time: Redis does nothing else meanwhile."""
        answers: list[Any] = []
        for start in range(0, len(calls), _AT_ONCE):
            answers += await self.run(calls[start : start + _AT_ONCE])
        return answers

    async def call(self, name: str, *arguments: Value) -> Any:
        """Carry out one call."""
        return (await self.run([(name, arguments)]))[0]

    async def _load(self) -> None:
        for name, text in SCRIPTS.items():
            self._digests[name] = await self._redis.script_load(text)

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) == 1:
            from redis.exceptions import ResponseError

            try:
                return [await self._redis.evalsha(self._digests[calls[0][0]], 0, *calls[0][1])]
            except ResponseError as error:
                return [error]
        pipe = self._redis.pipeline(transaction=False)
        for name, arguments in calls:
            pipe.evalsha(self._digests[name], 0, *arguments)
        return list(await pipe.execute(raise_on_error=False))

    def _away(self, error: Exception) -> RedisAwayError:
        return RedisAwayError(f"{self._shown} does not answer: {str(error) or type(error).__name__}")

    # --- lists ---

    async def events(self, side: str) -> list[Event]:
        """Wait for what an engine has to hear; after BLOCK_S there may be nothing."""
        return [_decode_event(one) for one in await self._pop(inbox_key(side))]

    async def orders(self, session: str) -> list[str]:
        """Wait for the deliveries that a worker has to stop; after BLOCK_S there may be nothing."""
        return [one.decode() for one in await self._pop(orders_key(session))]

    async def _pop(self, key: str) -> list[bytes]:
        from redis.exceptions import RedisError

        try:
            first = await self._redis.blpop([key], timeout=BLOCK_S)
            if first is None:
                return []
            rest = await self._redis.lpop(key, _BATCH)
        except (RedisError, OSError) as error:
            raise self._away(error) from None
        return [first[1], *(rest or ())]

    # --- what is fetched ---

    async def fields(self, task_runs: Sequence[str], *names: str) -> list[list[bytes | None]]:
        """Fetch fields of task runs."""
        from redis.exceptions import RedisError

        pipe = self._redis.pipeline(transaction=False)
        for task_run in task_runs:
            pipe.hmget(task_key(task_run), list(names))
        try:
            return list(await pipe.execute())
        except (RedisError, OSError) as error:
            raise self._away(error) from None

    async def pieces(self, task_run: str, first: int, most: int) -> list[LogPiece]:
        """Fetch pieces of the log of a task run, from number `first` on."""
        from redis.exceptions import RedisError

        try:
            found = await self._redis.lrange(log_key(task_run), first, first + most - 1)
        except (RedisError, OSError) as error:
            raise self._away(error) from None
        return [_decode_piece(one) for one in found if isinstance(one, bytes)]

    async def trim(self, task_run: str, count: int, first: PieceName) -> bool:
        """Forget the first pieces of the log of a task run: they are stored. False: it does not begin with `first`, since Redis
        was emptied; then nothing is forgotten."""
        return bool(await self.call("trim", task_run, count, *first))

    async def queued(self, queues: Sequence[str]) -> dict[str, int]:
        """Return how many messages of Celery wait in these lists."""
        from redis.exceptions import RedisError

        pipe = self._redis.pipeline(transaction=False)
        for queue in queues:
            pipe.llen(queue)
        try:
            return dict(zip(queues, await pipe.execute(), strict=True))
        except (RedisError, OSError) as error:
            raise self._away(error) from None


def log_call(task_run: str, piece: LogPiece) -> Call:
    """The call that adds a piece to a log; it is answered with 0 where there is no room."""
    return "log", (task_run, _encode_piece(piece), MOST_PIECES, LOG_TTL_MS)


async def cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks that use the table, and wait for their end. A cancellation that comes while redis-py sends may be lost in
    it, so it is repeated."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_CANCEL_S)
