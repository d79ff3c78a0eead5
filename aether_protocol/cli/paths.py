"""From PATH arguments to files and their bytes; `-` is standard input.

Law: every file is read once, whatever it is called and however often.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aether_protocol.assembly.files import SUFFIXES, FileBytes, read_file, read_files
from aether_protocol.documents.source import DEFAULT, DocumentLimits

STDIN: Final = "-"
STDIN_NAME: Final = "<stdin>"


def read_source(path: str, limits: DocumentLimits = DEFAULT) -> FileBytes:
    """The file at `path`, or standard input for `-`. Raises UsageError for what is not there, PortError else."""
    if path == STDIN:
        return FileBytes(STDIN_NAME, sys.stdin.buffer.read(limits.bytes + 1))
    return read_file(path, limits)


def read_sources(path: str, limits: DocumentLimits = DEFAULT) -> Iterator[FileBytes]:
    """Standard input, a file, or every document file in a folder, in order of names."""
    if path == STDIN:
        yield read_source(path, limits)
    else:
        yield from read_files(path, limits)


def names_file(text: str) -> bool:
    """Whether `text` means a file rather than something in a store: it is written as only files are, or it is there."""
    if text == STDIN or text.startswith(("/", "./", "../")) or text.lower().endswith(tuple(SUFFIXES)):
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # no path at all
        return False
