"""A task of dask.distributed that carries an attempt out: what `adapters.brokers.dask` submits.

It waits in a thread of the Dask worker while a child process of that worker's host works. What it says goes to the scheduler as
events of its engine's topic, in pieces of at most MOST_PIECE and twice a second at most, since the scheduler keeps the last
events of a topic in memory; the end of the log comes with the result, for what is lost on that way.

Law: Dask gives a task whose worker it lost to another one by itself. Such a second start carries nothing out: it says so, and
the engine decides. A flag at the scheduler (`distributed.Event`) that is set before the child begins tells it. Where the
scheduler does not want the task any more (it was cancelled, or its client and scheduler are gone), the child is stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from distributed import Worker, get_worker
from distributed.core import Status
from distributed.utils import sync

from aether_protocol.errors import PortError
from aether_protocol.worker.hosted.host import Ending, News, Order, Stop, host

LOOK_S: Final = 0.25  # how often it looks whether its task is still wanted
FLUSH_S: Final = 0.5
MOST_PIECE: Final = 8_192  # characters of a log in one event
MOST_TAIL: Final = 65_536  # characters of the end of each log, which come with the result

_WANTED: Final = frozenset({"executing", "long-running"})
_ALIVE: Final = frozenset({Status.running, Status.paused, Status.closing_gracefully})


class _Way:
    """See `worker.hosted.host.Way`."""

    def __init__(self, worker: Worker, key: Any, token: str, topic: str) -> None:
        self._worker = worker
        self._key = key
        self._token = token
        self._topic = topic
        self._waiting: list[News] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False
        self.tails: dict[str, tuple[int, str]] = {}  # by stream: the offset in bytes, and the text

    async def open(self, stop: Stop) -> None:
        self._send([{"say": "begun", "worker": self._worker.address}])
        self._watching = asyncio.create_task(self._watch(stop), name="aether-dask")

    async def _watch(self, stop: Stop) -> None:
        while self._is_wanted():  # noqa: ASYNC110 - Dask says so by no event that is public
            await asyncio.sleep(LOOK_S)
        self._stopped = True
        stop()

    def _is_wanted(self) -> bool:
        state = self._worker.state.tasks.get(self._key)
        return state is not None and state.state in _WANTED and self._worker.status in _ALIVE

    def hear(self, news: News) -> None:
        if news["say"] == "logged":
            self._keep(news)
            text, offset = news["text"], news["offset"]
            for begin in range(0, len(text), MOST_PIECE):
                piece = text[begin : begin + MOST_PIECE]
                self._waiting.append({**news, "text": piece, "offset": offset})
                offset += len(piece.encode("utf-8", "surrogatepass"))
        else:
            self._waiting.append(news)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _keep(self, news: News) -> None:
        """Keep the end of a log."""
        offset, text = self.tails.get(news["stream"], (news["offset"], ""))
        text += news["text"]
        if len(text) > 2 * MOST_TAIL:
            offset += len(text[:-MOST_TAIL].encode("utf-8", "surrogatepass"))
            text = text[-MOST_TAIL:]
        self.tails[news["stream"]] = offset, text

    def _flush(self) -> None:
        self._flushing = None
        several, self._waiting = self._waiting, []
        together: list[News] = []
        for news in several:
            last = together[-1] if together else None
            if last is not None and _follows(last, news):
                last["text"] += news["text"]
            else:
                together.append(dict(news))
        for news in together:
            self._send([news])

    def _send(self, several: list[News]) -> None:
        self._worker.log_event(self._topic, {"token": self._token, "news": several})

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        self._flush()
        if self._stopped:
            self._send([{"say": "ended"}])


def _follows(last: News, news: News) -> bool:
    """Whether two pieces of a log can be one."""
    if last["say"] != "logged" or news["say"] != "logged" or last["stream"] != news["stream"]:
        return False
    return len(last["text"]) + len(news["text"]) <= MOST_PIECE


def carry_out(body: bytes, topic: str) -> bytes:
    """Carry out an order of a broker, in a thread of a Dask worker.

    Args:
        body: the order, as JSON.
        topic: where events of it go.

    Returns:
        The ending as JSON. `kept` in it is the end of the logs; `worker` is where it was carried out. The `end` is `again`
        where it was begun before.
    """
    order = msgspec.json.decode(body, type=Order)
    worker = get_worker()
    if not _is_first(worker, f"aether-{order.token}"):
        return _ended({"end": "again"}, worker)
    way = _Way(worker, worker.get_current_task(), order.token, topic)
    try:
        ending = host().carry_out(order, way)
    except PortError as error:
        ending = Ending(end="returned", reason=error.message)
    kept = [{"say": "logged", "stream": one, "offset": at, "text": text} for one, (at, text) in way.tails.items()]
    return _ended({**msgspec.to_builtins(ending), "kept": kept}, worker)


def _is_first(worker: Worker, flag: str) -> bool:
    """Whether this attempt was not begun before; it counts as begun from now on."""
    ask: Callable[..., Any] = worker.scheduler.event_is_set
    if sync(worker.loop, ask, name=flag):
        return False
    sync(worker.loop, worker.scheduler.event_set, name=flag)
    return True


def _ended(ending: dict[str, Any], worker: Worker) -> bytes:
    return msgspec.json.encode({**ending, "worker": worker.address})
