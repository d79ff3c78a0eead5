"""The command line: each command parses, builds, executes, and hands what it found to `render`.

Law: importing this is free; click and the commands are loaded when `main` is called, each command only when it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments (default: the process's own); gives the exit code, never raises."""
    import signal
    import sys

    try:
        from aether_protocol.cli.boundary import guarded

        return guarded(arguments)
    except KeyboardInterrupt:  # at any moment, that of the imports included
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again: there is nothing left to interrupt
        print("error: interrupted", file=sys.stderr)
        return 130
