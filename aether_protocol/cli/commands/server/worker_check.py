"""`aether worker-check`: play the server for a worker in any language, and judge it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.exits import FAILED, FINE
from aether_protocol.cli.options import ToOption
from aether_protocol.cli.value_types import Text
from aether_protocol.errors import PortError, UsageError

EPILOG = """\b
Examples:
  aether worker-check --executor shout -- node worker.mjs {server}
  aether worker-check -- aether worker --slots 4

COMMAND is started with the address of the judge in AETHER_SERVER, and in place of {server} in its arguments. The judge
answers as a server does (docs/reference/worker-protocol.md), loses answers, ends sessions and falls silent; it gives out
attempts of --executor and takes about half a minute.

\b
Exit codes: 0 it keeps the protocol, 1 it does not, 9 it cannot be started."""

OUR_OWN = "script"
SHORT = {"source": "echo done"}
LONG = {"source": "sleep 5"}


class _Object(Text):
    """A JSON object."""

    name = "object"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail(f"{value!r} is not a JSON object", param, ctx)
        return found


def _object(name: str, help_: str) -> Any:
    return option(name, type=_Object(), metavar="JSON", help=help_)


class WorkerCheckOptions(Struct, frozen=True, kw_only=True):
    """What `aether worker-check` takes."""

    started: Annotated[tuple[str, ...], argument("COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)]
    listen: Annotated[
        str | None,
        option("--listen", metavar="URL", help="Where the judge listens, http://127.0.0.1:PORT; a free port by default."),
    ] = None
    executor: Annotated[
        str, option("--executor", metavar="TYPE", default=OUR_OWN, show_default=True, help="The type of the attempts.")
    ] = OUR_OWN
    config: Annotated[dict[str, Any] | None, _object("--config", "The config of attempts; of script it echoes a word.")] = None
    slow_config: Annotated[
        dict[str, Any] | None, _object("--slow-config", "What makes an attempt take 5 seconds, over --config.")
    ] = None
    inputs: Annotated[dict[str, Any] | None, _object("--inputs", "The inputs of attempts.")] = None
    slow_inputs: Annotated[
        dict[str, Any] | None, _object("--slow-inputs", "What makes an attempt take 5 seconds, over --inputs.")
    ] = None
    output: Annotated[str, output_option("text", "json")] = "text"
    to: ToOption = None


@command_with(WorkerCheckOptions, "worker-check", epilog=EPILOG)
def command(options: WorkerCheckOptions) -> int:
    """Start a worker, play the server, and say whether it keeps the worker protocol."""
    import asyncio

    from aether_protocol.cli.serving import require_server

    require_server("aether worker-check")
    outcomes = asyncio.run(_judge(options))
    if options.output == "json":
        found = [{"check": name, "passed": fault is None, "fault": fault} for name, fault in outcomes]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    return FINE if all(fault is None for _, fault in outcomes) else FAILED


async def _judge(options: WorkerCheckOptions) -> list[tuple[str, str | None]]:
    from aether_protocol.testing.worker_check import WorkerToCheck, check_worker
    from aether_protocol.views.text import printable

    own = options.executor == OUR_OWN
    worker = WorkerToCheck(
        command=options.started,
        executor=options.executor,
        inputs=options.inputs or {},
        slow_inputs=options.slow_inputs or {},
        config=options.config or (SHORT if own else {}),
        slow_config=options.slow_config or (LONG if own else {}),
    )
    outcomes: list[tuple[str, str | None]] = []
    try:
        async for one in check_worker(worker, port=_port(options.listen)):
            outcomes.append((one.name, one.fault))
            if options.output == "text":
                mark = click.style("ok  ", fg="green") if one.fault is None else click.style("FAIL", fg="red")
                click.echo(f"{mark}  {printable(one.name.splitlines()[0])}")
                if one.fault is not None:
                    click.echo(f"      {printable(one.fault)}")
    except OSError as error:
        what = f"{options.started[0]!r} cannot be started" if error.filename else f"the judge cannot listen at {options.listen}"
        raise PortError(f"{what}: {(error.strerror or str(error)).lower()}") from None
    return outcomes


def _port(listen: str | None) -> int:
    if listen is None:
        return 0
    from urllib.parse import urlsplit

    parts = urlsplit(listen)
    try:
        if parts.scheme == "http" and parts.hostname == "127.0.0.1" and parts.port is not None:
            return parts.port
    except ValueError:
        pass
    raise UsageError(f"--listen {listen!r} is not the address of this machine with a port", hint="like http://127.0.0.1:7234")
