"""What an attempt has to say to people: a Markdown file that it may leave, kept as an artifact of a reserved name (RT-158).

Law: what is kept is masked (DATA-12), and whole: a file that is too large, or no text, is not kept, and a warning says so. It
changes nothing of what the attempt came to, whatever that is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import ArtifactOutput
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.executor import SUMMARY

MOST_BYTES: Final = 2**20
_MASKED: Final = "summary.masked"  # what is kept, beside the file
_OUTPUT: Final = ArtifactOutput(SUMMARY, _MASKED, "none", None)


class SummaryError(Exception):
    """A summary that is not kept; the text says why."""


def read_summary(file: Path) -> str:
    """Read the file that an attempt left. Raises SummaryError."""
    try:
        # not following a link, nor waiting for a process at the other end, should it be a named pipe
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise SummaryError("it is not a regular file")
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SummaryError(f"it cannot be read: {error.strerror or error}") from None
    if len(data) > MOST_BYTES:
        raise SummaryError(f"it is larger than {MOST_BYTES} bytes: keep it as an artifact")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SummaryError(f"it is not UTF-8: byte {error.start}") from None


def keep_summary(file: Path, mask: Callable[[str], str], stager: Stager) -> dict[str, Json]:
    """Keep the summary of an attempt.

    Args:
        file: that it left, in a folder that is its own.
        mask: hides secrets.
        stager: that of the run's namespace.

    Returns:
        Its artifact by the reserved name; nothing where the file is empty.

    Raises:
        SummaryError: it is not kept.
        PortError: the repository does not take it.
    """
    text = clean(mask(read_summary(file)))
    if not text.strip():
        return {}
    folder = file.parent
    (folder / _MASKED).write_text(text, encoding="utf-8")
    return stager.keep((_OUTPUT,), folder, folder)
