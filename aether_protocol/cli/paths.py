"""From PATH arguments to files and their bytes.

Law: a file that was named is read whatever is in it; in a folder only what calls itself an aether document is taken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aether_protocol.documents.source import DEFAULT, Limits
from aether_protocol.errors import PortError, UsageError

STDIN = "-"
STDIN_NAME = "<stdin>"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})

# `apiVersion: aether/...` at the left margin of a YAML file, or as a string anywhere in a JSON file.
_YAML_MARK = re.compile(rb"""^(?:\{\s*)?["']?apiVersion["']?[ \t]*:[ \t]*["']?aether""", re.MULTILINE | re.IGNORECASE)
_JSON_MARK = re.compile(rb'"apiVersion"\s*:\s*"aether', re.IGNORECASE)
_CASE_MARK = re.compile(rb'^\s*(?:\[\s*)?\{\s*"case"\s*:')


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read. `name` is how diagnostics call it."""

    name: str
    data: bytes


def read_source(path: str, limits: Limits = DEFAULT) -> Source:
    """The file at `path`, or standard input for `-`. Raises UsageError for what is not there, PortError else."""
    most = limits.bytes + 1  # enough to see that it is too large, were it as endless as /dev/zero
    if path == STDIN:
        return Source(STDIN_NAME, sys.stdin.buffer.read(most))
    try:
        with Path(path).open("rb") as stream:
            return Source(path, stream.read(most))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no file {path!r}", hint="check the spelling of the path") from None
    except IsADirectoryError:
        raise UsageError(f"{path!r} is a folder", hint="name a file in it") from None
    except OSError as error:
        raise PortError(f"cannot read {path!r}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path!r} is no path") from None


def read_sources(paths: Iterable[str], limits: Limits = DEFAULT) -> Iterator[Source]:
    """Every document file at these paths, each once, in the order given; folders are walked in order of names."""
    seen: set[str] = set()
    for path in paths:
        for file, named in _files(path):
            if file in seen:
                continue
            seen.add(file)
            source = read_source(file, limits)
            if named or is_document(source):
                yield source


def names_file(text: str) -> bool:
    """Whether `text` means a file rather than a name: it is there, or it is written as only files are."""
    return text == STDIN or "/" in text or Path(text).suffix.lower() in SUFFIXES or Path(text).is_file()


def is_document(source: Source) -> bool:
    """Does this file call itself an aether document? Case files and other people's documents do not."""
    if source.name.endswith(".json"):
        return bool(_JSON_MARK.search(source.data)) and not _CASE_MARK.search(source.data)
    return bool(_YAML_MARK.search(source.data))


def _files(path: str) -> Iterator[tuple[str, bool]]:
    if path == STDIN or not Path(path).is_dir():
        yield path, True
        return
    for folder, folders, names in _walk(Path(path)):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield str(folder / name), False


def _walk(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    import os

    for folder, folders, names in os.walk(top):
        yield Path(folder), folders, names
