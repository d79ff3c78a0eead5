"""A run driven in the foreground: by `run`, `resume`, `cancel` and `retry` alike.

Law: progress of a run goes to standard error, its result to standard output. Where a run is left that can be resumed, a hint
says how. What dead processes of this machine held is released before anything is claimed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict

from aether_protocol.assembly.store_urls import PROJECT, is_server_url
from aether_protocol.cli.configured import configuration, debugs, names_store, usual_store
from aether_protocol.cli.exits import FINE, FINE_PHASES, PHASE_EXITS, SUSPENDED
from aether_protocol.cli.options import DrivingOptions
from aether_protocol.cli.process import freeze, log_to, release_leftovers
from aether_protocol.cli.render.views import JsonView, LineView, QuietView, Sheltered, View
from aether_protocol.cli.stored import check_there, is_there, open_at, sqlite_path
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import apart, shows
from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import Store
from aether_protocol.views.phases import PHASE_MARKS
from aether_protocol.views.text import printable

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.cli.session import Session, SessionResult
    from aether_protocol.service.client import Client, RunReader
    from aether_protocol.views.forecast import Forecast
    from aether_protocol.views.report import Report

Answers = Mapping[str, list[dict[str, Json]]]


class Driving(DrivingOptions, frozen=True, kw_only=True):
    """How a run is driven. `keeps`: an interrupt leaves the run as it is, to be resumed; else it cancels it."""

    keeps: bool = True
    answers: Answers = field(default_factory=dict)

    @classmethod
    def by(cls, options: DrivingOptions, answers: Answers | None = None, *, keeps: bool = True) -> Driving:
        """As the options of a command say."""
        return cls(**asdict(options), keeps=keeps, answers=answers or {})


class FinishedRun(Struct, frozen=True):
    """There is nothing to drive: the run ended before."""

    run_id: str


class RunToAnswer(Struct, frozen=True):
    """A run that is continued, and what is done to it once it is watched. What `act` raises ends the command."""

    run_id: str
    act: Callable[[], Awaitable[None]] | None = None


Target = str | RunToAnswer | FinishedRun | None  # the id of a run; None: there is nothing to do or show
Begin = Callable[["Engine", "Client"], Awaitable[Target]]
After = Callable[[], Awaitable[None]]
Watch = Callable[["Engine"], None]


async def nothing() -> None:
    """What is to be done after a run that only a schedule's needs."""


def drive(driving: Driving, begin: Begin, *, makes_store: bool = False, after: After = nothing) -> int:
    """Open the store and an engine, let `begin` say what to drive, see it to its end, do what comes `after` that while the
    store is still open; the exit code."""
    if not makes_store or is_server_url(driving.store):
        check_there(driving.store)
    if not debugs():
        log_without_traces()
    store = open_for_writing(driving)
    freeze()
    with apart():
        if driving.metrics_file is None:
            return asyncio.run(_drive(driving, store, begin, after, lambda engine: None))

        from aether_protocol.service.file_metrics import FileMetrics

        metrics = FileMetrics(driving.metrics_file, messages.warn)
        try:
            return asyncio.run(_drive(driving, metrics.measured(store), begin, after, metrics.watch))
        finally:
            metrics.write()


def open_for_writing(driving: Driving) -> Store:
    """Open the store; where it cannot be used, the error says how to do without one."""
    new = not is_there(driving.store)
    try:
        store = open_at(driving.store, driving.durability)
        if new:
            keep_out_of_git(driving.store)
        return store
    except PortError as error:
        if names_store():
            raise
        hint = "--store memory keeps no record of the run, --store sqlite:PATH keeps it elsewhere"
        raise PortError(error.message, hint=_joined(error.hint, hint)) from error


def keep_out_of_git(url: str) -> None:
    """Have git ignore what lies in `.aether`: it belongs to this machine, not to the project."""
    file = sqlite_path(url)
    if file is None or file.parent.name != PROJECT:
        return
    note = file.parent / ".gitignore"
    if not note.exists():
        with contextlib.suppress(OSError):
            note.write_text("*\n", "ascii")


def _joined(first: str | None, second: str) -> str:
    if not first:
        return second
    return f"{first} {second}" if first.endswith("?") else f"{first}; {second}"


async def _drive(driving: Driving, store: Store, begin: Begin, after: After, watch: Watch) -> int:
    from aether_protocol.assembly import build_engine
    from aether_protocol.cli.terminal.prompt import interrupts
    from aether_protocol.service.local import client_of
    from aether_protocol.service.process_identity import this_process

    session = _make_session(driving, store)
    with interrupts(session.interrupted):  # without a gap: from before the first task to after the last one's end
        try:
            engine = await build_engine(
                store=store,
                owner=this_process(),
                concurrency=driving.concurrency,
                secrets_files=driving.secrets,
                workspaces=driving.workspaces,
                configuration=configuration(),
            )
        except BaseException:
            await store.close()
            raise
        engine.caller_context = os.environ.get("TRACEPARENT")
        try:
            watch(engine)
            if store.durable:
                await release_leftovers(store)
            client = client_of(engine)
            target = await session.begin(engine, lambda: begin(engine, client))
            if target is None or isinstance(target, FinishedRun):
                return FINE if target is None else await show_again(client.runs, target.run_id, driving)
            run = RunToAnswer(target) if isinstance(target, str) else target
            ending = await session.run(engine, run.run_id, run.act)
            show_ending(ending.report, driving.output)
            if store.durable:
                if await is_open(store, ending.report.run_id):
                    tell_how_to_go_on(ending, driving)
                else:
                    tell_what_next(ending.report, driving)
            elif ending.exit_code == SUSPENDED:
                tell_how_to_answer(ending.left)
            await after()
        finally:
            await session.close(engine)
        return ending.exit_code


