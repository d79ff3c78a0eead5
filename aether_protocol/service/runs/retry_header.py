"""What a new run keeps of the ended run that it repeats (CTRL-4): the header that it begins with.

Law: plan, parameters, variables and fetched artifacts are those of the run before; what it did well is taken over, from the
task on at which the new run starts. Nothing has happened when the request is refused.
"""

from __future__ import annotations

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import ConflictError, NotFoundError
from aether_protocol.scheduler.carry_over import fetched, reused
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUCCEEDED
from aether_protocol.views.report import not_run
from aether_protocol.views.spans import own_context


def check_retry(state: RunState, start: str | None) -> None:
    """Raise UsageError where the run `state` cannot be retried, or not from the task at path `start` (CTRL-4)."""
    run_id = state.header.run_id
    if not state.closed:
        raise ConflictError(f"run {run_id!r} has not ended: it is {state.phase}", hint="wait for it, or cancel it")
    if start is not None:
        paths = [node.path for node in state.nodes if node.hook is None] + not_run(state)
        if start not in paths:
            raise NotFoundError(f"run {run_id!r} has no task {start!r}", hint=did_you_mean(start, paths))
    elif state.phase is SUCCEEDED:
        raise ConflictError(f"run {run_id!r} Succeeded: there is nothing to retry", hint="name a task to begin from")


def retry_header(
    state: RunState, start: str | None, run_id: str, now: int, seed: int, *, reason: str = ""
) -> RunHeader:
    """The header of a run that retries the ended run `state`, from the task at path `start` (CTRL-4). Raises UsageError."""
    check_retry(state, start)
    before = state.header
    return RunHeader(
        run_id,
        now,
        before.scheduled_time,
        before.parameters,
        before.variables,
        seed,
        retry_of=before.run_id,
        reused=reused(state, start),
        folder=before.folder,
        fetched=fetched(state) or None,
        reason=reason or None,
        document_version=before.document_version,
        trace_link=own_context(before),
    )
