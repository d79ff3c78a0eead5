"""`aether resume RUN [TASK]`: answer a suspended task, or continue a run that was left unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.arguments import read_answers, read_given, read_payload
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.drive import Driving, RunToAnswer, Target, drive
from aether_protocol.cli.exits import FINE, FINE_PHASES
from aether_protocol.cli.options import AnswersOption, DrivingOptions, ReasonOption, RunArgument
from aether_protocol.cli.stored import ask_server
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.values import Json

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether resume latest main.approve -p approved=true -p by=ada
  aether resume 0195c3f2 approve --payload '{"approved": false}'
  aether resume nightly        (continues a run that was left or killed)

A run that no process drives is driven here, to its end. For one that another process drives, the answer is delivered to
that process, and the command returns at once.

\b
Exit codes: as those of 'aether run'; 2 if the answer is refused, 8 if the
run is driven elsewhere."""


class ResumeOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    task: Annotated[str | None, argument("[TASK]", required=False)] = None
    parameters: Annotated[
        tuple[str, ...],
        option("-p", "--parameter", multiple=True, metavar="NAME=VALUE",
               help="A part of the answer; the value is read as JSON unless the task declares that input a string."),
    ] = ()
    payload: Annotated[
        str | None, option("--payload", metavar="JSON", help="The answer as a JSON object, or yes or no; -p wins.")
    ] = None
    reason: ReasonOption = ""
    answers: AnswersOption = ()
    driving: DrivingOptions


@command_with(ResumeOptions, "resume", epilog=EPILOG)
def command(options: ResumeOptions) -> int:
    """Answer a suspended task, or continue a run that was left unfinished.

    RUN is a run's id, the beginning of it, or latest. TASK is a path (the entrypoint's name may be left out) or a task's
    name.
    """
    task = options.task
    if task is None and (options.parameters or options.payload is not None):
        raise UsageError("an answer needs the TASK that it is for")
    if task is None and options.reason:
        raise UsageError("--reason needs the TASK that it is for", hint="a run that is only continued has no answer to explain")
    given = {} if options.payload is None else read_payload(options.payload)
    if given is None:
        raise UsageError(f"--payload {options.payload!r} is neither a JSON object, yes nor no")

    async def begin(engine: Engine, client: Client) -> Target:
        row = await client.runs.get(options.run)
        if row.closed:
            hint = None if row.phase in FINE_PHASES else f"'aether retry {row.run_id}' runs again what did not succeed"
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}", hint=hint)
        control = client.control
        if await control.mend(row.run_id):
            messages.note(f"run {row.run_id} broke its engine again and again and was set aside: it is tried once more")
        if task is None:
            await engine.recover([row.run_id])
            return row.run_id
        asked = await client.inspect.question(row.run_id, task)
        path, answer = asked.path, {**given, **read_given(options.parameters, asked.types)}
        try:
            await engine.recover([row.run_id])
        except BusyError:
            await control.resume(row.run_id, path, answer, reason=options.reason)
            messages.note(f"{path} was answered; the run is driven by another process")
            return None
        return RunToAnswer(row.run_id, lambda: control.resume(row.run_id, path, answer, reason=options.reason))

    if is_server_url(options.driving.store):
        return resume_there(options, given)
    return drive(Driving.by(options.driving, read_answers(options.answers)), begin)


def resume_there(options: ResumeOptions, given: dict[str, Json]) -> int:
    """Answer a task of a run of a server, or have the server continue the run and see it to its end."""
    from aether_protocol.cli.commands.runs.there import begin_there, refuse_what_is_here_alone
    from aether_protocol.cli.watch import WatchedRun

    async def find(client: Client) -> str:
        row = await client.runs.get(options.run)
        if row.closed:
            hint = None if row.phase in FINE_PHASES else f"'aether retry {row.run_id}' runs again what did not succeed"
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}", hint=hint)
        if await client.control.mend(row.run_id):
            messages.note(f"run {row.run_id} broke its engine again and again and was set aside: it is tried once more")
        return row.run_id

    async def see(client: Client) -> WatchedRun:
        return WatchedRun(await find(client), is_new=False)

    task = options.task
    if task is None:
        return begin_there(options.driving, see)
    refuse_what_is_here_alone()

    async def answer(client: Client) -> str:
        run_id = await find(client)
        asked = await client.inspect.question(run_id, task)
        payload = {**given, **read_given(options.parameters, asked.types)}
        await client.control.resume(run_id, asked.path, payload, reason=options.reason)
        return asked.path

    path = ask_server(options.driving.store, answer)
    messages.note(f"{path} was answered; the run is driven by another process")
    return FINE
