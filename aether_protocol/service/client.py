"""The Client: what can be asked of runs, schedules, documents and the store that keeps them, wherever these are.

Law: a client asks, it does not drive: what it submits is driven by an engine, in this process or another. Arguments and
results are plain values (text, numbers, JSON, structs of these), so that every method can be carried over a wire; instants
are microseconds since the epoch. Runs are named as in `service.runs.find`: an id, the beginning of an id, or `latest`.
Every method raises PortError where the store, or what leads to it, cannot be used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from aether_protocol.service.documents.changes import KINDS

if TYPE_CHECKING:
    from aether_protocol.diagnostics import Diagnostic
    from aether_protocol.expressions.values import Json
    from aether_protocol.plan.model import Plan
    from aether_protocol.ports.store import DocumentMark, LogLine, RunQuery, RunSummary, StoredDocument, StoreInfo
    from aether_protocol.ports.store.library import DocumentKey
    from aether_protocol.ports.store.schedules import FireRecord
    from aether_protocol.service.documents.changes import AppliedDocuments
    from aether_protocol.service.documents.parameters import WorkflowParameters
    from aether_protocol.service.documents.remove import RemovedDocuments
    from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, RecordedPlan, StoredWorkflow
    from aether_protocol.service.feed import ChangeBatch, Feed
    from aether_protocol.service.runs.delete import Freed
    from aether_protocol.service.runs.extracts import RunExtracts
    from aether_protocol.service.runs.idempotency import OnceSubmitted
    from aether_protocol.service.runs.inspect import KeptWorkspace, LogPlace, TaskQuestion
    from aether_protocol.service.runs.overview import RunDifferences, RunOverview, RunStep
    from aether_protocol.service.runs.plans import PlanDocuments, PlanLayout
    from aether_protocol.service.schedules.backfill import BackfillFire
    from aether_protocol.service.schedules.check import AppliedSchedules
    from aether_protocol.service.schedules.find import ScheduleOverview
    from aether_protocol.service.schedules.suspend import SuspendedSchedule
    from aether_protocol.service.store_check import SchemaVersions, StoreFindings, StoreSizes
    from aether_protocol.views.event_feed import EventRecord
    from aether_protocol.views.report import Report

    Documents = Mapping[str, Json] | str | Sequence[DocumentText]  # as JSON, as text, or the texts of files
    # A document as JSON or text, what was compiled from one, the name of a stored one, or the plan of a run.
    Source = Mapping[str, Json] | str | DocumentText | Plan | StoredWorkflow | RecordedPlan


class RunReader(Protocol):
    """Read runs; nothing here changes one."""

    async def get(self, run: str) -> RunSummary:
        """Give the row of a run. Raises UsageError for an unknown or ambiguous one."""
        ...

    async def list(self, query: RunQuery | None = None, *, driven: bool = False) -> Sequence[RunSummary]:
        """Give the rows that `query` asks for, newest first; of all runs without one. `driven`: see `RunSummary.driven`."""
        ...

    async def report(self, run: str, *, at: int | None = None) -> Report:
        """Give a run with all of its tasks, as it is now or as it was after step `at` (0: before the first).

        Raises UsageError for an unknown run, and for a step that there is not or that was not kept.
        """
        ...

    async def wait(self, run: str, *, or_suspended: bool = False, timeout_s: float | None = None) -> Report:
        """Wait until a run has ended, and its hooks too.

        Args:
            run: which run.
            or_suspended: return also when it waits for an answer.
            timeout_s: how long to wait at most.

        Raises:
            BusyError: it had not ended after `timeout_s`.
        """
        ...

    async def suspended(self, run: str) -> Sequence[str]:
        """List the paths of the tasks that wait for an answer, in document order."""
        ...

    def events(self, run: str, *, after: int = 0, follow: bool = False) -> Feed[EventRecord]:
        """Give what happened, oldest first (docs/reference/events.md); in batches, all records of a step at a time.

        Args:
            run: which run.
            after: the `seq` of the last record whose step is known already.
            follow: until the run is closed.
        """
        ...

    def logs(
        self,
        run: str,
        path: str | None = None,
        *,
        after: int = 0,
        before: int | None = None,
        tail: int | None = None,
        search: str | None = None,
        follow: bool = False,
    ) -> Feed[LogLine]:
        """Give what tasks wrote, in order, in pieces of one or several lines.

        Args:
            run: which run.
            path: only of the task run there, and of those below it.
            after: the `seq` of the last piece that is known already.
            before: only pieces whose `seq` is less.
            tail: begin with the last pieces that hold so many lines.
            search: only lines that contain this text.
            follow: until the run is closed.
        """
        ...

    async def driver(self, run: str) -> str | None:
        """Name the owner that drives a run now; None where no engine does."""
        ...


class RunInspector(Protocol):
    """Look closer at runs, as people do; nothing here changes one."""

    async def overview(self, run: str, *, lines: int = 60, reasons: int = 5) -> RunOverview:
        """Give what people look at first.

        Args:
            run: which run.
            lines: the task runs up to which the report is whole; of a longer one only what did not go well.
            reasons: how many of the tasks that went wrong are there with the end of their logs.
        """
        ...

    async def step(self, run: str, at: int | None = None) -> RunStep:
        """Give a run as it was after step `at`, by default its last. Raises UsageError for a step that was not kept."""
        ...

    async def compare(self, before: str, after: str) -> RunDifferences:
        """Tell what differs between two runs. Ids and times are not compared."""
        ...

    async def compare_steps(self, run: str, before: int | None, after: int) -> RunDifferences:
        """Tell what differs between two steps of a run.

        Args:
            run: which run.
            before: the first step; None: the last one of the run.
            after: the step that is compared with it.
        """
        ...

    async def log_place(self, run: str, task: str) -> LogPlace:
        """Find where the logs of a task are, named by its path or name; of a hook by its name (`workflow:onExit`)."""
        ...

    async def question(self, run: str, task: str) -> TaskQuestion:
        """Find a suspended task and what it asks for. Raises UsageError where it does not wait for an answer."""
        ...

    async def newest(self, run_id: str) -> RunSummary | None:
        """Give the row of the run of exactly that id, or the newest of its retries; None where there is neither (RT-42)."""
        ...

    async def workspace(self, run: str, task: str) -> KeptWorkspace:
        """Find the workspace that was kept of a task, on the machine of the store."""
        ...


class PlanReader(Protocol):
    """Read the plans of runs, by the digest that a run's row has. What a digest names never changes."""

    async def get(self, digest: str) -> PlanDocuments:
        """Give the documents that a plan was compiled from. Raises NotFoundError where no run has that plan."""
        ...

    async def layout(
        self, digest: str, *, depth: int | None = None, open_loops: Collection[str] | None = None
    ) -> PlanLayout:
        """Lay a plan out as a picture. Raises NotFoundError where no run has that plan.

        Args:
            digest: of the plan.
            depth: dags and loops below this depth are closed boxes.
            open_loops: the paths of those loops that are not closed boxes; None: none is closed.
        """
        ...

    async def parameters(self, digest: str) -> WorkflowParameters:
        """Say what a run of the same plan takes. Raises NotFoundError where no run has that plan."""
        ...


