"""From paths to files and their bytes.

Law: a file that was named is read whatever is in it; in a folder only what calls itself an aether document is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.errors import PortError, UsageError

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
SKIPPED_FOLDERS: Final = frozenset({"node_modules", "__pycache__"})

# `apiVersion: aether/...` at the left margin of a YAML file, or as a string anywhere in a JSON file.
_YAML_MARK: Final = rb"""^(?:\{\s*)?["']?apiVersion["']?[ \t]*:[ \t]*["']?aether"""
_JSON_MARK: Final = rb'"apiVersion"\s*:\s*"aether'
_CASE_MARK: Final = rb'^\s*(?:\[\s*)?\{\s*"case"\s*:'
_YAML_CASE_MARK: Final = rb"^case[ \t]*:"


class FileBytes(Struct, frozen=True):
    """A file as it was read. `name` is how diagnostics call it."""

    name: str
    data: bytes


def read_file(path: str, limits: DocumentLimits = DEFAULT) -> FileBytes:
    """The file at `path`. Raises UsageError for what is not there or is not a file, PortError for what cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            return FileBytes(path, stream.read(limits.bytes + 1))  # enough to see that it is too large, were it endless
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no file {path!r}", hint="check the spelling of the path") from None
    except IsADirectoryError:
        raise UsageError(f"{path!r} is a folder", hint="name a file in it") from None
    except OSError as error:
        raise PortError(f"cannot read {path!r}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path!r} is not a path") from None


def read_files(path: str, limits: DocumentLimits = DEFAULT) -> Iterator[FileBytes]:
    """The file at `path`, or every document file in the folder there and below, in order of names."""
    if not os.path.isdir(path):
        yield read_file(path, limits)
        return
    for file in document_paths(Path(path)):
        read = read_file(file, limits)
        if is_document(read):
            yield read


def is_document(file: FileBytes) -> bool:
    """Does this file call itself an aether document? Case files and other people's documents do not."""
    if file.name.endswith(".json"):
        return bool(re.search(_JSON_MARK, file.data, flags=re.IGNORECASE)) and not re.search(_CASE_MARK, file.data)
    return bool(re.search(_YAML_MARK, file.data, flags=re.MULTILINE | re.IGNORECASE))


def is_case_file(file: FileBytes) -> bool:
    """Whether this file holds cases for `aether test`, and no document."""
    if is_document(file):
        return False
    return bool(re.search(_CASE_MARK, file.data)) or bool(re.search(_YAML_CASE_MARK, file.data, flags=re.MULTILINE))


def document_paths(top: Path) -> Iterator[str]:
    """Every file in the folder `top` and below that may hold documents, in order of names; hidden ones are passed over."""
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield str(Path(folder) / name)


def is_path(text: str) -> bool:
    """Whether a string that may be a document is a path: it has a known suffix, or there is a file of that name."""
    if "\n" in text or "\0" in text or text.lstrip().startswith(("{", "[")):
        return False
    try:
        return text.endswith(tuple(SUFFIXES)) or Path(text).is_file()
    except OSError:  # too long for a path
        return False
