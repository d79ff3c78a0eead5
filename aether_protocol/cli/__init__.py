"""The command line: each command parses, builds, executes, and hands what it found to `render`.

Law: importing this is free; click and the commands are loaded when `main` is called, each command only when it is used.

Modules by role:

    from start to exit code   __main__, entry, root, lazy_group, exits
    what a command takes      command, options, value_types, configured, arguments, instants, paths, target
    documents and the store   document_inputs, stored, freeing, schedules
    runs driven here          drive, session, hosting, serving, working, process, administering
    runs of a server          watch
    packages                  commands, render, terminal
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments (default: the process's own); gives the exit code, never raises."""
    import gc
    import signal
    from contextlib import suppress

    collects = gc.isenabled()
    _spare_the_collector(own_process=arguments is None)
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is signal.SIG_DFL}
    try:
        with suppress(ValueError):  # in another thread than the main one there are no signals
            for number in before:
                signal.signal(number, _interrupt)
        from aether_protocol.cli.entry import guarded

        return guarded(arguments)
    except KeyboardInterrupt:  # at any moment, that of the imports included
        with suppress(ValueError):
            for number in (signal.SIGINT, *before):
                signal.signal(number, signal.SIG_IGN)  # pressed again: there is nothing left to interrupt
        return _interrupted()
    finally:
        if collects and arguments is not None:  # in a process of its own nothing more is worth a collection
            gc.enable()
        with suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)


def _spare_the_collector(*, own_process: bool) -> None:
    """Let the garbage collector walk little: imports, documents and plans are many objects, next to none of them garbage.

    In a process of its own the last collection, at its end, finds nothing to walk either: what is closed by then is closed.
    """
    import gc

    gc.set_threshold(50_000, 20, 50)
    if own_process:
        import atexit

        atexit.register(gc.freeze)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """What a SIGINT would do now. While a run is driven, `interaction.interrupts` hears it instead."""
    import signal

    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(number, frame)


def _interrupted() -> int:
    """Say it where that is possible."""
    import os
    import select
    from contextlib import suppress

    with suppress(OSError, ValueError):
        if select.select([], [2], [], 1)[1]:
            os.write(2, b"error: interrupted\n")
    return 130
