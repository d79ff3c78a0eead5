"""What a task at a Dask worker is: a pickle whose loading carries the attempt out.

Law: all that a scheduler or a worker unpickles by itself comes with Python. A task that names a function of this package would
end each Dask worker that lacks the package, at the moment when it is assigned; a pickle within the task is an exception there.
"""

from __future__ import annotations

import pickle
from importlib import import_module
from typing import Any

__all__ = ["call_of", "carry_out"]


def carry_out(body: bytes, topic: str) -> bytes:
    """Carry out an order at a Dask worker. What does it is loaded there, and not by an engine."""
    ended: bytes = import_module("aether_protocol.worker.hosted.dask_task").carry_out(body, topic)
    return ended


class _Call:
    """Becomes the result of the call, where it is unpickled."""

    def __init__(self, body: bytes, topic: str) -> None:
        self._given = body, topic

    def __reduce__(self) -> tuple[Any, tuple[bytes, str]]:
        return carry_out, self._given


def call_of(body: bytes, topic: str) -> bytes:
    """Return the argument of `pickle.loads` that carries an order out, and returns its ending.

    Args:
        body: the order, as JSON.
        topic: where events of it go.
    """
    return pickle.dumps(_Call(body, topic), protocol=4)