class RunControl(Protocol):
    """Begin, answer, end and delete runs."""

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
        """Record a run, to be driven by an engine; its id.

        Args:
            document: a workflow, or the name of a stored one (the run records its version); templates that it lacks are looked
                up where the client does, as they are now. The plan of a run has them as they were.
            arguments: values of its parameters.
            run_id: the run's id; a new one by default.
            scheduled_time: what `workflow.scheduledTime` says.
            workflow: which of several workflows in the document.
            library: where references are looked up first.
            texts: more values of parameters, as people write them: JSON, unless the parameter is a string (DATA-14).
            trace_context: the `traceparent` of the span that it is begun in; what is not one is passed over (RT-137).
            spellings: how numbers and booleans among the arguments were written; it counts for parameters that are strings.

        Raises:
            DocumentError: the document is invalid.
            NotFoundError: there is no stored workflow of that name or version, or no run of that plan.
            UsageError: arguments do not fit, or the id is taken.
        """
        ...

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
        """Record a run as `submit` does, or find the one that this key named before.

        Args:
            key: an idempotency key, of one namespace; it holds as long as its run is kept.
            run_id: the id of a run that is new.
            document, arguments, scheduled_time, workflow, library, texts, trace_context, spellings: see `submit`.

        Raises:
            KeyTakenError: the key named a run of other content: another workflow, or other arguments.
        """
        ...

    async def resume(
        self, run: str, task: str, payload: Mapping[str, Json] | None = None, *, reason: str = ""
    ) -> None:
        """Answer a suspended task (CTRL-2), wherever its run is driven.

        Args:
            run: which run.
            task: the task, by path or name.
            payload: the answer.
            reason: why; it is recorded.

        Raises:
            UsageError: it is not suspended, or the answer is refused.
            BusyError: no engine answers for the run.
        """
        ...

    async def cancel(self, run: str, *, reason: str = "") -> None:
        """Cancel a run (CTRL-3), wherever it is driven; `reason` is recorded.

        Raises:
            UsageError: it has ended.
            BusyError: no engine answers for it.
        """
        ...

    async def mend(self, run: str) -> bool:
        """Let a run that was set aside, since it broke its engine several times in a row, be tried once more; False if it was
        not set aside."""
        ...

    async def retry(
        self,
        run: str,
        start: str | None = None,
        *,
        new_id: str | None = None,
        reason: str = "",
        trace_context: str | None = None,
    ) -> str:
        """Record a run that reuses what succeeded of an ended one, to be driven by an engine; its id (CTRL-4).

        Args:
            run: which run.
            start: the task from which all runs again, by path or name.
            new_id: the id of the new run; RUN.2, RUN.3 and so on by default.
            reason: why; it is recorded.
            trace_context: see `submit`; by default a trace of its own begins, with a link to that of the run.

        Raises:
            UsageError: the run has not ended, or there is nothing to run again.
        """
        ...

    async def delete(self, runs: Sequence[str], *, force: bool = False) -> int:
        """Delete runs with all that is theirs: all or, if one may not be deleted, none; how many there were.

        `force`: also unfinished runs that no engine drives. Raises BusyError for one that is driven.
        """
        ...

    async def prune(self, query: RunQuery, *, dry_run: bool = False) -> Sequence[str]:
        """Delete the ended runs that `query` asks for; their ids. With `dry_run` only name them. Raises UsageError where it
        restricts nothing, and so would delete all."""
        ...


