"""`aether run`: a workflow from its document to its end, in this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.assembly.broker_urls import is_remote
from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.arguments import check_answers, read_answers, read_pairs, read_parameters
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.drive import Driving, FinishedRun, drive
from aether_protocol.cli.exits import FINE, FINE_PHASES
from aether_protocol.cli.options import MEMORY, AnswersOption, DrivingOptions, LibraryOption, MaxOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import FILE, Location, OneOf
from aether_protocol.errors import BusyError, DocumentError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import KeyTakenError, RunSummary
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, StoredWorkflow
from aether_protocol.service.runs.find import LATEST

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.service.client import Client

LOCK_POLL_S = 0.2  # between two attempts at a lock that another engine has

EPILOG = """\b
Examples:
  aether run flow.yaml
  aether run flow.yaml -p rows=5 -p region=east
  aether run flow.yaml --params-file params.yaml -o json > report.json
  aether run nightly.yaml --run-id nightly-2026-01-01 --lock nightly
  aether run deploy.yaml --resume 'main.approve={"approved": true}'
  aether run flow.yaml --dry-run
  aether run --name flow@2               (a version of a stored workflow)
  aether run --name flow -n team-a       (one of a namespace)

With --run-id the command can be given again at any time: a run that is not there is started, one that has not ended is
continued as it was recorded, of one that has ended the result is printed again.

On a terminal a suspended task is answered at the prompt; elsewhere the run is left suspended in its store.

Ctrl-C (or SIGTERM, or SIGHUP unless nohup has it ignored) cancels the run; with --run-id it leaves it as it is, and the
same command continues it. What becomes of the output changes neither the run nor the exit code.

