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
from aether_protocol.worker import artifacts
from aether_protocol.worker.artifacts import ArtifactCarrier, ServerFullError
from aether_protocol.worker.cache import ArtifactCache, usual_cache
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
    assert cache.has(used), "which counts as a use"
    middle = put(cache, tmp_path, b"3" * 1000, 1000)
    assert [cache.has(one) for one in (oldest, used, middle)] == [False, True, True]
    put(cache, tmp_path, b"4" * 1000)
    put(cache, tmp_path, b"5" * 1000)
    assert cache.has(used), "no use of the last minute is removed"


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


def test_a_content_that_is_not_what_it_should_be_is_not_kept(tmp_path: Path) -> None:
    async def go() -> None:
        digest = digest_of(b"content")
        with pytest.raises(PortError, match="came damaged"):
            await carrier(tmp_path, Server(b"other")).move("t", "bring", digest, lambda: True)
        assert not ArtifactCache(tmp_path / "cache").has(digest)
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
