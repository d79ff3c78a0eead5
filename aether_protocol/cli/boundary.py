"""Where every exception of the command line ends: as a message, a hint and an exit code.

Law: no traceback reaches the user unless AETHER_DEBUG is set. Results go to standard output, all that is said here to
standard error. The exit codes are those of the contract, and each error class owns its own.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

import click

from aether_protocol.cli.exits import INTERRUPTED, OUTSIDE, OWN_FAULT, USAGE
from aether_protocol.cli.lazy import ReaderGoneError
from aether_protocol.cli.root import root
from aether_protocol.errors import AetherError, DocumentError
from aether_protocol.execution.descriptors import raise_descriptors


def guarded(arguments: Sequence[str] | None) -> int:
    """Run the command line; every way to fail becomes an exit code."""
    gc.set_threshold(50_000, 20, 50)  # imports and documents are many objects, and next to none of them is garbage
    fill_standard_streams()
    raise_descriptors()
    try:
        code = root.main(arguments, prog_name="aether", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, ReaderGoneError):
        # The reader went away (`aether ... | head`). Python flushes standard output once more at its end: give it a sink.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTSIDE
    except Exception as error:
        if os.environ.get("AETHER_DEBUG"):
            import traceback

            traceback.print_exc()
        return explain(error)


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
        say("interrupted", None)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return USAGE
    if isinstance(error, DocumentError) and error.diagnostics:
        from aether_protocol.cli.faults import InvalidDocumentError
        from aether_protocol.cli.render.diagnostics import show_diagnostics, summary

        sources = error.sources if isinstance(error, InvalidDocumentError) else None
        show_diagnostics(error.diagnostics, sources)
        click.echo(summary(error.diagnostics, len({d.file for d in error.diagnostics})), err=True)
        say(error.message, error.hint)
        return error.exit_code
    if isinstance(error, AetherError) and error.exit_code != OWN_FAULT:
        say(error.message, error.hint)
        return error.exit_code
    if isinstance(error, OSError):
        name = f" {str(error.filename)!r}" if error.filename else ""
        say(f"the system refused{name}: {error.strerror or error}", None)
        return OUTSIDE
    say(
        f"this is a fault of ours: {type(error).__name__}: {error}",
        f"please report it with what you did and: {version_line()}; AETHER_DEBUG=1 shows where it happened",
    )
    return OWN_FAULT


def say(message: str, hint: str | None) -> None:
    """One error and its advice, on standard error."""
    from aether_protocol.cli.render.text import printable

    color = False if os.environ.get("NO_COLOR") else None  # there is no context here that would know
    click.echo(click.style("error: ", fg="red", bold=True), err=True, nl=False, color=color)
    click.echo(printable(message), err=True)
    if hint:
        click.echo(f"  hint: {printable(hint)}", err=True)


def version_line() -> str:
    """What a report of a fault should tell."""
    import platform
    from importlib.metadata import version

    return f"aether {version('aether-protocol')}, Python {platform.python_version()}, {platform.system()}"
