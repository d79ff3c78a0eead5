"""Artifacts over HTTP, for the supervisor's side: resumed by ranges, a block at a time. Needs httpx2 (the extra `[server]`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

import httpx2 as httpx

from aether_protocol.worker.artifacts import ServerFullError
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

BLOCK: Final = 2**20
QUIET_S: Final = 30.0  # without a byte; the whole may take as long as it takes


class HttpArtifacts:
    """See `worker.artifacts.ArtifactTransport`. `client` is that of the worker: it knows the server and the token."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def fetch(self, session: str, token: str, digest: str, target: Path) -> None:
        there = _size(target)
        headers = {**_headers(session, token), **({"range": f"bytes={there}-"} if there else {})}
        try:
            async with self._client.stream("GET", _path(digest), headers=headers, timeout=QUIET_S) as answer:
                if answer.status_code == 416:  # all of it is there
                    return
                await _check(answer)
                if answer.status_code != 206:
                    there = 0
                file = await asyncio.to_thread(_open_at, target, there)
                try:
                    async for block in answer.aiter_bytes(BLOCK):
                        await asyncio.to_thread(file.write, block)
                finally:
                    await asyncio.to_thread(file.close)
        except httpx.HTTPError as error:
            raise TransportError(f"an artifact broke off: {error or type(error).__name__}") from None

    async def send(self, session: str, token: str, digest: str, source: Path) -> None:
        headers = _headers(session, token)
        file = await asyncio.to_thread(source.open, "rb")
        try:
            looked = await self._client.head(_path(digest), headers=headers)
            if looked.is_success:
                return
            if looked.status_code != 404:
                await _check(looked)
            size = _size(source)
            start = _number(looked.headers.get("upload-offset"))
            start = start if start < size else 0
            headers["content-length"] = str(size - start)
            headers["content-type"] = "application/octet-stream"
            if start:
                headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
            file.seek(start)
            answer = await self._client.put(_path(digest), headers=headers, content=_blocks(file), timeout=QUIET_S)
            if answer.status_code == 409:  # it has less than it said, or this is sent twice
                raise TransportError("the server has another part of the artifact")
            await _check(answer)
        except httpx.HTTPError as error:
            raise TransportError(f"an artifact broke off: {error or type(error).__name__}") from None
        finally:
            file.close()


def _path(digest: str) -> str:
    return f"/v1/artifacts/{digest}"


def _headers(session: str, token: str) -> dict[str, str]:
    return {"aether-session": session, "aether-delivery": token}


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _open_at(target: Path, offset: int) -> IO[bytes]:
    file = target.open("r+b" if target.exists() else "w+b")
    target.chmod(0o600)
    file.truncate(offset)
    file.seek(offset)
    return file


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, BLOCK):
        yield block


async def _check(answer: httpx.Response) -> None:
    """Raise what an answer that is not a success means."""
    if answer.is_success:
        return
    await answer.aread()
    try:
        body = answer.json()
    except ValueError:
        body = {}
    detail = str(body.get("detail") or answer.reason_phrase) if isinstance(body, dict) else str(body)
    if answer.status_code == 410:
        raise SessionEndedError
    if answer.status_code == 507:
        raise ServerFullError(f"the server has no room for it: {detail}")
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        raise TransportError(f"the server answers {answer.status_code}: {detail}")
    raise RefusedError(f"the server refuses it: {detail}")
