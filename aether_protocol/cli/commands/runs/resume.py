"""`aether resume RUN [TASK]`: answer a suspended task, or go on with a run that was left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aether_protocol.cli.arguments import Payload, read_answers, read_given, read_payload
from aether_protocol.cli.drive import Driving, RunToAnswer, Target, drive
from aether_protocol.cli.exits import FINE_PHASES
from aether_protocol.cli.options import answers_option, driving_options, run_argument
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import InputBinding
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.nodes import Container, Node
from aether_protocol.service.runs.find import find_run
from aether_protocol.service.runs.inspect import find_task, load
from aether_protocol.views.report import not_run

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine

EPILOG = """\b
Examples:
  aether resume latest main.approve -p approved=true -p by=ada
  aether resume 0195c3f2 approve --payload '{"approved": false, "reason": "it is Friday"}'
  aether resume nightly                         (goes on with a run that was left or killed)

\b
A run that nobody drives is driven here, to its end. For one that another process drives, the answer is handed to
that process, and the command returns at once.
Exit codes: as those of 'aether run'; 2 if the answer is refused, 8 if the run is driven elsewhere."""


@click.command("resume", epilog=EPILOG)
@run_argument
@click.argument("task", required=False)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE",
              help="A part of the answer; the value is read as JSON unless the task declares that input a string.")
@click.option("--payload", metavar="JSON", help="The answer as a JSON object, or yes or no; -p wins.")
@answers_option
@driving_options
def command(
    run: str, task: str | None, parameters: tuple[str, ...], payload: str | None, resumes: tuple[str, ...], **driving: Json
) -> int:
    """Answer a suspended task, or go on with a run that was left unfinished.

    RUN is a run's id, the beginning of it, or latest. TASK is a path (the entrypoint's name may be left out) or a task's
    name.
    """
    if task is None and (parameters or payload is not None):
        raise UsageError("an answer needs the TASK that it is for")
    given = {} if payload is None else read_payload(payload)
    if given is None:
        raise UsageError(f"--payload {payload!r} is neither a JSON object, yes nor no")

    async def begin(engine: Engine, store: Store) -> Target:
        row = await find_run(store, run)
        if row.closed:
            hint = None if row.phase in FINE_PHASES else f"'aether retry {row.run_id}' runs again what did not succeed"
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}", hint=hint)
        if await engine.mend(row.run_id):
            click.echo(f"run {row.run_id} broke its engine again and again and was set aside: it is tried once more", err=True)
        if task is None:
            await engine.recover([row.run_id])
            return row.run_id
        path, answer = await find_answer(store, row.run_id, task, parameters, given)
        try:
            await engine.recover([row.run_id])
        except BusyError:
            await engine.resume(row.run_id, path, answer)
            click.echo(f"{path} was answered; the run is driven by another process", err=True)
            return None
        return RunToAnswer(row.run_id, lambda: engine.resume(row.run_id, path, answer))

    return drive(Driving(answers=read_answers(resumes), **driving), begin)


async def find_answer(
    store: Store, run_id: str, task: str, parameters: tuple[str, ...], given: Payload
) -> tuple[str, Payload]:
    """The path of the task that is meant, and the whole answer. Raises UsageError where it does not wait for one."""
    state = await load(store, run_id)
    path = find_task(state, task, not_run(state))
    node = state.find(path)
    waiting = suspended_paths(state)
    if node is None or path not in waiting:
        hint = f"suspended: {', '.join(waiting)}" if waiting else "no task of this run is suspended"
        raise UsageError(f"{path} {why_not(node)}", hint=hint)
    return path, {**given, **read_given(parameters, types_of(node.call.inputs))}


def why_not(node: Node | None) -> str:
    """Why this task run cannot be resumed."""
    if node is None:
        return "has not begun"
    return f"is a {node.kind.name.lower()}, no task" if isinstance(node, Container) else f"is {node.phase}, not Suspended"


def types_of(inputs: tuple[InputBinding, ...]) -> dict[str, str]:
    return {binding.name: binding.type for binding in inputs}
