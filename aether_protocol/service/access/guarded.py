"""The client of a caller: it answers for the caller's namespaces alone, and what it changes is audited.

Law: a method that is not in NEEDS needs an admin of everything. Which namespaces a call reads and writes is said to the store
below it (`scoped_store`), so that nothing has to be filtered here; what goes to an engine past the store (a run that is
begun, cancelled, answered) is asked of the scope first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, cast

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.store.access import OK
from aether_protocol.service.access.audit import AuditTrail, outcome_of
from aether_protocol.service.access.caller import LOCAL, Caller
from aether_protocol.service.access.scope import NamespaceDirectory, NamespaceScope
from aether_protocol.service.client import Client
from aether_protocol.service.documents.changes import SCHEDULE

if TYPE_CHECKING:
    from aether_protocol.service.client import (
        DocumentControl,
        PlanReader,
        RunControl,
        RunInspector,
        RunReader,
        ScheduleControl,
        StoreControl,
    )
    from aether_protocol.service.runs.extracts import RunExtracts

About = Literal["", "run", "runs", "schedule", "new run", "applied"]


class ScopedClient(Client, Protocol):
    """A client that can be narrowed to some namespaces."""

    def within(self, scope: NamespaceScope) -> Client:
        """Give the same client, for which other namespaces are not there. Closing it closes nothing."""
        ...


class MethodNeed(Struct, frozen=True):
    """What a method needs, whether it changes anything, what its first argument or its result names, and whether it concerns
    all namespaces."""

    role: str
    writes: bool = False
    about: About = ""
    everywhere: bool = False


_READ: Final = MethodNeed("viewer")
_ANSWER: Final = MethodNeed("operator", writes=True, about="run")
_APPLY: Final = MethodNeed("author", writes=True, about="applied")
_WHOLE: Final = MethodNeed("admin", writes=True, everywhere=True)

NEEDS: Final[Mapping[str, MethodNeed]] = {
    **{f"runs.{one}": _READ for one in ("get", "list", "report", "wait", "suspended", "events", "logs", "driver")},
    **{
        f"inspect.{one}": _READ
        for one in ("overview", "step", "compare", "compare_steps", "log_place", "question", "newest", "workspace")
    },
    "plans.get": _READ,
    "plans.layout": _READ,
    "plans.parameters": _READ,
    **{f"extracts.{one}": _READ for one in ("retry_preview", "artifacts", "artifact", "summary", "case")},
    "control.submit": MethodNeed("operator", writes=True, about="new run"),
    "control.submit_once": MethodNeed("operator", writes=True, about="new run"),
    "control.resume": _ANSWER,
    "control.cancel": _ANSWER,
    "control.retry": _ANSWER,
    "control.mend": _ANSWER,
    "control.delete": MethodNeed("operator", writes=True, about="runs"),
    "control.prune": MethodNeed("operator", writes=True),
    **{f"schedules.{one}": _READ for one in ("get", "list", "history")},
    "schedules.apply": _APPLY,
    "schedules.remove": MethodNeed("author", writes=True, about="schedule"),
    "schedules.suspend": MethodNeed("author", writes=True, about="schedule"),
    "schedules.trigger": MethodNeed("operator", writes=True, about="schedule"),
    "schedules.backfill": MethodNeed("operator", writes=True, about="schedule"),
    **{f"documents.{one}": _READ for one in ("get", "list", "versions", "parameters", "marks", "check")},
    "documents.apply": _APPLY,
    "documents.remove": _APPLY,
    "store.info": MethodNeed("admin", everywhere=True),
    "store.check": MethodNeed("admin", everywhere=True),
    **{f"store.{one}": _WHOLE for one in ("free_artifacts", "migrate", "vacuum")},
    "store.changes": _READ,
    "store.export": _READ,
    "store.import_run": MethodNeed("admin", writes=True, about="new run"),
}
_REASONS: Final = frozenset({"control.cancel", "control.resume", "control.retry"})  # these have a `reason`


class GuardedClient:
    """See `service.client.Client`.

    Args:
        inner: the client of all namespaces.
        caller: whose client this is.
        trail: where what it changes is written down; None: nowhere.
        directory: the namespaces that were declared; in others nothing is made. None: any may be used.
    """

    def __init__(
        self,
        inner: ScopedClient,
        caller: Caller,
        trail: AuditTrail | None = None,
        directory: NamespaceDirectory | None = None,
    ) -> None:
        self.inner = inner
        self.caller = caller
        self.trail = trail
        self.directory = directory

    @property
    def runs(self) -> RunReader:
        """Read runs."""
        return cast("RunReader", _Part(self, "runs"))

    @property
    def inspect(self) -> RunInspector:
        """Look closer at runs."""
        return cast("RunInspector", _Part(self, "inspect"))

    @property
    def plans(self) -> PlanReader:
        """Read the plans of the caller's namespaces."""
        return cast("PlanReader", _Part(self, "plans"))

    @property
    def extracts(self) -> RunExtracts:
        """What is made of runs for other uses."""
        return cast("RunExtracts", _Part(self, "extracts"))

    @property
    def control(self) -> RunControl:
        """Begin, answer, end and delete runs."""
        return cast("RunControl", _Part(self, "control"))

    @property
    def schedules(self) -> ScheduleControl:
        """Schedules of the caller's namespaces."""
        return cast("ScheduleControl", _Part(self, "schedules"))

    @property
    def documents(self) -> DocumentControl:
        """Documents of the caller's namespaces."""
        return cast("DocumentControl", _Part(self, "documents"))

    @property
    def store(self) -> StoreControl:
        """The store itself."""
        return cast("StoreControl", _Part(self, "store"))

    async def close(self) -> None:
        """Nothing: the inner client stays open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def scope(self, need: MethodNeed) -> NamespaceScope:
        """The namespaces that a call with this need reads and writes."""
        writes = self.caller.namespaces(need.role)
        reads = writes if need.writes and not need.about else self.caller.namespaces("viewer")
        writes = writes if need.writes or need.everywhere else frozenset()
        return NamespaceScope(caller=self.caller.name, role=need.role, reads=reads, writes=writes)

    def within(self, scope: NamespaceScope) -> Client:
        """The inner client, narrowed; where authentication is off, it is whole."""
        return self.inner if self.caller == LOCAL else self.inner.within(scope)


class _Part:
    """A part of a guarded client: its methods by name."""

    def __init__(self, client: GuardedClient, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        action = f"{self._name}.{name}"
        need = NEEDS.get(action, _WHOLE)
        scope = self._client.scope(need)
        method = getattr(getattr(self._client.within(scope), self._name), name)
        if iscoroutinefunction(method):
            return _Guarded(self._client, scope, action, need).call
        if need.everywhere:
            scope.require_everything()
        return method


class _Guarded(Struct, frozen=True):
    """A method of one need."""

    client: GuardedClient
    scope: NamespaceScope
    action: str
    need: MethodNeed

    async def call(self, *given: Any, **named: Any) -> Any:
        """Check the scope, call, and write down what came of it."""
        client, need = self.client, self.need
        targets: list[tuple[str, str]] = []
        outcome = "cancelled"  # by the end of the request
        is_trial = bool(named.get("dry_run"))
        try:
            scope = await self._declared()
            if need.everywhere:
                scope.require_everything()
            narrowed = client.within(scope)
            given = await self._found(narrowed, scope, targets, given)
            if self.action in _REASONS and client.caller != LOCAL:
                named["reason"] = _signed(named.get("reason", ""), client.caller)
            part, name = self.action.split(".")
            result = await cast("Awaitable[Any]", getattr(getattr(narrowed, part), name)(*given, **named))
            outcome = OK
            targets += await self._named(narrowed, result)
            for namespace, _ in targets if is_trial else ():  # a trial says what would be, also that it may not be
                scope.require(namespace)
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            if client.trail is not None and need.writes and not is_trial:
                await client.trail.write(client.caller, self.action, targets, outcome)
        return result

    async def _declared(self) -> NamespaceScope:
        """The scope, with the namespaces in which something may be made."""
        directory = self.client.directory
        if directory is None or self.need.about not in ("new run", "applied") or self.client.caller == LOCAL:
            return self.scope
        return replace(self.scope, declared=await directory.names())

    async def _found(
        self, narrowed: Client, scope: NamespaceScope, targets: list[tuple[str, str]], given: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Find what the first argument names, note it as a target, and require that it may be changed."""
        if self.need.about == "run":
            row = await narrowed.runs.get(given[0])
            targets.append((row.namespace, row.run_id))
            scope.require(row.namespace)
            return (row.run_id, *given[1:])
        if self.need.about == "schedule":
            for one in [given[0]] if isinstance(given[0], str) else given[0]:
                schedule = (await narrowed.schedules.get(one)).schedule
                targets.append((schedule.namespace, f"{schedule.namespace}/{schedule.name}"))
                scope.require(schedule.namespace)
        elif self.need.about == "runs":
            rows = [await narrowed.runs.get(one) for one in given[0]]
            targets += [(row.namespace, row.run_id) for row in rows]
            return ([row.run_id for row in rows], *given[1:])
        return given

    async def _named(self, narrowed: Client, result: Any) -> list[tuple[str, str]]:
        """What the result names: (namespace, target). The change was made, and a store that does not answer now
        does not unmake it."""
        if self.need.about == "applied":
            return list(_documents_of(result))
        if self.need.about != "new run":
            return []
        run_id = result if isinstance(result, str) else result.run_id
        try:
            return [((await narrowed.runs.get(run_id)).namespace, run_id)]
        except (PortError, BusyError):
            return [("", run_id)]


def _documents_of(result: Any) -> Iterator[tuple[str, str]]:
    """What was applied or removed: documents with their version, schedules."""
    done: Sequence[Any] = (
        getattr(result, "changes", ()) or getattr(result, "documents", ()) or getattr(result, "applied", ())
    )
    for one in done:
        about = getattr(getattr(one, "overview", None), "schedule", one)
        scheduled = about is not one or one.kind == SCHEDULE
        yield about.namespace, f"{about.namespace}/{about.name}{'' if scheduled else f'@{about.version}'}"


def _signed(reason: str, caller: Caller) -> str:
    """A reason with who gave it, as it is recorded in the run."""
    return f"{reason} (by {caller.name})" if reason else f"by {caller.name}"