\b
Exit codes: 0 Succeeded, 1 Failed, 2 wrong usage, 3 invalid document,
4 Error, 5 Timeout, 6 Cancelled, 7 left suspended, 8 busy, 9 the store
cannot be used, 130 interrupted."""


class RunRequest(Struct, frozen=True):
    """What the command line asked for, read and checked."""

    plan: Plan
    arguments: dict[str, Json]
    run_id: str | None
    again: bool
    lock: str | None
    lock_mode: str


class RunOptions(Struct, frozen=True, kw_only=True):
    file: Annotated[str | None, argument("FILE", required=False, type=Location())] = None
    parameters: Annotated[
        tuple[str, ...],
        option("-p", "--parameter", multiple=True, metavar="NAME=VALUE",
               help="A workflow parameter; the value is read as JSON unless the parameter is declared a string."),
    ] = ()
    params_file: Annotated[
        str | None,
        option("--params-file", type=Location(FILE, exists=True), metavar="FILE",
               help="YAML or JSON file with parameters; -p wins."),
    ] = None
    name: Annotated[
        str | None,
        option("--name", metavar="NAME",
               help="Which workflow, where the file holds several (its metadata.name); without FILE the stored one of that "
                    "name: NAME, NAMESPACE/NAME or NAME@VERSION."),
    ] = None
    namespace: Annotated[
        str | None, option("-n", "--namespace", metavar="NAME", help="The namespace of the stored workflow that --name names.")
    ] = None
    library: LibraryOption = ()
    max: MaxOption
    run_id: Annotated[
        str | None,
        option("--run-id", metavar="ID", help="The run's name: start it, continue it, or print its result again."),
    ] = None
    again: Annotated[
        str | None,
        option("--again", type=OneOf(["failed"]), help="Of a run that ended and did not succeed: retry it (as ID.2, ID.3)."),
    ] = None
    lock: Annotated[
        str | None, option("--lock", metavar="NAME", help="At most one invocation with this lock at a time.")
    ] = None
    lock_mode: Annotated[
        str,
        option("--lock-mode", type=OneOf(["wait", "fail", "skip"]), default="wait", show_default=True,
               help="While another has the lock: wait for it, fail (exit code 8), or do nothing (exit code 0)."),
    ] = "wait"
    dry_run: Annotated[
        bool, option("--dry-run", is_flag=True, help="Show what would run, with its inputs, and start nothing.")
    ] = False
    detach: Annotated[
        bool, option("--detach", is_flag=True, help="Leave the run to the server, and print its id: needs a server (--server).")
    ] = False
    answers: AnswersOption = ()
    driving: DrivingOptions


@command_with(RunOptions, "run", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: RunOptions) -> int:
    """Run a workflow to its end.

    FILE is a document, or - for standard input. Without it, --name is that of a workflow which 'aether apply' keeps in the
    store; the run records which version it was.
    """
    if options.file is not None and options.namespace is not None:
        raise UsageError("-n is for a stored workflow (--name)", hint="metadata.namespace of a document says its own")
    if is_server_url(options.driving.store):
        return run_there(options)
    if options.detach:
        raise UsageError("--detach leaves the run to a server, and none is named", hint="--server URL, or AETHER_SERVER")
    inputs = DocumentInputs(options.library, options.max, options.driving.store, writes=not options.dry_run)
    inputs.workspace.elsewhere = is_remote(options.driving.broker)
    plan = read_plan(options, inputs)
    texts = {binding.name for binding in plan.parameters if binding.type == "string"}
    arguments = inputs.read_mapping(options.params_file, texts) if options.params_file else {}
    arguments |= read_parameters(options.parameters, plan)
    request = read_request(plan, arguments, options)
    answers = read_answers(options.answers)
    if options.dry_run:
        from aether_protocol.cli.render.preview import show_what_would_run

        show_what_would_run(request.plan, request.arguments, as_json=options.driving.output != "text")
        return FINE
    check_answers(plan, answers)
    driving = Driving.by(options.driving, answers, keeps=request.run_id is not None)
    return drive(driving, lambda engine, client: begin(request, engine, client), makes_store=True)


def run_there(options: RunOptions) -> int:
    """Begin the run at a server, or find it there as it is."""
    from uuid import uuid4

    from aether_protocol.cli.commands.runs.there import begin_there
    from aether_protocol.cli.watch import WatchedRun

    inputs = DocumentInputs(options.library, options.max)
    arguments, spellings = inputs.read_spelt(options.params_file) if options.params_file else ({}, {})
    texts = read_pairs(options.parameters)
    source, libraries = what_to_run(options, inputs)
    name = options.name if options.file is not None else None
    caller = os.environ.get("TRACEPARENT")

    key = str(uuid4())  # so that it may be sent again where the answer is lost

    async def begin(client: Client) -> WatchedRun:
        row = None if options.run_id is None else await client.inspect.newest(options.run_id)
        if row is not None:
            if options.again and row.closed and row.phase not in FINE_PHASES:
                new_id = await client.control.retry(row.run_id, trace_context=caller)
                messages.note(f"run {row.run_id} is {row.phase}: retrying it as {new_id}")
                return WatchedRun(new_id)
            return WatchedRun(row.run_id, is_new=False)
        try:
            made = await client.control.submit_once(
                key,
                source,
                arguments,
                run_id=options.run_id,
                workflow=name,
                library=libraries,
                texts=texts,
                spellings=spellings,
                trace_context=caller,
            )
        except KeyTakenError as taken:
            if not taken.run_id:
                raise
            return WatchedRun(taken.run_id)  # it is ours: the answer was lost, and the stored workflow has changed since
        return WatchedRun(made.run_id)

    if options.again and options.run_id is None:
        raise UsageError("--again needs --run-id", hint="'aether retry' retries any run of a server")
    try:
        return begin_there(options.driving, begin, detach=options.detach)
    except DocumentError as error:
        message = error.message if options.file is None else f"{options.file!r} is not valid"
        raise DocumentError(message, diagnostics=error.diagnostics, sources=inputs.sources, hint=error.hint) from None


def what_to_run(
    options: RunOptions, inputs: DocumentInputs
) -> tuple[DocumentText | StoredWorkflow, Sequence[LibraryTexts]]:
    """The text of a file, with the texts of its library; or the name of a workflow that the server keeps."""
    if options.file is not None:
        documents, libraries = inputs.texts([options.file])
        return replace(documents[0], folder=None), libraries
    return StoredWorkflow(stored_name(options)), ()


def stored_name(options: RunOptions) -> str:
    """The name of a stored workflow, with its namespace. Raises UsageError where there is none, or it has two."""
    if options.name is None:
        raise UsageError("what is to be run?", hint="give FILE, or --name NAME of a workflow that 'aether apply' keeps")
    if options.namespace is None:
        return options.name
    if "/" in options.name and not options.name.startswith(f"{options.namespace}/"):
        raise UsageError(f"--name {options.name} is not in the namespace {options.namespace}", hint="give one of them")
    return f"{options.namespace}/{options.name.rpartition('/')[2]}"


def read_plan(options: RunOptions, inputs: DocumentInputs) -> Plan:
    """The plan of what is to be run: a file's, or that of a stored workflow."""
    if options.file is not None:
        plan = inputs.plan(inputs.read_one(options.file), options.name, strict=True)
        inputs.tell_warnings(options.file)
        return plan
    name = stored_name(options)
    stored = ask(options.driving.store, lambda client: client.documents.get(name, kind="Workflow"))
    return inputs.plan_stored(stored)


