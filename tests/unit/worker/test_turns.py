"""A worker and several servers: to which it turns, and when. On a loop whose time jumps to the next timer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aether_protocol.assembly.server_urls import may_turn_to
from aether_protocol.ports.worker import BeatMessage, ExecutorOffer, Hello, Orders, Receipt, SecretAnswer, Welcome, decode
from aether_protocol.worker import Worker
from aether_protocol.worker.supervisor import Supervisor
from aether_protocol.worker.transport import RefusedError, UnreachableError
from aether_protocol.worker.turns import TurnTransport
from tests.unit.worker.test_supervisor import LEASE_S, LoopClock, Pool, Server, now, play

if TYPE_CHECKING:
    from aether_protocol.worker.artifacts import ArtifactTransport

pytestmark = pytest.mark.rule("RT-152")


class Place(Server):
    """A server at an address. `is_gone`: nothing takes a connection there; `is_mute`: it does, and nothing answers."""

    def __init__(self, names: list[str], *, refuses: bool = False) -> None:
        super().__init__()
        self.work = []
        self.names = names
        self.refuses = refuses
        self.is_gone = self.is_mute = False
        self.asked: list[float] = []  # when it was to answer a hello
        self.ways = 0  # that are open

    @property
    def artifacts(self) -> ArtifactTransport:
        raise AssertionError("no attempt has any")

    def _check(self) -> None:
        if self.is_gone:
            raise UnreachableError("refused")
        super()._check()

    async def hello(self, hello: Hello) -> Welcome:
        self.asked.append(now())
        self._check()
        if self.is_mute:
            await asyncio.Event().wait()
        if self.refuses:
            raise RefusedError("not this one")
        welcome = await super().hello(hello)
        welcome.servers = list(self.names)
        return welcome

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        await super().beat(session, beat)
        return Orders(servers=list(self.names))

    async def close(self) -> None:
        self.ways -= 1


class Town:
    """Places by address, and a worker that was given some of them."""

    def __init__(self, given: list[str], **places: Place) -> None:
        self.places = {f"https://{name}": place for name, place in places.items()}
        self.pool = Pool()
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="script")], slots={"tasks": 2})
        self.transport = TurnTransport([f"https://{one}" for one in given], self._way_to, LoopClock(), seed=1)
        self.supervisor = Supervisor(self.transport, self.pool, hello, seed=1, clock=LoopClock())

    def _way_to(self, url: str) -> Any:
        self.places[url].ways += 1
        return self.places[url]

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.supervisor.run())


def test_a_worker_whose_server_is_gone_is_at_another_one_with_what_it_has() -> None:
    """It was given one address; from the welcome it knows the other."""

    async def body() -> None:
        a, b = Place(["https://b"]), Place(["https://a"])
        town = Town(["a"], a=a, b=b)
        a.work = [*Server().work]
        running = town.begin()
        await asyncio.sleep(2)
        a.is_gone, cut = True, now()
        await asyncio.sleep(60)
        assert b.hellos == [["t1"]]
        assert b.asked[0] - cut < 3.5, "a beat comes every three seconds"
        assert [kind for kind, _, _ in town.pool.events] == ["begin"]
        assert len(b.beats) > 10
        running.cancel()

    play(body)


def test_a_message_that_finds_no_connection_is_enough_and_silence_is_waited_for() -> None:
    async def body() -> None:
        a, b = Place(["https://b"]), Place([])
        town = Town(["a"], a=a, b=b)
        running = town.begin()
        await asyncio.sleep(1)
        a.is_gone, cut = True, now()
        town.pool.observer.finished("unknown", {})
        town.supervisor.nudged.set()
        await asyncio.sleep(0.5)
        assert len(b.hellos) == 1, "it was the next message"
        assert b.asked[0] - cut < 0.1
        running.cancel()
        a.is_gone, a.away = False, False
        b.hellos.clear()
        town = Town(["a"], a=a, b=b)
        running = town.begin()
        await asyncio.sleep(1)
        a.away, cut = True, now()
        await asyncio.sleep(3.9)
        assert not b.hellos, "an answer of its server's proxy, say, may pass"
        await asyncio.sleep(8)
        assert len(b.hellos) == 1
        running.cancel()

    play(body)


def test_a_server_that_is_named_later_is_known_and_one_that_is_named_no_more_is_forgotten() -> None:
    async def body() -> None:
        a, b, c = Place(["https://b"]), Place([]), Place([])
        town = Town(["a"], a=a, b=b, c=c)
        running = town.begin()
        await asyncio.sleep(10)
        a.names = ["https://c"]
        await asyncio.sleep(10)
        a.is_gone = True
        await asyncio.sleep(10)
        assert (len(b.asked), len(c.hellos)) == (0, 1)
        c.names, a.names, a.is_gone = ["https://b"], [], False
        await asyncio.sleep(10)
        c.is_gone = True
        await asyncio.sleep(10)
        assert len(a.hellos) == 2, "what it was given it always knows, and asks first"
        assert c.ways == 0, "the way to a server that is named no more is closed"
        running.cancel()

    play(body)


@pytest.mark.parametrize("fault", ["is_gone", "is_mute", "refuses"])
def test_a_named_server_that_is_out_of_reach_keeps_no_worker_from_its_own(fault: str) -> None:
    """As behind a proxy that was away for a moment, where the servers themselves cannot be reached."""

    async def body() -> None:
        a, b, c = Place(["https://b", "https://c"]), Place([]), Place([])
        setattr(b, fault, True)
        setattr(c, fault, True)
        a.work = [*Server().work]
        town = Town(["a"], a=a, b=b, c=c)
        running = town.begin()
        await asyncio.sleep(10)
        a.is_gone = True
        town.supervisor.nudged.set()
        await asyncio.sleep(1)
        a.is_gone = False
        await asyncio.sleep(LEASE_S * 0.4)
        assert a.hellos[1:] == [["t1"]]
        assert len(b.asked) + len(c.asked) <= 2
        assert [kind for kind, _, _ in town.pool.events] == ["begin"], "nothing was stopped"
        running.cancel()

    play(body)


def test_a_named_server_that_is_out_of_reach_is_left_for_the_others() -> None:
    async def body() -> None:
        out = {name: Place([]) for name in ("b", "c", "d", "e")}
        a, f = Place([f"https://{name}" for name in (*out, "f")]), Place([])
        town = Town(["a"], a=a, f=f, **out)
        running = town.begin()
        await asyncio.sleep(10)
        for one in (a, *out.values()):
            one.is_gone = True
        town.supervisor.nudged.set()
        await asyncio.sleep(LEASE_S)
        assert len(f.hellos) == 1
        assert max(len(one.asked) for one in out.values()) == 1, "none was asked again before the others"
        running.cancel()

    play(body)


def test_all_that_were_given_are_asked_before_one_that_was_named() -> None:
    async def body() -> None:
        names = ["https://d"]
        a, b, c, d = Place(names), Place(names), Place(names), Place([])
        b.is_gone = c.is_gone = True
        town = Town(["a", "b", "c"], a=a, b=b, c=c, d=d)
        running = town.begin()
        await asyncio.sleep(1)
        a.is_gone = True
        town.supervisor.nudged.set()
        await asyncio.sleep(20)
        assert (len(b.asked), len(c.asked), len(d.hellos)) == (1, 1, 1)
        assert b.asked < c.asked < d.asked
        running.cancel()

    play(body)


def test_a_worker_that_all_refuse_ends_and_one_that_some_refuse_works() -> None:
    async def body() -> None:
        a, b = Place([], refuses=True), Place([])
        town = Town(["a", "b"], a=a, b=b)
        running = town.begin()
        await asyncio.sleep(5)
        assert len(b.hellos) == 1
        running.cancel()
        b.refuses = True
        with pytest.raises(RefusedError):
            await Town(["a", "b"], a=a, b=b).supervisor.run()

    play(body)


@pytest.mark.parametrize(
    ("url", "named_by", "may"),
    [
        ("https://b.example", "https://a.example", True),
        ("http://b.example", "https://a.example", False),
        ("http://127.0.0.1:2", "http://localhost:1", True),
        ("http://[::1]:2", "https://127.0.0.1:1", True),
        ("https://b.example", "http://127.0.0.1:1", True),
        ("http://127.0.0.1:2", "https://a.example", False),
        ("https://localhost:2", "https://a.example", False),
        ("https://u:p@b.example", "https://a.example", False),
        ("not an address", "https://a.example", False),
    ],
)
def test_a_named_server_is_called_only_where_that_is_as_safe(url: str, named_by: str, may: bool) -> None:
    """The loopback of the server's machine is not that of the worker's: another program may listen there."""
    assert may_turn_to(url, named_by) is may


def test_a_worker_passes_over_what_only_a_later_server_says() -> None:
    answers = {
        Welcome: {"session": "s", "server": "x", "protocol": 1, "leaseMs": 1, "beatMs": 1, "pollMs": 1},
        Orders: {"work": [{"token": "t", "assignment": {}, "later": 1}]},
        Receipt: {"logged": [{"token": "t", "stream": "stdout", "stored": 1, "later": 1}]},
        SecretAnswer: {"texts": [{"name": "a", "key": "b", "text": "c", "later": 1}]},
    }
    for shape, answer in answers.items():
        assert isinstance(decode({**answer, "later": 1}, shape), shape)


def test_servers_are_named_in_a_list_or_with_commas(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:1", "https://b.example", "https://c.example"]
    assert Worker("http://127.0.0.1:1, https://b.example/,https://c.example", cache=tmp_path).urls == urls
    assert Worker([f"{urls[0]},{urls[1]}", urls[2], urls[1]], cache=tmp_path).urls == urls