class ScheduleControl(Protocol):
    """Schedules, by NAME or NAMESPACE/NAME."""

    async def apply(
        self, documents: Documents, *, replaces: bool = False, library: Sequence[LibraryTexts] = ()
    ) -> AppliedSchedules:
        """Make schedules of CronWorkflows, or change those of these names (CRON-6); none, where anything is invalid.

        Args:
            documents: as JSON, as text, or the texts of files.
            replaces: another workflowSpec makes a new schedule of that name.
            library: where references are looked up, before the store.

        Raises:
            DocumentError: something is invalid, or may not be changed.
            UsageError: there is no CronWorkflow.
        """
        ...

    async def get(self, name: str) -> ScheduleOverview:
        """Give a schedule with its runs and what they take. Raises UsageError for an unknown one."""
        ...

    async def list(
        self, namespace: str | None = None, *, after: tuple[str, str] | None = None, limit: int | None = None
    ) -> Sequence[ScheduleOverview]:
        """Give schedules with their runs, by namespace and name.

        Args:
            namespace: only of this one.
            after: only those behind this one (namespace, name): the last of the page before.
            limit: how many at the most.
        """
        ...

    async def remove(self, name: str) -> bool:
        """Remove a schedule with its fire records; its runs stay. False where another client was first."""
        ...

    async def suspend(self, names: str | Sequence[str], *, suspend: bool = True) -> Sequence[SuspendedSchedule]:
        """Suspend schedules, or let them continue with the next fire from now; none, where one is unknown."""
        ...

    async def history(self, name: str, *, before: int | None = None, limit: int = 100) -> Sequence[FireRecord]:
        """Give what became of fires, newest first.

        Args:
            name: the schedule, NAME or NAMESPACE/NAME.
            before: the `id` of the last record of the page before.
            limit: how many at the most.
        """
        ...

    async def trigger(self, name: str, *, texts: Mapping[str, str] | None = None) -> str:
        """Record a run of a schedule whose scheduled time is now, to be driven by an engine; its id. `texts`: values of
        parameters, as people write them (DATA-14). Raises UsageError for an unknown schedule, and a value that does not fit."""
        ...

    async def backfill(
        self, name: str, first: int, last: int, *, again: bool = False, dry_run: bool = False
    ) -> Sequence[BackfillFire]:
        """Record runs of the fires from `first` to `last` that have not run, to be driven by an engine.

        Args:
            name: the schedule, NAME or NAMESPACE/NAME.
            first: the first instant, in microseconds since the epoch.
            last: the last instant.
            again: also of fires whose run was deleted.
            dry_run: record none.

        Returns:
            All fires of that time, oldest first; those that were left out say why.
        """
        ...


