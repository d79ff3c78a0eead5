"""`--metrics-file`: what a command did, in the text format of Prometheus, for a collector of such files.

Law: without the option nothing of it is loaded. The file is written at the end, whatever that was, and replaced in one step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aether_protocol.errors import PortError

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.ports.store import Store
    from aether_protocol.ports.store.schedules import FireRecord


class FileMetrics:
    """Collects metrics of one engine for a file.

    Args:
        file: where they are written to.
        warn: called with a message and a hint where they cannot be.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self, file: str, warn: Callable[[str, str | None], None]) -> None:
        self._warn = warn
        from aether_protocol.adapters.telemetry.prometheus import RunMetrics

        self._file = Path(file)
        self._metrics = RunMetrics()

    def measured(self, store: Store) -> Store:
        """Return a store whose calls are measured, in place of this one."""
        from aether_protocol.adapters.telemetry.measured import Measured

        return Measured(store, self._metrics)

    def watch(self, engine: Engine) -> None:
        """Count what happens in an engine."""
        self._metrics.watch(engine)

    def fired(self, record: FireRecord) -> None:
        """Count a fire of a schedule."""
        self._metrics.fired(record)

    def write(self) -> None:
        """Write the file; one that cannot be written is a warning, and changes nothing about the exit code."""
        try:
            self._metrics.write(self._file)
        except PortError as error:
            self._warn(error.message, error.hint)
