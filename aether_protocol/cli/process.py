"""What a process does that drives runs, whichever command it is: its log, its memory, what dead processes left, its end.

Law: warnings of the engine are a line each and never a traceback; an end at once leaves no program and no half file behind.
"""

from __future__ import annotations

import gc
import logging
import os
from typing import TYPE_CHECKING, Final, NoReturn

from aether_protocol.cli.configured import configuration
from aether_protocol.cli.exits import INTERRUPTED
from aether_protocol.cli.stored import workspaces_of
from aether_protocol.cli.terminal.streams import settle

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store

MOST_OF_LIBRARY: Final = 500  # characters of a library's warning
LEAVE_S: Final = 1.0  # how long a process that leaves at once waits for a reader that reads nothing


class _LibraryHandler(logging.Handler):
    """Warnings of libraries, a line each, given to the handler of the engine's: else Python would print them as they are, with
    traces, between lines of JSON, too."""

    def __init__(self, to: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.name}: {record.getMessage().strip()}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text += f" ({type(error).__name__}: {error})"
        line = " ".join(text.split())[:MOST_OF_LIBRARY]
        plain = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "msg": line}
        self._to.handle(logging.makeLogRecord(plain))


def log_to(handler: logging.Handler) -> None:
    """Send the engine's messages there alone, from the configured level on, and warnings of libraries, too."""
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, _LibraryHandler)]:
        root.removeHandler(earlier)
    root.addHandler(_LibraryHandler(handler))
    logger = logging.getLogger("aether_protocol")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(str(configuration().value("logging.level")).upper())


def freeze() -> None:
    """Leave what is there by now, a plan above all, out of every later collection: it stays.

    What little garbage the start has left stays with it: to look for it takes as long as a third of the start.
    """
    gc.freeze()


async def release_leftovers(store: Store) -> None:
    """Release what dead processes of this machine hold, and remove folders that they left."""
    from aether_protocol.service.dead_owners import release_dead_owners, remove_shared_folders

    await release_dead_owners(store)
    await remove_shared_folders(store, workspaces_of(store))


def leave(code: int = INTERRUPTED) -> NoReturn:
    """End the process at once, with what was printed so far. Nothing that it started stays behind."""
    from aether_protocol.assembly.executors import kill_programs
    from aether_protocol.cli.target import discard_unfinished

    kill_programs()
    settle(LEAVE_S)
    discard_unfinished()
    os._exit(code)
