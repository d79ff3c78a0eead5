"""Private folders: made for their owner alone.

Law: what holds data of runs (stores, artifacts) is its owner's alone from the moment that it is there.
"""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder with those above it, each 0700; those that are there stay as they are. Raises OSError."""
    if folder.is_dir():
        return
    make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
