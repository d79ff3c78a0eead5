"""A worker's artifacts: the bound of its cache, contents that are damaged, servers that are away or full."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import PortError
from aether_protocol.ports.worker import SecretText
from aether_protocol.worker import artifacts
from aether_protocol.worker.artifacts import ArtifactCarrier, ServerFullError
from aether_protocol.worker.cache import ArtifactCache, usual_cache
from aether_protocol.worker.child import RelayedRepository
from aether_protocol.worker.held import HeldDeliveries
from aether_protocol.worker.outbox import Outbox
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def put(cache: ArtifactCache, folder: Path, content: bytes, age_s: float = 0) -> str:
    """Keep a content that was used so long ago."""
    (folder / "file").write_bytes(content)
    digest, _ = cache.repository.put(folder / "file")
    at = time.time() - age_s
    os.utime(cache.repository.path_of(digest), (at, at))
    cache.added(cache.repository.path_of(digest))
    return digest


def test_what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", most_bytes=2500)
    oldest = put(cache, tmp_path, b"1" * 1000, 3000)
    used = put(cache, tmp_path, b"2" * 1000, 2000)
    assert cache.has("default", used), "which counts as a use"
    middle = put(cache, tmp_path, b"3" * 1000, 1000)
    assert [cache.has("default", one) for one in (oldest, used, middle)] == [False, True, True]
    put(cache, tmp_path, b"4" * 1000)
    put(cache, tmp_path, b"5" * 1000)
    assert cache.has("default", used), "no use of the last minute is removed"


class Server:
    """Answers with one content; before that with what is in `faults`."""

    def __init__(self, content: bytes, *faults: Exception) -> None:
        self.content = content
        self.faults = list(faults)
        self.calls: list[str] = []

    async def fetch(self, session: str, token: str, digest: str, target: Path) -> None:
        await self._call(session)
        await asyncio.to_thread(target.write_bytes, self.content)

    async def send(self, session: str, token: str, digest: str, source: Path) -> None:
        await self._call(session)
        self.content = await asyncio.to_thread(source.read_bytes)

    async def _call(self, session: str) -> None:
        self.calls.append(session)
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)


def carrier(folder: Path, server: Server, session: str = "s") -> ArtifactCarrier:
    return ArtifactCarrier(ArtifactCache(folder / "cache"), server, lambda: session, SystemClock())


def test_a_content_is_fetched_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    async def go() -> None:
        server, digest = Server(b"content"), digest_of(b"content")
        cache = ArtifactCache(tmp_path / "cache")
        moving = ArtifactCarrier(cache, server, lambda: "s", SystemClock())
        await asyncio.gather(*(moving.move("t", "bring", digest, lambda: True) for _ in range(5)))
        await moving.move("t", "bring", digest, lambda: True)
        assert len(server.calls) == 1
        kept = cache.repository.path_of(digest)
        kept.chmod(0o600)
        kept.write_bytes(b"damaged")
        await moving.move("t", "renew", digest, lambda: True)
        assert kept.read_bytes() == b"content"

    asyncio.run(go())


@pytest.mark.rule("RT-140")
def test_what_came_for_one_namespace_is_not_there_for_another(tmp_path: Path) -> None:
    """Its server is asked: to know a digest, or to have the same worker, is no right to a content."""

    async def go() -> None:
        digest = digest_of(b"content")
        server = Server(b"content")
        moving = carrier(tmp_path, server)
        held = HeldDeliveries(Outbox(SystemClock()), ask_for_none, moving)
        for token, assignment in (("a1", {"namespace": "a"}), ("b1", {"namespace": "b"}), ("d1", {"namespace": "default"})):
            assert held.add(token, assignment)
        await held.artifact("a1", "bring", digest)
        await held.artifact("a1", "bring", digest)
        assert len(server.calls) == 1
        for stranger in ("b1", "d1"):
            server.faults = [RefusedError("the assignment of the delivery does not name this artifact")]
            with pytest.raises(RefusedError):
                await held.artifact(stranger, "bring", digest)
        await held.artifact("b1", "bring", digest)
        (tmp_path / "cache" / "namespaces" / "a").rename(tmp_path / "of-a")
        with pytest.raises(PortError, match="no such file"):  # what is sent is that of its own namespace as well
            await moving.move("t", "send", digest, lambda: True, namespace="a")
        with pytest.raises(PortError, match="stopped"):
            await held.artifact("gone", "bring", digest)

    asyncio.run(go())


async def ask_for_none(token: str, wanted: object) -> list[SecretText]:
    return []


@pytest.mark.rule("RT-140")
def test_a_child_sees_the_part_of_its_run_alone(tmp_path: Path) -> None:
    moved: list[tuple[str, str]] = []
    seen = RelayedRepository(str(tmp_path / "cache"), lambda move, digest: moved.append((move, digest)))
    (tmp_path / "file").write_bytes(b"content")
    digest, _ = seen.within("a").put(tmp_path / "file")
    seen.within("a").get(digest, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"content"
    for stranger in (seen.within("b"), seen.within("default"), seen):
        with pytest.raises(PortError, match="not in the repository"):
            stranger.get(digest, tmp_path / "stolen")
        assert stranger.renew(digest) is None
    assert moved[0] == ("send", digest), "what is put in a namespace goes to the server"
    assert (seen.within("a").renew(digest), moved[-1]) == (len(b"content"), ("send", digest)), "which counts it as put again"
    assert ArtifactCache(tmp_path / "cache").has("a", digest), "and lies where the supervisor looks for it"


def test_the_bound_is_that_of_all_namespaces_together(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", most_bytes=2500)
    digests = {}
    for age, namespace in ((3000, "a"), (2000, "default"), (1000, "b"), (500, "a")):
        part = cache.part(namespace, "sha256:" + "0" * 64)
        part.write_bytes(f"{age}".encode() * 250)
        digests[age, namespace] = digest = digest_of(part.read_bytes())
        cache.take(part, namespace, digest)
        at = time.time() - age
        os.utime(cache.repository.within(namespace).path_of(digest), (at, at))
    cache.added(tmp_path)
    cache.shrink()
    (tmp_path / "file").write_bytes(b"x" * 200)
    put(cache, tmp_path, b"x" * 200)
    assert [space for (_, space), digest in digests.items() if not cache.has(space, digest)] == ["a", "default"]


def test_a_content_that_is_not_what_it_should_be_is_not_kept(tmp_path: Path) -> None:
    async def go() -> None:
        digest = digest_of(b"content")
        with pytest.raises(PortError, match="came damaged"):
            await carrier(tmp_path, Server(b"other")).move("t", "bring", digest, lambda: True)
        assert not ArtifactCache(tmp_path / "cache").has("default", digest)
        assert not list((tmp_path / "cache").rglob("*.part"))

    asyncio.run(go())


def test_a_server_that_is_away_is_asked_again_as_long_as_the_attempt_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "RETRY_S", 0.001)
    monkeypatch.setattr(artifacts, "FULL_S", 0.01)

    async def go() -> None:
        digest = digest_of(b"content")
        server = Server(b"content", TransportError("away"), SessionEndedError(), ServerFullError("full"))
        await carrier(tmp_path, server).move("t", "bring", digest, lambda: True)
        assert len(server.calls) == 4
        for fault in (RefusedError("not yours"), PortError("no")):
            with pytest.raises(type(fault)):
                await carrier(tmp_path / "b", Server(b"", fault)).move("t", "bring", digest, lambda: True)
        with pytest.raises(PortError, match="stopped"):
            await carrier(tmp_path / "c", Server(b"", TransportError("away"))).move("t", "bring", digest, lambda: False)
        full = Server(b"", *(ServerFullError("the server has no room") for _ in range(1000)))
        with pytest.raises(ServerFullError):
            await carrier(tmp_path / "d", full).move("t", "bring", digest, lambda: True)

    asyncio.run(go())


def test_a_refusal_of_an_earlier_session_is_asked_again_at_the_new_one(tmp_path: Path) -> None:
    async def go() -> None:
        names = iter(["old", "new", "new", "new"])
        server = Server(b"content", RefusedError("not one of this session"))
        moving = ArtifactCarrier(ArtifactCache(tmp_path / "cache"), server, lambda: next(names), SystemClock())
        await moving.move("t", "bring", digest_of(b"content"), lambda: True)
        assert server.calls == ["old", "new"]

    asyncio.run(go())


def test_the_usual_place_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert usual_cache() == Path("/caches/aether/artifacts")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert usual_cache() == Path("/home/ada/.cache/aether/artifacts")
