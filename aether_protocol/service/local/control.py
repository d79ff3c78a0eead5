"""Begin, answer, end and delete runs of a store (`client.RunControl`).

Law: a run that is submitted here is unowned until an engine recovers it; what is asked of a run that an engine drives goes
through the store's mailbox, or straight to the engine of this process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from aether_protocol.engine.ids import RandomIds
from aether_protocol.engine.mailbox import Question, ask, cancel_question, checked_reason, is_private, resume_question
from aether_protocol.engine.submission import (
    choose_run_id,
    make_header,
    new_run,
    read_texts,
    read_trace_context,
    read_variables,
)
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import KeyTakenError, RunKey, RunQuery
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.runs.delete import delete_runs, prune_runs
from aether_protocol.service.runs.idempotency import OnceSubmitted, make_run_key
from aether_protocol.service.runs.inspect import find_task
from aether_protocol.service.runs.retry_header import retry_header
from aether_protocol.service.runs.retry_ids import next_retry_id
from aether_protocol.views.report import not_run

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan
    from aether_protocol.service.client import Source
    from aether_protocol.service.documents.texts import LibraryTexts

_PAGE = 500


class LocalControl:
    """See `client.RunControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._ids = RandomIds() if context.engine is None else context.engine.ids

    async def submit(
        self,
        document: Source,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
        workflow: str | None = None,
        library: Sequence[LibraryTexts] = (),
        texts: Mapping[str, str] | None = None,
        trace_context: str | None = None,
        spellings: Mapping[str, str] | None = None,
    ) -> str:
        plan = await self._context.plan(document, workflow, library)
        given = _with_texts(plan, arguments, texts, spellings)
        return await self._submit(plan, given, run_id, scheduled_time, None, trace_context=trace_context)

    async def submit_once(
        self,
        key: str,
        document: Source,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
        workflow: str | None = None,
        library: Sequence[LibraryTexts] = (),
        texts: Mapping[str, str] | None = None,
        trace_context: str | None = None,
        spellings: Mapping[str, str] | None = None,
    ) -> OnceSubmitted:
        plan = await self._context.plan(document, workflow, library)
        given = _with_texts(plan, arguments, texts, spellings)
        made = make_run_key(key, plan, given)
        try:
            new = await self._submit(plan, given, run_id, scheduled_time, made, trace_context=trace_context)
            return OnceSubmitted(new, is_new=True)
        except KeyTakenError as taken:
            if taken.first != made.digest:
                raise
            return OnceSubmitted(taken.run_id, is_new=False)

    async def _submit(
        self,
        plan: Plan,
        arguments: Mapping[str, Json],
        run_id: str | None,
        scheduled_time: int | None,
        key: RunKey | None,
        *,
        trace_context: str | None,
    ) -> str:
        self._context.require(plan.namespace)
        if self._context.engine is not None:
            return await self._context.engine.submit(
                plan,
                arguments,
                run_id=run_id,
                scheduled_time=scheduled_time,
                key=key,
                trace_context=trace_context,
                submitted_by=self._context.caller,
            )
        bare = replace(self.bare_header(plan, run_id, scheduled_time), trace_context=read_trace_context(trace_context))
        new = new_run(plan, make_header(plan, arguments, bare))
        new.key = key
        await self._context.store.runs.create(new)
        return new.row.run_id

    def bare_header(self, plan: Plan, run_id: str | None, scheduled_time: int | None) -> RunHeader:
        """Make the header of a new run, its parameters still to be bound."""
        now = self._context.clock.now()
        if scheduled_time is None and plan.of_schedule:  # DOC-1: it is run once, now
            scheduled_time = now
        variables = read_variables(self._context.library.sources())
        chosen = choose_run_id(run_id, self._ids, now)
        return RunHeader(
            chosen,
            now,
            scheduled_time,
            {},
            variables,
            self._ids.seed(chosen),
            folder=plan.folder,
            document_version=plan.document_version,
            submitted_by=self._context.caller,
        )

    async def resume(
        self, run: str, task: str, payload: Mapping[str, Json] | None = None, *, reason: str = ""
    ) -> None:
        context = self._context
        row = await context.row(run)
        state = await context.state(row.run_id)
        path = find_task(state, task, not_run(state))
        if payload is not None and not isinstance(payload, Mapping):
            raise UsageError(f"the payload is {payload!r}, not a mapping of names to values")
        try:
            given = json_copy(dict(payload or {}))
        except ValueError as error:
            raise UsageError(f"the payload holds {error}") from None
        question = resume_question(path, given, reason)
        await self._adopt(row.run_id)
        await self._ask(row.run_id, question, private=is_private(state.plan, question))

    async def cancel(self, run: str, *, reason: str = "") -> None:
        context = self._context
        row = await context.row(run)
        if await self._adopt(row.run_id, cancel=reason or True):
            return
        question = cancel_question(reason)
        private = bool(reason) and not row.closed and context.driven(row.run_id) is None
        if private:
            private = is_private((await context.state(row.run_id)).plan, question)
        await self._ask(row.run_id, question, private=private)

    async def _adopt(self, run_id: str, *, cancel: bool | str = False) -> bool:
        """Drive a run here, from now on, that something is asked of and that no engine drives; whether it was taken."""
        context = self._context
        if context.engine is None or not context.adopts_asked or context.driven(run_id) is not None:
            return False
        try:
            return run_id in await context.engine.recover([run_id], cancel=cancel)
        except BusyError:  # another engine drives it: that one is asked
            return False

    async def _ask(self, run_id: str, question: Question, *, private: bool) -> None:
        """Ask the engine that drives the run: that of this process, else through the mailbox."""
        context = self._context
        if context.engine is not None:
            await context.engine.driven.ask(run_id, question, private=private)
        else:
            await ask(context.store, context.clock, run_id, question, private=private)

    async def mend(self, run: str) -> bool:
        context = self._context
        return await context.store.upkeep.mend((await context.row(run)).run_id)

    async def retry(
        self,
        run: str,
        start: str | None = None,
        *,
        new_id: str | None = None,
        reason: str = "",
        trace_context: str | None = None,
    ) -> str:
        context = self._context
        row = await context.row(run)
        state = await context.state(row.run_id)
        path = find_task(state, start, not_run(state)) if start is not None else None
        now = context.clock.now()
        chosen = choose_run_id(new_id or await next_retry_id(context.store, row.run_id), self._ids, now)
        told = await context.mask(state, checked_reason(reason))
        header = retry_header(state, path, chosen, now, self._ids.seed(chosen), reason=told)
        header.trace_context, header.submitted_by = read_trace_context(trace_context), context.caller
        if context.engine is not None:
            return await context.engine.start(state.plan, header)
        await context.store.runs.create(new_run(state.plan, header))
        return header.run_id

    async def delete(self, runs: Sequence[str], *, force: bool = False) -> int:
        context = self._context
        count = await delete_runs(context.store, runs, root=context.root, force=force)
        if count and context.runs_deleted is not None:
            context.runs_deleted()
        return count

    async def prune(self, query: RunQuery, *, dry_run: bool = False) -> Sequence[str]:
        if not _restricts(query):
            hint = "restrict them, above all by their end: ended_before"
            raise UsageError("which runs are to be deleted?", hint=hint)
        context = self._context
        asked = replace(query, closed=True, limit=query.limit or _PAGE)
        pages = prune_runs(context.store, asked, root=context.root, dry_run=dry_run)
        found = [run_id async for ids, _ in pages for run_id in ids]
        if found and not dry_run and context.runs_deleted is not None:
            context.runs_deleted()
        return found


def _restricts(query: RunQuery) -> bool:
    """Whether a query asks for less than all runs. The namespaces of a caller are no restriction of its own."""
    plain = {"phases": tuple(query.phases), "labels": dict(query.labels)}
    given = replace(query, **plain, namespaces=None, closed=None, limit=None, before=None)
    return given != RunQuery()


def _with_texts(
    plan: Plan,
    arguments: Mapping[str, Json] | None,
    texts: Mapping[str, str] | None,
    spellings: Mapping[str, str] | None,
) -> Mapping[str, Json]:
    """Give the arguments as values: a string keeps the spelling of a number (DOC-10), and texts win (DATA-14)."""
    if not spellings and not texts:
        return arguments or {}
    strings = {binding.name for binding in plan.parameters if binding.type == "string"}
    kept = {name: text for name, text in (spellings or {}).items() if name in strings}
    return {**(arguments or {}), **kept, **read_texts(plan, texts or {})}
