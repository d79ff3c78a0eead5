"""Begin, answer, end and delete runs of a server (`client.RunControl`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import to_builtins

from aether_protocol.errors import UsageError
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunQuery
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, RecordedPlan, StoredWorkflow
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.runs.idempotency import OnceSubmitted
from aether_protocol.service.wire.requests import write_libraries
from aether_protocol.service.wire.runs import DeletedBody, MendedBody, RunBody, RunIds, filter_of
from aether_protocol.service.wire.values import optional_instant

if TYPE_CHECKING:
    from aether_protocol.service.client import Source

ANSWERED_S: Final = 30.0  # within which an engine answers, or is said not to


class RemoteControl:
    """See `client.RunControl`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

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
        body = _submission(document, arguments, run_id, scheduled_time) | _more(workflow, library, texts, spellings)
        traced = _traced(trace_context)
        return (await self._calls.send("POST", path_of("runs"), body, RunBody, headers=traced))[1].run_id

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
        body = _submission(document, arguments, run_id, scheduled_time) | _more(workflow, library, texts, spellings)
        body["idempotencyKey"] = key
        send = partial(self._calls.send, "POST", path_of("runs"), body, RunBody, headers=_traced(trace_context))
        status, made = await self._calls.persist(send, is_first=True)
        return OnceSubmitted(made.run_id, status == 201)

    async def resume(
        self, run: str, task: str, payload: Mapping[str, Json] | None = None, *, reason: str = ""
    ) -> None:
        given = _mapping("the payload", payload)
        body = {"task": task, "reason": reason} | ({} if given is None else {"payload": given})
        await self._calls.send("POST", path_of("runs", run, "resume"), body, RunBody, ANSWERED_S)

    async def cancel(self, run: str, *, reason: str = "") -> None:
        await self._calls.send("POST", path_of("runs", run, "cancel"), {"reason": reason}, RunBody, ANSWERED_S)

    async def mend(self, run: str) -> bool:
        return (await self._calls.send("POST", path_of("runs", run, "mend"), {}, MendedBody))[1].mended

    async def retry(
        self,
        run: str,
        start: str | None = None,
        *,
        new_id: str | None = None,
        reason: str = "",
        trace_context: str | None = None,
    ) -> str:
        body = {"from": start, "runId": new_id, "reason": reason}
        path = path_of("runs", run, "retry")
        return (await self._calls.send("POST", path, body, RunBody, headers=_traced(trace_context)))[1].run_id

    async def delete(self, runs: Sequence[str], *, force: bool = False) -> int:
        body = {"runs": list(runs), "force": force}
        return (await self._calls.send("POST", path_of("store", "delete"), body, DeletedBody))[1].deleted

    async def prune(self, query: RunQuery, *, dry_run: bool = False) -> Sequence[str]:
        body = to_builtins(filter_of(query)) | {"dryRun": dry_run}
        return (await self._calls.send("POST", path_of("store", "prune"), body, RunIds))[1].runs


def _submission(
    document: Source, arguments: Mapping[str, Json] | None, run_id: str | None, scheduled_time: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = {"parameters": _mapping("the arguments", arguments) or {}}
    if isinstance(document, DocumentText):
        body |= {"document": document.text, "file": document.name}
    elif isinstance(document, StoredWorkflow):
        body |= _stored(document)
    elif isinstance(document, RecordedPlan):
        body["plan"] = document.digest
    elif isinstance(document, str | Mapping):
        body["document"] = document
    else:
        raise UsageError("a plan cannot be sent to a server", hint="give the document that it was compiled from")
    if run_id is not None:
        body["runId"] = run_id
    if scheduled_time is not None:
        body["scheduledTime"] = optional_instant(scheduled_time)
    return body


def _traced(trace_context: str | None) -> dict[str, str]:
    """The header that W3C names for it; what is not a `traceparent` is passed over."""
    found = TraceContext.read(trace_context)
    return {} if found is None else {"traceparent": str(found)}


def _stored(document: StoredWorkflow) -> dict[str, Any]:
    if document.digest is not None:
        raise UsageError("a server runs a stored workflow by its version, not by a digest", hint="NAME@VERSION names it")
    name, at, version = document.name.partition("@")
    if at and not (version.isascii() and version.isdigit()):
        raise UsageError(f"{document.name!r} is not a name of a document", hint="it is NAME, NAMESPACE/NAME or NAME@VERSION")
    return {"name": name} | ({"version": int(version)} if at else {})


def _more(
    workflow: str | None,
    library: Sequence[LibraryTexts],
    texts: Mapping[str, str] | None,
    spellings: Mapping[str, str] | None,
) -> dict[str, Any]:
    told = {
        "workflow": workflow,
        "library": write_libraries(library),
        "parameterTexts": dict(texts or {}),
        "parameterSpellings": dict(spellings or {}),
    }
    return {name: value for name, value in told.items() if value}


def _mapping(what: str, given: Any) -> dict[str, Json] | None:
    """Copy what is to be sent. Raises UsageError for what is not JSON, as the server would."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        verb = "are" if what.endswith("s") else "is"
        raise UsageError(f"{what} {verb} {given!r}, not a mapping of names to values")
    try:
        copied: dict[str, Json] = json_copy(dict(given))
    except ValueError as error:
        raise UsageError(f"{what} {'hold' if what.endswith('s') else 'holds'} {error}") from None
    return copied
