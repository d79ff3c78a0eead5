"""The ErrorSink port: where the engine tells of what broke outside of any run."""

from __future__ import annotations

from typing import Protocol


class ErrorSink(Protocol):
    def report(self, error: BaseException, context: str) -> None: ...