class DocumentControl(Protocol):
    """Documents that are kept by NAME or NAMESPACE/NAME: Workflows and WorkflowTemplates with their versions (TMPL-2), and
    CronWorkflows, which are kept as schedules."""

    async def apply(
        self,
        documents: Documents,
        *,
        kinds: Collection[str] = KINDS,
        library: Sequence[LibraryTexts] = (),
        replaces: bool = False,
        dry_run: bool = False,
    ) -> AppliedDocuments:
        """Keep documents under the names that they give themselves: all or none, in one transaction.

        They may refer to each other. A text that is the newest version already makes none; what a CronWorkflow runs is
        resolved here (CRON-6).

        Args:
            documents: as JSON, as text, or the texts of files.
            kinds: only documents of these kinds; the others are left out.
            library: where references are looked up, before the store.
            replaces: a CronWorkflow with another workflowSpec makes a new schedule of that name.
            dry_run: only find out what would become of each.

        Raises:
            DocumentError: something is invalid, or would become so; with all that was found.
            UsageError: there is no document of these kinds.
            BusyError: another changes one of the schedules at the same time.
        """
        ...

    async def get(
        self, name: str, *, kind: str | None = None, version: int | None = None, digest: str | None = None
    ) -> StoredDocument:
        """Give the newest version of a document, or another one.

        Args:
            name: NAME, NAMESPACE/NAME or NAME@VERSION.
            kind: Workflow or WorkflowTemplate; None: whichever of them has that name.
            version: the number of the version.
            digest: the digest of the version, or its beginning.

        Raises:
            NotFoundError: there is none.
            UsageError: there is one of each kind.
        """
        ...

    async def list(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredDocument]:
        """Give the newest version of each, by kind, namespace and name.

        Args:
            kind: only Workflows, or WorkflowTemplates.
            namespace: only those of this namespace.
            after: kind, namespace and name of the last document of the page before.
            limit: how many at the most.
        """
        ...

    async def versions(self, name: str, *, kind: str | None = None) -> Sequence[StoredDocument]:
        """Give all versions, newest first. Raises NotFoundError."""
        ...

    async def parameters(self, name: str, *, version: int | None = None) -> WorkflowParameters:
        """Say what a stored Workflow, or another version of it than the newest, takes. Raises NotFoundError, DocumentError."""
        ...

    async def remove(
        self, names: str | Sequence[str], *, kind: str | None = None, force: bool = False
    ) -> RemovedDocuments:
        """Remove documents with all of their versions: all or none. Runs that were submitted before keep what they need.

        Args:
            names: NAME or NAMESPACE/NAME of each.
            kind: of all of them; None: whichever has the name.
            force: also what stored documents and schedules refer to.

        Raises:
            NotFoundError: one is not there.
            ConflictError: something refers to one of them.
        """
        ...

    async def check(
        self, documents: Documents, *, library: Sequence[LibraryTexts] = (), strict: bool = False
    ) -> Sequence[Diagnostic]:
        """Find what is wrong with documents, as a submission to this client would; nothing is kept (RT-130).

        Args:
            documents: as JSON, as text, or the texts of files.
            library: where references are looked up, before the store. One whose texts are all among the documents is the
                folder that they are from: they find each other there, and what nothing in it uses is reported.
            strict: report as an error, too, what has no effect.
        """
        ...

    async def marks(self) -> Sequence[DocumentMark]:
        """List what became of the documents of a folder that a server follows."""
        ...


class StoreControl(Protocol):
    """The store itself, and runs that are moved out of it and into it."""

    async def info(self) -> StoreInfo:
        """Tell what the store is, and what it holds."""
        ...

    async def check(self) -> StoreFindings:
        """Read everything, replay every run, and report what is wrong. Nothing is changed."""
        ...

    async def changes(self, after: int | None = None, *, wait_s: float = 0.0) -> ChangeBatch:
        """List which runs have changed, oldest change first, each run once with its row as it is now.

        Args:
            after: the `cursor` of what was listed before; None: only the newest, to begin with.
            wait_s: how long to wait for one where there is none yet.
        """
        ...

    async def free_artifacts(self, *, dry_run: bool = False) -> Freed:
        """Delete artifacts that no run names; with `dry_run` only count them."""
        ...

    def export(self, run: str) -> AsyncIterator[str]:
        """Give a run as the lines of an archive, which `import_run` takes."""
        ...

    async def import_run(self, lines: Iterable[str], name: str = "the archive") -> RunSummary:
        """Record a run from the lines of an archive, which errors call `name`. Raises UsageError where it is damaged, or the id
        is taken."""
        ...

    async def migrate(self) -> SchemaVersions:
        """Bring a store of an older version up to date."""
        ...

    async def vacuum(self) -> StoreSizes:
        """Return space that deleted runs occupied to the system."""
        ...


class RunClient(Protocol):
    """What can be asked of runs."""

    @property
    def runs(self) -> RunReader:
        """Read runs."""
        ...

    @property
    def inspect(self) -> RunInspector:
        """Look closer at runs."""
        ...

    @property
    def plans(self) -> PlanReader:
        """Read the plans of runs."""
        ...

    @property
    def extracts(self) -> RunExtracts:
        """What is made of runs for other uses."""
        ...

    @property
    def control(self) -> RunControl:
        """Submit, steer and delete runs."""
        ...


class Client(RunClient, Protocol):
    """All of it. An async context manager, which closes it."""

    @property
    def schedules(self) -> ScheduleControl:
        """Read and steer schedules."""
        ...

    @property
    def documents(self) -> DocumentControl:
        """Apply, find and remove documents that are kept by their names."""
        ...

    @property
    def store(self) -> StoreControl:
        """The store itself."""
        ...

    async def close(self) -> None:
        """Close the way to the store. Runs stay as they are."""
        ...