def read_request(plan: Plan, arguments: dict[str, Json], options: RunOptions) -> RunRequest:
    """The options that belong together, checked."""
    if options.again and options.run_id is None:
        raise UsageError("--again needs --run-id", hint="'aether retry' retries any run of a store")
    if options.run_id == LATEST:
        raise UsageError(f"a run cannot be called {LATEST!r}", hint="every command takes that for the newest run")
    if options.lock and options.driving.store == MEMORY:
        raise UsageError("--lock needs a store that others see, too", hint="--store memory is this process's own")
    return RunRequest(plan, arguments, options.run_id, bool(options.again), options.lock, lock_mode=options.lock_mode)


async def begin(request: RunRequest, engine: Engine, client: Client) -> str | FinishedRun | None:
    """Take the lock, then start the run, or find it as it is."""
    if request.lock is not None and not await take_lock(request.lock, request.lock_mode, engine):
        messages.note(f"lock {request.lock!r} is taken: nothing to do")
        return None
    if request.run_id is None:
        return await engine.submit(request.plan, request.arguments)
    row = await client.inspect.newest(request.run_id)
    if row is None:
        try:
            return await engine.submit(request.plan, request.arguments, run_id=request.run_id)
        except UsageError:
            row = await client.inspect.newest(request.run_id)  # another process started it just now?
            if row is None:
                raise
    return await continue_run(request, engine, client, row)


async def continue_run(request: RunRequest, engine: Engine, client: Client, row: RunSummary) -> str | FinishedRun:
    """Recover the recorded run, retry it where that is asked for, or find that it has ended."""
    from aether_protocol.cli.render.changes import warn_of_changes
    from aether_protocol.service.runs.retry_ids import resume_or_retry

    if row.digest != request.plan.digest or request.arguments:
        recorded = (await client.inspect.overview(row.run_id, lines=0, reasons=0)).parameters
        warn_of_changes(row, request.plan, recorded, request.arguments)
    found = await resume_or_retry(engine, client.control, row, retry=request.again)
    if found.what == "retried":
        messages.note(f"run {row.run_id} is {row.phase}: retrying it as {found.run_id}")
    return FinishedRun(found.run_id) if found.what == "ended" else found.run_id


async def take_lock(name: str, mode: str, engine: Engine) -> bool:
    """False where the lock is taken and that is fine. Raises BusyError where it is not."""
    from aether_protocol.cli.process import release_leftovers

    reported = False
    while not await engine.lock(name):
        if mode == "skip":
            return False
        if mode == "fail":
            raise BusyError(f"lock {name!r} is taken by another run", hint="--lock-mode wait waits for it")
        if not reported:
            messages.note(f"waiting for lock {name!r}")
            reported = True
        await asyncio.sleep(LOCK_POLL_S)
        await release_leftovers(engine.store)
    return True