def _make_session(driving: Driving, store: Store) -> Session:
    from aether_protocol.cli.session import Session
    from aether_protocol.cli.terminal.prompt import at_terminal
    from aether_protocol.views.forecast import Forecast

    progress = driving.progress and not messages.is_quiet()
    forecast = Forecast() if progress and _shows_live() else None
    return Session(
        choose_view(progress, forecast),
        driving.answers,
        asks=at_terminal(),
        streams=driving.output == "events",
        keeps=driving.keeps and store.durable,
        forecast=forecast if store.durable else None,
    )


async def is_open(store: Store, run_id: str) -> bool:
    """Whether a run has not closed; one that was deleted meanwhile has."""
    row = await store.runs.row(run_id)
    return row is not None and not row.closed


async def show_again(runs: RunReader, run_id: str, driving: Driving) -> int:
    """The result of a run that had ended before."""
    report = await runs.report(run_id)
    if driving.output == "events":
        from aether_protocol.cli.render.events import print_events

        await print_events(runs.events(run_id))
    show_ending(report, driving.output)
    tell_what_next(report, driving)
    return PHASE_EXITS[str(report.phase)]


def show_ending(report: Report, output: str) -> None:
    """The result on standard output, in the form asked for; events were printed as they came."""
    from aether_protocol.cli.render.report import print_report, show_report

    if output == "json":
        print_report(report)
    elif output == "text":
        show_report(report.to_json())


def choose_view(shows_progress: bool, forecast: Forecast | None = None) -> View:
    """Choose a view: none, a live one on a terminal, which shows what `forecast` has, or lines."""
    if not shows_progress:
        return QuietView()
    if messages.is_json():
        return Sheltered(JsonView())
    if _shows_live():
        from aether_protocol.cli.render.live import LiveView

        return Sheltered(LiveView(forecast=forecast))
    return Sheltered(LineView())


def _shows_live() -> bool:
    """Whether standard error is a terminal that a live view can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and shows("".join(PHASE_MARKS.values()))


def tell_how_to_go_on(ending: SessionResult, driving: Driving) -> None:
    """A run that is left unfinished in a durable store."""
    run_id, more = ending.report.run_id, store_option(driving.store)
    if ending.left:
        hints = [f"aether resume {run_id} {messages.quoted(printable(path))} -p approved=true{more}" for path in ending.left]
        hints.append(f"or answer beforehand: {_beforehand(ending.left[0])}")
        messages.note(f"run {run_id} is suspended: it waits for an answer", *hints, color="yellow")
        return
    hints = [f"aether resume {run_id}{more} continues it", f"aether cancel {run_id}{more} ends it"]
    messages.note(f"run {run_id} is left as it is: {ending.report.phase}", *hints, color="yellow")


def tell_what_next(report: Report, driving: Driving) -> None:
    """Hint at what can be done about a run that ended and did not succeed: it can be looked into, and retried."""
    if report.phase not in FINE_PHASES:
        run_id, more = report.run_id, store_option(driving.store)
        messages.hint(f"aether show {run_id}{more} shows why")
        messages.hint(f"aether retry {run_id}{more} repeats what failed")


def tell_what_next_at(report: Report, more: str) -> None:
    """`tell_what_next` of a run of a server."""
    if report.phase not in FINE_PHASES and report.phase != "Suspended":
        messages.hint(f"aether show {report.run_id}{more} shows why")
        messages.hint(f"aether retry {report.run_id}{more} repeats what failed")


def tell_how_to_answer_at(run_id: str, paths: Sequence[str], more: str) -> None:
    """What to do about a run of a server that waits for an answer."""
    hints = [f"aether resume {run_id} {messages.quoted(printable(path))} -p approved=true{more}" for path in paths]
    messages.note(f"run {run_id} is suspended: it waits for an answer", *hints, color="yellow")


def store_option(url: str) -> str:
    """What must be added to a command so that it finds the same store, or server."""
    if url == usual_store():
        return ""
    return f" {'--server' if is_server_url(url) else '--store'} {messages.quoted(url)}"


def tell_how_to_answer(paths: list[str]) -> None:
    """A run that was left suspended and ends with this process: what to do about it."""
    hints = [f"run it again with {_beforehand(path)}" for path in paths]
    messages.note("the run is suspended: it waits for an answer", *hints, color="yellow")


def _beforehand(path: str) -> str:
    return f"""--resume '{printable(path)}={{"approved": true}}'"""


def log_without_traces() -> None:
    """Warnings of the engine as one line each. What broke a run is reported by `entry`, once and without a traceback."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if messages.is_json():
        handler = _JsonHandler()
    handler.setFormatter(_LogLine())
    handler.addFilter(lambda record: record.exc_info is None)
    log_to(handler)


class _JsonHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        messages.record(record.levelname.lower(), record.getMessage())


class _LogLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"
