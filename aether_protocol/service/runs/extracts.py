"""What is made of runs for other uses: what a retry of one would do, the files that its tasks left, and a test that repeats it.

Law: as `client`: a client asks, and nothing here changes a run. Runs are named as there, and every method raises PortError
where the store, or what leads to it, cannot be used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aether_protocol.views.artifacts import RunArtifact
    from aether_protocol.views.retry import RetryPreview


class RunExtracts(Protocol):
    """What is made of a run for other uses."""

    async def retry_preview(self, run: str, start: str | None = None) -> RetryPreview:
        """Tell what a retry of an ended run would keep, and what would run again (CTRL-4).

        Args:
            run: which run.
            start: the task from which all runs again, by path or name.

        Raises:
            UsageError: the run has not ended, or there is nothing to run again.
        """
        ...

    async def artifacts(self, run: str) -> Sequence[RunArtifact]:
        """List the artifacts that the tasks of a run left, and those that came from sources, in document order; of each
        whether its content is still kept."""
        ...

    async def summary(self, run: str, task: str) -> str | None:
        """Give the Markdown text that a task left in AETHER_SUMMARY (RT-158); None where it left none.

        Args:
            run: which run.
            task: the task, by path or name.

        Raises:
            NotFoundError: there is no such task run, or the text is not kept any more.
        """
        ...

    async def case(self, run: str) -> str:
        """Write an ended run as a case file, in YAML: a unit test of its document, which `aether test` passes.

        Args:
            run: which run.

        Raises:
            UsageError: the run has not ended, has more than 2,000 task runs, or its events were not kept.
        """
        ...

    def artifact(self, run: str, digest: str) -> AsyncIterator[bytes]:
        """Give the content of an artifact of a run, in pieces.

        Args:
            run: which run.
            digest: of the content, `sha256:` and 64 hexadecimal digits.

        Raises:
            NotFoundError: the run names no such artifact, or its content is not kept any more.
        """
        ...
