"""What is made of runs of a store for other uses (`service.runs.extracts`).

Law: nothing here changes a run; a large one is read beside the event loop. Contents of artifacts are those of the run's
namespace (RT-140), and only those that the run names are given out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import IO, Final

from msgspec.structs import replace

from aether_protocol.errors import ConflictError, NotFoundError, PortError, UsageError
from aether_protocol.ports.artifacts import ArtifactRepository, part_of
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.runs.inspect import find_task
from aether_protocol.service.runs.retry_header import check_retry
from aether_protocol.views.artifacts import RunArtifact, artifacts_of_run, summary_of
from aether_protocol.views.report import not_run
from aether_protocol.views.retry import RetryPreview, retry_preview

MOST_OF_CASE: Final = 2_000  # task runs and runs of hooks
BLOCK: Final = 2**20  # bytes of a content that are in memory


class LocalExtracts:
    """See `service.runs.extracts.RunExtracts`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def retry_preview(self, run: str, start: str | None = None) -> RetryPreview:
        def look(state: RunState) -> RetryPreview:
            path = find_task(state, start, not_run(state)) if start is not None else None
            check_retry(state, path)
            return retry_preview(state, path)

        return await self._context.view(await self._context.row(run), look)

    async def artifacts(self, run: str) -> Sequence[RunArtifact]:
        from asyncio import to_thread

        context = self._context
        row = await context.row(run)
        found = await context.view(row, artifacts_of_run)
        if not found:
            return found
        there = await to_thread(_kept, part_of(context.repository(), row.namespace), {one.digest for one in found})
        return [one if one.digest in there else replace(one, kept=False) for one in found]

    async def case(self, run: str) -> str:
        from aether_protocol.engine.recovery import secret_references
        from aether_protocol.service.local.runs import LocalRuns
        from aether_protocol.views.case import make_case
        from aether_protocol.views.yaml_text import to_yaml

        context = self._context
        row = await context.row(run)
        if not row.closed:
            raise ConflictError(f"run {row.run_id!r} has not ended: it is {row.phase}", hint="a case says what a run came to")
        state = await context.state(row.run_id)
        if len(state.nodes) > MOST_OF_CASE:
            told = f"run {row.run_id!r} has {len(state.nodes)} task runs, and a case {MOST_OF_CASE} at most"
            raise UsageError(told, hint="a smaller run of the same workflow says as much")
        records = [record async for record in LocalRuns(context).events(row.run_id)]
        if not records:
            raise ConflictError(f"the events of run {row.run_id!r} were not kept", hint="the tier state-action-log keeps them")
        return to_yaml(make_case(state, records, secret_references(state)))

    async def summary(self, run: str, task: str) -> str | None:
        from asyncio import to_thread

        def look(state: RunState) -> str | None:
            return summary_of(state, find_task(state, task, not_run(state)))

        context = self._context
        row = await context.row(run)
        digest = await context.view(row, look)
        if digest is None:
            return None
        return (await to_thread(_read, part_of(context.repository(), row.namespace), digest)).decode("utf-8", "replace")

    async def artifact(self, run: str, digest: str) -> AsyncIterator[bytes]:
        from asyncio import to_thread

        context = self._context
        row = await context.row(run)
        if not any(one.digest == digest for one in await context.view(row, artifacts_of_run)):
            raise NotFoundError(f"run {row.run_id!r} has no artifact {digest[:80]!r}")
        source = await to_thread(_opened, part_of(context.repository(), row.namespace), digest)
        try:
            while block := await to_thread(source.read, BLOCK):
                yield block
        finally:
            source.close()


def _opened(repository: ArtifactRepository, digest: str) -> IO[bytes]:
    """Open a content. Raises NotFoundError."""
    try:
        return repository.open(digest)
    except PortError as error:
        raise NotFoundError(f"the content of artifact {digest} is not kept any more", hint=error.message) from error


def _read(repository: ArtifactRepository, digest: str) -> bytes:
    with _opened(repository, digest) as source:
        return source.read()


def _kept(repository: ArtifactRepository, digests: set[str]) -> set[str]:
    """Those of the digests whose content is there."""
    there: set[str] = set()
    for digest in digests:
        try:
            repository.open(digest).close()
        except PortError:
            continue
        there.add(digest)
    return there
