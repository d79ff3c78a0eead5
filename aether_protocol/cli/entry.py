"""Where every exception of the command line ends: as a message, a hint and an exit code.

Law: no traceback reaches the user unless AETHER_DEBUG is set. Results go to standard output, all messages to
standard error. The exit codes are those of the contract, and each error class owns its own. A code that says something is
never replaced by the news that it could not be printed.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from aether_protocol import __version__
from aether_protocol.cli.configured import debugs
from aether_protocol.cli.exits import FINE, INTERRUPTED, OUTSIDE, OWN_FAULT, USAGE
from aether_protocol.cli.root import root
from aether_protocol.cli.terminal import color, messages
from aether_protocol.cli.terminal.streams import LostOutputError, installed
from aether_protocol.errors import AetherError, DocumentError, why
from aether_protocol.execution.descriptors import raise_descriptors

# What to do where the system refuses something and the caller added no hint.
ADVICE: Final = {
    errno.ENOSPC: "free some space, or let --store and TMPDIR name places with room",
    errno.EDQUOT: "free some space, or let --store and TMPDIR name places with room",
    errno.EMFILE: "allow more open files (ulimit -n), or give --concurrency",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOMEM: "the machine is out of memory",
    errno.EACCES: "may you read and write there?",
    errno.EROFS: "it is read-only: name another place",
}


def guarded(arguments: Sequence[str] | None) -> int:
    """Run the command line; every way to fail becomes an exit code."""
    sys.unraisablehook = _show_where_asked
    fill_standard_streams()
    raise_descriptors()
    color.begin()
    messages.begin()
    with installed() as streams:
        code = carried_out(arguments)
        if streams is None or streams.out.lost is None:
            return code
        return without_output(streams.out.lost, code, outcome_decides=streams.outcome_decides)


def _show_where_asked(failure: sys.UnraisableHookArgs) -> None:
    """Show what failed where nothing can catch it (a loop that was never whole, say), if tracebacks are asked for: what it
    leads to follows as our message."""
    if debugs():
        sys.__unraisablehook__(failure)


def carried_out(arguments: Sequence[str] | None) -> int:
    """Run the command; its exit code, or that of what it raised."""
    try:
        code = root.main(arguments, prog_name="aether", standalone_mode=False)
        return code if isinstance(code, int) else FINE
    except LostOutputError:
        return FINE  # until `without_output` has looked at it
    except Exception as error:
        if debugs():
            import traceback

            traceback.print_exc()
        return explain(error)


def without_output(why: OSError, code: int, *, outcome_decides: bool) -> int:
    """The exit code of a command whose standard output led nowhere: of one that did something, what it did; of one that was
    to print, OUTSIDE. A reader that went away (`aether ... | head`) knows of it."""
    if why.errno != errno.EPIPE:
        told = f"standard output cannot be written: {why.strerror}; what is there is not complete"
        if outcome_decides or code != FINE:
            messages.warn(told)
        else:
            messages.error(told, "point it to a place with room")
    return code if outcome_decides or code != FINE else OUTSIDE


def fill_standard_streams() -> None:
    """Streams that the caller closed (`aether ... >&-`) lead nowhere, and no file that is opened later takes their place."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def explain(error: Exception) -> int:
    """Say what went wrong; gives the exit code."""
    if isinstance(error, click.Abort):
        messages.error("interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        messages.error(*usage(error))
        return USAGE
    if isinstance(error, DocumentError) and error.diagnostics and messages.is_json():
        for one in error.diagnostics:
            place = {"file": one.file, "line": one.line, "column": one.column, "path": one.path}
            messages.record(one.severity, one.message, kind="diagnostic", hint=one.hint, code=one.code, **place)
        messages.error(error.message, error.hint)
        return error.exit_code
    if isinstance(error, DocumentError) and error.diagnostics:
        from aether_protocol.cli.render.diagnostics import show_diagnostics, summary

        show_diagnostics(error.diagnostics, error.sources)
        click.echo(summary(error.diagnostics, len({d.file for d in error.diagnostics})), err=True)
        messages.error(error.message, error.hint)
        return error.exit_code
    if isinstance(error, AetherError) and error.exit_code != OWN_FAULT:
        messages.error(error.message, error.hint)
        return error.exit_code
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return explain(error.exceptions[0])
    if isinstance(error, OSError):
        messages.error(f"the system refused: {why(error)}", ADVICE.get(error.errno or 0))
        return OUTSIDE
    messages.error(
        f"internal error: {type(error).__name__}: {why(error)}",
        f"please report it with what you did and: {version_line()}; AETHER_DEBUG=1 shows where it happened",
    )
    return OWN_FAULT


def usage(error: click.ClickException) -> tuple[str, str | None]:
    """The message of wrong usage and its hint, in the look of all others: click's sentences, without capital and stop."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint: str | None = getattr(error, "hint", None)
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        from aether_protocol.diagnostics.suggest import suggest

        text = f"no such option {error.option_name}"
        near = suggest(error.option_name, error.possibilities or (), cutoff=0.7)
        hint = f"did you mean {near}?" if near else None
    elif isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option):
        what = " ".join(filter(None, (error.param.opts[0], error.param.metavar)))
        hint = f"{what}: {error.param.help}".removesuffix(".")
    elif isinstance(error, click.MissingParameter) and ctx is not None:
        hint = " ".join(ctx.get_usage().split()).replace("Usage:", "usage:")
    if hint is None and ctx is not None:
        hint = f"'{ctx.command_path} --help' says what it takes"
    return text[:1].lower() + text[1:].removesuffix("."), hint


def version_line() -> str:
    """What a report of an internal error should say."""
    import platform

    return f"aether {__version__}, Python {platform.python_version()}, {platform.system()}"
