"""An invalid document together with the text that it was read from, so that its faults can be shown in their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aether_protocol.diagnostics import Diagnostic
from aether_protocol.errors import DocumentError


class InvalidDocumentError(DocumentError):
    """`sources` are the bytes that were read, by the file name in the diagnostics: standard input cannot be read twice."""

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic], sources: Mapping[str, bytes]) -> None:
        super().__init__(message, diagnostics=diagnostics)
        self.sources = sources
