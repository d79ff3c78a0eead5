"""What an executor type declares about itself: the fields of its config and its outputs (SPEC-15, EXEC).

Law: a declaration is data. The checks, `aether executors`, the docs and the executor itself read the same table. A string
that holds a placeholder fits every field here and is checked again, resolved, at dispatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aether_protocol.expressions.values import Json


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field of an executor's config. `type` is one of DOC-9 or `duration`; `items` types the elements of an array;
    `minimum` and `maximum` bound a number, `minimum` the length of an array too."""

    name: str
    type: str
    description: str
    required: bool = False
    default: Json = None
    enum: tuple[Json, ...] | None = None
    items: str | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class OutputField:
    """An output that an executor may give."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class ExecutorType:
    """An executor type as registered under the entry-point group `aether.executors`.

    `open_config`: config fields that are not listed are allowed; `open_outputs`: outputs beyond the listed ones, too.
    `files`: `valueFrom.path` on an output names a file (script, process).
    """

    name: str
    description: str
    config: tuple[ConfigField, ...] = ()
    outputs: tuple[OutputField, ...] = ()
    open_config: bool = False
    open_outputs: bool = False
    files: bool = False


ExecutorTypes = Mapping[str, ExecutorType]


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault of a config: `path` inside of it (`("env", "HOME")`), what is wrong, and what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
